"""Recomputation: bit-equal gradients and statistics, and fewer stored maps."""

from fractions import Fraction
from typing import get_args

import pytest
import torch
from torch.nn import functional as F

from resatlas.arch.ops import Shape
from resatlas.nets.network import Network, build, set_shake, set_stochastic_depth
from resatlas.nets.peak import Kept
from resatlas.recipes.regularisers import Shake, ShakeDrop, ShakeShake

DESIGNS = (
    "wide-resnet:depth=22,base=4,widen=1,dropout=0.3",
    "resnet:depth=20,base=4",
    "dmrnet:depth=14,base=4",
    "pyramidnet:depth=14,base=4,alpha=12",
    "dmrnet-8-k3-swap-sum",
    "preact-resnet:depth=20,base=4",
    "se-resnet-20",
)


SHAKES: dict[str, Shake] = {
    "shake-shake:depth=14,width=16,base=4": ShakeShake(),
    "pyramidnet:depth=20,base=4,alpha=12": ShakeDrop(),
    "dmrnet:depth=20,base=4": ShakeDrop(level="value", gates="channel"),
}


def built(design: str, kept: Kept) -> Network:
    """A network with a shake or stochastic depth."""
    network = build(design, image=Shape(1, 8, 8), classes=4, seed=0)
    set_stochastic_depth(network, Fraction(0) if design in SHAKES else Fraction(1, 5))
    set_shake(network, SHAKES.get(design))
    network.kept = kept
    return network


def after_two_passes(network: Network) -> dict[str, torch.Tensor]:
    """Running statistics, counts and the sum of the gradients after two batches."""
    images = torch.randn(16, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    for seed in range(2):
        torch.manual_seed(seed)
        F.cross_entropy(network(images), torch.arange(16) % 4).backward()
    gradients = {f"gradient: {path}": weight.grad for path, weight in network.named_parameters()}
    return {**{path: grad for path, grad in gradients.items() if grad is not None}, **dict(network.named_buffers())}


@pytest.mark.parametrize("kept", get_args(Kept)[1:])
@pytest.mark.parametrize("design", [*DESIGNS, *SHAKES])
def test_recomputation_changes_no_bit(design: str, kept: Kept) -> None:
    """Gradients with dropout, stochastic depth or a shake are bit-equal, statistics too; every batch counts once."""
    usual, again = after_two_passes(built(design, "all")), after_two_passes(built(design, kept))
    assert usual.keys() == again.keys()
    assert [path for path in usual if not usual[path].equal(again[path])] == []
    assert {int(count) for path, count in again.items() if path.endswith("num_batches_tracked")} == {2}


def stored(network: Network) -> int:
    """Bytes that a forward pass stores for its backward pass, without weights and buffers."""
    own = {tensor.untyped_storage().data_ptr() for tensor in (*network.parameters(), *network.buffers())}
    places: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        places.setdefault(tensor.untyped_storage().data_ptr(), tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        logits = network(torch.randn(8, *network.plan.image))
    assert logits.requires_grad
    return sum(tensor.untyped_storage().nbytes() for place, tensor in places.items() if place not in own)


def test_fewer_maps_are_stored() -> None:
    """With nine units per stage, "units" stores much less than "all", and "segments" of three units less than that."""
    sizes = {kept: stored(built("resnet:depth=56,base=4", kept)) for kept in get_args(Kept)}
    assert sizes["convolutions"] < 0.8 * sizes["all"]
    assert sizes["units"] < sizes["all"] / 3
    assert sizes["segments"] < sizes["units"] / 2


@pytest.mark.parametrize(
    ("design", "share"),
    [
        ("preact-resnet-56", 0.52),
        ("wrn-16-2", 0.65),
        ("pyramidnet-110-a48", 0.60),
        ("resnet-20-B", 0.78),
        ("dmrnet-14", 0.78),
        ("resnext:depth=29,cardinality=4,width=8", 0.90),
    ],
)
def test_maps_after_convolutions_are_this_share_of_all(design: str, share: float) -> None:
    """Within two points, whatever the size of images; docs/training.md says so in words."""
    sizes = {}
    for kept in ("all", "convolutions"):
        network = build(design, image=Shape(3, 8, 8), classes=10, seed=0)
        network.kept = kept
        sizes[kept] = stored(network)
    assert sizes["convolutions"] / sizes["all"] == pytest.approx(share, abs=0.02)


def test_evaluation_mode_is_not_affected() -> None:
    """The logits are the same, with and without gradients."""
    network, images = built("resnet:depth=20,base=4", "segments").eval(), torch.randn(4, 1, 8, 8)
    with torch.no_grad():
        logits = network(images)
    assert network(images).equal(logits)
    network.kept = "all"
    assert network(images).equal(logits)
