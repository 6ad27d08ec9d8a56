"""A network that others have changed is not taken for its plan; what for_inference gives is copied, kept, exported."""

import copy
import pickle
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import prune

import resatlas
from resatlas.errors import DesignError, UsageError
from resatlas.inference.fused import Precision
from resatlas.nets.network import Network
from tests.nets.small import at, images, small


def pruned(network: Network) -> None:
    """Torch's pruning: weight_orig, weight_mask, and a hook."""
    prune.l1_unstructured(network.stem.conv, "weight", amount=0.5)


def other_classifier(network: Network) -> None:
    """What everybody does for new classes."""
    network.head.linear = nn.Linear(16, 3)


def other_stride(network: Network) -> None:
    """The same weights, moved otherwise."""
    at(network, "stages.1.0").body.conv1 = nn.Conv2d(4, 8, 3, stride=1, padding=1, bias=False)


def other_activation(network: Network) -> None:
    """A relu that is none."""
    at(network, "stages.1.0").after_sum.relu = nn.GELU()


def subclassed(network: Network) -> None:
    """The same settings with other code, as quantisers and adapters have it."""

    class Noisy(nn.Conv2d):
        def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - as torch calls it
            return super().forward(input) + 1

    network.stem.conv = Noisy(3, 4, 3, padding=1, bias=False)


def unit_left_out(network: Network) -> None:
    """A unit fewer."""
    at(network, "stages.1").register_module("0", nn.Identity())


CHANGES: dict[Callable[[Network], None], str] = {
    pruned: "it lacks the parameter stem.conv.weight|it has the parameter stem.conv.weight_orig",
    other_classifier: r"head.linear is Linear\(.*3.*\), in the plan .*; network.reset_classifier\(3\) changes both",
    other_stride: r"stages.1.0.body.conv1 is Conv2d\(.*stride=\(1, 1\).* in the plan .*stride=\(2, 2\)",
    other_activation: "stages.1.0.after_sum.relu is GELU",
    subclassed: "stem.conv is Noisy",
    unit_left_out: "stages.1.0 is Identity, in the plan Unit",
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_network_is_not_taken_for_its_plan(change: Callable[[Network], None], tmp_path: Path) -> None:
    """Neither counted nor saved, folded or exported as what it was."""
    network = small("resnet:depth=8,base=4")
    assert resatlas.cost(network) == resatlas.cost(network.plan)
    change(network)
    for use in (
        resatlas.cost,
        resatlas.for_inference,
        partial(resatlas.save_pretrained, folder=tmp_path / "saved"),
        partial(resatlas.export_weights, target="resatlas"),
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


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp64"])
@pytest.mark.parametrize("design", ["resnet:depth=8,base=4", "preact-resnet-8", "dmrnet-8-k3-swap-sum"])
def test_a_folded_network_is_copied_and_pickled(design: str, precision: Precision) -> None:
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
    with pytest.raises(UsageError, match=r"takes a network of resatlas.build; a Sequential has no plan"):
        resatlas.for_inference(nn.Sequential())
