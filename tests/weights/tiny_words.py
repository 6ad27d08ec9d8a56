"""Words of tiny networks, one of each source, in the place of the table; and a server with their files."""

import csv
import hashlib
import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from resatlas.arch.ops import Shape
from resatlas.nets.network import Network, build
from resatlas.values.notes import forget
from resatlas.weights import words
from resatlas.weights.conversion import export_weights
from resatlas.weights.words import Word, to_row
from tests.data.serving import Behaviour, serving

TORCHVISION, TIMM, PYTORCHCV = "torchvision/tiny@V1", "timm/tiny.a_in1k", "pytorchcv/tiny_digits"

_MEAN, _STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)


@dataclass(frozen=True, kw_only=True)
class Shelf:
    """The words of tiny networks: their networks, the bytes of their files, our folder, and a server with all files."""

    networks: dict[str, Network]
    content: dict[str, bytes]
    own: Path
    home: Path
    server: Behaviour

    def word(self, name: str) -> Word:
        """A word of the table."""
        return words.table()[name]


def _word(name: str, design: str, **rest: object) -> Word:
    shared = {"bytes": 100_000, "licence": "mit", "data": "synthetic", "classes": 10, "image": 32, "shorter": 32}
    preparation = {"interpolation": "bilinear", "mean": _MEAN, "std": _STD}
    return Word(word=name, design=design, **{**shared, **preparation, **rest})  # type: ignore[arg-type]


def _saved(tensors: dict[str, torch.Tensor]) -> bytes:
    file = io.BytesIO()
    torch.save(tensors, file)
    return file.getvalue()


@contextmanager
def shelf(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shelf]:
    """A machine without weights, a server that has them all, and a table of three words."""
    designs = {TORCHVISION: "resnet-18-B:base=2", TIMM: "resnet-18-B:base=4", PYTORCHCV: "resnet-8-B:base=2"}
    networks = {name: build(design, image=Shape(3, 32, 32), classes=10, seed=1) for name, design in designs.items()}
    tensors = {name: export_weights(network, target=name.partition("/")[0]) for name, network in networks.items()}
    content = {
        TORCHVISION: _saved(tensors[TORCHVISION]),
        TIMM: save({key: tensor.contiguous() for key, tensor in tensors[TIMM].items()}),
        PYTORCHCV: _saved(tensors[PYTORCHCV]),
    }
    digits = hashlib.sha256(content[TORCHVISION]).hexdigest()[:8]
    sha1 = hashlib.sha1(content[PYTORCHCV], usedforsecurity=False).hexdigest()
    site = "https://nowhere.invalid/"
    known = [
        _word(TORCHVISION, designs[TORCHVISION], site=site, file=f"tiny-{digits}.pth", digest=f"sha256:{digits}"),
        _word(TIMM, designs[TIMM], hub=TIMM),
        _word(
            PYTORCHCV,
            designs[PYTORCHCV],
            site=site,
            file="tiny.pth",
            packed="zip",
            digest=f"sha1:{sha1}",
            error_percent=7.5,
        ),
    ]
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(Word)])
    writer.writeheader()
    writer.writerows(map(to_row, known))
    (folder / "words.csv").write_text(text.getvalue(), encoding="utf-8")
    monkeypatch.setattr(words, "TABLE", str(folder / "words.csv"))
    for variable, name in (("HOME", "home"), ("RESATLAS_WEIGHTS", "own"), ("TORCH_HOME", "torch"), ("HF_HOME", "hf")):
        monkeypatch.setenv(variable, str(folder / name))
    for variable in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(variable, raising=False)
    (folder / "certificate").mkdir()
    _forget()
    with serving(folder / "certificate", monkeypatch) as server:
        monkeypatch.setenv("RESATLAS_WEIGHTS_MIRROR", server.site)
        monkeypatch.setenv("HF_ENDPOINT", server.site.rstrip("/"))
        server.files |= {
            known[0].file: content[TORCHVISION],
            f"{TIMM}/resolve/main/model.safetensors": content[TIMM],
            f"{known[2].file}.zip": zipped(known[2].file, content[PYTORCHCV]),
        }
        yield Shelf(networks=networks, content=content, own=folder / "own", home=folder, server=server)
    _forget()


def zipped(name: str, content: bytes) -> bytes:
    """A zip archive of one file."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(name, content)
    return archive.getvalue()


def put(file: Path, content: bytes) -> Path:
    """A file of that content, with its folders."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return file


def _forget() -> None:
    """Read the table anew, and say every note again."""
    for function in (words.table, words._sources, words._by_name):
        function.cache_clear()
    forget()
