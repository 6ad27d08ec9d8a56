"""Sessions of ONNX Runtime and OpenVINO: functions from images to logits on the CPU, both as arrays."""

from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from resatlas.inference.engines.graph import INPUT
from resatlas.inference.engines.packages import onnxruntime, openvino_core

Session = Callable[[NDArray[Any]], NDArray[np.float32]]
"""images (n, channels, height, width) -> logits (n, classes)."""

Outputs = Callable[[NDArray[Any]], tuple[NDArray[Any], ...]]
"""images -> all outputs of a graph."""

Hint = Literal["f32", "bf16"]
"""The precision in which OpenVINO computes."""


def onnxruntime_session(model: bytes | Path, *, threads: int) -> Session:
    """A session of ONNX Runtime for a model with one output.

    Differs: ONNX Runtime ignores OMP_NUM_THREADS, and its waiting threads occupy their cores by default.
    """
    run = onnxruntime_outputs(model, threads=threads)
    return lambda images: np.asarray(run(images)[0], dtype=np.float32)


def onnxruntime_outputs(model: bytes | Path, *, threads: int) -> Outputs:
    """A session of ONNX Runtime for a model with several outputs."""
    runtime = onnxruntime()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3  # errors; warnings concern the optimisation of single nodes
    source = model if isinstance(model, bytes) else str(model)
    session = runtime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    return lambda images: tuple(map(np.asarray, session.run(None, {INPUT: images})))


def openvino_has_bf16() -> bool:
    """Whether OpenVINO computes in bfloat16 on this processor; elsewhere it ignores the hint."""
    return "BF16" in openvino_core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def openvino_session(model: bytes | Path, *, threads: int, hint: Hint = "f32") -> Session:
    """A session of OpenVINO for an ONNX model, or for the .xml file of a model in its own format.

    Differs: OpenVINO computes in bfloat16 by default where the processor supports it; here `hint` decides.
    """
    properties: Mapping[str, Any] = {
        "INFERENCE_PRECISION_HINT": hint,
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
    }
    core = openvino_core()
    read = core.read_model(BytesIO(model)) if isinstance(model, bytes) else core.read_model(model)
    compiled = core.compile_model(read, "CPU", dict(properties))
    request = compiled.create_infer_request()
    return lambda images: np.array(request.infer({0: images})[0], dtype=np.float32)
