"""The reader of IDX files takes exactly what was published, and says what is wrong with anything else."""

import gzip
import re
from hashlib import sha256
from pathlib import Path

import pytest

from resatlas.data.idx import IdxFile, decompressed, read_idx
from resatlas.errors import DataError

CONTENT = bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4]) + bytes(range(24))
PACKED = gzip.compress(CONTENT, mtime=0)
PUBLISHED = IdxFile(name="tiny-idx3-ubyte.gz", axes=(2, 3, 4), sha256=sha256(CONTENT).hexdigest())


def written(folder: Path, content: bytes) -> Path:
    """A file of these bytes under the published name."""
    path = folder / PUBLISHED.name
    path.write_bytes(content)
    return path


def test_a_file_reads_as_its_array(tmp_path: Path) -> None:
    """Bytes follow the header in row-major order."""
    array = read_idx(written(tmp_path, PACKED), PUBLISHED)
    assert array.shape == (2, 3, 4)
    assert array.flatten().tolist() == list(range(24))


def test_the_header_is_the_format_s() -> None:
    """Magic number and axes are those of a file written by hand."""
    assert PUBLISHED.header == CONTENT[:16]


def test_a_changed_byte_names_the_file_and_both_hashes(tmp_path: Path) -> None:
    """Other content under the name is refused with its sha256."""
    other = CONTENT[:-1] + b"\xff"
    path = written(tmp_path, gzip.compress(other, mtime=0))
    with pytest.raises(DataError) as error:
        read_idx(path, PUBLISHED)
    assert f"{path} is damaged or another file; its content should have the sha256" in str(error.value)
    assert PUBLISHED.sha256 in str(error.value)
    assert f"found {sha256(other).hexdigest()}" in str(error.value)


@pytest.mark.parametrize(
    ("packed", "words"),
    [
        (PACKED[:-12], "ended before the end-of-stream marker"),
        (PACKED[:-8] + bytes(8), "CRC check failed"),
        (PACKED[:10] + b"\xff" * 8 + PACKED[18:], "invalid block type"),
        (b"P" + PACKED, "Not a gzipped file"),
        (PACKED + gzip.compress(b"more", mtime=0), "it holds more than 40 bytes"),
        (b"", ""),
    ],
)
def test_damage_is_named_with_the_file_and_both_hashes(tmp_path: Path, packed: bytes, words: str) -> None:
    """A file that is cut, altered, no gzip or too long is refused with the reason."""
    path = written(tmp_path, packed)
    pattern = f"{re.escape(str(path))} is damaged or another file.*{words}.*{PUBLISHED.sha256}, found [0-9a-f]{{64}}"
    with pytest.raises(DataError, match=pattern):
        read_idx(path, PUBLISHED)


def test_a_folder_or_an_absent_file_is_refused_in_words(tmp_path: Path) -> None:
    """What cannot be opened is a data error too."""
    for path in (tmp_path, tmp_path / "absent.gz"):
        with pytest.raises(DataError, match=re.escape(str(path))):
            read_idx(path, PUBLISHED)


def test_no_more_is_decompressed_than_was_published(tmp_path: Path) -> None:
    """A small file that would unpack to 64 MiB is left after one byte too many."""
    path = written(tmp_path, gzip.compress(bytes(1 << 26)))
    content, fault = decompressed(path, limit=1000)
    assert len(content) == 1001
    assert fault == "it holds more than 1,000 bytes"


@pytest.mark.parametrize(
    "content",
    [
        b"\0\0\x09" + CONTENT[3:],
        b"\0\1\x08" + CONTENT[3:],
        CONTENT[:7] + b"\3" + CONTENT[8:],
        CONTENT[:-1],
        CONTENT[:15],
        b"",
    ],
)
def test_a_wrong_header_or_length_is_no_idx_file(tmp_path: Path, content: bytes) -> None:
    """Even content with the right sha256 must have the magic number, the axes and the length."""
    published = IdxFile(name=PUBLISHED.name, axes=PUBLISHED.axes, sha256=sha256(content).hexdigest())
    with pytest.raises(DataError, match="is not an IDX file of 2x3x4 unsigned bytes"):
        read_idx(written(tmp_path, gzip.compress(content, mtime=0)), published)
