"""Precision: where it applies, how `auto` selects it, and bit-equal resumes."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

from resatlas.errors import Stopped
from resatlas.recipes.recipe import Precision, PrecisionWanted
from resatlas.runs import environment
from resatlas.runs.experiment import Experiment
from resatlas.training import precision, session
from resatlas.training.loop import CPU, step
from resatlas.training.precision import automatic_precision, scaler
from resatlas.training.splits import normaliser_of, split_images
from resatlas.training.starting import trained
from tests.training.small import (
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


def in_precision(name: PrecisionWanted) -> Experiment:
    """The smallest experiment in that precision."""
    return replace(EXPERIMENT, recipe=replace(EXPERIMENT.recipe, precision=name), precision=None)


@pytest.mark.parametrize(("name", "dtype"), [("fp32", None), ("bf16", torch.bfloat16), ("fp16", torch.float16)])
def test_convolutions_use_the_precision_and_state_is_float32(name: Precision, dtype: torch.dtype | None) -> None:
    """Maps use it; weights, gradients, momenta and running statistics are float32."""
    state, images = fresh(), noise(16)
    state.scaler = scaler(name, CPU)
    maps: dict[str, torch.dtype] = {}

    def keep(path: str, _module: nn.Module, _inputs: object, out: torch.Tensor) -> None:
        maps[path] = out.dtype

    for path, module in state.network.named_modules():
        if path.endswith(("conv1", "linear")):
            module.register_forward_hook(partial(keep, path))
    step(state, images, replace(plan_for(images), precision=name))
    assert set(maps.values()) == {dtype or torch.float32}
    assert state.step == 1
    kept = [*state.network.parameters(), *state.network.buffers()]
    kept += [weight.grad for weight in state.network.parameters() if weight.grad is not None]
    kept += [buffers["momentum_buffer"] for buffers in state.optimizer.state.values()]
    assert {tensor.dtype for tensor in kept} == {torch.float32, torch.int64}


@pytest.mark.parametrize("name", ["bf16", "fp16"])
def test_a_training_reaches_the_loss_of_fp32(name: Precision) -> None:
    """Forty steps on sixteen images: nearly the loss of float32, with other bits; no update is skipped."""
    losses: dict[str, float] = {}
    both: tuple[Precision, ...] = ("fp32", name)
    for kind in both:
        state, images = fresh(), noise(16)
        state.scaler = scaler(kind, CPU)
        before = 0.0
        for _ in range(40):
            before = state.tally.loss
            step(state, images, replace(plan_for(images), precision=kind))
        losses[kind] = (state.tally.loss - before) / 16
        assert state.overflows == 0
    assert losses["fp32"] < 1.2
    assert losses[name] == pytest.approx(losses["fp32"], rel=0.1)
    assert losses[name] != losses["fp32"]


@pytest.mark.parametrize("name", ["bf16", "fp16"])
def test_a_resume_changes_no_bit(name: Precision, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a stop in an epoch while the scale still decreases, weights, scale and overflows are bit-equal."""
    monkeypatch.setattr(precision, "FIRST_SCALE", 2.0**50)
    experiment = in_precision(name)
    whole = carried_out(tmp_path / "whole", experiment)
    with pytest.raises(Stopped):
        carried_out(tmp_path / "broken", experiment, watcher=signalling(STEPS + 2))
    monkeypatch.setattr(precision, "FIRST_SCALE", 8.0)
    assert_same(carried_out(tmp_path / "broken", experiment, resume="auto"), whole)
    states = [
        json.loads((last_checkpoint(run) / "state.json").read_text())
        for run in (whole, session.Run(tmp_path / "broken"))
    ]
    assert [(state["scaler"], state["overflows"]) for state in states] == [
        (states[0]["scaler"], states[0]["overflows"])
    ] * 2
    assert bool(states[0]["scaler"]) == (name == "fp16")


def test_a_test_is_in_float32(tmp_path: Path) -> None:
    """The test of a network trained in bf16 equals the predictions of its float32 weights."""
    from resatlas.data import catalog
    from resatlas.evaluation.classification import classification
    from resatlas.evaluation.logits import predict
    from resatlas.studies.single import read_parts

    run = carried_out(tmp_path / "run", in_precision("bf16"))
    data = catalog.resolve(EXPERIMENT.data)
    images = split_images(read_parts(data), run.beginning().experiment, data, normaliser=normaliser_of(run))
    predictions = predict(trained(run.record(), run.beginning().experiment), images.test, images.pipeline)
    assert predictions.logits.dtype == torch.float32
    assert dict(classification(predictions)) == run.record().written["test"]


@pytest.mark.parametrize(
    ("flags", "expected"),
    [({"fpu", "avx512_bf16"}, "bf16"), ({"amx_bf16"}, "bf16"), ({"bf16", "asimd"}, "bf16"), ({"avx512f"}, "fp32")],
)
def test_auto_depends_on_the_flags_of_the_processor(
    flags: set[str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`auto` uses the flags only and measures nothing."""
    monkeypatch.setattr(environment, "processor_flags", lambda: frozenset(flags))
    assert automatic_precision(CPU)[0] == expected


def test_a_run_keeps_the_precision_of_its_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that starts where `auto` is bf16 stays bf16 on any machine; this is noted once and recorded."""
    experiment = in_precision("auto")
    assert experiment.precision is None
    said: list[str] = []
    monkeypatch.setattr(environment, "processor_flags", lambda: frozenset({"avx512_bf16"}))
    with pytest.raises(Stopped):
        carried_out(tmp_path / "run", experiment, watcher=replace(signalling(STEPS + 2), on_note=said.append))
    monkeypatch.setattr(environment, "processor_flags", frozenset)
    run = carried_out(tmp_path / "run", experiment, resume="auto", watcher=session.Watcher(on_note=said.append))
    assert [note for note in said if note.startswith("precision auto is")] == [
        "precision auto is bf16, here and wherever the run is resumed: the processor has avx512_bf16"
    ]
    assert run.beginning().experiment.precision == "bf16"
    plain = carried_out(tmp_path / "plain", in_precision("bf16"))
    assert different(tensors(last_checkpoint(run)), tensors(last_checkpoint(plain))) == []
