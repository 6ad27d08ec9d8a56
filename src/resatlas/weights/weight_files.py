"""Files of tensors: safetensors, and torch files of tensors and plain values. Reading them never runs their code."""

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
from resatlas.weights.holders import find_state_dict

_TENSOR_PARTS = ("collections.", "torch._utils.", "torch.storage.", "torch.serialization.", "_codecs.")
"""Prefixes of the names that a pickle imports for tensors."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Content:
    """The content of a file of tensors: its value, and the metadata of a safetensors file."""

    value: object
    notes: Mapping[str, str] = field(default_factory=dict)


def save_file(tensors: Mapping[str, Tensor], file: Path, *, metadata: Mapping[str, str] | None = None) -> None:
    """Write tensors as safetensors, with the default permissions of a new file.

    The function of this name in the library safetensors creates files that only their owner can read.
    Raises: OSError
    """
    file.write_bytes(save(dict(tensors), metadata=None if metadata is None else dict(metadata)))


def read_content(file: Path) -> Content:
    """The content of a file of tensors.

    Raises: CheckpointError if it cannot be read, is of another kind, is damaged, or imports more than plain values.
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
    """The tensors of one of our own files by name; empty, for example, for an optimizer before its first step.

    Raises: CheckpointError as `read_content`, or if they are not one mapping from names to tensors.
    """
    value = read_content(file).value
    return {} if value == {} else find_state_dict(value, where=file.name).tensors


def _safetensors(content: bytes, name: str) -> Content:
    try:
        value = load(content)
    except (SafetensorError, ValueError, KeyError) as error:  # KeyError: a number type that torch does not have
        raise CheckpointError(f"{name} is damaged or not a safetensors file: {error}") from None
    head = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    return Content(value=value, notes=head.get("__metadata__") or {})


def _torch_file(source: BinaryIO, name: str) -> object:
    try:
        with warnings.catch_warnings(), plain_values.stand_ins():
            warnings.simplefilter("ignore")  # about pickle protocols and sparse tensors, which are refused below
            return torch.load(source, map_location="cpu", weights_only=True)
    except (OSError, MemoryError):
        raise
    except Exception as error:  # a damaged pickle or archive can raise anything
        refused = _refused_import(source, error)
        fault = (
            f"imports {refused}, which could run code; only tensors and plain values are read, so save a state_dict()"
            if refused
            else "is damaged or neither a safetensors nor a torch file"
        )
        raise CheckpointError(f"{name} {fault}") from None


def _refused_import(source: BinaryIO, error: Exception) -> str | None:
    """The refused import of a torch file, from torch's error or from the pickle, which is not run."""
    if match := re.search(r"GLOBAL ([\w.]+)", str(error)) if isinstance(error, UnpicklingError) else None:
        return match[1]
    source.seek(0)
    return next((name for name in _imports(source.read()) if not _is_harmless(name)), None)


def _is_harmless(name: str) -> bool:
    return name.startswith(_TENSOR_PARTS) or name in plain_values.VALUES


def _imports(content: bytes) -> Iterator[str]:
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
