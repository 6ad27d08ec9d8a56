"""Folders that cannot be written, and damaged or malicious saved networks."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from resatlas.errors import CheckpointError, FolderError, ResatlasError, UsageError
from resatlas.exporting import saving
from resatlas.exporting.config import LARGEST, read_config
from resatlas.exporting.loading import from_pretrained
from resatlas.exporting.preprocessing import preprocessing
from resatlas.exporting.saving import save_pretrained
from resatlas.nets.network import build
from resatlas.runs.store import Run
from tests.exporting.saved import changed, resealed
from tests.promptness import at_once


class Touching:
    """An object that creates a folder when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        """Create the folder."""
        return os.mkdir, (str(self.marker),)


def many_layers(table: dict[str, Any]) -> None:
    """A thousand equal units of two hundred bodies, described in a small file."""
    [same, *_] = table["plan"]["stages"][0]
    same["times"] = 1000
    same["unit"]["streams"][0]["bodies"] *= 200


def refused(folder: Path, kind: type[ResatlasError] = CheckpointError) -> str:
    """The one line of the refusal of a folder."""
    with pytest.raises(kind) as caught:
        from_pretrained(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_folder_with_files_is_not_changed(run: Run, tmp_path: Path) -> None:
    """Nothing is written into it or next to it, and it is refused before the run is read."""
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("mine", encoding="utf-8")
    for target, reason in (("full", "is not empty"), ("full/thesis.tex", "is a file")):
        for what in (run.folder, tmp_path / "nothing"):
            with pytest.raises(FolderError, match=reason):
                save_pretrained(what, tmp_path / target)
    assert [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*"))] == [
        "full",
        "full/thesis.tex",
    ]


def test_an_empty_folder_is_accepted(run: Run, tmp_path: Path) -> None:
    """It becomes the folder of the saved network."""
    (tmp_path / "empty").mkdir()
    save_pretrained(run.folder, tmp_path / "empty")
    from_pretrained(tmp_path / "empty")


@pytest.mark.parametrize("name", ["save_weights", "write_json", "write_text", "from_pretrained"])
def test_a_failure_leaves_nothing(name: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the disk is full, neither the folder nor a draft of it remains."""

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(saving, name, full)
    with pytest.raises(FolderError, match="cannot be written: no space left on device"):
        save_pretrained(run.folder, tmp_path / "saved")
    assert list(tmp_path.iterdir()) == []


def test_invalid_sources_are_not_saved(tmp_path: Path) -> None:
    """Missing and damaged runs, other objects, and networks without finite weights are refused."""
    nothing = build("resnet-20", classes=2, device="meta")
    broken = build("resnet:depth=8,base=2", classes=2, seed=0)
    with torch.no_grad():
        next(broken.parameters()).fill_(float("nan"))
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "experiment.json").write_text("{}", encoding="utf-8")
    cases: list[tuple[Any, type[ResatlasError], str]] = [
        (tmp_path / "nowhere", FolderError, "is not a run folder"),
        (tmp_path / "begun", FolderError, "a plan has schema 1"),
        (3, UsageError, "got a int"),
        (nothing, CheckpointError, "has no weights to save"),
        (broken, CheckpointError, "NaN or infinity"),
    ]
    for what, kind, reason in cases:
        with pytest.raises(kind, match=reason):
            save_pretrained(what, tmp_path / "saved")
    assert [path.name for path in tmp_path.iterdir()] == ["begun"]


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_missing_file_is_named(name: str, saved: Path) -> None:
    """A missing folder is named, too."""
    (saved / name).unlink()
    assert f"it has no file {name}" in refused(saved, FolderError)
    assert "it does not exist" in refused(saved / "nowhere", FolderError)


def test_the_folder_of_a_run_is_refused(run: Run) -> None:
    """The refusal says how to save the run."""
    assert "; it is a run: save it with resatlas.save_pretrained" in refused(run.folder, FolderError)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_links_out_of_the_folder_are_not_followed(name: str, saved: Path, tmp_path: Path) -> None:
    """They are refused even if the file is the right one; a link inside the folder is followed."""
    (saved / name).rename(saved / "inside")
    (saved / name).symlink_to("inside")
    from_pretrained(saved)
    (saved / "inside").rename(tmp_path / "outside")
    (saved / name).unlink()
    (saved / name).symlink_to(tmp_path / "outside")
    assert "is a link to a place outside the folder" in refused(saved, FolderError)


@pytest.mark.parametrize("keep", [0, 7, 100, -10])
def test_truncated_weights_are_refused(keep: int, saved: Path) -> None:
    """The sha256 is wrong; with an updated sha256, the file is incomplete."""
    file = saved / "model.safetensors"
    file.write_bytes(file.read_bytes()[:keep])
    assert "damaged or was changed" in refused(saved)
    resealed(saved)
    assert "is damaged or not a safetensors file" in refused(saved)


def test_one_flipped_bit_is_detected(saved: Path) -> None:
    """The last bit of the weights counts."""
    file = saved / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert "damaged or was changed" in refused(saved)


def test_other_weights_are_refused(saved: Path) -> None:
    """The refusal names the first wrong tensor, even if the sha256 is updated."""
    weights = load_file(saved / "model.safetensors")
    del weights["head.linear.bias"]
    save_file(weights, saved / "model.safetensors")
    resealed(saved)
    assert '"head.linear.bias" is missing, not 4' in refused(saved)


def test_a_torch_file_in_their_place_runs_no_code(saved: Path, tmp_path: Path) -> None:
    """Its code is not run, even if the sha256 is updated."""
    for archive in (True, False):
        torch.save(
            {"stem.conv.weight": Touching(tmp_path / "marker")},
            saved / "model.safetensors",
            _use_new_zipfile_serialization=archive,
        )
        resealed(saved)
        assert "not a safetensors file" in refused(saved)
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize("schema", [0, 2, "1", None])
def test_other_schemas_are_refused(schema: object, saved: Path) -> None:
    """The refusal contains the known schema and that of the file."""
    changed(saved, lambda table: table.update(schema=schema))
    assert f'a saved network has schema 1; this has "{schema}"' in refused(saved)


CHANGES: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "many classes": (lambda t: t.update(classes=10**9), "0 to 1,000,000 classes"),
    "more classes": (lambda t: t.update(classes=5), "its plan is for 4 classes"),
    "no classes": (lambda t: t.update(classes=-1), "0 to 1,000,000 classes"),
    "endless classes": (lambda t: t.update(classes=10**30), "at most 24 digits"),
    "planned classes": (
        lambda t: (t.update(classes=9, class_names=None), t["plan"].update(classes=9)),
        "not 9 classes",
    ),
    "large image": (lambda t: t.update(image=[1, 10**9, 10**9]), "pixels a side"),
    "fewer names": (lambda t: t.update(class_names=["a"]), "4 classes need as many names"),
    "names of names": (lambda t: t.update(class_names=[["a"]] * 4), "expected a text, got a list"),
    "unknown key": (lambda t: t.update(parametres=1), 'did you mean "parameters"'),
    "missing key": (lambda t: t.pop("layout"), 'key "layout" is missing'),
    "code": (lambda t: t.update(normalisation={"kind": "os.system", "mean": "id"}), "no kind"),
    "sha256": (lambda t: t.update(weights_sha256="../../etc/passwd"), "64 hexadecimal digits"),
    "parameters": (lambda t: t.update(parameters=1), "1,266 parameters"),
    "ragged mean": (lambda t: t["normalisation"].update(mean=[[[0.5], [0.5, 0.5]]]), "the same number of rows"),
    "no mean": (lambda t: t["normalisation"].update(mean=[]), "the same number of rows"),
    "endless mean": (lambda t: t["normalisation"].update(mean=[[[float("inf")]]]), "finite numbers"),
    "std": (lambda t: t["normalisation"].update(std=[[[0]]]), "a std must be above 0"),
    "huge mean": (lambda t: t["normalisation"].update(mean=[[[10**400]]]), "does not describe a network"),
    "view": (lambda t: t["view"].update(shorter="1/9"), "shares from 1 to 16"),
    "error": (lambda t: t["training"]["test"].update(error_percent=-5), "an error from 0 to 100"),
    "no plan": (lambda t: t.update(plan=[]), "a plan has schema 1"),
    "stems": (lambda t: t["plan"].update(stems=10**9), "1 to 64 stems"),
    "units": (lambda t: t["plan"]["stages"][0].extend(t["plan"]["stages"][0] * 2001), "at most 2,000 units"),
    "layers": (many_layers, "at most 200,000 layers"),
    "streams": (lambda t: t["plan"]["stages"][0][0]["unit"].update(streams=[]), "does not describe a network"),
    "kernel": (lambda t: t["plan"]["stem"][0]["op"].update(kernel=10**6), "is 2x1x3x3, not 2x1x1000000x1000000"),
    "even kernel": (lambda t: t["plan"]["stem"][0]["op"].update(kernel=10**12), "no network can be built"),
    "groups": (lambda t: t["plan"]["stem"][0]["op"].update(groups=0), "no network can be built"),
    "role": (lambda t: t["plan"]["stem"][0].update(role="../../x"), "no network can be built"),
    "width": (lambda t: t["plan"]["stem"][0].update(output=[10**12, 8, 8]), "no network can be built"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_malicious_config_is_refused_at_once(name: str, saved: Path) -> None:
    """The refusal is one line and takes no time."""
    change, reason = CHANGES[name]
    changed(saved, change)
    with at_once():
        assert reason in refused(saved)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not valid JSON"),
        ("[" * 1_000_000, "not valid JSON"),
        ("[1]", "not a table but a list"),
        ('{"schema": 1, "schema": 1}', 'key "schema" is given twice'),
        ('{"schema": 1, "plan": ' + "[" * 900 + "]" * 900 + "}", "a plan has schema 1"),
        ('{"schema": ' + "9" * 5000 + "}", "not valid JSON"),
        (" " * (LARGEST + 1), "larger than the limit of 10,000,000 bytes"),
    ],
    ids=("empty", "deep", "list", "twice", "deep plan", "digits", "large"),
)
def test_invalid_configs_are_refused(text: str, reason: str, saved: Path) -> None:
    """The refusal is one line, and nothing of the config is used."""
    (saved / "config.json").write_text(text, encoding="utf-8")
    assert reason in refused(saved)


def test_a_design_of_the_config_is_never_opened(saved: Path, tmp_path: Path) -> None:
    """Only the plan is built, whatever the name of the design, so that nothing outside the folder is read."""
    changed(saved, lambda table: table.update(design=f"{tmp_path}/trap.toml", family="no such family"))
    (tmp_path / "trap.toml").mkdir()
    from_pretrained(saved)
    assert read_config(saved).design == f"{tmp_path}/trap.toml"


def test_a_normalisation_of_other_images_is_refused(saved: Path) -> None:
    """Three means do not match a grey image."""
    changed(saved, lambda table: table["normalisation"].update(mean=[[[0.5]]] * 3))
    from_pretrained(saved)
    with pytest.raises(CheckpointError, match="its normalisation is not for images 1x8x8"):
        preprocessing(saved)


def test_class_names_with_markup_are_kept(saved: Path) -> None:
    """The config does not interpret them."""
    names = ["<script>", "../..", "=cmd()", "a\nb"]
    changed(saved, lambda table: table.update(class_names=names))
    assert read_config(saved).class_names == tuple(names)
    assert json.loads((saved / "config.json").read_text(encoding="utf-8"))["class_names"] == names
