"""The network for inference computes the same function as the network in evaluation mode, with fewer calls."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from resatlas.arch.blueprint import Blueprint, Stem
from resatlas.arch.expand import expand
from resatlas.arch.ops import Shape
from resatlas.arch.residual import Ordering, Residual, ZeroPad, basic
from resatlas.arch.streams import Single
from resatlas.arch.widths import PerStage
from resatlas.inference import folding, fused
from resatlas.inference.fused import Precision
from resatlas.inference.network import for_inference
from resatlas.nets.network import Network, build
from tests.arch.strategies import blueprints, images
from tests.bench.test_operations import Counting

DESIGNS = (
    "resnet-8",
    "resnet-8-B",
    "resnet-8-A-sides",
    "resnet-11-bottleneck-C",
    "plain-8",
    "resnet-8-bn-after-add",
    "resnet-8-relu-before-add",
    "resnet-8-relu-only-preact",
    "resnet-8-shortcut-scale-0.5-0.5",
    "resnet-8-B-shortcut-exclusive-gate-b-6",
    "resnet-8-shortcut-shortcut-gate-b-6",
    "resnet-8-shortcut-dropout-0.5",
    "resnet-8-1-layer-skip",
    "preact-resnet-8-fb",
    "preact-resnet-11-bottleneck",
    "preact-resnet-8-B-projected",
    "wrn-10-2:dropout=0.3",
    "wrn-10-2-B131",
    "wrn-10-2-l1",
    "resnext-11-4x16d",
    "resnext-11-4x16d-form-a",
    "resnext-11-4x16d-form-b",
    "resnext-11-4x16d-noshortcut",
    "pyramidnet-8-a12",
    "pyramidnet-8-a12-projection",
    "pyramidnet-11-bottleneck-m4.75",
    "dmrnet-8",
    "dmrnet-8-k3-swap-sum",
    "dmrnet-8-projector-concat",
    "dmrnet-8-identity-separate",
    "fuse3-14",
    "dilnet-8",
    "se-resnet-8:reduction=4",
    "regnet:depth=3,variant=y,w0=8,wa=8,wm=2,group=8,setting=cifar",
    "eca-resnet:depth=8,base=4,setting=cifar",
    "res2net:depth=20,width=4,scale=4,setting=cifar,base=8",
    "shake-shake:depth=8,width=16,base=4",
    "resnet-18-B",
    "resnet-18-d:base=8",
)
SMALL = Shape(3, 40, 40)
PADDED = "a padded convolution"


def trained(network: Network) -> Network:
    """A network in evaluation mode whose norms have random weights and statistics, as after a training."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.get_buffer("running_mean").normal_(generator=generator)
                module.get_buffer("running_var").uniform_(0.5, 2, generator=generator)
                module.weight.uniform_(0.5, 1.5, generator=generator).mul_(
                    torch.tensor([1.0, -1.0]).repeat(4096)[: len(module.weight)]
                )
                module.bias.normal_(generator=generator)
    return network.eval()


def pictures(image: Shape, count: int = 2) -> Tensor:
    """Random images."""
    return torch.randn(count, *image, generator=torch.Generator().manual_seed(5))


def difference(network: Network, precision: Precision, batch: Tensor) -> float:
    """The largest difference of the logits, as a share of the largest logit."""
    batch = batch.double() if precision == "fp64" else batch
    network = network.double() if precision == "fp64" else network.float()
    with torch.no_grad():
        expected = network(batch)
    return float((for_inference(network, precision=precision)(batch) - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("design", DESIGNS)
def test_the_logits_are_the_networks(design: str) -> None:
    """They agree up to rounding in float64 and to 1e-4 in float32, for all kinds of units."""
    network = trained(build(design, image=SMALL, classes=5, seed=0))
    assert difference(network, "fp64", pictures(SMALL)) < 1e-10
    assert difference(network, "fp32", pictures(SMALL)) < 1e-4


@given(blueprint=blueprints(most_units=2), image=images(), classes=st.integers(0, 5))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_any_blueprint_keeps_its_function(blueprint: Blueprint, image: Shape, classes: int) -> None:
    """Random blueprints give the same logits after folding, in float64 and in float32."""
    network = trained(build(expand(blueprint, image=image, classes=classes), seed=1))
    assert difference(network, "fp64", pictures(image)) < 1e-10
    assert difference(network, "fp32", pictures(image)) < 1e-3


def test_a_norm_before_a_padded_convolution_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first norm of a pyramidal unit is not folded, and is listed; folding it would change the borders."""
    network = trained(build("pyramidnet-8-a12", classes=5, seed=0))
    unfolded = dict(for_inference(network).unfolded)
    assert {path: reason for path, reason in unfolded.items() if "first" in path} == {
        f"stages.{s}.0.first.norm": f"after a sum that the shortcut reads, too, before {PADDED}" for s in range(3)
    }
    monkeypatch.setattr(folding, "unpadded", bool)  # always true
    assert difference(network, "fp64", pictures(SMALL)) > 1e-3


@pytest.mark.parametrize(
    ("design", "unfolded"),
    [
        ("resnet-8", {}),
        ("dmrnet-8", {}),
        ("resnext-11-4x16d-form-a", {}),
        ("resnext-11-4x16d-form-b", {}),
        ("pyramidnet-11-bottleneck-m4.75", {"head.norm": "after the last unit, before a relu"}),
        (
            "preact-resnet-14",
            {
                "stages.0.1.first.norm": "after a sum that the shortcut reads, too, before a relu",
                "stages.1.0.first.norm": "after a sum that the shortcut reads, too, before a relu",
                "stages.1.1.first.norm": "after a sum that the shortcut reads, too, before a relu",
                "stages.2.0.first.norm": "after a sum that the shortcut reads, too, before a relu",
                "stages.2.1.first.norm": "after a sum that the shortcut reads, too, before a relu",
                "head.norm": "after the last unit, before a relu",
            },
        ),
        (
            "resnet-8-bn-after-add",
            {f"stages.{s}.0.after_sum.norm": "after a sum with the shortcut, before a relu" for s in range(3)},
        ),
    ],
)
def test_unfolded_norms_are_listed(design: str, unfolded: dict[str, str]) -> None:
    """Each unfolded norm is listed with its neighbours; post-activated networks have none."""
    assert dict(for_inference(build(design, seed=0).eval()).unfolded) == unfolded


@pytest.mark.parametrize("design", ["resnet-8", "pyramidnet-8-a12", "dmrnet-8", "preact-resnet-8"])
def test_images_and_network_do_not_change(design: str) -> None:
    """Neither changes, and a second pass gives equal logits."""
    network = trained(build(design, classes=5, seed=0))
    before = {path: tensor.clone() for path, tensor in network.state_dict().items()}
    batch = pictures(network.plan.image).contiguous(memory_format=torch.channels_last)
    copy = batch.clone()
    folded = for_inference(network)
    assert torch.equal(folded(batch), folded(batch))
    assert torch.equal(batch, copy)
    assert all(torch.equal(before[path], tensor) for path, tensor in network.state_dict().items())


def test_it_copies_the_weights_and_takes_any_image() -> None:
    """Later changes of the network have no effect, and images and batches can have other sizes."""
    network = trained(build("resnet-8", classes=5, seed=0))
    folded, batch = for_inference(network), pictures(Shape(3, 48, 56), 3)
    with torch.no_grad():
        expected = network(batch)
        torch.testing.assert_close(folded(batch), expected, rtol=1e-4, atol=1e-4)
        next(network.parameters()).zero_()
    torch.testing.assert_close(folded(batch), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("design", ["resnet-8", "pyramidnet-8-a12", "wrn-10-2"])
def test_bfloat16_is_that_of_the_network(design: str) -> None:
    """Its logits are at least as close to float32 as those of the network in bfloat16."""
    network = build(design, classes=5, image=SMALL, seed=0).eval()
    batch = pictures(SMALL, 8)
    with torch.no_grad():
        exact = network(batch)
        folded = for_inference(network, precision="bf16")(batch)
        plain = network.bfloat16()(batch.bfloat16())
    assert folded.dtype == torch.float32
    assert (folded - exact).norm() < 1.5 * (plain - exact).norm() + 1e-3 * exact.norm()
    assert (folded - exact).norm() > 0


def test_the_fast_kernels_are_in_use() -> None:
    """If torch has oneDNN, float32 on a CPU uses it, and float64 does not."""
    network = build("resnet-8", seed=0)
    assert for_inference(network, precision="fp64").target.kernels == "torch"
    assert (for_inference(network).target.kernels == "oneDNN") == torch.backends.mkldnn.is_available()


@pytest.mark.parametrize("design", ["resnet-8-B", "wrn-10-2", "dmrnet-8", "pyramidnet-8-a12"])
def test_without_the_fast_kernels_torch_is_used(design: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The logits are the same without oneDNN or its operations, in float32 and, roughly, in bfloat16."""
    monkeypatch.setattr(fused, "_REQUIRED_OPS", ("no_such_call",))
    network = trained(build(design, image=SMALL, classes=5, seed=0))
    assert for_inference(network).target.kernels == for_inference(network, precision="bf16").target.kernels == "torch"
    assert difference(network, "fp32", pictures(SMALL)) < 1e-4
    assert 0 < difference(network, "bf16", pictures(SMALL)) < 0.2


def test_a_shortcut_that_is_a_view_is_not_overwritten() -> None:
    """A unit of one convolution and a subsampling shortcut: both read the same maps, and neither overwrites them."""
    blueprint = Blueprint(
        stem=Stem(width=16),
        units=(1, 1),
        widths=PerStage((16, 16)),
        residual=Residual(convs=basic((3,)), order=Ordering(), shortcut=ZeroPad()),
        streams=Single(),
    )
    network = trained(build(expand(blueprint, image=SMALL, classes=5), seed=0))
    assert difference(network, "fp32", pictures(SMALL)) < 1e-5


CONVOLUTION = "mkldnn._convolution_pointwise.default"
IN_PLACE = "mkldnn._convolution_pointwise_.binary"
ENDS = {"aten.to.dtype": 2, "aten.mean.dim": 1, "aten.linear.default": 1}
"""The calls for the image, the pool, the classifier and the logits."""


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="the calls are those of oneDNN")
@pytest.mark.parametrize(
    ("design", "expected"),
    [
        ("resnet-8-B", {CONVOLUTION: 6, IN_PLACE: 3}),
        ("dmrnet-8", {CONVOLUTION: 11, "mkldnn._convolution_pointwise.binary": 3, IN_PLACE: 3, "aten.lerp.Scalar": 3}),
        (
            "preact-resnet-8-B",
            {CONVOLUTION: 6, IN_PLACE: 3, "aten.addcmul.default": 3, "aten.relu_.default": 3},
        ),
    ],
)
def test_there_is_one_call_per_convolution(design: str, expected: dict[str, int]) -> None:
    """One call for each convolution with what follows it, and for each unfolded norm; guards the speed."""
    folded, batch = for_inference(build(design, seed=0)), pictures(Shape(3, 32, 32))
    with Counting() as counted:
        folded(batch)
    assert dict(counted.calls) == {**expected, **ENDS}
