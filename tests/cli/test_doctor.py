"""The doctor lists what is installed and what is missing; its exit code is 0 if the demo can run."""

import json
from pathlib import Path

import pytest

from resatlas.cli.main import main
from resatlas.data.catalog import NAMED


def test_data_that_must_be_fetched_may_be_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each data set has a line; without files only digits and synthetic exist, and the exit code is 0."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RESATLAS_DATA", str(tmp_path / "none"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert main(["doctor", "--json"]) == 0
    findings = json.loads(capsys.readouterr().out)
    assert {name for name in findings if name.startswith("data ")} == {f"data {name}" for name in NAMED}
    assert findings["data digits"] == {"found": "1,437 training and 360 test images", "ok": True}
    for name in ("cifar-10", "cifar-100", "svhn", "imagenet"):
        assert not findings[f"data {name}"]["ok"]
        assert str(tmp_path) in findings[f"data {name}"]["found"]
