"""Compile the units of a network by torch.compile, one kind of unit at a time."""

import os
import shutil
import sysconfig
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import torch

from resatlas.errors import UsageError
from resatlas.nets.network import Network
from resatlas.runs.experiment import Compiled

_FORMS = 4
"""Compiled versions of one unit at most: full and last batch, each in two memory layouts."""


def check_compiler(compiled: Compiled) -> None:
    """Check before the training that torch.compile works here.

    Raises: UsageError
    """
    if compiled != "nothing":
        require_compiler("--compile units")


def require_compiler(option: str) -> None:
    """Check that torch can compile here, for an option that needs it.

    Raises: UsageError
    """
    program = os.environ.get("CXX", "g++")
    if shutil.which(program) is None:
        raise UsageError(f"{option} needs a C++ compiler; {program} is missing: apt-get install g++, or set CXX")
    if not (Path(sysconfig.get_path("include")) / "Python.h").exists():
        raise UsageError(f"{option} needs Python.h; it is missing: apt-get install python3-dev")


@contextmanager
def compiling(network: Network, compiled: Compiled, *, backend: str = "inductor") -> Iterator[None]:
    """Run each unit as compiled code within the context; keys of the state dict stay the same.

    Units of one kind share compiled code, so a deep network compiles as fast as a shallow one with the same stages. In
    a pyramid all units differ, and so do units with stochastic depth or a shake-drop.
    """
    if compiled == "nothing":
        yield
        return
    from torch._dynamo import config

    units = [unit for stage in network.stages for unit in stage.children()]
    with config.patch(recompile_limit=_FORMS * len(units), accumulated_recompile_limit=_FORMS * len(units)):
        for unit in units:
            unit.compile(dynamic=False, backend=backend)
        try:
            yield
        finally:
            for unit in units:
                unit._compiled_call_impl = None  # noqa: SLF001 - torch has no public way to undo `compile`


def uncompiled(compiled: Compiled) -> AbstractContextManager[object]:
    """Context of a test: the network runs uncompiled, also if its training is compiled."""
    return nullcontext() if compiled == "nothing" else torch.compiler.set_stance("force_eager")
