"""What timm, fastai, accelerate and FSDP2 look for in a network, and where its weights start."""

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


def test_torchs_seed_decides_where_a_network_starts() -> None:
    """Five seeds in a plain loop are five starts, the same seed is the same start."""
    starts: list[Tensor] = []
    for seed in (1, 2, 1):
        torch.manual_seed(seed)
        starts.append(next(build("resnet:depth=8,base=4").parameters()).clone())
    assert starts[0].equal(starts[2])
    assert not starts[0].equal(starts[1])


def test_two_networks_in_a_row_differ() -> None:
    """As two layers of torch do."""
    torch.manual_seed(0)
    one, other = (next(build("resnet:depth=8,base=4").parameters()) for _ in range(2))
    assert not one.equal(other)


def test_a_seed_of_ours_is_torchs_and_leaves_its_generator_alone() -> None:
    """The number means the same in both places, and whoever gives it disturbs nobody's draws."""
    torch.manual_seed(3)
    theirs = build("resnet:depth=8,base=4").state_dict()
    before = torch.get_rng_state()
    ours = build("resnet:depth=8,base=4", seed=3).state_dict()
    assert torch.get_rng_state().equal(before)
    assert all(theirs[path].equal(ours[path]) for path in theirs)


@pytest.mark.parametrize("name", NAMES)
def test_timm_finds_the_ends_and_the_stages(name: str) -> None:
    """The modules that the configuration names are there, with the channels and strides that it says."""
    network = build(name, device="meta")
    modules, told = dict(network.named_modules()), network.pretrained_cfg
    for key, kind in (("first_conv", nn.Conv2d), ("classifier", nn.Linear)):
        for path in [told[key]] if isinstance(told[key], str) else told[key]:
            assert isinstance(modules[path], kind)
    assert told["input_size"] == tuple(network.plan.image)
    assert told["num_classes"] == network.num_classes == network.plan.classes
    maps = network.eval().features(torch.empty(1, *network.plan.image, device="meta"))
    for info in network.feature_info:
        assert maps[info["module"]].shape[1] == info["num_chs"]
    assert network.num_features == network.feature_info[-1]["num_chs"]


def test_timm_is_not_told_of_imagenet() -> None:
    """Its settings for a network of small images are those of the plan, and no normalisation that nobody decided."""
    timm = pytest.importorskip("timm")
    told = timm.data.resolve_model_data_config(build("resnet-20", image=Shape(1, 28, 28), device="meta"))
    assert (told["input_size"], told["mean"], told["std"]) == ((1, 28, 28), (0.0,), (1.0,))
    assert (told["crop_pct"], told["interpolation"]) == (1.0, "bilinear")


@pytest.mark.parametrize("design", ["resnet:depth=8,base=4", "dmrnet:depth=14,base=4"])
def test_timm_lists_features(design: str) -> None:
    """Its FeatureListNet runs the stem and the stages one after another."""
    features = pytest.importorskip("timm.models._features")
    network, some = small(design), images()
    listed = features.FeatureListNet(network, out_indices=(0, 1, 2), flatten_sequential=True)
    for given, expected in zip(listed(some), list(network.features(some).values())[1:], strict=True):
        assert given.equal(expected)


@pytest.mark.parametrize("design", [*ONE_STREAM, *STREAMS])
def test_the_halves_of_a_network_are_the_network(design: str) -> None:
    """forward_head of forward_features; before the classifier stand its inputs."""
    network, some = small(design), images()
    maps = network.forward_features(some)
    assert network.forward_head(maps).equal(network(some))
    assert network.forward_head(maps, pre_logits=True).shape == (2, network.num_features)


def test_fastai_cuts_at_the_head() -> None:
    """It looks for the last child that holds a pool, by the name of its class."""
    children = list(small("resnet:depth=8,base=4").children())
    pools = [k for k, child in enumerate(children) if any("Pool2d" in type(each).__name__ for each in child.modules())]
    assert pools[-1] == len(children) - 1


@pytest.mark.parametrize("name", NAMES)
def test_a_plan_of_other_classes_is_the_designs(name: str) -> None:
    """Whatever it had before, a classifier among them or none."""
    entry = resolve(name)
    assert with_classes(entry.plan(), 7) == entry.plan(classes=7)
    assert with_classes(entry.plan(classes=0), 7) == entry.plan(classes=7)
    assert with_classes(entry.plan(), 0) == entry.plan(classes=0)


@pytest.mark.parametrize("design", ["resnet:depth=8,base=4", "dmrnet-8-identity-separate"])
def test_a_new_classifier_is_one_of_the_plan(design: str) -> None:
    """Drawn as a network of these classes draws it, all else untouched; 0 leave it out, and more bring it back."""
    network, some = small(design).double(), images().double()
    kept = {path: each.clone() for path, each in network.state_dict().items() if ".linear." not in path}
    for classes in (3, 0, 7):
        network.reset_classifier(classes, seed=4)
        assert network.described() == build(design, image=SMALL, classes=classes, device="meta").plan
        assert network(some).shape == (2, classes or network.plan.head[-1].output.channels)
        assert all(network.state_dict()[path].equal(each) for path, each in kept.items())
    weights = [each for head in network.own_heads for path, each in head.named_parameters() if path == "linear.weight"]
    assert all(each.dtype == torch.float64 and 0 < each.abs().max() <= 8**-0.5 for each in weights)
    with pytest.raises(WidthError, match="got -1"):
        network.reset_classifier(-1)


def test_the_classifier_is_what_a_tool_trains() -> None:
    """One module; of several heads all of theirs; the identity where there is none."""
    assert small("resnet:depth=8,base=4").get_classifier() is not None
    several = small("dmrnet-8-identity-separate").get_classifier()
    assert [type(each) for each in several.children()] == [nn.Linear, nn.Linear]
    assert isinstance(small("resnet:depth=8,base=4", classes=0).get_classifier(), nn.Identity)


def test_torchs_device_is_where_a_network_is() -> None:
    """`with torch.device("meta")` means it; a device that is asked for wins."""
    with torch.device("meta"):
        assert all(each.is_meta for each in build("resnet:depth=8,base=4").state_dict().values())
        assert not any(each.is_meta for each in build("resnet:depth=8,base=4", device="cpu").state_dict().values())
    assert not any(each.is_meta for each in build("resnet:depth=8,base=4").state_dict().values())


def test_accelerates_empty_weights_are_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its init_empty_weights lets every registered parameter go to "meta"."""
    register = nn.Module.register_parameter

    def emptied(module: nn.Module, name: str, value: nn.Parameter | None) -> None:
        register(module, name, value)
        if value is not None:
            module._parameters[name] = nn.Parameter(value.to("meta"), requires_grad=value.requires_grad)

    monkeypatch.setattr(nn.Module, "register_parameter", emptied)
    assert all(each.is_meta for each in build("resnet:depth=8,base=4").parameters())


@pytest.mark.parametrize("design", ["resnet:depth=8,base=4", "dmrnet-8-projector-concat"])
def test_a_network_from_meta_starts_as_any_other(design: str) -> None:
    """Memory first, then `reset_parameters`: weights, statistics and projections."""
    network, own = build(design, device="meta").to_empty(device="cpu"), build(design, seed=3)
    network.reset_parameters(seed=3)
    assert all(each.equal(own.state_dict()[path]) for path, each in network.state_dict().items())
    torch.manual_seed(3)
    network.reset_parameters()
    assert all(each.equal(own.state_dict()[path]) for path, each in network.state_dict().items())


def test_a_sharded_network_from_meta_starts_as_any_other() -> None:
    """FSDP2's way: shard what is on "meta", then memory, then `reset_parameters`; logits and gradients are the same."""
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
    """One process of one."""
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
            assert network.described() == own.plan
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
