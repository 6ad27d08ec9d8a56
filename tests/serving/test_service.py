"""What each path answers."""

import json
import socket
from dataclasses import replace

import pytest
from torch import Tensor

from resatlas.serving.limits import Limits
from resatlas.serving.service import SECURITY
from tests.serving.running import CLASSES, answer, asked, closed, connected, get, png, request, running

SMALL = Limits(max_body=20_000, max_pixels=10_000)

PATHS = ("/", "/page.js", "/page.css", "/v1/model", "/v1/classify", "/health/live", "/health/ready", "/metrics", "/x")


def test_an_image_is_answered_with_its_classes() -> None:
    """The most probable first, as many as asked for, five by default, all where there are fewer."""
    with running() as it:
        every = asked(it.port, request(png())).json["classes"]
        first = asked(it.port, request(png(), line="POST /v1/classify?top=1 HTTP/1.1")).json["classes"]
    assert {row["class"] for row in every} == set(CLASSES)
    assert sum(row["probability"] for row in every) == pytest.approx(1)
    assert [row["probability"] for row in every] == sorted((row["probability"] for row in every), reverse=True)
    assert first == every[:1]


def test_a_connection_serves_one_request_after_another() -> None:
    """Also where the second arrives with the first, and after an error."""
    with running() as it, connected(it.port) as line:
        line.sendall(request(png(1)) + request(b"nothing") + request(png(1)))
        statuses = [answer(line) for _ in range(3)]
    assert [one.status for one in statuses] == [200, 422, 200]
    assert statuses[0].body == statuses[2].body


def test_answers_that_arrive_together_are_read_one_by_one() -> None:
    """By the reader of these tests."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" * 3)
        assert [answer(ours).body for _ in range(3)] == [b"ok"] * 3


def test_every_answer_has_the_security_headers() -> None:
    """Whatever the path and the status."""
    with running() as it:
        for path in PATHS:
            headers = get(it.port, path).headers
            assert SECURITY.items() <= headers.items()
            assert "server" not in headers


REFUSED = (
    ("POST /v1/classify?top=0 HTTP/1.1", 422, 'top must be a whole number from 1; got "0"'),
    ("POST /v1/classify?top=1e3 HTTP/1.1", 422, 'top must be a whole number from 1; got "1e3"'),
    ("POST /v1/classify?top=%D9%A3 HTTP/1.1", 422, "top must be a whole number from 1"),
    ("POST /v1/classify?tpo=3 HTTP/1.1", 422, 'no query parameter "tpo"; did you mean "top"?'),
    ("PUT /v1/classify HTTP/1.1", 405, 'this path does not take "PUT"; it takes POST'),
    ("POST /v1/model HTTP/1.1", 405, 'this path does not take "POST"; it takes GET, HEAD'),
    ("POST /v1/classify/ HTTP/1.1", 404, "no such path; the paths are / /v1/classify"),
    ("GET /v1/model/../../secret HTTP/1.1", 404, "no such path"),
    ("GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1", 404, "no such path"),
    ("GET /page.js%00.png HTTP/1.1", 404, "no such path"),
    ("GET //etc/passwd HTTP/1.1", 404, "no such path"),
    ("GET http://other.example/v1/model HTTP/1.1", 404, "no such path"),
)


def test_requests_that_are_not_served_are_told_why() -> None:
    """One line of JSON with the right status; no path of a request reaches a file."""
    with running() as it:
        for line, status, sentence in REFUSED:
            found = asked(it.port, request(png(), line=line))
            assert (found.status, line) == (status, line)
            assert sentence in found.error
        assert get(it.port, "/health/ready").status == 200


BODIES = (
    ("an empty body", b"", (), 422, "the body is empty"),
    ("a text", b"hello\n" * 9, (), 422, "something else, not a complete JPEG, PNG, WEBP or BMP"),
    ("a drawing", b"<svg xmlns='http://www.w3.org/2000/svg'/>", (), 422, "a web page or a drawing"),
    ("half a PNG", png()[:-40], (), 422, "the image cannot be classified"),
    ("a form", b"--x\r\n", ("Content-Type: multipart/form-data; boundary=x",), 415, "curl --data-binary"),
    ("gzip", b"\x1f\x8b", ("Content-Encoding: gzip",), 415, "must not be encoded"),
    ("two images", png(1) + png(2), (), 422, "two images in one body"),
    ("a large body", b"x" * 20_001, (), 413, "larger than 20,000 bytes"),
    ("many pixels", png(size=(101, 100))[:300] + b"x" * 9, (), 422, "101 x 100 pixels, where 10,000 is the most"),
    ("a line", png(size=(200, 1)), (), 422, "a photograph has 2 a side or more"),
    ("many scans", b"\xff\xd8\xff\xe0" + b"\xff\xda\x00" * 31, (), 422, "a JPEG of 31 scans"),
)


def test_bodies_that_are_no_image_are_told_why() -> None:
    """4xx in one line of JSON, and the server goes on."""
    with running(SMALL) as it:
        for name, body, headers, status, sentence in BODIES:
            found = asked(it.port, request(body, *headers))
            assert (found.status, name) == (status, name)
            assert sentence in found.error
            assert "RESATLAS" not in found.error
        assert asked(it.port, request(png())).status == 200
        assert it.gate.batches == [1]


def test_what_is_no_http_is_answered_in_a_line_and_closed() -> None:
    """400 as JSON, for wrong bytes, two lengths, and headers without end."""
    wrong = (
        b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
        request(b"x", "Content-Length: 7"),
        b"GET / HTTP/1.1\r\n" + b"X: " + b"y" * 100_000,
        request(line="GET /v1/\x7fmodel HTTP/1.1"),
    )
    with running() as it:
        for text in wrong:
            with connected(it.port) as line:
                line.sendall(text)
                found = answer(line)
                assert (found.status, found.headers["connection"]) == (400, "close")
                assert found.error.startswith("not a valid HTTP request")
                assert closed(line)
        assert get(it.port, "/health/live").status == 200


def test_a_range_changes_nothing() -> None:
    """Nothing is served in parts."""
    with running() as it:
        whole = get(it.port, "/page.js")
        part = asked(it.port, request(b"", "Range: bytes=5-1,-99999999999", line="GET /page.js HTTP/1.1"))
    assert (part.status, part.body) == (200, whole.body)


def mistaken(_: Tensor) -> Tensor:
    """A network that fails."""
    raise ZeroDivisionError


def hungry(_: bytes) -> Tensor:
    """A preparation that finds no memory."""
    raise MemoryError


def test_a_mistake_of_ours_is_a_line_without_details(caplog: pytest.LogCaptureFixture) -> None:
    """500, for all images of the batch; one line to the operator; the next image is answered."""
    with running() as it:
        classifier = it.server.service.batcher._classifier
        it.server.service.batcher._classifier = replace(classifier, logits=mistaken)
        found = asked(it.port, request(png()))
        it.server.service.batcher._classifier = classifier
        assert asked(it.port, request(png())).status == 200
    assert (found.status, found.error) == (500, "a defect of the server; its operator finds one line about it")
    [line] = [record.getMessage() for record in caplog.records if record.name == "resatlas.serving"]
    assert line.startswith("resatlas serve, /v1/classify: ZeroDivisionError")


def test_too_little_memory_is_not_a_defect() -> None:
    """503, with the time to try again."""
    with running() as it:
        batcher = it.server.service.batcher
        batcher._classifier = replace(batcher._classifier, prepare=hungry)
        found = asked(it.port, request(png()))
    assert (found.status, found.headers["retry-after"]) == (503, "1")
    assert "too little memory" in found.error


def test_requests_are_counted_by_path_and_status() -> None:
    """Without a label of what a client invents; with the images of each batch and the process's memory."""
    with running() as it:
        asked(it.port, request(png()))
        asked(it.port, request(b"x"))
        get(it.port, "/nothing-of-ours")
        found = get(it.port, "/metrics")
    lines = found.body.decode().splitlines()
    assert found.headers["content-type"].startswith("text/plain")
    for line in (
        'resatlas_requests_total{path="/v1/classify",status="200"} 1.0',
        'resatlas_requests_total{path="/v1/classify",status="422"} 1.0',
        'resatlas_requests_total{path="other",status="404"} 1.0',
        "resatlas_batch_images_sum 1.0",
        "resatlas_waiting_images 0.0",
        "resatlas_ready 1.0",
    ):
        assert line in lines
    assert any(line.startswith("process_resident_memory_bytes ") for line in lines)
    assert "nothing-of-ours" not in found.body.decode()


def test_names_of_classes_stay_text() -> None:
    """Markup is data in JSON, and a name that is not UTF-8 is escaped."""
    with running() as it:
        batcher = it.server.service.batcher
        batcher._classifier = replace(batcher._classifier, classes=("a\udc80b", "<b>", '"\n'))
        found = asked(it.port, request(png()))
    assert {row["class"] for row in found.json["classes"]} == {"a\udc80b", "<b>", '"\n'}
    assert found.headers["x-content-type-options"] == "nosniff"
    json.loads(found.body.decode("utf-8"))
