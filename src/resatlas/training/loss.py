"""The loss of a recipe, over labels that may be mixed."""

from typing import assert_never

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from resatlas.recipes.regularisers import BinaryCrossEntropy, CrossEntropy, Loss
from resatlas.training.mixing import Labels


def loss_of(loss: Loss, logits: Float[Tensor, "n k"], labels: Labels) -> Float[Tensor, ""]:
    """The mean loss per image, at least in float32: see `recipes.regularisers` for the formulas."""
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    match loss:
        case CrossEntropy(smoothing=smoothing):
            own = F.cross_entropy(logits, labels.own, label_smoothing=smoothing)
            if labels.partners is None:
                return own
            return torch.lerp(F.cross_entropy(logits, labels.partners, label_smoothing=smoothing), own, labels.share)
        case BinaryCrossEntropy():
            return F.binary_cross_entropy_with_logits(logits, _targets(loss, logits, labels))
        case _:
            assert_never(loss)


def _targets(loss: BinaryCrossEntropy, logits: Float[Tensor, "n k"], labels: Labels) -> Float[Tensor, "n k"]:
    """The target of each logit after the sigmoid, between 0 and 1."""
    classes = logits.shape[1]
    targets = F.one_hot(labels.own, classes).to(logits.dtype)
    if labels.partners is not None:
        targets = torch.lerp(F.one_hot(labels.partners, classes).to(logits.dtype), targets, labels.share)
    targets = targets * (1 - loss.smoothing) + loss.smoothing / classes
    return targets if loss.present_above is None else (targets > loss.present_above).to(logits.dtype)
