"""The memory that a training adds to its process: ours with all maps and with fewer, and another library's, tuned.

With fewer maps stored a step takes longer, so the table has that time too, measured by turns.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection

from resatlas.analysis.probes import Fact
from resatlas.bench import growth
from resatlas.bench.benchmarks import Advance
from resatlas.bench.contest import Setting, in_one_process, run_contest
from resatlas.bench.peers import check_installed, library, peer_of
from resatlas.bench.rivals import PEER
from resatlas.bench.stopwatch import geometric_mean, ratio
from resatlas.bench.tasks import Ours, Peer
from resatlas.errors import UsageError
from resatlas.values.table import Table, of_unit, table

_NETWORKS = ("resnet-20-B", "wrn-16-4", "resnext-29-32x4d", "pyramidnet-110-a48")
"""One of each family that pytorchcv has for 32x32 images, with post-activation or a width of its own."""

_FEWER = "convolutions"

_ROUNDS = 3

_RATIOS = ("all_over_peer", "convolutions_over_peer")


@dataclass(frozen=True, kw_only=True)
class Row:
    """A network: bytes of ours and of the peer, and how many times as long a step takes with fewer maps stored."""

    design: str
    precision: str
    batch: int = of_unit("images")
    all_bytes: int = of_unit("bytes")
    convolutions_bytes: int = of_unit("bytes")
    peer_bytes: int = of_unit("bytes")
    all_over_peer: float = of_unit("1")
    convolutions_over_peer: float = of_unit("1")
    convolutions_over_all_seconds: float = of_unit("1")


def against_peer(
    setting: Setting, *, steps: int, rounds: int | None, on_advance: Advance
) -> tuple[Table, tuple[Fact, ...]] | None:
    """A row for each network that both have, and the geometric means; None if the library is not installed.

    Memory is that of one step and so many more, times are over so many rounds.

    Raises: ProcessLost.
    """
    try:
        check_installed(PEER)
    except UsageError:
        return None
    rows = []
    for k, design in enumerate(_NETWORKS):
        on_advance(f"against {PEER}", k, len(_NETWORKS))
        rows.append(_row(design, setting, steps, rounds or _ROUNDS))
    note = (
        f"The largest resident memory of a process after {steps + 1} steps, minus that before the network was built: "
        f"weights, gradients and momentum count. Ours trains as `train` does, in memory that is kept; "
        f"{_FEWER} is --checkpoint-activations {_FEWER}. The peer is {PEER}'s network in a plain loop: channels-last, "
        "the same precision, fused SGD, eager. Times are by turns, medians of ratios."
    )
    return table(f"What a training adds to its process, against {PEER}", Row, rows, note=note), tuple(_means(rows))


def _row(design: str, setting: Setting, steps: int, rounds: int) -> Row:
    common = {"batch": setting.batch, "norm_group": setting.norm_group, "precision": setting.precision}
    full = Ours(designs=(design,), **common)
    fewer = Ours(designs=(design,), kept=_FEWER, **common)
    peer = Peer(net=peer_of(PEER, design), tuning="tuned", **common)
    of_all, of_fewer, of_peer = (_bytes(task, steps) for task in (full, fewer, peer))
    contest = run_contest(
        design,
        {"ours": in_one_process(full, setting), "ours with fewer": in_one_process(fewer, setting)},
        setting,
        rounds=rounds,
        on_advance=lambda *_: None,
    )
    return Row(
        design=design,
        precision=setting.precision,
        batch=setting.batch,
        all_bytes=of_all,
        convolutions_bytes=of_fewer,
        peer_bytes=of_peer,
        all_over_peer=of_all / of_peer,
        convolutions_over_peer=of_fewer / of_peer,
        convolutions_over_all_seconds=ratio(contest.rates["ours"], contest.rates["ours with fewer"]).median,
    )


def _bytes(task: Ours | Peer, steps: int) -> int:
    return growth.time_in_own_process(task, steps, context=get_context("spawn"), target=train).memory


def train(pipe: Connection, task: Ours | Peer, threads: int, rounds: int | None) -> None:
    """As `growth.train`, in a process that has imported the code of the network."""
    if isinstance(task, Peer):
        library(task.net.module)
    growth.train(pipe, task, threads, rounds)


def _means(rows: list[Row]) -> Iterator[Fact]:
    for name in _RATIOS:
        mean = geometric_mean([getattr(row, name) for row in rows])
        yield Fact(name=f"{name}, geometric mean of {len(rows)} networks", unit="1", value=mean)
