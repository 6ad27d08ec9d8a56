"""The memory of a training by its plan, recipe, precision and processes."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from resatlas.arch.cost import cost
from resatlas.bench import memory
from resatlas.designs.catalog import plan
from resatlas.nets.network import build
from resatlas.recipes.catalog import NAMED
from resatlas.recipes.recipe import Lamb, Muon, Recipe, Sgd
from resatlas.recipes.regularisers import Ema
from resatlas.runs import environment
from resatlas.training.average import average_of
from resatlas.training.footprint import Load, checkpoint_bytes, footprint, machine_bytes
from resatlas.training.optimizer import momenta, optimizer

PLAN = plan("wrn-16-4")
RECIPE = replace(NAMED["quick"], batch=64, average=None)


def test_weights_optimizer_and_average_are_those_of_a_training() -> None:
    """Bytes of the tensors of a network with its buffers, of every optimizer's state, and of the average."""
    network = build(PLAN, seed=0)
    tensors = sum(tensor.nbytes for tensor in network.state_dict().values())
    averaged = sum(tensor.nbytes for tensor in average_of(network).state_dict().values())
    one = footprint(PLAN, replace(RECIPE, average=Ema()), Load(batch=64))
    assert (one.weights, one.average) == (tensors, averaged)


@pytest.mark.parametrize(("rule", "copies"), [(Sgd(), 1), (Sgd(momentum=0.0, form="plain"), 0), (Lamb(), 2)])
def test_the_state_of_an_optimizer(rule: Sgd | Lamb, copies: int) -> None:
    """As many tensors of each parameter's size as the optimizer keeps after a step."""
    network = build("resnet:depth=8,base=2", seed=0)
    recipe = replace(RECIPE, optimizer=rule)
    updater = optimizer(network, recipe)
    for weight in network.parameters():
        weight.grad = weight.detach().clone()
    updater.step()
    kept = sum(tensor.nbytes for tensor in momenta(network, updater).values() if tensor.numel() > 1)
    assert kept == copies * 4 * cost(network.plan).parameters
    assert footprint(network.plan, recipe, Load(batch=64)).optimizer == kept


def test_muon_needs_room_for_the_kernels_of_a_shape() -> None:
    """Beside its momentum, some copies of the largest group of kernels."""
    assert footprint(PLAN, replace(RECIPE, optimizer=Muon()), Load(batch=64)).optimizer > 8 * cost(PLAN).parameters


@pytest.mark.parametrize(("name", "flags"), [("memory", {"avx512_bf16"}), ("elsewhere/memory", set[str]())])
def test_the_published_trainings_are_predicted(monkeypatch: pytest.MonkeyPatch, name: str, flags: set[str]) -> None:
    """Within 15 % of the measured peak: twelve networks, both precisions, maps computed again; bf16 or emulated."""
    monkeypatch.setattr(environment, "processor_flags", lambda: frozenset(flags))
    published = json.loads((Path(__file__).parents[2] / "benchmarks" / f"{name}.json").read_text())
    assert any("does not multiply in bf16" in note for note in published["notes"]) == (not flags)
    rows = published["rows"]
    assert len({row["design"] for row in rows}) >= 12
    assert {(row["precision"], row["kept"]) for row in rows} >= {("fp32", "all"), ("bf16", "all"), ("fp32", "segments")}
    for row in rows:
        task = memory.task_of(row["design"], row["batch"], row["precision"], row["kept"])
        assert memory.predicted(task).resident == pytest.approx(row["peak_bytes"], rel=0.15), row


def test_what_makes_a_process_smaller() -> None:
    """A share of the batch, recomputed maps, norm groups of fewer images, bf16 where the processor has it."""
    whole = footprint(PLAN, RECIPE, Load(batch=64)).maps
    assert footprint(PLAN, RECIPE, Load(batch=64, processes=2)).maps == pytest.approx(whole / 2, rel=0.2)
    assert footprint(PLAN, RECIPE, Load(batch=64, kept="units")).maps < 0.7 * whole
    assert footprint(PLAN, replace(RECIPE, norm_group=16), Load(batch=64)).maps < 0.4 * whole


def test_bf16_halves_maps_only_where_the_processor_multiplies_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Elsewhere torch writes out the input of a convolution once for each position of the kernel."""
    load = Load(batch=64, precision="bf16")
    sizes = {}
    for flags in ((), ("avx512_bf16",)):
        monkeypatch.setattr("resatlas.runs.environment.processor_flags", lambda flags=flags: frozenset(flags))
        sizes[flags] = footprint(PLAN, RECIPE, load).maps
    whole = footprint(PLAN, RECIPE, Load(batch=64)).maps
    assert sizes["avx512_bf16",] < 0.53 * whole
    assert sizes["avx512_bf16",] + (10 << 20) < sizes[()]


def test_processes_share_the_pages_of_libraries() -> None:
    """Two processes need less than twice the memory of one; readers of images add theirs."""
    one = footprint(PLAN, RECIPE, Load(batch=64, processes=2))
    assert one.total < machine_bytes(one, 2) < 2 * one.total
    assert one.exchange == 4 * cost(PLAN).parameters
    assert footprint(PLAN, RECIPE, Load(batch=64, readers=3)).readers > 0


def test_a_test_may_need_more_than_a_step() -> None:
    """A test of many images beside a training of few."""
    few: Recipe = replace(RECIPE, batch=2)
    assert footprint(PLAN, few, Load(batch=2, tested=256)).maps > 2 * footprint(PLAN, few, Load(batch=2)).maps


def test_checkpoints_have_weights_state_and_average() -> None:
    """Three times the weights with SGD and an average, besides the buffers."""
    parameters = 4 * cost(PLAN).parameters
    assert checkpoint_bytes(PLAN, replace(RECIPE, optimizer=Sgd(), average=Ema())) == pytest.approx(
        3 * parameters, rel=0.01
    )
