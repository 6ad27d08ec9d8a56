"""A network in other people's hands: what tools of the ecosystem do with an nn.Module works, or is refused in words."""

import copy
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import prune

import resatlas
from resatlas.arch.expand import with_classes
from resatlas.arch.ops import Shape
from resatlas.designs.catalog import named
from resatlas.errors import DesignError, UsageError, WidthError
from resatlas.nets.initial import drawn
from resatlas.nets.network import Network, build
from resatlas.nets.recomputing import Kept
from resatlas.nets.streams import side_by_side

SMALL = Shape(3, 16, 16)
ONE_STREAM = ("resnet:depth=8,base=4", "wrn-10-1", "preact-resnet-8", "pyramidnet-8-a12", "resnext-11-4x16d-form-a")
STREAMS = ("dmrnet:depth=14,base=4", "dmrnet-8-k3-swap-sum", "dmrnet-8-projector-concat", "dmrnet-8-identity-separate")


def small(design: str, *, classes: int = 5) -> Network:
    """A network of small images, in evaluation."""
    return build(design, image=SMALL, classes=classes, seed=0).eval()


def images(count: int = 2) -> Tensor:
    """Some small images."""
    return torch.randn(count, *SMALL, generator=torch.Generator().manual_seed(1))


def streams_behind(network: Network, stage: int) -> Tensor:
    """All streams behind a stage, side by side, one unit after another from the images."""
    found = network.trace(images())
    path, unit = [(path, unit) for path, unit in network.plan.units if path.startswith(f"stages.{stage}.")][-1]
    names = [path] if unit.outcomes == 1 else [f"{path}.streams.{k}" for k in range(unit.outcomes)]
    return side_by_side(tuple(found[name] for name in names))


# Where the weights start


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


# Modules that take a tensor and give one


@pytest.mark.parametrize("design", (*ONE_STREAM, *STREAMS))
def test_the_children_in_a_row_are_the_network(design: str) -> None:
    """What fastai's create_body and torchvision's IntermediateLayerGetter do: call one child after another."""
    network, some = small(design), images()
    children = list(network.children())
    assert nn.Sequential(*children)(some).equal(network(some))
    body = nn.Sequential(*children[:-1])
    assert body(some).equal(network.forward_features(some))


@pytest.mark.parametrize("design", (*ONE_STREAM, *STREAMS))
def test_hooks_on_stages_and_units_fire_and_see_all_streams(design: str) -> None:
    """One tensor in and one out, the whole of the maps; the logits stay what they were, and gradients pass."""
    network, some = small(design), images()
    expected, seen = network(some), {}

    def keep(module: nn.Module, given: tuple[Tensor, ...], out: Tensor) -> None:
        seen[paths[module]] = (given[0], out)

    paths = {network.stages[1]: "stages.1", network.stages[1][0]: "stages.1.0", network.stages: "stages"}
    handles = [module.register_forward_hook(keep) for module in paths]
    assert network(some).equal(expected)
    for handle in handles:
        handle.remove()
    assert seen["stages.1"][1].equal(streams_behind(network, 1))
    assert seen["stages.1.0"][0].equal(streams_behind(network, 0))
    assert seen["stages"][1].equal(network.forward_features(some))


@pytest.mark.parametrize("kept", ["units", "segments"])
@pytest.mark.parametrize("design", ["resnet:depth=14,base=4", "dmrnet:depth=14,base=4"])
def test_hooks_fire_where_maps_are_computed_again(design: str, kept: Kept) -> None:
    """A training that keeps fewer maps calls the same modules."""
    network, seen = small(design).train(), []
    network.kept = kept
    for module in (network.stages[1], network.stages[1][0]):
        module.register_forward_hook(lambda _module, _given, out: seen.append(out.shape))
    network(images()).sum().backward()
    assert seen[:2] == [network.stages[1][0](network.stages[0](network.stem(images()))).shape] * 2


@pytest.mark.parametrize("design", (*ONE_STREAM, *STREAMS))
@pytest.mark.parametrize("target", ["stages.2", "stages.1.0"])
def test_grad_cam_of_a_stage_or_a_unit(design: str, target: str) -> None:
    """As pytorch-grad-cam and captum do: keep a module's output in a hook, and the gradient that reaches it."""
    network, held = small(design), {}

    def keep(_module: nn.Module, _given: object, out: Tensor) -> None:
        held["maps"] = out
        out.register_hook(lambda gradient: held.update(gradient=gradient))

    network.get_submodule(target).register_forward_hook(keep)
    some = images().requires_grad_()
    network(some)[:, 1].sum().backward()
    assert held["gradient"].shape == held["maps"].shape
    heat = F.relu((held["gradient"].mean(dim=(2, 3), keepdim=True) * held["maps"]).sum(dim=1))
    assert heat.any()
    assert some.grad is not None
    assert some.grad.any()


def test_a_backward_hook_sees_the_gradient_of_a_unit_of_streams() -> None:
    """As captum's DeepLift registers it: the gradient of all streams, as one tensor."""
    network, seen = small("dmrnet:depth=14,base=4"), []
    network.stages[1][0].register_full_backward_hook(lambda _module, _given, out: seen.append(out[0].shape))
    network(images()).sum().backward()
    assert seen == [(2, 16, 8, 8)]


@pytest.mark.parametrize("design", (*ONE_STREAM, *STREAMS))
def test_features_are_the_maps_behind_every_stage(design: str) -> None:
    """By path, all streams side by side; the last are those that the head takes."""
    network, some = small(design), images()
    found = network.features(some)
    assert list(found)[0] in ("stem", "stems")
    assert list(found)[1:] == ["stages.0", "stages.1", "stages.2"]
    for stage in range(3):
        assert found[f"stages.{stage}"].equal(streams_behind(network, stage))
    assert found["stages.2"].equal(network.forward_features(some))


# torch.fx traces without the shape checks of the tests, so in a process of its own.


@pytest.fixture(scope="module")
def traced() -> dict[str, Any]:
    """What a process found out."""
    done = subprocess.run([sys.executable, "-m", __name__], capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def trace() -> dict[str, bool]:
    """Whether torchvision's extractors give the maps of a stage or a unit, all streams of it."""
    from torchvision.models._utils import IntermediateLayerGetter
    from torchvision.models.feature_extraction import create_feature_extractor

    found: dict[str, bool] = {}
    for design in (*ONE_STREAM, *STREAMS):
        network, some = small(design), images()
        expected = network.features(some)
        given = {
            path: create_feature_extractor(network, {path: "x"})(some)["x"]
            for path in ("stages.1", "stages.1.0", "stages")
        }
        found[f"{design}: stage"] = given["stages.1"].equal(expected["stages.1"])
        held: list[Tensor] = []
        network.stages[1][0].register_forward_hook(lambda _module, _given, out, held=held: held.append(out))
        network(some)
        found[f"{design}: unit"] = given["stages.1.0"].equal(held[0])
        found[f"{design}: stages"] = given["stages"].equal(expected["stages.2"])
        found[f"{design}: whole"] = torch.fx.symbolic_trace(small(design))(some).equal(network(some))
        getter = IntermediateLayerGetter(small(design), {"stages": "x"})
        found[f"{design}: getter"] = getter(some)["x"].equal(expected["stages.2"])
        program = torch.export.export(resatlas.for_inference(small(design), kernels="torch"), (some,))
        found[f"{design}: exported"] = program.module()(some).allclose(network(some), rtol=1e-4, atol=1e-4)
    return found


@pytest.mark.parametrize("what", ["stage", "unit", "stages", "whole", "getter", "exported"])
@pytest.mark.parametrize("design", (*ONE_STREAM, *STREAMS))
def test_torchvisions_extractors_give_all_streams(traced: dict[str, Any], design: str, what: str) -> None:
    """Of a merge-and-run network not the first stream alone; and whoever traces the whole gets the same logits."""
    assert traced[f"{design}: {what}"]


# What timm and fastai look for


@pytest.mark.parametrize("name", named())
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


@pytest.mark.parametrize("design", (*ONE_STREAM, *STREAMS))
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


@pytest.mark.parametrize("name", named())
def test_a_plan_of_other_classes_is_the_designs(name: str) -> None:
    """Whatever it had before, a classifier among them or none."""
    entry = named()[name]
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
        assert network(some).shape == (2, classes or network.num_features)
        assert all(network.state_dict()[path].equal(each) for path, each in kept.items())
    weights = [each for head in network.own_heads for path, each in head.named_parameters() if path == "linear.weight"]
    assert all(each.dtype == torch.float64 and 0 < each.abs().max() <= 8**-0.5 for each in weights)
    with pytest.raises(WidthError, match="-1 is outside"):
        network.reset_classifier(-1)


def test_the_classifier_is_what_a_tool_trains() -> None:
    """One module; of several heads all of theirs; the identity where there is none."""
    assert small("resnet:depth=8,base=4").get_classifier() is not None
    several = small("dmrnet-8-identity-separate").get_classifier()
    assert [type(each) for each in several.children()] == [nn.Linear, nn.Linear]
    assert isinstance(small("resnet:depth=8,base=4", classes=0).get_classifier(), nn.Identity)


# The device "meta"


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


# A network that others have changed


def pruned(network: Network) -> None:
    """Torch's pruning: weight_orig, weight_mask, and a hook."""
    prune.l1_unstructured(network.stem.conv, "weight", amount=0.5)


def other_classifier(network: Network) -> None:
    """What everybody does for new classes."""
    network.head.linear = nn.Linear(16, 3)


def other_stride(network: Network) -> None:
    """The same weights, moved otherwise."""
    network.stages[1][0].body.conv1 = nn.Conv2d(4, 8, 3, stride=1, padding=1, bias=False)


def other_activation(network: Network) -> None:
    """A relu that is none."""
    network.stages[1][0].after_sum.relu = nn.GELU()


def subclassed(network: Network) -> None:
    """The same settings with other code, as quantisers and adapters have it."""

    class Noisy(nn.Conv2d):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) + 1

    network.stem.conv = Noisy(3, 4, 3, padding=1, bias=False)


def unit_left_out(network: Network) -> None:
    """A unit fewer."""
    network.stages[1][0] = nn.Identity()


CHANGES: dict[Callable[[Network], None], str] = {
    pruned: "it lacks the parameter stem.conv.weight|it has the parameter stem.conv.weight_orig",
    other_classifier: r"head.linear is Linear\(.*3.*\), in the plan .*; network.reset_classifier\(3\) changes both",
    other_stride: r"stages.1.0.body.conv1 is Conv2d\(.*stride=\(1, 1\).* in the plan .*stride=\(2, 2\)",
    other_activation: "stages.1.0.after_sum.relu is GELU",
    subclassed: "stem.conv is Noisy",
    unit_left_out: "stages.1.0 is Identity, in the plan Unit",
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_network_is_not_taken_for_its_plan(change: Callable[[Network], None], tmp_path: Any) -> None:
    """Neither counted nor saved, folded or exported as what it was."""
    network = small("resnet:depth=8,base=4")
    assert resatlas.cost(network) == resatlas.cost(network.plan)
    change(network)
    for use in (
        resatlas.cost,
        resatlas.for_inference,
        lambda network: resatlas.save_pretrained(network, tmp_path / "saved"),
        lambda network: resatlas.export_weights(network, target="resatlas"),
    ):
        with pytest.raises(DesignError, match=rf"the plan no longer describes this network: ({CHANGES[change]})"):
            use(network)
    assert not (tmp_path / "saved").exists()


def test_what_computes_the_same_is_described() -> None:
    """Values, momentum, relus in place, synchronised norms, and pruning that was made permanent."""
    network = small("resnet:depth=8,base=4")
    pruned(network)
    prune.remove(network.stem.conv, "weight")
    for module in network.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = True
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.3
    assert nn.SyncBatchNorm.convert_sync_batchnorm(network).described() == network.plan


# What for_inference gives


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp64"])
@pytest.mark.parametrize("design", ["resnet:depth=8,base=4", "preact-resnet-8", "dmrnet-8-k3-swap-sum"])
def test_a_folded_network_is_copied_and_pickled(design: str, precision: Any) -> None:
    """With the same logits to the bit, packed weights included."""
    short, some = resatlas.for_inference(small(design), precision=precision), images()
    for other in (copy.deepcopy(short), pickle.loads(pickle.dumps(short))):  # noqa: S301 - our own bytes
        assert other(some).equal(short(some))


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="the weights are packed for oneDNN")
def test_packed_weights_are_not_exported_and_say_so() -> None:
    """With what to do in their place."""
    short = resatlas.for_inference(small("resnet:depth=8,base=4"))
    with pytest.raises(UsageError, match=r'packed for oneDNN.*for_inference\(network, kernels="torch"\)'):
        torch.export.export(short, (images(),))


def test_only_a_network_with_a_plan_is_folded() -> None:
    """Anything else is refused by its name."""
    with pytest.raises(UsageError, match="takes a network of resatlas.build; a Sequential has no plan"):
        resatlas.for_inference(nn.Sequential())  # type: ignore[arg-type]


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
                assert ours.full_tensor().equal(theirs)
                torch.testing.assert_close(ours.grad.full_tensor(), theirs.grad)
    finally:
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    print(json.dumps(trace()))
