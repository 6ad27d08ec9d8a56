"""The hot path of every benchmarked network, checked by its operations rather than by its time.

The golden file counts the operations of one training step, bf16 and channels-last, and the maps that it copies. An
additional copy, conversion of layout or other operation changes it.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode

from resatlas.bench.benchmarks import NETS
from resatlas.bench.tasks import IMAGE, Ours, Step, step_of
from resatlas.nets.network import build
from resatlas.recipes.recipe import Precision
from resatlas.runs.environment import processor_flags
from resatlas.training.distributed import ALONE

HERE = Path(__file__).parent

BATCH = 3
"""Differs from the width of every convolution, so that maps differ from weights in shape."""

SLICES = {
    "resnext-29-32x4d": {(4, 32, 32), (8, 32, 32), (8, 16, 16), (16, 16, 16), (16, 8, 8)},
}
"""Maps of a single group of a grouped convolution, by network; no whole map has one of these shapes.

Without AVX512, torch convolves each group separately in bf16 and copies its maps; these copies are not counted.
"""

UNCOUNTED = ("profiler.", "aten.detach", "aten.empty", "aten.t.", "aten.view", "aten.unsqueeze", "aten.expand")
"""Operations that compute nothing: views, uninitialised memory, and marks for the profiler."""


class Counting(TorchDispatchMode):
    """Counts the operations of torch, including those of the backward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()

    def __torch_dispatch__(
        self,
        func: Callable[..., object],
        types: object,
        args: tuple[object, ...] = (),
        kwargs: dict[str, object] | None = None,
    ) -> object:
        self.calls[str(func)] += 1
        return func(*args, **(kwargs or {}))


def training_step(design: str, *, batch: int = BATCH, precision: Precision = "bf16") -> Step:
    """A training step of ours that has run once."""
    task = Ours(designs=(design,), batch=batch, norm_group=None, precision=precision)
    step = step_of(task, ALONE)
    step()
    return step


@cache
def done_by(design: str) -> tuple[Counter[str], Counter[tuple[int, ...]]]:
    """The operations of a training step, and the shapes of the maps that these copy.

    Without the maps that torch itself copies if AVX512 is missing.
    """
    groups = set() if "avx512f" in processor_flags() else SLICES.get(design, set())
    step = training_step(design)
    with Counting() as counting:
        step()
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as profiler:
        step()
    copies: Counter[tuple[int, ...]] = Counter()
    for event in profiler.key_averages(group_by_input_shape=True):
        if event.key != "aten::copy_":
            continue
        shape = tuple(event.input_shapes[0])
        if len(shape) == 4 and shape[0] == BATCH and shape[1:] not in groups:
            copies[shape] += event.count
    return counting.calls, copies


def lines(design: str) -> Iterator[str]:
    """The lines of the golden file for a network."""
    counted, copies = done_by(design)
    calls = {name: count for name, count in counted.items() if not name.startswith(UNCOUNTED)}
    yield f"{design}: {sum(calls.values())} operations, {sum(copies.values())} copies of maps"
    yield from (f"  {count:4}  {name}" for name, count in sorted(calls.items()))
    yield from (f"  {count:4}  copy of {'x'.join(map(str, shape[1:]))}" for shape, count in sorted(copies.items()))


def test_operations_are_those_of_the_golden_file(golden: Callable[[Path, str], None]) -> None:
    """The numbers of operations and copies are exactly those of the golden file."""
    golden(HERE / "operations.txt", "\n".join(line for design in NETS for line in lines(design)))


@pytest.mark.parametrize("design", [name for name in NETS if not name.startswith("pyramidnet")])
def test_no_map_between_the_ends_changes_its_layout(design: str) -> None:
    """Only the images and the gradient of the last mean are converted; no other map is copied."""
    copies = Counter(done_by(design)[1])
    last = max(copies, key=lambda shape: shape[1])
    assert copies.pop((BATCH, *IMAGE)) <= 2
    assert copies.pop(last, 0) <= 1
    assert not copies


def operations(step: Callable[[], object]) -> Counter[str]:
    """The operations of torch in a call."""
    with Counting() as counting:
        step()
    return counting.calls


AROUND = {
    "aten.detach.default": 5,
    "aten.mul.Tensor": 4,
    "aten._to_copy.default": 3,
    "aten.zeros.default": 3,
    "aten.add_.Tensor": 2,
    "aten.split.Tensor": 2,
    "aten.stack.default": 2,
    "aten.clone.default": 1,
    "aten.promote_types.default": 1,
    "aten.argmax.default": 1,
    "aten.ne.Tensor": 1,
    "aten.sum.default": 1,
    "aten._foreach_norm.Scalar": 1,
    "aten.linalg_vector_norm.default": 1,
    "aten._fused_sgd_.default": 1,
}
"""The share of the batch, the tally of losses and errors, the norm of the gradient, the group without weight decay.

Scalars: all numbers of a step are read together, once.
"""


@pytest.mark.parametrize("design", ["resnet-8-B", "resnet-20-B"])
def test_the_loop_adds_few_operations(design: str) -> None:
    """At any depth, a step of the loop has these operations more than a bare pass with the same optimizer."""
    ours, network = training_step(design, batch=8, precision="fp32"), build(design, seed=0).train()
    network = network.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-6, momentum=0.9, nesterov=True, fused=True)
    images = torch.randn(8, *IMAGE).contiguous(memory_format=torch.channels_last)
    labels: Tensor = torch.arange(8) % 10

    def bare() -> None:
        optimizer.zero_grad()
        F.cross_entropy(network(images), labels).backward()
        optimizer.step()

    bare()
    done, needed = operations(ours), operations(bare)
    assert not needed - done
    assert done - needed == AROUND
