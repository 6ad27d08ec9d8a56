"""How the runs of a question were trained, side by side."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from resatlas.comparing.questions import Group
from resatlas.comparing.words import presentable
from resatlas.values.codec import encode
from resatlas.values.language import known, said
from resatlas.values.table import Table, words

DIFFERS = "differs"
"""The mark of a setting in which designs differ."""


def settings(groups: Sequence[Group]) -> Table | None:
    """A row for each setting of data, recipe and execution, a column for each design; None of a single design."""
    if len(groups) < 2:
        return None
    columns = [dict(_leaves(_experiment(group))) for group in groups]
    names = dict.fromkeys(name for column in columns for name in column)
    rows = [(name, [column.get(name, "–") for column in columns]) for name in names]
    return Table(
        columns=words("setting", "same in all?", *(presentable(group.label) for group in groups)),
        rows=tuple((name, known(DIFFERS) if len(set(values)) > 1 else known("same"), *values) for name, values in rows),
    )


def context(groups: Sequence[Group]) -> str:
    """What a caption says of all runs of a question: their data, recipes, epochs and seeds."""
    data = dict.fromkeys(presentable(group.experiment.data) for group in groups)
    recipes = dict.fromkeys(presentable(group.experiment.recipe.name) for group in groups)
    epochs, seeds = (_span(values) for values in ([g.row.epochs for g in groups], [len(g.seeds) for g in groups]))
    return said(
        "Data {data}; recipe {recipes}; epochs: {epochs}; seeds per design: {seeds}.",
        data=said(", ").join(data),
        recipes=said(", ").join(recipes),
        epochs=epochs,
        seeds=seeds,
    )


def _span(values: Sequence[int]) -> str:
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else said("{low:,} to {high:,}", low=low, high=high)


def _experiment(group: Group) -> Mapping[str, Any]:
    """All settings but the design and the seed."""
    encoded = encode(group.experiment)
    return {name: value for name, value in encoded.items() if name not in ("design", "seed", "own")}


def _leaves(value: object, *path: str) -> Iterator[tuple[str, str]]:
    """Each value inside others with its path, as ("recipe.schedule.peak", "0.1")."""
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from _leaves(inner, *path, str(name))
    elif isinstance(value, list):
        yield ".".join(path), ", ".join(map(_text, value)) or said("none")
    else:
        yield ".".join(path), _text(value)


def _text(value: object) -> str:
    match value:
        case None:
            return said("none")
        case float():
            return f"{value:.6g}"
        case Mapping():
            return "; ".join(f"{name} {text}" for name, text in _leaves(value))
        case _:
            return presentable(str(value))
