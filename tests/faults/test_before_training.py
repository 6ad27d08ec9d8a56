"""Invalid input is refused before the folder of a run is created."""

import errno
import json
import os
import shutil
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch

from resatlas.analysis.probes import ProbeResult
from resatlas.cli.main import main
from resatlas.data import photograph, verifying
from resatlas.data.folder import folder
from resatlas.data.photograph import pixels
from resatlas.data.verifying import looked_at
from resatlas.designs import catalog as designs
from resatlas.errors import DataError, UsageError
from resatlas.evaluation import predictions
from resatlas.evaluation.portions import MOST, Portion, images_at_once
from resatlas.nets.network import Network
from resatlas.recipes.catalog import NAMED
from resatlas.runs.store import Run
from resatlas.studies import dissection, testing
from resatlas.studies.dissection import dissect
from resatlas.studies.single import carry_out, prepare
from resatlas.studies.subject import EvaluationOptions
from resatlas.studies.testing import evaluate
from resatlas.training.execution import Execution
from resatlas.training.session import UNWATCHED
from tests.data.pictures import picture, write, write_parts
from tests.training.small import EXPERIMENT, assert_same, carried_out, signalling

RECIPE = replace(EXPERIMENT.recipe, batch=4, epochs=2, validation=Fraction(0))
PHOTOGRAPHS = replace(EXPERIMENT, data="images:size=8", recipe=RECIPE)
SKIPPING = replace(PHOTOGRAPHS, unreadable="skip")
TRAIN = ("train", EXPERIMENT.design, "--data", "images:size=8", "--set", "batch=4", "--set", "validation=0")


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data set with four images per class and part in the new working folder."""
    monkeypatch.chdir(tmp_path)
    return write_parts(Path("images"), 4)


def stopped(experiment: Any, step: int = 3) -> Run:  # noqa: ANN401 - as carried_out
    """A run that a signal ended in its second epoch, with a checkpoint."""
    with pytest.raises(Exception, match="SIGTERM"):
        carried_out(Path("run"), experiment, watcher=signalling(step))
    return Run(Path("run"))


def test_a_broken_test_image_is_told_before_anything_is_begun(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All broken images are listed at once; no folder is created, and the command trains after their replacement."""
    broken = [images / "val/cat/1.png", images / "val/dog/2.png"]
    for file in broken:
        file.write_bytes(b"not an image")
    command = (*TRAIN, "--epochs", "1", "--out", "run", "--quiet")
    assert main(command) == 3
    line = capsys.readouterr().err
    assert line.startswith("DataError: 2 images of images:size=8 cannot be read: ")
    assert all(str(file) in line for file in broken)
    assert "--unreadable skip" in line
    assert not Path("run").exists()
    for file in broken:
        picture().save(file)
    assert main(command) == 0


def test_whose_images_are_opened_may_be_chosen(images: Path) -> None:
    """With --verify none the run starts and ends at the broken image; with all, the image is found before."""
    (images / "train/cat/0.png").write_bytes(b"not an image")
    with pytest.raises(DataError, match="1 image of images:size=8 cannot be read"):
        carry_out(prepare(PHOTOGRAPHS, out=Path("run"), execution=Execution(verify="all")), watcher=UNWATCHED)
    assert not Path("run").exists()
    with pytest.raises(DataError, match=r"replace the file or add --unreadable skip, then rerun the command"):
        carry_out(prepare(PHOTOGRAPHS, out=Path("run")), watcher=UNWATCHED)
    assert Path("run").exists()


def test_what_was_opened_once_is_remembered(tmp_path: Path, images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Images with the same path, size and times are not decoded again; broken ones are."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(verifying, "FRESH", 0)
    part = folder(images, size=8).read().test
    (images / "val/dog/3.png").write_bytes(b"not an image")
    decoded: list[int] = []

    def counted(content: bytes) -> Any:  # noqa: ANN401 - as the real one
        decoded.append(len(content))
        return pixels(content)

    monkeypatch.setattr(photograph, "pixels", counted)
    first = looked_at(part, depth="decoded", threads=2)  # type: ignore[arg-type]
    assert len(decoded) == 8
    assert set(first.unreadable) == {"dog/3.png"}
    again = looked_at(part, depth="decoded")  # type: ignore[arg-type]
    assert len(decoded) == 9  # the broken one
    assert again.fingerprint == first.fingerprint
    file = images / "val/cat/0.png"
    content, times = file.read_bytes(), file.stat()
    file.write_bytes(content[:-1] + b"\0")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    changed = looked_at(part, depth="decoded")  # type: ignore[arg-type]
    assert changed.fingerprint != first.fingerprint  # its size and time of modification are as before


def test_a_memory_that_cannot_be_kept_or_read_is_none(
    tmp_path: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the cache of the user is a file or is damaged, images are opened again."""
    monkeypatch.setattr(verifying, "FRESH", 0)
    part = folder(images, size=8).read().test
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    before = looked_at(part, depth="decoded")  # type: ignore[arg-type]
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    looked_at(part, depth="decoded")  # type: ignore[arg-type]
    [kept] = (tmp_path / "cache/resatlas/verified").iterdir()
    for text in ("[]", "{", '{"decoder": 1, "files": {"cat/0.png": [1]}}'):
        kept.write_text(text)
        assert looked_at(part, depth="decoded").fingerprint == before.fingerprint  # type: ignore[arg-type]


def test_a_run_goes_on_with_images_that_were_replaced(images: Path) -> None:
    """Started under "skip", replaced, continued with and without it: the run is equal, and the changes are recorded."""
    file = images / "train/cat/2.png"
    file.write_bytes(b"not an image")
    (images / "val/dog/1.png").write_bytes(b"")
    stopped(SKIPPING)
    listed = json.loads(Path("run/unreadable.json").read_text())
    assert {(entry["part"], entry["file"]) for entry in listed} == {("train", "cat/2.png"), ("test", "dog/1.png")}
    shutil.copytree("run", "other")
    picture(500).save(file)
    notes: list[str] = []
    carried_out(Path("run"), SKIPPING, resume="auto", watcher=replace(UNWATCHED, on_note=notes.append))
    assert any("replaced, and used from now on: train/cat/2.png" in note for note in notes)
    run = Run(Path("run"))
    assert run.record().written["departures"]["mended_images"] == 1
    assert run.record().written["departures"]["unreadable_images"] == {"train": 0, "validation": 0, "test": 1}
    assert run.record().written["test"]["images"] == 7
    [amendment] = json.loads(Path("run/amended.json").read_text())
    assert (amendment["epoch"], amendment["mended"]) == (1, ["train/cat/2.png"])
    assert [result.standing for result in evaluate([Path("run")])] == ["own"]

    with pytest.raises(DataError, match=r"val/dog/1\.png \(an empty file\)"):
        carried_out(Path("other"), PHOTOGRAPHS, resume="auto")
    picture(501).save(images / "val/dog/1.png")
    other = carried_out(Path("other"), PHOTOGRAPHS, resume="auto")
    assert other.record().written["test"]["images"] == 8
    assert json.loads(Path("other/amended.json").read_text())[-1]["unreadable"] == "error"
    [result] = evaluate([Path("run")])  # of which a test image is replaced since
    assert (result.standing, result.values["images"]) == ("mended", 8)
    assert result.file.name != "predictions.csv"


def test_an_image_that_ends_a_training_may_be_replaced(images: Path) -> None:
    """After a checkpoint an image breaks: once it is replaced, or under "skip", the run is resumed from there."""
    recipe = replace(NAMED["fb-imagenet"], batch=7, norm_group=None, epochs=8, leftover="dropped")
    experiment = replace(PHOTOGRAPHS, recipe=recipe)
    file = images / "train/dog/0.png"
    file.write_bytes(b"not an image")
    for seed in range(20):
        shutil.rmtree("run", ignore_errors=True)
        with pytest.raises(DataError, match=r"dog/0\.png cannot be read as an image"):
            carried_out(Path("run"), replace(experiment, seed=seed))
        if Run(Path("run")).metrics:
            break
    shutil.copytree("run", "other")
    picture(600).save(file)
    carried_out(Path("run"), replace(experiment, seed=seed), resume="auto")
    assert json.loads(Path("run/amended.json").read_text())[0]["mended"] == ["train/dog/0.png"]
    file.write_bytes(b"not an image")
    other = carried_out(Path("other"), replace(experiment, seed=seed, unreadable="skip"), resume="auto")
    assert other.record().written["departures"]["substituted_images"] >= 1


def test_everything_that_was_left_out_is_counted(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The closing lines, results.json, a list and the card name broken images, skipped files and empty classes."""
    for k in range(3):
        (images / "train/cat" / f"{k}.png").write_bytes(b"not an image")
    for k in range(4):
        (images / "val/dog" / f"{k}.png").unlink()
    (images / "val/cat/0.png").write_bytes(b"not an image")
    write(images / "train/dog/4.png", 9)
    assert main((*TRAIN, "--epochs", "2", "--unreadable", "skip", "--out", "run")) == 0
    run, lines = Run(Path("run")), capsys.readouterr().out.splitlines()
    departures = run.record().written["departures"]
    shown = sum(row["substituted_images"] for row in run.metrics)
    assert departures == {
        "unreadable_images": {"train": 3, "validation": 0, "test": 1},
        "substituted_images": shown,
        "mended_images": 0,
        "left_over_images": 1,
        "classes_without_images": {"validation": [], "test": ["dog"]},
        "skipped_steps": 0,
        "overflows": 0,
    }
    assert 4 <= shown <= 6  # three of nine, of which one is left over, in two epochs
    assert len(json.loads(Path("run/unreadable.json").read_text())) == 4
    words = f"3 training images cannot be read; other images of the class replaced them {shown} times"
    assert any(line.startswith(words) for line in lines)
    assert any(line.startswith("1 test image cannot be read") for line in lines)
    assert "each epoch leaves out 1 image, different ones each time: they do not fill a batch" in lines
    assert "test has no images of 1 class: dog" in lines
    from resatlas.exporting.saving import save_pretrained

    save_pretrained("run", "saved")
    assert "3 training images cannot be read" in Path("saved/README.md").read_text()


def test_counts_of_substitutes_survive_a_stop(images: Path) -> None:
    """An interrupted epoch counts substitutes like an uninterrupted one."""
    (images / "train/cat/2.png").write_bytes(b"not an image")
    run = stopped(replace(SKIPPING, recipe=replace(RECIPE, batch=2)), step=6)
    carried_out(run.folder, replace(SKIPPING, recipe=replace(RECIPE, batch=2)), resume="auto")
    assert [row["substituted_images"] for row in run.metrics] == [1, 1]
    assert_same(carried_out(Path("straight"), replace(SKIPPING, recipe=replace(RECIPE, batch=2))), run)


@pytest.mark.parametrize("resume", [(), ("--resume", "auto")])
def test_a_run_that_has_trained_nothing_begins_anew(
    images: Path, capsys: pytest.CaptureFixture[str], resume: tuple[str, ...]
) -> None:
    """After a change of image, policy, design or seed, one line says so."""
    (images / "train/cat/2.png").write_bytes(b"not an image")
    command = (*TRAIN, "--epochs", "1", "--out", "run")
    assert main((*command, "--quiet")) == 3
    assert not list(Path("run/checkpoints").iterdir())
    picture(800).save(images / "train/cat/2.png")
    capsys.readouterr()
    changed = ["plain:depth=8,base=2" if word == EXPERIMENT.design else word for word in command]
    assert main((*changed, "--seed", "3", *resume)) == 0
    err = capsys.readouterr().err.splitlines()
    assert "the run in run has no checkpoint yet; training starts over" in err
    assert Run(Path("run")).beginning().experiment.seed == 3


def test_a_folder_with_files_of_others_is_not_cleared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders with other files or a trained run are still refused."""
    monkeypatch.chdir(tmp_path)
    run = carried_out(Path("run"), replace(EXPERIMENT, recipe=replace(EXPERIMENT.recipe, epochs=1)))
    (run.folder / "results.json").unlink()
    (run.folder / "predictions.csv").unlink()
    with pytest.raises(UsageError, match="already holds a run"):
        prepare(EXPERIMENT, out=run.folder)
    shutil.rmtree(run.checkpoints)
    (run.folder / "metrics.jsonl").unlink()
    (run.folder / "SEAL.json").unlink(missing_ok=True)
    (run.folder / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="already holds a run"):
        prepare(EXPERIMENT, out=run.folder)
    (run.folder / "notes.txt").unlink()
    assert carried_out(run.folder).finished


def test_few_images_can_be_trained_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With five images of each class and a class of one, classes without a validation image are named."""
    monkeypatch.chdir(tmp_path)
    for part in ("train", "val"):
        for k in range(5):
            for i in range(1 if (part, k) == ("train", 4) else 5):
                write(Path("images") / part / f"class{k}" / f"{i}.png", 50 * k + i)
    experiment = replace(PHOTOGRAPHS, recipe=replace(RECIPE, validation=Fraction(1, 8), epochs=1))
    run = carried_out(Path("run"), experiment)
    assert (run.record().written["train"]["images"], run.record().written["validation"]["images"]) == (18, 3)
    assert run.record().written["departures"]["classes_without_images"]["validation"] == ["class3", "class4"]


class Scarce(torch.nn.Module):
    """A network with memory for a limited number of images."""

    def __init__(self, most: int, error: BaseException) -> None:
        super().__init__()
        self.most, self.error, self.sizes = most, error, list[int]()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """The sums of the images."""
        self.sizes.append(len(images))
        if len(images) > self.most:
            raise self.error
        return images.flatten(1).sum(dim=1, keepdim=True)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:128] . DefaultCPUAllocator: can't allocate memory: you tried"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
    ],
)
def test_a_test_is_halved_where_memory_runs_out(error: BaseException) -> None:
    """Each halving is noted once; results are equal; later batches start with the size that fitted."""
    notes: list[str] = []
    network, portion = Scarce(5, error), Portion(size=16, note=notes.append)
    images = torch.arange(16 * 4.0).view(16, 1, 2, 2)
    for _ in range(2):
        assert portion.apply(network, images).equal(images.flatten(1).sum(dim=1, keepdim=True))
    assert network.sizes == [16, 8, 4, 4, 4, 4, 4, 4, 4, 4]
    assert portion.size == 4
    assert notes == [
        "too little memory for 16 test images at once; 8 at once from here on",
        "too little memory for 8 test images at once; 4 at once from here on",
    ]


def test_other_errors_and_single_images_are_not_halved() -> None:
    """Other errors are not caught, and a single image cannot be halved."""
    images = torch.zeros(4, 1, 2, 2)
    for network, kind in ((Scarce(2, RuntimeError("shapes")), RuntimeError), (Scarce(0, MemoryError()), MemoryError)):
        with pytest.raises(kind):
            Portion(size=4).apply(network, images)


def test_a_test_takes_no_more_than_training_did() -> None:
    """256 for small networks; less for large networks trained with a small batch, and for photographs."""
    small = designs.plan(EXPERIMENT.design, classes=4)
    large = designs.plan("resnet-50")
    quick = NAMED["quick"]
    assert images_at_once(small, replace(quick, batch=1), photographs=False) == MOST
    assert images_at_once(large, replace(quick, batch=256), photographs=True) == MOST
    assert images_at_once(large, replace(quick, batch=8), photographs=True) <= 32
    assert images_at_once(large, replace(quick, batch=256), photographs=True, processes=8) == 32
    group = replace(quick, batch=256, norm_group=2)
    assert images_at_once(large, group, photographs=True) < MOST


def scarce(monkeypatch: pytest.MonkeyPatch, most: int) -> list[int]:
    """Give networks memory for a limited number of images outside of training; returns the sizes of their calls."""
    real, sizes = Network.forward, list[int]()

    def forward(self: Network, images: torch.Tensor) -> torch.Tensor:
        if not torch.is_grad_enabled():
            sizes.append(len(images))
            if len(images) > most:
                raise MemoryError
        return real(self, images)

    monkeypatch.setattr(Network, "forward", forward)
    return sizes


def test_a_training_ends_well_with_little_memory_for_its_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Halving is noted, also in a later test and a dissection; --test-batch sets another size."""
    monkeypatch.chdir(tmp_path)
    usual = carried_out(Path("usual"))
    notes: list[str] = []
    sizes = scarce(monkeypatch, 10)
    run = carried_out(Path("run"), watcher=replace(UNWATCHED, on_note=notes.append))
    assert "too little memory for 12 test images at once; 6 at once from here on" in notes
    assert run.record().written["test"] == pytest.approx(usual.record().written["test"], rel=1e-5)
    [result] = evaluate([run.folder])
    assert "at once from here on" in result.note
    assert result.same == "yes"
    sizes.clear()
    evaluate([run.folder], EvaluationOptions(test_batch=7))
    assert max(sizes) == 7
    assert json.loads((run.folder / "env.json").read_text())["execution"]["test_batch"] == MOST
    for size in (0, -1, 10**6):
        with pytest.raises(UsageError, match="--test-batch must be between 1 and 65,536"):
            evaluate([run.folder], EvaluationOptions(test_batch=size))
        with pytest.raises(UsageError, match="--test-batch must be between 1 and 65,536"):
            dissect(run.folder, "lesion", test_batch=size)


def test_a_dissection_is_halved_where_memory_runs_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer says so."""
    run = carried_out(tmp_path / "run")
    real = dissection._answer

    def asked(question: str, subjects: Any, *rest: Any, **more: Any) -> ProbeResult:  # noqa: ANN401 - as the real one
        if subjects[0].batch_size > 8:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes")
        return real(question, subjects, *rest, **more)

    monkeypatch.setattr(dissection, "_answer", asked)
    answer = dissect(run.folder, "lesion", test_batch=32)
    assert [note for note in answer.notes if "Out of memory" in note] == [
        "Out of memory with a batch of 32 images; repeated with 16.",
        "Out of memory with a batch of 16 images; repeated with 8.",
    ]


@pytest.fixture
def closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished run in a folder without write permission, as on a read-only file system."""
    monkeypatch.chdir(tmp_path)
    run = carried_out(Path("run"))
    real = os.access

    def access(path: Path, mode: int) -> bool:
        return real(path, mode) and not (mode & os.W_OK and str(path) == "run")

    monkeypatch.setattr(os, "access", access)

    def refuse(file: Path, *_: object, **__: object) -> None:
        if file.is_relative_to("run"):
            raise OSError(errno.EROFS, "Read-only file system", str(file))

    for module, name in ((predictions, "write_predictions"), (dissection, "make_folder")):
        genuine = getattr(module, name)

        def guarded(file: Path, *rest: object, genuine: Any = genuine, **more: object) -> object:  # noqa: ANN401
            refuse(file)
            return genuine(file, *rest, **more)

        monkeypatch.setattr(module, name, guarded)
    return run.folder


def test_figures_are_given_where_nothing_can_be_written(closed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 0, the results, and a line that no file is written; --out gives another folder."""
    assert main(("evaluate", str(closed), "--norm-statistics", "reestimated", "--json")) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["predictions"] is None
    assert "no file written: run cannot be written (read-only file system); choose a folder with" in found["note"]
    assert main(("dissect", str(closed), "explain")) == 0
    told = capsys.readouterr().out
    assert "No file written: run cannot be written; choose a folder with --out." in told
    assert not (closed / "dissections").exists()
    assert main(("evaluate", str(closed), "--norm-statistics", "reestimated", "--out", "elsewhere", "--quiet")) == 0
    assert main(("dissect", str(closed), "explain", "--out", "elsewhere", "--quiet")) == 0
    names = {str(file.relative_to("elsewhere")) for file in Path("elsewhere").rglob("*") if file.is_file()}
    assert {"predictions-reestimated-centre.csv", "dissections/explain.json"} <= names
    assert any(name.startswith("dissections/explain/") for name in names)


def test_a_folder_for_the_answer_that_cannot_be_is_told_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Replace a folder by a file."""
    monkeypatch.chdir(tmp_path)
    run = carried_out(Path("run"), replace(EXPERIMENT, recipe=replace(EXPERIMENT.recipe, epochs=1)))
    Path("file").touch()
    monkeypatch.setattr(testing, "_subjects", None)
    monkeypatch.setattr(dissection, "_subject", None)
    with pytest.raises(UsageError, match="cannot be made: file is not a folder"):
        evaluate([run.folder], EvaluationOptions(out=Path("file/x")))
    with pytest.raises(UsageError, match="cannot be made: file is not a folder"):
        dissect("run", "flow", out="file/x")
