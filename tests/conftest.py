"""Order of the tests: what is fast fails first."""


def pytest_collection_modifyitems(items):
    """Put tests marked `slow` last and leave the order otherwise as it is."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is not None)
