"""Images per second of a training step, ours against a peer's, with the same global batch and norm groups.

Ours is the step of the training loop with all its checks; a peer's is the usual step of a training script.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import assert_never

from resatlas.analysis.probes import Fact
from resatlas.arch.cost import cost
from resatlas.arch.plan import Plan
from resatlas.bench.benchmarks import Advance, Options
from resatlas.bench.ceiling import peaks, share_percent
from resatlas.bench.contest import (
    Contest,
    Setting,
    in_one_process,
    in_process_per_core,
    our_step,
    plan_of,
    run_contest,
    setting_of,
)
from resatlas.bench.crew import Contender
from resatlas.bench.peers import PeerNet
from resatlas.bench.profile import GROUPS, OTHER
from resatlas.bench.rivals import PEER, NoRival, Rival, Twins, rival_of
from resatlas.bench.rows import Measured, View
from resatlas.bench.stopwatch import Spread, geometric_mean, spread
from resatlas.bench.tasks import CLASSES, IMAGE, Peer, Tuning
from resatlas.runs.environment import installed_version
from resatlas.training.compiling import require_compiler
from resatlas.values.table import Cell, Column, Table

_RATES: Mapping[str, str] = {
    "one_process": "ours",
    "together": "ours together",
    "peer_default": "default",
    "peer_tuned": "tuned",
    "peer_tuned_together": "tuned together",
    "peer_compiled": "compiled",
    "twins": "twins",
}
"""Rates of a row, and their contenders."""

_PEERS = tuple(contender for name, contender in _RATES.items() if name.startswith("peer_"))

RATIOS: Mapping[str, tuple[str, str]] = {
    "over_best": ("best", "best peer"),
    "over_default": ("best", "default"),
    "over_tuned": ("best", "tuned"),
    "over_compiled": ("best", "compiled"),
    "one_process_over_tuned": ("ours", "tuned"),
    "together_over_tuned_together": ("ours together", "tuned together"),
    "one_process_over_twins": ("ours", "twins"),
}
"""Ratios of a row, and their contenders; `best` is our fastest contender, `best peer` the fastest of the peer."""


def _with_quartiles(*names: str) -> tuple[str, ...]:
    return tuple(f"{name}{end}" for name in names for end in ("", "_low", "_high"))


_COUNTS: Mapping[str, str] = {
    "batch": "images",
    "processes": "processes",
    "bn_group": "images",
    "peer_bn_group": "images",
    "rounds": "rounds",
    "parameters": "1",
    "peer_parameters": "1",
    "multiply_adds": "1",
}
"""Settings and counts of a row, and their units."""

_PERCENT = ("share_of_peak_percent", *(f"{group}_percent" for group in (*GROUPS, OTHER)))

COLUMNS = (
    *(Column(name, "") for name in ("design", "peer", "precision")),
    *(Column(name, "images/s") for name in _with_quartiles("images_per_second")),
    *(Column(f"{name}_images_per_second", "images/s") for name in _RATES),
    *(Column(name, "1") for name in _with_quartiles(*RATIOS)),
    *(Column(name, unit) for name, unit in _COUNTS.items()),
    *(Column(name, "%") for name in _PERCENT),
)
"""Columns of a row: rates are medians over rounds, ratios are medians of ratios within a round, with quartiles.

A value is None if there is no such contender. `images_per_second` is the rate of our best contender.
"""

_VIEWS = (
    View(
        "Ours at its best against the peer at its best, how many times as fast",
        ("design", *_with_quartiles("over_best")),
    ),
    View("Images a second", ("design", "peer", *(f"{name}_images_per_second" for name in _RATES))),
    View(
        "Ours at its best against each peer, how many times as fast in the same rounds",
        ("design", *_with_quartiles("over_default", "over_tuned", "over_compiled")),
    ),
    View(
        "Ours at equal numbers of processes, how many times as fast",
        (
            "design",
            *_with_quartiles("one_process_over_tuned", "together_over_tuned_together", "one_process_over_twins"),
        ),
    ),
    View("How it was measured", ("design", "precision", *_COUNTS)),
    View("Ours at its best: share of the machine's peak, and where the time of a step goes", ("design", *_PERCENT)),
)

_NOTES = (
    "peer default: float32, default layout, plain SGD, one process of all threads, as its users run it. peer tuned: "
    "channels-last, our precision, fused SGD, otherwise the same; compiled: tuned, and the whole network compiled by "
    "torch.compile. together: one process of one thread per core, gradients averaged by DDP over gloo, on both sides. "
    "bn group: images that share batch statistics, of our best contender and of the peer in one process.",
    "Ours is the step of the training loop, with freed memory kept as in a training, including schedule, loss, errors, "
    "and the norm of the gradient and its check; the peer's is zero_grad, forward, loss, backward, step. Both repeat "
    "one prepared batch.",
    "Share of the peak: 3 x multiply-adds x images/s / peak, since the backward pass of a convolution costs as much as "
    "two forward passes. The profile covers three steps under torch's profiler, which takes time itself; between is "
    "the time of Python and autograd around the operations, and the waits for other processes.",
)


def measure(options: Options, on_advance: Advance) -> Measured:
    """All networks in turn; the contenders of each take turns within one run.

    Raises: UsageError, DesignError before anything is measured; ProcessLost.
    """
    setting = setting_of(options)
    if "compiled" in options.forms:
        require_compiler("--compiled")
    names = tuple(dict.fromkeys(options.designs))
    plans = {name: plan_of(name) for name in names}
    rivals = {name: rival_of(name, options.against) for name in names}
    peak = peaks(cores=setting.cores, on_advance=lambda done, total: on_advance("peak", done, total))
    rows = []
    for name in names:
        result = run_contest(
            name,
            _contenders(name, rivals[name], setting, options),
            setting,
            rounds=options.rounds,
            on_advance=on_advance,
        )
        rows.append(_row(name, plans[name], rivals[name], result, setting, peak[setting.precision]))
    return Measured(
        question="training",
        title=f"Training steps, images of {IMAGE}, {CLASSES} classes, batch {setting.batch}",
        rows=_as_table(rows),
        views=_present(rows),
        facts=(
            Fact(name="threads, of one process", unit="", value=setting.threads),
            Fact(name="processes of one thread each, where several train", unit="", value=setting.cores),
            Fact(name="precision", unit="", value=f"{setting.precision}: {setting.reason}"),
            *(
                Fact(name=f"peak in {name}", unit="10⁹ multiply-adds/s", value=rate / 1e9)
                for name, rate in peak.items()
            ),
            *means(rows),
            Fact(name=PEER, unit="", value=installed_version(PEER)),
        ),
        notes=(*_NOTES, *_further_notes(rivals, rows)),
    )


def _as_table(rows: Sequence[Mapping[str, Cell]]) -> Table:
    """The rows as a table with all columns."""
    values = tuple(tuple(row[column.name] for column in COLUMNS) for row in rows)
    return Table(title="Training steps", columns=COLUMNS, rows=values)


def _contenders(design: str, rival: Rival, setting: Setting, options: Options) -> dict[str, Contender]:
    """The contenders of a design, by the names in `_RATES`; "together" needs several cores."""
    several = setting.cores > 1
    own = our_step(design, setting=setting)
    competing = {"ours": in_one_process(own, setting)} | (
        {"ours together": in_process_per_core(own, setting)} if several else {}
    )
    match rival:
        case PeerNet():
            tuned = _peer(rival, "tuned", setting)
            competing |= {
                "default": in_one_process(_peer(rival, "default", setting), setting),
                "tuned": in_one_process(tuned, setting),
            }
            competing |= {"tuned together": in_process_per_core(tuned, setting)} if several else {}
            if "compiled" in options.forms:
                competing["compiled"] = in_one_process(_peer(rival, "compiled", setting), setting)
        case Twins():
            competing["twins"] = in_one_process(our_step(*rival.designs, setting=setting), setting)
        case NoRival():
            pass
        case _:
            assert_never(rival)
    return competing


def _peer(net: PeerNet, tuning: Tuning, setting: Setting) -> Peer:
    return Peer(net=net, tuning=tuning, batch=setting.batch, norm_group=setting.norm_group, precision=setting.precision)


def _row(design: str, plan: Plan, rival: Rival, result: Contest, setting: Setting, peak: float) -> Mapping[str, Cell]:
    price, processes = cost(plan), setting.cores if result.best == "ours together" else 1
    best = spread(result.rates[result.best])
    fastest = {"best": result.best, "best peer": result.fastest(_PEERS)}
    ratios = {
        name: result.ratio(fastest.get(over, over), fastest.get(under, under)) for name, (over, under) in RATIOS.items()
    }
    share = share_percent(multiply_adds=price.multiply_adds, images_per_second=best.median, peak=peak)
    return {
        "design": design,
        "peer": str(rival),
        "precision": setting.precision,
        **_quartiles("images_per_second", best),
        **{f"{key}_images_per_second": result.median(name) for key, name in _RATES.items()},
        **{key: value for name, ratio in ratios.items() for key, value in _quartiles(name, ratio).items()},
        "batch": setting.batch,
        "processes": processes,
        "bn_group": setting.group(processes),
        "peer_bn_group": setting.group(1),
        "rounds": len(result.rates[result.best]),
        "parameters": price.parameters,
        "peer_parameters": _parameters_of(rival),
        "multiply_adds": price.multiply_adds,
        "share_of_peak_percent": share,
        **{f"{group}_percent": percent for group, percent in result.shares.items()},
    }


def _quartiles(name: str, values: Spread | None) -> dict[str, Cell]:
    low, median, high = values or (None, None, None)
    return {name: median, f"{name}_low": low, f"{name}_high": high}


def _parameters_of(rival: Rival) -> int | None:
    """The number of parameters of a rival, if there is one."""
    match rival:
        case PeerNet():
            return rival.parameters(CLASSES)
        case Twins():
            return sum(cost(plan_of(design)).parameters for design in rival.designs)
        case NoRival():
            return None
        case _:
            assert_never(rival)


def means(rows: Sequence[Mapping[str, Cell]]) -> Iterator[Fact]:
    """Geometric means of the ratios over the designs that have a rival."""
    for name in RATIOS:
        ratios = [(row["design"], value) for row in rows if isinstance(value := row[name], float)]
        if len(ratios) > 1:
            mean = geometric_mean([value for _, value in ratios])
            yield Fact(name=f"{name}, geometric mean of {len(ratios)} networks", unit="1", value=mean)


def _present(rows: Sequence[Mapping[str, Cell]]) -> tuple[View, ...]:
    """The views without the columns of contenders that no row has."""
    present = {name for row in rows for name, value in row.items() if value is not None}
    kept = (view._replace(columns=tuple(name for name in view.columns if name in present)) for view in _VIEWS)
    return tuple(view for view in kept if len(view.columns) > 1)


def _further_notes(rivals: Mapping[str, Rival], rows: Sequence[Mapping[str, Cell]]) -> Iterator[str]:
    """Notes about some of the networks."""
    for row in rows:
        design, rival = row["design"], rivals[str(row["design"])]
        match rival:
            case NoRival():
                yield f"{design}: {rival.why}"
            case Twins():
                yield f"{design}: no library has it; its twins are {rival}, which take one step each in turn"
            case PeerNet():
                if row["parameters"] != row["peer_parameters"]:
                    yield (
                        f"{design} is not the same network as its peer: {row['parameters']:,} parameters and "
                        f"{row['peer_parameters']:,}"
                    )
            case _:
                assert_never(rival)
