"""Images per second of inference: our folded network against the same network of peers, eager and compiled.

All contenders of a network and batch take turns in one process of all threads, under torch.inference_mode, with the
same images in their precision and in torch's default layout.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import ceil, floor
from typing import NamedTuple

import torch
from torch import Tensor, nn

from resatlas.analysis.probes import Fact
from resatlas.arch.cost import cost
from resatlas.arch.ops import Norm
from resatlas.arch.plan import Plan, layers
from resatlas.bench import contest
from resatlas.bench.benchmarks import Advance, Form, Options
from resatlas.bench.engines import EngineKey, engine_calls, engine_rows, engine_table
from resatlas.bench.peers import SIDES, PeerNet, check_installed, peer_of
from resatlas.bench.rows import Measured, View
from resatlas.bench.stopwatch import alternate, geometric_mean, ratio, spread
from resatlas.designs import catalog as designs
from resatlas.errors import UsageError
from resatlas.inference.engines.packages import Engine, check_engine
from resatlas.inference.folding import Unfolded
from resatlas.inference.fused import Precision
from resatlas.inference.network import for_inference
from resatlas.nets.network import build
from resatlas.runs.environment import installed_version
from resatlas.training.compiling import require_compiler
from resatlas.training.precision import automatic_precision
from resatlas.values.table import Cell, Column, Table

_BATCHES = (1, 64)
"""The batch of a service and that of an evaluation."""

CALL_SECONDS = 0.1
"""Duration of a call of several passes."""

_ROUNDS = 15
_FEWEST_ROUNDS = 3
_MOST_SECONDS = 12.0
"""Time limit of the rounds of a network and batch, if their number is not given; at least `_FEWEST_ROUNDS`."""

OURS = "ours"


class Key(NamedTuple):
    """A contender: our network or that of a library, with its form and precision."""

    who: str
    form: Form
    precision: str

    def __str__(self) -> str:
        return f"{self.who} {self.form} {self.precision}"


_RATIOS = ("over_eager", "over_default", "over_compiled")

COLUMNS = (
    Column("design", ""),
    Column("batch", "images"),
    Column("precision", ""),
    Column("peer", ""),
    Column("images_per_second", "images/s"),
    Column("peer_images_per_second", "images/s"),
    Column("peer_default_images_per_second", "images/s"),
    Column("peer_compiled_images_per_second", "images/s"),
    *(Column(f"{name}{end}", "1") for name in _RATIOS for end in ("", "_low", "_high")),
    Column("compile_seconds", "s"),
    Column("rounds", "rounds"),
    Column("norms", "norms"),
    Column("unfolded_norms", "norms"),
    Column("multiply_adds_per_second", "10⁹/s"),
)
"""Columns of a row: rates are medians over rounds, ratios are medians of ratios within a round, with quartiles.

eager: the peer in the row's precision; default: the peer in float32, eager, as its users run it.
"""

_VIEWS = (
    View("Images a second", ("design", "batch", "precision", "peer", *(column.name for column in COLUMNS[4:8]))),
    View(
        "Ours, how many times as fast in the same rounds",
        ("design", "batch", "precision", "peer", *(column.name for column in COLUMNS[8:17])),
    ),
    View(
        "How it was measured, and what is folded",
        (
            "design",
            "batch",
            "precision",
            "compile_seconds",
            "rounds",
            "norms",
            "unfolded_norms",
            "multiply_adds_per_second",
        ),
    ),
)

_NOTES = (
    "bf16 is measured where the processor multiplies in it. peer: in the row's precision (bf16: weights and images are "
    "bfloat16), eager, default layout. default: the peer in float32, as its users run it. compiled: torch.compile of "
    "the whole network for this batch, with default settings. Our logits are float32; folding is exact, see "
    "resatlas.inference.folding.",
    "A norm directly after a convolution or directly before a 1x1 convolution folds into it. A norm before a padded "
    "convolution does not fold, since it would shift the zeros of the padding. A norm between a sum and a relu has no "
    "adjacent convolution.",
)


@dataclass(frozen=True, kw_only=True)
class Contestants:
    """The contenders of one network and batch, the seconds of compiling, and the norms that our network keeps."""

    calls: Mapping[Key, Callable[[], Tensor]]
    by_engines: Mapping[EngineKey, Callable[[], object]]
    compiling: Mapping[Key, float]
    unfolded: Sequence[Unfolded]


def measure(options: Options, on_advance: Advance) -> Measured:
    """All networks at all batches; the contenders of each take turns within one run.

    Raises: UsageError, DesignError before anything is measured.
    """
    if "compiled" in options.forms:
        require_compiler("--compiled")
    for engine in options.engines:
        check_engine(engine)
    names = tuple(dict.fromkeys(options.designs))
    plans = {name: designs.plan(name) for name in names}
    peers = {name: peers_of(name, plans[name], options.against) for name in names}
    threads = contest.threads()
    torch.set_num_threads(threads)
    rows: list[dict[str, Cell]] = []
    of_engines: list[tuple[Cell, ...]] = []
    for name in names:
        for batch in (options.batch,) if options.batch else _BATCHES:
            rows += _rows(name, plans[name], peers[name], batch, options, on_advance, of_engines)
    libraries = dict.fromkeys(net.library for nets in peers.values() for net in nets)
    values = tuple(tuple(row[column.name] for column in COLUMNS) for row in rows)
    return Measured(
        question="inference",
        title="Images a second of inference",
        rows=Table(title="Inference", columns=COLUMNS, rows=values),
        views=_present(rows),
        further=(engine_table(of_engines),) if of_engines else (),
        facts=(
            Fact(name="threads, of one process", unit="", value=threads),
            *_means(rows),
            *(Fact(name=name, unit="", value=installed_version(name)) for name in (*libraries, *options.engines)),
        ),
        notes=(*_NOTES, *(f"{name}: none of the libraries has this network" for name in names if not peers[name])),
    )


def peers_of(design: str, plan: Plan, against: str | None) -> tuple[PeerNet, ...]:
    """The network of the named library for a design; without a name, those of all installed libraries that have it.

    Raises: UsageError if the named library is not installed or lacks the network.
    """
    if against:
        check_installed(against)
        return (peer_of(against, design),)
    nets = []
    for library in (name for name, side in SIDES.items() if side == plan.image.height):
        with suppress(UsageError):
            check_installed(library)
            nets.append(peer_of(library, design))
    return tuple(nets)


def precisions_here() -> dict[Precision, torch.dtype]:
    """The precisions to measure: bf16 where the processor multiplies in it; elsewhere one image can take minutes."""
    fastest, _ = automatic_precision(torch.device("cpu"))
    if fastest == "bf16":
        return {"fp32": torch.float32, "bf16": torch.bfloat16}
    return {"fp32": torch.float32}


def contestants_of(
    design: str,
    plan: Plan,
    peers: Sequence[PeerNet],
    batch: int,
    forms: Sequence[Form],
    engines: Sequence[Engine] = (),
) -> Contestants:
    """The contenders of a design; only the first library's network is compiled, since the networks are the same."""
    network = build(design, seed=0).eval()
    images = torch.randn(batch, *plan.image, generator=torch.Generator().manual_seed(0))
    calls: dict[Key, Callable[[], Tensor]] = {}
    compiling: dict[Key, float] = {}
    unfolded: Sequence[Unfolded] = ()
    for precision, dtype in precisions_here().items():
        inputs = images.to(dtype)
        ours = for_inference(network, precision=precision)
        unfolded = ours.unfolded
        calls[Key(OURS, "eager", precision)] = _call(ours, inputs)
        for k, peer in enumerate(peers):
            module = peer.make(plan.classes).eval().to(dtype)
            calls[Key(peer.library, "eager", precision)] = _call(module, inputs)
            if "compiled" in forms and k == 0:
                key = Key(peer.library, "compiled", precision)
                compiled: nn.Module = torch.compile(module, dynamic=False)  # type: ignore[assignment]
                calls[key] = _call(compiled, inputs)
                started = time.perf_counter()
                calls[key]()
                compiling[key] = time.perf_counter() - started
    by_engines = engine_calls(network, peers, images, engines) if engines else {}
    return Contestants(calls=calls, by_engines=by_engines, compiling=compiling, unfolded=unfolded)


def _call(network: nn.Module, images: Tensor) -> Callable[[], Tensor]:
    def call() -> Tensor:
        with torch.inference_mode():
            return network(images)

    return call


def _rows(
    design: str,
    plan: Plan,
    peers: Sequence[PeerNet],
    batch: int,
    options: Options,
    on_advance: Advance,
    of_engines: list[tuple[Cell, ...]],
) -> Iterator[dict[str, Cell]]:
    title = f"{design} batch {batch}"
    on_advance(f"{title} setup", 0, 1)
    contestants = contestants_of(design, plan, peers, batch, options.forms, options.engines)
    on_advance(f"{title} setup", 1, 1)
    calls: Mapping[Key | EngineKey, Callable[[], object]] = {**contestants.calls, **contestants.by_engines}
    passes = {key: _passes(call) for key, call in calls.items()}
    each_round = sum(count * seconds for count, seconds in passes.values())
    rounds = options.rounds or max(_FEWEST_ROUNDS, min(_ROUNDS, floor(_MOST_SECONDS / each_round)))
    contenders = {str(key): _repeated(call, passes[key][0]) for key, call in calls.items()}
    seconds = alternate(contenders, rounds=rounds, on_advance=lambda done, total: on_advance(title, done, total))
    rates = {key: tuple(batch * passes[key][0] / call_seconds for call_seconds in seconds[str(key)]) for key in calls}
    of_engines += engine_rows(
        design,
        batch,
        {key: values for key, values in rates.items() if isinstance(key, EngineKey)},
        default=rates.get(Key(peers[0].library, "eager", "fp32")) if peers else None,
        folded={precision: rates[Key(OURS, "eager", precision)] for precision in precisions_here()},
    )
    price, norms = cost(plan), _norms(plan)
    for precision in precisions_here():
        own = rates[Key(OURS, "eager", precision)]
        for library in [peer.library for peer in peers] or [""]:
            compiled = Key(library, "compiled", precision)
            against = {
                "over_eager": rates.get(Key(library, "eager", precision)),
                "over_default": rates.get(Key(library, "eager", "fp32")),
                "over_compiled": rates.get(compiled),
            }
            yield {
                "design": design,
                "batch": batch,
                "precision": precision,
                "peer": library or "–",
                "images_per_second": spread(own).median,
                "peer_images_per_second": _median(against["over_eager"]),
                "peer_default_images_per_second": _median(against["over_default"]),
                "peer_compiled_images_per_second": _median(against["over_compiled"]),
                **{
                    end: value for name, under in against.items() for end, value in _quartiles(name, own, under).items()
                },
                "compile_seconds": contestants.compiling.get(compiled),
                "rounds": rounds,
                "norms": norms,
                "unfolded_norms": len(contestants.unfolded),
                "multiply_adds_per_second": price.multiply_adds * spread(own).median / 1e9,
            }
    torch.compiler.reset()


def _passes(call: Callable[[], object]) -> tuple[int, float]:
    """The number of passes per call, and the seconds of one pass, after one warm-up pass."""
    call()
    started = time.perf_counter()
    call()
    seconds = time.perf_counter() - started
    return ceil(CALL_SECONDS / seconds), seconds


def _repeated(call: Callable[[], object], count: int) -> Callable[[], None]:
    def repeat() -> None:
        for _ in range(count):
            call()

    return repeat


def _norms(plan: Plan) -> int:
    return sum(isinstance(layer.op, Norm) for _, layer in layers(plan))


def _median(rates: Sequence[float] | None) -> float | None:
    return spread(rates).median if rates else None


def _quartiles(name: str, over: Sequence[float], under: Sequence[float] | None) -> dict[str, Cell]:
    low, median, high = ratio(over, under) if under else (None, None, None)
    return {name: median, f"{name}_low": low, f"{name}_high": high}


def _means(rows: Sequence[Mapping[str, Cell]]) -> Iterator[Fact]:
    """Geometric means of each ratio over the networks, at each batch and precision."""
    for name in _RATIOS:
        groups: dict[str, list[float]] = {}
        for row in rows:
            if isinstance(value := row[name], float):
                groups.setdefault(f"batch {row['batch']}, {row['precision']}", []).append(value)
        for group, values in groups.items():
            words = f"{name} at {group}, geometric mean of {len(values)} rows"
            yield Fact(name=words, unit="1", value=geometric_mean(values))


def _present(rows: Sequence[Mapping[str, Cell]]) -> tuple[View, ...]:
    """The views without the columns of contenders that no row has."""
    present = {name for row in rows for name, value in row.items() if value is not None}
    return tuple(view._replace(columns=tuple(name for name in view.columns if name in present)) for view in _VIEWS)
