"""Hooks, tracers and tools that take a network apart see one tensor with all streams."""

import json
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import resatlas
from resatlas.nets.peak import Kept
from tests.nets.small import ONE_STREAM, STREAMS, at, images, recorded, small, streams_after


@pytest.mark.parametrize("design", [*ONE_STREAM, *STREAMS])
def test_the_children_in_a_row_are_the_network(design: str) -> None:
    """Tools such as fastai's create_body and torchvision's IntermediateLayerGetter call one child after another."""
    network, batch = small(design), images()
    children = list(network.children())
    assert nn.Sequential(*children)(batch).equal(network(batch))
    body = nn.Sequential(*children[:-1])
    assert body(batch).equal(network.forward_features(batch))


@pytest.mark.parametrize("design", [*ONE_STREAM, *STREAMS])
def test_hooks_on_stages_and_units_fire_and_see_all_streams(design: str) -> None:
    """Input and output of each call are one tensor with all streams, and the logits do not change."""
    network, batch = small(design), images()
    expected, after = network(batch), [streams_after(network, stage) for stage in range(2)]
    stage, unit, stages = (recorded(at(network, path)) for path in ("stages.1", "stages.1.0", "stages"))
    assert network(batch).equal(expected)
    assert stage[0][1].equal(after[1])
    assert unit[0][0].equal(after[0])
    assert stages[0][1].equal(network.forward_features(batch))


@pytest.mark.parametrize("kept", ["units", "segments"])
@pytest.mark.parametrize("design", ["resnet:depth=14,base=4", "dmrnet:depth=14,base=4"])
def test_hooks_fire_where_maps_are_computed_again(design: str, kept: Kept) -> None:
    """A training that stores fewer maps calls the same modules."""
    network = small(design).train()
    network.kept = kept
    records = [recorded(at(network, path)) for path in ("stages.1", "stages.1.0")]
    network(images()).sum().backward()
    assert {calls[0][1].shape for calls in records} == {network.features(images())["stages.1"].shape}


@pytest.mark.parametrize("design", [*ONE_STREAM, *STREAMS])
@pytest.mark.parametrize("target", ["stages.2", "stages.1.0"])
def test_grad_cam_of_a_stage_or_a_unit(design: str, target: str) -> None:
    """A hook stores the output of a module and its gradient, as in pytorch-grad-cam and captum."""
    network, gradients = small(design), list[Tensor]()

    def keep(_module: nn.Module, _inputs: object, out: Tensor) -> None:
        out.register_hook(gradients.append)

    calls = recorded(at(network, target))
    at(network, target).register_forward_hook(keep)
    batch = images().requires_grad_()
    network(batch)[:, 1].sum().backward()
    [(_, maps)], [gradient] = calls, gradients
    assert gradient.shape == maps.shape
    assert F.relu((gradient.mean(dim=(2, 3), keepdim=True) * maps).sum(dim=1)).any()
    assert batch.grad is not None
    assert batch.grad.any()


def test_a_backward_hook_sees_the_gradient_of_a_unit_of_streams() -> None:
    """A full backward hook, as of captum's DeepLift, gets the gradient of all streams as one tensor."""
    network, seen = small("dmrnet:depth=14,base=4"), list[tuple[int, ...]]()

    def keep(_module: nn.Module, _inputs: object, out: tuple[Tensor, ...]) -> None:
        seen.append(tuple(out[0].shape))

    at(network, "stages.1.0").register_full_backward_hook(keep)
    network(images()).sum().backward()
    assert seen == [(2, 16, 8, 8)]


@pytest.mark.parametrize("design", [*ONE_STREAM, *STREAMS])
def test_features_are_the_outputs_of_every_stage(design: str) -> None:
    """They are given by path, with streams concatenated; the last have passed the head's norm and relu."""
    network, batch = small(design), images()
    features = network.features(batch)
    assert next(iter(features)) in ("stem", "stems")
    assert list(features)[1:] == ["stages.0", "stages.1", "stages.2"]
    for stage in range(2):
        assert features[f"stages.{stage}"].equal(streams_after(network, stage))
    maps = streams_after(network, 2)
    assert maps.equal(network.forward_features(batch))
    if network.plan.heads == 1 and network.plan.head[0].role == "norm":
        maps = at(network, "head.norm")(maps).relu()
    assert features["stages.2"].equal(maps)


# torch.fx cannot trace the shape checks that the tests install, so this runs in another process.


@pytest.fixture(scope="module")
def traced() -> dict[str, Any]:
    """The results of another process."""
    done = subprocess.run([sys.executable, "-m", __name__], capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def trace() -> dict[str, bool]:
    """Whether torchvision's extractors return all streams of a stage or a unit."""
    from torchvision.models._utils import IntermediateLayerGetter
    from torchvision.models.feature_extraction import create_feature_extractor

    results: dict[str, bool] = {}
    for design in (*ONE_STREAM, *STREAMS):
        network, batch = small(design), images()
        expected = network.features(batch)
        extracted = {
            path: create_feature_extractor(network, {path: "x"})(batch)["x"]
            for path in ("stages.1", "stages.1.0", "stages")
        }
        results[f"{design}: stage"] = extracted["stages.1"].equal(expected["stages.1"])
        calls = recorded(at(network, "stages.1.0"))
        network(batch)
        results[f"{design}: unit"] = extracted["stages.1.0"].equal(calls[0][1])
        results[f"{design}: stages"] = extracted["stages"].equal(network.forward_features(batch))
        results[f"{design}: whole"] = torch.fx.symbolic_trace(small(design))(batch).equal(network(batch))
        getter = IntermediateLayerGetter(small(design), {"stages": "x"})
        results[f"{design}: getter"] = getter(batch)["x"].equal(network.forward_features(batch))
        program = torch.export.export(resatlas.for_inference(small(design), kernels="torch"), (batch,))
        results[f"{design}: exported"] = program.module()(batch).allclose(network(batch), rtol=1e-4, atol=1e-4)
    return results


@pytest.mark.parametrize("what", ["stage", "unit", "stages", "whole", "getter", "exported"])
@pytest.mark.parametrize("design", [*ONE_STREAM, *STREAMS])
def test_torchvisions_extractors_return_all_streams(traced: dict[str, Any], design: str, what: str) -> None:
    """Not only the first stream; a trace of the whole network gives the same logits."""
    assert traced[f"{design}: {what}"]


if __name__ == "__main__":
    print(json.dumps(trace()))
