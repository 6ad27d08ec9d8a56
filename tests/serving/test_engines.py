"""A server computes with any engine, and the answers are the same up to rounding."""

import pytest
import torch

import resatlas
from resatlas.arch.ops import Shape
from resatlas.errors import UsageError
from resatlas.inference.engines.packages import Engine
from resatlas.serving.classifier import logits_by
from tests.exporting.subjects import needs


@pytest.mark.parametrize(
    "engine",
    [
        "torch",
        pytest.param("onnxruntime", marks=needs("onnx", "onnxscript", "onnxruntime")),
        pytest.param("openvino", marks=needs("onnx", "onnxscript", "openvino")),
    ],
)
def test_every_engine_gives_the_logits_of_the_network(engine: Engine) -> None:
    """In batches of any number of images."""
    network = resatlas.build("resnet:depth=8,base=2", image=Shape(3, 8, 8), classes=3, seed=0).eval()
    logits = logits_by(engine, network, "fp32")
    for count in (1, 5):
        images = torch.randn(count, 3, 8, 8, generator=torch.Generator().manual_seed(count))
        with torch.inference_mode():
            torch.testing.assert_close(logits(images), network(images), atol=1e-5, rtol=1e-4)


def test_a_precision_that_an_engine_lacks_is_refused() -> None:
    """With what it has."""
    network = resatlas.build("resnet:depth=8,base=2", image=Shape(3, 8, 8), classes=3, seed=0).eval()
    with pytest.raises(UsageError, match="--engine onnxruntime has no --precision bf16; use --engine torch, or"):
        logits_by("onnxruntime", network, "bf16")
