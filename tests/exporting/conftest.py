"""A finished run, and the folder of its saved network."""

import shutil
from pathlib import Path

import pytest

from resatlas.exporting.saving import save_pretrained
from resatlas.runs.store import Run
from tests.training.small import carried_out


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run of the smallest experiment."""
    return carried_out(tmp_path_factory.mktemp("exported") / "run")


@pytest.fixture(scope="session")
def kept(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The saved network of that run; tests must not change it."""
    folder = tmp_path_factory.mktemp("kept") / "saved"
    save_pretrained(run.folder, folder)
    return folder


@pytest.fixture
def saved(kept: Path, tmp_path: Path) -> Path:
    """A copy of the saved network, which a test may change."""
    return Path(shutil.copytree(kept, tmp_path / "saved"))
