"""Files of tensors: safetensors, and torch files of tensors and plain values. No file runs code."""

import json
import pickletools
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from pickle import UnpicklingError
from typing import BinaryIO

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from resatlas.errors import CheckpointError
from resatlas.values.reading import opened
from resatlas.values.weights import check_offered
from resatlas.weights import plain_values
from resatlas.weights.holders import held

TENSOR_PARTS = ("collections.", "torch._utils.", "torch.storage.", "torch.serialization.", "_codecs.")
"""What a pickle of tensors alone imports."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Content:
    """What a file of tensors holds: its value, and what a safetensors file notes beside it."""

    value: object
    notes: Mapping[str, str] = field(default_factory=dict)


def save_file(tensors: Mapping[str, Tensor], file: Path, *, metadata: Mapping[str, str] | None = None) -> None:
    """Write tensors as safetensors, with the permissions that any new file gets here.

    The library's own function of this name makes files that only their owner can read.
    Raises: OSError
    """
    file.write_bytes(save(dict(tensors), metadata=None if metadata is None else dict(metadata)))


def read_content(file: Path) -> Content:
    """What a file of tensors holds.

    Raises: CheckpointError if it cannot be read, is of another kind, is damaged, or asks for more than plain values.
    """
    check_offered(file)
    try:
        with opened(file) as source:
            beginning = source.read(9)
            if not beginning:
                raise CheckpointError(f"{file.name} is empty")
            source.seek(0)
            if beginning[8:] == b"{":  # eight bytes of length, then JSON
                return _safetensors(source.read(), file.name)
            return Content(value=_torch_file(source, file.name))
    except OSError as error:
        raise CheckpointError(f"{file.name}: {(error.strerror or 'cannot be read').lower()}") from None
    except MemoryError:
        raise CheckpointError(
            f"{file.name}: there is not enough memory for its {file.stat().st_size:,} bytes"
        ) from None


def read_tensors(file: Path) -> dict[str, Tensor]:
    """The tensors of a file of our own by name; none at all are no fault: an optimizer may hold none yet.

    Raises: CheckpointError as `read_content`, or if they are not one mapping from names to tensors.
    """
    value = read_content(file).value
    return {} if value == {} else held(value, where=file.name).tensors


def _safetensors(content: bytes, name: str) -> Content:
    try:
        value = load(content)
    except (SafetensorError, ValueError, KeyError) as error:  # KeyError: a type of numbers that torch does not have
        raise CheckpointError(f"{name} is damaged or not a safetensors file: {error}") from None
    head = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    return Content(value=value, notes=head.get("__metadata__") or {})


def _torch_file(source: BinaryIO, name: str) -> object:
    try:
        with warnings.catch_warnings(), plain_values.harmless():
            warnings.simplefilter("ignore")  # of pickle protocols and sparse tensors; each is refused below
            return torch.load(source, map_location="cpu", weights_only=True)
    except (OSError, MemoryError):
        raise
    except Exception as error:  # a damaged pickle or archive can raise anything
        asked = _asked(source, error)
        what = (
            f"asks for {asked}, which could run code; only tensors and plain values are read, so save a state_dict()"
            if asked
            else "is damaged or neither a safetensors nor a torch file"
        )
        raise CheckpointError(f"{name} {what}") from None


def _asked(source: BinaryIO, error: Exception) -> str | None:
    """What a torch file wanted beside tensors: as torch says it, or read off a plain pickle without running it."""
    if found := re.search(r"GLOBAL ([\w.]+)", str(error)) if isinstance(error, UnpicklingError) else None:
        return found[1]
    source.seek(0)
    return next((name for name in _globals(source.read()) if not _harmless(name)), None)


def _harmless(name: str) -> bool:
    return name.startswith(TENSOR_PARTS) or name in plain_values.VALUES


def _globals(content: bytes) -> Iterator[str]:
    """The names that a pickle imports, as far as it can be read."""
    words: list[str] = []
    try:
        for op, value, _ in pickletools.genops(content):
            if op.name == "GLOBAL":
                yield str(value).replace(" ", ".")
            elif op.name == "STACK_GLOBAL":
                yield ".".join(words[-2:])
            elif isinstance(value, str):
                words.append(value)
    except ValueError:
        return
