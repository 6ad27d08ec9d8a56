"""Search for the state dict in the nested dicts that training programs save, and choice between several."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor

from resatlas.errors import CheckpointError, quoted
from resatlas.values.weights import AVERAGED, Which

_HOLDERS = ("state_dict", "model_state_dict", "model", "net", "network", "weights", "student", "module")
"""Keys under which training programs save the weights; averaged weights have other keys."""

_MAX_DEPTH = 4  # dicts within dicts


@dataclass(frozen=True, kw_only=True, eq=False)
class StateDict:
    """A state dict, the keys that lead to it, and the keys of the alternative: averaged weights, or raw ones.

    `averaged` says whether the tensors are known to be an average.
    """

    tensors: dict[str, Tensor]
    path: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    averaged: bool = False


def find_state_dict(value: object, *, where: str, which: Which = "raw") -> StateDict:
    """The one mapping from names to tensors in a value: the value itself, or an entry under one of `_HOLDERS`.

    With "ema", averaged weights are preferred.
    Raises: CheckpointError if there is no such mapping, or more than one.
    """
    path: list[str] = []
    left: tuple[str, ...] = ()
    averaged = False
    for _ in range(_MAX_DEPTH):
        if not isinstance(value, Mapping):
            raise CheckpointError(
                f"{where} holds a {type(value).__name__}; weights are a mapping from names to tensors"
            )
        raw = [key for key in _HOLDERS if isinstance(value.get(key), Mapping)]
        averages = [key for key in value if not averaged and _is_average(key, value[key])]
        if which == "ema" and averages:
            chosen, left, averaged = averages, tuple(raw), True
        elif averages and not raw and not _any_tensor(value):
            fault = f"{where} holds no raw weights, only their average {listed(averages)}"
            raise CheckpointError(f"{fault}; use {option_for('ema')}")
        else:
            chosen, left = raw, (*left, *averages)
        if len(chosen) > 1:
            raise CheckpointError(f"{where} holds {listed(chosen)}; pass only one of them")
        others = [key for key, entry in value.items() if isinstance(entry, Mapping) and _any_tensor(entry)]
        if not chosen and others:
            raise CheckpointError(f"{where} holds no weights under a usual name but {listed(others)}; pass one of them")
        if not chosen:
            break
        path.append(chosen[0])
        value = value[chosen[0]]
    return StateDict(tensors=_checked(value, where), path=tuple(path), left=left, averaged=averaged)


def option_for(which: Which) -> str:
    """The option that selects the raw or the averaged weights of a file."""
    return f'--weights {which} (in Python: which="{which}")'


def _is_average(key: object, value: object) -> bool:
    """Whether an entry holds averaged weights: it has such a name, and tensors inside."""
    if not isinstance(key, str) or not AVERAGED.search(key) or not isinstance(value, Mapping):
        return False
    return _any_tensor(value) or any(isinstance(entry, Mapping) and _any_tensor(entry) for entry in value.values())


def _checked(value: object, where: str) -> dict[str, Tensor]:
    entries = value if isinstance(value, Mapping) else {}
    tensors: dict[str, Tensor] = {}
    for key, tensor in entries.items():
        if not isinstance(key, str) or not isinstance(tensor, Tensor):
            raise CheckpointError(f"{where}: {listed([key])} is a {type(tensor).__name__}; weights are tensors by name")
        tensors[key] = tensor
    if not tensors:
        raise CheckpointError(f"{where} holds no weights")
    return tensors


def _any_tensor(entries: Mapping[object, object]) -> bool:
    return any(isinstance(entry, Tensor) for entry in entries.values())


def listed(keys: Iterable[object]) -> str:
    """The names in quotes, with "and" between them."""
    return " and ".join(quoted(str(key)) for key in keys)
