"""The network of inference is the network in evaluation: the same function, shorter, and exact about what it folds."""

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
    "resnet-18-B",
)
SMALL = Shape(3, 40, 40)
MOVED = "a convolution whose padding it would move"


def trained(network: Network) -> Network:
    """A network in evaluation whose norms have left the start as a training lets them."""
    draw = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.get_buffer("running_mean").normal_(generator=draw)
                module.get_buffer("running_var").uniform_(0.5, 2, generator=draw)
                module.weight.uniform_(0.5, 1.5, generator=draw).mul_(
                    torch.tensor([1.0, -1.0]).repeat(4096)[: len(module.weight)]
                )
                module.bias.normal_(generator=draw)
    return network.eval()


def pictures(image: Shape, count: int = 2) -> Tensor:
    """Some images."""
    return torch.randn(count, *image, generator=torch.Generator().manual_seed(5))


def apart(network: Network, precision: Precision, some: Tensor) -> float:
    """The largest difference of the logits, as a share of the largest logit."""
    given = some.double() if precision == "fp64" else some
    network = network.double() if precision == "fp64" else network.float()
    with torch.no_grad():
        expected = network(given)
    return float((for_inference(network, precision=precision)(given) - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("design", DESIGNS)
def test_the_logits_are_the_networks(design: str) -> None:
    """In float64 to rounding and in float32 to 1e-4: every family, shortcut, order, gate, form, stream and join."""
    network = trained(build(design, image=SMALL, classes=5, seed=0))
    assert apart(network, "fp64", pictures(SMALL)) < 1e-10
    assert apart(network, "fp32", pictures(SMALL)) < 1e-4


@given(blueprint=blueprints(most_units=2), image=images(), classes=st.integers(0, 5))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_any_blueprint_keeps_its_function(blueprint: Blueprint, image: Shape, classes: int) -> None:
    """Whatever expands gives the same logits folded, in float64 and by the kernels of float32."""
    network = trained(build(expand(blueprint, image=image, classes=classes), seed=1))
    assert apart(network, "fp64", pictures(image)) < 1e-10
    assert apart(network, "fp32", pictures(image)) < 1e-3


def test_a_norm_before_a_padded_convolution_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first norm of a pyramid's unit is left and told; folded all the same, it would change the borders."""
    network = trained(build("pyramidnet-8-a12", classes=5, seed=0))
    left = dict(for_inference(network).unfolded)
    assert {path: reason for path, reason in left.items() if "first" in path} == {
        f"stages.{s}.0.first.norm": f"behind a sum that the shortcut reads too, before {MOVED}" for s in range(3)
    }
    monkeypatch.setattr(folding, "unpadded", bool)  # always true
    assert apart(network, "fp64", pictures(SMALL)) > 1e-3


@pytest.mark.parametrize(
    ("design", "left"),
    [
        ("resnet-8", {}),
        ("dmrnet-8", {}),
        ("resnext-11-4x16d-form-a", {}),
        ("resnext-11-4x16d-form-b", {}),
        ("pyramidnet-11-bottleneck-m4.75", {"head.norm": "behind the last unit, before a relu"}),
        (
            "preact-resnet-14",
            {
                "stages.0.1.first.norm": "behind a sum that the shortcut reads too, before a relu",
                "stages.1.0.first.norm": "behind a sum that the shortcut reads too, before a relu",
                "stages.1.1.first.norm": "behind a sum that the shortcut reads too, before a relu",
                "stages.2.0.first.norm": "behind a sum that the shortcut reads too, before a relu",
                "stages.2.1.first.norm": "behind a sum that the shortcut reads too, before a relu",
                "head.norm": "behind the last unit, before a relu",
            },
        ),
        (
            "resnet-8-bn-after-add",
            {f"stages.{s}.0.after_sum.norm": "behind a sum with the shortcut, before a relu" for s in range(3)},
        ),
    ],
)
def test_what_is_not_folded_is_told(design: str, left: dict[str, str]) -> None:
    """Each norm that is left, with its neighbours; none of a post-activated network or of a bottleneck pyramid."""
    assert dict(for_inference(build(design, seed=0).eval()).unfolded) == left


@pytest.mark.parametrize("design", ["resnet-8", "pyramidnet-8-a12", "dmrnet-8", "preact-resnet-8"])
def test_nothing_that_is_given_changes(design: str) -> None:
    """Images and network stay what they were, and a second pass gives the same to the bit."""
    network = trained(build(design, classes=5, seed=0))
    before = {path: each.clone() for path, each in network.state_dict().items()}
    some = pictures(network.plan.image).contiguous(memory_format=torch.channels_last)
    kept = some.clone()
    short = for_inference(network)
    assert torch.equal(short(some), short(some))
    assert torch.equal(some, kept)
    assert all(torch.equal(before[path], each) for path, each in network.state_dict().items())


def test_it_keeps_its_numbers_and_takes_any_image() -> None:
    """Later changes of the network do not reach it; images and batches of other sizes do."""
    network = trained(build("resnet-8", classes=5, seed=0))
    short, some = for_inference(network), pictures(Shape(3, 48, 56), 3)
    with torch.no_grad():
        expected = network(some)
        torch.testing.assert_close(short(some), expected, rtol=1e-4, atol=1e-4)
        next(network.parameters()).zero_()
    torch.testing.assert_close(short(some), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("design", ["resnet-8", "pyramidnet-8-a12", "wrn-10-2"])
def test_bfloat16_is_that_of_the_network(design: str) -> None:
    """Its logits are as far from float32's as those of the network in bfloat16, or nearer."""
    network = build(design, classes=5, image=SMALL, seed=0).eval()
    some = pictures(SMALL, 8)
    with torch.no_grad():
        exact = network(some)
        short = for_inference(network, precision="bf16")(some)
        plain = network.bfloat16()(some.bfloat16())
    assert short.dtype == torch.float32
    assert (short - exact).norm() < 1.5 * (plain - exact).norm() + 1e-3 * exact.norm()
    assert (short - exact).norm() > 0


def test_the_fast_kernels_are_in_use() -> None:
    """Where torch has oneDNN, float32 on a CPU goes through it, and float64 does not."""
    network = build("resnet-8", seed=0)
    assert for_inference(network, precision="fp64").place.kernels == "torch"
    assert (for_inference(network).place.kernels == "oneDNN") == torch.backends.mkldnn.is_available()


@pytest.mark.parametrize("design", ["resnet-8-B", "wrn-10-2", "dmrnet-8", "pyramidnet-8-a12"])
def test_without_the_fast_kernels_torchs_own_do(design: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same logits where torch lacks the calls or oneDNN, in float32 and, roughly, in bfloat16."""
    monkeypatch.setattr(fused, "_CALLED", ("no_such_call",))
    network = trained(build(design, image=SMALL, classes=5, seed=0))
    assert for_inference(network).place.kernels == for_inference(network, precision="bf16").place.kernels == "torch"
    assert apart(network, "fp32", pictures(SMALL)) < 1e-4
    assert 0 < apart(network, "bf16", pictures(SMALL)) < 0.2


def test_a_shortcut_that_is_a_view_is_read_as_it_was() -> None:
    """A unit of one convolution whose shortcut leaves out pixels: both read the same maps, and neither spoils them."""
    blueprint = Blueprint(
        stem=Stem(width=16),
        units=(1, 1),
        widths=PerStage((16, 16)),
        residual=Residual(convs=basic((3,)), order=Ordering(), shortcut=ZeroPad()),
        streams=Single(),
    )
    network = trained(build(expand(blueprint, image=SMALL, classes=5), seed=0))
    assert apart(network, "fp32", pictures(SMALL)) < 1e-5


CONVOLUTION = "mkldnn._convolution_pointwise.default"
ONTO = "mkldnn._convolution_pointwise_.binary"
FRAME = {"aten.to.dtype": 2, "aten.mean.dim": 1, "aten.linear.default": 1}
"""The image, the pool, the classifier and the logits."""


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="the calls are those of oneDNN")
@pytest.mark.parametrize(
    ("design", "expected"),
    [
        ("resnet-8-B", {CONVOLUTION: 6, ONTO: 3}),
        ("dmrnet-8", {CONVOLUTION: 11, "mkldnn._convolution_pointwise.binary": 3, ONTO: 3, "aten.lerp.Scalar": 3}),
        (
            "preact-resnet-8-B",
            {CONVOLUTION: 6, ONTO: 3, "aten.addcmul.default": 3, "aten.relu_.default": 3},
        ),
    ],
)
def test_nothing_is_called_beside_the_convolutions(design: str, expected: dict[str, int]) -> None:
    """A call for each convolution with what follows it, and one for each norm that stays: the hot path, guarded."""
    short, some = for_inference(build(design, seed=0)), pictures(Shape(3, 32, 32))
    with Counting() as counted:
        short(some)
    assert dict(counted.calls) == {**expected, **FRAME}
