"""The formats of `resatlas export`, and the options of an export, checked. Needs no torch."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from resatlas.errors import UnknownName, UsageError, unknown

Precision = Literal["fp32", "fp16", "int8"]
Dynamic = Literal["none", "batch", "size"]
InputKind = Literal["pixels", "normalised"]

MOST_CALIBRATING = 65_536


@dataclass(frozen=True, kw_only=True)
class Target:
    """A format: what it is, its file, what it can store, the packages that it needs, and the module that writes it.

    `module` has a function `write` as in `export_folder.Writer`.
    """

    words: str
    file: str
    precisions: tuple[Precision, ...]
    dynamics: tuple[Dynamic, ...]
    packages: tuple[str, ...]
    install: str
    module: str
    inputs: tuple[InputKind, ...] = ("pixels", "normalised")
    script: Literal["predict.py", "none"] = "predict.py"
    """What classifies an image file with the model; a page does so itself."""
    runtime: Literal["own", "of the caller"] = "of the caller"
    """Whether the file contains what computes it; a page does, and `ExportOptions.runtime` can replace it."""


_ONNX = ("onnx", "onnxscript", "onnxruntime")
_INSTALL = "pip install resatlas[export]"

TARGETS: Mapping[str, Target] = {
    "onnx": Target(
        words="ONNX, for ONNX Runtime and most other engines",
        file="model.onnx",
        precisions=("fp32", "fp16", "int8"),
        dynamics=("none", "batch", "size"),
        packages=_ONNX,
        install=_INSTALL,
        module="resatlas.exporting.onnx_target",
    ),
    "openvino": Target(
        words="the format of OpenVINO, for processors of Intel",
        file="model.xml",
        precisions=("fp32", "fp16", "int8"),
        dynamics=("none", "batch", "size"),
        packages=(*_ONNX, "openvino"),
        install="pip install resatlas[export,openvino]",
        module="resatlas.exporting.openvino_target",
    ),
    "executorch": Target(
        words="ExecuTorch, for phones and small devices",
        file="model.pte",
        precisions=("fp32",),
        dynamics=("none",),
        packages=("executorch", "torchao"),
        install="pip install executorch torchao",
        module="resatlas.exporting.executorch_target",
    ),
    "torch-export": Target(
        words="a program of torch.export, for torch alone",
        file="model.pt2",
        precisions=("fp32",),
        dynamics=("none", "batch", "size"),
        packages=(),
        install="",
        module="resatlas.exporting.torch_export_target",
    ),
    "page": Target(
        words="one HTML page that classifies pictures in a browser, offline",
        file="classify.html",
        precisions=("fp32",),
        dynamics=("none",),
        packages=(),
        install="",
        module="resatlas.exporting.page_target",
        inputs=("pixels",),
        script="none",
        runtime="own",
    ),
}


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """How a network is exported.

    to: a format of `TARGETS`. precision: of the stored weights; int8 also computes in 8 bits. dynamic: the free sizes
    of the input: none (one image), the number of images, or also height and width; by default batch, if the format has
    it. input: pixels from 0 to 255, or
    images that the caller normalises. calibrate: training images from which the ranges of int8 are determined.
    most_loss: the largest accepted upper bound of the additional error of int8, in percentage points.
    runtime: the folder of onnxruntime-web, which computes a page in place of its own script.
    """

    to: str = "onnx"
    precision: Precision = "fp32"
    dynamic: Dynamic | None = None
    input: InputKind = "pixels"
    calibrate: int = 256
    most_loss: float = 1.0
    runtime: Path | None = None
    target: Target = field(init=False, repr=False)
    free: Dynamic = field(init=False, repr=False)
    """The free sizes, also where they were left to the format."""

    def __post_init__(self) -> None:
        if self.to not in TARGETS:
            raise UnknownName(unknown("export format", self.to, TARGETS))
        object.__setattr__(self, "target", TARGETS[self.to])
        usual: Dynamic = "batch" if "batch" in self.target.dynamics else "none"
        object.__setattr__(self, "free", self.dynamic or usual)
        for name, kind in (("precision", Precision), ("free", Dynamic), ("input", InputKind)):
            if getattr(self, name) not in get_args(kind):
                raise UnknownName(unknown(name.replace("free", "dynamic"), str(getattr(self, name)), get_args(kind)))
        if not 1 <= self.calibrate <= MOST_CALIBRATING:
            raise UsageError(f"--calibrate must be between 1 and {MOST_CALIBRATING:,}; got {self.calibrate}")
        if not (math.isfinite(self.most_loss) and 0 <= self.most_loss <= 100):
            raise UsageError(f"--most-loss must be between 0 and 100 percentage points; got {self.most_loss:g}")
        if self.precision not in self.target.precisions:
            others = [name for name, target in TARGETS.items() if self.precision in target.precisions]
            raise UsageError(f"--to {self.to} has no --precision {self.precision}; choose --to {' or '.join(others)}")
        if self.free not in self.target.dynamics:
            allowed = " or ".join(self.target.dynamics)
            raise UsageError(f"--to {self.to} has no --dynamic {self.free}; use --dynamic {allowed}")
        if self.input not in self.target.inputs:
            raise UsageError(f"--to {self.to} has no --input {self.input}; use --input {self.target.inputs[0]}")
        if self.runtime is not None and self.target.runtime != "own":
            raise UsageError(f"--to {self.to} takes no --runtime; only --to page contains what computes it")

    @property
    def packages(self) -> tuple[str, ...]:
        """The packages that the export needs."""
        return self.target.packages if self.runtime is None else _ONNX

    @property
    def install(self) -> str:
        """The command that installs them."""
        return self.target.install if self.runtime is None else _INSTALL
