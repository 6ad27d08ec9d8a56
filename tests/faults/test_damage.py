"""Truncated and modified checkpoints are never accepted."""

import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from resatlas.data.normalisation import Affine, normaliser_bytes, read_normaliser
from resatlas.runs.files import sha256_of
from resatlas.runs.names import NORMALISATION
from resatlas.runs.seal import write_seal
from resatlas.runs.store import Run
from resatlas.training.checkpoint import AVERAGE, MANIFEST, fault, newest_valid, save
from tests.training import processes
from tests.training.small import DATA, DESIGN, assert_same, stepped, take_steps

TRAIN = ("train", DESIGN, "--data", DATA, "--set", "batch=16", "--epochs", "3", "--save-every", "0", "--out", "run")

FILES = ("model.safetensors", "optim.safetensors", "state.json")
FLIPS = 300


@pytest.fixture(scope="module")
def newest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The newer of two checkpoints."""
    folder, state, save_it = tmp_path_factory.mktemp("checkpoints"), stepped(3), partial(save, experiment="0" * 64)
    save_it(state, folder)
    take_steps(state, 2)
    return save_it(state, folder)


@contextmanager
def holding(file: Path, content: bytes) -> Iterator[None]:
    """Replace the content of a file temporarily."""
    before = file.read_bytes()
    file.write_bytes(content)
    try:
        yield
    finally:
        file.write_bytes(before)


@pytest.mark.parametrize("name", [*FILES, MANIFEST])
def test_a_file_cut_anywhere_makes_the_one_before_the_newest(newest: Path, name: str) -> None:
    """Truncated at every tenth, without the last ten bytes, and empty; the reason has both sizes."""
    file = newest / name
    whole = file.read_bytes()
    for size in (*(len(whole) * tenth // 10 for tenth in range(10)), len(whole) - 10):
        with holding(file, whole[:size]):
            checkpoint, [rejected] = newest_valid(newest.parent)
            assert checkpoint == newest.parent / "step-00000003"
            assert rejected.name == newest.name
            if name != MANIFEST:
                assert rejected.reason == f"is damaged: {name} has size {size:,} ≠ {len(whole):,}"
    assert newest_valid(newest.parent) == (newest, [])


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit_anywhere_in_a_file_is_found(newest: Path, name: str) -> None:
    """With a changed bit in three hundred random bytes, the first and the last, the reason names the sha256."""
    file, draw = newest / name, random.Random(name)  # noqa: S311 - no secret
    whole = file.read_bytes()
    for place in {0, len(whole) - 1, *draw.choices(range(len(whole)), k=FLIPS)}:
        with holding(file, flipped(whole, 8 * place + draw.randrange(8))):
            assert fault(newest) == f"is damaged: {name} does not have the sha256 in MANIFEST.json"
    assert fault(newest) is None


def test_every_flipped_bit_of_a_manifest_is_found(newest: Path) -> None:
    """No bit of the manifest can change without making the checkpoint invalid."""
    file = newest / MANIFEST
    whole = file.read_bytes()
    unseen = []
    for bit in range(8 * len(whole)):
        with holding(file, flipped(whole, bit)):
            if fault(newest) is None:
                unseen.append(bit)
    assert unseen == []


def flipped(content: bytes, bit: int) -> bytes:
    """The content with one bit changed, counted from 0."""
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def test_another_normalisation_is_not_trained_with(unbroken: Run, tmp_path: Path) -> None:
    """A normalisation that does not belong to the weights is refused; a missing one is measured again."""
    run = Run(tmp_path / "run")
    shutil.copytree(unbroken.folder, run.folder)
    file = run.folder / NORMALISATION
    measured = read_normaliser(file)
    assert isinstance(measured, Affine)
    file.write_bytes(normaliser_bytes(Affine(mean=measured.mean + 0.5, std=measured.std)))
    last = run.checkpoints / "step-00000015"
    write_seal(run.folder, checkpoint=last.name, manifest=last / "MANIFEST.json")
    message = (
        f"CheckpointError: {NORMALISATION} has changed since step-00000015 was saved: sha256 {sha256_of(file)}, not "
    )
    tested = processes.run(tmp_path, "evaluate", "run")
    assert tested.code == 4
    assert tested.line.startswith(message)
    (run.folder / "results.json").unlink()
    resumed = processes.run(tmp_path, *TRAIN, "--resume", "auto", "--quiet")
    assert resumed.code == 4
    assert resumed.line.startswith(message)
    file.unlink()
    assert processes.run(tmp_path, *TRAIN, "--resume", "auto", "--quiet") == processes.Ended(0, "", "")
    assert_same(run, unbroken)
    assert file.read_bytes() == (unbroken.folder / NORMALISATION).read_bytes()


def test_a_manifest_names_every_file(newest: Path, tmp_path: Path) -> None:
    """A file that the manifest does not list makes the checkpoint invalid, since its name may be damaged."""
    copy = tmp_path / newest.name
    shutil.copytree(newest, copy)
    (copy / AVERAGE).write_bytes(b"not hashed")
    assert fault(copy) == f"is damaged: {MANIFEST} does not list {AVERAGE}"
