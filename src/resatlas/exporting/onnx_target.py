"""`--to onnx`: one file, without external data."""

from pathlib import Path
from typing import TYPE_CHECKING

from resatlas.exporting.half import with_half_weights
from resatlas.exporting.quantising import quantised
from resatlas.exporting.subject import Subject, program_of
from resatlas.exporting.targets import TARGETS, ExportOptions
from resatlas.inference.engines.graph import onnx_bytes, onnx_of
from resatlas.inference.engines.sessions import Session, onnxruntime_session
from resatlas.runs.files import write_bytes

if TYPE_CHECKING:
    from onnx import ModelProto

FILE = TARGETS["onnx"].file


def write(subject: Subject, options: ExportOptions, folder: Path) -> Session:
    """Write model.onnx."""
    import torch

    write_bytes(folder / FILE, onnx_bytes(stored(graph_of(subject, options), subject, options, symmetric=False)))
    return onnxruntime_session(folder / FILE, threads=torch.get_num_threads())


def graph_of(subject: Subject, options: ExportOptions) -> "ModelProto":
    """The graph in float32."""
    return onnx_of(program_of(subject, options), free=options.free)


def stored(model: "ModelProto", subject: Subject, options: ExportOptions, *, symmetric: bool) -> "ModelProto":
    """The graph in the precision of the options; `symmetric` are 8-bit ranges around 0."""
    match options.precision:
        case "fp32":
            return model
        case "fp16":
            return with_half_weights(model)
        case "int8":
            return quantised(model, subject, options, symmetric=symmetric)
