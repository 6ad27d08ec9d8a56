"""What training programs put around a state dict in their files, and which of several they mean."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor

from resatlas.errors import CheckpointError, quoted
from resatlas.values.weights import AVERAGED, Which

HOLDERS = ("state_dict", "model_state_dict", "model", "net", "network", "weights", "student", "module")
"""Where training programs put the weights in their files; averages of weights go by other names."""

DEEPEST = 4  # holders within holders


@dataclass(frozen=True, kw_only=True, eq=False)
class Held:
    """A state dict, where it stood, and what was left in its place: averages, or what they are averages of.

    `averaged` is whether it is known to be an average.
    """

    tensors: dict[str, Tensor]
    path: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    averaged: bool = False


def held(value: object, *, where: str, which: Which = "raw") -> Held:
    """The one mapping from names to tensors in a value: itself, or what it holds under one of `HOLDERS`.

    With "ema" an average of weights is taken where the value holds one.
    Raises: CheckpointError if there is none, or more than one.
    """
    path: list[str] = []
    left: tuple[str, ...] = ()
    averaged = False
    for _ in range(DEEPEST):
        if not isinstance(value, Mapping):
            raise CheckpointError(
                f"{where} holds a {type(value).__name__}; weights are a mapping from names to tensors"
            )
        raw = [key for key in HOLDERS if isinstance(value.get(key), Mapping)]
        averages = [key for key in value if not averaged and _is_average(key, value[key])]
        if which == "ema" and averages:
            chosen, left, averaged = averages, tuple(raw), True
        elif averages and not raw and not _any_tensor(value):
            lack = f"{where} holds no raw weights, only their average {listed(averages)}"
            raise CheckpointError(f"{lack}; {pass_('ema')}")
        else:
            chosen, left = raw, (*left, *averages)
        if len(chosen) > 1:
            raise CheckpointError(f"{where} holds {listed(chosen)}; pass the one that is meant")
        others = [key for key, each in value.items() if isinstance(each, Mapping) and _any_tensor(each)]
        if not chosen and others:
            raise CheckpointError(f"{where} holds no weights under a usual name but {listed(others)}; pass one of them")
        if not chosen:
            break
        path.append(chosen[0])
        value = value[chosen[0]]
    return Held(tensors=_checked(value, where), path=tuple(path), left=left, averaged=averaged)


def pass_(which: Which) -> str:
    """How the other weights of a file are taken, in words."""
    return f'--weights {which} takes that (in Python: which="{which}")'


def _is_average(key: object, value: object) -> bool:
    """Whether an entry is an average of weights: by its name, and tensors below it."""
    if not isinstance(key, str) or not AVERAGED.search(key) or not isinstance(value, Mapping):
        return False
    return _any_tensor(value) or any(isinstance(each, Mapping) and _any_tensor(each) for each in value.values())


def _checked(value: object, where: str) -> dict[str, Tensor]:
    entries = value if isinstance(value, Mapping) else {}
    found: dict[str, Tensor] = {}
    for key, tensor in entries.items():
        if not isinstance(key, str) or not isinstance(tensor, Tensor):
            raise CheckpointError(f"{where}: {listed([key])} is a {type(tensor).__name__}; weights are tensors by name")
        found[key] = tensor
    if not found:
        raise CheckpointError(f"{where} holds no weights")
    return found


def _any_tensor(entries: Mapping[object, object]) -> bool:
    return any(isinstance(each, Tensor) for each in entries.values())


def listed(keys: Iterable[object]) -> str:
    """The names in quotes, with "and" between them."""
    return " and ".join(quoted(str(key)) for key in keys)
