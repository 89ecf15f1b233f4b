"""Order of the tests: what is fast fails first. And what several of them need.

`make test` runs two processes of pytest side by side (pytest-xdist). Tests of a file that share a
fixture of the file stay in one process, so that it is made once; all others go to whichever is
free. What many files share is made by the first that needs it: see shared_results.py.
"""

import os

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:
    # A core for each process; before torch is imported, which reads it then.
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def file_fixtures(item):
    """Names of the fixtures that a test shares with others of its file."""
    shared = item._fixtureinfo.name2fixturedefs  # pytest has no public way to ask for the scope
    names = {name for name, found in shared.items() if found[-1].scope == "module"}
    return names - {"one_thread"}  # costs nothing


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Put tests marked `slow` last, those that have to stay together before the others."""

    def place(item):
        slow = item.get_closest_marker("slow") is not None
        # A group that starts last would leave the other process with nothing to do.
        return slow, slow and item.get_closest_marker("xdist_group") is None

    for item in items:
        if file_fixtures(item) and item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(item.path.stem))
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
