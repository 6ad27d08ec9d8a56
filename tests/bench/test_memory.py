"""`resatlas bench --question memory` from end to end, on networks and batches so small that it takes seconds."""

import json
from pathlib import Path

import pytest

from resatlas.bench import contest, crew, memory, step_memory
from resatlas.cli.main import main
from tests.oracles.peers import library


@pytest.mark.slow
def test_predictions_and_the_peer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row for each network; stored convolutions take less memory than all maps."""
    library("pytorchcv")
    monkeypatch.setattr(crew, "CALL_SECONDS", 1e-9)
    monkeypatch.setattr(contest, "threads", lambda: 1)
    monkeypatch.setattr(memory, "_BATCHES", {})
    monkeypatch.setattr(memory, "_AGAIN", (("resnet-8", "convolutions"),))
    monkeypatch.setattr(step_memory, "_NETWORKS", ("preact-resnet-20-B",))
    out = tmp_path / "memory"
    assert main(("bench", "--question", "memory", "--batch", "64", "--rounds", "2", "--out", str(out))) == 0
    written = json.loads(out.with_suffix(".json").read_text())
    [row] = written["rows"]
    assert (row["design"], row["precision"], row["kept"]) == ("resnet-8", "fp32", "convolutions")
    assert row["peak_bytes"] > row["own_bytes"] > 0
    [further] = written["further"]
    [row] = further["rows"]
    assert row["design"] == "preact-resnet-20-B"
    assert 0 < row["convolutions_bytes"] < row["all_bytes"]
    assert row["all_over_peer"] == row["all_bytes"] / row["peer_bytes"]
    assert row["convolutions_over_all_seconds"] > 0
    assert "peer_bytes" in further["units"]


def test_a_batch_that_is_too_small_is_refused_first(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before minutes of measuring."""
    monkeypatch.delattr(memory, "row")
    monkeypatch.setattr(contest, "cores", lambda: 2)
    assert main(("bench", "--question", "memory", "--batch", "3")) == 2
    assert "--batch must be at least 4" in capsys.readouterr().err
