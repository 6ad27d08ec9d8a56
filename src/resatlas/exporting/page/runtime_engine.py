"""The engine onnxruntime-web: the page carries its WebAssembly and the ONNX model that `--to onnx` writes."""

import zlib
from base64 import b64encode
from copy import deepcopy
from dataclasses import dataclass, field

import torch
from torch import nn

from resatlas.errors import CheckpointError
from resatlas.exporting.onnx_target import graph_of, stored
from resatlas.exporting.page.encoding import Precision
from resatlas.exporting.page.engine import Carried, check_close, prepared_pattern, scale_of
from resatlas.exporting.page.runtime import PACKAGE, Runtime, as_global
from resatlas.exporting.preprocessing import Preprocessing
from resatlas.exporting.subject import Subject
from resatlas.exporting.targets import ExportOptions
from resatlas.inference.engines.graph import INPUT, OUTPUT, onnx_bytes
from resatlas.inference.engines.sessions import onnxruntime_session
from resatlas.inference.network import for_inference
from resatlas.nets.network import Network

_GZIP = 16 + zlib.MAX_WBITS


@dataclass(frozen=True)
class RuntimeEngine:
    """x -> the ONNX model, in float32."""

    runtime: Runtime = field(repr=False)
    most_multiply_adds: int | None = None
    file: str = "runtime_engine.js"
    policy: tuple[str, ...] = ("'wasm-unsafe-eval'",)

    @property
    def words(self) -> str:
        """Its name, version and licence."""
        return f"{PACKAGE} {self.runtime.version} (Microsoft, MIT licence)"

    def libraries(self) -> tuple[str, ...]:
        """The script of the runtime."""
        return (as_global(self.runtime.script),)

    def texts(self) -> tuple[tuple[str, str], ...]:
        """The WebAssembly, compressed: browsers unpack gzip."""
        packing = zlib.compressobj(9, wbits=_GZIP)
        return (("runtime", b64encode(packing.compress(self.runtime.wasm) + packing.flush()).decode("ascii")),)

    def carried(self, network: Network, preparation: Preprocessing, precision: Precision) -> Carried:
        """The model, run by onnxruntime; the check has the logits of the network in float64, for fp16 rounded."""
        content = model_of(network, preparation, precision)
        image = prepared_pattern(network, preparation)
        with torch.no_grad():
            exact = deepcopy(network).cpu().double().eval()(image.double())
            kept = exact if precision == "fp32" else _halved(network)(image.double())
        session = onnxruntime_session(content, threads=torch.get_num_threads())
        computed = torch.from_numpy(session(image.numpy()))
        scale = scale_of(exact, kept, computed)
        check_close(float((computed - kept).abs().max()), scale, reason="the variances of its norms are too small")
        return Carried(
            table={"input": INPUT, "output": OUTPUT, "shape": [1, *network.plan.image]},
            weights=b64encode(content).decode("ascii"),
            logits=kept[0],
            difference=float((computed - exact).abs().max()),
            session=session,
        )


def model_of(network: Network, preparation: Preprocessing, precision: Precision) -> bytes:
    """The ONNX file of `--to onnx --input normalised --dynamic none`.

    Raises: CheckpointError if weights are not finite.
    """
    if not all(bool(tensor.isfinite().all()) for tensor in network.state_dict().values()):
        raise CheckpointError("the network has weights that are not finite numbers, so it cannot classify")
    subject = Subject(name="", network=network, preprocessing=preparation, classes=(), images=None)
    options = ExportOptions(to="onnx", precision=precision, dynamic="none", input="normalised")
    return onnx_bytes(stored(graph_of(subject, options), subject, options, symmetric=False))


def _halved(network: Network) -> nn.Module:
    """The network in float64, with the weights that are stored in half precision."""
    return for_inference(network, precision="fp64", kernels="torch", stored="fp16")
