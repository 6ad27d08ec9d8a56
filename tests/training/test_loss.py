"""The losses against their formulas, image by image and class by class in float64."""

import math

import pytest
import torch

from resatlas.recipes.regularisers import BinaryCrossEntropy, CrossEntropy, Loss
from resatlas.training.loss import loss_of
from resatlas.training.mixing import Labels

LOGITS = 3 * torch.randn(5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
OWN, PARTNERS = torch.tensor([0, 3, 2, 2, 1]), torch.tensor([1, 2, 2, 3, 0])

LABELS = {
    "unmixed": Labels(own=OWN),
    "mostly own": Labels(own=OWN, partners=PARTNERS, share=0.7),
    "mostly the partner's": Labels(own=OWN, partners=PARTNERS, share=0.15),
}

LOSSES: tuple[Loss, ...] = (
    CrossEntropy(),
    CrossEntropy(smoothing=0.1),
    BinaryCrossEntropy(),
    BinaryCrossEntropy(smoothing=0.1),
    BinaryCrossEntropy(present_above=0.2),
    BinaryCrossEntropy(smoothing=0.1, present_above=0.2),
)


def written_out(loss: Loss, logits: list[float], own: int, partner: int, share: float) -> float:
    """The loss of one image."""
    classes = range(len(logits))
    hard = [share * (k == own) + (1 - share) * (k == partner) for k in classes]
    targets = [(1 - loss.smoothing) * target + loss.smoothing / len(logits) for target in hard]
    if isinstance(loss, CrossEntropy):
        norm = math.log(sum(map(math.exp, logits)))
        return sum(target * (norm - logit) for target, logit in zip(targets, logits, strict=True))
    if loss.present_above is not None:
        targets = [float(target > loss.present_above) for target in targets]
    sure = [1 / (1 + math.exp(-logit)) for logit in logits]
    losses = [-t * math.log(p) - (1 - t) * math.log(1 - p) for t, p in zip(targets, sure, strict=True)]
    return sum(losses) / len(losses)


@pytest.mark.parametrize("mixed", LABELS)
@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_a_loss_is_its_formula(loss: Loss, mixed: str) -> None:
    """The mean over the images, with the smoothing and mixing of the recipe."""
    labels = LABELS[mixed]
    partners = OWN if labels.partners is None else labels.partners
    images = zip(LOGITS.tolist(), OWN.tolist(), partners.tolist(), strict=True)
    expected = sum(written_out(loss, *image, labels.share) for image in images) / len(LOGITS)
    value = loss_of(loss, LOGITS, labels)
    assert value.dtype == torch.float64
    assert value.item() == pytest.approx(expected, rel=1e-12)


def test_half_precision_is_not_used_for_losses() -> None:
    """Logits of bfloat16 give a loss in float32."""
    for loss in LOSSES:
        assert loss_of(loss, LOGITS.bfloat16(), LABELS["mostly own"]).dtype == torch.float32


def test_the_main_label_has_the_larger_share() -> None:
    """The training error is counted against it."""
    assert LABELS["unmixed"].main is OWN
    assert LABELS["mostly own"].main is OWN
    assert LABELS["mostly the partner's"].main is PARTNERS


@pytest.mark.parametrize("classes", [2, 10, 1000])
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_no_logits_are_better_than_the_least_loss(smoothing: float, classes: int) -> None:
    """Logits that give the targets reach the least loss; others have a larger loss."""
    loss, label = CrossEntropy(smoothing=smoothing), Labels(own=torch.tensor([1]))
    target = torch.full((1, classes), smoothing / classes, dtype=torch.float64)
    target[0, 1] += 1 - smoothing
    best = target.clamp(min=1e-300).log()
    assert loss_of(loss, best, label).item() == pytest.approx(loss.least(classes), abs=1e-12)
    if smoothing:
        assert loss_of(loss, 1.1 * best, label).item() > loss.least(classes)
        assert loss_of(loss, 0.9 * best, label).item() > loss.least(classes)
