"""The plug-ins of the test suite; each fixture has a module of its own in ``fixtures``."""

pytest_plugins = [
    "tests.fixtures.postgres",
    "tests.fixtures.hub",
    "tests.fixtures.world",
    "tests.fixtures.load",
    "tests.fixtures.schema_files",
    "tests.fixtures.commands",
]
