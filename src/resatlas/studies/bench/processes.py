"""One process a core, of one thread each, against one process of all threads: the same training step of ours."""

from resatlas.analysis.answer import Fact
from resatlas.errors import UsageError
from resatlas.studies.bench.contest import alone, held, ours, plan_of, setting_of, together
from resatlas.studies.bench.questions import Advance, Options
from resatlas.studies.bench.rows import Measured
from resatlas.studies.bench.stopwatch import geometric_mean, ratio, spread
from resatlas.values.table import Cell, Column, Table

COLUMNS = (
    Column("design", ""),
    Column("precision", ""),
    Column("one_process_images_per_second", "images/s"),
    Column("together_images_per_second", "images/s"),
    Column("together_over_one_process", "1"),
    Column("together_over_one_process_low", "1"),
    Column("together_over_one_process_high", "1"),
    Column("batch", "images"),
    Column("processes", "processes"),
    Column("bn_group", "images"),
    Column("one_process_bn_group", "images"),
    Column("rounds", "rounds"),
)


def measure(options: Options, on_advance: Advance) -> Measured:
    """Every network in turn, both ways within one run.

    Raises: UsageError where there is one core, DesignError before anything is measured; ProcessLost.
    """
    setting = setting_of(options)
    if setting.cores == 1:
        raise UsageError("processes is asked where there are several cores; here is one")
    names = tuple(dict.fromkeys(options.designs))
    for name in names:
        plan_of(name)
    rows: list[tuple[Cell, ...]] = []
    ratios: list[float] = []
    for name in names:
        task = ours(name, setting=setting)
        both = {"ours": alone(task, setting), "ours together": together(task, setting)}
        found = held(name, both, setting, rounds=options.rounds, on_advance=on_advance)
        gain = ratio(found.rates["ours together"], found.rates["ours"])
        ratios.append(gain.median)
        rows.append(
            (
                name,
                setting.precision,
                *(spread(found.rates[each]).median for each in both),
                gain.median,
                gain.low,
                gain.high,
                setting.batch,
                setting.cores,
                setting.group(setting.cores),
                setting.group(1),
                len(found.rates["ours"]),
            )
        )
    return Measured(
        question="processes",
        title=f"{setting.cores} processes of one thread against one of {setting.threads}, batch {setting.batch}",
        rows=Table(title="Training steps of ours", columns=COLUMNS, rows=tuple(rows)),
        facts=(
            Fact(name="precision", unit="", value=f"{setting.precision}: {setting.reason}"),
            Fact(
                name=f"together over one process, geometric mean of {len(names)} networks",
                unit="1",
                value=geometric_mean(ratios),
            ),
        ),
        notes=(
            "together: one process a core, of one thread, each with its part of the batch and its own statistics of "
            "norms (bn group), gradients averaged by DDP over gloo. low and high are quartiles over rounds.",
        ),
    )
