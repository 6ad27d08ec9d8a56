"""Files that are not weights are named as what they are; written files can be read by others."""

import io
import os
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save
from torch import nn

import resatlas
from resatlas.data.normalisation import Affine, normaliser_bytes
from resatlas.errors import CheckpointError
from resatlas.runs.experiment import weights_in
from resatlas.runs.files import write_bytes
from resatlas.weights.conversion import load_weights, save_weights
from resatlas.weights.initial_weights import start_from
from resatlas.weights.weight_files import save_file
from tests.faults.test_foreign_weights import exported, network, started
from tests.training.small import DATA, DESIGN


def _scripted(file: Path) -> None:
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), file)


def _zipped(file: Path, *names: str) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")


def _image(file: Path, kind: str) -> None:
    from PIL import Image

    held = io.BytesIO()
    Image.new("RGB", (4, 4)).save(held, kind)
    file.write_bytes(held.getvalue())


LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 46830571\n"

KINDS: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "LFS pointer": ("model.safetensors", lambda file: file.write_text(LFS), "a Git LFS pointer, not the file itself"),
    "page": (
        "r.pth",
        lambda file: file.write_text("\n<!DOCTYPE html><html><body>404"),
        "an HTML page, sent by a server",
    ),
    "TOML": ("cross.toml", lambda file: file.write_text('schema = 1\nname = "x"\n'), "a TOML file, such as a design"),
    "TOML by content": (
        "r.pth",
        lambda file: file.write_text('schema = 1\nname = "x"\n'),
        "a TOML file, such as a design",
    ),
    "JSON": ("config.json", lambda file: file.write_text('{"plan": 1}'), "a JSON file"),
    "index": ("i.json", lambda file: file.write_text('{"weight_map": {"a": "b"}}'), "an index of shards"),
    "text": ("r.pth", lambda file: file.write_text("Not found\n"), "a text file"),
    "TorchScript": ("r.pt", _scripted, "a TorchScript archive, which holds code; save the state_dict()"),
    "exported program": (
        "r.pt2",
        lambda file: _zipped(file, "r/archive_format", "r/data/x"),
        "a program of torch.export",
    ),
    "Keras": ("r.keras", lambda file: _zipped(file, "config.json", "model.weights.h5"), "a Keras archive"),
    "HDF5": ("r.h5", lambda file: file.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(9)), "an HDF5 file, as Keras writes"),
    "npz": ("r.npz", lambda file: np.savez(file, a=np.ones(2)), "an archive of NumPy arrays"),
    "npy": ("r.npy", lambda file: np.save(file, np.ones(2)), "a NumPy array"),
    "zip": ("r.pth", lambda file: _zipped(file, "readme.txt"), "a zip archive that is not a torch file"),
    "ONNX": ("r.pth", lambda file: file.write_bytes(b"\x08\x0a\x12\x07pytorch\x1a\x052.1"), "an ONNX file"),
    "SavedModel": ("saved_model.pb", lambda file: file.write_bytes(b"\x08\x01\x12\xff\x01"), "a TensorFlow SavedModel"),
    "PNG": ("r.pth", lambda file: _image(file, "PNG"), "a PNG image"),
    "JPEG": ("r.pth", lambda file: _image(file, "JPEG"), "a JPEG image"),
    "gzip": ("r.pth", lambda file: file.write_bytes(b"\x1f\x8b\x08" + bytes(9)), "a gzip archive; unpack it"),
}


LOADERS: tuple[Callable[[Path], object], ...] = (
    weights_in,
    lambda file: load_weights(network(1), file),
    lambda file: start_from(network(1), file),
)
TEXT_LOADERS: tuple[Callable[[str], object], ...] = (
    lambda text: load_weights(network(1), text),
    lambda text: weights_in(Path(text)),
)


@pytest.mark.filterwarnings("ignore:.torch.jit")
@pytest.mark.parametrize(("name", "write", "words"), KINDS.values(), ids=KINDS)
def test_a_file_of_another_kind_is_called_what_it_is(
    name: str, write: Callable[[Path], object], words: str, tmp_path: Path
) -> None:
    """By its content, before a training starts and wherever weights are loaded."""
    write(tmp_path / name)
    for take in LOADERS:
        with pytest.raises(CheckpointError) as caught:
            take(tmp_path / name)
        assert str(caught.value).startswith(f"{name} is {words}")
        assert "\n" not in str(caught.value)


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    """A pipe without a writer."""
    os.mkfifo(tmp_path / "pipe.pth")
    return tmp_path / "pipe.pth"


def test_a_pipe_is_refused_at_once(pipe: Path) -> None:
    """The program does not wait for it, wherever weights are loaded."""
    for take in LOADERS:
        with pytest.raises(CheckpointError, match="cannot be read: a pipe, not a regular file"):
            take(pipe)


def test_addresses_and_folders_are_told_what_to_give(tmp_path: Path) -> None:
    """Nothing is downloaded; for a folder, the message suggests its file of weights."""
    for take in TEXT_LOADERS:
        with pytest.raises(CheckpointError, match="is an address; download it first"):
            take("https://download.pytorch.org/models/resnet18-f37072fd.pth")
    with pytest.raises(CheckpointError, match=r"a folder, not a file of weights$"):
        load_weights(network(1), tmp_path)
    save_weights(network(5), tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"; did you mean .*/model\.safetensors\?"):
        load_weights(network(1), str(tmp_path))


@pytest.mark.filterwarnings("ignore:torch.quantize_per")
def test_numbers_of_another_type_are_told(tmp_path: Path) -> None:
    """Half precision is converted with a note; integers and quantized numbers are refused with a remedy."""
    halves = {key: tensor.half() if tensor.is_floating_point() else tensor for key, tensor in exported(5).items()}
    assert started(halves, tmp_path / "h.pth")[1].notes == ("converted from float16",)
    whole = exported(5) | {"fc.weight": torch.ones(10, 64, dtype=torch.int64)}
    with pytest.raises(CheckpointError, match=r'"fc\.weight" is int64; convert the file to float32'):
        started(whole, tmp_path / "i.pth")
    quantized = exported(5) | {"fc.weight": torch.quantize_per_tensor(torch.ones(10, 64), 0.1, 0, torch.qint8)}
    with pytest.raises(CheckpointError, match=r'"fc\.weight" is quantized \(qint8\)'):
        load_weights(network(1), quantized, source="torchvision")
    spoilt = exported(5)
    spoilt["fc.weight"][3, 4] = float("nan")
    with pytest.raises(CheckpointError, match=r'"fc\.weight" holds NaN or infinity, in 1 of its 640 values'):
        started(spoilt, tmp_path / "n.pth")


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_files_of_tensors_have_the_permissions_of_any_new_file(umask: int, mode: int, tmp_path: Path) -> None:
    """Weights, a saved network, and a normalisation."""
    before = os.umask(umask)
    try:
        save_weights(network(5), tmp_path / "w.safetensors")
        affine = Affine(mean=torch.zeros(3, 1, 1), std=torch.ones(3, 1, 1))
        write_bytes(tmp_path / "n.safetensors", normaliser_bytes(affine))
        resatlas.save_pretrained(network(5), tmp_path / "saved")
    finally:
        os.umask(before)
    files = [tmp_path / "w.safetensors", tmp_path / "n.safetensors", *(tmp_path / "saved").iterdir()]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {mode}


def test_the_file_that_is_written_is_what_the_library_writes(tmp_path: Path) -> None:
    """To the bit, so that runs keep their hashes."""
    own = network(5)
    save_file(own.state_dict(), tmp_path / "w", metadata={"a": "b"})
    assert (tmp_path / "w").read_bytes() == save(own.state_dict(), {"a": "b"})


def test_only_one_function_writes_files_of_tensors() -> None:
    """The function of safetensors writes files for the owner only; torch's writes pickles."""
    source = Path(resatlas.__file__).parent
    text = {file: file.read_text(encoding="utf-8") for file in source.rglob("*.py")}
    for words in (
        "safetensors.torch import save_file",
        "import load_file",
        "torch.save(",
        "safetensors.torch.save_file",
    ):
        assert [str(file) for file, content in text.items() if words in content] == []


def test_a_design_in_place_of_weights_leaves_no_run(refused: Callable[..., str], tmp_path: Path) -> None:
    """The message calls it a design rather than code."""
    (tmp_path / "cross.toml").write_text('schema = 1\nname = "x"\n')
    line = refused("train", DESIGN, "--data", DATA, "--out", "run", "--init-from", "cross.toml", code=4)
    assert line == (
        "CheckpointError: cross.toml is a TOML file, such as a design; weights are read from a .safetensors file, or "
        "from a torch file (.pt, .pth, .ckpt, .bin) of a state dict"
    )
    assert not (tmp_path / "run").exists()
