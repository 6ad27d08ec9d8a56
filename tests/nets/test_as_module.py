"""A network in other people's hands: hooks, tracers and tools that cut it apart see tensors, all streams of them."""

import json
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import resatlas
from resatlas.nets.recomputing import Kept
from tests.nets.small import ONE_STREAM, STREAMS, at, images, small, streams_behind, watched


@pytest.mark.parametrize("design", [*ONE_STREAM, *STREAMS])
def test_the_children_in_a_row_are_the_network(design: str) -> None:
    """What fastai's create_body and torchvision's IntermediateLayerGetter do: call one child after another."""
    network, some = small(design), images()
    children = list(network.children())
    assert nn.Sequential(*children)(some).equal(network(some))
    body = nn.Sequential(*children[:-1])
    assert body(some).equal(network.forward_features(some))


@pytest.mark.parametrize("design", [*ONE_STREAM, *STREAMS])
def test_hooks_on_stages_and_units_fire_and_see_all_streams(design: str) -> None:
    """One tensor in and one out, the whole of the maps; the logits stay what they were, and gradients pass."""
    network, some = small(design), images()
    expected, behind = network(some), [streams_behind(network, stage) for stage in range(2)]
    stage, unit, stages = (watched(at(network, path)) for path in ("stages.1", "stages.1.0", "stages"))
    assert network(some).equal(expected)
    assert stage[0][1].equal(behind[1])
    assert unit[0][0].equal(behind[0])
    assert stages[0][1].equal(network.forward_features(some))


@pytest.mark.parametrize("kept", ["units", "segments"])
@pytest.mark.parametrize("design", ["resnet:depth=14,base=4", "dmrnet:depth=14,base=4"])
def test_hooks_fire_where_maps_are_computed_again(design: str, kept: Kept) -> None:
    """A training that keeps fewer maps calls the same modules."""
    network = small(design).train()
    network.kept = kept
    seen = [watched(at(network, path)) for path in ("stages.1", "stages.1.0")]
    network(images()).sum().backward()
    assert {each[0][1].shape for each in seen} == {network.features(images())["stages.1"].shape}


@pytest.mark.parametrize("design", [*ONE_STREAM, *STREAMS])
@pytest.mark.parametrize("target", ["stages.2", "stages.1.0"])
def test_grad_cam_of_a_stage_or_a_unit(design: str, target: str) -> None:
    """As pytorch-grad-cam and captum do: keep a module's output in a hook, and the gradient that reaches it."""
    network, gradients = small(design), list[Tensor]()

    def keep(_module: nn.Module, _given: object, out: Tensor) -> None:
        out.register_hook(gradients.append)

    seen = watched(at(network, target))
    at(network, target).register_forward_hook(keep)
    some = images().requires_grad_()
    network(some)[:, 1].sum().backward()
    [(_, maps)], [gradient] = seen, gradients
    assert gradient.shape == maps.shape
    assert F.relu((gradient.mean(dim=(2, 3), keepdim=True) * maps).sum(dim=1)).any()
    assert some.grad is not None
    assert some.grad.any()


def test_a_backward_hook_sees_the_gradient_of_a_unit_of_streams() -> None:
    """As captum's DeepLift registers it: the gradient of all streams, as one tensor."""
    network, seen = small("dmrnet:depth=14,base=4"), list[tuple[int, ...]]()

    def keep(_module: nn.Module, _given: object, out: tuple[Tensor, ...]) -> None:
        seen.append(tuple(out[0].shape))

    at(network, "stages.1.0").register_full_backward_hook(keep)
    network(images()).sum().backward()
    assert seen == [(2, 16, 8, 8)]


@pytest.mark.parametrize("design", [*ONE_STREAM, *STREAMS])
def test_features_are_the_maps_behind_every_stage(design: str) -> None:
    """By path, all streams side by side; the last are those that the head takes."""
    network, some = small(design), images()
    found = network.features(some)
    assert next(iter(found)) in ("stem", "stems")
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
        seen = watched(at(network, "stages.1.0"))
        network(some)
        found[f"{design}: unit"] = given["stages.1.0"].equal(seen[0][1])
        found[f"{design}: stages"] = given["stages"].equal(expected["stages.2"])
        found[f"{design}: whole"] = torch.fx.symbolic_trace(small(design))(some).equal(network(some))
        getter = IntermediateLayerGetter(small(design), {"stages": "x"})
        found[f"{design}: getter"] = getter(some)["x"].equal(expected["stages.2"])
        program = torch.export.export(resatlas.for_inference(small(design), kernels="torch"), (some,))
        found[f"{design}: exported"] = program.module()(some).allclose(network(some), rtol=1e-4, atol=1e-4)
    return found


@pytest.mark.parametrize("what", ["stage", "unit", "stages", "whole", "getter", "exported"])
@pytest.mark.parametrize("design", [*ONE_STREAM, *STREAMS])
def test_torchvisions_extractors_give_all_streams(traced: dict[str, Any], design: str, what: str) -> None:
    """Of a merge-and-run network not the first stream alone; and whoever traces the whole gets the same logits."""
    assert traced[f"{design}: {what}"]


if __name__ == "__main__":
    print(json.dumps(trace()))
