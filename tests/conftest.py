"""Order of the tests: what is fast fails first. And what several of them need."""

import pytest


def pytest_collection_modifyitems(items):
    """Put tests marked `slow` last and leave the order otherwise as it is."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is not None)


@pytest.fixture(scope="module")
def one_thread():
    """Models as tiny as those of the tests are slower with more."""
    # Imported late: it takes seconds, and not every test needs it.
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
