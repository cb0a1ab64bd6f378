"""The suite that comes with the program, over every connector that comes with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from replicator.connectors.conformance.subject import Subject
from replicator.connectors.conformance.suite import *  # noqa: F403
from tests.conformance.subjects import names, subject_of


@pytest.fixture(params=names)
def subject(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Subject]:
    """Each in turn, with an empty system."""
    with subject_of(request.param, tmp_path) as made:
        yield made
