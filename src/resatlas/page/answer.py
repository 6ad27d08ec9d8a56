"""The answer to a question: the verdict on pairs of designs, or the claims of a factorial question."""

from typing import NamedTuple

from resatlas.comparing.comparison import Comparison
from resatlas.comparing.factorial import Factorial, factorial
from resatlas.comparing.run_sets import RunSet
from resatlas.comparing.words import presentable, presentable_table
from resatlas.errors import UsageError
from resatlas.page import effects_text
from resatlas.page.effects_charts import charts
from resatlas.page.figure import Figure
from resatlas.page.verdict import verdict
from resatlas.values.blocks import Block, Paragraph
from resatlas.values.language import said
from resatlas.values.table import Table


class Answer(NamedTuple):
    """The answer in sentences; `analysis` is that of a factorial question, None if there is none."""

    sentences: tuple[str, ...]
    analysis: Factorial | None = None


class EffectsPart(NamedTuple):
    """The effects of a factorial question on the page: charts, tables, folded tables and notes."""

    setting: str
    figures: tuple[Figure, ...]
    tables: tuple[Table, ...]
    details: tuple[Block, ...]
    notes: tuple[str, ...]


def answer(run_set: RunSet, comparison: Comparison | None) -> Answer:
    """The answer to the question of a run set; the comparison is None if no run is finished.

    A factorial question whose effects cannot be computed has the reason as its answer.
    """
    if not run_set.question.factors or comparison is None or comparison.question.obstacles:
        return Answer(verdict(run_set.question.view, comparison))
    try:
        analysis = factorial(run_set)
    except UsageError as error:
        return Answer((said("No effects: {reason}.", reason=presentable(str(error))),))
    return Answer(tuple(map(presentable, effects_text.claims(analysis))), analysis)


def effects_part(analysis: Factorial) -> EffectsPart:
    """What the page shows of an analysis beside its claims."""
    setting: Paragraph = effects_text.setting(analysis)
    return EffectsPart(
        setting=setting.words,
        figures=charts(analysis),
        tables=tuple(map(presentable_table, effects_text.tables(analysis))),
        details=tuple(map(presentable_table, effects_text.details(analysis))),
        notes=tuple(map(presentable, effects_text.remarks(analysis))),
    )
