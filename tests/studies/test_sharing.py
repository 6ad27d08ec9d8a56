"""A study in shares, as jobs or machines carry it out: dealt in one way, equal to the whole, with its status."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resatlas.cli.main import main
from resatlas.errors import UsageError
from resatlas.runs.names import FIRST, METRICS, STATUS
from resatlas.runs.store import Run
from resatlas.studies.sharing import MOST_SHARES, WHOLE, Share, parsed
from resatlas.studies.status import SILENT, study_status
from resatlas.studies.study import read_study
from resatlas.values.table import objects
from tests.studies import tiny
from tests.training import processes
from tests.training.small import assert_same, carried_out


@given(runs=st.lists(st.integers(), max_size=40), of=st.integers(1, 12))
def test_every_run_is_in_one_share(runs: list[int], of: int) -> None:
    """And shares differ by one run at most."""
    shares = [Share(number, of).dealt(runs) for number in range(1, of + 1)]
    assert sorted(run for share in shares for run in share) == sorted(runs)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    assert WHOLE.dealt(runs) == runs


def test_a_share_is_read_as_it_is_written() -> None:
    """2/8 is the second of eight."""
    assert parsed("2/8") == Share(2, 8)
    assert parsed(str(Share(11, 12))) == Share(11, 12)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0/8", "the shares of 8 are 1 to 8; got 0"),
        ("9/8", "the shares of 8 are 1 to 8; got 9"),
        ("1/0", f"1 to {MOST_SHARES:,} shares; got 0"),
        ("1/10001", f"1 to {MOST_SHARES:,} shares; got 10,001"),
        ("2", "a share is I/N, such as 2/8"),
        ("2/8/3", "a share is I/N"),
        ("-1/8", "a share is I/N"),
        ("२/८", "a share is I/N"),
    ],
)
def test_what_is_no_share_is_refused(text: str, words: str) -> None:
    """With the right form."""
    with pytest.raises(UsageError, match=words):
        parsed(text)


@pytest.mark.slow
def test_shares_together_are_the_whole_study(tmp_path: Path) -> None:
    """Two programs at the same time, on one folder: every run once, bit-equal to a run alone, and a page at the end."""
    study = read_study(tiny.write(tmp_path))
    words = ("study", str(tmp_path / "tiny.toml"), "--out", str(tmp_path / "out"), "--workers", "1")
    begun = [
        processes.start(tmp_path / str(number), *words, "--share", f"{number}/2", "--json", first=tiny.forking)
        for number in (1, 2)
    ]
    ended = [program.ended() for program in begun]
    assert [one.code for one in ended] == [0, 0]
    told = [json.loads(one.out) for one in ended]
    assert [one["share"] for one in told] == ["1/2", "2/2"]
    assert max(one["finished"] for one in told) == told[0]["runs"] == 4
    assert not (tmp_path / "out" / "report.html").exists()
    for name, experiment in study.distinct_experiments().items():
        assert_same(Run(tmp_path / "out" / name), carried_out(tmp_path / "alone" / name, experiment, save_every=30))
    assert processes.run(tmp_path, *words, "--quiet").code == 0
    assert (tmp_path / "out" / "report.html").is_file()


def test_a_block_is_carried_out_alone(tmp_path: Path) -> None:
    """The runs of one seed, in a sitting of their own."""
    study = read_study(tiny.write(tmp_path))
    words = ("study", str(tmp_path / "tiny.toml"), "--out", str(tmp_path / "out"), "--workers", "1", "--json")
    ended = processes.run(tmp_path, *words, "--blocks", "1", first=tiny.forking)
    assert (ended.code, json.loads(ended.out)) == (0, {"share": "1/1", "blocks": [1], "finished": 2, "runs": 4})
    begun = {folder.name for folder in (tmp_path / "out").iterdir() if folder.is_dir()}
    assert begun == {name for name, experiment in study.distinct_experiments().items() if experiment.seed == 1}


def _write(folder: Path, name: str, *, epochs: int, status: str | None, reason: str = "", ago: float = 0.0) -> None:
    """The files of a run that its status is read from, last written so many seconds before 2001."""
    run = folder / name
    run.mkdir(parents=True)
    (run / FIRST).write_text("{}")
    (run / METRICS).write_text("".join(f'{{"epoch": {k}}}\n' for k in range(epochs)))
    if status:
        (run / STATUS).write_text(json.dumps({"status": status, "pid": 1, "reason": reason}))
    for file in run.iterdir():
        os.utime(file, (NOW - ago, NOW - ago))


NOW = 978_307_200.0


def test_the_status_is_read_from_the_folders(tmp_path: Path) -> None:
    """Of runs that have not begun, run, are silent, were stopped or failed, and are finished."""
    text = tiny.TEXT.replace("seeds = 2", "seeds = 3")
    study = read_study(tiny.write(tmp_path, text))
    names = list(study.distinct_experiments())
    _write(tmp_path / "out", names[0], epochs=1, status="running", ago=30)
    _write(tmp_path / "out", names[1], epochs=2, status="running", ago=SILENT + 60)
    _write(tmp_path / "out", names[2], epochs=0, status=None, ago=6)
    _write(tmp_path / "out", names[3], epochs=1, status="failed", reason="the disk is full")
    _write(tmp_path / "out", names[4], epochs=3, status="finished", ago=7200)
    rows = objects(study_status(study, tmp_path / "out", now=NOW))
    assert [(row["run"], row["state"], row["epochs"], row["of"]) for row in rows] == [
        (names[0], "running", 1, 3),
        (names[1], "silent", 2, 3),
        (names[2], "running", 0, 3),
        (names[3], "failed", 1, 3),
        (names[4], "finished", 3, 3),
        (names[5], "not begun", 0, 3),
    ]
    assert [row["minutes ago"] for row in rows] == pytest.approx([0.5, 11, 0.1, 0, 120, None])
    assert rows[3]["reason"] == "the disk is full"


def test_the_verb_tells_the_status(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It changes nothing, and a folder without runs is named."""
    study = tiny.write(tmp_path)
    assert main(("study", str(study), "--out", str(tmp_path / "out"), "--status")) == 2
    assert "does not exist: no run of study tiny has begun there" in capsys.readouterr().err
    _write(tmp_path / "out", next(iter(read_study(study).distinct_experiments())), epochs=1, status="stopped")
    before = sorted((file, file.stat().st_mtime_ns) for file in (tmp_path / "out").rglob("*"))
    assert main(("study", str(study), "--out", str(tmp_path / "out"), "--status")) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "4 runs: 3 not begun, 1 stopped"
    assert sorted((file, file.stat().st_mtime_ns) for file in (tmp_path / "out").rglob("*")) == before


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--share", "3/2"), "the shares of 2 are 1 to 2; got 3"),
        (("--blocks", "0,,1"), "blocks are seeds with commas between them, such as 0,2; got"),
        (("--blocks", "0,5"), "study tiny has blocks of the seeds 0, 1; got 5, the nearest is 1"),
        (("--status", "--blocks", "1"), "with --status or --on does not take --blocks"),
        (("--workers", "0"), "expected a whole number from 1 to 1,024; got"),
        (("--status", "--share", "1/2"), "with --status or --on does not take --share"),
    ],
)
def test_wrong_options_are_refused(
    words: tuple[str, ...], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one line, before anything is written."""
    assert main(("study", str(tiny.write(tmp_path)), "--out", str(tmp_path / "out"), *words)) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
