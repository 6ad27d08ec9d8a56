"""The sections of the GPU benchmark beside training steps."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from math import inf
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import torch
from torch import distributed, nn

from resatlas.bench.benchmarks import NETS
from resatlas.bench.tasks import CLASSES, IMAGE
from resatlas.data import catalog as datasets
from resatlas.data.batches import batches, pipeline_for, source
from resatlas.data.placing import CPU, placed
from resatlas.errors import ResatlasError, Stopped
from resatlas.nets.network import build
from resatlas.recipes.catalog import NAMED
from resatlas.runs.seal import SEAL
from resatlas.values.unforeseen import foreseen

LATE = "not measured: no time left"


class Finding(NamedTuple):
    """One number or one sentence about `of`."""

    of: str
    value: float | None = None
    unit: str = ""
    words: str = ""
    section: str = ""


@dataclass(frozen=True, kw_only=True)
class Bench:
    """The device, whether networks are tiny, and the time after which nothing begins."""

    device: torch.device
    small: bool
    until: float = inf

    def late(self) -> bool:
        """Whether it is too late to begin something."""
        return time.monotonic() > self.until

    def wait(self) -> None:
        """Wait until the device has computed everything."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


_TINY = ("resnet:depth=8,base=2", "wide-resnet:depth=10,base=2", "pyramidnet:depth=8,base=4,alpha=6")


@torch.no_grad()
def parity(bench: Bench) -> Iterator[Finding]:
    """The largest difference of the logits on the device, in float32, from those of the processor in float64."""
    count = 4 if bench.small else 32
    images = torch.randn((count, *IMAGE), generator=torch.Generator().manual_seed(0))
    for design in _TINY if bench.small else NETS:
        network = build(design, image=IMAGE, classes=CLASSES, seed=0)
        there = build(design, image=IMAGE, classes=CLASSES, seed=0).to(bench.device).eval()(images.to(bench.device))
        exact = network.double().eval()(images.double())
        difference = (there.cpu().double() - exact).abs().max() / exact.abs().max()
        yield Finding(of=design, value=difference.item(), unit="of the largest logit")


def _train(folder: Path, bench: Bench, *words: str) -> list[str]:
    design = "resnet:depth=8,base=2" if bench.small else "resnet-20"
    more = ["--deterministic", "--quiet", "--log", "none", "--device", bench.device.type]
    return ["train", design, "--out", str(folder), *more, *words]


def started(words: list[str]) -> subprocess.Popen[bytes]:
    """The program in a process of its own."""
    return subprocess.Popen([sys.executable, "-m", "resatlas", *words])  # noqa: S603 - our own program


def _finish(words: list[str]) -> None:
    """Run the program to its end.

    Raises: ResatlasError if it fails; its own message is on standard error.
    """
    if code := started(words).wait():
        raise ResatlasError(f"resatlas {' '.join(words[:2])} ended with {code}")


def _digest(run: Path) -> str:
    """The sha256 of the last weights of a run."""
    last = sorted((run / "checkpoints").glob("step-*"))[-1]
    return json.loads((last / "MANIFEST.json").read_text(encoding="utf-8"))["files"]["model.safetensors"]["sha256"]


def exactness(bench: Bench) -> Iterator[Finding]:
    """Deterministic trainings: twice the same bits, and the same after a stop inside an epoch and a resume."""
    count = 400 if bench.small else 4000
    words = ("--data", f"synthetic:images={count},size=8,channels=1", "--epochs", "6")
    with TemporaryDirectory() as name:
        one, two, broken = (Path(name) / word for word in ("one", "two", "broken"))
        for run in (one, two):
            _finish(_train(run, bench, *words))
        same = _digest(one) == _digest(two)
        yield Finding(of="--deterministic, twice", words="equal to the bit" if same else "DIFFERENT weights")
        process = started(_train(broken, bench, *words))
        rows = broken / "metrics.jsonl"
        while process.poll() is None and not (rows.exists() and rows.stat().st_size):
            time.sleep(0.005)
        process.send_signal(signal.SIGTERM)
        code = process.wait()
        if code != Stopped.exit_code or (broken / SEAL).exists():
            yield Finding(of="resume", words=f"not tried: the training ended with {code} and not at the signal")
            return
        _finish(_train(broken, bench, *words, "--resume", "auto"))
        same = _digest(one) == _digest(broken)
        yield Finding(of="stop and resume", words="equal to the bit" if same else "DIFFERENT weights")


def quick(bench: Bench) -> Iterator[Finding]:
    """The recipe `quick` from the command to its results."""
    data = "digits" if bench.small else "fashion-mnist"
    with TemporaryDirectory() as name:
        run = Path(name) / "run"
        few = ("--epochs", "1") if bench.small else ()
        begun = time.perf_counter()
        _finish(_train(run, bench, "--data", data, *few))
        seconds = time.perf_counter() - begun
        results = json.loads((run / "results.json").read_text(encoding="utf-8"))
    yield Finding(of=f"{data}, the whole command", value=seconds, unit="s")
    yield Finding(of=f"{data}, training alone", value=results["seconds"], unit="s")
    yield Finding(of=f"{data}, test error", value=results["test"]["error_percent"], unit="%")


def inputs(bench: Bench) -> Iterator[Finding]:
    """Batches a training may take, from images in the memory of the device and from those of the main memory."""
    data = datasets.resolve(f"synthetic:images={640 if bench.small else 50_000}")
    part = data.read().train
    pipeline = pipeline_for(NAMED["wrn-cifar"], data, part)
    for words, where in (("images on the device", bench.device), ("images in main memory", CPU)):
        images = source(part, pipeline, where)
        for warm in (True, False):
            begun, count = time.perf_counter(), 0
            for batch in batches(images, pipeline, seed=0, epoch=int(warm), batch=128):
                count += len(placed(batch.images, bench.device))
            bench.wait()
            seconds = time.perf_counter() - begun
        yield Finding(of=words, value=count / seconds, unit="images/s")


def memory(bench: Bench) -> Iterator[Finding]:
    """The sentence of a training that needs more memory than the GPU has."""
    if bench.device.type != "cuda":
        yield Finding(of="message", words="not measured: it is of a GPU")
        return
    torch.cuda.set_per_process_memory_fraction(0.01, bench.device)
    try:
        network = build("wrn-28-10", image=IMAGE, classes=CLASSES, seed=0).to(bench.device)
        network(torch.randn((2048, *IMAGE), device=bench.device)).sum().backward()
        words = "no error"
    except RuntimeError as error:
        reason = foreseen(error, doing="training wrn-28-10", saving="a smaller --batch")
        words = f"{type(reason).__name__}: {reason}"
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, bench.device)
        torch.cuda.empty_cache()
    yield Finding(of="message", words=words)


def graphs(bench: Bench) -> Iterator[Finding]:
    """Forward and backward passes recorded as CUDA graphs, against the same passes launched kernel by kernel."""
    if bench.device.type != "cuda":
        yield Finding(of="CUDA graphs", words="not measured: only a GPU has them")
        return
    images = torch.randn((128, *IMAGE), device=bench.device)
    for design in ("resnet-20", "wrn-28-10"):
        plain, recorded = (build(design, image=IMAGE, classes=CLASSES, seed=0).to(bench.device) for _ in range(2))
        torch.cuda.make_graphed_callables(recorded, (images,))
        for network in (plain, recorded):
            network(images).square().mean().backward()
        one, other = (
            torch.cat([parameter.grad.flatten() for parameter in network.parameters() if parameter.grad is not None])
            for network in (plain, recorded)
        )
        difference = (one - other).abs().max().item()
        yield Finding(of=f"{design}, largest difference of a gradient", value=difference, unit="1")
        for words, network in (("kernel by kernel", plain), ("as CUDA graphs", recorded)):
            begun, steps = time.perf_counter(), 50
            for _ in range(steps):
                network(images).square().mean().backward()
            bench.wait()
            rate = steps * len(images) / (time.perf_counter() - begun)
            yield Finding(of=f"{design}, {words}", value=rate, unit="images/s")


def shared_statistics(bench: Bench) -> Iterator[Finding]:
    """SyncBatchNorm in a group of one process, against the same network without it."""
    if bench.device.type != "cuda":
        yield Finding(of="SyncBatchNorm", words="not measured: torch has it for GPUs alone")
        return
    images = torch.randn((16, *IMAGE), device=bench.device)
    distributed.init_process_group("nccl", store=distributed.HashStore(), rank=0, world_size=1)
    try:
        plain, shared = (build("resnet-20", image=IMAGE, classes=CLASSES, seed=0).to(bench.device) for _ in range(2))
        nn.SyncBatchNorm.convert_sync_batchnorm(shared)
        difference = (plain(images) - shared(images)).abs().max().item()
    finally:
        distributed.destroy_process_group()
    yield Finding(of="SyncBatchNorm of one process, largest difference of a logit", value=difference, unit="1")
