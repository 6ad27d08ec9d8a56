"""What is missing of a data set is fetched, checked and put where the readers look; what is there is left alone."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from resatlas.data import cifar, fashion_mnist, svhn
from resatlas.data.catalog import resolve
from resatlas.data.fetching import SOURCES, Fetched, fetch
from resatlas.data.official import Source, located
from resatlas.errors import DataError, FolderError
from tests.data import tiny
from tests.data.serving import Behaviour, serving

Fetch = Callable[[Source], Fetched]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of data, the only place that is looked at."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("RESATLAS_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Behaviour]:
    """A server without files."""
    (tmp_path / "certificate").mkdir()
    with serving(tmp_path / "certificate", monkeypatch) as behaviour:
        yield behaviour


@pytest.fixture
def packed(data: Path, server: Behaviour) -> Source:
    """A tiny CIFAR-10, on the server as an archive."""
    assert not data.exists()
    published, _, archive = tiny.cifar(cifar.CIFAR_10, site=server.site)
    server.files[published.archive.name] = archive
    return published.source


@pytest.fixture
def loose(data: Path, server: Behaviour) -> Source:
    """Two files, on the server as they are read."""
    assert not data.exists()
    server.files |= {"one": b"1" * 100, "two": b"2" * 200}
    files = tuple(tiny.official(name, content, site=server.site) for name, content in server.files.items())
    return Source(name="pair", title="Pair", files=files)


def fetched(source: Source) -> Fetched:
    """The result of a fetch without progress."""
    return fetch(source, progress=lambda *_: None)


def below(folder: Path) -> set[str]:
    """All files below a folder."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_an_archive_is_fetched_and_unpacked(packed: Source, data: Path) -> None:
    """The members lie where the readers look, and the archive is not kept."""
    assert fetched(packed).names == ("cifar-10-binary.tar.gz",)
    assert below(data) == {f"cifar-10/{path}" for path in (*packed.needed, "cifar-10-batches-bin/readme.html")}
    assert located(packed)[0] == data / "cifar-10/cifar-10-batches-bin/data_batch_1.bin"


def test_files_are_fetched_as_they_are(loose: Source, data: Path) -> None:
    """Files that are read as they come lie under their names."""
    assert fetched(loose) == Fetched(names=("one", "two"), paths=(data / "pair/one", data / "pair/two"))
    assert (data / "pair/two").read_bytes() == b"2" * 200
    assert below(data) == {"pair/one", "pair/two"}


@pytest.mark.parametrize("which", ["packed", "loose"])
def test_a_second_fetch_asks_nothing(which: str, request: pytest.FixtureRequest, server: Behaviour) -> None:
    """What is there stays, without a request."""
    source: Source = request.getfixturevalue(which)
    first = fetched(source)
    asked = len(server.asked)
    assert fetched(source) == Fetched(names=(), paths=first.paths)
    assert len(server.asked) == asked


def test_the_cache_serves_where_no_folder_is_named(
    loose: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without RESATLAS_DATA, files land in the user's cache, and are found there."""
    monkeypatch.delenv("RESATLAS_DATA")
    assert fetched(loose).paths[0] == located(loose)[0] == tmp_path / "cache/resatlas/pair/one"


def test_only_what_is_missing_is_fetched(loose: Source, data: Path, server: Behaviour) -> None:
    """A file that the user placed there is kept."""
    data.mkdir()
    (data / "two").write_bytes(b"2" * 200)
    assert fetched(loose) == Fetched(names=("one",), paths=(data / "pair/one", data / "two"))
    assert len(server.asked) == 1


@pytest.mark.parametrize("place", ["", "cifar-10"])
def test_an_archive_that_was_put_there_is_used(packed: Source, data: Path, server: Behaviour, place: str) -> None:
    """Without a network, the archive by hand is checked and unpacked, and stays."""
    name = packed.files[0].name
    (data / place).mkdir(parents=True)
    (data / place / name).write_bytes(server.files.pop(name))
    fetched(packed)
    assert len(located(packed)) == 7
    assert (data / place / name).is_file()
    assert server.asked == []


def test_another_archive_that_was_put_there_is_refused(packed: Source, data: Path, server: Behaviour) -> None:
    """A wrong file by hand is named, and neither unpacked nor removed."""
    (data / "cifar-10").mkdir(parents=True)
    file = data / "cifar-10" / packed.files[0].name
    file.write_bytes(b"something else")
    with pytest.raises(DataError, match=r"binary\.tar\.gz is damaged or another file; md5 found"):
        fetched(packed)
    assert file.read_bytes() == b"something else"
    assert server.asked == []


def test_another_file_that_was_put_there_is_refused(loose: Source, data: Path) -> None:
    """Every fetch refuses a file that is not the published one."""
    fetched(loose)
    (data / "pair/one").write_bytes(b"0" * 100)
    with pytest.raises(DataError, match="one is damaged or another file; md5 found"):
        fetched(loose)
    assert (data / "pair/one").read_bytes() == b"0" * 100


@pytest.mark.parametrize("which", ["packed", "loose"])
def test_a_wrong_checksum_is_refused_and_removed(
    which: str, request: pytest.FixtureRequest, server: Behaviour, data: Path
) -> None:
    """What came is not what was published: it is removed, so that the next call begins anew."""
    source: Source = request.getfixturevalue(which)
    name = source.files[0].name
    right = server.files[name]
    server.files[name] = right[:-1] + b"?"
    with pytest.raises(DataError, match=r"is damaged or another file; md5 found .*; it is removed: rerun the command"):
        fetched(source)
    assert below(data) == set()
    server.files[name] = right
    fetched(source)


def test_what_broke_off_goes_on(packed: Source, data: Path, server: Behaviour) -> None:
    """The part stays beside the place of the file; the next call completes it."""
    server.cut = 50_000
    with pytest.raises(DataError, match="ended at 50,000 of"):
        fetched(packed)
    assert below(data) == {"cifar-10/cifar-10-binary.tar.gz.part"}
    server.cut = None
    fetched(packed)
    assert server.asked == ["", "bytes=50000-"]


def test_a_killed_unpacking_is_taken_up(packed: Source, data: Path, server: Behaviour) -> None:
    """A part that is complete is checked and unpacked without a request."""
    (data / "cifar-10").mkdir(parents=True)
    (data / "cifar-10/cifar-10-binary.tar.gz.part").write_bytes(server.files["cifar-10-binary.tar.gz"])
    fetched(packed)
    assert server.asked == []
    assert len(located(packed)) == 7


def test_without_a_network_the_file_and_its_place_are_named(data: Path) -> None:
    """The line says which files to put where."""
    source = tiny.cifar(cifar.CIFAR_100)[0].source
    with pytest.raises(DataError) as error:
        fetched(source)
    assert str(error.value).endswith(
        f"rerun the command later, or put cifar-100-binary.tar.gz of https://nowhere.invalid/ into {data}/cifar-100"
    )
    assert len(str(error.value).splitlines()) == 1
    assert below(data) == set()


def test_two_processes_do_not_fetch_to_one_place(loose: Source, data: Path) -> None:
    """A second process is refused at once while the first one downloads."""
    refusals: list[FolderError] = []

    def second(*_: object) -> None:
        with pytest.raises(FolderError, match=r"another process downloads to .*pair; rerun the command when") as error:
            fetched(loose)
        refusals.append(error.value)

    assert fetch(loose, progress=second).names == ("one", "two")
    assert len(refusals) >= 2
    assert below(data) == {"pair/one", "pair/two"}


def test_a_full_disk_is_told_before_anything_is_asked(
    loose: Source, server: Behaviour, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message has the needed and the free bytes."""

    def nearly_full(_folder: Path) -> SimpleNamespace:
        return SimpleNamespace(free=99)

    monkeypatch.setattr(shutil, "disk_usage", nearly_full)
    with pytest.raises(FolderError, match=r"has 99 bytes free, but one needs 100; set RESATLAS_DATA to another folder"):
        fetched(loose)
    assert server.asked == []


def test_a_folder_that_cannot_be_made_is_told(loose: Source, data: Path) -> None:
    """A folder below a file is refused."""
    data.write_text("a file")
    with pytest.raises(
        FolderError, match=r"files cannot be written to .*pair: .*; set RESATLAS_DATA to another folder"
    ):
        fetched(loose)


def test_a_folder_with_some_members_is_left_to_its_owner(packed: Source, data: Path) -> None:
    """Nothing is unpacked over files that are there."""
    folder = data / "cifar-10/cifar-10-batches-bin"
    folder.mkdir(parents=True)
    (folder / "test_batch.bin").write_bytes(b"own")
    with pytest.raises(FolderError, match="batches-bin exists and is incomplete; remove it"):
        fetched(packed)
    assert below(folder) == {"test_batch.bin"}


def test_the_official_files_are_those_of_the_readers() -> None:
    """Each source is that of a name in the catalogue, over https, with a checksum."""
    addresses = {
        "cifar-10": "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
        "cifar-100": "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
        "svhn": "https://ufldl.stanford.edu/housenumbers/train_32x32.mat",
        "svhn:extra=0": "https://ufldl.stanford.edu/housenumbers/train_32x32.mat",
        "fashion-mnist": fashion_mnist.SITE + "train-images-idx3-ubyte.gz",
    }
    assert {name: make().files[0].url for name, make in SOURCES.items()} == addresses
    for name, make in SOURCES.items():
        assert resolve(name).name == make().name == name
        for file in make().files:
            assert len(file.checksum.digest) == {"md5": 32, "sha256": 64}[file.checksum.algorithm]
    assert [len(make().files) for make in SOURCES.values()] == [1, 1, 4, 3, 2]
    assert svhn.EXTRA.official in SOURCES["svhn"]().files
    assert sum(file.bytes for file in SOURCES["svhn"]().files) == 1_575_594_780
