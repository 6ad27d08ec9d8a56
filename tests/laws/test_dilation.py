"""Dilation in place of strides: every s-th pixel of the dilated maps is that of the strided network."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

import resatlas
from resatlas.arch.cost import cost
from resatlas.arch.dilation import dilated
from resatlas.arch.ops import Convolution, Shape, SlidingMean
from resatlas.arch.paths import path_lengths
from resatlas.arch.plan import Plan, from_json, layers, to_json
from resatlas.arch.text import render
from resatlas.eject.table import unit_table
from resatlas.errors import DesignError
from resatlas.exporting.export_folder import write_export
from resatlas.exporting.page.checking import logits_of
from resatlas.exporting.page.program import program_of
from resatlas.exporting.targets import ExportOptions
from resatlas.inference.network import for_inference
from resatlas.nets.network import Network, build
from tests.exporting.subjects import IMAGE, needs, subject
from tests.inference.test_inference import trained

FAMILIES = (
    "resnet:depth=8,base=4",
    "resnet-8-A-sides:base=4",
    "resnet:depth=11,base=4,unit=bottleneck",
    "resnet:depth=11,base=4,unit=bottleneck,stride=3x3",
    "preact-resnet-8:base=4",
    "preact-resnet-11-bottleneck:base=4",
    "wrn-10-1:base=4",
    "wrn-10-1-B131:base=4",
    "resnext:depth=11,cardinality=2,base=16",
    "resnext-11-4x16d-form-a",
    "pyramidnet:depth=8,alpha=7,base=3",
    "pyramidnet-11-bottleneck-m4.75",
    "resnet-8-B-shortcut-exclusive-gate-b-6",
    "dmrnet:depth=8,base=4",
    "dmrnet-8-k3-swap-sum",
    "dmrnet-8-projector-concat",
    "dmrnet-8-identity-separate",
    "shake-shake:depth=8,width=16,base=4",
)

EVEN, ODD = Shape(3, 16, 16), Shape(3, 17, 13)


def strided_and_dilated(design: str, image: Shape, stage: int) -> tuple[Network, Network]:
    """A network with statistics of its norms, in float64, and the dilated one with the same weights."""
    strided = trained(build(design, image=image, classes=3, seed=0)).double()
    other = build(dilated(strided.plan, stage), seed=1).double().eval()
    other.load_state_dict(strided.state_dict())
    return strided, other


def noise(image: Shape) -> Tensor:
    """Two images."""
    return torch.randn(2, *image, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize("image", [EVEN, ODD], ids=str)
@pytest.mark.parametrize("stage", [1, 2])
@pytest.mark.parametrize("design", FAMILIES)
def test_every_second_pixel_is_that_of_the_strided_network(design: str, stage: int, image: Shape) -> None:
    """Behind one dilated stage every second one, behind two every fourth; and the weights are the same."""
    strided, other = strided_and_dilated(design, image, stage)
    batch = noise(image)
    maps, dense = strided.features(batch), other.features(batch)
    for level in range(3):
        step = 2 ** max(0, level - stage + 1)
        path = f"stages.{level}"
        torch.testing.assert_close(dense[path][:, :, ::step, ::step], maps[path], rtol=1e-12, atol=1e-12)
        assert dense[path].shape[2] == maps[f"stages.{min(level, stage - 1)}"].shape[2]


def test_slices_are_dilated_in_the_last_stage() -> None:
    """Their padded pool has no dilation, so behind a dilated stage it is refused."""
    design = "res2net:depth=20,width=2,scale=4,setting=cifar,base=4"
    strided, other = strided_and_dilated(design, ODD, 2)
    maps, dense = strided.features(noise(ODD)), other.features(noise(ODD))
    torch.testing.assert_close(dense["stages.2"][:, :, ::2, ::2], maps["stages.2"], rtol=1e-12, atol=1e-12)
    with pytest.raises(DesignError, match="dilation cannot spread the pixels of a pool of slices"):
        dilated(strided.plan, 1)


@pytest.mark.parametrize("design", FAMILIES)
def test_a_dilated_plan_is_a_plan(design: str) -> None:
    """Its shapes are those of the maps, its parameters and paths are the same, and it can be stored."""
    strided, other = strided_and_dilated(design, ODD, 1)
    plan = other.plan
    assert from_json(to_json(plan)) == plan != strided.plan
    assert cost(plan).parameters == cost(strided.plan).parameters
    assert cost(plan).multiply_adds > cost(strided.plan).multiply_adds
    assert path_lengths(plan) == path_lengths(strided.plan)
    assert other.checked_plan() == plan
    outputs = other.trace(noise(ODD))
    for path, layer in layers(plan):
        if layer.output.height > 1:
            assert tuple(outputs[path].shape[1:]) == layer.output, path
    assert [level.stride for level in resatlas.levels(plan)] == [1, 1, 1]


@pytest.mark.parametrize("design", FAMILIES)
def test_dilation_is_kept_by_folding_and_by_pages(design: str) -> None:
    """A network for inference and the operations of a page have its logits."""
    _, other = strided_and_dilated(design, ODD, 1)
    batch = noise(ODD)
    with torch.no_grad():
        expected = other(batch)
        torch.testing.assert_close(for_inference(other, precision="fp64")(batch), expected, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(logits_of(program_of(other), batch), expected, rtol=1e-9, atol=1e-9)
        single = for_inference(other.float(), precision="fp32")(batch.float())
        torch.testing.assert_close(single.double(), expected, rtol=1e-3, atol=1e-4)


@needs("onnx", "onnxscript", "onnxruntime")
@pytest.mark.parametrize("design", ["resnet:depth=8,base=4", "pyramidnet:depth=8,alpha=5,base=3"])
def test_onnx_has_dilation(design: str, tmp_path: Path) -> None:
    """The exported logits are those of the network."""
    plan = dilated(resatlas.plan(design, image=IMAGE, classes=4), 1)
    written = write_export(subject(plan), ExportOptions(), tmp_path / "out")
    assert written.parity.export <= written.parity.bound


def test_operations_behind_the_stride_are_dilated() -> None:
    """A bottleneck with the stride on its first 1x1 dilates its 3x3; with the stride on the 3x3, only later ones."""
    first = _dilations(dilated(resatlas.plan("resnet:depth=20,base=4,unit=bottleneck"), 1))
    later = _dilations(dilated(resatlas.plan("resnet:depth=20,base=4,unit=bottleneck,stride=3x3"), 1))
    assert first == {"stages.0": (1, 1), "stages.1": (2, 2), "stages.2": (4, 4)}
    assert later == {"stages.0": (1, 1), "stages.1": (1, 2), "stages.2": (2, 4)}


def _dilations(plan: Plan) -> dict[str, tuple[int, ...]]:
    """The dilation of the 3x3 convolution of each unit, by stage."""
    return {
        f"stages.{s}": tuple(
            layer.op.dilation
            for unit in stage
            for layer in unit.streams[0].bodies[0]
            if isinstance(layer.op, Convolution) and layer.op.kernel == 3
        )
        for s, stage in enumerate(plan.stages)
    }


def test_a_printed_plan_names_dilation() -> None:
    """As d2 behind a convolution or a mean."""
    text = render(dilated(resatlas.plan("pyramidnet:depth=8,alpha=7,base=3"), 1))
    assert "conv3d2:" in text
    assert "avgpool2d2" in text


def test_dilating_twice_is_dilating_once_from_the_first() -> None:
    """The stages can be dilated one after another, from the last on."""
    plan = resatlas.plan("pyramidnet:depth=8,alpha=7,base=3")
    assert dilated(dilated(plan, 2), 1) == dilated(plan, 1)


def test_the_mean_of_an_edge_is_that_of_the_pixels_inside() -> None:
    """As an average pool with windows beyond the edge; beyond it, a dilated mean has no zeros."""
    plan = dilated(resatlas.plan("pyramidnet:depth=8,alpha=7,base=3", image=ODD), 1)
    means = {layer.op for _, layer in layers(plan) if isinstance(layer.op, SlidingMean)}
    assert means == {SlidingMean(2), SlidingMean(2, 2)}
    path = next(path for path, layer in layers(plan) if layer.op == SlidingMean(2, 2))
    mean = build(plan).get_submodule(path)
    x = torch.arange(12.0).reshape(1, 1, 3, 4)
    assert mean(x).tolist() == [[[[5, 6, 6, 7], [5, 6, 6, 7], [9, 10, 10, 11]]]]


@pytest.mark.parametrize(("stage", "said"), [(0, "stages 1 to 2 "), (3, "stages 1 to 2 "), (-1, "got stage -1")])
def test_a_stage_that_has_no_stride_is_refused(stage: int, said: str) -> None:
    """The error names the stages that can be dilated."""
    with pytest.raises(DesignError, match=said):
        dilated(resatlas.plan("resnet-20"), stage)


def test_a_dilated_network_has_no_further_stride() -> None:
    """Nothing is left to replace."""
    plan = dilated(resatlas.plan("resnet-20"), 1)
    with pytest.raises(DesignError, match="no stride"):
        dilated(plan, 1)


@pytest.mark.parametrize("design", ["resnet-20", "pyramidnet-110-a48"])
def test_ejecting_refuses_dilation_and_names_the_formats(design: str) -> None:
    """A table of units has no column for it."""
    with pytest.raises(DesignError, match="export it to onnx"):
        unit_table(dilated(resatlas.plan(design), 1))
