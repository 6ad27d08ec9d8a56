"""Batches are normalised, complete and found again by a resume."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from resatlas.arch.ops import Shape
from resatlas.data.augment import augment, draw, erased
from resatlas.data.batches import Batch, Resident, batches, pipeline_for, source, views
from resatlas.data.catalog import resolve
from resatlas.data.dataset import ImageSet
from resatlas.data.normalisation import Affine, measured, normalised, unit
from resatlas.data.order import batch_positions, generator, order
from resatlas.data.pipeline import Pipeline
from resatlas.recipes.catalog import NAMED
from resatlas.recipes.images import Erase, Flip, PadCrop, Standardise, Step
from resatlas.recipes.recipe import steps_per_epoch
from resatlas.training.distributed import World
from tests.data.memory import training_images

BOTH = (PadCrop(), Flip())


def part(n: int = 70) -> ImageSet:
    """The first n of 70 synthetic images of two channels, with ids that are not their positions."""
    train = training_images("synthetic:size=8,channels=2,classes=3,images=70").take(slice(n))
    return ImageSet(images=train.images, labels=train.labels, ids=train.ids + 1000)


def standard(images: ImageSet) -> Affine:
    """The normalisation by the part's own moments."""
    normaliser = measured(Standardise(), torch.from_numpy(images.images))
    assert isinstance(normaliser, Affine)
    return normaliser


def pipeline(*steps: Step, n: int = 70) -> Pipeline:
    """Standardised images, and what else happens to them."""
    return Pipeline(steps=(Standardise(), *steps), normaliser=standard(part(n)))


def resident(n: int = 70) -> Resident:
    """The part as batches are drawn from it."""
    resident_part = source(part(n), pipeline(n=n))
    assert isinstance(resident_part, Resident)
    return resident_part


def whole(n: int = 70) -> torch.Tensor:
    """The part, normalised by its own moments."""
    return normalised(unit(torch.from_numpy(part(n).images)), standard(part(n)))


def same(left: list[Batch], right: list[Batch]) -> bool:
    """Whether two lists of batches agree in every bit."""
    pairs = [pair for batch in zip(left, right, strict=True) for pair in zip(*batch, strict=True)]
    return all(one.equal(other) for one, other in pairs)


def test_moments_are_numpy_s() -> None:
    """Mean and standard deviation of each channel are those of the pixels over 255."""
    moments, pixels = standard(part()), part().images / 255
    assert moments.mean.flatten().tolist() == pytest.approx(pixels.mean((0, 2, 3)), rel=1e-6)
    assert moments.std.flatten().tolist() == pytest.approx(pixels.std((0, 2, 3)), rel=1e-6)


def test_a_normalised_part_has_mean_0_and_standard_deviation_1() -> None:
    """Each channel of the normalised images is standard."""
    assert whole().mean((0, 2, 3)).abs().max() < 1e-5
    assert (whole().std((0, 2, 3), correction=0) - 1).abs().max() < 1e-5


def test_a_part_in_memory_stays_bytes() -> None:
    """Images are normalised batch by batch; until then each value takes one byte, and is not copied."""
    train = part()
    kept = source(train, pipeline())
    assert isinstance(kept, Resident)
    assert kept.images.dtype == torch.uint8
    assert kept.images.data_ptr() == train.images.ctypes.data
    assert kept.ids.tolist() == train.ids.tolist()


def test_a_constant_channel_becomes_zero() -> None:
    """A channel without variation is not divided by zero."""
    grey = ImageSet(images=np.full((3, 1, 4, 4), 77, np.uint8), labels=np.arange(3), ids=np.arange(3))
    assert standard(grey).std.item() == 1
    assert normalised(unit(torch.from_numpy(grey.images)), standard(grey)).abs().max() < 1e-7


@pytest.mark.parametrize(
    ("n", "batch", "steps"), [(1257, 128, 9), (128, 128, 1), (129, 128, 1), (5, 128, 1), (5, 1, 5)]
)
def test_an_epoch_has_whole_batches_or_one(n: int, batch: int, steps: int) -> None:
    """Steps are floor(n / batch), but at least one."""
    assert steps_per_epoch(replace(NAMED["quick"], batch=batch), n) == steps


@given(n=st.integers(4, 70), batch=st.integers(1, 80))
@settings(max_examples=20, deadline=None)
def test_a_leftover_batch_is_kept_where_the_recipe_says_so(n: int, batch: int) -> None:
    """Then every image is shown once an epoch, and the steps are those that the recipe counts."""
    shown = list(batches(resident(n), pipeline(n=n), seed=0, epoch=0, batch=batch, leftover="kept"))
    assert len(shown) == steps_per_epoch(replace(NAMED["quick"], batch=batch, leftover="kept"), n)
    assert sorted(torch.cat([batch.ids for batch in shown]).tolist()) == sorted(part(n).ids.tolist())


@given(n=st.integers(4, 70), batch=st.integers(1, 80))
@settings(max_examples=30, deadline=None)
def test_batches_are_full_and_show_no_image_twice(n: int, batch: int) -> None:
    """Every batch has `batch` images, or all of a smaller part; no image comes twice in an epoch."""
    shown = list(batches(resident(n), pipeline(n=n), seed=0, epoch=0, batch=batch))
    assert len(shown) == steps_per_epoch(replace(NAMED["quick"], batch=batch), n)
    assert {len(images) for images, _, _ in shown} == {min(batch, n)}
    ids = torch.cat([ids for _, _, ids in shown])
    assert len(ids.unique()) == len(ids)


def test_images_labels_and_ids_stay_together() -> None:
    """The batches are the normalised images in the epoch's order, each with the draws of its index."""
    shown = order(4, 2, 70)
    expected = whole()[shown]
    for step in BOTH:
        expected = augment(expected, shown, draw(step, 4, 2, 70, Shape(2, 8, 8)))
    made = list(batches(resident(), pipeline(*BOTH), seed=4, epoch=2, batch=7))
    assert torch.cat([images for images, _, _ in made]).equal(expected)
    assert torch.cat([labels for _, labels, _ in made]).tolist() == part().labels[shown].tolist()
    assert torch.cat([ids for _, _, ids in made]).equal(shown + 1000)


ERASE = Erase(probability=Fraction(1, 2), fill="noise")


def sample(k: int, repeat: int) -> torch.Tensor:
    """Image k of the part as epoch 2 of seed 4 has it for the r-th time, made alone."""
    image = whole()[k : k + 1]
    for step in BOTH:
        image = augment(image, torch.tensor([k + 70 * repeat]), draw(step, 4, 2, 70, Shape(2, 8, 8), repeats=3))
    words = (2, repeat, k) if repeat else (2, k)
    return erased(image[0], ERASE, generator(4, "erase", *words))


@pytest.mark.parametrize("repeats", [1, 3])
def test_an_image_is_made_by_its_epoch_index_and_repeat(repeats: int) -> None:
    """Every image of every batch is what it is alone; labels and ids are its own; a third of the images is shown."""
    thrice = replace(pipeline(*BOTH, ERASE), repeats=repeats)
    made = list(batches(resident(), thrice, seed=4, epoch=2, batch=9))
    positions = batch_positions(4, 2, 70, repeats=repeats, batch=9)[: len(made)]
    for batch, chunk in zip(made, positions, strict=True):
        assert batch.images.equal(torch.stack([sample(p % 70, p // 70) for p in chunk.tolist()]))
        assert batch.labels.tolist() == part().labels[chunk % 70].tolist()
        assert batch.ids.equal(chunk % 70 + 1000)
    assert len(made) == steps_per_epoch(replace(NAMED["quick"], batch=9, repeats=repeats), 70)
    assert len(torch.cat([batch.ids for batch in made]).unique()) == 63 // repeats


@pytest.mark.parametrize("start", [0, 3, 7])
def test_repeats_resume_at_any_batch_and_are_shared_out(start: int) -> None:
    """Batch k is the same bits from any start on, and so are its parts in three processes, one after another."""
    thrice = replace(pipeline(*BOTH, ERASE), repeats=3)
    every = list(batches(resident(), thrice, seed=1, epoch=3, batch=8))
    assert same(list(batches(resident(), thrice, seed=1, epoch=3, batch=8, start=start)), every[start:])
    worlds = [World(rank=rank, size=3) for rank in range(3)]
    parts = [batches(resident(), thrice, seed=1, epoch=3, batch=8, start=start, share=world.share) for world in worlds]
    joined = [Batch(*map(torch.cat, zip(*some, strict=True))) for some in zip(*parts, strict=True)]
    assert same(joined, every[start:])


def test_steps_go_in_the_order_of_the_recipe() -> None:
    """Zeros before the normalisation are black, zeros after it the mean colour."""
    after = pipeline(PadCrop())
    before = replace(after, steps=(PadCrop(), Standardise()))
    black = normalised(torch.zeros(1, 2, 1, 1), after.normaliser)
    late, early = (
        next(batches(resident(), pipeline, seed=0, epoch=0, batch=70)).images for pipeline in (after, before)
    )
    padded = late == 0
    assert 0 < padded.double().mean() < 0.5
    assert early[padded].equal(black.expand_as(early)[padded])
    assert early[~padded].equal(late[~padded])


@pytest.mark.parametrize("start", [0, 1, 5, 8])
def test_an_epoch_resumes_at_any_batch(start: int) -> None:
    """Batch k is the same bits whether the epoch began at 0 or at k; past the last one nothing comes."""
    every = list(batches(resident(), pipeline(*BOTH), seed=1, epoch=3, batch=8))
    rest = list(batches(resident(), pipeline(*BOTH), seed=1, epoch=3, batch=8, start=start))
    assert same(rest, every[start:])


def test_global_randomness_does_not_matter() -> None:
    """Neither torch's global generator nor an epoch before it changes an epoch, and neither is changed."""
    before = list(batches(resident(), pipeline(*BOTH), seed=1, epoch=3, batch=8))
    state = torch.get_rng_state()
    list(batches(resident(), pipeline(*BOTH), seed=1, epoch=2, batch=8))
    assert torch.get_rng_state().equal(state)
    torch.manual_seed(99)
    assert same(list(batches(resident(), pipeline(*BOTH), seed=1, epoch=3, batch=8)), before)


@pytest.mark.parametrize("batch", [1, 32, 70, 100])
def test_views_show_every_image_once_in_order(batch: int) -> None:
    """Evaluation sees each image unchanged, in the order of the source, at every batch size."""
    images, labels, ids = (torch.cat(column) for column in zip(*views(part(), pipeline(), batch), strict=True))
    assert images.equal(whole())
    assert labels.tolist() == part().labels.tolist()
    assert ids.tolist() == part().ids.tolist()


def test_flips_need_the_data_set_s_leave() -> None:
    """Where mirrors are forbidden the flips of a recipe are left out, and nothing else is."""
    data = resolve("synthetic:size=8,channels=3,classes=3,images=70")
    steps = pipeline_for(NAMED["quick"], data, data.read().train).steps
    assert steps == tuple(step for step in NAMED["quick"].steps if not isinstance(step, Flip))
    allowed = pipeline_for(NAMED["quick"], replace(data, mirror="allowed"), data.read().train)
    assert allowed.steps == NAMED["quick"].steps
