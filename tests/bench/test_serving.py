"""The benchmark of the server, against a server in this process."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest

from resatlas.bench import serving
from resatlas.bench.benchmarks import Options
from resatlas.bench.rows import to_json
from resatlas.errors import ProcessLost
from tests.serving.running import png, running

DESIGN = "resnet-20"


def test_every_image_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row for the small PNG and one for the photograph: all answered, all counted, times in order."""
    monkeypatch.setattr(serving, "SECONDS", 0.2)
    advances: list[tuple[int, int]] = []
    with running() as it:

        def here(_design: str, _folder: Path) -> AbstractContextManager[int]:
            return nullcontext(it.port)

        monkeypatch.setattr(serving, "_server", here)
        measured = serving.measure(
            Options(designs=(DESIGN,), rounds=2), lambda _, done, total: advances.append((done, total))
        )
        answered = it.server.service.metrics.answered
    small, photograph = to_json(measured)["rows"]
    assert (small["image"], photograph["image"]) == ("PNG 32x32", "JPEG 640x427")
    for row in (small, photograph):
        assert row["refused"] == 0
        assert 0 < row["median_seconds"] <= row["p99_seconds"]
        assert row["requests_per_second"] > 0
    assert small["requests"] + photograph["requests"] < answered
    assert advances == [(k + 1, 6) for k in range(6)]


def test_refusals_are_counted() -> None:
    """An answer other than 200 is one."""
    with running() as it:
        refused = serving.load(it.port, b"no image", seconds=0.1, connections=2)
        answered = serving.load(it.port, png(), seconds=0.1, connections=2)
    assert refused.refused == len(refused.seconds) >= 2
    assert answered.refused == 0


def test_a_server_that_does_not_start_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the last line that it printed."""

    def empty(_network: object, folder: Path, **_: object) -> None:
        folder.mkdir()

    monkeypatch.setattr(serving, "save_pretrained", empty)
    with (
        pytest.raises(ProcessLost, match="the server has not started: FolderError: "),
        serving._server(DESIGN, tmp_path),
    ):
        pass
