"""Check whether a file can be a file of weights, and name its kind if it cannot.

Files are recognised by their first bytes, not by their names, so that the message names an HTML page, a Git LFS pointer
or an archive as such. A file that passes may contain weights; only the reader of tensors can tell.
"""

import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Literal

from resatlas.errors import CheckpointError, quoted
from resatlas.values.reading import opened

Which = Literal["raw", "ema"]
"""The trained weights, or their average over steps, if a file contains both."""

Storage = Literal["own", "fp16"]
"""The precision in which weights are stored: that of the computation, or rounded to half precision before it."""

AVERAGED = re.compile(r"(?:^|_)(?:ema|swa|averaged?|teacher|shadow)(?:_|$)|^avg_|_avg$", re.IGNORECASE)
"""Names of an average of weights in training programs."""

TAKEN = "weights are read from a .safetensors file, or from a torch file (.pt, .pth, .ckpt, .bin) of a state dict"

_SUFFIXES = (".safetensors", ".pth", ".pt", ".ckpt", ".bin")

_FOUND_AT_START: Sequence[tuple[bytes, str]] = (
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

_BEGINNING = 4096
"""The number of bytes that identify a file."""

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+:/+", re.IGNORECASE | re.ASCII)
_PAGE = re.compile(rb"\s*(?:<!--.*?-->\s*)?<(?:!doctype html|html|head)", re.IGNORECASE | re.DOTALL)
_PICKLE = re.compile(r"(?:^|[(dlt])p\d+$", re.MULTILINE)
"""The mark after every value in pickles of protocol 0, which are text."""
_TABLE = re.compile(r"^\s*(?:\[[\w.\"'-]+\]|[\w.\"'-]+\s*=\s*\S)", re.MULTILINE)


def check_offered(file: Path) -> None:
    """Refuse a path that cannot be weights: an address, a folder, a file that is not regular or of another kind.

    Raises: CheckpointError with its kind and the accepted files.
    """
    check_address(str(file))
    if file.is_dir():
        raise CheckpointError(f"{file} cannot be read: a folder, not a file of weights{_inside(file)}")
    try:
        with opened(file) as source:
            kind = _kind_of(source, file.name)
    except OSError as error:
        raise CheckpointError(f"{file} cannot be read: {(error.strerror or 'no such path').lower()}") from None
    if kind:
        raise CheckpointError(f"{file.name} is {kind}" + ("" if ";" in kind else f"; {TAKEN}"))


def check_address(text: str) -> None:
    """Refuse an address instead of a file.

    Raises: CheckpointError
    """
    if _ADDRESS.match(text):
        raise CheckpointError(f"{quoted(text)} is an address; download it first, then give the file")


def _kind_of(source: BinaryIO, name: str) -> str | None:
    """The kind of an open file, or None if it may contain weights; the position in the file is restored."""
    start = source.tell()
    beginning = source.read(_BEGINNING)
    source.seek(start)
    if beginning.startswith(b"PK\x03\x04"):
        kind = _archive(source)
        source.seek(start)
        return kind
    if beginning[8:9] == b"{":  # a safetensors file: eight bytes of length, then JSON
        return None
    signed = next((words for signature, words in _FOUND_AT_START if beginning.startswith(signature)), None)
    return signed or _protocol_buffer(beginning, name) or _text(beginning, name)


def _archive(source: BinaryIO) -> str | None:
    """The kind of a zip archive, or None if it is a torch file."""
    try:
        names = zipfile.ZipFile(source).namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return None  # truncated, which the reader of tensors reports
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
    """ONNX and TensorFlow files, which have no signature but begin with a version and the first field."""
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
    """The kind of a text file; None if it is not text."""
    if _PAGE.match(beginning):
        return "an HTML page, sent by a server instead of a file; download the file itself"
    try:
        text = beginning.decode("utf-8", errors="strict" if len(beginning) < _BEGINNING else "ignore")
    except UnicodeDecodeError:
        return None
    if not text.strip() or not all(letter.isprintable() or letter.isspace() for letter in text) or _PICKLE.search(text):
        return None
    if text.lstrip().startswith(("{", "[")) and not name.endswith(".toml") and not _TABLE.match(text):
        if '"weight_map"' in text or name.endswith(".index.json"):
            return "an index of shards, which lists files of weights; merge the shards into one file and give that"
        return "a JSON file"
    if text.lstrip().startswith("<"):
        return "an XML or HTML file"
    if name.endswith(".toml") or _TABLE.match(text):
        return "a TOML file, such as a design"
    return "a text file"


def _inside(folder: Path) -> str:
    """A hint at the likely file of weights in a folder."""
    files = sorted(path for path in folder.glob("*") if path.suffix in _SUFFIXES and path.is_file())
    for path in (*files, *sorted(folder.glob("checkpoints/step-*/model.safetensors"), reverse=True)):
        return f"; did you mean {path}?"
    return ""
