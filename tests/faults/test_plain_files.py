"""Folders of other people: nothing outside of them is written or removed, and no file in them blocks a reader."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from resatlas.cli.main import main
from resatlas.errors import CheckpointError, FolderError
from resatlas.runs import files
from resatlas.runs.files import make_folder, read_json, remove, sweep, write_csv, write_json, write_text
from resatlas.runs.seal import SEALED
from resatlas.training.checkpoint import save
from tests.comparing.folders import EQUAL, seal, write_run, write_runs
from tests.training.small import stepped

MINE = "mine, and nobody else's"


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A file outside the run."""
    file = tmp_path / "outside" / "thesis.tex"
    file.parent.mkdir()
    file.write_text(MINE)
    return file


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The folder of a finished run."""
    return write_run(tmp_path / "run", EQUAL[0][0], seed=0, wrong=[True, False]).folder


def test_no_draft_has_a_name_that_can_be_guessed(run: Path, victim: Path) -> None:
    """A link in the place of an earlier version's draft is not written through, and the file is replaced."""
    for name in ("predictions.csv", "status.json"):
        (run / f".{name}.{os.getpid()}").symlink_to(victim)
    write_csv(run / "predictions.csv", ("id",), [(1,)], within=run)
    write_json(run / "status.json", {}, within=run)
    assert victim.read_text() == MINE
    assert (run / "predictions.csv").read_text() == "id\n1\n"


def test_a_draft_that_exists_is_not_followed(run: Path, victim: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even with a known name, a draft is created anew or not at all."""
    monkeypatch.setattr(files, "token_hex", zeros)
    (run / f".status.json.{'0' * 16}.draft").symlink_to(victim)
    with pytest.raises(OSError, match="File exists"):
        write_json(run / "status.json", {}, within=run)
    assert victim.read_text() == MINE


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_link_is_not_written_through(run: Path, victim: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Links in place of a file or its folder are refused; the message names both."""
    if kind == "file":
        (run / "dissections").mkdir()
        (run / "dissections" / "thesis.tex").symlink_to(victim)
    else:
        (run / "dissections").symlink_to(victim.parent)
    with pytest.raises(FolderError, match=r"(thesis\.tex|dissections) is a link.* inside a run"):
        write_text(run / "dissections" / "thesis.tex", "theirs", within=run)
    with pytest.raises(FolderError, match="does not lie in"):
        write_text(run / ".." / "outside" / "thesis.tex", "theirs", within=run)
    if kind == "folder":
        with pytest.raises(FolderError, match="dissections is a link"):
            make_folder(run / "dissections", within=run)
        assert main(["dissect", str(run), "capacity"]) == 0, "the figures are given"
        assert "No file written" in capsys.readouterr().out
    assert victim.read_text() == MINE
    assert list(victim.parent.iterdir()) == [victim]


def test_foreign_checkpoints_are_not_removed(run: Path, victim: Path) -> None:
    """If `checkpoints` is a link, a save is refused, and nothing below the link is kept or removed."""
    for step in (1, 2, 3):
        (victim.parent / f"step-{step:08d}").mkdir()
    remove(run / "checkpoints", within=run)
    (run / "checkpoints").symlink_to(victim.parent)
    with pytest.raises((CheckpointError, FolderError), match="checkpoints is a link"):
        save(stepped(1), run / "checkpoints", experiment="0" * 64)
    with pytest.raises(FolderError, match="checkpoints is a link"):
        remove(run / "checkpoints" / "step-00000001", within=run)
    assert len(list(victim.parent.iterdir())) == 4


def test_a_link_is_removed_and_not_what_it_names(run: Path, victim: Path) -> None:
    """A link in place of a draft."""
    (run / f".status.json.{'a' * 16}.draft").symlink_to(victim)
    (run / ".metrics.jsonl.77").symlink_to(victim)
    sweep(run)
    assert not list(run.glob(".*"))
    assert victim.read_text() == MINE


@pytest.mark.parametrize("name", ["\udcff.png", "a\ud800b", "café \udce9"])
def test_names_that_are_no_text_are_written_and_come_back(tmp_path: Path, name: str) -> None:
    """In JSON they are restored exactly; in other texts they have the same escapes."""
    write_json(tmp_path / "a.json", {"name": name})
    assert read_json(tmp_path / "a.json") == {"name": name}
    assert json.loads((tmp_path / "a.json").read_bytes()) == {"name": name}
    write_csv(tmp_path / "a.csv", ("id",), [(name,)])
    assert (tmp_path / "a.csv").read_text(encoding="utf-8").splitlines()[1] == files.escaped(name)


def zeros(_: int) -> str:
    """Predictable random digits."""
    return "0" * 16


def pipe(file: Path) -> None:
    """Create a pipe there."""
    os.mkfifo(file)


def device(file: Path) -> None:
    """Create a device there."""
    file.symlink_to("/dev/zero")


ABSENT = ("normalisation.safetensors", "amended.json", "unreadable.json", "detections.json")
"""Files that are missing in the runs of these tests."""


@pytest.mark.parametrize("name", [*(name for name in SEALED if name not in ABSENT), "SEAL.json", "status.json"])
@pytest.mark.parametrize("what", [pipe, device, Path.mkdir])
def test_no_reader_waits(run: Path, name: str, what: Callable[[Path], None]) -> None:
    """A pipe, a device or a folder in place of a file is refused in a line with its name."""
    (run / name).unlink()
    what(run / name)
    code = main(["compare", str(run)])
    assert code == 2


def test_a_page_is_not_written_through_a_draft(tmp_path: Path, victim: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same in a shared folder."""
    write_runs(tmp_path / "runs", EQUAL[:1])
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / f".page.html.{os.getpid()}").symlink_to(victim)
    (shared / f".page.html.{'0' * 16}.draft").symlink_to(victim)
    assert main(["report", str(tmp_path / "runs"), "--out", str(shared / "page.html"), "--quiet"]) == 0
    monkeypatch.setattr(files, "token_hex", zeros)
    assert main(["report", str(tmp_path / "runs"), "--out", str(shared / "page.html"), "--quiet"]) == 2
    assert victim.read_text() == MINE


def test_a_seal_is_no_link_either(run: Path, victim: Path) -> None:
    """The helper of these tests makes the same seal as the program."""
    (run / "SEAL.json").unlink()
    (run / "SEAL.json").symlink_to(victim)
    with pytest.raises(FolderError, match=r"SEAL\.json is a link"):
        seal(run)
    assert victim.read_text() == MINE
