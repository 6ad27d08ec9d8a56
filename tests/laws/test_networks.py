"""Laws that tie one network to another."""

import re
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from resatlas.arch.cost import cost
from resatlas.arch.residual import Absent
from resatlas.designs.catalog import resolve
from resatlas.designs.resnext import FORMS, Form
from resatlas.errors import CheckpointError
from resatlas.nets.forms import convert_form
from resatlas.nets.network import Network, build


def test_one_stream_of_merge_and_run_is_a_resnet() -> None:
    """DMRNet with K = 1 and ResNet with option B, built separately, are one function of the same weights."""
    merged = build("dmrnet:depth=14,streams=1", seed=1).double().train()
    resnet = build("resnet-14-B", seed=2).double().train()
    _set_eps(resnet, 2e-5)
    resnet.load_state_dict({path.replace(".streams.0", ""): w for path, w in merged.state_dict().items()})
    images = _images(merged)
    torch.testing.assert_close(merged(images), resnet(images), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("knobs", "classes"), [("join=concat", 0), ("ends=separate", 7)])
def test_streams_that_never_meet_are_resnets_side_by_side(knobs: str, classes: int) -> None:
    """With skip identity, features side by side are those of K ResNets; with own ends, logits are their mean."""
    streams = build(f"dmrnet:depth=14,base=4,streams=3,skip=identity,{knobs}", classes=classes, seed=1).double()
    images = _images(streams)
    found = []
    for k in range(3):
        resnet = build("resnet-14-B:base=4", classes=classes, seed=0).double()
        _set_eps(resnet, 2e-5)
        own = {_of_stream(path, k): each for path, each in streams.state_dict().items()}
        resnet.load_state_dict({path: own[path] for path in resnet.state_dict()})
        found.append(resnet(images))
    expected = torch.stack(found).mean(dim=0) if classes else torch.cat(found, dim=1)
    torch.testing.assert_close(streams(images), expected, rtol=1e-12, atol=1e-12)


def test_merging_twice_is_merging_once() -> None:
    """With silent bodies and images >= 0, a second merge-and-run unit changes nothing: M² = M, also behind relu."""
    network = build("dmrnet:depth=14,streams=3,join=concat", seed=1).double().eval()
    _silence_bodies(network)
    modules = dict(network.named_modules())
    first, second = modules["stages.0.0"], modules["stages.0.1"]
    streams = tuple(torch.rand(2, 16, 8, 8, dtype=torch.float64) for _ in range(3))
    once = first(streams)
    twice = second(once)
    mean = sum(streams[1:], streams[0]) / 3
    for one, two in zip(once, twice, strict=True):
        torch.testing.assert_close(one, mean)
        torch.testing.assert_close(two, one)


def test_a_zero_last_norm_leaves_the_shortcut() -> None:
    """Where the last norm scales by zero, a post-activation unit is relu(shortcut), here x itself for x >= 0."""
    network = build("resnet-20", seed=1).eval()
    _silence_bodies(network)
    unit = dict(network.named_modules())["stages.0.1"]
    x = torch.rand(2, 16, 8, 8)
    assert torch.equal(unit(x), x)


def test_the_three_forms_of_resnext_are_one_function_in_training_mode() -> None:
    """(a) = (b) = (c) with weights stacked along outputs, groups and inputs: outputs, gradients, running statistics."""
    knobs = "depth=11,cardinality=4,width=16,base=16"
    grouped = build(f"resnext:{knobs}", seed=1).double().train()
    images = _images(grouped)
    gradients = {}
    for form in FORMS:
        network = build(f"resnext:{knobs},form={form}", seed=2).double().train()
        network.load_state_dict(convert_form(grouped.state_dict(), to=form))
        logits = network(images)
        learnt = torch.autograd.grad(logits.square().sum(), list(network.parameters()))
        moved = dict(zip(dict(network.named_parameters()), learnt, strict=True))
        gradients[form] = logits, convert_form(moved, to="c"), convert_form(network.state_dict(), to="c")
    for form in FORMS[:2]:
        torch.testing.assert_close(gradients[form], gradients["c"], rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("cardinality", [1, 4])
@pytest.mark.parametrize("form", FORMS)
def test_forms_of_weights_come_back(form: Form, cardinality: int) -> None:
    """To another form and back, every weight is the same under the same path."""
    network = build(f"resnext:depth=11,cardinality={cardinality},width=16,base=16,form={form}", seed=1)
    weights = dict(network.state_dict())
    for other in FORMS:
        back = convert_form(convert_form(weights, to=other), to=form)
        assert back.keys() == weights.keys()
        assert all(torch.equal(back[path], weights[path]) for path in weights)


def test_weights_without_bottlenecks_have_no_form() -> None:
    """A basic network is refused in words."""
    with pytest.raises(CheckpointError, match="not the weights of a ResNeXt"):
        convert_form(build("resnet:depth=8,base=4", seed=0).state_dict(), to="a")


def test_norms_before_the_sum_make_another_function() -> None:
    """Normalising each path of form (a) alone, in place of their sum, changes the output by far more than rounding."""
    knobs = "depth=11,cardinality=4,width=16,base=16"
    grouped = build(f"resnext:{knobs}", seed=1).double().train()
    summed = build(f"resnext:{knobs},form=a", seed=2).double().train()
    summed.load_state_dict(convert_form(grouped.state_dict(), to="a"))
    for path, width in ((path, unit.output.channels) for path, unit in summed.plan.units):
        for k in range(4):
            body = dict(summed.named_modules())[f"{path}.bodies.{k}"]
            body.add_module("norm3", nn.BatchNorm2d(width).double())
    images = _images(grouped)
    assert (summed(images) - grouped(images)).abs().max() > 0.01


@pytest.mark.parametrize("streams", [2, 3, 4])
def test_grouped_convolutions_are_streams(streams: int) -> None:
    """K separate convolutions are one grouped convolution of the streams side by side."""
    network = build(f"dmrnet:depth=8,streams={streams}", seed=1).double()
    modules = dict(network.named_modules())
    convs = [modules[f"stages.0.0.streams.{k}.body.conv1"] for k in range(streams)]
    inputs = [torch.randn(2, 16, 8, 8, dtype=torch.float64) for _ in range(streams)]
    together = nn.functional.conv2d(
        torch.cat(inputs, 1), torch.cat([next(conv.parameters()) for conv in convs]), padding=1, groups=streams
    )
    torch.testing.assert_close(together, torch.cat([c(x) for c, x in zip(convs, inputs, strict=True)], 1))


def test_a_plain_network_has_the_parameters_of_option_a() -> None:
    """Shortcuts by option A cost nothing: the plain twin takes the same weights under the same paths."""
    build("plain-20", seed=0).load_state_dict(build("resnet-20", seed=0).state_dict())


@pytest.mark.parametrize(("design", "kept"), [("resnet-20", slice(0, 16)), ("resnet-20-A-sides", slice(8, 24))])
def test_zero_padding_then_cropping_is_the_identity(design: str, kept: slice) -> None:
    """Zeros stand behind the channels of x, or half of them on either side, and nothing else changes."""
    shortcut = dict(build(design, seed=0).named_modules())["stages.1.0.shortcut"]
    x = torch.randn(2, 16, 8, 8)
    padded = shortcut(x)
    assert padded.shape == (2, 32, 4, 4)
    assert torch.equal(padded[:, kept], x[:, :, ::2, ::2])
    assert padded.count_nonzero() == padded[:, kept].count_nonzero()


@pytest.mark.parametrize(
    ("gate", "bias", "limit"),
    [
        ("exclusive", 1e4, "plain:depth=14,base=4"),
        ("shortcut", 1e4, "plain:depth=14,base=4"),
        ("shortcut", -1e4, "resnet:depth=14,base=4"),
    ],
)
def test_gates_end_in_networks_without_gates(gate: str, bias: float, limit: str) -> None:
    """A gate wide open shuts the shortcut; one that is closed leaves the shortcut-only network unmodified."""
    gated = _gated(gate, bias)
    other = build(limit, seed=0).double().train()
    other.load_state_dict({path: each for path, each in gated.state_dict().items() if ".gate." not in path})
    images = _images(gated)
    torch.testing.assert_close(gated(images), other(images), rtol=1e-12, atol=1e-12)


def test_a_closed_exclusive_gate_leaves_the_identity() -> None:
    """With g = 0 the body, whatever it gives, is shut out and x >= 0 comes through as it is."""
    unit = dict(_gated("exclusive", -1e4).named_modules())["stages.0.1"]
    x = torch.rand(2, 4, 8, 8, dtype=torch.float64)
    assert torch.equal(unit(x), x)


def test_factors_of_one_leave_the_unit_unmodified() -> None:
    """scale-1-1 is the very same blueprint, and factors of 1/2 halve what a unit gives."""
    assert resolve("resnet-20:modified=scale-1-1").blueprint == resolve("resnet-20").blueprint
    whole, halved = (build(f"resnet:depth=8,base=4{knob}", seed=1) for knob in ("", ",modified=scale-0.5-0.5"))
    x = torch.rand(2, 4, 8, 8)
    first, second = (network.get_submodule("stages.0.0")(x) for network in (whole, halved))
    torch.testing.assert_close(second, first / 2)


def test_a_dropped_shortcut_is_unmodified_when_tested() -> None:
    """Dropout on the shortcut moves no weight and changes the network in training alone."""
    plain, dropped = (build(f"resnet:depth=8,base=4{knob}", seed=1) for knob in ("", ",modified=dropout-0.5"))
    images = torch.randn(2, 3, 16, 16)
    assert torch.equal(plain.eval()(images), dropped.eval()(images))
    assert not torch.equal(plain.train()(images), dropped.train()(images))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("plain:depth=14,unit=single,base=4", "plain:depth=14,base=4"),
        ("fuse3-14:base=4", "resnet:depth=14,base=4,shortcut=B"),
        ("fuse6-26:base=4", "resnet:depth=26,base=4,shortcut=B"),
    ],
)
def test_without_shortcuts_it_does_not_matter_where_units_end(one: str, other: str) -> None:
    """Cut into units of one, two or many convolutions, a plain network is one function of its weights in order."""
    first, second = (_without_shortcuts(text) for text in (one, other))
    weights = first.state_dict()
    _set_eps(first, 1e-5)
    _set_eps(second, 1e-5)
    second.load_state_dict(dict(zip(second.state_dict(), weights.values(), strict=True)))
    images = _images(first)
    torch.testing.assert_close(first(images), second(images), rtol=1e-12, atol=1e-12)


def test_a_layer_a_skip_has_the_weights_and_twice_the_shortcuts() -> None:
    """A ResNet of 1-layer skips has the parameters of the usual one, in twice as many units."""
    usual, single = (resolve(text).plan() for text in ("resnet-20", "resnet-20-1-layer-skip"))
    assert cost(single) == cost(usual)
    assert [len(stage) for stage in single.stages] == [2 * len(stage) for stage in usual.stages] == [6, 6, 6]
    assert {len(stream.bodies[0]) for _, unit in single.units for stream in unit.streams} == {2}


def _of_stream(path: str, k: int) -> str:
    """The path of a weight of stream k in a network of that stream alone."""
    return re.sub(rf"^(stem|head)s\.{k}\.", r"\1.", path.replace(f".streams.{k}.", "."))


def _gated(gate: str, bias: float) -> Network:
    """A small network whose gates all have this bias."""
    network = build(f"resnet:depth=14,base=4,modified={gate}-gate-b0", seed=1).double().train()
    for path, parameter in network.named_parameters():
        if path.endswith("gate.conv.bias"):
            nn.init.constant_(parameter, bias)
    return network


def _without_shortcuts(text: str) -> Network:
    entry = resolve(text)
    bare = replace(entry.blueprint, residual=replace(entry.blueprint.residual, shortcut=Absent()))
    return build(replace(entry, blueprint=bare).plan(), seed=1).double().train()


def _images(network: Network) -> Tensor:
    return torch.randn(4, *network.plan.image, dtype=torch.float64, generator=torch.Generator().manual_seed(5))


def _set_eps(network: nn.Module, eps: float) -> None:
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = eps


def _silence_bodies(network: nn.Module) -> None:
    for path, module in network.named_modules():
        if isinstance(module, nn.BatchNorm2d) and path.endswith("body.norm2"):
            nn.init.zeros_(module.weight)
