"""The record of a step whose loss or gradient is not finite, to find the reason."""

import math
from typing import Any

from torch import Tensor

from resatlas.training.state import TrainState


def evidence(
    state: TrainState, *, seed: int, images: list[int], loss: float, norm: float, rate: float
) -> dict[str, Any]:
    """The position of the step, the ids of its images, and the norm of every weight and gradient, as JSON."""
    weights = dict(state.module.named_parameters())
    return {
        "step": state.step + 1,
        "epoch": state.epoch + 1,
        "batch": state.batch + 1,
        "seed": seed,
        "images": images,
        "learning_rate": rate,
        "loss": _number(loss),
        "gradient_norm": _number(norm),
        "norms": {
            path: {"weight": _norm(weight.detach()), "gradient": weight.grad is not None and _norm(weight.grad)}
            for path, weight in weights.items()
        },
    }


def _norm(tensor: Tensor) -> float | str:
    return _number(tensor.double().norm().item())


def _number(value: float) -> float | str:
    """The number, or its name if it is not finite, which JSON cannot represent."""
    return value if math.isfinite(value) else str(value)
