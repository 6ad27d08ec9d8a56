"""A file offered as weights: which of its weights are meant, and what it is where it cannot be one.

Files are told by their first bytes, not by their names, so that a page, a pointer or an archive under the name of
weights is called what it is. What is left may be weights; only a reader of tensors can say.
"""

import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Literal

from resatlas.errors import CheckpointError, quoted
from resatlas.values.reading import opened

Which = Literal["raw", "ema"]
"""The weights that were trained, or their average over the steps, where a file holds both."""

AVERAGED = re.compile(r"(?:^|_)(?:ema|swa|averaged?|teacher|shadow)(?:_|$)|^avg_|_avg$", re.IGNORECASE)
"""What training programs call an average of weights."""

TAKEN = "weights are read from a .safetensors file, or from a torch file (.pt, .pth, .ckpt, .bin) of a state dict"

SUFFIXES = (".safetensors", ".pth", ".pt", ".ckpt", ".bin")

FOUND_AT_START: Sequence[tuple[bytes, str]] = (
    (b"version https://git-lfs.github.com/spec/", "a Git LFS pointer, not the file itself; git lfs pull fetches it"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file, as Keras writes"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"GGUF", "a GGUF file"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"RIFF", "a RIFF file, as WebP images are"),
    (b"BM", "a BMP image"),
    (b"II*\0", "a TIFF image"),
    (b"MM\0*", "a TIFF image"),
    (b"%PDF", "a PDF document"),
    (b"\x1f\x8b", "a gzip archive; unpack it"),
    (b"BZh", "a bzip2 archive; unpack it"),
    (b"\xfd7zXZ\0", "an xz archive; unpack it"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive; unpack it"),
    (b"7z\xbc\xaf", "a 7z archive; unpack it"),
    (b"\x7fELF", "a program"),
)

BEGINNING = 4096
"""Bytes by which a file is recognised."""

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+:/+", re.IGNORECASE | re.ASCII)
_PAGE = re.compile(rb"\s*(?:<!--.*?-->\s*)?<(?:!doctype html|html|head)", re.IGNORECASE | re.DOTALL)
_PICKLE = re.compile(r"(?:^|[(dlt])p\d+$", re.MULTILINE)
"""What the oldest pickles, which are text, write behind every value."""
_TABLE = re.compile(r"^\s*(?:\[[\w.\"'-]+\]|[\w.\"'-]+\s*=\s*\S)", re.MULTILINE)


def check_offered(file: Path) -> None:
    """Refuse what cannot be weights: an address, a folder, what is no regular file, and files of other kinds.

    Raises: CheckpointError with what it is and what is taken.
    """
    check_address(str(file))
    if file.is_dir():
        raise CheckpointError(f"{file} cannot be read: a folder, not a file of weights{_inside(file)}")
    try:
        with opened(file) as source:
            kind = kind_of(source, file.name)
    except OSError as error:
        raise CheckpointError(f"{file} cannot be read: {(error.strerror or 'no such path').lower()}") from None
    if kind:
        raise CheckpointError(f"{file.name} is {kind}" + ("" if ";" in kind else f"; {TAKEN}"))


def check_address(text: str) -> None:
    """Refuse an address in place of a file.

    Raises: CheckpointError
    """
    if _ADDRESS.match(text):
        raise CheckpointError(
            f"{quoted(text)} is an address, and nothing is downloaded here; fetch it, then give the file"
        )


def kind_of(source: BinaryIO, name: str) -> str | None:
    """What an open file is, in words, if it holds no weights that are read here; its place in the file is kept."""
    start = source.tell()
    beginning = source.read(BEGINNING)
    source.seek(start)
    if beginning.startswith(b"PK\x03\x04"):
        found = _archive(source)
        source.seek(start)
        return found
    if beginning[8:9] == b"{":  # a safetensors file: eight bytes of length, then JSON
        return None
    signed = next((words for signature, words in FOUND_AT_START if beginning.startswith(signature)), None)
    return signed or _protocol_buffer(beginning, name) or _text(beginning, name)


def _archive(source: BinaryIO) -> str | None:
    """What a zip archive is, if it is not a torch file."""
    try:
        names = zipfile.ZipFile(source).namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return None  # cut off, which the reader says
    leaves = {name.rpartition("/")[2] for name in names}
    if "constants.pkl" in leaves:
        return "a TorchScript archive, which holds code; save the state_dict() of its module and give that file"
    if {"serialized_exported_program.json", "archive_format"} & leaves or any("/models/" in name for name in names):
        return "a program of torch.export, which holds code; save the state_dict() of its module and give that file"
    if "data.pkl" in leaves:
        return None
    if "model.weights.h5" in leaves:
        return "a Keras archive"
    if names and all(name.endswith(".npy") for name in names):
        return "an archive of NumPy arrays (.npz)"
    return "a zip archive that is not a torch file; unpack it"


def _protocol_buffer(beginning: bytes, name: str) -> str | None:
    """ONNX and TensorFlow files, which have no signature: a version, then the first field."""
    if beginning[4:8] == b"TFL3":
        return "a TensorFlow Lite file"
    if beginning[:2] == b"\x08\x01" and beginning[2:3] == b"\x12":
        return "a TensorFlow SavedModel"
    version, field = beginning[1:2], beginning[2:3]
    if name.endswith(".onnx") or (beginning[:1] == b"\x08" and b"\x02" < version < b"\x20" and field in b'\x12":B'):
        return "an ONNX file, a graph of operations"
    if re.search(r"\.(?:data-\d{5}-of-\d{5}|ckpt\.index|h5|pb|msgpack)$", name):
        return "a file of TensorFlow, Keras or Flax"
    return None


def _text(beginning: bytes, name: str) -> str | None:
    """What a text is; None of what is no text."""
    if _PAGE.match(beginning):
        return "an HTML page, as a server sends in place of a file; download the file itself"
    try:
        text = beginning.decode("utf-8", errors="strict" if len(beginning) < BEGINNING else "ignore")
    except UnicodeDecodeError:
        return None
    if not text.strip() or not all(each.isprintable() or each.isspace() for each in text) or _PICKLE.search(text):
        return None
    if text.lstrip().startswith(("{", "[")) and not name.endswith(".toml") and not _TABLE.match(text):
        if '"weight_map"' in text or name.endswith(".index.json"):
            return "an index of shards, which lists files of weights; merge the shards into one file and give that"
        return "a JSON file"
    if text.lstrip().startswith("<"):
        return "an XML or HTML file"
    if name.endswith(".toml") or _TABLE.match(text):
        return "a TOML file, as a design is"
    return "a text file"


def _inside(folder: Path) -> str:
    """The file of a folder that is likely meant, in words."""
    found = sorted(each for each in folder.glob("*") if each.suffix in SUFFIXES and each.is_file())
    for each in (*found, *sorted(folder.glob("checkpoints/step-*/model.safetensors"), reverse=True)):
        return f"; did you mean {each}?"
    return ""
