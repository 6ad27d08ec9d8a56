"""Folders that cannot be written, and folders that are not what they say."""

import json
import os
import time
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


class Touching:
    """What touches a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        """Touch it."""
        return os.mkdir, (str(self.marker),)


def many_layers(table: dict[str, Any]) -> None:
    """A thousand equal units of two hundred bodies, in a small file."""
    [same, *_] = table["plan"]["stages"][0]
    same["times"] = 1000
    same["unit"]["streams"][0]["bodies"] *= 200


def refused(folder: Path, kind: type[ResatlasError] = CheckpointError) -> str:
    """The one line with which a folder is refused."""
    with pytest.raises(kind) as caught:
        from_pretrained(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_an_occupied_folder_stays_as_it_is(run: Run, tmp_path: Path) -> None:
    """Nothing is written into it or beside it, and it is refused before the run is looked at."""
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("mine", encoding="utf-8")
    for target, reason in (("full", "holds files already"), ("full/thesis.tex", "is a file")):
        for what in (run.folder, tmp_path / "nothing"):
            with pytest.raises(FolderError, match=reason):
                save_pretrained(what, tmp_path / target)
    assert [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*"))] == [
        "full",
        "full/thesis.tex",
    ]


def test_an_empty_folder_is_taken(run: Run, tmp_path: Path) -> None:
    """It becomes the saved network."""
    (tmp_path / "empty").mkdir()
    save_pretrained(run.folder, tmp_path / "empty")
    from_pretrained(tmp_path / "empty")


@pytest.mark.parametrize("name", ["save_weights", "write_json", "write_text", "from_pretrained"])
def test_a_failure_leaves_nothing(name: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever the disk is full, there is neither a folder nor a draft of it."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(saving, name, full)
    with pytest.raises(FolderError, match="cannot be written: no space left on device"):
        save_pretrained(run.folder, tmp_path / "saved")
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_trained_is_not_saved(tmp_path: Path) -> None:
    """No run, a damaged one, no network, a network without weights, and one whose weights are not finite."""
    nothing = build("resnet-20", classes=2, device="meta")
    broken = build("resnet:depth=8,base=2", classes=2, seed=0)
    with torch.no_grad():
        next(broken.parameters()).fill_(float("nan"))
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "experiment.json").write_text("{}", encoding="utf-8")
    cases: list[tuple[Any, type[ResatlasError], str]] = [
        (tmp_path / "nowhere", FolderError, "is not a run folder"),
        (tmp_path / "begun", FolderError, "a plan has schema 1"),
        (3, UsageError, "of type int is neither"),
        (nothing, CheckpointError, "has no weights to save"),
        (broken, CheckpointError, "NaN or infinity"),
    ]
    for what, kind, reason in cases:
        with pytest.raises(kind, match=reason):
            save_pretrained(what, tmp_path / "saved")
    assert [path.name for path in tmp_path.iterdir()] == ["begun"]


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_missing_file_is_named(name: str, saved: Path) -> None:
    """As is a folder that is not there."""
    (saved / name).unlink()
    assert f"it has no file {name}" in refused(saved, FolderError)
    assert "it does not exist" in refused(saved / "nowhere", FolderError)


def test_a_run_is_told_from_a_saved_network(run: Run) -> None:
    """Who gives the run's own folder learns what to do with it."""
    assert "but a run, which resatlas.save_pretrained saves" in refused(run.folder, FolderError)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_links_out_of_the_folder_are_not_followed(name: str, saved: Path, tmp_path: Path) -> None:
    """Though the file there is the right one; a link inside the folder is."""
    (saved / name).rename(saved / "inside")
    (saved / name).symlink_to("inside")
    from_pretrained(saved)
    (saved / "inside").rename(tmp_path / "outside")
    (saved / name).unlink()
    (saved / name).symlink_to(tmp_path / "outside")
    assert "is a link out of its folder" in refused(saved, FolderError)


@pytest.mark.parametrize("keep", [0, 7, 100, -10])
def test_truncated_weights_are_refused(keep: int, saved: Path) -> None:
    """By their sha256; and with a forged one by what they lack."""
    file = saved / "model.safetensors"
    file.write_bytes(file.read_bytes()[:keep])
    assert "damaged or was changed" in refused(saved)
    resealed(saved)
    assert "is damaged or no safetensors file" in refused(saved)


def test_one_flipped_bit_is_found(saved: Path) -> None:
    """The last of the weights."""
    file = saved / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert "damaged or was changed" in refused(saved)


def test_other_weights_are_refused(saved: Path) -> None:
    """With the first tensor that is not the network's, even where they are sealed."""
    weights = load_file(saved / "model.safetensors")
    del weights["head.linear.bias"]
    save_file(weights, saved / "model.safetensors")
    resealed(saved)
    assert '"head.linear.bias" is missing, not 4' in refused(saved)


def test_a_torch_file_in_their_place_runs_no_code(saved: Path, tmp_path: Path) -> None:
    """The file that it would make is not made, sealed or not."""
    for archive in (True, False):
        torch.save(
            {"stem.conv.weight": Touching(tmp_path / "marker")},
            saved / "model.safetensors",
            _use_new_zipfile_serialization=archive,
        )
        resealed(saved)
        assert "no safetensors file" in refused(saved)
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize("schema", [0, 2, "1", None])
def test_other_schemas_are_refused(schema: object, saved: Path) -> None:
    """With the schema that is read and the one that was found."""
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
    "fewer names": (lambda t: t.update(class_names=["a"]), "have as many names"),
    "names of names": (lambda t: t.update(class_names=[["a"]] * 4), "expected a text"),
    "unknown key": (lambda t: t.update(parametres=1), 'did you mean "parameters"'),
    "missing key": (lambda t: t.pop("layout"), 'key "layout" is missing'),
    "code": (lambda t: t.update(normalisation={"kind": "os.system", "mean": "id"}), "no kind"),
    "sha256": (lambda t: t.update(weights_sha256="../../etc/passwd"), "64 hexadecimal digits"),
    "parameters": (lambda t: t.update(parameters=1), "1,266 parameters"),
    "ragged mean": (lambda t: t["normalisation"].update(mean=[[[0.5], [0.5, 0.5]]]), "the same rows"),
    "no mean": (lambda t: t["normalisation"].update(mean=[]), "the same rows"),
    "endless mean": (lambda t: t["normalisation"].update(mean=[[[float("inf")]]]), "finite numbers"),
    "std": (lambda t: t["normalisation"].update(std=[[[0]]]), "a std lies above 0"),
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
def test_a_config_of_malice_is_refused_at_once(name: str, saved: Path) -> None:
    """In one line and a second, whatever it claims."""
    change, reason = CHANGES[name]
    changed(saved, change)
    started = time.process_time()
    assert reason in refused(saved)
    assert time.process_time() - started < 1


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not valid JSON"),
        ("[" * 1_000_000, "not valid JSON"),
        ("[1]", "no table but a list"),
        ('{"schema": 1, "schema": 1}', 'key "schema" is given twice'),
        ('{"schema": 1, "plan": ' + "[" * 900 + "]" * 900 + "}", "a plan has schema 1"),
        ('{"schema": ' + "9" * 5000 + "}", "not valid JSON"),
        (" " * (LARGEST + 1), "larger than the limit of 10,000,000 bytes"),
    ],
    ids=("empty", "deep", "list", "twice", "deep plan", "digits", "large"),
)
def test_what_is_no_config_is_refused(text: str, reason: str, saved: Path) -> None:
    """In one line, before anything of it is used."""
    (saved / "config.json").write_text(text, encoding="utf-8")
    assert reason in refused(saved)


def test_a_design_of_the_config_is_never_opened(saved: Path, tmp_path: Path) -> None:
    """The plan is built, whatever the design is called, so that nothing outside the folder is read."""
    changed(saved, lambda table: table.update(design=f"{tmp_path}/trap.toml", family="no such family"))
    (tmp_path / "trap.toml").mkdir()
    from_pretrained(saved)
    assert read_config(saved).design == f"{tmp_path}/trap.toml"


def test_a_normalisation_of_other_images_is_refused(saved: Path) -> None:
    """Three means for a grey image."""
    changed(saved, lambda table: table["normalisation"].update(mean=[[[0.5]]] * 3))
    from_pretrained(saved)
    with pytest.raises(CheckpointError, match="its normalisation is not one of images 1x8x8"):
        preprocessing(saved)


def test_texts_are_all_that_is_kept_of_a_foreign_config(saved: Path) -> None:
    """Names with markup are names, in the config as well."""
    names = ["<script>", "../..", "=cmd()", "a\nb"]
    changed(saved, lambda table: table.update(class_names=names))
    assert read_config(saved).class_names == tuple(names)
    assert json.loads((saved / "config.json").read_text(encoding="utf-8"))["class_names"] == names
