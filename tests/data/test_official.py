"""A file is the official one by its checksum, and anything else is refused before it is read."""

import gzip
from hashlib import sha256
from pathlib import Path

import pytest

from resatlas.data.official import Checksum, Member, Official, Source, check
from resatlas.errors import DataError
from tests.data.tiny import NOWHERE, official

CONTENT = b"the very same bytes"


def test_the_published_file_is_taken(tmp_path: Path) -> None:
    """The file whose checksum was published passes."""
    (tmp_path / "file").write_bytes(CONTENT)
    check(tmp_path / "file", official("file", CONTENT))


def test_another_file_is_named_with_both_checksums(tmp_path: Path) -> None:
    """One changed byte is refused with both digests."""
    (tmp_path / "file").write_bytes(CONTENT[:-1] + b"S")
    with pytest.raises(
        DataError, match=r"file is damaged or another file; md5 found [0-9a-f]{32}, published "
    ) as error:
        check(tmp_path / "file", official("file", CONTENT))
    assert official("file", CONTENT).checksum.digest in str(error.value)


@pytest.mark.parametrize("level", [1, 9])
def test_a_gzip_file_may_be_packed_anew(tmp_path: Path, level: int) -> None:
    """Where the checksum is that of the content, any gzip file of it passes."""
    checksum = Checksum(algorithm="sha256", digest=sha256(CONTENT).hexdigest(), content=len(CONTENT))
    (tmp_path / "file").write_bytes(gzip.compress(CONTENT, level))
    check(tmp_path / "file", Official(name="file", site=NOWHERE, bytes=1, checksum=checksum))


@pytest.mark.parametrize(
    ("packed", "words"),
    [
        (CONTENT, "Not a gzipped file"),
        (gzip.compress(CONTENT * 9, mtime=0), "it holds more than 19 bytes"),
        (gzip.compress(CONTENT, mtime=0) + b"more", "Not a gzipped file"),
    ],
)
def test_content_that_does_not_unpack_is_refused(tmp_path: Path, packed: bytes, words: str) -> None:
    """A file that is not gzip and one that unpacks to more than the published size are refused."""
    checksum = Checksum(algorithm="sha256", digest=sha256(CONTENT).hexdigest(), content=len(CONTENT))
    (tmp_path / "file").write_bytes(packed)
    with pytest.raises(DataError, match=f"is damaged or another file: .*{words}.*; sha256 found "):
        check(tmp_path / "file", Official(name="file", site=NOWHERE, bytes=1, checksum=checksum))


@pytest.mark.parametrize("site", ["http://example.org/", "ftp://example.org/", "https://example.org", "file:///"])
def test_official_files_come_over_https_alone(site: str) -> None:
    """Any other address is refused where it is written."""
    with pytest.raises(DataError, match="downloaded from https"):
        Official(name="file", site=site, bytes=1, checksum=Checksum(algorithm="md5", digest=""))


def test_members_are_those_of_one_archive() -> None:
    """A source with members has a single file."""
    files = (official("a", b""), official("b", b""))
    with pytest.raises(DataError, match="Two has 2 files"):
        Source(name="two", title="Two", files=files, members=(Member(path="a/x"),))
