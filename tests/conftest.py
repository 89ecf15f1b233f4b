"""Order of the tests: what is fast fails first. And what several of them need.

`make test` runs two processes of pytest side by side (pytest-xdist). The tests of a file stay in
one process, so that what they share is made once. What many files share is made by the first that
needs it: see shared_results.py.
"""

import os

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:
    # A core for each process; before torch is imported, which reads it then.
    os.environ.setdefault("OMP_NUM_THREADS", "1")


# Files with slow tests only, the longest first: the processes then end at about the same time.
LONGEST = (
    "test_workflow",
    "test_fast_training",
    "test_fairseq_interruptions",
    "test_workers",
    "test_house",
    "test_demo_conservation",
    "test_fairseq_recording",
    "test_fast_compilation",
    "test_fairseq_training",
)


def pytest_collection_modifyitems(items):
    """Put tests marked `slow` last, of these the files that take longest first."""
    places = {name: place for place, name in enumerate(LONGEST)}

    def place(item):
        slow = item.get_closest_marker("slow") is not None
        return slow, slow and places.get(item.path.stem, len(places))

    items.sort(key=place)


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
    from shared_results import made_once
    from tiny_trainings import token_folders, write_tokens

    return token_folders(made_once(tmp_path_factory, "tokens", write_tokens))


@pytest.fixture(scope="session", params=["clm", "mlm", "mt"])
def straight(request, tokens, tmp_path_factory):
    """(objective, folder of the outputs) of an uninterrupted training by train_model.py."""
    from shared_results import made_once
    from training_runs import command, run

    def train(folder):
        assert "error" not in run(command(folder, request.param, tokens))

    return request.param, made_once(tmp_path_factory, f"straight-{request.param}", train)
