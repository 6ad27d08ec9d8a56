"""Runs that several tests use as a reference."""

import pytest

from resatlas.runs.store import Run
from tests.training.small import DROPPING, carried_out


@pytest.fixture(scope="session")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The smallest experiment, trained without interruption."""
    return carried_out(tmp_path_factory.mktemp("unbroken") / "run")


@pytest.fixture(scope="session")
def unbroken_dropping(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The same with dropout."""
    return carried_out(tmp_path_factory.mktemp("dropping") / "run", DROPPING)
