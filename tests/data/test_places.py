"""Every data set is looked for in the same places, and what is missing is answered with how to get it."""

import pwd
from pathlib import Path

import pytest

from resatlas.cli.main import main
from resatlas.data import imagenet
from resatlas.data.official import Member, Source, cache, folders, located
from resatlas.errors import DataError
from tests.data.tiny import official

PAIR = Source(name="pair", title="Pair", files=(official("one", b"1"), official("two", b"22")))
ARCHIVE = Source(
    name="pack",
    title="Pack",
    files=(official("pack.tar.gz", b""),),
    members=(Member(path="pack/a.bin", bytes=3), Member(path="pack/words.txt")),
)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of one's own, and a folder of data."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("RESATLAS_DATA", str(tmp_path / "data"))
    return tmp_path


def put(file: Path, content: bytes = b"") -> Path:
    """The file, with the folders above it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return file


def test_the_user_s_folder_is_looked_at_first(home: Path) -> None:
    """$RESATLAS_DATA/name, $RESATLAS_DATA, then the cache."""
    assert folders("pair") == (home / "data/pair", home / "data", home / "home/.cache/resatlas/pair")


def test_without_a_folder_of_one_s_own_the_cache_serves(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where RESATLAS_DATA is not set, or empty, the cache is the one place."""
    monkeypatch.setenv("RESATLAS_DATA", "")
    assert folders("pair") == (home / "home/.cache/resatlas/pair",)


@pytest.mark.parametrize(("named", "where"), [("/elsewhere", "/elsewhere"), ("relative", None), ("", None)])
def test_the_cache_is_where_the_desktop_says(
    home: Path, monkeypatch: pytest.MonkeyPatch, named: str, where: str | None
) -> None:
    """XDG_CACHE_HOME counts if it is absolute."""
    monkeypatch.setenv("XDG_CACHE_HOME", named)
    assert cache() == Path(where or home / "home/.cache") / "resatlas"


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user without HOME and without an entry in the system's list, as containers have them."""

    def unknown(number: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {number}")

    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", unknown)


@pytest.mark.usefixtures("homeless")
def test_no_home_is_wanted_where_something_else_is_set(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """RESATLAS_DATA alone serves, and so does XDG_CACHE_HOME."""
    assert folders("pair") == (home / "data/pair", home / "data")
    monkeypatch.delenv("RESATLAS_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert folders("pair") == (Path("/cache/resatlas/pair"),)


@pytest.mark.usefixtures("homeless")
def test_without_any_home_what_is_to_be_set_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a line."""
    monkeypatch.delenv("RESATLAS_DATA")
    with pytest.raises(DataError, match="no home directory for data sets; set RESATLAS_DATA or XDG_CACHE_HOME"):
        located(PAIR)
    with pytest.raises(DataError, match="set RESATLAS_DATA"):
        imagenet.located()


@pytest.mark.usefixtures("homeless")
def test_a_user_without_a_home_may_look_around(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The doctor says of each data set what is to be done."""
    monkeypatch.delenv("RESATLAS_DATA")
    monkeypatch.chdir(tmp_path)
    main(["doctor"])
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("data cifar-10 "))
    assert "set RESATLAS_DATA or XDG_CACHE_HOME to a folder" in line


def test_each_file_is_taken_from_the_first_place_that_has_it(home: Path) -> None:
    """Files may lie in different places; the order is the source's."""
    two = put(home / "data/two")
    put(home / "home/.cache/resatlas/pair/two")
    one = put(home / "home/.cache/resatlas/pair/one")
    assert located(PAIR) == (one, two)


def test_what_is_missing_is_answered_with_places_and_remedies(home: Path) -> None:
    """Where it was looked for, the command that gets it, and which files to put where."""
    with pytest.raises(DataError) as error:
        located(PAIR)
    put = f"put one, two of https://nowhere.invalid/ into {home}/data/pair"
    assert str(error.value) == (
        f"Pair is not in {home}/data/pair or {home}/data or {home}/home/.cache/resatlas/pair; get it with "
        f'"resatlas data fetch pair"; without a network, {put} first (set RESATLAS_DATA to use another folder)'
    )


def test_one_missing_file_is_named(home: Path) -> None:
    """The message for some missing files differs from that for all."""
    put(home / "data/one")
    with pytest.raises(DataError, match="Pair lacks two, which is not in "):
        located(PAIR)


def test_a_member_of_another_size_is_damaged(home: Path) -> None:
    """Size is checked where it was published, and not where it was not."""
    put(home / "data/pack/pack/a.bin", b"12")
    put(home / "data/pack/pack/words.txt", b"any")
    with pytest.raises(DataError, match=r"a\.bin is damaged: it has 2 bytes, 3 were published; remove its folder"):
        located(ARCHIVE)
    put(home / "data/pack/pack/a.bin", b"123")
    assert len(located(ARCHIVE)) == 2


def test_knobs_are_no_part_of_the_folder_s_name(home: Path) -> None:
    """`pair:extra=0` lies where `pair` does."""
    source = Source(name="pair:extra=0", title="Pair", files=PAIR.files[:1])
    one = put(home / "data/pair/one")
    assert located(source) == (one,)
