"""A module as one graph: traced by torch.export, and written as ONNX without traces of this machine.

The exporter of torch writes the stack trace of every operation, with the paths of source files, and names free sizes
`s34`. Both are removed here: the same network gives the same bytes in any folder.
"""

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from resatlas.errors import UsageError

if TYPE_CHECKING:
    from onnx import ModelProto

Free = Literal["none", "batch", "size"]
"""The sizes of the input that the caller chooses: none, the number of images, or also their height and width."""

INPUT, OUTPUT = "images", "logits"
"""Names of the input, of shape (n, channels, height, width), and of the output, of shape (n, classes)."""

OPSET = 20
"""The version of ONNX's operators. Version 20 was published with ONNX 1.15, in 2023."""

FREE_AXES: dict[Free, dict[int, str]] = {
    "none": {},
    "batch": {0: "batch"},
    "size": {0: "batch", 2: "height", 3: "width"},
}
"""The free axes of the input, with their names in the graph."""

_TRACES = ("stack_trace", "nn_module_stack", "source_fn_stack", "from_node", "torch_fn", "custom")
"""Records of torch.export about the source of a node."""


def traced(module: nn.Module, example: Tensor, *, free: Free) -> torch.export.ExportedProgram:
    """The graph of a module in evaluation mode; `example` is an input of at least 2 images if their number is free.

    Raises: UsageError if the module fixes a size that is to be free.
    Differs: named sizes of torch.export fail for zero-padded shortcuts, whose sizes are equal ("Constraints violated"),
        so torch finds the free sizes itself, and they are checked here.
    """
    return traced_along(module, example, axes=FREE_AXES[free])


def traced_along(module: nn.Module, example: Tensor, *, axes: Mapping[int, str]) -> torch.export.ExportedProgram:
    """As `traced`, with the free axes of the input by their names.

    Raises: UsageError if the module fixes a size that is to be free.
    """
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(
            module.eval(), (example.clone(),), dynamic_shapes=(dict.fromkeys(axes, torch.export.Dim.AUTO),)
        )
    fixed = [axes[axis] for axis in axes if not isinstance(_input_shape(program)[axis], torch.SymInt)]
    if fixed:
        raise UsageError(f"this network needs a fixed {' and '.join(fixed)}; choose --dynamic none or batch")
    for graph in program.graph_module.modules():
        for node in graph.graph.nodes if isinstance(graph, torch.fx.GraphModule) else ():
            for trace in _TRACES:
                node.meta.pop(trace, None)
    return program


def _input_shape(program: torch.export.ExportedProgram) -> tuple[Any, ...]:
    """The shape of the graph's input; a free size is a symbol."""
    (name,) = program.graph_signature.user_inputs
    return next(tuple(node.meta["val"].shape) for node in program.graph.nodes if node.name == name)


def onnx_of(program: torch.export.ExportedProgram, *, free: Free) -> "ModelProto":
    """The graph as an ONNX model with the input `images` and the output `logits`."""
    return onnx_along(program, axes=FREE_AXES[free], outputs={OUTPUT: _first(free)})


def onnx_along(
    program: torch.export.ExportedProgram, *, axes: Mapping[int, str], outputs: Mapping[str, Mapping[int, str]]
) -> "ModelProto":
    """The graph as an ONNX model with the input `images`, and with these outputs and their free axes by name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exported = torch.onnx.export(
            program,
            dynamo=True,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=list(outputs),
            external_data=False,
            verbose=False,
        )
    assert exported is not None  # noqa: S101 - torch returns a program if it writes no file
    model: ModelProto = exported.model_proto
    named = zip((*model.graph.input, *model.graph.output), (axes, *outputs.values()), strict=True)
    for value, own in named:
        for axis, name in own.items():
            value.type.tensor_type.shape.dim[axis].dim_param = name
    return without_traces(model)


def _first(free: Free) -> dict[int, str]:
    return {axis: name for axis, name in FREE_AXES[free].items() if axis == 0}


def without_traces(model: "ModelProto") -> "ModelProto":
    """The same model without records of its source, and without the shapes of intermediate values."""
    graph = model.graph
    del graph.value_info[:]
    for part in (model, graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        part.doc_string = ""
        del part.metadata_props[:]
    return model


def onnx_bytes(model: "ModelProto") -> bytes:
    """The content of an .onnx file; the same model gives the same bytes."""
    return model.SerializeToString(deterministic=True)
