"""Small files are replaced in one step, and broken ones are answered in words."""

import csv
import errno
import json
import os
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resatlas.errors import FolderError
from resatlas.runs.files import append_line, drafted, read_json, read_lines, write_csv, write_json, write_text


def names(folder: Path) -> list[str]:
    """Everything in a folder, hidden files included."""
    return sorted(each.name for each in folder.iterdir())


def test_json_comes_back(tmp_path: Path) -> None:
    """Unicode, nesting and numbers are kept, and no draft is left."""
    value = {"name": "ñ – 名", "rows": [1, 2.5, None, True], "deep": {"a": [3]}}
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json") == value
    assert names(tmp_path) == ["a.json"]


@pytest.mark.parametrize("broken", ["write", "replace"])
def test_a_failing_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    """On a full disk the old content stays, whole, and no draft beside it."""
    file = tmp_path / "a.json"
    write_json(file, "old")
    before = file.read_bytes()

    real = os.write
    begun: list[object] = []

    def full(handle: object, content: object, *_: object, **__: object) -> int:
        if broken == "write" and not begun:
            begun.append(handle)
            return real(handle, content[:3])  # type: ignore[arg-type, index]
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, broken, full)
    with pytest.raises(OSError, match="No space left"):
        write_json(file, "new")
    monkeypatch.undo()
    assert file.read_bytes() == before
    assert names(tmp_path) == ["a.json"]


def test_a_value_that_is_no_json_leaves_the_old_file(tmp_path: Path) -> None:
    """What cannot be written is not begun."""
    file = tmp_path / "a.json"
    write_json(file, "old")
    with pytest.raises(TypeError):
        write_json(file, {"now": object()})
    assert read_json(file) == "old"
    assert names(tmp_path) == ["a.json"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "no such file or directory"),
        (b"", "not valid JSON"),
        (b'{"a": 1', "not valid JSON"),
        (b"\xff\xfe", "not valid JSON"),
        (b"[" * 200_000, "not valid JSON"),
    ],
    ids=["missing", "empty", "cut off", "no text", "deep"],
)
def test_broken_json_is_answered_with_its_file(tmp_path: Path, content: bytes | None, reason: str) -> None:
    """One line: which file, and what is wrong with it."""
    file = tmp_path / "a.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(FolderError) as refused:
        read_json(file)
    assert str(refused.value) == f"{file}: {reason}"


def test_a_folder_is_no_json(tmp_path: Path) -> None:
    """A folder of the file's name is answered as a missing file is."""
    with pytest.raises(FolderError, match="a folder, not a regular file"):
        read_json(tmp_path)


def test_lines_are_added_and_come_back(tmp_path: Path) -> None:
    """One row a line, in order; a missing file has none."""
    file = tmp_path / "rows.jsonl"
    assert list(read_lines(file)) == []
    rows = [{"epoch": 1, "loss": 0.1}, {"epoch": 2, "loss": 1e-300}]
    for row in rows:
        append_line(file, row)
    assert list(read_lines(file)) == rows
    assert file.read_text().count("\n") == 2


def test_a_line_is_on_the_disk_before_what_follows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint that outlives a loss of power finds the rows of its epochs whole, and their file by its name."""
    file = tmp_path / "rows.jsonl"
    synced: list[tuple[int, str]] = []

    def sync(handle: int) -> None:
        synced.append((os.fstat(handle).st_ino, file.read_text()))

    monkeypatch.setattr(os, "fsync", sync)
    append_line(file, {"epoch": 1})
    append_line(file, {"epoch": 2})
    mine, folder = file.stat().st_ino, tmp_path.stat().st_ino
    first, both = '{"epoch": 1}\n', '{"epoch": 1}\n{"epoch": 2}\n'
    assert synced == [(mine, first), (folder, first), (mine, both)]


@pytest.mark.parametrize("cut", range(1, 15))
def test_a_last_line_that_was_cut_off_is_passed_over(tmp_path: Path, cut: int) -> None:
    """Wherever a crash ended it, the lines before are there."""
    file = tmp_path / "rows.jsonl"
    append_line(file, {"epoch": 1})
    append_line(file, {"epoch": 2})
    file.write_bytes(file.read_bytes()[:-cut])
    assert list(read_lines(file)) == [{"epoch": 1}] if cut > 1 else [{"epoch": 1}, {"epoch": 2}]


def test_lines_that_are_no_text_are_refused(tmp_path: Path) -> None:
    """By the name of their file."""
    file = tmp_path / "rows.jsonl"
    file.write_bytes(b'{"epoch": 1}\n\xff\n')
    with pytest.raises(FolderError, match=r"rows\.jsonl: not valid JSON lines"):
        list(read_lines(file))


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A loss of power leaves the old one or the new one, whole."""
    file = tmp_path / "a.json"
    write_json(file, "old")
    synced: list[tuple[str, str]] = []

    def sync(handle: int) -> None:
        synced.append((Path(f"/proc/self/fd/{handle}").read_text(), file.read_text()))

    monkeypatch.setattr(os, "fsync", sync)
    write_json(file, "new")
    assert synced == [('"new"\n', '"old"\n')]


@pytest.mark.parametrize("after", [b"", b'{"epoch": 3}\n'])
@pytest.mark.parametrize("broken", [b"{", b"", b"[1]", b"7", b"[" * 200_000])
def test_a_broken_line_is_refused(tmp_path: Path, broken: bytes, after: bytes) -> None:
    """By its number: neither it nor the rows after it are lost in silence."""
    file = tmp_path / "rows.jsonl"
    file.write_bytes(b'{"epoch": 1}\n' + broken + b"\n" + after)
    with pytest.raises(FolderError, match=r"rows\.jsonl: line 2 is not a row of JSON$"):
        list(read_lines(file))


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@sum", "=cmd()", "\t=1", "\r=1", '=HYPERLINK("x")'])
def test_no_cell_is_a_formula(tmp_path: Path, text: str) -> None:
    """A text that a spreadsheet would compute begins with an apostrophe."""
    write_csv(tmp_path / "a.csv", ("a", "b"), [(text, 1)])
    [_, row] = csv.reader(StringIO((tmp_path / "a.csv").read_bytes().decode(), newline=""))
    assert row == [f"'{text}", "1"]


def test_numbers_and_other_texts_stay(tmp_path: Path) -> None:
    """A negative number is no formula, and a sign inside a text is none."""
    rows = [(-1, -0.5, "a-1", "7 = 7", "", "e@x", "ñ")]
    write_csv(tmp_path / "a.csv", "abcdefg", rows)
    assert (tmp_path / "a.csv").read_text() == "a,b,c,d,e,f,g\n-1,-0.5,a-1,7 = 7,,e@x,ñ\n"


@given(st.lists(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=2, max_size=2), max_size=5))
def test_every_table_comes_back_but_for_apostrophes(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]]
) -> None:
    """Commas, quotes and line breaks in cells are kept."""
    file = tmp_path_factory.mktemp("csv") / "a.csv"
    write_csv(file, ("a", "b"), rows)
    with file.open(newline="", encoding="utf-8") as lines:
        [_, *found] = csv.reader(lines)
    assert [[cell.removeprefix("'") for cell in row] for row in found] == [
        [cell.removeprefix("'") for cell in row] for row in rows
    ]


def test_text_is_written_as_utf_8(tmp_path: Path) -> None:
    """Whatever the machine's language is."""
    write_text(tmp_path / "a", "ñ ≠ 名")
    assert (tmp_path / "a").read_bytes() == "ñ ≠ 名".encode()
    write_json(tmp_path / "b", "ñ")
    assert json.loads((tmp_path / "b").read_bytes()) == "ñ"


def interrupted(folder: Path) -> None:
    """A folder that Ctrl-C interrupts half written."""
    with drafted(folder / "new", within=folder) as draft:
        (draft / "model").write_text("half")
        raise KeyboardInterrupt


def test_a_signal_leaves_no_draft(tmp_path: Path) -> None:
    """Ctrl-C while a folder is written removes what was begun, as an error does."""
    with pytest.raises(KeyboardInterrupt):
        interrupted(tmp_path)
    assert list(tmp_path.iterdir()) == []
