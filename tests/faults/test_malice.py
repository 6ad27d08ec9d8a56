"""Files that would run code where they are opened carelessly: none is run, and what it asked for is named."""

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from resatlas.cli.main import main
from resatlas.runs.files import sha256_of
from resatlas.runs.names import NORMALISATION
from resatlas.runs.seal import SEAL, write_seal
from resatlas.runs.store import Run
from resatlas.weights.weight_files import read_tensors
from tests.training.small import DATA, DESIGN

TRAIN = ("train", DESIGN, "--data", DATA, "--set", "batch=16", "--epochs", "3", "--out", "run", "--quiet")
FORMS = ("zip", "old", "pickle0", "pickle2", "pickle5")
ASKED = f"imports {os.system.__module__}.system, which could run code"


class Trap:
    """A pickle of this makes a file where it is opened."""

    def __init__(self, marker: Path) -> None:
        self._marker = marker

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return os.system, (f"touch {self._marker}",)


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """The file that a trap makes."""
    return tmp_path / "marker"


def trap(file: Path, marker: Path, form: str) -> None:
    """Write weights with a trap beside them."""
    if form.startswith("pickle"):
        file.write_bytes(pickle.dumps({"state_dict": Trap(marker)}, protocol=int(form.removeprefix("pickle"))))
    else:
        value = {"state_dict": {"stem.conv.weight": torch.zeros(1)}, "extra": Trap(marker)}
        torch.save(value, file, _use_new_zipfile_serialization=form == "zip")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["a.pt", "a.ckpt", "a.safetensors", "a.pt2"])
def test_no_weights_to_start_from_run_code(
    refused: Callable[..., str], tmp_path: Path, marker: Path, name: str, form: str
) -> None:
    """Whatever the file is called and however it was pickled: exit code 4, what it asked for, and no run."""
    trap(tmp_path / name, marker, form)
    line = refused(*TRAIN, "--init-from", name, code=4)
    assert line == f"CheckpointError: {name} {ASKED}; only tensors and plain values are read, so save a state_dict()"
    assert not marker.exists()
    assert not (tmp_path / "run").exists()


def test_a_folder_of_a_distributed_checkpoint_is_not_opened(
    refused: Callable[..., str], tmp_path: Path, marker: Path
) -> None:
    """Torch reads `.metadata` of such a folder by plain pickle; we do not read it at all."""
    (tmp_path / "dcp").mkdir()
    trap(tmp_path / "dcp" / ".metadata", marker, "pickle5")
    assert "dcp cannot be read: a folder, not a file of weights" in refused(*TRAIN, "--init-from", "dcp", code=4)
    assert not marker.exists()


def sealed(checkpoint: Path) -> None:
    """Let the manifest say of each file what it is now, as a forger would."""
    manifest = checkpoint / "MANIFEST.json"
    files = {
        file.name: {"size": file.stat().st_size, "sha256": sha256_of(file)}
        for file in checkpoint.iterdir()
        if file != manifest
    }
    manifest.write_text(json.dumps({"schema": 1, "files": files}))


@pytest.fixture
def copy(unbroken: Run, tmp_path: Path) -> Run:
    """A finished run to tamper with, in the folder that commands name."""
    shutil.copytree(unbroken.folder, tmp_path / "run")
    return Run(tmp_path / "run")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["model.safetensors", "optim.safetensors"])
def test_no_forged_checkpoint_runs_code(
    refused: Callable[..., str], copy: Run, marker: Path, name: str, form: str
) -> None:
    """With hashes that match: neither testing a run again nor going on with it does what the file asks for."""
    last = copy.checkpoints / "step-00000015"
    trap(last / name, marker, form)
    sealed(last)
    write_seal(copy.folder, checkpoint=last.name, manifest=last / "MANIFEST.json")
    assert f"{name} {ASKED}" in refused("evaluate", "run", code=4)
    (copy.folder / "results.json").unlink()
    assert f"{name} {ASKED}" in refused(*TRAIN, "--resume", "auto", code=4)
    assert f"{name} {ASKED}" in refused(*TRAIN, "--resume", "run/checkpoints/step-00000015", code=4)
    assert not marker.exists()


@pytest.mark.parametrize("form", FORMS)
def test_no_forged_normalisation_runs_code(refused: Callable[..., str], copy: Run, marker: Path, form: str) -> None:
    """The file that says how images are normalised holds tensors or is damaged."""
    trap(copy.folder / NORMALISATION, marker, form)
    last = copy.checkpoints / "step-00000015"
    write_seal(copy.folder, checkpoint=last.name, manifest=last / "MANIFEST.json")
    assert "run/normalisation.safetensors is missing or damaged" in refused("evaluate", "run", code=4)
    (copy.folder / "results.json").unlink()
    assert "run/normalisation.safetensors is missing or damaged" in refused(*TRAIN, "--resume", "auto", code=4)
    assert not marker.exists()


def test_no_report_runs_code(
    copy: Run, marker: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A page is made of texts; weights are not opened for it, and a seal names the one of its files that changed."""
    monkeypatch.chdir(copy.folder.parent)
    for file in (*copy.folder.rglob("*.safetensors"), copy.folder / "extra.pt"):
        trap(file, marker, "zip")
    assert main(("report", "run", "--out", "page.html")) == 2
    assert f"run/{NORMALISATION} was changed after the run ended" in capsys.readouterr().err
    assert not (copy.folder.parent / "page.html").exists()
    assert not marker.exists()
    (copy.folder / SEAL).unlink()
    assert main(("report", "run", "--out", "page.html")) == 0, capsys.readouterr()
    assert (copy.folder.parent / "page.html").exists()
    assert not marker.exists()


def test_the_trap_is_one(tmp_path: Path, marker: Path) -> None:
    """Opened carelessly it does make the file, so that the tests above can fail."""
    for form in FORMS:
        trap(tmp_path / "a.pt", marker, form)
        if form.startswith("pickle"):
            pickle.loads((tmp_path / "a.pt").read_bytes())  # noqa: S301 - that is the point
        else:
            torch.load(tmp_path / "a.pt", weights_only=False)
        assert marker.exists()
        marker.unlink()
    with pytest.raises(Exception, match="could run code"):
        read_tensors(tmp_path / "a.pt")
