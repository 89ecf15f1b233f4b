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


@pytest.fixture(scope="session")
def tokens(tmp_path_factory):
    """Token ids of a tiny corpus: objective to the fairseq data folder."""
    from tiny_trainings import write_tokens

    return write_tokens(tmp_path_factory.mktemp("tokens"))


@pytest.fixture(scope="session", params=["clm", "mlm", "mt"])
def straight(request, tokens, tmp_path_factory):
    """(objective, folder of the outputs) of an uninterrupted training by train_model.py."""
    from training_runs import command, run

    folder = tmp_path_factory.mktemp(f"straight-{request.param}")
    assert "error" not in run(command(folder, request.param, tokens))
    return request.param, folder
