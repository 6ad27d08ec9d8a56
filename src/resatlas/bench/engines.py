"""Contenders of `inference` that other engines run: our folded network, and a library's network, each as one graph.

Both are exported for this batch by torch's exporter, and take their turns with the others. ONNX Runtime computes in
float32; OpenVINO in float32 and, where the processor has it, in bfloat16, as its precision hint says.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from resatlas.bench.peers import PeerNet
from resatlas.bench.stopwatch import ratio, spread
from resatlas.inference.engines.graph import onnx_bytes, onnx_of, traced
from resatlas.inference.engines.network import network_onnx
from resatlas.inference.engines.packages import Engine
from resatlas.inference.engines.sessions import Session, onnxruntime_session, openvino_has_bf16, openvino_session
from resatlas.nets.network import Network
from resatlas.values.table import Cell, Column, Table

OURS = "ours"

_RATIOS = ("over_default", "over_folded")

COLUMNS = (
    Column("design", ""),
    Column("batch", "images"),
    Column("precision", ""),
    Column("engine", ""),
    Column("network", ""),
    Column("images_per_second", "images/s"),
    *(Column(f"{name}{end}", "1") for name in _RATIOS for end in ("", "_low", "_high")),
)

NOTE = (
    "Each engine runs the folded network (ours) and the first library's network, both exported for this batch. "
    "over_default: the library's network in float32, eager. over_folded: our folded network under torch in the row's "
    "precision. OpenVINO has a row in bf16 where the processor computes in it. Medians of ratios within "
    "a round, with quartiles."
)


class EngineKey(NamedTuple):
    """A contender: an engine, the owner of its network, and its precision."""

    engine: Engine
    owner: str
    precision: str

    def __str__(self) -> str:
        return f"{self.owner} by {self.engine} {self.precision}"


Rates = Mapping[EngineKey, Sequence[float]]


def engine_calls(
    network: Network, peers: Sequence[PeerNet], images: Tensor, engines: Sequence[Engine]
) -> dict[EngineKey, Callable[[], object]]:
    """The contenders of one network and batch; only the first library is exported, since the networks are the same."""
    graphs = {OURS: network_onnx(network, free="none", images=len(images))}
    for peer in peers[:1]:
        module = peer.make(network.plan.classes).eval()
        graphs[peer.library] = _exported(module, images)
    calls: dict[EngineKey, Callable[[], object]] = {}
    array = images.numpy()
    for owner, content in graphs.items():
        for key, session in _sessions(owner, content, engines):
            calls[key] = lambda session=session: session(array)
    return calls


def _exported(module: nn.Module, images: Tensor) -> bytes:
    return onnx_bytes(onnx_of(traced(module, torch.zeros_like(images), free="none"), free="none"))


def _sessions(owner: str, content: bytes, engines: Sequence[Engine]) -> Iterator[tuple[EngineKey, Session]]:
    threads = torch.get_num_threads()
    if "onnxruntime" in engines:
        yield EngineKey("onnxruntime", owner, "fp32"), onnxruntime_session(content, threads=threads)
    if "openvino" in engines:
        yield EngineKey("openvino", owner, "fp32"), openvino_session(content, threads=threads)
        if openvino_has_bf16():
            yield EngineKey("openvino", owner, "bf16"), openvino_session(content, threads=threads, hint="bf16")


def engine_rows(
    design: str, batch: int, rates: Rates, *, default: Sequence[float] | None, folded: Mapping[str, Sequence[float]]
) -> Iterator[tuple[Cell, ...]]:
    """A row for each contender; `default` are the rates of the library's network, `folded` ours by precision."""
    for key, own in rates.items():
        under = {"over_default": default, "over_folded": folded.get(key.precision)}
        numbers = [number for name in _RATIOS for number in _quartiles(own, under[name])]
        yield design, batch, key.precision, key.engine, key.owner, spread(own).median, *numbers


def _quartiles(over: Sequence[float], under: Sequence[float] | None) -> tuple[Cell, Cell, Cell]:
    """(median, low, high) of the ratio."""
    if under is None:
        return None, None, None
    low, median, high = ratio(over, under)
    return median, low, high


def engine_table(rows: Sequence[tuple[Cell, ...]]) -> Table:
    """The table of the contenders."""
    return Table(title="Engines", columns=COLUMNS, rows=tuple(rows), note=NOTE)
