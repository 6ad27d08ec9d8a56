"""Weights by a word: found where other programs keep them, or downloaded; whatever goes wrong is one line, exit 4."""

import json
import logging
import os
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from resatlas.cli.main import main
from resatlas.errors import CheckpointError, FolderError, Stopped, UsageError
from resatlas.weights.digests import RECORDS
from resatlas.weights.obtaining import obtain
from tests.weights.tiny_words import PYTORCHCV, TIMM, TORCHVISION, Shelf, put, shelf, zipped

PAGE = b"<!DOCTYPE html><html><body>Log in to the network of this hotel</body></html>"
COMMIT = "0123456789" * 4


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shelf]:
    """A machine without weights, and a server with those of three words."""
    with shelf(tmp_path, monkeypatch) as it:
        yield it


def below(folder: Path) -> dict[str, bytes]:
    """The files below a folder, by their paths."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def failing(word: str, capsys: pytest.CaptureFixture[str], *, code: int = 4) -> str:
    """The one line of `weights get` for a word that cannot be had."""
    assert main(["weights", "get", word, "--quiet"]) == code
    output = capsys.readouterr()
    assert output.out == ""
    assert len(output.err.splitlines()) == 1
    return output.err


@pytest.mark.parametrize("word", [TORCHVISION, TIMM, PYTORCHCV])
def test_a_word_is_downloaded_once(word: str, machine: Shelf) -> None:
    """The file has the source's bytes, nothing else is left in the folder, and the next call asks no server."""
    file = obtain(word)
    assert file.parent == machine.own
    assert file.read_bytes() == machine.content[word]
    asked = len(machine.server.asked)
    assert obtain(word) == file
    assert len(machine.server.asked) == asked
    assert set(below(machine.own)) <= {file.name, RECORDS}


def test_an_interrupted_download_continues(machine: Shelf, capsys: pytest.CaptureFixture[str]) -> None:
    """What arrived is kept and named, and the next call asks for the rest."""
    machine.server.cut = 1000
    assert "the connection ended at 1,000 of" in failing(TORCHVISION, capsys)
    machine.server.cut = None
    assert obtain(TORCHVISION).read_bytes() == machine.content[TORCHVISION]
    assert machine.server.asked == ["", "bytes=1000-"]


def test_a_server_without_ranges_sends_everything_again(machine: Shelf) -> None:
    """Bytes of an earlier download are replaced, not doubled."""
    machine.server.cut = 1000
    with pytest.raises(CheckpointError):
        obtain(TORCHVISION)
    machine.server.cut, machine.server.ranges = None, "ignored"
    assert obtain(TORCHVISION).read_bytes() == machine.content[TORCHVISION]


def test_ctrl_c_keeps_what_arrived(machine: Shelf) -> None:
    """The bytes are named, and stay for the next call."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(Stopped, match=r"are in .*\.part; rerun the command to continue"):
        obtain(TORCHVISION, progress=interrupted)
    assert obtain(TORCHVISION).read_bytes() == machine.content[TORCHVISION]


def test_the_hub_sends_elsewhere(machine: Shelf) -> None:
    """A redirection to another https address is followed, as that of the hub to its storage."""
    path = f"{TIMM}/resolve/main/model.safetensors"
    machine.server.files["storage"] = machine.server.files.pop(path)
    machine.server.moved[path] = f"{machine.server.site}storage"
    assert obtain(TIMM).read_bytes() == machine.content[TIMM]


def test_a_redirection_to_http_is_not_followed(machine: Shelf, capsys: pytest.CaptureFixture[str]) -> None:
    """A captive portal that sends to its login page ends the download."""
    machine.server.moved[machine.word(TORCHVISION).file] = "http://login.invalid/"
    assert "cannot be fetched: unknown url type: http" in failing(TORCHVISION, capsys)
    assert below(machine.own) == {}


@pytest.mark.parametrize("word", [TORCHVISION, TIMM, PYTORCHCV])
def test_the_page_of_a_captive_portal_is_no_file(word: str, machine: Shelf, capsys: pytest.CaptureFixture[str]) -> None:
    """A page under the address of the weights is refused and not kept."""
    machine.server.files = dict.fromkeys(machine.server.files, PAGE)
    line = failing(word, capsys)
    assert "an HTML page" in line or "not a zip archive" in line
    assert below(machine.own) == {}


@pytest.mark.parametrize("word", [TORCHVISION, PYTORCHCV])
def test_wrong_bytes_are_not_kept(word: str, machine: Shelf, capsys: pytest.CaptureFixture[str]) -> None:
    """Another file under the right name: both digests are named, and nothing stays."""
    other = machine.content[TIMM]
    machine.server.files[machine.word(TORCHVISION).file] = other
    machine.server.files["tiny.pth.zip"] = zipped("tiny.pth", other)
    line = failing(word, capsys)
    assert "is damaged, incomplete or another file than" in line
    assert machine.word(word).digest.partition(":")[2] in line
    assert below(machine.own) == {}


def test_an_announced_digest_is_checked(machine: Shelf, capsys: pytest.CaptureFixture[str]) -> None:
    """The hub announces the sha256 where it redirects; other bytes from its storage are refused."""
    path = f"{TIMM}/resolve/main/model.safetensors"
    machine.server.files["storage"] = machine.content[TIMM][:-1] + b"x"
    machine.server.moved[path] = f"{machine.server.site}storage"
    machine.server.announced[path] = sha256(machine.content[TIMM]).hexdigest()
    assert "is damaged, incomplete or another file than" in failing(TIMM, capsys)
    assert below(machine.own) == {}
    machine.server.files["storage"] = machine.content[TIMM]
    assert obtain(TIMM).read_bytes() == machine.content[TIMM]


@pytest.mark.parametrize(
    ("archive", "sentence"),
    [
        (zipped("other.pth", b"x"), "contains no tiny.pth"),
        (zipped("tiny.pth", bytes(40_000_000)), "unpacks to more than"),
        (b"PK\x03\x04" + bytes(100), "damaged or not a zip archive"),
    ],
)
def test_an_archive_is_unpacked_within_limits(
    archive: bytes, sentence: str, machine: Shelf, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only the one file of the word's name is unpacked, up to a size that its network can have."""
    machine.server.files["tiny.pth.zip"] = archive
    assert sentence in failing(PYTORCHCV, capsys)
    assert below(machine.own) == {}


def test_a_file_without_end_is_left(machine: Shelf, capsys: pytest.CaptureFixture[str]) -> None:
    """A server that sends much more than the network can have is left."""
    machine.server.length = "hidden"
    machine.server.files[machine.word(TORCHVISION).file] = bytes(40_000_000)
    assert "the server sends more than 16,977,216 bytes" in failing(TORCHVISION, capsys)


def test_no_network_is_one_line(
    machine: Shelf, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The address, the reason, and how to place the file by hand."""
    monkeypatch.setenv("RESATLAS_WEIGHTS_MIRROR", "https://localhost:9/")
    line = failing(TORCHVISION, capsys)
    assert "cannot be fetched: Connection refused; rerun the command later, or put tiny-" in line
    assert f"into {machine.own}" in line
    assert below(machine.own) == {}


def test_a_missing_file_is_one_line(machine: Shelf, capsys: pytest.CaptureFixture[str]) -> None:
    """The error 404 has the address."""
    machine.server.files.clear()
    assert "the server answers 404" in failing(TIMM, capsys)


@pytest.mark.parametrize("variable", ["RESATLAS_WEIGHTS_MIRROR", "HF_ENDPOINT"])
def test_a_mirror_is_an_https_address(variable: str, machine: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another address is refused before anything is asked."""
    monkeypatch.setenv(variable, "http://mirror.invalid")
    with pytest.raises(UsageError, match=f"{variable} must be an address https://…; got"):
        obtain(TIMM if variable == "HF_ENDPOINT" else TORCHVISION)
    assert machine.server.asked == []


def test_offline_asks_no_server(
    machine: Shelf, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """--offline and HF_HUB_OFFLINE name the places that were searched."""
    assert main(["weights", "get", TIMM, "--offline"]) == 4
    line = capsys.readouterr().err
    assert f"{TIMM} is not on this machine: timm--tiny.a_in1k.safetensors is in none of {machine.own}" in line
    assert line.endswith("--offline forbids a download\n")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert failing(TORCHVISION, capsys).endswith("HF_HUB_OFFLINE forbids a download\n")
    assert machine.server.asked == []


def _hub_file(machine: Shelf, content: bytes, *, name: str = "") -> Path:
    """A file in the cache of the hub, a link to its blob; the blob's default name is the sha256 of the content."""
    repository = machine.home / "hf" / "hub" / "models--timm--tiny.a_in1k"
    blob = put(repository / "blobs" / (name or sha256(content).hexdigest()), content)
    put(repository / "refs" / "main", COMMIT.encode())
    file = repository / "snapshots" / COMMIT / "model.safetensors"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.symlink_to(os.path.relpath(blob, file.parent))
    return file


def test_caches_of_other_programs_are_used_where_they_are(machine: Shelf) -> None:
    """The file of torch's hub, of the Hugging Face hub and of pytorchcv; nothing is copied, no server is asked."""
    there = {
        TORCHVISION: put(
            machine.home / "torch" / "hub" / "checkpoints" / machine.word(TORCHVISION).file,
            machine.content[TORCHVISION],
        ),
        TIMM: _hub_file(machine, machine.content[TIMM]),
        PYTORCHCV: put(machine.home / "home" / ".torch" / "models" / "tiny.pth", machine.content[PYTORCHCV]),
    }
    assert {word: obtain(word, access="offline") for word in there} == there
    assert machine.server.asked == []
    assert below(machine.own) == {}


def test_our_own_folder_comes_first(machine: Shelf) -> None:
    """Of two files, the one in our folder is taken."""
    name = machine.word(TORCHVISION).file
    put(machine.home / "torch" / "hub" / "checkpoints" / name, machine.content[TORCHVISION])
    own = put(machine.own / name, machine.content[TORCHVISION])
    assert obtain(TORCHVISION) == own


def _spoilt(content: bytes, kind: str) -> bytes:
    """Other bytes than those of a file."""
    match kind:
        case "half a file":
            return content[: len(content) // 2]
        case "another byte":
            return content[:-1] + bytes([content[-1] ^ 1])
        case "a page":
            return PAGE
        case _:
            return b""


@pytest.mark.parametrize("kind", ["half a file", "another byte", "a page", "empty"])
@pytest.mark.parametrize("word", [TORCHVISION, TIMM, PYTORCHCV])
def test_a_wrong_file_is_refused_and_stays(
    word: str, kind: str, machine: Shelf, capsys: pytest.CaptureFixture[str]
) -> None:
    """Wrong bytes under the right name, wherever they lie: one line that names the file, and nothing is replaced."""
    wrong = _spoilt(machine.content[word], kind)
    if word == TIMM:
        file = _hub_file(machine, wrong, name=sha256(machine.content[TIMM]).hexdigest())
    else:
        file = put(machine.home / "torch" / "hub" / "checkpoints" / machine.word(word).file, wrong)
    assert file.name in failing(word, capsys)
    assert file.read_bytes() == wrong
    assert machine.server.asked == []


def test_a_pipe_or_a_folder_is_no_file(machine: Shelf, capsys: pytest.CaptureFixture[str]) -> None:
    """What is not a regular file is refused at once, also as the beginning of a download."""
    place = machine.own / machine.word(TORCHVISION).file
    place.mkdir(parents=True)
    assert "a folder, not a file of weights" in failing(TORCHVISION, capsys)
    place.rmdir()
    os.mkfifo(place)
    assert "a pipe, not a regular file" in failing(TORCHVISION, capsys)
    place.rename(place.with_name(f"{place.name}.part"))
    assert "a pipe, not a regular file" in failing(TORCHVISION, capsys, code=2)


def test_a_link_leads_no_download_elsewhere(machine: Shelf) -> None:
    """A link in the place of a partial download is not written through."""
    machine.own.mkdir()
    victim = put(machine.home / "victim", b"kept")
    (machine.own / f"{machine.word(TORCHVISION).file}.part").symlink_to(victim)
    with pytest.raises(FolderError, match=r"\.part is a link"):
        obtain(TORCHVISION)
    assert victim.read_bytes() == b"kept"


def test_a_link_out_of_the_hubs_repository_is_refused(machine: Shelf) -> None:
    """A snapshot may only lead to a blob of its own repository."""
    file = _hub_file(machine, machine.content[TIMM])
    file.unlink()
    file.symlink_to(put(machine.home / "elsewhere", machine.content[TIMM]))
    with pytest.raises(CheckpointError, match="a link to a place outside its repository"):
        obtain(TIMM)


def test_a_file_without_published_digest_is_recorded_at_first_use(
    machine: Shelf, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first use says so and writes the sha256; a file that changes later is refused at every name."""
    with caplog.at_level(logging.WARNING, logger="resatlas"):
        file = obtain(TIMM)
    digest = sha256(machine.content[TIMM]).hexdigest()
    assert f"sha256 {digest[:16]}… of {file} is recorded, and later loads are compared with it" in caplog.text
    assert json.loads((machine.own / RECORDS).read_bytes()) == {TIMM: f"sha256:{digest}"}
    changed = machine.content[TIMM][:-1] + b"\0"
    file.write_bytes(changed)
    assert f"recorded at first use in {machine.own / RECORDS} {digest}" in failing(TIMM, capsys)
    file.unlink()
    _hub_file(machine, changed, name="not-a-digest")
    assert "recorded at first use" in failing(TIMM, capsys)


@pytest.mark.parametrize("content", [b"{", b"[1]", b'{"a": 1}'])
def test_damaged_records_are_named(content: bytes, machine: Shelf, capsys: pytest.CaptureFixture[str]) -> None:
    """A file of records that cannot be read verifies nothing, and is not replaced."""
    put(machine.own / RECORDS, content)
    assert f"{RECORDS}" in failing(TIMM, capsys)
    assert (machine.own / RECORDS).read_bytes() == content


def test_two_downloads_do_not_meet(machine: Shelf) -> None:
    """While another process downloads, this one says so."""
    import fcntl

    machine.own.mkdir()
    handle = os.open(machine.own, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with pytest.raises(FolderError, match="another process downloads to"):
            obtain(TORCHVISION)
    finally:
        os.close(handle)


def test_a_folder_that_cannot_be_written_is_named(machine: Shelf) -> None:
    """The error names the folder and the variable that names another."""
    machine.own.write_bytes(b"")
    with pytest.raises(FolderError, match=r"files cannot be written to .*set RESATLAS_WEIGHTS to another folder"):
        obtain(TORCHVISION)
