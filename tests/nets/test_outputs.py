"""Audits of modules whose output contains the logits in a data class, a dict or a tuple."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from resatlas.audit.comparison import audit
from resatlas.designs.catalog import resolve
from resatlas.errors import UsageError
from resatlas.nets.network import build


@dataclass
class Output(OrderedDict[str, Tensor]):
    """The output of Hugging Face's classifiers: a dict whose values are also attributes."""

    loss: Tensor | None = None
    logits: Tensor | None = None

    def __post_init__(self) -> None:
        self.update({"logits": self.logits} if self.logits is not None else {})


class Wrapped(nn.Module):
    """A network whose logits are wrapped."""

    def __init__(self, wrap: Callable[[Tensor], object], design: str = "resnet:depth=8,base=4") -> None:
        super().__init__()
        self.resnet, self.wrap = build(design, seed=0), wrap

    def forward(self, pixel_values: Tensor, labels: Tensor | None = None) -> object:
        """The wrapped logits."""
        assert labels is None
        return self.wrap(self.resnet(pixel_values))


WRAPS: dict[str, tuple[Callable[[Tensor], object], str]] = {
    "a data class": (lambda logits: Output(logits=logits), ".logits of the returned Output"),
    "a dict of one": (lambda logits: {"out": logits}, '"out" of the returned dict'),
    "a dict with logits": (lambda x: {"features": x * 2, "logits": x}, '"logits" of the returned dict'),
    "a tuple": (lambda logits: (logits, logits[:, :2]), "the first of the 2 returned values"),
    "a tuple of one": (lambda logits: (logits,), "the first of the 1 returned values"),
}


@pytest.mark.parametrize(("wrap", "place"), WRAPS.values(), ids=WRAPS)
def test_logits_are_found_in_the_output(wrap: Callable[[Tensor], object], place: str) -> None:
    """The function is the same, a remark says what was audited, and a difference is still detected."""
    module = Wrapped(wrap)
    verdict = audit(module, resolve("resnet:depth=8,base=4"))
    assert verdict.same, verdict.first_difference
    assert verdict.remarks == (f"audited: {place}",)
    assert not isinstance(module(torch.zeros(2, 3, 32, 32, dtype=torch.float64)), Tensor)
    verdict = audit(Wrapped(wrap, "plain:depth=8,base=4"), resolve("resnet:depth=8,base=4"))
    assert not verdict.same
    assert verdict.remarks[0] == f"audited: {place}"


NONE: list[tuple[Callable[[Tensor], object], str]] = [
    (lambda logits: {"a": logits, "b": logits}, "got a dict with a, b"),
    (lambda logits: (None, logits), "got a tuple of NoneType, Tensor"),
    (lambda _: None, "got a NoneType"),
    (lambda logits: logits[:, :, None, None].expand(-1, -1, 2, 2), r"got a tensor of shape \(2, 10, 2, 2\)"),
]


@pytest.mark.parametrize(("wrap", "words"), NONE, ids=[words for _, words in NONE])
def test_outputs_without_logits_are_refused(wrap: Callable[[Tensor], object], words: str) -> None:
    """The refusal describes the output and what is expected."""
    with pytest.raises(UsageError, match=rf"expected logits of shape \(images, classes\), .*; {words}"):
        audit(Wrapped(wrap), resolve("resnet:depth=8,base=4"))
