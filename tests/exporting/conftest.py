"""A finished run, and the folder that it is saved as."""

import shutil
from pathlib import Path

import pytest

from resatlas.exporting.saving import save_pretrained
from resatlas.runs.store import Run
from tests.training.small import carried_out


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The smallest experiment, carried out."""
    return carried_out(tmp_path_factory.mktemp("exported") / "run")


@pytest.fixture(scope="session")
def kept(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That run as it was saved; not to be changed."""
    folder = tmp_path_factory.mktemp("kept") / "saved"
    save_pretrained(run.folder, folder)
    return folder


@pytest.fixture
def saved(kept: Path, tmp_path: Path) -> Path:
    """A copy of it, to be changed."""
    return Path(shutil.copytree(kept, tmp_path / "saved"))
