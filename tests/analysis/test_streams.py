"""Differences between streams, and names of skip matrices."""

import pytest
import torch

from resatlas.analysis.streams import MATRICES, differences, skip_matrix
from resatlas.designs.catalog import plan
from resatlas.errors import DesignError
from tests.analysis.designs import network, noise


def test_differences_by_hand() -> None:
    """The differences equal those computed from traced tensors, for every unit of several streams."""
    net = network("dmrnet:depth=14,base=4,streams=3,join=concat")
    batch = noise(5, net)
    with torch.no_grad():
        traced = net.trace(batch.images)
    rows = differences(net, batch.images)
    assert [row.unit for row in rows] == [path for path, _ in net.plan.units]
    for row in rows:
        streams = [traced[f"{row.unit}.streams.{k}"].flatten() for k in range(3)]
        mean = (streams[0] + streams[1] + streams[2]) / 3
        distance = sum((stream - mean).square().sum().item() for stream in streams) / 3
        assert row.difference == pytest.approx((distance / mean.square().sum().item()) ** 0.5)
        pairs = [(0, 1), (0, 2), (1, 2)]
        cosines = [torch.cosine_similarity(streams[a], streams[b], dim=0).item() for a, b in pairs]
        assert row.cosine_of_streams == pytest.approx(sum(cosines) / 3)


def test_equal_bodies_leave_no_difference() -> None:
    """Streams with equal weights are equal; the unit that joins them has one output and no row."""
    net = network("dmrnet:depth=14,base=4")
    with torch.no_grad():
        for path, tensor in net.state_dict().items():
            if ".streams.1." in path:
                tensor.copy_(net.state_dict()[path.replace(".streams.1.", ".streams.0.")])
    rows = differences(net, noise(3, net).images)
    assert len(rows) == 5
    assert all(row.difference == pytest.approx(0, abs=1e-12) for row in rows)
    assert all(row.cosine_of_streams == pytest.approx(1) for row in rows)


def test_a_single_stream_is_refused() -> None:
    """A network of one stream has no differences."""
    net = network("resnet:depth=8,base=4")
    with pytest.raises(DesignError, match="has one stream"):
        differences(net, noise(2, net).images)


def test_matrices_have_names() -> None:
    """Every matrix in the comparison belongs to a design; 0.9·M is 0.9 times the mean."""
    knobs = ["", ",skip=identity", ",skip=swap", ",skip=projector", ",modified=scale-0.9-1"]
    assert tuple(skip_matrix(plan(f"dmrnet:depth=8{knob}")) for knob in knobs) == MATRICES
    net, scaled = network("dmrnet:depth=8,base=4"), network("dmrnet:depth=8,base=4,modified=scale-0.9-1")
    scaled.load_state_dict(net.state_dict())
    unit, other = net.stages[0][0], scaled.stages[0][0]  # type: ignore[index]
    for stream in [*unit.streams, *other.streams]:
        stream.merged = torch.nn.Threshold(1e9, 0.0)  # no residual
    maps = tuple(torch.rand(2, 4, 8, 8, dtype=torch.float64) for _ in range(2))
    for mean, scaled_mean in zip(unit(maps), other(maps), strict=True):
        torch.testing.assert_close(scaled_mean, 0.9 * mean)
