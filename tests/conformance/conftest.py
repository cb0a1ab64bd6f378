"""The conformance suite's fixtures."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conformance.cases import Case, cases, ops_case, sales_case


@pytest.fixture(params=cases)
def case(request: pytest.FixtureRequest) -> Iterator[Case]:
    """A connector and an empty sandbox of its system."""
    made = cases[request.param]()
    yield made
    made.close()


@pytest.fixture
def sales() -> Iterator[Case]:
    """The case of Dataverse, for what only that has."""
    made = sales_case()
    yield made
    made.close()


@pytest.fixture
def ops() -> Iterator[Case]:
    """The case of Finance and Operations, for what only that has."""
    made = ops_case()
    yield made
    made.close()
