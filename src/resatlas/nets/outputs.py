"""The logits in what a module gives: one tensor, or a record, dict or tuple around it."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from torch import Tensor, nn

LOGITS = "logits"
"""What libraries call them in records and dicts."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Logits:
    """One row of numbers an image, and in words where they stood; nothing if they stood alone."""

    tensor: Tensor
    place: str = ""


def logits_in(given: object) -> Logits | None:
    """The logits of what a module gives, or None: two axes, but for axes of one pixel."""
    kind = type(given).__name__
    if isinstance(given, Tensor):
        return Logits(tensor=given) if _has_rows(given) else None
    if isinstance(found := getattr(given, LOGITS, None), Tensor):
        place = f".{LOGITS} of the {kind} that the module gives"
    elif isinstance(given, Mapping):
        tensors = [(key, each) for key, each in given.items() if isinstance(each, Tensor)]
        named = [(key, each) for key, each in tensors if key == LOGITS] or tensors
        if len(named) != 1:
            return None
        key, found = named[0]
        place = f'"{key}" of the {kind} that the module gives'
    elif isinstance(given, Sequence) and given and isinstance(given[0], Tensor):
        found, place = given[0], f"the first of the {len(given)} values that the module gives"
    else:
        return None
    return Logits(tensor=found, place=place) if _has_rows(found) else None


def described(given: object) -> str:
    """What a module gives, in a few words."""
    kind = type(given).__name__
    if isinstance(given, Tensor):
        return f"a tensor of shape {tuple(given.shape)}"
    if isinstance(given, Mapping):
        return f"a {kind} with {', '.join(map(str, list(given)[:6])) or 'nothing in it'}"
    if isinstance(given, Sequence) and not isinstance(given, str):
        return f"a {kind} of {', '.join(type(each).__name__ for each in given[:6]) or 'nothing'}"
    return f"a {kind}"


@contextmanager
def giving_logits(module: nn.Module) -> Iterator[None]:
    """While entered, a call of the module gives the logits alone, where it gives any."""

    def unpacked(_module: nn.Module, _images: object, given: object) -> object:
        found = logits_in(given)
        return found.tensor if found else given

    handle = module.register_forward_hook(unpacked)
    try:
        yield
    finally:
        handle.remove()


def _has_rows(tensor: Tensor) -> bool:
    return tensor.dim() > 1 and tensor[0].numel() == tensor.shape[1]
