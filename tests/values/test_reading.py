"""Files are read if they are regular and small enough; other kinds never block a reader."""

import os
import socket
from pathlib import Path

import pytest

from resatlas.values.reading import check_regular, content, opened, text


def test_a_regular_file_is_read_through_a_link(tmp_path: Path):
    """Bytes and text come back as written, also through a link to the file."""
    (tmp_path / "file").write_bytes("é\r\n".encode())
    (tmp_path / "link").symlink_to("file")
    assert content(tmp_path / "link") == b"\xc3\xa9\r\n"
    assert text(tmp_path / "file") == "é\r\n"
    with opened(tmp_path / "file") as source:
        assert source.read(1) == b"\xc3"


def test_what_is_not_a_regular_file_is_refused_at_once(tmp_path: Path):
    """A pipe without a writer, a device without an end, a folder and a socket are named, not waited for."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "device").symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as own:
        own.bind(str(tmp_path / "socket"))
        for name in ("pipe", "folder", "device", "socket"):
            with pytest.raises(OSError, match=rf"a {name}, not a regular file") as refusal:
                content(tmp_path / name)
            assert refusal.value.filename == str(tmp_path / name)
            with pytest.raises(OSError, match=f"a {name}"):
                check_regular(tmp_path / name)


def test_a_file_above_the_limit_is_refused_with_the_limit(tmp_path: Path):
    """The limit is inclusive, and it is stated."""
    (tmp_path / "file").write_bytes(b"12345")
    assert content(tmp_path / "file", most=5) == b"12345"
    with pytest.raises(OSError, match="larger than the limit of 4 bytes"):
        content(tmp_path / "file", most=4)


def test_a_missing_file_keeps_the_words_of_the_system(tmp_path: Path):
    """What is missing raises FileNotFoundError; a name that no system takes raises OSError too."""
    with pytest.raises(FileNotFoundError):
        content(tmp_path / "missing")
    with pytest.raises(OSError, match=r"invalid path \(null character\)"):
        content(tmp_path / "a\0b")
