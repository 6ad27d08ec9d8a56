"""Figures of rounds that spread too far are not to be quoted."""

import json
from dataclasses import replace
from itertools import cycle

import pytest

from resatlas.analysis.probes import Fact
from resatlas.bench import benchmarks
from resatlas.bench import input as own_input
from resatlas.bench.benchmarks import Options
from resatlas.bench.foreign import Ticks
from resatlas.bench.quoting import warning
from resatlas.bench.rows import Measured, markdown, to_json
from resatlas.cli.main import main
from resatlas.values.table import Table, numbers, objects, words

COLUMNS = (*words("design"), *numbers("over_eager", "over_eager_low", "over_eager_high", "rounds"))


def table(*quartiles: tuple[float | None, float | None]) -> Table:
    """A row for each pair of quartiles."""
    rows = tuple((f"net-{k}", 1.0, low, high, 3) for k, (low, high) in enumerate(quartiles))
    return Table(columns=COLUMNS, rows=rows)


def test_steady_figures_need_no_warning() -> None:
    """Up to one and a half; a figure that was not measured has no quartiles."""
    assert warning([table((1.0, 1.5), (None, None), (2.0, 2.1))], load=9.0, foreign=0.9) is None


def test_the_worst_figure_is_named_with_the_load() -> None:
    """Of all tables; a lower quartile of 0 is the worst."""
    first, second = table((1.0, 1.6), (1.0, 1.2)), table((1.0, 4.0))
    assert warning([first, second], load=7.25, foreign=0.834) == (
        "not to be quoted: 2 figures spread by more than 1.5 times between the quartiles of the rounds, over_eager of "
        "net-0 by 4; other programs took 83 % of the cores meanwhile, and the load of the machine was 7.25 before: "
        "measure again when nothing else runs"
    )
    unknown = warning([table((0.0, 1.0))], load=0.0, foreign=None) or ""
    assert "1 figure spreads by" in unknown
    assert "other programs" not in unknown


SHARE = "share of the cores that other programs took meanwhile"


def counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The counters before and after: others take a quarter of the cores."""
    one, other = Ticks(cores=1000, busy=600, ours=500), Ticks(cores=1400, busy=1000, ours=800)
    pairs = cycle((one, other))
    monkeypatch.setattr(benchmarks, "ticks", lambda: next(pairs))


def test_the_verb_warns_and_fails_if_it_is_strict(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The warning stands before the notes in every form; the load is a fact of every benchmark."""
    result = Measured(question="input", title="Input", rows=table((1.0, 4.0)), notes=("a note",))

    def measure(*_: object) -> Measured:
        return result

    monkeypatch.setattr(own_input, "measure", measure)
    counts(monkeypatch)
    assert main(("bench", "--question", "input")) == 0
    text = capsys.readouterr().out
    assert text.index("not to be quoted: 1 figure") < text.index("a note")
    assert "load of the machine before" in text
    assert f"{SHARE}: 25 %" in text
    assert "other programs took 25 % of the cores" in text
    assert main(("bench", "--question", "input", "--json")) == 0
    told = capsys.readouterr()
    assert json.loads(told.out) == objects(result.rows)
    assert told.err.startswith("not to be quoted: 1 figure")
    assert main(("bench", "--question", "input", "--strict")) == 1
    whole = benchmarks.run_benchmark("input", Options(), on_advance=lambda *_: None)
    assert [note[:9] for note in to_json(whole)["notes"]] == ["not to be", "a note"]
    assert "not to be quoted" in markdown(whole)
    assert f"- {SHARE}: 25 %" in markdown(whole)
    assert {"name": SHARE, "unit": "%", "value": 25.0} in to_json(whole)["facts"]
    assert any(isinstance(fact, Fact) and fact.name == "load of the machine before" for fact in whole.facts)
    result = replace(result, rows=table((1.0, 1.1)))
    capsys.readouterr()
    assert main(("bench", "--question", "input", "--strict")) == 0
    assert "not to be quoted" not in capsys.readouterr().out
