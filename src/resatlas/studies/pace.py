"""The time of a training step from its multiply-adds and the peak of the processor. Needs no torch."""

import json
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from resatlas.arch.cost import cost
from resatlas.data.dataset import ImageFiles
from resatlas.data.official import cache
from resatlas.errors import DataError, FolderError
from resatlas.runs.environment import bf16_instructions, installed_version, processor
from resatlas.runs.files import write_json
from resatlas.studies.demand import Setting
from resatlas.training.threads import threads_by_rule, threads_set
from resatlas.values import reading
from resatlas.values.cores import cores

SHARES = (0.45, 0.55, 0.84)
"""Lowest, median and highest share of the peak that a training step reaches, of six networks of five papers.

Source: benchmarks/training.md, 2026-11-27, bf16 on two cores with AVX-512. Other processors differ: --measure.
"""

_PASSES = 3
"""Passes that a step costs: one forward, and two of the same cost backward."""

_SIDE, _ROUNDS = 512, 30
"""Matrices whose product is timed, and how often; the fastest counts."""

_FASTER_IN_BF16 = 2
"""How many times as fast a processor multiplies in bf16 if it can. Source: both peaks of benchmarks/training.md."""

_FILE = "peak.json"

_PHOTOGRAPHS = 12
"""Photographs that are decoded to time it."""


class Peak(NamedTuple):
    """Multiply-adds per second of one core in float32, and where the number comes from."""

    rate: float
    source: str


@dataclass(frozen=True, kw_only=True)
class Pace:
    """Seconds of a step: lowest, median and highest, and what they are based on."""

    low: float
    median: float
    high: float
    basis: str


def peak_of_core() -> Peak:
    """The peak that is measured now, or the one in the user's cache if it is higher: other programs slow a core."""
    folder = cache()
    machine = {"processor": processor(), "numpy": installed_version("numpy")}
    file = folder / _FILE if folder else None
    known, rate = _remembered(file, machine) if file else None, _measured()
    if known and known.rate >= rate:
        return known
    if file is not None:
        day = datetime.now(UTC).date().isoformat()
        with suppress(OSError, FolderError):
            file.parent.mkdir(parents=True, exist_ok=True)
            write_json(file, {**machine, "multiply_adds_per_second": rate, "date": day}, within=file.parent)
    return Peak(rate, "measured now")


def _remembered(file: Path, machine: dict[str, str | None]) -> Peak | None:
    with suppress(OSError, ValueError, LookupError, TypeError):
        known = json.loads(reading.text(file, most=10_000))
        if all(known[key] == value for key, value in machine.items()) and known["multiply_adds_per_second"] > 0:
            return Peak(float(known["multiply_adds_per_second"]), f"measured on {str(known['date'])[:10]}")
    return None


def _measured() -> float:
    """Multiply-adds per second of products of matrices, on one thread."""
    import numpy as np
    from threadpoolctl import threadpool_limits

    left = np.random.default_rng(0).random((_SIDE, _SIDE), dtype=np.float32)
    seconds = []
    with threadpool_limits(1):
        for _ in range(_ROUNDS):
            started = time.perf_counter()
            left @ left
            seconds.append(time.perf_counter() - started)
    return float(_SIDE**3 / min(seconds))


def threads_each(setting: Setting) -> int:
    """The threads of each process of a training."""
    images = min(setting.recipe.norm_group or setting.load.share, setting.load.share)
    most = threads_set() or max(cores() // setting.processes, 1)
    return threads_by_rule(setting.plan, images=images, most=most)


def estimated(setting: Setting) -> Pace | None:
    """The pace of a training on the processor; None where the machine gives no ground for an estimate.

    This is so on a GPU, in a precision that the processor does not multiply in, and for detectors and segmenters,
    whose heads do more than multiply.
    """
    narrow = setting.precision != "fp32"
    emulated = narrow and not (setting.precision == "bf16" and bf16_instructions())
    if setting.scenes is not None or setting.where != "cpu" or emulated:
        return None
    peak = peak_of_core()
    threads = threads_each(setting)
    rate = peak.rate * min(threads * setting.processes, cores()) * (_FASTER_IN_BF16 if narrow else 1)
    again = setting.kept != "all"  # a second forward pass
    work = (_PASSES + again) * cost(setting.plan).multiply_adds * setting.recipe.batch
    low, median, high = (work / (rate * share) for share in reversed(SHARES))
    return Pace(
        low=low,
        median=median,
        high=high,
        basis=f"from multiply-adds and the peak of a core, {peak.rate / 1e9:.0f} · 10⁹ a second, {peak.source}; "
        f"networks reach {SHARES[0]:.0%} to {SHARES[-1]:.0%} of it",
    )


def decoding_seconds(part: ImageFiles) -> float | None:
    """Seconds in which a core decodes a photograph, from a few that are spread over a part; None if none is readable.

    The steps of a recipe on a photograph come on top.
    """
    from resatlas.data.photograph import decoded

    count = min(len(part), _PHOTOGRAPHS)
    seconds = []
    for k in range(count):
        started = time.perf_counter()
        with suppress(DataError):
            decoded(part.path(k * len(part) // count))
            seconds.append(time.perf_counter() - started)
    return sum(seconds) / len(seconds) if seconds else None
