"""Downloads use https only, continue after an interruption, and never exceed the published size."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.error import URLError

import pytest

from resatlas.data.fetching import download
from resatlas.data.official import Official
from resatlas.errors import DataError, Stopped
from resatlas.values.downloading import opener
from tests.data.serving import Behaviour, serving
from tests.data.tiny import official

CONTENT = bytes(range(256)) * 40


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Behaviour]:
    """A server that has one file."""
    (tmp_path / "certificate").mkdir()
    with serving(tmp_path / "certificate", monkeypatch) as behaviour:
        behaviour.files["file"] = CONTENT
        yield behaviour


@pytest.fixture
def published(server: Behaviour) -> Official:
    """The file as it was published."""
    return official("file", CONTENT, site=server.site)


@pytest.fixture
def part(tmp_path: Path) -> Path:
    """Where the file is put together."""
    return tmp_path / "file.part"


def unseen(*_: object) -> None:
    """No-op."""


def test_a_file_comes_whole(published: Official, part: Path) -> None:
    """The bytes are the server's, and progress ends at their number."""
    seen: list[tuple[object, ...]] = []
    download(published, part, progress=lambda *advance: seen.append(advance))
    assert part.read_bytes() == CONTENT
    assert seen[-1] == ("file", len(CONTENT), len(CONTENT))


def test_what_broke_off_goes_on(published: Official, part: Path, server: Behaviour) -> None:
    """A connection that ends keeps what came; the next call asks for the rest alone."""
    server.cut = 1000
    with pytest.raises(
        DataError, match=r"the connection ended at 1,000 of 10,240 bytes, which are kept; rerun the command"
    ):
        download(published, part, progress=unseen)
    assert part.read_bytes() == CONTENT[:1000]
    server.cut = None
    download(published, part, progress=unseen)
    assert part.read_bytes() == CONTENT
    assert server.asked == ["", "bytes=1000-"]


def test_a_server_without_ranges_begins_anew(published: Official, part: Path, server: Behaviour) -> None:
    """A response with the whole file replaces any partial download."""
    server.ranges = "ignored"
    part.write_bytes(b"x" * 5000)
    server.cut = 100
    with pytest.raises(DataError, match="ended at 100 of"):
        download(published, part, progress=unseen)
    assert part.read_bytes() == CONTENT[:100]
    server.cut = None
    download(published, part, progress=unseen)
    assert part.read_bytes() == CONTENT


def test_a_range_that_is_refused_is_asked_for_no_more(published: Official, part: Path, server: Behaviour) -> None:
    """416 is answered with a request for the whole file."""
    server.ranges = "refused"
    part.write_bytes(CONTENT[:10])
    download(published, part, progress=unseen)
    assert part.read_bytes() == CONTENT
    assert server.asked == ["bytes=10-", ""]


def test_another_range_is_not_taken(published: Official, part: Path, server: Behaviour) -> None:
    """Bytes from another position than was asked for do not join the part."""
    server.ranges = "shifted"
    part.write_bytes(CONTENT[:10])
    with pytest.raises(DataError, match="other bytes than were asked for"):
        download(published, part, progress=unseen)
    assert part.read_bytes() == CONTENT[:10]


def test_a_complete_part_asks_nothing(published: Official, part: Path, server: Behaviour) -> None:
    """Where all bytes are there, no server is needed."""
    part.write_bytes(CONTENT)
    download(published, part, progress=unseen)
    assert server.asked == []


def test_a_part_that_is_too_long_is_begun_anew(published: Official, part: Path) -> None:
    """What cannot be the beginning of the file is let go."""
    part.write_bytes(b"x" * 20_000)
    download(published, part, progress=unseen)
    assert part.read_bytes() == CONTENT


@pytest.mark.parametrize("length", [5, 20_000])
def test_a_file_of_another_size_is_not_begun(published: Official, part: Path, server: Behaviour, length: int) -> None:
    """A size other than the published one is refused before a byte is stored."""
    server.files["file"] = bytes(length)
    with pytest.raises(DataError, match=f"{length:,} bytes are there, 10,240 were published"):
        download(published, part, progress=unseen)
    assert part.read_bytes() == b""


def test_more_than_was_published_is_never_taken(published: Official, part: Path, server: Behaviour) -> None:
    """A server that tells no size and sends without end is left."""
    server.length = "hidden"
    server.files["file"] = bytes(1 << 22)
    with pytest.raises(DataError, match="the server sends more than the published 10,240 bytes"):
        download(published, part, progress=unseen)
    assert part.stat().st_size <= 10_240


def test_a_server_that_tells_no_size_is_fine(published: Official, part: Path, server: Behaviour) -> None:
    """The published size is enough."""
    server.length = "hidden"
    download(published, part, progress=unseen)
    assert part.read_bytes() == CONTENT


def test_a_file_that_is_gone_is_told(published: Official, part: Path, server: Behaviour) -> None:
    """The error 404 has the address."""
    server.files.clear()
    with pytest.raises(
        DataError, match=r"https://localhost:\d+/file cannot be fetched: the server answers 404 Not Found"
    ):
        download(published, part, progress=unseen)


def test_no_network_is_told(part: Path) -> None:
    """The error of an unresolved name has the address."""
    with pytest.raises(
        DataError, match=r"https://nowhere\.invalid/file cannot be fetched: .+; rerun the command later"
    ):
        download(official("file", CONTENT), part, progress=unseen)


def test_a_closed_port_is_told(published: Official, part: Path) -> None:
    """A refused connection is reported."""
    with pytest.raises(DataError, match=r"cannot be fetched: Connection refused"):
        download(replace(published, site="https://localhost:9/"), part, progress=unseen)


def test_a_stranger_s_certificate_is_not_trusted(
    published: Official, part: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server without a trusted certificate is refused."""
    monkeypatch.delenv("SSL_CERT_FILE")
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    with pytest.raises(DataError, match="certificate verify failed"):
        download(published, part, progress=unseen)


def test_ctrl_c_keeps_what_came(published: Official, part: Path) -> None:
    """The bytes that arrived are named, and stay."""

    def interrupting(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(Stopped, match=r"of 10,240 bytes of file are in .*file\.part; rerun the command to continue"):
        download(published, part, progress=interrupting)
    assert CONTENT.startswith(part.read_bytes())
    assert part.stat().st_size > 0


def test_a_server_may_send_elsewhere_over_https(published: Official, part: Path, server: Behaviour) -> None:
    """A redirection to https is followed, and the range is asked for there."""
    server.files["elsewhere"] = server.files.pop("file")
    server.moved["file"] = f"{server.site}elsewhere"
    part.write_bytes(CONTENT[:10])
    download(published, part, progress=unseen)
    assert part.read_bytes() == CONTENT
    assert server.asked == ["bytes=10-"] * 2


def test_a_server_may_not_send_in_a_circle(published: Official, part: Path, server: Behaviour) -> None:
    """A redirection to where it came from ends after a few times."""
    server.moved["file"] = "/file"
    with pytest.raises(DataError, match="the server answers 302"):
        download(published, part, progress=unseen)
    assert 2 <= len(server.asked) <= 11


@pytest.mark.parametrize(
    "elsewhere", ["http://localhost:1/file", "ftp://localhost:1/file", "file:///etc/passwd", "https://[/file"]
)
def test_a_server_may_send_nowhere_else(published: Official, part: Path, server: Behaviour, elsewhere: str) -> None:
    """A redirection to anything but https ends there."""
    server.moved["file"] = elsewhere
    with pytest.raises(DataError, match=r"cannot be fetched: (unknown url type|the server answers 302|Invalid)"):
        download(published, part, progress=unseen)
    assert part.read_bytes() == b""


@pytest.mark.parametrize("address", ["http://localhost:1/", "ftp://localhost:1/", "file:///etc/passwd", "data:,x"])
def test_the_opener_knows_https_alone(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No other scheme is opened, with a proxy for it or without."""
    monkeypatch.setenv("http_proxy", "https://localhost:1")
    with pytest.raises(URLError, match="unknown url type"):
        opener().open(address)
