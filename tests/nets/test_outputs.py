"""Modules that give their logits in a record, a dict or a tuple are audited as they are, and that is said."""

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
    """What Hugging Face's classifiers give: a dict whose values are attributes too."""

    loss: Tensor | None = None
    logits: Tensor | None = None

    def __post_init__(self) -> None:
        self.update({"logits": self.logits} if self.logits is not None else {})


class Giving(nn.Module):
    """A network whose logits are wrapped."""

    def __init__(self, wrap: Callable[[Tensor], object], design: str = "resnet:depth=8,base=4") -> None:
        super().__init__()
        self.resnet, self.wrap = build(design, seed=0), wrap

    def forward(self, pixel_values: Tensor, labels: Tensor | None = None) -> object:
        """The wrapped logits."""
        assert labels is None
        return self.wrap(self.resnet(pixel_values))


WRAPS: dict[str, tuple[Callable[[Tensor], object], str]] = {
    "a record": (lambda logits: Output(logits=logits), ".logits of the Output that the module gives"),
    "a dict of one": (lambda logits: {"out": logits}, '"out" of the dict that the module gives'),
    "a dict with logits": (lambda x: {"features": x * 2, "logits": x}, '"logits" of the dict that the module gives'),
    "a tuple": (lambda logits: (logits, logits[:, :2]), "the first of the 2 values that the module gives"),
    "a tuple of one": (lambda logits: (logits,), "the first of the 1 values that the module gives"),
}


@pytest.mark.parametrize(("wrap", "place"), WRAPS.values(), ids=WRAPS)
def test_logits_are_taken_out_of_what_is_around_them(wrap: Callable[[Tensor], object], place: str) -> None:
    """The function is the same, and a remark says what was audited; a difference is found as ever."""
    module = Giving(wrap)
    verdict = audit(module, resolve("resnet:depth=8,base=4"))
    assert verdict.same, verdict.first_difference
    assert verdict.remarks == (f"audited: {place}",)
    assert not isinstance(module(torch.zeros(2, 3, 32, 32, dtype=torch.float64)), Tensor)
    verdict = audit(Giving(wrap, "plain:depth=8,base=4"), resolve("resnet:depth=8,base=4"))
    assert not verdict.same
    assert verdict.remarks[0] == f"audited: {place}"


NONE: list[tuple[Callable[[Tensor], object], str]] = [
    (lambda logits: {"a": logits, "b": logits}, "got a dict with a, b"),
    (lambda logits: (None, logits), "got a tuple of NoneType, Tensor"),
    (lambda _: None, "got a NoneType"),
    (lambda logits: logits[:, :, None, None].expand(-1, -1, 2, 2), r"got a tensor of shape \(2, 10, 2, 2\)"),
]


@pytest.mark.parametrize(("wrap", "words"), NONE, ids=[words for _, words in NONE])
def test_what_gives_no_logits_is_told_what_it_gives(wrap: Callable[[Tensor], object], words: str) -> None:
    """And what is expected."""
    with pytest.raises(UsageError, match=rf"expected logits of shape \(images, classes\), .*; {words}"):
        audit(Giving(wrap), resolve("resnet:depth=8,base=4"))
