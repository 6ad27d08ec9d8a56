"""`--to openvino`: model.xml with model.bin, read from the ONNX graph, computed in float32."""

from io import BytesIO
from pathlib import Path

import torch

from resatlas.exporting.onnx_target import graph_of, stored
from resatlas.exporting.subject import Subject
from resatlas.exporting.targets import TARGETS, ExportOptions
from resatlas.inference.engines.graph import onnx_bytes
from resatlas.inference.engines.packages import openvino, openvino_core
from resatlas.inference.engines.sessions import Session, openvino_session

FILE = TARGETS["openvino"].file


def write(subject: Subject, options: ExportOptions, folder: Path) -> Session:
    """Write model.xml and model.bin.

    OpenVINO's `compress_to_fp16` would round the normalisation too, so weights in half precision come from the graph.
    Differs: OpenVINO 2026.4 cannot read maps with a zero point before zero-padded channels ("Argument shapes are
        inconsistent"), so 8-bit maps of a network with such shortcuts are symmetric.
    """
    graph = graph_of(subject, options)
    padded = any(node.op_type == "Pad" for node in graph.graph.node)
    graph = stored(graph, subject, options, symmetric=padded)
    model = openvino_core().read_model(BytesIO(onnx_bytes(graph)))
    for k, operation in enumerate(model.get_ordered_ops()):  # OpenVINO counts names on in each process
        if operation.get_type_name() not in ("Parameter", "Result"):
            operation.set_friendly_name(f"{operation.get_type_name()}_{k}")
    openvino().save_model(model, folder / FILE, compress_to_fp16=False)
    return openvino_session(folder / FILE, threads=torch.get_num_threads())
