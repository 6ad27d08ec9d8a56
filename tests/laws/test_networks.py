"""Laws that tie one network to another."""

import re
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

from resatlas.designs.catalog import plan
from resatlas.nets.network import Network, build


def test_one_stream_of_merge_and_run_is_a_resnet() -> None:
    """DMRNet with K = 1 and ResNet with option B, built separately, are one function of the same weights."""
    merged = build("dmrnet:depth=14,streams=1", seed=1).double().train()
    resnet = build("resnet-14-B", seed=2).double().train()
    _set_eps(resnet, 2e-5)
    resnet.load_state_dict({path.replace(".streams.0", ""): w for path, w in merged.state_dict().items()})
    images = _images(merged)
    torch.testing.assert_close(merged(images), resnet(images), rtol=1e-12, atol=1e-12)


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
    assert torch.equal(unit((x,))[0], x)


def test_the_three_forms_of_resnext_are_one_function_in_training_mode() -> None:
    """(a) = (b) = (c) with weights stacked along outputs, groups and inputs; outputs and running means agree."""
    knobs = "depth=11,cardinality=4,width=16,base=16"
    grouped = build(f"resnext:{knobs}", seed=1).double().train()
    summed = build(f"resnext:{knobs},form=a", seed=2).double().train()
    joined = build(f"resnext:{knobs},form=b", seed=3).double().train()
    summed.load_state_dict(_as_form_a(grouped.state_dict(), 4))
    joined.load_state_dict(_as_form_b(grouped.state_dict(), 4))
    images = _images(grouped)
    expected = grouped(images)
    torch.testing.assert_close(summed(images), expected, rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(joined(images), expected, rtol=1e-11, atol=1e-11)


def test_norms_before_the_sum_make_another_function() -> None:
    """Normalising each path of form (a) alone, in place of their sum, changes the output by far more than rounding."""
    knobs = "depth=11,cardinality=4,width=16,base=16"
    grouped = build(f"resnext:{knobs}", seed=1).double().train()
    summed = build(f"resnext:{knobs},form=a", seed=2).double().train()
    summed.load_state_dict(_as_form_a(grouped.state_dict(), 4))
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
    build("plain-20").load_state_dict(build("resnet-20").state_dict())


def test_zero_padded_channels_come_last() -> None:
    """Zero-padding, then cropping, is the identity."""
    shortcut = dict(build(plan("resnet-20")).named_modules())["stages.1.0.shortcut"]
    x = torch.randn(2, 16, 8, 8)
    padded = shortcut(x)
    assert torch.equal(padded[:, :16], x[:, :, ::2, ::2])
    assert not padded[:, 16:].any()


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


def _as_form_a(weights: Mapping[str, Tensor], paths: int) -> dict[str, Tensor]:
    """Weights of form (c) for form (a): W1 split by outputs, W2 by groups, W3 by inputs, the last norm moved."""
    found = {}
    for path, weight in weights.items():
        at = re.fullmatch(r"(stages\.\d+\.\d+)\.body\.(conv|norm)(\d)\.(\w+)", path)
        if at is None:
            found[path] = weight
        elif at[2] == "norm" and at[3] == "3":
            found[f"{at[1]}.merged.norm.{at[4]}"] = weight
        else:
            parts = _split(weight, paths, along=1 if at[2] == "conv" and at[3] == "3" else 0)
            found.update({f"{at[1]}.bodies.{k}.{at[2]}{at[3]}.{at[4]}": part for k, part in enumerate(parts)})
    return found


def _as_form_b(weights: Mapping[str, Tensor], paths: int) -> dict[str, Tensor]:
    """Weights of form (c) for form (b): as (a), the last convolution whole behind the concatenation."""
    found = {}
    for path, weight in weights.items():
        at = re.fullmatch(r"(stages\.\d+\.\d+)\.body\.(conv|norm)(\d)\.(\w+)", path)
        if at is None:
            found[path] = weight
        elif at[3] == "3":
            found[f"{at[1]}.merged.{at[2]}.{at[4]}"] = weight
        else:
            parts = _split(weight, paths, along=0)
            found.update({f"{at[1]}.bodies.{k}.{at[2]}{at[3]}.{at[4]}": part for k, part in enumerate(parts)})
    return found


def _split(weight: Tensor, paths: int, *, along: int) -> tuple[Tensor, ...]:
    return weight.chunk(paths, along) if weight.dim() else (weight,) * paths
