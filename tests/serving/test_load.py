"""Too many, too slow, too large, silent: what the server does with clients that take more than their share.

No test asserts how long something takes. The network is held back by the test, so that the order of events is known.
"""

import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from threading import active_count

import pytest

from resatlas.errors import UsageError
from resatlas.serving import batching, connections
from resatlas.serving.limits import Limits
from resatlas.serving.server import bound, serve
from resatlas.serving.service import Service
from tests.serving.running import (
    PATIENCE,
    Gate,
    Running,
    answer,
    asked,
    classifier_of,
    closed,
    connected,
    get,
    png,
    request,
    running,
)

QUICK = Limits(silent_seconds=0.5)
"""Silent connections are closed soon."""


def eventually(condition: Callable[[], object]) -> None:
    """Wait for a condition that must become true."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def waiting(it: Running) -> int:
    """Images in work."""
    return it.server.service.batcher.waiting


def decoded(it: Running) -> int:
    """Images that wait for a forward pass."""
    return it.server.service.batcher._decoded.qsize()


def hold(it: Running, lines: ExitStack, count: int) -> list[socket.socket]:
    """Requests whose images are in work until the gate opens, the first of them in a forward pass."""
    it.gate.open.clear()
    held = [lines.enter_context(connected(it.port)) for _ in range(count)]
    for k, line in enumerate(held):
        line.sendall(request(png(k)))
        if k == 0:
            assert it.gate.began.acquire(timeout=PATIENCE)
    eventually(lambda: waiting(it) == count)
    return held


def test_nothing_is_classified_before_the_server_is_warm() -> None:
    """Health answers from the start; images are refused until the first of our own has passed."""
    with running(warm=False) as it:
        assert get(it.port, "/health/live").status == 200
        ready = get(it.port, "/health/ready")
        assert (ready.status, ready.json) == (503, {"ready": False, "phase": "warming"})
        assert "starting" in asked(it.port, request(png())).error
        it.gate.open.set()
        eventually(lambda: get(it.port, "/health/ready").status == 200)
        assert asked(it.port, request(png())).status == 200


def test_all_that_wait_are_one_batch() -> None:
    """The first image waits for nothing; those that come meanwhile are classified together, up to the limit."""
    with running(Limits(batch=4)) as it, ExitStack() as lines:
        held = hold(it, lines, 6)
        eventually(lambda: decoded(it) == 5)
        it.gate.open.set()
        assert [answer(line).status for line in held] == [200] * 6
        assert it.gate.batches == [1, 4, 1]


def test_answers_of_a_batch_are_those_of_single_images() -> None:
    """Each request gets the classes of its own image."""
    with running() as it, ExitStack() as lines:
        alone = [asked(it.port, request(png(k))).json for k in range(5)]
        held = hold(it, lines, 5)
        it.gate.open.set()
        assert [answer(line).json for line in held] == alone


def test_a_full_queue_is_answered_at_once_and_health_is_not_load() -> None:
    """503 while all places are taken by images that do not move; health, model and metrics answer meanwhile."""
    with running(Limits(queue=4)) as it, ExitStack() as lines:
        held = hold(it, lines, 4)
        for _ in range(3):
            refused = asked(it.port, request(png()))
            assert (refused.status, refused.headers["retry-after"]) == (503, "1")
            assert "4 images are waiting" in refused.error
            assert [get(it.port, path).status for path in ("/health/live", "/health/ready", "/v1/model")] == [200] * 3
        assert "resatlas_waiting_images 4.0" in get(it.port, "/metrics").body.decode()
        it.gate.open.set()
        assert [answer(line).status for line in held] == [200] * 4
        assert asked(it.port, request(png())).status == 200


def test_two_hundred_at_once_are_answered_or_refused() -> None:
    """Every request gets 200 or 503 and health 200; no thread, connection or image is left over."""
    with running(Limits(queue=16, connections=220)) as it, ThreadPoolExecutor(201) as pool:
        assert asked(it.port, request(png())).status == 200
        files = len(list(Path("/proc/self/fd").iterdir()))
        answers = [pool.submit(asked, it.port, request(png(k))) for k in range(200)]
        health = [pool.submit(get, it.port, "/health/ready") for _ in range(5)]
        statuses = [one.result().status for one in answers]
        assert {one.result().status for one in health} == {200}
        assert {200} <= set(statuses) <= {200, 503}
        assert waiting(it) == it.server.service._holding.bytes == 0
        eventually(lambda: not it.server.server_state.connections)
        assert len(list(Path("/proc/self/fd").iterdir())) <= files
        assert asked(it.port, request(png())).status == 200


def test_an_answer_that_takes_too_long_is_given_up() -> None:
    """503 while the network is busy; the image keeps its place until the network lets go of it."""
    with running(Limits(answer_seconds=0.3)) as it:
        it.gate.open.clear()
        assert "no answer within 0.3 s" in asked(it.port, request(png())).error
        assert waiting(it) == 1
        it.gate.open.set()
        eventually(lambda: waiting(it) == 0)
        assert asked(it.port, request(png())).status == 200


def test_a_client_that_leaves_leaves_nothing() -> None:
    """Half a body, or a whole one whose client does not wait for the answer."""
    with running() as it, ExitStack() as lines:
        held = hold(it, lines, 2)
        half = lines.enter_context(connected(it.port))
        half.sendall(request(png())[:-9])
        eventually(lambda: it.server.service._holding.bytes > 2 * len(png()))
        for line in (*held, half):
            line.close()
        it.gate.open.set()
        eventually(lambda: waiting(it) == it.server.service._holding.bytes == 0)
        assert asked(it.port, request(png())).status == 200


LARGE = b"x" * 300_000


@pytest.mark.parametrize("case", ["declared", "expected", "chunked", "one-chunk"])
def test_a_body_over_the_limit_is_refused_as_soon_as_it_is_known(case: str) -> None:
    """413: by its declared length before any byte of it, else as it grows; health answers on."""
    chunk = b"%x\r\n%b\r\n" % (50_000, LARGE[:50_000])
    chunked = request(b"", "Transfer-Encoding: chunked", length=False)
    sent = {
        "declared": request(b"", f"Content-Length: {10**15}", length=False),
        "expected": request(b"", "Expect: 100-continue", f"Content-Length: {len(LARGE)}", length=False),
        "chunked": chunked + 3 * chunk,
        "one-chunk": chunked + b"%x\r\n" % len(LARGE) + LARGE[:150_000],
    }
    with running(Limits(max_body=100_000, silent_seconds=0.5)) as it, connected(it.port) as line:
        line.sendall(sent[case])
        found = answer(line)
        assert (found.status, found.error) == (413, "the body is larger than 100,000 bytes")
        assert it.server.service._holding.bytes == 0
        assert get(it.port, "/health/live").status == 200
        assert closed(line)


def test_a_body_without_length_is_none() -> None:
    """HTTP/1.0 without a length: there is no body, and the connection closes."""
    with running() as it, connected(it.port) as line:
        line.sendall(request(png(), line="POST /v1/classify HTTP/1.0", length=False))
        found = answer(line)
        assert found.status in (400, 422)
        assert closed(line)


def test_a_whole_body_over_the_limit_leaves_the_connection_usable() -> None:
    """Its bytes are read and dropped, so that a client that sends first sees the answer."""
    with running(Limits(max_body=100_000)) as it, connected(it.port) as line:
        line.sendall(request(LARGE))
        assert answer(line).status == 413
        line.sendall(request(png()))
        assert answer(line).status == 200


def test_bodies_of_all_requests_have_a_limit_together() -> None:
    """503 for the body that would exceed it; those that arrived are answered."""
    with running(Limits(max_body=1_000)) as it, ExitStack() as stack:
        image = png()
        body = image + b"\0" * (1_000 - len(image))
        lines = [stack.enter_context(connected(it.port)) for _ in range(16)]
        for line in lines:
            line.sendall(request(body)[:-1])
        eventually(lambda: it.server.service._holding.bytes == 16 * 999)
        assert "bodies of other requests" in asked(it.port, request(body)).error
        for line in lines:
            line.sendall(b"\0")
        assert [answer(line).status for line in lines] == [200] * 16


def test_a_slow_body_ends_while_others_are_answered() -> None:
    """408, although a byte comes now and then; it takes no place from other images."""
    with running(Limits(queue=1, answer_seconds=1.0)) as it, connected(it.port) as line:
        line.sendall(request(png())[:-100])
        assert asked(it.port, request(png())).status == 200
        line.setblocking(False)
        dripping(line)
        assert answer(line).status == 408
        assert get(it.port, "/health/live").status == 200


def dripping(line: socket.socket) -> None:
    """Send a byte now and then until the server answers."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            line.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            line.send(b"x")
            time.sleep(0.05)
        else:
            line.settimeout(PATIENCE)
            return
    raise AssertionError("the server has not answered")


@pytest.mark.parametrize("case", ["silent", "half", "used", "used-half"])
def test_a_connection_without_a_request_is_closed(case: str) -> None:
    """Silent, with half a request line, after an answer, with half a second request; nothing is answered."""
    with running(QUICK) as it, connected(it.port) as line:
        if case.startswith("used"):
            line.sendall(request(png()))
            assert answer(line).status == 200
        if case.endswith("half"):
            line.sendall(b"POST /v1/classify HTTP/1.1\r\nHost:")
        assert closed(line)


def test_headers_that_drip_are_cut_off() -> None:
    """A header line now and then does not keep a connection open."""
    with running(QUICK) as it, connected(it.port) as line:
        line.sendall(b"GET /health/live HTTP/1.1\r\n")
        deadline = time.monotonic() + PATIENCE
        line.settimeout(0.05)
        while time.monotonic() < deadline:
            try:
                line.sendall(b"X: y\r\n")
                if line.recv(1) == b"":
                    break
            except TimeoutError:
                continue
            except OSError:  # the server has closed it
                break
        else:
            raise AssertionError("the connection is still open")


def test_a_client_that_does_not_read_is_cut_off() -> None:
    """Answers that fill its buffers end the connection, and with it what they hold."""
    with running(Limits(silent_seconds=0.3, answer_seconds=0.3)) as it, connected(it.port) as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        line.settimeout(0.2)
        try:
            while True:
                line.sendall(200 * request(line="GET /page.js HTTP/1.1"))
        except OSError:  # the buffers are full
            pass
        eventually(lambda: not it.server.server_state.connections)


def test_connections_beyond_the_limit_are_for_health_only() -> None:
    """503 and closed for an image, an answer for health and metrics."""
    with running(Limits(connections=3)) as it, ExitStack() as stack:
        lines = [stack.enter_context(connected(it.port)) for _ in range(3)]
        eventually(lambda: len(it.server.server_state.connections) == 3)
        with connected(it.port) as line:
            line.sendall(request(png()))
            found = answer(line)
            assert (found.status, found.headers["connection"]) == (503, "close")
            assert "too many connections" in found.error
            assert closed(line)
        assert [get(it.port, path).status for path in ("/health/live", "/health/ready", "/metrics")] == [200] * 3
        lines[0].sendall(request(png()))
        assert answer(lines[0]).status == 200


def test_the_longest_silence_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the reserve is full too, the connection that has waited longest is closed, not the one of a request."""
    monkeypatch.setattr(connections, "RESERVED", 1)
    with running(Limits(connections=2)) as it, ExitStack() as stack:
        [busy] = hold(it, stack, 1)
        silent = []
        for count in (2, 3):
            silent.append(stack.enter_context(connected(it.port)))
            eventually(lambda count=count: len(it.server.server_state.connections) == count)
        assert get(it.port, "/health/live").status == 200
        assert closed(silent[0])
        it.gate.open.set()
        assert answer(busy).status == 200


def test_a_stop_answers_what_is_in_flight() -> None:
    """Images in work and a body on its way are answered; silent connections are closed, new ones refused."""
    with running() as it, ExitStack() as stack:
        silent = stack.enter_context(connected(it.port))
        held = hold(it, stack, 3)
        arriving = stack.enter_context(connected(it.port))
        whole = request(png())
        arriving.sendall(whole[:-9])
        eventually(lambda: it.server.service._holding.bytes > 3 * len(png()))
        it.stop()
        assert closed(silent)
        eventually(lambda: refuses(it.port))
        arriving.sendall(whole[-9:])
        eventually(lambda: waiting(it) == 4)
        it.gate.open.set()
        assert [answer(line).status for line in (*held, arriving)] == [200] * 4
        assert all(closed(line) for line in (*held, arriving))


def test_a_second_stop_drops_what_is_in_flight(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client is told so, and the connection closes."""
    monkeypatch.setattr(batching, "_JOIN_SECONDS", 0.1)
    with running() as it, ExitStack() as stack:
        [line] = hold(it, stack, 1)
        it.stop()
        eventually(lambda: refuses(it.port))
        it.stop()
        assert answer(line).error == "the server has stopped"
        assert closed(line)
        assert it.server.force_exit


def test_a_port_taken_meanwhile_is_told() -> None:
    """Two processes may bind a port at the same time, and one of them may listen."""
    with bound("127.0.0.1", 0) as first:
        with bound("127.0.0.1", first.getsockname()[1]) as second:
            first.listen()
            gate, limits = Gate(), Limits()
            gate.open.set()
            with pytest.raises(UsageError, match="is in use; choose another with --port"):
                serve(Service(classifier_of(gate, limits), limits), second, on_ready=pytest.fail)
        assert gate.batches == []


def refuses(port: int) -> bool:
    """Whether a new connection is refused."""
    try:
        connected(port).close()
    except ConnectionRefusedError:
        return True
    return False


def test_threads_end_with_the_server() -> None:
    """As many as before, however many servers there were."""
    with running():
        pass
    before = active_count()
    for _ in range(3):
        with running() as it:
            assert asked(it.port, request(png())).status == 200
    eventually(lambda: active_count() <= before)
