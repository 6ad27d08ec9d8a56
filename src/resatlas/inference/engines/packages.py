"""The engines, and the packages that each needs. Needs no torch."""

import os
import sys
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any, Literal, cast, get_args

from resatlas.errors import UnknownName, UsageError, unknown
from resatlas.runs.environment import installed_version

Engine = Literal["torch", "onnxruntime", "openvino"]

ONNX = ("onnx", "onnxscript")
"""Packages that write a graph as ONNX."""

_PACKAGES: dict[Engine, tuple[str, ...]] = {
    "torch": (),
    "onnxruntime": (*ONNX, "onnxruntime"),
    "openvino": (*ONNX, "openvino"),
}

_EXTRAS: dict[Engine, str] = {
    "torch": "",
    "onnxruntime": "pip install resatlas[export]",
    "openvino": "pip install resatlas[export,openvino]",
}


def onnxruntime() -> ModuleType:
    """ONNX Runtime, without its telemetry unless ORT_DISABLE_TELEMETRY is set to 0. The one place that imports it.

    Since 1.29 it sends data on models and machine to its maker, and writes files that identify the machine.
    Raises: ImportError
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    return import_module("onnxruntime")


def openvino() -> ModuleType:
    """OpenVINO, without its telemetry: its import would send an event to its maker. The one place that imports it.

    It goes on without the package `openvino_telemetry`, which is made impossible to import in this process.
    Raises: ImportError
    """
    sys.modules.setdefault("openvino_telemetry", cast("ModuleType", None))
    return import_module("openvino")


@cache
def openvino_core() -> Any:  # noqa: ANN401 - openvino has no types here
    """The one Core of OpenVINO in this process, which stays to its end.

    Raises: ImportError
    Differs: OpenVINO 2026.4 gives the thread that first computes by a Core a stack for signals, and frees it with the
        Core. Of two Cores that overlap the later one sets the freed stack of the earlier again, and the next signal of
        which Python has a handler, such as Ctrl-C, ends the process with a segmentation fault and without a word.
    """
    return openvino().Core()


def check_engine(engine: str) -> Engine:
    """The engine of that name, whose packages are installed.

    Raises: UnknownName; UsageError with the command that installs what is missing.
    """
    names: tuple[Engine, ...] = get_args(Engine)
    for name in names:
        if name == engine:
            check_packages(_PACKAGES[name], install=_EXTRAS[name], purpose=f"--engine {name}")
            return name
    raise UnknownName(unknown("engine", engine, names))


def check_packages(packages: tuple[str, ...], *, install: str, purpose: str) -> None:
    """Refuse a purpose whose packages are missing.

    Raises: UsageError
    """
    missing = [package for package in packages if not installed_version(package)]
    if missing:
        raise UsageError(f"{purpose} needs {' and '.join(missing)}, not installed: {install}")
