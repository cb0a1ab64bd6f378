"""The plug-ins of the test suite, each fixture in a module of its own in ``fixtures``; and how far Hypothesis looks."""

import signal

import pytest
from hypothesis import HealthCheck, settings

# A shell starts deaf to SIGINT what it puts in the background, and the commands under test would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A function-scoped fixture only lends the examples a folder. The same examples every day: a new one is found by
# searching ('--hypothesis-profile search'), not by whoever happens to run the tests next.
settings.register_profile(
    "everyday", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
settings.register_profile("search", settings.get_profile("everyday"), derandomize=False, max_examples=5000)
settings.load_profile("everyday")

pytest_plugins = [
    "tests.fixtures.postgres",
    "tests.fixtures.compiling",
    "tests.fixtures.hub",
    "tests.fixtures.world",
    "tests.fixtures.load",
    "tests.fixtures.schema_files",
    "tests.fixtures.staff",
    "tests.fixtures.commands",
    "tests.fixtures.operators",
    "tests.fixtures.roles",
]

THOROUGH = ("acceptance", "simulation")
"""Folders that are no part of the everyday suite."""
FIRST = ("acceptance", "simulation", "integration")
"""Folders whose files take long: one of them alone at the end would keep the other workers waiting."""


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark what is no part of the everyday suite."""
    if item.path.parent.name in THOROUGH:
        item.add_marker(pytest.mark.thorough)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """In random order, but for the folders: xdist is told not to sort the files by their number of tests."""

    def place(item: pytest.Item) -> int:
        folder = item.path.parent.name
        return FIRST.index(folder) if folder in FIRST else len(FIRST)

    items.sort(key=place)
