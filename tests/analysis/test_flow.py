"""Responses, gradients and cut sums are those of plain autograd on a plain pass."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from resatlas.analysis.flow import flow
from tests.analysis.designs import DESIGNS, network, noise


@pytest.mark.parametrize("design", DESIGNS)
def test_gradients_are_those_of_training(design: str) -> None:
    """Loss and norms of every unit's gradient equal those of a pass in training mode, dropout apart."""
    net = network(design)
    batch = noise(8, net)
    found = flow(net, batch)
    before = {path: tensor.clone() for path, tensor in net.state_dict().items()}
    for module in net.train().modules():
        if isinstance(module, nn.Dropout):
            module.eval()
    loss = F.cross_entropy(net(batch.images), batch.labels)
    loss.backward()
    assert found.loss == pytest.approx(loss.item())
    assert [row.unit for row in found.units] == [path for path, _ in net.plan.units]
    for row in found.units:
        own = [w.grad for path, w in net.named_parameters() if path.startswith(f"{row.unit}.") and w.grad is not None]
        assert row.parameter_gradient_norm == pytest.approx(sum(g.square().sum().item() for g in own) ** 0.5)
        assert row.output_gradient_norm > 0
    net.load_state_dict(before)


def test_nothing_is_left_behind() -> None:
    """Statistics, gradients, modes and hooks are as they were."""
    net = network("resnet:depth=8,base=4")
    before = {path: tensor.clone() for path, tensor in net.state_dict().items()}
    flow(net, noise(8, net))
    assert all(before[path].equal(tensor) for path, tensor in net.state_dict().items())
    assert all(weight.grad is None for weight in net.parameters())
    assert not any(module._forward_hooks or module._forward_pre_hooks or module.training for module in net.modules())
    assert all(norm.track_running_stats for norm in net.modules() if isinstance(norm, nn.BatchNorm2d))


def places(design: str) -> dict[str, int]:
    """The layers of the last unit that are measured, with their numbers."""
    net = network(design)
    last = [path for path, _ in net.plan.units][-1]
    rows = flow(net, noise(4, net)).layers
    return {row.layer.removeprefix(f"{last}."): row.number for row in rows if row.layer.startswith(f"{last}.")}


def test_responses_stand_behind_their_norm() -> None:
    """Behind a norm where one follows directly; else the convolution itself."""
    assert places("resnet:depth=8,base=4") == {"body.norm1": 5, "body.norm2": 6}
    assert places("preact-resnet:depth=8,base=4") == {"body.norm1": 5, "body.conv2": 6}
    assert places("resnext:depth=11,cardinality=2,width=8,base=16,form=a") == {
        **{f"bodies.{k}.{end}": number for k in range(2) for end, number in (("norm1", 7), ("norm2", 8), ("conv3", 9))}
    }
    assert places("dmrnet:depth=8,base=4") == {f"streams.{k}.body.norm{n}": 4 + n for k in range(2) for n in (1, 2)}


def test_deviations_and_cut_shares_by_hand() -> None:
    """A norm of scale g and no shift gives deviation g; a relu cuts what is negative, if there is one."""
    net = network("resnet:depth=8,base=4")
    batch = noise(32, net)
    modules = dict(net.named_modules())
    norm = modules["stages.0.0.body.norm1"]
    assert isinstance(norm, nn.BatchNorm2d)
    with torch.no_grad():
        norm.weight.fill_(2.5)
        norm.bias.zero_()
    found = flow(net, batch)
    deviations = {row.layer: row.response_deviation for row in found.layers}
    assert deviations["stages.0.0.body.norm1"] == pytest.approx(2.5, rel=1e-3)
    sums: list[torch.Tensor] = []

    def keep(_module: nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        sums.append(given[0])

    modules["stages.1.0.after_sum"].register_forward_pre_hook(keep)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.train()
    net(batch.images)
    cut = {row.unit: row.share_of_sums_cut for row in found.units}
    assert cut["stages.1.0"] == pytest.approx((sums[0] < 0).double().mean().item())
    assert 0.1 < (cut["stages.1.0"] or 0) < 0.9
    other = network("preact-resnet:depth=8,base=4")
    assert {row.share_of_sums_cut for row in flow(other, batch).units} == {None}
