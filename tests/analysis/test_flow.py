"""Responses, gradients and ReLU zeros against autograd on an ordinary forward pass."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from resatlas.analysis.flow import flow
from tests.analysis.designs import DESIGNS, network, noise


@pytest.mark.parametrize("design", DESIGNS)
def test_gradients_are_those_of_training(design: str) -> None:
    """Loss and norms of every unit's gradient equal those of a pass in training mode without dropout."""
    net = network(design)
    batch = noise(8, net)
    result = flow(net, batch)
    before = {path: tensor.clone() for path, tensor in net.state_dict().items()}
    for module in net.train().modules():
        if isinstance(module, nn.Dropout):
            module.eval()
    loss = F.cross_entropy(net(batch.images), batch.labels)
    loss.backward()
    assert result.loss == pytest.approx(loss.item())
    assert [row.unit for row in result.units] == [path for path, _ in net.plan.units]
    for row in result.units:
        weights = [w for path, w in net.named_parameters() if path.startswith(f"{row.unit}.")]
        gradients = [w.grad for w in weights if w.grad is not None]
        assert row.parameter_gradient_norm == pytest.approx(sum(g.square().sum().item() for g in gradients) ** 0.5)
        assert row.output_gradient_norm > 0
    net.load_state_dict(before)


def test_the_network_is_unchanged() -> None:
    """Statistics, gradients, modes and hooks are the same as before."""
    net = network("resnet:depth=8,base=4")
    before = {path: tensor.clone() for path, tensor in net.state_dict().items()}
    flow(net, noise(8, net))
    assert all(before[path].equal(tensor) for path, tensor in net.state_dict().items())
    assert all(weight.grad is None for weight in net.parameters())
    assert not any(module._forward_hooks or module._forward_pre_hooks or module.training for module in net.modules())
    assert all(norm.track_running_stats for norm in net.modules() if isinstance(norm, nn.BatchNorm2d))


def places(design: str) -> dict[str, int]:
    """The measured layers of the last unit, with their numbers."""
    net = network(design)
    last = [path for path, _ in net.plan.units][-1]
    rows = flow(net, noise(4, net)).layers
    return {row.layer.removeprefix(f"{last}."): row.number for row in rows if row.layer.startswith(f"{last}.")}


def test_responses_are_measured_after_the_norm() -> None:
    """The response is measured after a norm that follows directly, else after the convolution."""
    assert places("resnet:depth=8,base=4") == {"body.norm1": 5, "body.norm2": 6}
    assert places("preact-resnet:depth=8,base=4") == {"body.norm1": 5, "body.conv2": 6}
    assert places("resnext:depth=11,cardinality=2,width=8,base=16,form=a") == {
        **{f"bodies.{k}.{end}": number for k in range(2) for end, number in (("norm1", 7), ("norm2", 8), ("conv3", 9))}
    }
    assert places("dmrnet:depth=8,base=4") == {f"streams.{k}.body.norm{n}": 4 + n for k in range(2) for n in (1, 2)}


def test_deviations_and_relu_zeros_by_hand() -> None:
    """A norm of scale g without shift gives deviation g; a ReLU sets negative sums to zero."""
    net = network("resnet:depth=8,base=4")
    batch = noise(32, net)
    modules = dict(net.named_modules())
    norm = modules["stages.0.0.body.norm1"]
    assert isinstance(norm, nn.BatchNorm2d)
    with torch.no_grad():
        norm.weight.fill_(2.5)
        norm.bias.zero_()
    result = flow(net, batch)
    deviations = {row.layer: row.response_deviation for row in result.layers}
    assert deviations["stages.0.0.body.norm1"] == pytest.approx(2.5, rel=1e-3)
    sums: list[torch.Tensor] = []

    def keep(_module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        sums.append(inputs[0])

    modules["stages.1.0.after_sum"].register_forward_pre_hook(keep)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.train()
    net(batch.images)
    shares = {row.unit: row.share_of_sums_cut for row in result.units}
    assert shares["stages.1.0"] == pytest.approx((sums[0] < 0).double().mean().item())
    assert 0.1 < (shares["stages.1.0"] or 0) < 0.9
    other = network("preact-resnet:depth=8,base=4")
    assert {row.share_of_sums_cut for row in flow(other, batch).units} == {None}
