"""The designs of a question as a table, the lowest mean error above, each with its interval and its cost."""

from resatlas.reporting.answering import Answered
from resatlas.reporting.questions import Group
from resatlas.reporting.statistics import mean_interval
from resatlas.reporting.table import Grid, with_deviation

HEAD = (
    *("nets", "test error, %", "95 % of the mean", "parameters", "multiply-adds", "seconds", "depth"),
    *("mean path length", "training loss", "validation error, %", "images/s"),
)


def leaders(told: Answered) -> Grid:
    """A line a design, and a recipe of its own where there are several; nobody's rank is more than its interval."""
    groups = sorted(told.question.groups, key=lambda group: (group.row.test_error_percent.mean, group.label))
    several = len({group.experiment.recipe for group in groups}) > 1
    words = ("design", "recipe") if several else ("design",)
    rows = tuple((group.row.design, *((_recipe(group),) if several else ()), *_figures(group)) for group in groups)
    return Grid((*words, *HEAD), rows, words=len(words))


def _recipe(group: Group) -> str:
    return f"{group.row.recipe}, {group.row.epochs} epochs"


def _figures(group: Group) -> tuple[str, ...]:
    row, known = group.row, mean_interval(group.errors)
    return (
        f"{len(group.seeds)}",
        with_deviation(row.test_error_percent, ".2f"),
        f"{known[0]:.2f} to {known[1]:.2f}" if known else "–",
        f"{row.parameters:,}",
        f"{row.multiply_adds:,}",
        f"{group.seconds:,.1f}",
        f"{row.depth}",
        f"{row.mean_path_length:.2f}",
        with_deviation(row.train_loss, ".4f"),
        with_deviation(row.validation_error_percent, ".2f"),
        f"{row.images_per_second:,.0f}",
    )
