"""The designs of a comparison as a table, sorted by mean test error, with intervals and costs."""

from resatlas.comparing.comparison import Comparison
from resatlas.comparing.questions import Group
from resatlas.comparing.statistics import mean_interval
from resatlas.page.table import with_deviation
from resatlas.values.language import said
from resatlas.values.table import Cell, Column, Table, numbers, select, words
from resatlas.values.text import counted

_FIGURES = (
    *(*numbers("seeds"), Column("test error", "%")),
    *numbers("95 % interval of the mean", "parameters", "multiply-adds"),
    *(Column("seconds", "1", ",.1f"), *numbers("depth"), Column("mean path length", "1", ".2f")),
    *(*numbers("training loss"), Column("validation error", "%"), Column("images/s", "1", ",.0f")),
)


_LEADING = ("seeds", "test error", "95 % interval of the mean", "parameters")


def leaders(comparison: Comparison) -> Table:
    """A row per design, and per recipe if there are several."""
    groups = sorted(comparison.question.groups, key=lambda group: (group.row.test_error_percent.mean, group.label))
    several = len({group.experiment.recipe for group in groups}) > 1
    names = words("design", "recipe") if several else words("design")
    rows = tuple(
        (group.row.design if several else group.label, *((_recipe(group),) if several else ()), *_figures(group))
        for group in groups
    )
    return Table(columns=(*names, *_FIGURES), rows=rows)


def leading(table: Table) -> Table:
    """The columns of the designs that fit on a phone."""
    names = [column.name for column in table.columns]
    short = [name for name in names if name in ("design", "recipe", *_LEADING)]
    return select(table, short, title="")


def _recipe(group: Group) -> str:
    return said("{recipe}, {epochs}", recipe=group.row.recipe, epochs=counted(group.row.epochs, "epoch"))


def _figures(group: Group) -> tuple[Cell, ...]:
    row, interval = group.row, mean_interval(group.errors)
    return (
        len(group.seeds),
        with_deviation(row.test_error_percent, ".2f"),
        said("{low:.2f} to {high:.2f}", low=interval[0], high=interval[1]) if interval else None,
        row.parameters,
        row.multiply_adds,
        group.seconds,
        row.depth,
        row.mean_path_length,
        with_deviation(row.train_loss, ".4f"),
        with_deviation(row.validation_error_percent, ".2f"),
        row.images_per_second,
    )
