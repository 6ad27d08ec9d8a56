"""An archive is unpacked whole, below its own folder, as plain files; anything else is refused and leaves nothing."""

import gzip
import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from resatlas.data.archives import Limits, extract
from resatlas.errors import DataError, FolderError
from tests.data.tiny import member, packed, tar_gz

LIMITS = Limits(members=10, bytes=100_000)
FILES = {"top/a.bin": b"a" * 600, "top/inner/b.txt": b"b"}

Unpack = Callable[[bytes], Path]


@pytest.fixture
def unpack(tmp_path: Path) -> Unpack:
    """Unpack an archive of these bytes into data/top."""

    def unpacked(content: bytes) -> Path:
        (tmp_path / "data").mkdir(exist_ok=True)
        (tmp_path / "data/pack.tar.gz").write_bytes(content)
        extract(tmp_path / "data/pack.tar.gz", tmp_path / "data/top", limits=LIMITS)
        return tmp_path / "data/top"

    return unpacked


def everything(folder: Path) -> set[str]:
    """All that lies below a folder."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_files_are_unpacked_as_they_are(unpack: Unpack, tmp_path: Path) -> None:
    """Contents and folders are the archive's, and nothing else is left."""
    top = unpack(packed(FILES))
    assert {f"top/{path.relative_to(top)}": path.read_bytes() for path in top.rglob("*") if path.is_file()} == FILES
    assert everything(tmp_path) == {
        "data",
        "data/pack.tar.gz",
        "data/top",
        *(f"data/{path}" for path in FILES),
        "data/top/inner",
    }


def test_modes_and_times_are_not_taken_over(unpack: Unpack) -> None:
    """A file that others may write and that runs as its owner is a plain file of ours."""
    loose = member("top/a")
    loose.mode, loose.uid, loose.mtime = 0o6777, 1, 1
    file = unpack(tar_gz((loose, b"x"))) / "a"
    assert file.stat().st_mode & 0o7111 == 0
    assert file.stat().st_uid == os.getuid()
    assert file.stat().st_mtime > 1


def sparse(name: str) -> tarfile.TarInfo:
    """A member that says to be 10 GB of nothing."""
    made = member(name, type=tarfile.GNUTYPE_SPARSE)
    made.size = 0
    return made


def sized(name: str, size: int) -> tarfile.TarInfo:
    """A member that says to have that size."""
    made = member(name)
    made.size = size
    return made


LINK = member("top/link", type=tarfile.SYMTYPE, link="../../..")

ABUSES: dict[str, tuple[list[tuple[tarfile.TarInfo, bytes]], str]] = {
    "upward": ([(member("../x"), b"x")], 'member "../x" is not below top/'),
    "upward inside": ([(member("top/../../x"), b"x")], 'member "top/../../x" is not below top/'),
    "absolute": ([(member("/tmp/x"), b"x")], 'member "/tmp/x" is not below top/'),  # noqa: S108
    "beside": ([(member("other/x"), b"x")], 'member "other/x" is not below top/'),
    "bare": ([(member("x"), b"x")], 'member "x" is not below top/'),
    "nameless": ([(member(""), b"x")], 'member "" is not below top/'),
    "lines": ([(member("x\ny"), b"x")], 'member "x y" is not below top/'),
    "link, then through it": ([(LINK, b""), (member("top/link/x"), b"x")], 'member "top/link" is a symbolic link'),
    "hard link": ([(member("top/x", type=tarfile.LNKTYPE, link="/etc/passwd"), b"")], "is a hard link"),
    "device": ([(member("top/x", type=tarfile.CHRTYPE), b"")], "is a device"),
    "disk": ([(member("top/x", type=tarfile.BLKTYPE), b"")], "is a device"),
    "pipe": ([(member("top/x", type=tarfile.FIFOTYPE), b"")], "is a pipe"),
    "contiguous": ([(member("top/x", type=tarfile.CONTTYPE), b"x")], "is a sparse or special file"),
    "unknown type": ([(member("top/x", type=b"Z"), b"x")], "is a sparse or special file"),
    "sparse": ([(sparse("top/x"), b"")], "is a sparse or special file"),
    "huge": ([(sized("top/x", 10 << 30), b"x")], "its members have more than 100,000 bytes together"),
    "many": ([(member(f"top/{k}"), b"") for k in range(100_000)], "it has more than 10 members"),
    "together": ([(member(f"top/{k}"), bytes(30_000)) for k in range(4)], "more than 100,000 bytes together"),
    "negative": ([(sized("top/x", -512), b"x")], "has -512 bytes"),
    "short": ([(sized("top/x", 50_000), b"x")], "unexpected end of data"),
    "twice": ([(member("top/x"), b"x"), (member("top/x"), b"y")], 'member "top/x" occurs twice, or below a file'),
    "below a file": ([(member("top/x"), b"x"), (member("top/x/y"), b"y")], 'member "top/x/y" occurs twice, or below'),
    "the folder as a file": ([(member("top"), b"x")], 'member "top" occurs twice, or below a file'),
}


@pytest.mark.parametrize(("members", "words"), ABUSES.values(), ids=ABUSES)
def test_abuse_is_refused_and_leaves_nothing(
    unpack: Unpack, tmp_path: Path, members: list[tuple[tarfile.TarInfo, bytes]], words: str
) -> None:
    """A bad member after a good one: the reason is reported, and no file stays, inside or outside."""
    before = set(os.listdir("/tmp"))  # noqa: S108, PTH208 - where an absolute member would land
    with pytest.raises(DataError, match=r"pack\.tar\.gz is damaged or refused: ") as error:
        unpack(tar_gz((member("top/good"), b"good"), *members))
    assert words in str(error.value)
    assert len(str(error.value).splitlines()) == 1
    assert everything(tmp_path) == {"data", "data/pack.tar.gz"}
    assert "x" not in set(os.listdir("/tmp")) - before  # noqa: S108, PTH208


def test_a_sparse_member_of_the_newer_kind_is_refused(unpack: Unpack, tmp_path: Path) -> None:
    """What pax headers make 10 GB of is a sparse member, though its type is that of a file."""
    hollow = member("top/x")
    hollow.pax_headers = {"GNU.sparse.size": str(10 << 30), "GNU.sparse.map": "0,1", "GNU.sparse.numblocks": "1"}
    hollow.size = 1
    archive = tmp_path / "made.tar.gz"
    with tarfile.open(archive, "w:gz", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(hollow, io.BytesIO(b"x"))
    with pytest.raises(DataError, match=r"is a sparse or special file"):
        unpack(archive.read_bytes())


def test_what_no_member_has_is_bounded_too(unpack: Unpack) -> None:
    """A header of a gigabyte, a kilobyte packed, is left after what the limits allow."""
    name = member("././@LongLink", type=tarfile.GNUTYPE_LONGNAME)
    name.size = 1 << 30
    bomb = gzip.decompress(tar_gz((name, b"")))[: tarfile.BLOCKSIZE] + bytes(1 << 22)
    with pytest.raises(DataError, match="it unpacks to more than 151,200 bytes"):
        unpack(gzip.compress(bomb))


def test_headers_without_end_are_refused(unpack: Unpack) -> None:
    """Headers that announce headers are left at the bound of the stream, or of the recursion."""
    chain = [(member("././@LongLink", type=tarfile.GNUTYPE_LONGNAME), b"top/x\0") for _ in range(10_000)]
    with pytest.raises(DataError, match="is damaged or refused"):
        unpack(tar_gz(*chain, (member("top/x"), b"x")))


@pytest.mark.parametrize("cut", [0, 5, 30, 90, -20, -9])
def test_a_cut_archive_is_refused_or_lacks_files(unpack: Unpack, tmp_path: Path, cut: int) -> None:
    """An archive that ends early is never unpacked in part and taken for whole."""
    whole = packed({**FILES, "top/noise": os.urandom(2000)})
    with pytest.raises(DataError, match="is damaged or refused"):
        unpack(whole[:cut])
    assert everything(tmp_path) == {"data", "data/pack.tar.gz"}


def test_a_folder_that_is_there_stays_as_it_is(unpack: Unpack, tmp_path: Path) -> None:
    """Existing files are not overwritten."""
    (tmp_path / "data/top").mkdir(parents=True)
    (tmp_path / "data/top/own").write_text("own")
    with pytest.raises(FolderError, match="top exists and is incomplete; remove it"):
        unpack(packed(FILES))
    assert everything(tmp_path / "data") == {"top", "top/own", "pack.tar.gz"}


def test_an_empty_folder_and_a_draft_left_behind_do_not_matter(unpack: Unpack, tmp_path: Path) -> None:
    """What a killed process left is cleared away."""
    (tmp_path / "data/top").mkdir(parents=True)
    (tmp_path / "data/.top.unpacking/top").mkdir(parents=True)
    (tmp_path / "data/.top.unpacking/top/a.bin").write_text("half")
    assert (unpack(packed(FILES)) / "a.bin").read_bytes() == FILES["top/a.bin"]
    assert not (tmp_path / "data/.top.unpacking").exists()
