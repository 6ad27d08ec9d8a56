"""A plan is refused if its network has been changed; networks for inference can be copied and pickled."""

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
    """Pruning of torch adds weight_orig, weight_mask, and a hook."""
    prune.l1_unstructured(network.stem.conv, "weight", amount=0.5)


def other_classifier(network: Network) -> None:
    """A new classifier for other classes, without reset_classifier."""
    network.head.linear = nn.Linear(16, 3)


def other_stride(network: Network) -> None:
    """A convolution with the same weights and another stride."""
    at(network, "stages.1.0").body.conv1 = nn.Conv2d(4, 8, 3, stride=1, padding=1, bias=False)


def other_activation(network: Network) -> None:
    """A GELU instead of a ReLU."""
    at(network, "stages.1.0").after_sum.relu = nn.GELU()


def subclassed(network: Network) -> None:
    """A module with the same settings and other code, like those of quantisers and adapters."""

    class Noisy(nn.Conv2d):
        def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
            return super().forward(input) + 1

    network.stem.conv = Noisy(3, 4, 3, padding=1, bias=False)


def unit_removed(network: Network) -> None:
    """An identity instead of a unit."""
    at(network, "stages.1").register_module("0", nn.Identity())


CHANGES: dict[Callable[[Network], None], str] = {
    pruned: "it lacks the parameter stem.conv.weight|it has the parameter stem.conv.weight_orig",
    other_classifier: r"head.linear is Linear\(.*3.*\), but Linear\(.*; network.reset_classifier\(3\) changes both",
    other_stride: r"stages.1.0.body.conv1 is Conv2d\(.*stride=\(1, 1\).*, but .*stride=\(2, 2\).* in the plan",
    other_activation: "stages.1.0.after_sum.relu is GELU",
    subclassed: "stem.conv is Noisy",
    unit_removed: "stages.1.0 is Identity, but Unit in the plan",
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_network_is_refused(change: Callable[[Network], None], tmp_path: Path) -> None:
    """It cannot be counted, saved, folded or exported."""
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


def test_changes_that_keep_the_function_are_accepted() -> None:
    """Values, momentum, in-place relus, synchronised norms, and permanent pruning do not invalidate the plan."""
    network = small("resnet:depth=8,base=4")
    pruned(network)
    prune.remove(network.stem.conv, "weight")
    for module in network.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = True
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.3
    assert nn.SyncBatchNorm.convert_sync_batchnorm(network).checked_plan() == network.plan


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp64"])
@pytest.mark.parametrize("design", ["resnet:depth=8,base=4", "preact-resnet-8", "dmrnet-8-k3-swap-sum"])
def test_a_folded_network_is_copied_and_pickled(design: str, precision: Precision) -> None:
    """Copies give equal logits, also with packed weights."""
    folded, batch = resatlas.for_inference(small(design), precision=precision), images()
    for other in (copy.deepcopy(folded), pickle.loads(pickle.dumps(folded))):  # noqa: S301 - our own bytes
        assert other(batch).equal(folded(batch))


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="the weights are packed for oneDNN")
def test_packed_weights_cannot_be_exported() -> None:
    """The error says what to do instead."""
    folded = resatlas.for_inference(small("resnet:depth=8,base=4"))
    with pytest.raises(UsageError, match=r'packed for oneDNN.*for_inference\(network, kernels="torch"\)'):
        torch.export.export(folded, (images(),))


def test_only_a_network_with_a_plan_is_folded() -> None:
    """Any other module is refused, with the name of its type."""
    with pytest.raises(UsageError, match=r"needs a network of resatlas.build; got a Sequential, which has no plan"):
        resatlas.for_inference(nn.Sequential())
