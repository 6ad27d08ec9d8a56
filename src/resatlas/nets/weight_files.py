"""Files of tensors: safetensors, and torch files that ask for nothing but tensors. No file runs code."""

import pickletools
import re
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from pickle import UnpicklingError

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor

from resatlas.errors import CheckpointError, quoted

HOLDERS = ("state_dict", "model_state_dict", "model", "net", "network", "weights")
"""Where training programs put the weights in their files; averages of weights go by other names."""

TENSOR_PARTS = ("collections.", "torch._utils.", "torch.storage.", "torch.serialization.", "_codecs.")
"""What a pickle of tensors alone imports."""

DEEPEST = 4  # holders within holders


def read_tensors(file: Path) -> dict[str, Tensor]:
    """The tensors of a file by name.

    Raises: CheckpointError if it cannot be read, is damaged, or asks for more than tensors.
    """
    try:
        with file.open("rb") as opened:
            beginning = opened.read(9)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{file.name}: {_reason(error)}") from None
    if not beginning:
        raise CheckpointError(f"{file.name} is empty")
    if beginning[8:] == b"{":  # eight bytes of length, then JSON
        return _safetensors(file)
    return tensors(_torch_file(file), where=file.name)


def read_note(file: Path, key: str) -> str | None:
    """What a safetensors file says of its tensors under a key; nothing of a file of another kind."""
    try:
        with safe_open(file, framework="pt") as opened:
            return (opened.metadata() or {}).get(key)
    except (OSError, SafetensorError):
        return None


def tensors(value: object, *, where: str) -> dict[str, Tensor]:
    """The one mapping from names to tensors in a value: itself, or what it holds under one of `HOLDERS`.

    Raises: CheckpointError if there is none, or more than one.
    """
    for _ in range(DEEPEST):
        if not isinstance(value, Mapping):
            raise CheckpointError(
                f"{where} holds a {type(value).__name__}; weights are a mapping from names to tensors"
            )
        held = [key for key in HOLDERS if isinstance(value.get(key), Mapping)]
        others = [key for key, each in value.items() if isinstance(each, Mapping) and _any_tensor(each)]
        if len(held) > 1:
            raise CheckpointError(f"{where} holds {_listed(held)}; pass the one that is meant")
        if not held and others:
            raise CheckpointError(f"{where} holds no plain weights but {_listed(others)}; pass that if it is meant")
        if not held:
            break
        value = value[held[0]]
    return _checked(value, where)


def _checked(value: object, where: str) -> dict[str, Tensor]:
    entries = value if isinstance(value, Mapping) else {}
    found: dict[str, Tensor] = {}
    for key, tensor in entries.items():
        if not isinstance(key, str) or not isinstance(tensor, Tensor):
            raise CheckpointError(
                f"{where}: {_listed([key])} is a {type(tensor).__name__}; weights are tensors by name"
            )
        found[key] = tensor
    if not found:
        raise CheckpointError(f"{where} holds no weights")
    return found


def _any_tensor(entries: Mapping[object, object]) -> bool:
    return any(isinstance(each, Tensor) for each in entries.values())


def _listed(keys: list[object] | list[str]) -> str:
    return " and ".join(quoted(str(key)) for key in keys)


def _safetensors(file: Path) -> dict[str, Tensor]:
    try:
        return load_file(file)
    except OSError as error:
        raise CheckpointError(f"{file.name}: {_reason(error)}") from None
    except SafetensorError as error:
        raise CheckpointError(f"{file.name} is damaged or no safetensors file: {error}") from None


def _reason(error: OSError | ValueError) -> str:
    return (getattr(error, "strerror", None) or "cannot be read").lower()


def _torch_file(file: Path) -> object:
    try:
        with warnings.catch_warnings(), file.open("rb") as opened:  # torch.load goes by the name of what it opens
            warnings.simplefilter("ignore")  # of pickle protocols, scripts and sparse tensors; each is refused below
            return torch.load(opened, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle or archive can raise anything
        asked = _asked(file, error)
        what = (
            f"asks for {asked}, which could run code; only files of tensors alone are opened"
            if asked
            else "is damaged or neither a safetensors nor a torch file"
        )
        raise CheckpointError(f"{file.name} {what}") from None


def _asked(file: Path, error: Exception) -> str | None:
    """What a torch file wanted beside tensors: as torch says it, or read off a plain pickle without running it."""
    if told := re.search(r"GLOBAL ([\w.]+)", str(error)) if isinstance(error, UnpicklingError) else None:
        return told[1]
    return next((name for name in _globals(file) if not name.startswith(TENSOR_PARTS)), None)


def _globals(file: Path) -> Iterator[str]:
    """The names that a pickle imports, as far as it can be read."""
    words: list[str] = []
    try:
        for op, value, _ in pickletools.genops(file.read_bytes()):
            if op.name == "GLOBAL":
                yield str(value).replace(" ", ".")
            elif op.name == "STACK_GLOBAL":
                yield ".".join(words[-2:])
            elif isinstance(value, str):
                words.append(value)
    except ValueError:
        return
