"""Units that lose their residual at random while a network is trained."""

from fractions import Fraction

from resatlas.nets.network import Network
from resatlas.nets.unit import Unit


def lose_residuals(network: Network, rate: Fraction) -> None:
    """Let unit l of L lose its residual for an image at rate·l/L in training; what stays is divided by the rest.

    Each stream of a unit draws for itself. A unit without shortcut keeps its residual: nothing else goes through it.
    The random numbers are torch's own, as dropout's are.
    Source: Huang et al. (arXiv:1603.09382), section 3, with its linear rule.
    Differs: the paper draws once a batch and multiplies in the test; drawn per image and divided in training as in
    torchvision's StochasticDepth ("row"). timm's rates go from 0 for the first unit: rate·(l - 1)/(L - 1).
    """
    units = [unit for stage in network.stages for unit in stage.children()]
    for k, unit in enumerate(units):
        for stream in unit.modules():
            if isinstance(stream, Unit):
                stream.loses = float(rate * (k + 1) / len(units))
