"""Trainings in one and two processes are equal, in float64 up to the order of sums.

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
from tests.training.small import EXPERIMENT, fresh, noise, plan_for

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
    """Train on noise in the current process group; write all tensors and the sum of the losses."""
    images, world = noise(IMAGES), current()
    plan = replace(plan_for(Batch(images.images.double(), images.labels, images.ids), recipe), world=world)
    network = fresh().network.double()
    average = average_of(network) if recipe.average else None
    state = TrainState(network=network, optimizer=optimizer(network, recipe), average=average)
    plan = replace(plan, wrapped=data_parallel(network, world))
    for _ in range(EPOCHS):
        network.train()
        for batch in epoch(state, plan):
            assert batch.images.dtype == torch.float64
            step(state, batch, plan)
        state.epoch, state.batch = state.epoch + 1, 0
    tensors = {f"weights: {path}": tensor for path, tensor in network.state_dict().items()}
    tensors |= {f"average: {path}": tensor for path, tensor in state.tested.state_dict().items()}
    tensors |= {f"momentum: {path}": tensor for path, tensor in momenta(network, state.optimizer).items()}
    tensors["loss"] = torch.tensor(state.tally.loss, dtype=torch.float64)
    tensors["errors"] = torch.tensor(state.tally.errors)
    if world.leads:
        save_file({name: tensor.clone().contiguous() for name, tensor in tensors.items()}, file)


def trained_as(rank: int, recipe: Recipe, folder: Path) -> None:
    """The same training as one of two processes."""
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
    for path, tensor in one.items():
        assert torch.allclose(tensor.double(), two[path].double(), rtol=1e-10, atol=1e-10), path
    before = fresh().network.double().state_dict()
    moved = [path for path, tensor in before.items() if not tensor.equal(one[f"weights: {path}"])]
    assert len(moved) == len(before)
