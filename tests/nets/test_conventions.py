"""Conventions of timm, fastai, accelerate and FSDP2, and initial weights."""

import os
import subprocess
import sys

import pytest
import torch
from torch import Tensor, nn

from resatlas.arch.expand import with_classes
from resatlas.arch.ops import Shape
from resatlas.designs.catalog import resolve
from resatlas.errors import WidthError
from resatlas.nets.network import build
from tests.nets.small import ONE_STREAM, SMALL, STREAMS, images, small

NAMES = (
    *ONE_STREAM,
    *STREAMS,
    "resnet-18",
    "resnet-50-v1.5",
    "pyramidnet-11-bottleneck-m4.75",
    "dmrnet:depth=14,streams=1",
)
"""Every kind of stem, head and stage."""


def test_torchs_seed_determines_the_initial_weights() -> None:
    """The same seed gives the same weights, another seed gives others."""
    starts: list[Tensor] = []
    for seed in (1, 2, 1):
        torch.manual_seed(seed)
        starts.append(next(build("resnet:depth=8,base=4").parameters()).clone())
    assert starts[0].equal(starts[2])
    assert not starts[0].equal(starts[1])


def test_two_networks_in_a_row_differ() -> None:
    """They do, like two layers of torch."""
    torch.manual_seed(0)
    one, other = (next(build("resnet:depth=8,base=4").parameters()) for _ in range(2))
    assert not one.equal(other)


def test_a_seed_does_not_change_torchs_generator() -> None:
    """The seed gives the weights of torch.manual_seed, and the default generator does not change."""
    torch.manual_seed(3)
    theirs = build("resnet:depth=8,base=4").state_dict()
    before = torch.get_rng_state()
    ours = build("resnet:depth=8,base=4", seed=3).state_dict()
    assert torch.get_rng_state().equal(before)
    assert all(theirs[path].equal(ours[path]) for path in theirs)


@pytest.mark.parametrize("name", NAMES)
def test_timm_finds_the_first_and_last_layers_and_the_stages(name: str) -> None:
    """The modules that the settings name exist, with the channels in the settings."""
    network = build(name, device="meta")
    modules, settings = dict(network.named_modules()), network.pretrained_cfg
    for key, kind in (("first_conv", nn.Conv2d), ("classifier", nn.Linear)):
        for path in [settings[key]] if isinstance(settings[key], str) else settings[key]:
            assert isinstance(modules[path], kind)
    assert settings["input_size"] == tuple(network.plan.image)
    assert settings["num_classes"] == network.num_classes == network.plan.classes
    maps = network.eval().features(torch.empty(1, *network.plan.image, device="meta"))
    for stage, info in enumerate(network.feature_info):
        assert info["module"] in modules
        assert maps[f"stages.{stage}"].shape[1] == info["num_chs"]
    assert network.num_features == network.feature_info[-1]["num_chs"]


def test_timm_does_not_use_the_settings_of_imagenet() -> None:
    """Its settings for a network of small images are those of the plan, without a normalisation."""
    timm = pytest.importorskip("timm")
    settings = timm.data.resolve_model_data_config(build("resnet-20", image=Shape(1, 28, 28), device="meta"))
    assert (settings["input_size"], settings["mean"], settings["std"]) == ((1, 28, 28), (0.0,), (1.0,))
    assert (settings["crop_pct"], settings["interpolation"]) == (1.0, "bilinear")


@pytest.mark.parametrize("design", ["resnet:depth=8,base=4", "dmrnet:depth=14,base=4", "wrn-10-1", "pyramidnet-8-a12"])
def test_timm_lists_features(design: str) -> None:
    """Its FeatureListNet runs the stem and the stages one after another."""
    features = pytest.importorskip("timm.models._features")
    network, batch = small(design), images()
    listed = features.FeatureListNet(network, out_indices=(0, 1, 2), flatten_sequential=True)
    for maps, expected in zip(listed(batch), list(network.features(batch).values())[1:], strict=True):
        assert maps.equal(expected)


@pytest.mark.parametrize("design", [*ONE_STREAM, *STREAMS])
def test_the_halves_of_a_network_are_the_network(design: str) -> None:
    """forward_head(forward_features(x)) is the network; `pre_logits` gives the inputs of the classifier."""
    network, batch = small(design), images()
    maps = network.forward_features(batch)
    assert network.forward_head(maps).equal(network(batch))
    assert network.forward_head(maps, pre_logits=True).shape == (2, network.num_features)


def test_fastai_cuts_at_the_head() -> None:
    """It looks for the last child with a pool, by the name of its class."""
    children = list(small("resnet:depth=8,base=4").children())
    pools = [
        k for k, child in enumerate(children) if any("Pool2d" in type(module).__name__ for module in child.modules())
    ]
    assert pools[-1] == len(children) - 1


@pytest.mark.parametrize("name", NAMES)
def test_a_plan_with_other_classes_is_that_of_the_design(name: str) -> None:
    """It does not depend on the number of classes before, which may be 0."""
    entry = resolve(name)
    assert with_classes(entry.plan(), 7) == entry.plan(classes=7)
    assert with_classes(entry.plan(classes=0), 7) == entry.plan(classes=7)
    assert with_classes(entry.plan(), 0) == entry.plan(classes=0)


@pytest.mark.parametrize("design", ["resnet:depth=8,base=4", "dmrnet-8-identity-separate"])
def test_a_new_classifier_changes_the_plan(design: str) -> None:
    """The new classifier is initialised as in the design, other weights do not change, and 0 classes remove it."""
    network, batch = small(design).double(), images().double()
    others = {path: tensor.clone() for path, tensor in network.state_dict().items() if ".linear." not in path}
    for classes in (3, 0, 7):
        network.reset_classifier(classes, seed=4)
        assert network.checked_plan() == build(design, image=SMALL, classes=classes, device="meta").plan
        assert network(batch).shape == (2, classes or network.plan.head[-1].output.channels)
        assert all(network.state_dict()[path].equal(tensor) for path, tensor in others.items())
    weights = [head.get_parameter("linear.weight") for head in network.own_heads]
    assert all(weight.dtype == torch.float64 and 0 < weight.abs().max() <= 8**-0.5 for weight in weights)
    with pytest.raises(WidthError, match="1,000,000 classes; got -1"):
        network.reset_classifier(-1)


def test_get_classifier() -> None:
    """It returns one module; with several heads, a list of theirs; without a classifier, the identity."""
    assert small("resnet:depth=8,base=4").get_classifier() is not None
    several = small("dmrnet-8-identity-separate").get_classifier()
    assert [type(child) for child in several.children()] == [nn.Linear, nn.Linear]
    assert isinstance(small("resnet:depth=8,base=4", classes=0).get_classifier(), nn.Identity)


def test_a_network_is_built_on_torchs_default_device() -> None:
    """`with torch.device("meta")` has effect; the argument `device` takes precedence."""
    with torch.device("meta"):
        assert all(tensor.is_meta for tensor in build("resnet:depth=8,base=4").state_dict().values())
        own = build("resnet:depth=8,base=4", device="cpu")
        assert not any(tensor.is_meta for tensor in own.state_dict().values())
    assert not any(tensor.is_meta for tensor in build("resnet:depth=8,base=4").state_dict().values())


def test_accelerates_empty_weights_are_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its init_empty_weights moves every registered parameter to "meta"."""
    register = nn.Module.register_parameter

    def emptied(module: nn.Module, name: str, value: nn.Parameter | None) -> None:
        register(module, name, value)
        if value is not None:
            module._parameters[name] = nn.Parameter(value.to("meta"), requires_grad=value.requires_grad)

    monkeypatch.setattr(nn.Module, "register_parameter", emptied)
    assert all(parameter.is_meta for parameter in build("resnet:depth=8,base=4").parameters())


@pytest.mark.parametrize("design", ["resnet:depth=8,base=4", "dmrnet-8-projector-concat"])
def test_a_network_from_meta_has_the_usual_initial_weights(design: str) -> None:
    """`to_empty` and `reset_parameters` give the usual weights, statistics and projections."""
    network, own = build(design, device="meta").to_empty(device="cpu"), build(design, seed=3)
    network.reset_parameters(seed=3)
    assert all(tensor.equal(own.state_dict()[path]) for path, tensor in network.state_dict().items())
    torch.manual_seed(3)
    network.reset_parameters()
    assert all(tensor.equal(own.state_dict()[path]) for path, tensor in network.state_dict().items())


def test_a_sharded_network_from_meta_has_the_usual_initial_weights() -> None:
    """With FSDP2: shard on "meta", `to_empty`, `reset_parameters`; logits and gradients are the same."""
    code = f"import {__name__} as here; here.sharded()"
    alone = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0", "RANK": "0", "WORLD_SIZE": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
        env={**os.environ, **alone},
    )
    assert done.returncode == 0, done.stderr


def sharded() -> None:
    """The only process of a group of one."""
    from torch.distributed.fsdp import fully_shard
    from torch.distributed.tensor import DTensor

    mesh = torch.distributed.device_mesh.init_device_mesh("cpu", (1,))
    try:
        for design in ("resnet:depth=8,base=4", "dmrnet:depth=14,base=4"):
            network, own = build(design, image=SMALL, device="meta"), build(design, image=SMALL, seed=3)
            for module in (*(unit for stage in network.stages for unit in stage.children()), network):
                fully_shard(module, mesh=mesh)
            network.to_empty(device="cpu")
            network.reset_parameters(seed=3)
            assert network.checked_plan() == own.plan
            logits, expected = network(images()), own(images())
            assert logits.equal(expected)
            logits.sum().backward()
            expected.sum().backward()
            for ours, theirs in zip(network.parameters(), own.parameters(), strict=True):
                assert isinstance(ours.grad, DTensor)
                assert isinstance(ours, DTensor)
                assert ours.full_tensor().equal(theirs)
                torch.testing.assert_close(ours.grad.full_tensor(), theirs.grad)
    finally:
        torch.distributed.destroy_process_group()
