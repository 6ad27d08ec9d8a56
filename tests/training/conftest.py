"""Runs that several tests compare with."""

import pytest

from resatlas.runs.store import Run
from tests.training.small import DROPPING, carried_out


@pytest.fixture(scope="session")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The smallest experiment, carried out without a break."""
    return carried_out(tmp_path_factory.mktemp("unbroken") / "run")


@pytest.fixture(scope="session")
def unbroken_dropping(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The same with dropout."""
    return carried_out(tmp_path_factory.mktemp("dropping") / "run", DROPPING)
