"""The logits in the output of a module: the tensor itself, or one inside a data class, dict or tuple."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from torch import Tensor, nn

_LOGITS = "logits"
"""Their name in the outputs of other libraries."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Logits:
    """One row of numbers per image, and their place in the output, in words; empty if they are the output."""

    tensor: Tensor
    place: str = ""


def find_logits(output: object) -> Logits | None:
    """The logits in the output of a module, of two axes and perhaps axes of length 1; None if there are none."""
    kind = type(output).__name__
    if isinstance(output, Tensor):
        return Logits(tensor=output) if _has_rows(output) else None
    if isinstance(tensor := getattr(output, _LOGITS, None), Tensor):
        place = f".{_LOGITS} of the returned {kind}"
    elif isinstance(output, Mapping):
        tensors = [(key, value) for key, value in output.items() if isinstance(value, Tensor)]
        candidates = [(key, value) for key, value in tensors if key == _LOGITS] or tensors
        if len(candidates) != 1:
            return None
        key, tensor = candidates[0]
        place = f'"{key}" of the returned {kind}'
    elif isinstance(output, Sequence) and output and isinstance(output[0], Tensor):
        tensor, place = output[0], f"the first of the {len(output)} returned values"
    else:
        return None
    return Logits(tensor=tensor, place=place) if _has_rows(tensor) else None


def describe_output(output: object) -> str:
    """The output of a module in a few words."""
    kind = type(output).__name__
    if isinstance(output, Tensor):
        return f"a tensor of shape {tuple(output.shape)}"
    if isinstance(output, Mapping):
        return f"a {kind} with {', '.join(map(str, list(output)[:6])) or 'nothing in it'}"
    if isinstance(output, Sequence) and not isinstance(output, str):
        return f"a {kind} of {', '.join(type(value).__name__ for value in output[:6]) or 'nothing'}"
    return f"a {kind}"


@contextmanager
def logits_only(module: nn.Module) -> Iterator[None]:
    """A context in which the module returns the logits alone, if its output contains any."""

    def unwrap(_module: nn.Module, _images: object, output: object) -> object:
        logits = find_logits(output)
        return logits.tensor if logits else output

    handle = module.register_forward_hook(unwrap)
    try:
        yield
    finally:
        handle.remove()


def _has_rows(tensor: Tensor) -> bool:
    return tensor.dim() > 1 and tensor[0].numel() == tensor.shape[1]
