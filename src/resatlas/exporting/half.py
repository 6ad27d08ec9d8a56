"""Weights of an ONNX model stored in half precision; the computation remains in float32."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from onnx import ModelProto

_FEWEST = 16
"""Values of a tensor from which storing it in half precision saves more than its conversion takes."""


def with_half_weights(model: "ModelProto") -> "ModelProto":
    """The same function: tensors whose values are exact in half precision are stored so, and converted when loaded.

    The rounding happens before, in `for_inference(stored="fp16")`; this changes no value.
    """
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < _FEWEST:
            continue
        with np.errstate(over="ignore"):
            half = values.astype(np.float16)
        if not np.array_equal(half.astype(np.float32), values):
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(half, f"{name}.half"))
        casts.append(helper.make_node("Cast", [f"{name}.half"], [name], name=f"{name}.cast", to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    copies = [type(node).FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(copies)
    return model
