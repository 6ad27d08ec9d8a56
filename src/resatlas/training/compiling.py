"""A network whose units torch.compile makes, one kind of unit at a time."""

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

FORMS = 4
"""Code of one unit at most: for whole and left-over batches, with memory in either layout."""


def check_compiler(compiled: Compiled) -> None:
    """Refuse what torch.compile cannot do here, before anything is begun.

    Raises: UsageError
    """
    if compiled != "nothing":
        require_compiler("--compile units")


def require_compiler(option: str) -> None:
    """Refuse an option that lets torch compile, where it cannot.

    Raises: UsageError
    """
    program = os.environ.get("CXX", "g++")
    if shutil.which(program) is None:
        raise UsageError(f"{option} needs a C++ compiler; {program} is missing: apt-get install g++, or set CXX")
    if not (Path(sysconfig.get_path("include")) / "Python.h").exists():
        raise UsageError(f"{option} needs Python.h; it is missing: apt-get install python3-dev")


@contextmanager
def compiling(network: Network, compiled: Compiled, *, backend: str = "inductor") -> Iterator[None]:
    """Let each unit run as compiled code within, under the same keys.

    Units of one kind share code: a deep network takes no longer to compile than a shallow one of the same stages. In a
    pyramid all units differ, and so do those with stochastic depth.
    """
    if compiled == "nothing":
        yield
        return
    from torch._dynamo import config

    units = [unit for stage in network.stages for unit in stage.children()]
    with config.patch(recompile_limit=FORMS * len(units), accumulated_recompile_limit=FORMS * len(units)):
        for unit in units:
            unit.compile(dynamic=False, backend=backend)
        try:
            yield
        finally:
            for unit in units:
                unit._compiled_call_impl = None  # noqa: SLF001 - `compile` has no other way back


def uncompiled(compiled: Compiled) -> AbstractContextManager[object]:
    """Where a network is tested: as it is written, whatever it is trained as."""
    return nullcontext() if compiled == "nothing" else torch.compiler.set_stance("force_eager")
