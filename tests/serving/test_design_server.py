"""The design page is sent to this machine's browser alone, by its secret address."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping

import pytest

from resatlas.serving.design_server import DesignServer

HEAVY = "torch,torchvision,numpy,scipy,sklearn"

SERVED = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a program in the background may inherit that it is ignored
from resatlas.cli.main import main
code = main(["design", "resnet-20"])
print(code, *sorted({name.partition(".")[0] for name in sys.modules} & set(sys.argv[1].split(","))))
"""


@pytest.fixture(scope="module")
def server() -> Iterator[DesignServer]:
    """A server of a short page, in a thread."""
    started = DesignServer("<!doctype html>page")
    thread = threading.Thread(target=started.serve_forever)
    thread.start()
    yield started
    started.shutdown()
    started.server_close()
    thread.join()


def reply(
    server: DesignServer, method: str, path: str, *, body: str | None = None, headers: Mapping[str, str] | None = None
) -> tuple[int, str]:
    """Status and text of the answer to a request."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=60)
    connection.request(method, path, body=body, headers=dict(headers or {}))
    response = connection.getresponse()
    text = response.read().decode()
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["content-security-policy"] == "frame-ancestors 'none'"
    connection.close()
    return response.status, text


JSON = {"content-type": "application/json"}


def test_page_and_answers_have_the_secret(server: DesignServer) -> None:
    """The page, and a question to the package, which refuses in its own words."""
    assert reply(server, "GET", f"/{server.secret}/") == (200, "<!doctype html>page")
    status, text = reply(server, "POST", f"/{server.secret}/ask/turn", body='{"text": "resnet-20"}', headers=JSON)
    assert (status, json.loads(text)["numbers"]["parameters"]) == (200, 269_722)
    status, text = reply(server, "POST", f"/{server.secret}/ask/turn", body='{"text": "resnet-21"}', headers=JSON)
    assert (status, json.loads(text)) == (
        200,
        {"error": "a ResNet for CIFAR has depth 6n + 2; 21 is not (nearest: 20, 26)"},
    )
    assert server.address == f"http://127.0.0.1:{server.server_port}/{server.secret}/"
    assert len(server.secret) == 32


@pytest.mark.parametrize("path", ["/", "/x/", "/{secret}", "/{secret}x/", "/{secret}/page.js", "/..//{secret}/"])
def test_other_addresses_have_nothing(server: DesignServer, path: str) -> None:
    """Neither the page nor a hint at the secret."""
    status, text = reply(server, "GET", path.format(secret=server.secret))
    assert status == 404
    assert server.secret not in text


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "evil.example:{port}", "localhost:1", ""])
def test_other_hosts_are_refused(server: DesignServer, host: str) -> None:
    """A page that another name leads to this address cannot read it, even if it knew the secret."""
    headers = {"host": host.format(port=server.server_port)}
    assert reply(server, "GET", f"/{server.secret}/", headers=headers) == (403, "this host is not served here\n")
    assert reply(server, "GET", f"/{server.secret}/", headers={"host": f"localhost:{server.server_port}"})[0] == 200


@pytest.mark.parametrize(
    ("path", "body", "headers", "status"),
    [
        ("ask/turn", "{}", {}, 415),
        ("ask/turn", "{}", {"content-type": "text/plain"}, 415),
        ("ask/turn", "x" * 100_001, JSON, 413),
        ("ask/turn", "{}", {**JSON, "content-length": "-1"}, 413),
        ("tell/turn", "{}", JSON, 404),
    ],
)
def test_other_questions_are_refused(
    server: DesignServer, path: str, body: str, headers: Mapping[str, str], status: int
) -> None:
    """A form of another page cannot send JSON; a body has a bound."""
    assert reply(server, "POST", f"/{server.secret}/{path}", body=body, headers=headers)[0] == status


@pytest.mark.parametrize("body", ["", "[]", "{", '{"knobs": 3}', '{"mode": "other"}', '{"text": 3}', "\x00"])
def test_no_question_is_a_defect(server: DesignServer, body: str) -> None:
    """What no page sends gets one sentence, or the first network for an empty question."""
    status, text = reply(server, "POST", f"/{server.secret}/ask/turn", body=body, headers=JSON)
    assert status == 200
    assert "\n" not in json.loads(text)["error"]
    assert "defect" not in text


def test_the_verb_prints_its_address_and_ends_by_a_signal() -> None:
    """It needs no torch and no numpy, and Ctrl-C is no error."""
    with subprocess.Popen(
        [sys.executable, "-c", SERVED, HEAVY],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as process:
        try:
            assert process.stderr is not None
            line = process.stderr.readline()
            match = re.search(r"http://127\.0\.0\.1:(\d+)(/\S+/)", line)
            assert match, line
            connection = http.client.HTTPConnection("127.0.0.1", int(match[1]), timeout=60)
            connection.request("GET", match[2])
            text = connection.getresponse().read().decode()
            connection.close()
            assert '"text": "resnet-20"' in text
            process.send_signal(signal.SIGINT)
            out, rest = process.communicate(timeout=120)
        finally:
            process.kill()
    assert (process.returncode, rest) == (0, "")
    assert out.splitlines() == ["stopped after 0 answered questions", "0"]
