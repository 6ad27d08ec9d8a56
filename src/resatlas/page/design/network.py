"""What the page says about a network: its numbers, tables, charts and warnings."""

from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from math import prod
from typing import Any

from resatlas.arch.levels import Level, plan_levels
from resatlas.arch.ops import Shape
from resatlas.arch.paths import MeanLengths, mean_lengths, path_lengths
from resatlas.arch.plan import Plan
from resatlas.arch.text import plan_table
from resatlas.designs import counting
from resatlas.designs.catalog import names_of
from resatlas.designs.published import published_of, published_table
from resatlas.designs.verdicts import Verdict, verdicts
from resatlas.page.design.question import Subject
from resatlas.page.drawing import drawing
from resatlas.page.figure import Spec
from resatlas.page.path_chart import path_chart
from resatlas.values.table import Table, cell_text, words
from resatlas.values.table import table as rows_table
from resatlas.values.text import counted, size_text

_LONGEST_CHART = 5_000  # convolutions; the paths of deeper networks have their mean only

_AGREES: Mapping[str, str] = {"yes": "equal", "partly": "equal by another rule", "no": "differs", "none": ""}


def numbers_of(subject: Subject) -> dict[str, Any]:
    """The numbers that describe the network, as JSON values with all digits."""
    return {
        **counting.numbers_of(subject.entry, subject.plan),
        "units": sum(map(len, subject.plan.stages)),
        "training_bytes": subject.memory.total,
    }


def facts(subject: Subject, figures: Mapping[str, Any]) -> list[list[str]]:
    """The numbers at the top of the page: name, value, what it counts."""
    weighted = figures["weighted_mean_path_length"]
    also = f"{weighted:.2f} weighted" if weighted != figures["mean_path_length"] else "convolutions and classifiers"
    longest = counted(figures["convs_on_longest_path"], "convolution")
    return [
        ["parameters", cell_text(figures["parameters"]), f"{counted(figures['units'], 'unit')}, {longest} in a row"],
        ["multiply-adds", cell_text(figures["multiply_adds"]), f"of one image, {subject.plan.image}"],
        ["training memory", size_text(figures["training_bytes"]), f"batch {subject.batch:,}, fp32, on a processor"],
        ["mean path length", f"{figures['mean_path_length']:.2f}", also],
    ]


def tables(subject: Subject) -> Iterator[Table]:
    """The printed sizes beside ours, published results, memory, and the maps after each stage."""
    printed = [verdict for verdict in verdicts(subject.entry) if verdict.printed]
    if printed:
        yield Table(
            title="Printed sizes beside ours",
            columns=words("size", "printed", "ours", "agreement", "counted by", "source"),
            rows=tuple(_printed_row(verdict) for verdict in printed),
        )
    published = published_of(subject.entry)
    if published:
        yield replace(published_table(published), title="Published errors")
    sizes = {field.name: getattr(subject.memory, field.name) for field in fields(subject.memory)}
    yield Table(
        title="Training memory",
        columns=words("part", "size"),
        rows=tuple((part, size_text(size)) for part, size in sizes.items() if size),
        note=f"One process on a processor, recipe {subject.recipe.name}, batch {subject.batch:,}, fp32; "
        "maps are those that the backward pass reads, with their gradients.",
    )
    yield rows_table("Maps after each stage", Level, plan_levels(subject.plan))


def _printed_row(verdict: Verdict) -> tuple[str, str, str, str, str, str]:
    return (
        verdict.quantity.replace("_", "-"),
        verdict.printed,
        cell_text(verdict.ours),
        _AGREES[verdict.verdict],
        verdict.convention,
        verdict.source,
    )


def warnings(subject: Subject) -> Iterator[str]:
    """Sentences about what a reader may not expect."""
    for verdict in verdicts(subject.entry):
        size = verdict.quantity.replace("_", "-")
        if verdict.verdict == "no":
            yield f"Printed {size}: {verdict.printed}; ours are {verdict.ours:,}, and no known rule of counting agrees."
        elif verdict.verdict == "partly":
            rule = f"equal by another rule: {verdict.convention}"
            yield f"Printed {size}: {verdict.printed}; ours are {verdict.ours:,}, {rule}."
    if not names_of(subject.entry):
        yield "No paper names this network: it has no printed size and no published error."
    if not subject.is_usual:
        usual = f"images of {subject.entry.image} and {counted(subject.entry.classes, 'class')}"
        yield f"Printed sizes are compared for the paper's classes, and published errors are for {usual}."
    yield from _small_maps(subject.plan)


def _small_maps(plan: Plan) -> Iterator[str]:
    """Stages of one pixel, in which a 3x3 kernel reads padding in eight of its nine places."""
    for stage, units in enumerate(plan.stages):
        if prod(units[-1].output[1:]) == 1:
            yield f"From stage {stage} on, maps have one pixel: larger kernels read zeros around it."
            return


def charts(subject: Subject) -> dict[str, Spec]:
    """The drawing, and the paths by length unless the network is too deep for a chart."""
    lengths: MeanLengths = mean_lengths(subject.plan)
    specs = {"drawing": drawing(subject.plan, title=subject.entry.name)}
    if lengths.longest <= _LONGEST_CHART:
        specs["paths"] = path_chart(path_lengths(subject.plan), title="Paths by length")
    return specs


def units(subject: Subject) -> Table:
    """The network unit by unit; equal rows of a stage are one."""
    whole = plan_table(subject.plan)
    rows: list[tuple[Any, ...]] = []
    last: list[str] = []
    for path, *values in whole.rows:
        if rows and list(rows[-1][1:]) == values and str(path).startswith("stages."):
            rows[-1] = (f"{last[0]} … {path}", *values)
        else:
            last = [str(path)]
            rows.append((path, *values))
    return Table(columns=whole.columns, rows=tuple(rows), title="Unit by unit")


def image_text(image: Shape) -> str:
    """The shape as an option takes it: 3,32,32."""
    return ",".join(map(str, image))


def as_json(rows: Table) -> dict[str, Any]:
    """A table as texts, with the columns that hold numbers."""
    return {
        "title": rows.title,
        "note": rows.note,
        "columns": list(rows.head),
        "numeric": [bool(column.unit) for column in rows.columns],
        "rows": [list(row) for row in rows.cells],
    }
