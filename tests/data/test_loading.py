"""Photographs in batches: the same bits for any number of workers, in any process, from any batch on."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from resatlas.data import loading
from resatlas.data.batches import Batch, batches, pipeline_for, source, views
from resatlas.data.catalog import resolve
from resatlas.data.dataset import DataSet, ImageFiles, ImageSet, Parts
from resatlas.data.fitting import left_out
from resatlas.data.loading import Samples, pixels_of, training
from resatlas.data.normalisation import normalised, unit
from resatlas.data.order import batch_positions, order
from resatlas.data.photograph import decoded
from resatlas.data.photographic import centre
from resatlas.data.pipeline import Pipeline
from resatlas.errors import DataError
from resatlas.recipes.catalog import NAMED
from resatlas.recipes.images import AreaCrop, PadCrop, Standardise
from tests.data.pictures import picture

PHOTOGRAPHIC = [name for name, recipe in NAMED.items() if recipe.data.startswith("imagenet")]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    """Twelve images to train on and four to test on, of two classes and different sizes."""
    root = tmp_path_factory.mktemp("images")
    for k in range(16):
        part, name = "train" if k < 12 else "val", ("cat", "dog")[k % 2]
        file = root / part / name / f"{k}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        picture(k, size=(40 + 3 * k, 60 - k)).save(file)
    return resolve(f"{root}:size=32")


def made(data: DataSet, recipe: str = "fb-imagenet", **how: object) -> tuple[Parts, Pipeline]:
    """The parts and their pipeline."""
    parts = data.read()
    return parts, pipeline_for(NAMED[recipe], data, parts.train, **how)  # type: ignore[arg-type]


def epoch(parts: Parts, pipeline: Pipeline, start: int = 0, number: int = 1) -> list[Batch]:
    """The batches of one epoch from seed 3."""
    images = source(parts.train, pipeline)
    return list(batches(images, pipeline, seed=3, epoch=number, batch=5, leftover="kept", start=start))


def assert_equal(left: list[Batch], right: list[Batch]) -> None:
    """Two lists of batches agree in every bit."""
    for one, other in zip(left, right, strict=True):
        assert all(mine.equal(theirs) for mine, theirs in zip(one, other, strict=True))


@pytest.mark.parametrize("recipe", ["fb-imagenet", "dmrnet-imagenet-ijcai", "quick", "rsb-a2", "torchvision-v2"])
def test_workers_change_nothing(data: DataSet, recipe: str) -> None:
    """One or two processes give the same bits; so does an epoch that begins at its second batch."""
    parts, pipeline = made(data, recipe, workers=1)
    once = epoch(parts, pipeline)
    assert [len(batch.labels) for batch in once] == [5, 5, 2]
    assert_equal(epoch(parts, replace(pipeline, workers=2)), once)
    assert_equal(epoch(parts, pipeline, start=1), once[1:])


@pytest.mark.parametrize("recipe", ["fb-imagenet", "resnet-imagenet", "quick", "rsb-a2", "rsb-a3", "torchvision-v2"])
def test_a_sample_is_a_function_of_seed_epoch_and_index(data: DataSet, recipe: str) -> None:
    """Made alone in this process, each image of a batch is the same to the bit; another epoch gives another.

    With repeats it is one of seed, epoch, index and repeat.
    """
    torch.set_num_threads(1)
    parts, pipeline = made(data, recipe)
    shown_images = epoch(parts, pipeline)
    positions = batch_positions(3, 1, 12, repeats=NAMED[recipe].repeats, batch=5)
    make = training(parts.train, pipeline, seed=3, epoch=1)
    for batch, chunk in zip(shown_images, positions, strict=True):
        alone = [make(pixels_of(parts.train, p % 12), p) for p in chunk.tolist()]
        indices = chunk % 12
        assert batch.images.equal(torch.stack(alone))
        assert len({image.numpy().tobytes() for image in alone}) == len(alone)
        assert batch.labels.tolist() == parts.train.labels[indices].tolist()
        assert batch.ids.tolist() == indices.tolist()
    later = training(parts.train, pipeline, seed=3, epoch=2)
    again = [later(pixels_of(parts.train, p % 12), p) for p in torch.cat(positions).tolist()]
    assert not torch.stack(again).equal(torch.cat([batch.images for batch in shown_images]))


@pytest.mark.parametrize("recipe", PHOTOGRAPHIC)
def test_every_recipe_of_photographs_makes_batches(data: DataSet, recipe: str) -> None:
    """Of the size asked for or the recipe's share of it, finite, and roughly standard; tested at the size asked for."""
    parts, pipeline = made(data, recipe)
    images = torch.cat([batch.images for batch in epoch(parts, pipeline)])
    side = {"rsb-a3": 23, "torchvision-v2": 25}.get(recipe, 32)  # 160 and 176 of 224
    assert images.shape == (12, 3, side, side)
    assert next(views(parts.test, pipeline, 2)).images.shape == (2, 3, 32, 32)
    assert images.dtype == torch.float32
    assert images.isfinite().all()
    assert images.abs().max() < 5


def test_views_are_the_centres_in_order(data: DataSet) -> None:
    """Each test image once, as the centre view of its file, normalised."""
    parts, pipeline = made(data)
    assert isinstance(parts.test, ImageFiles)
    test_views = list(views(parts.test, pipeline, 3))
    assert torch.cat([batch.ids for batch in test_views]).tolist() == [0, 1, 2, 3]
    for k, image in enumerate(torch.cat([batch.images for batch in test_views])):
        pixels = torch.from_numpy(decoded(parts.test.path(k)))
        expected = normalised(unit(centre(pixels, pipeline.view, 32))[None], pipeline.normaliser)[0]
        assert image.equal(expected)


def test_images_in_memory_take_steps_of_photographs_too() -> None:
    """Synthetic images under a recipe for ImageNet go through the same steps, one by one."""
    data = resolve("synthetic:size=16,channels=3,classes=2,images=10")
    parts, pipeline = made(data)
    assert isinstance(source(parts.train, pipeline), ImageSet)
    images = torch.cat([batch.images for batch in epoch(parts, pipeline)])
    assert images.shape == (10, 3, 16, 16)


def test_images_of_two_channels_lose_the_drawn_operations() -> None:
    """They are neither grey nor RGB; grey ones keep them."""
    for channels, expected in ((2, ["AreaCrop", "Standardise", "Erase"]), (1, None)):
        data = resolve(f"synthetic:size=16,channels={channels},classes=2,images=10")
        parts, pipeline = made(data, "torchvision-v2")
        kinds = [type(step).__name__ for step in pipeline.steps]
        notes = list(left_out(NAMED["torchvision-v2"].steps, data))
        assert ("neither grey nor RGB" in " ".join(notes)) == (channels == 2)
        assert kinds == (expected or ["AreaCrop", "TrivialAugment", "Standardise", "Erase"])
        assert next(batches(parts.train, pipeline, seed=0, epoch=0, batch=5)).images.shape == (5, channels, 13, 13)


def test_a_pad_goes_by_the_size_that_is_trained() -> None:
    """After areas of half the size 32, a quarter of 16 is padded: 0 to 4 lines of each image are the mean colour."""
    data = resolve("synthetic:size=32,channels=3,classes=2,images=40")
    steps = (AreaCrop(side=Fraction(1, 2)), Standardise(), PadCrop(share=Fraction(1, 4)))
    parts = data.read()
    pipeline = pipeline_for(replace(NAMED["quick"], steps=steps), data, parts.train)
    images = next(batches(parts.train, pipeline, seed=0, epoch=0, batch=40)).images
    assert images.shape == (40, *pipeline.trained(parts.train.shape)) == (40, 3, 16, 16)
    assert set((images == 0).all(dim=(1, 3)).sum(dim=1).tolist()) == {0, 1, 2, 3, 4}


def test_grey_images_lose_the_steps_on_colours() -> None:
    """They have none to jitter."""
    data = resolve("synthetic:size=16,channels=1,classes=2,images=10")
    _, pipeline = made(data)
    assert [type(step).__name__ for step in pipeline.steps] == ["AreaCrop", "Standardise"]


@pytest.fixture
def damaged(data: DataSet, tmp_path: Path) -> DataSet:
    """The same with the first cat cut short, and every dog but one."""
    root = Path(data.name.rpartition(":")[0])
    for file in sorted(root.rglob("*.png")):
        target = tmp_path / file.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        spoilt = file.parts[-3:] == ("train", "cat", "0.png") or ("train" in file.parts and "dog" in file.parts)
        whole = file.name in ("11.png",) or not spoilt
        target.write_bytes(file.read_bytes() if whole else file.read_bytes()[:100])
    return resolve(f"{tmp_path}:size=32")


def test_an_unreadable_image_ends_the_epoch_with_its_name(damaged: DataSet) -> None:
    """By default the error of the worker is raised unchanged, in one line."""
    parts, pipeline = made(damaged)
    with pytest.raises(DataError, match=r"(0|[13579])\.png cannot be read as an image") as refused:
        epoch(parts, pipeline)
    assert "\n" not in str(refused.value)


def test_an_unreadable_image_may_be_replaced_by_another_of_its_class(damaged: DataSet) -> None:
    """Under "skip", always by the same one; labels stay, and ids tell what was shown."""
    parts, pipeline = made(damaged, unreadable="skip", workers=2)
    shown_images = epoch(parts, pipeline)
    assert_equal(epoch(parts, pipeline), shown_images)
    labels, ids = (torch.cat([batch[k] for batch in shown_images]) for k in (1, 2))
    assert labels.tolist() == parts.train.labels[order(3, 1, 12)].tolist()
    assert (parts.train.labels[ids] == labels.numpy()).all()
    assert isinstance(parts.train, ImageFiles)
    names = {parts.train.files[k] for k in ids.tolist()}
    assert names == {"cat/10.png", "cat/2.png", "cat/4.png", "cat/6.png", "cat/8.png", "dog/11.png"}


def test_no_image_is_tested_in_the_place_of_another(damaged: DataSet) -> None:
    """What cannot be read is left out under "skip", whole batches of it too, and ends the test by default."""
    parts, pipeline = made(damaged, unreadable="skip", workers=2)
    assert isinstance(parts.train, ImageFiles)
    whole = [k for k, name in enumerate(parts.train.files) if name.startswith("cat/") or name == "dog/11.png"]
    whole.remove(parts.train.files.index("cat/0.png"))
    test_views = list(views(parts.train, pipeline, 2))
    assert torch.cat([batch.ids for batch in test_views]).tolist() == whole
    assert torch.cat([batch.labels for batch in test_views]).tolist() == parts.train.labels[whole].tolist()
    assert len(test_views) < 6
    with pytest.raises(DataError, match="cannot be read as an image"):
        list(views(parts.train, replace(pipeline, unreadable="error"), 2))


def test_a_part_without_a_readable_image_is_not_tested(damaged: DataSet) -> None:
    """Not under "skip" either; the first image is named."""
    parts, pipeline = made(damaged, unreadable="skip")
    assert isinstance(parts.train, ImageFiles)
    places = [k for k, name in enumerate(parts.train.files) if name.startswith("dog/") and name != "dog/11.png"]
    with pytest.raises(DataError, match=r"1\.png cannot be read as an image.*; no other image of its part can be read"):
        list(views(parts.train.take(np.array(places)), pipeline, 2))


def test_a_class_without_a_readable_image_is_told(damaged: DataSet) -> None:
    """Nothing can stand in for it."""
    parts = damaged.read()
    assert isinstance(parts.train, ImageFiles)
    parts.train.path(parts.train.files.index("dog/11.png")).write_bytes(b"")
    pipeline = pipeline_for(NAMED["fb-imagenet"], damaged, parts.train, unreadable="skip")
    with pytest.raises(DataError, match="no other image of its class can be read"):
        epoch(parts, pipeline)


def test_a_killed_worker_is_one_sentence(data: DataSet, monkeypatch: pytest.MonkeyPatch) -> None:
    """A killed worker is reported in one sentence, and no process is left."""
    parts, pipeline = made(data)
    parent = os.getpid()

    def deadly(*_: object) -> None:
        assert os.getpid() != parent
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(loading, "pixels_of", deadly)
    with pytest.raises(DataError, match="a process that reads images was killed"):
        epoch(parts, pipeline)


@pytest.mark.parametrize("error", [RuntimeError, ConnectionResetError, FileNotFoundError])
def test_an_error_in_a_worker_is_what_it_is(
    data: DataSet, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    """A programming error is not reported as a killed worker."""
    parts, pipeline = made(data)

    def mistaken(*_: object) -> None:
        raise error("the mistake")

    monkeypatch.setattr(loading, "pixels_of", mistaken)
    with pytest.raises(error, match="the mistake"):
        epoch(parts, pipeline)


READING = """
import os, signal, sys, time
from resatlas.data.batches import batches, pipeline_for, source
from resatlas.data.catalog import resolve
from resatlas.data import loading
from resatlas.recipes.catalog import NAMED

how, text = sys.argv[1:]
real = loading.pixels_of
def slow(part, k):
    time.sleep(0.3)
    return real(part, k)
loading.pixels_of = slow
signal.signal(signal.SIGTERM, lambda *_: os.write(1, b"told\\n"))
data = resolve(text)
train = data.read().train
pipeline = pipeline_for(NAMED["fb-imagenet"], data, train, workers=2)
shown = batches(source(train, pipeline), pipeline, seed=0, epoch=0, batch=2)
for number, _ in enumerate(shown):
    print("batch", flush=True)
    if how == "kept" and number == 1:
        sys.modules["kept"] = shown  # to the very end
        sys.exit()
"""


IMPORTING = """
import sys
from resatlas.data import loading
from resatlas.data.batches import batches, pipeline_for, source
from resatlas.data.catalog import resolve
from resatlas.recipes.catalog import NAMED

real = loading.pixels_of
def asking(part, k):
    assert "torchvision.transforms.v2.functional" in sys.modules
    return real(part, k)
loading.pixels_of = asking
data = resolve(sys.argv[1])
train = data.read().train
pipeline = pipeline_for(NAMED["fb-imagenet"], data, train)
assert "torchvision" not in sys.modules
print(len(list(batches(source(train, pipeline), pipeline, seed=0, epoch=0, batch=2))))
"""


def test_workers_need_not_import_the_transforms(data: DataSet) -> None:
    """They are there before the workers are, each of which would import them anew in every epoch."""
    command = [sys.executable, "-c", IMPORTING, data.name]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "6\n"


def reading(data: DataSet, how: str = "all") -> subprocess.Popen[str]:
    """A process that reads six batches, in a group of its own, with two slow workers."""
    command = [sys.executable, "-c", READING, how, data.name]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)


def first_line(process: subprocess.Popen[str]) -> str:
    """What the process says first."""
    assert process.stdout
    return process.stdout.readline()


def test_a_signal_to_the_whole_group_leaves_the_workers(data: DataSet) -> None:
    """The training process handles the signal; all batches arrive, and no process is left."""
    with reading(data) as process:
        assert first_line(process) == "batch\n"
        os.killpg(process.pid, signal.SIGTERM)
        assert process.stdout
        out = process.stdout.read()
    assert process.returncode == 0
    assert sorted(out.split()) == ["batch"] * 5 + ["told"]
    assert not alive(process.pid)


def test_workers_end_with_a_program_that_keeps_their_batches(data: DataSet) -> None:
    """Python ends them itself, and waits for it."""
    with reading(data, "kept") as process:
        assert process.communicate(timeout=60)[0] == "batch\nbatch\n"
    assert process.returncode == 0
    assert not alive(process.pid)


def test_a_killed_program_leaves_no_worker(data: DataSet) -> None:
    """Workers look for it every few seconds."""
    with reading(data) as process:
        assert first_line(process) == "batch\n"
        process.kill()
        process.wait(60)
        end = time.monotonic() + 30
        while alive(process.pid) and time.monotonic() < end:
            time.sleep(0.1)
        assert not alive(process.pid)


def alive(group: int) -> bool:
    """Whether a process of the group runs, zombies excluded."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, number = stat.read_text().rpartition(") ")[2].split()[:3]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(number) == group and state != "Z":
            return True
    return False


def test_samples_have_their_labels(data: DataSet) -> None:
    """One by one, without a loader."""
    parts, pipeline = made(data)
    samples = Samples(parts.train, training(parts.train, pipeline, seed=0, epoch=0), "error")
    for k in range(12):
        sample = samples[k]
        assert not isinstance(sample, DataError)
        assert sample[1:] == (parts.train.labels[k], k)


def test_a_normalisation_is_measured_on_the_views(data: DataSet) -> None:
    """Where the recipe has no constants, on the centre views of the training photographs."""
    parts, pipeline = made(data, "quick")
    assert isinstance(parts.train, ImageFiles)
    pixels = np.stack([centre(pixels_of(parts.train, k), pipeline.view, 32).numpy() for k in range(12)])
    expected = (pixels / 255).mean((0, 2, 3))
    np.testing.assert_allclose(pipeline.normaliser.mean.flatten(), expected, rtol=1e-6)
