"""Training steps on a GPU: ours in every precision, against torchvision's and timm's networks tuned."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import torch
import torch.nn.functional as F

from resatlas.arch.cost import cost
from resatlas.arch.ops import Shape
from resatlas.bench.gpu_sections import LATE, Bench, Finding
from resatlas.bench.peers import peer_of
from resatlas.bench.stopwatch import alternate, median
from resatlas.bench.tasks import CLASSES, Ours, recipe_of
from resatlas.data import catalog as datasets
from resatlas.designs import catalog as designs
from resatlas.errors import UsageError
from resatlas.recipes.recipe import Precision
from resatlas.runs.experiment import Experiment
from resatlas.training.compiling import compiling
from resatlas.training.distributed import ALONE
from resatlas.training.loop import epoch, step
from resatlas.training.planning import plan_training
from resatlas.training.precision import autocast
from resatlas.training.splits import split_images
from resatlas.training.starting import first_state

_PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16", "fp16")
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_NETS = {"resnet-50-v1.5": 128, "resnext-50-32x4d": 128, "wrn-28-10": 256}
"""Networks and batches; those of 224x224 have peers."""

_COMPILED = "resnet-50-v1.5"
"""The network whose contenders also take part compiled, which takes minutes."""

Step = Callable[[], object]


def peak(bench: Bench, precision: Precision) -> float:
    """Multiply-adds a second of a product of square matrices, the best of five."""
    side = 256 if bench.small else 8192
    one, other = (torch.randn(side, side, device=bench.device, dtype=_DTYPES[precision]) for _ in range(2))
    seconds = []
    for _ in range(5):
        bench.wait()
        begun = time.perf_counter()
        one @ other
        bench.wait()
        seconds.append(time.perf_counter() - begun)
    return side**3 / min(seconds)


def training(bench: Bench) -> Iterator[Finding]:
    """Images a second of each contender, its share of the peak, and the peaks."""
    peaks = {precision: peak(bench, precision) for precision in _PRECISIONS}
    for precision, rate in peaks.items():
        yield Finding(of=f"product of matrices in {precision}", value=rate / 1e12, unit="10¹² multiply-adds/s")
    for design, batch in ({"resnet-18-B": 2} if bench.small else _NETS).items():
        if bench.late():
            yield Finding(of=design, words=LATE)
            continue
        image = Shape(3, 32, 32) if bench.small or design.startswith("wrn-28") else Shape(3, 224, 224)
        with ExitStack() as stack:
            contenders: dict[tuple[str, Precision], Step] = {}
            for precision in ("fp32", "bf16") if bench.small else _PRECISIONS:
                contenders["ours", precision] = ours(bench, design, image, batch, precision, stack, compiled=False)
            compiling_too = design == _COMPILED and not bench.small and not bench.late()
            if compiling_too:
                contenders["ours, --compile units", "bf16"] = ours(
                    bench, design, image, batch, "bf16", stack, compiled=True
                )
            for library in ("torchvision", "timm"):
                for compiled in (False, True) if compiling_too else (False,):
                    name = f"{library} tuned{', compiled' if compiled else ''}"
                    try:
                        contenders[name, "bf16"] = peer(bench, library, design, image, batch, compiled=compiled)
                    except UsageError as error:
                        yield Finding(of=f"{design}: {name}", words=f"not measured: {error}")
            yield from _turns(bench, design, image, batch, contenders, peaks)


def _turns(
    bench: Bench,
    design: str,
    image: Shape,
    batch: int,
    contenders: dict[tuple[str, Precision], Step],
    peaks: dict[Precision, float],
) -> Iterator[Finding]:
    """Let the contenders take turns, each for about half a second."""
    counts = {key: _count(bench, take_step) for key, take_step in contenders.items()}

    def many(key: tuple[str, Precision]) -> Step:
        def steps() -> None:
            for _ in range(counts[key]):
                contenders[key]()
            bench.wait()

        return steps

    named = {f"{name} in {precision}": (name, precision) for name, precision in contenders}
    rounds = alternate({name: many(key) for name, key in named.items()}, rounds=1 if bench.small else 3, uncounted=0)
    price = cost(designs.plan(design, image=image, classes=CLASSES)).multiply_adds
    for name, key in named.items():
        rate = median([counts[key] * batch / seconds for seconds in rounds[name]])
        yield Finding(of=f"{design}, batch {batch}: {name}", value=rate, unit="images/s")
        share = 100 * 3 * price * rate / peaks[key[1]]
        yield Finding(of=f"{design}, batch {batch}: {name}", value=share, unit="% of the peak")


def _count(bench: Bench, take_step: Step) -> int:
    """Steps of about half a second, after some that warm up."""
    for _ in range(1 if bench.small else 5):
        take_step()
    bench.wait()
    begun = time.perf_counter()
    take_step()
    bench.wait()
    return 1 if bench.small else max(1, min(200, round(0.5 / (time.perf_counter() - begun))))


def ours(
    bench: Bench, design: str, image: Shape, batch: int, precision: Precision, stack: ExitStack, *, compiled: bool
) -> Step:
    """The step of the training loop on one batch on the device."""
    data = datasets.resolve(f"synthetic:size={image.height},images={max(2 * CLASSES, batch)}")
    task = Ours(designs=(design,), batch=batch, norm_group=None, precision=precision)
    experiment = Experiment(
        design=design, data="synthetic", recipe=recipe_of(task), compiled="units" if compiled else "nothing"
    )
    plan = designs.plan(design, image=data.image, classes=len(data.classes))
    state = first_state(plan, experiment, bench.device)
    training = plan_training(experiment, split_images(data.read(), experiment, data), ALONE, state)
    stack.enter_context(compiling(state.network, experiment.compiled))
    state.network.train()
    images = next(epoch(state, training))
    return lambda: step(state, images, training)


def peer(bench: Bench, library: str, design: str, image: Shape, batch: int, *, compiled: bool) -> Step:
    """The usual step of a training script in bf16: channels-last, fused SGD.

    Raises: UsageError if the library is missing or lacks the network.
    """
    network = peer_of(library, design).make(CLASSES).train().to(bench.device).to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(
        network.parameters(), lr=1e-4, momentum=0.9, weight_decay=5e-4, nesterov=True, fused=True
    )
    images = torch.randn((batch, *image), device=bench.device).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(CLASSES, (batch,), device=bench.device)
    run = torch.compile(network) if compiled else network

    def take_step() -> None:
        optimizer.zero_grad()
        with autocast("bf16", bench.device):
            loss = F.cross_entropy(run(images), labels)
        loss.backward()
        optimizer.step()

    return take_step
