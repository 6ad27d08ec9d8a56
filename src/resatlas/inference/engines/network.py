"""A network that another engine runs, behind the interface of a module of torch."""

from typing import assert_never

import torch
from jaxtyping import Float
from torch import Tensor, nn

from resatlas.inference.engines.graph import Free, onnx_bytes, onnx_of, traced
from resatlas.inference.engines.packages import Engine
from resatlas.inference.engines.sessions import Session, onnxruntime_session, openvino_session
from resatlas.inference.network import for_inference
from resatlas.nets.network import Network


class EngineNetwork(nn.Module):
    """images -> logits in float32, computed by a session on the CPU.

    Shape: (n, channels, height, width) -> (n, classes).
    """

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session

    def forward(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        """One logit per class."""
        return torch.from_numpy(self._session(images.contiguous().numpy(force=True)))


def run_by(engine: Engine, network: Network, *, free: Free = "batch") -> nn.Module:
    """The network run by an engine, in float32, with torch's present number of threads.

    Torch runs the network itself. The others run the folded network of `for_inference`, so logits differ by rounding.
    Raises: ImportError if the engine's packages are missing: see `packages.check_engine`.
    """
    match engine:
        case "torch":
            return network
        case "onnxruntime":
            return EngineNetwork(onnxruntime_session(network_onnx(network, free=free), threads=torch.get_num_threads()))
        case "openvino":
            return EngineNetwork(openvino_session(network_onnx(network, free=free), threads=torch.get_num_threads()))
        case _:
            assert_never(engine)


def network_onnx(network: Network, *, free: Free, images: int = 1) -> bytes:
    """The folded network as ONNX; its input are normalised images, of this number if it is not free."""
    folded = for_inference(network.float().cpu(), kernels="torch")
    example = torch.zeros(images if free == "none" else 2, *network.plan.image)
    return onnx_bytes(onnx_of(traced(folded, example, free=free), free=free))
