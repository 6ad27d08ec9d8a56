"""What streams add to one another is a matrix of channels, and that matrix keeps the promises of the paper.

Source: DMRNet paper (arXiv:1611.07718), section 3: M is idempotent, so that merging again changes nothing.
"""

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from resatlas.arch.streams import Skip
from resatlas.nets.network import Network, build

WIDTH = 5


def silent(skip: Skip, streams: int) -> Network:
    """Streams of units whose bodies give nothing, so that only what they add to one another is left."""
    design = f"dmrnet:depth=26,base={WIDTH},join=concat,skip={skip},streams={streams}"
    network = build(design, seed=1).double().eval()
    for path, module in network.named_modules():
        if isinstance(module, nn.BatchNorm2d) and path.endswith("body.norm2"):
            nn.init.zeros_(module.weight)
    return network


def run(network: Network, vectors: Tensor, *, units: int) -> Tensor:
    """What so many units of the first stage make of vectors (n, K·d), read as maps of one pixel."""
    streams = tuple(vectors[:, :, None, None].split(WIDTH, dim=1))
    for number in range(units):
        streams = network.get_submodule(f"stages.0.{number}")(streams)
    return torch.cat(streams, dim=1)[:, :, 0, 0]


def matrix(skip: Skip, streams: int) -> Tensor:
    """M of one unit: relu(M·e) - relu(-M·e) for every basis vector e."""
    network, basis = silent(skip, streams), torch.eye(streams * WIDTH, dtype=torch.float64)
    return (run(network, basis, units=1) - run(network, -basis, units=1)).T


@pytest.mark.parametrize("streams", [2, 3, 4])
@pytest.mark.parametrize("skip", ["mean", "projector"])
def test_what_streams_add_is_an_orthogonal_projection(skip: Skip, streams: int) -> None:
    """M = M² = Mᵀ, eigenvalue 1 of multiplicity d and 0 of (K - 1)·d, norm 1, trace d."""
    m = matrix(skip, streams)
    close = {"rtol": 0, "atol": 1e-6}
    torch.testing.assert_close(m @ m, m, **close)
    torch.testing.assert_close(m, m.T, **close)
    spectrum = torch.tensor([0.0] * (streams - 1) * WIDTH + [1.0] * WIDTH, dtype=m.dtype)
    torch.testing.assert_close(torch.linalg.eigvalsh(m), spectrum, **close)
    assert torch.linalg.matrix_norm(m, 2).item() == pytest.approx(1, abs=1e-6)
    assert m.trace().item() == pytest.approx(WIDTH, abs=1e-5)


@pytest.mark.parametrize("streams", [2, 3, 4])
def test_the_mean_is_its_block_matrix(streams: int) -> None:
    """M is K x K blocks, every one (1/K)·I; a projector of the same rank is another matrix."""
    blocks = torch.full((streams, streams), 1 / streams, dtype=torch.float64)
    mean = torch.kron(blocks, torch.eye(WIDTH, dtype=torch.float64))
    torch.testing.assert_close(matrix("mean", streams), mean)
    assert (matrix("projector", streams) - mean).abs().max() > 0.1


@pytest.mark.parametrize("streams", [2, 3, 4])
def test_a_swap_is_a_permutation_of_the_order_of_the_streams(streams: int) -> None:
    """It takes 0 to 1 alone, moves every stream, and after K units, not before, all are back."""
    m, one = matrix("swap", streams), torch.eye(streams * WIDTH, dtype=torch.float64)
    assert set(m.unique().tolist()) == {0, 1}
    assert torch.equal(m @ m.T, one)
    powers = [torch.linalg.matrix_power(m, n) for n in range(1, streams + 1)]
    assert [torch.equal(power, one) for power in powers] == [False] * (streams - 1) + [True]
    assert not m.diagonal().any()


def test_an_identity_leaves_every_stream_alone() -> None:
    """Without merging M is the unit matrix."""
    assert torch.equal(matrix("identity", 3), torch.eye(3 * WIDTH, dtype=torch.float64))


@pytest.mark.parametrize("streams", [2, 3, 4])
@pytest.mark.parametrize("units", [1, 2, 4])
def test_gradients_through_merged_units_do_not_fade(streams: int, units: int) -> None:
    """Behind any number of units with silent bodies the derivative is M, not a power that shrinks."""
    network = silent("mean", streams)
    x = torch.rand(1, streams * WIDTH, dtype=torch.float64)
    through = partial(run, network, units=units)
    jacobian = torch.autograd.functional.jacobian(through, x)[0, :, 0]
    torch.testing.assert_close(jacobian, matrix("mean", streams))


def test_units_of_one_width_share_their_projector() -> None:
    """The matrix is that of its K and width, in every unit, whatever the seed; another width has another."""
    one, other = (build(f"dmrnet:depth=20,base={WIDTH},skip=projector", seed=seed) for seed in (1, 2))
    first, again = one.get_buffer("stages.0.0.projector.matrix"), other.get_buffer("stages.0.2.projector.matrix")
    assert torch.equal(first, again)
    assert one.get_buffer("stages.1.0.projector.matrix").shape == (4 * WIDTH, 4 * WIDTH)
    assert first.abs().max() > 0
