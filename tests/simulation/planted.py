"""The truth of the simulations: error over budget, variation over seeds, and misclassified test images."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

Law = Callable[[Array], Array]
"""The error of a kind, in percent, at budgets."""

SMALLEST = 10_000.0


def convex(x: Array) -> Array:
    """2 + 10/√(x/10k): similar to the curves of the papers."""
    return 2 + 10 / np.sqrt(x / SMALLEST)


def concave(x: Array) -> Array:
    """A fall that becomes steeper."""
    return 14 - 1.3 * np.log(x / SMALLEST) ** 1.5


def linear(x: Array) -> Array:
    """A straight line over the logarithm of the budget."""
    return 14 - 2 * np.log(x / SMALLEST)


def level(x: Array) -> Array:
    """The same error at every budget."""
    return 6 + 0 * x


def crossing(x: Array) -> Array:
    """Lower than `convex` below 90k, higher above."""
    return 4 + 4 / np.sqrt(x / SMALLEST)


LAWS: Mapping[str, tuple[Law, Law]] = {
    "convex": (convex, convex),
    "concave": (concave, concave),
    "linear": (linear, linear),
    "equal": (level, level),
    "crossing": (convex, crossing),
}
"""Pairs of laws, one for each of two kinds."""

LAYOUTS: Mapping[str, tuple[Sequence[float], Sequence[float]]] = {
    "one size each, the same": ((9e4,), (9e4,)),
    "one size each, 8 % apart": ((9e4,), (9.72e4,)),
    "one inside two": ((9e4,), (3e4, 27e4)),
    "one inside three": ((9e4,), (1e4, 3e4, 27e4)),
    "two each, interleaved": ((1e4, 9e4), (3e4, 27e4)),
    "three each, interleaved": ((1e4, 9e4, 81e4), (3e4, 27e4, 243e4)),
}
"""The budgets of the sizes of two kinds."""

Noise = Callable[[np.random.Generator, int, int, int], Array]
"""(generator, studies, designs, seeds) -> deviations of the seeds, in points."""


def normal(random: np.random.Generator, studies: int, designs: int, seeds: int) -> Array:
    """Normal, all with the same deviation."""
    return random.standard_normal((studies, designs, seeds))


def heavy(random: np.random.Generator, studies: int, designs: int, seeds: int) -> Array:
    """Student's t with three degrees of freedom."""
    return random.standard_t(3, (studies, designs, seeds)) / np.sqrt(3)


def skewed(random: np.random.Generator, studies: int, designs: int, seeds: int) -> Array:
    """Exponential, centred: a few seeds are much worse."""
    return random.exponential(1.0, (studies, designs, seeds)) - 1


def few_wrong(random: np.random.Generator, studies: int, designs: int, seeds: int) -> Array:
    """Misclassified images of 360 at an error of 0.5 %: small whole numbers."""
    return random.binomial(360, 0.005, (studies, designs, seeds)) / 3.6 - 0.5


def unequal(random: np.random.Generator, studies: int, designs: int, seeds: int) -> Array:
    """Normal, every second design with four times the deviation."""
    return normal(random, studies, designs, seeds) * np.where(np.arange(designs) % 2, 4.0, 1.0)[:, None]


def correlated(random: np.random.Generator, studies: int, designs: int, seeds: int) -> Array:
    """Normal, with a correlation of 0.8 between designs over shared seeds."""
    shared = random.standard_normal((studies, 1, seeds))
    return np.sqrt(0.8) * shared + np.sqrt(0.2) * normal(random, studies, designs, seeds)


def opposed(random: np.random.Generator, studies: int, designs: int, seeds: int) -> Array:
    """Normal, with a correlation of -0.8 between neighbouring designs over shared seeds."""
    shared = random.standard_normal((studies, 1, seeds)) * np.where(np.arange(designs) % 2, -1.0, 1.0)[:, None]
    return np.sqrt(0.8) * shared + np.sqrt(0.2) * normal(random, studies, designs, seeds)


NOISES: Mapping[str, Noise] = {
    "normal": normal,
    "t with 3 degrees": heavy,
    "skewed": skewed,
    "few wrong images": few_wrong,
    "deviations 4 : 1": unequal,
    "correlated seeds, 0.8": correlated,
}

OWN, SKILL, SPREAD = 1.0, 0.3, 2.0
"""Deviations of the logit: of an image for one design, of a seed, of an image for all designs."""


def draw_errors(
    random: np.random.Generator, studies: int, images: int, seeds: int, eases: Sequence[float], hardness: float
) -> list[Array]:
    """Misclassified images, studies x seeds x images for each design; each study has new images and new seeds.

    Images differ in hardness, partly by design, and seeds differ in skill.
    """
    shared = random.normal(hardness, SPREAD, (studies, 1, images))
    errors = []
    for ease in eases:
        logits = shared + random.normal(0, OWN, (studies, 1, images)) - ease
        skills = random.normal(0, SKILL, (studies, seeds, 1))
        errors.append((random.random((studies, seeds, images)) < 1 / (1 + np.exp(skills - logits))).astype(np.float64))
    return errors


def expected_error(ease: float, hardness: float) -> float:
    """The error of a design over all images and seeds, in percent."""
    points, weights = np.polynomial.hermite_e.hermegauss(80)
    logits = hardness - ease + np.sqrt(OWN**2 + SKILL**2 + SPREAD**2) * points
    return float(100 * (weights / (1 + np.exp(-logits))).sum() / weights.sum())
