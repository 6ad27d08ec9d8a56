"""The output of preflight: one sentence, the facts behind it, one JSON value, and the exit code."""

import json
import re
import shlex
from pathlib import Path

import pytest

from resatlas.cli.main import main
from resatlas.studies import demand, pace
from resatlas.values.room import Room

Captured = pytest.CaptureFixture[str]

WORDS = ("preflight", "resnet-56", "--data", "synthetic:images=1000", "--set", "validation=0", "--batch", "100")


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two GiB of memory, one core, no cache, and a peak of 10⁹ multiply-adds a second."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(demand, "memory_room", lambda: Room(2 << 30, 2 << 30))
    monkeypatch.setattr(pace, "cores", lambda: 1)
    monkeypatch.setattr(pace, "_measured", lambda: 1e9)


def test_a_sentence_and_its_facts(capsys: Captured) -> None:
    """What a user would say comes first; then a line for each fact."""
    assert main(WORDS) == 0
    first, empty, *facts = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"1\.\d GiB of 2; about 11 minutes an epoch, 68 minutes", first)
    assert empty == ""
    names = ["training", "execution", "images", "steps", "learning rate", "memory", "of one process", "disk", "time"]
    assert [fact[: fact.index("  ")] for fact in facts] == [*names, "loader"]
    assert any("60 steps: 6 epochs of 10" in fact for fact in facts)


def test_one_json_value(capsys: Captured) -> None:
    """With the parts of the memory, which add up, and the basis of the time."""
    assert main((*WORDS, "--json")) == 0
    values = json.loads(capsys.readouterr().out)
    memory = values["memory"]
    assert sum(memory["parts"].values()) == memory["process_bytes"] == memory["needed_bytes"]
    assert values["fits"] is True
    assert values["sentence"].endswith("; about 11 minutes an epoch, 68 minutes")
    assert values["time"]["epoch_seconds"] == pytest.approx(10 * values["time"]["step_seconds"])
    assert "measured now" in values["time"]["basis"]


def test_exit_code_1_where_it_cannot_fit(capsys: Captured) -> None:
    """The result is printed all the same, with settings that fit."""
    assert main((*WORDS, "--batch", "400")) == 1
    out = capsys.readouterr().out
    assert "Does not fit: the training needs about " in out.splitlines()[0]
    assert "--checkpoint-activations segments needs" in out


@pytest.mark.parametrize(
    ("words", "most", "suggested"),
    [
        (
            ("resnet-110", "--recipe", "resnet-cifar"),
            1100 << 20,
            ["--checkpoint-activations segments", "--set norm_group=16", "--batch 24 --set norm_group=24"],
        ),
        (
            ("resnet-110", "--recipe", "resnet-cifar", "--processes", "2"),
            1500 << 20,
            ["--processes 1", "--set norm_group=8", "--batch 24 --set norm_group=24"],
        ),
        (
            ("resnet-56", "--checkpoint-activations", "units", "--batch", "256"),
            1050 << 20,
            ["--set norm_group=64", "--batch 72"],
        ),
    ],
)
def test_every_setting_that_is_suggested_fits(
    words: tuple[str, ...],
    most: int,
    suggested: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: Captured,
) -> None:
    """The same command with the words of a suggestion passes, and needs what was said."""
    monkeypatch.setattr(demand, "memory_room", lambda: Room(most, most))
    command = ("preflight", *words, "--data", "synthetic:images=300", "--json")
    assert main(command) == 1
    [shortage] = json.loads(capsys.readouterr().out)["shortages"]
    assert [remedy["option"] for remedy in shortage["remedies"]] == suggested
    for remedy in shortage["remedies"]:
        assert main((*command, *shlex.split(remedy["option"]))) == 0
        assert json.loads(capsys.readouterr().out)["memory"]["needed_bytes"] == remedy["bytes"] <= most


def test_quiet_has_the_exit_code_alone(capsys: Captured) -> None:
    """For scripts."""
    assert main((*WORDS, "--batch", "400", "--quiet")) == 1
    assert capsys.readouterr() == ("", "")
