"""Describing starts in a fraction of a second, without torch, numpy and other heavy imports.

Times are processor seconds of the process, which depend less on a busy machine than wall-clock time; the best of
several tries counts.
"""

import os
import subprocess
import sys

import pytest

from resatlas.arch.blueprint import MOST_UNITS

HEAVY = ("torch", "torchvision", "sklearn", "numpy", "scipy", "PIL", "altair", "jaxtyping")

IMPORTED = """
import io, sys
from contextlib import redirect_stdout
from resatlas.cli.main import main
with redirect_stdout(io.StringIO()):
    code = main(sys.argv[2:])
print(code, *sorted({name.partition(".")[0] for name in sys.modules} & set(sys.argv[1].split(","))))
"""

COUNTED = """
from time import process_time
from resatlas.arch.cost import cost
from resatlas.designs.catalog import named
started = process_time()
total = sum(cost(entry.plan()).parameters for entry in named().values())
print(process_time() - started, total)
"""

LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_CPU, (6, 6))
from resatlas.cli.main import main
raise SystemExit(main(sys.argv[1:]))
"""

STANDARD = """
import argparse, asyncio, csv, dataclasses, email.message, fractions, http.client, json, typing, unittest.mock
import xml.dom.minidom
"""
"""Modules of the standard library, about as many as describing needs; the time of their import is the unit."""

TIMES = 8
"""Describing takes at most this many units: 0.4 s where their import takes 0.05 s."""

CITE = ("cite", "wrn-28-10")


def python(*words: str) -> str:
    """Standard output of a new Python process, which must succeed."""
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize(
    "words",
    [
        ("--help",),
        ("list",),
        ("describe", "resnet-1202"),
        ("describe", "resnet-50", "--conventions"),
        ("verify",),
        ("weights", "list"),
        CITE,
    ],
    ids=lambda words: " ".join((words[0], *words[2:])),
)
def test_describing_imports_nothing_heavy(words: tuple[str, ...]) -> None:
    """A describing verb imports none of the heavy libraries."""
    assert python("-c", IMPORTED, ",".join(HEAVY), *words).split() == ["0"]


def test_preflight_imports_no_torch() -> None:
    """It reads the data and multiplies some matrices, with numpy, and predicts everything else."""
    words = ("preflight", "resnet-20", "--data", "synthetic", "--set", "validation=0")
    assert python("-c", IMPORTED, "torch,torchvision,scipy,altair", *words).split() == ["0"]


def test_importing_the_package_imports_nothing_heavy() -> None:
    """`import resatlas` imports none of the heavy libraries."""
    script = f"import sys, resatlas; print(*sorted({set(HEAVY)} & set(sys.modules)))"
    assert python("-c", script).split() == []


def spent(*words: str) -> float:
    """Processor seconds of one run of Python."""
    before = os.times()
    python(*words)
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


@pytest.mark.parametrize(
    "words", [("--help",), ("list",), ("describe", "resnet-1202"), CITE], ids=lambda words: words[0]
)
def test_describing_starts_at_once(words: tuple[str, ...]) -> None:
    """The best of up to five runs takes at most `TIMES` units."""
    assert any(spent("-m", "resatlas", *words) < most_seconds() for _ in range(5))


def most_seconds() -> float:
    """The longest time for describing on this machine under its present load."""
    return TIMES * spent("-c", STANDARD)


def test_the_whole_catalogue_is_counted_at_once() -> None:
    """Every network is expanded and counted within that time, in the best of up to three tries."""
    assert any(float(python("-c", COUNTED).split()[0]) < most_seconds() for _ in range(3))


def test_the_deepest_network_is_described_in_seconds() -> None:
    """The largest depth with two streams takes at most six processor seconds."""
    design = f"dmrnet:depth={6 * (MOST_UNITS // 3) + 2}"
    assert python("-c", LIMITED, "describe", design, "--quiet") == ""
