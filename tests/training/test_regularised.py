"""All regularisers at once: a run stopped in an epoch and resumed is bit-equal to an uninterrupted one."""

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from resatlas.arch.ops import Shape
from resatlas.errors import CheckpointError, Stopped
from resatlas.nets.network import build
from resatlas.recipes.recipe import Lamb
from resatlas.recipes.regularisers import BinaryCrossEntropy, Cutmix, Ema, Mixup
from resatlas.recipes.schedule import Cosine
from resatlas.runs.store import Run
from resatlas.training.average import average_of
from resatlas.training.loop import step
from resatlas.training.mixing import Mixture, mixed
from resatlas.training.optimizer import optimizer
from resatlas.training.starting import start, trained
from resatlas.training.state import TrainState
from tests.training.small import (
    DESIGN,
    EXPERIMENT,
    STEPS,
    assert_same,
    carried_out,
    different,
    fresh,
    last_checkpoint,
    noise,
    plan_for,
    signalling,
    tensors,
)

COSINE = Cosine(peak=Fraction(1, 20), warm_up=Fraction(1, 3), start=Fraction(1, 1000), moves="epochs")

ALL = replace(
    EXPERIMENT.recipe,
    norm_group=8,
    optimizer=Lamb(),
    clip=0.5,
    schedule=COSINE,
    loss=BinaryCrossEntropy(smoothing=0.1),
    mixing=(Mixup(), Cutmix()),
    mixed=Fraction(3, 4),
    stochastic_depth=Fraction(1, 2),
    average=Ema(decay=0.9, every=2, begins=Fraction(1, 5)),
)

REGULARISED = replace(EXPERIMENT, recipe=ALL)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The experiment, trained without interruption."""
    return carried_out(tmp_path_factory.mktemp("regularised") / "run", REGULARISED)


@pytest.mark.parametrize("stop", [1, STEPS + 2, STEPS + 3])
def test_a_stop_at_any_step_changes_nothing(whole: Run, tmp_path: Path, stop: int) -> None:
    """Weights, moments, average, statistics, rates, metrics and predictions agree."""
    with pytest.raises(Stopped):
        carried_out(tmp_path / "run", REGULARISED, watcher=signalling(stop))
    run = carried_out(tmp_path / "run", REGULARISED, resume="auto")
    assert_same(run, whole)
    assert any(name.startswith("average: ") for name in tensors(last_checkpoint(run)))
    assert any(name.endswith(".second") for name in tensors(last_checkpoint(run)))


@pytest.mark.parametrize(
    "change",
    [
        {"mixing": ()},
        {"mixing": (Mixup(),)},
        {"mixed": Fraction(1)},
        {"stochastic_depth": Fraction(0)},
        {"loss": BinaryCrossEntropy()},
        {"clip": None},
        {"schedule": replace(COSINE, moves="steps")},
    ],
    ids=lambda change: ",".join(change),
)
def test_each_part_has_an_effect(whole: Run, tmp_path: Path, change: dict[str, Any]) -> None:
    """Without one of them the trained weights differ."""
    other = carried_out(tmp_path / "run", replace(REGULARISED, recipe=replace(ALL, **change)))
    changed = different(tensors(last_checkpoint(other)), tensors(last_checkpoint(whole)))
    assert len([name for name in changed if name.startswith("model: ")]) > 10


def test_the_average_changes_no_training(whole: Run, tmp_path: Path) -> None:
    """The trained weights are the same without it; the tested weights differ."""
    other = carried_out(tmp_path / "run", replace(REGULARISED, recipe=replace(ALL, average=None)))
    changed = different(tensors(last_checkpoint(other)), tensors(last_checkpoint(whole)))
    assert {name.partition(":")[0] for name in changed} == {"average"}
    assert [row["train_loss"] for row in other.metrics] == [row["train_loss"] for row in whole.metrics]
    for part in ("test", "validation"):
        assert other.record().written[part]["loss"] != whole.record().written[part]["loss"]


def test_what_is_tested_and_exported_is_the_average(whole: Run) -> None:
    """The network of a finished run, its test and its validation use the average; results and metrics say so."""
    network = trained(whole.record(), REGULARISED)
    averaged = load_file(last_checkpoint(whole) / "average.safetensors")
    assert different(network.state_dict(), averaged) == []
    state = start(whole.record(), REGULARISED)
    assert state.tested is state.average
    assert whole.record().written["weights"] == "average"
    assert whole.metrics[-1]["validation_loss"] == whole.record().written["validation"]["loss"]
    assert {row["weights"] for row in whole.metrics} == {"average"}


def test_rates_move_with_the_epochs(whole: Run) -> None:
    """Rising in the first of three epochs, then half a cosine over two: the peak, and half of it."""
    assert [row["learning_rate"] for row in whole.metrics] == pytest.approx([0.001, 0.05, 0.025])


def test_a_checkpoint_without_its_average_is_damaged(whole: Run) -> None:
    """The manifest covers the average, and the run's seal the manifest; without a seal, a missing file is refused."""
    checkpoint, seal = last_checkpoint(whole), whole.folder / "SEAL.json"
    file, manifest = checkpoint / "average.safetensors", checkpoint / "MANIFEST.json"
    content, seals, sealed = file.read_bytes(), manifest.read_text(), seal.read_bytes()
    try:
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        with pytest.raises(CheckpointError, match=r"average\.safetensors does not have the sha256"):
            trained(whole.record(), REGULARISED)
        file.unlink()
        with pytest.raises(CheckpointError, match=r"average\.safetensors"):
            trained(whole.record(), REGULARISED)
        known = json.loads(seals)
        del known["files"][file.name]
        manifest.write_text(json.dumps(known))
        with pytest.raises(CheckpointError, match=r"is not the checkpoint that SEAL\.json of the run lists"):
            trained(whole.record(), REGULARISED)
        seal.unlink()  # as in a run of an earlier version
        with pytest.raises(CheckpointError, match=r"average\.safetensors cannot be read: no such file"):
            trained(whole.record(), REGULARISED)
    finally:
        file.write_bytes(content)
        manifest.write_text(seals)
        seal.write_bytes(sealed)


def test_a_long_gradient_is_clipped(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is scaled to the norm of the recipe; a shorter gradient is unchanged."""
    images, gradients = noise(16), dict[float | None, torch.Tensor]()
    for clip in (None, 1e-3, 1e9):
        state = fresh()
        recipe = replace(EXPERIMENT.recipe, clip=clip)
        monkeypatch.setattr(state.optimizer, "step", lambda: None)
        step(state, images, plan_for(images, recipe))
        grads = [parameter.grad for parameter in state.network.parameters() if parameter.grad is not None]
        gradients[clip] = torch.cat([grad.flatten() for grad in grads]).double()
    assert gradients[None].norm() > 1e-2
    assert gradients[1e-3].norm().item() == pytest.approx(1e-3, rel=1e-5)
    assert torch.allclose(gradients[1e-3] / 1e-3, gradients[None] / gradients[None].norm(), atol=1e-6)
    assert gradients[1e9].equal(gradients[None])


def test_the_error_of_training_is_counted_against_the_main_label(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step whose images are mostly their partners counts the partners' labels."""
    images = noise(16)
    how = Mixture(share=0.2)

    def drawn(*_: object, **__: object) -> Mixture:
        return how

    monkeypatch.setattr("resatlas.training.loop.mixture", drawn)
    state, other = fresh(), fresh()
    step(state, images, plan_for(images, replace(EXPERIMENT.recipe, mixing=(Mixup(),))))
    made, labels = mixed(images.images, images.labels, how)
    wrong = other.network.train()(made).argmax(dim=1) != labels.main
    assert state.tally.errors == int(wrong.sum())
    assert labels.main.equal(images.labels.flip(0))


def test_the_average_is_updated_after_the_step() -> None:
    """After one step it equals the weights and running statistics after that step."""
    images = noise(16)
    network = build(DESIGN, image=Shape(1, 8, 8), classes=4, seed=0)
    recipe = replace(EXPERIMENT.recipe, average=Ema(decay=0.99))
    state = TrainState(network=network, optimizer=optimizer(network, recipe), average=average_of(network))
    step(state, images, plan_for(images, recipe))
    assert state.average is not None
    assert different(state.average.state_dict(), network.state_dict()) == []
    step(state, images, plan_for(images, recipe))
    changed = different(state.average.state_dict(), network.state_dict())
    assert any(name.endswith("running_mean") for name in changed)
    assert not any(name.endswith("num_batches_tracked") for name in changed)
