"""One process and two are the same training: in float64, to the order of sums.

The single process has groups of normalisation of the size of a rank's part, so that statistics are of the same images.
"""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import distributed

from resatlas.data.batches import Batch
from resatlas.recipes.recipe import Lamb, Muon, Recipe, Sgd
from resatlas.recipes.regularisers import BinaryCrossEntropy, CrossEntropy, Cutmix, Ema, Mixup
from resatlas.recipes.schedule import Cosine
from resatlas.training.average import average_of
from resatlas.training.distributed import current, data_parallel
from resatlas.training.loop import epoch, step
from resatlas.training.optimizer import momenta, optimizer
from resatlas.training.state import TrainState
from tests.training.processes import FORKED, PATIENCE
from tests.training.small import EXPERIMENT, course, fresh, noise

IMAGES, BATCH, EPOCHS = 24, 8, 2

PLAIN = replace(
    EXPERIMENT.recipe,
    batch=BATCH,
    epochs=EPOCHS,
    norm_group=BATCH // 2,
    validation=Fraction(0),
    optimizer=Sgd(),
    loss=CrossEntropy(),
)

RECIPES = {
    "plain": PLAIN,
    "muon": replace(PLAIN, optimizer=Muon()),
    "smoothed and averaged": replace(PLAIN, loss=CrossEntropy(smoothing=0.1), average=Ema(decay=0.8, every=2)),
    "mixed and clipped": replace(
        PLAIN,
        mixing=(Mixup(alpha=1.0), Cutmix()),
        loss=BinaryCrossEntropy(present_above=0.2),
        optimizer=Lamb(),
        clip=0.1,
        schedule=Cosine(peak=Fraction(1, 20), warm_up=Fraction(1, 3), moves="epochs"),
        average=Ema(),
    ),
}


def trained(recipe: Recipe, file: Path) -> None:
    """Train on noise, in the world that was joined; write what was learnt, and the sum of the losses."""
    images, world = noise(IMAGES), current()
    way = replace(course(Batch(images.images.double(), images.labels, images.ids), recipe), world=world)
    network = fresh().network.double()
    average = average_of(network) if recipe.average else None
    state = TrainState(network=network, optimizer=optimizer(network, recipe), average=average)
    way = replace(way, wrapped=data_parallel(network, world))
    for _ in range(EPOCHS):
        network.train()
        for batch in epoch(state, way):
            assert batch.images.dtype == torch.float64
            step(state, batch, way)
        state.epoch, state.batch = state.epoch + 1, 0
    found = {f"weights: {path}": each for path, each in network.state_dict().items()}
    found |= {f"average: {path}": each for path, each in state.tested.state_dict().items()}
    found |= {f"momentum: {path}": each for path, each in momenta(network, state.optimizer).items()}
    found["loss"] = torch.tensor(state.tally.loss, dtype=torch.float64)
    found["errors"] = torch.tensor(state.tally.errors)
    if world.leads:
        save_file({name: each.clone().contiguous() for name, each in found.items()}, file)


def trained_as(rank: int, recipe: Recipe, folder: Path) -> None:
    """The same as one of two processes."""
    distributed.init_process_group("gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=2)
    try:
        trained(recipe, folder / "two.safetensors")
    finally:
        distributed.destroy_process_group()


@pytest.mark.parametrize("name", RECIPES)
def test_two_processes_are_one_in_float64(name: str, tmp_path: Path) -> None:
    """Weights, statistics, momenta, averages and losses agree to 1e-10, errors exactly."""
    ranks = [FORKED.Process(target=trained_as, args=(rank, RECIPES[name], tmp_path)) for rank in (0, 1)]
    for rank in ranks:
        rank.start()
    trained(RECIPES[name], tmp_path / "one.safetensors")
    for rank in ranks:
        rank.join(PATIENCE)
    assert [rank.exitcode for rank in ranks] == [0, 0]
    one, two = (load_file(tmp_path / f"{count}.safetensors") for count in ("one", "two"))
    assert one.keys() == two.keys()
    assert one["errors"].equal(two["errors"])
    for path, each in one.items():
        assert torch.allclose(each.double(), two[path].double(), rtol=1e-10, atol=1e-10), path
    before = fresh().network.double().state_dict()
    moved = [path for path, each in before.items() if not each.equal(one[f"weights: {path}"])]
    assert len(moved) == len(before)
