"""Paths through networks: their lengths are those of the DMRNet paper, and of counting them one by one.

Source: DMRNet paper (arXiv:1611.07718), section 4 and Fig. 3. B is the number of convolutions of a body, K that of
streams or bodies, L that of blocks. A path is counted whole, as the paper does, or weighted by its coefficient: 1/K
for each tensor that a mean of K takes.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from math import comb, isclose, sqrt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resatlas.arch.blueprint import Blueprint, Stem
from resatlas.arch.expand import expand
from resatlas.arch.ops import Convolution, Linear, Shape
from resatlas.arch.paths import MeanLengths, PathLengths, mean_lengths, path_lengths
from resatlas.arch.plan import Chain, Plan, Stream
from resatlas.arch.residual import Absent, Residual, basic
from resatlas.arch.streams import Join, MergeAndRun, Single, Streams
from resatlas.arch.widths import PerStage
from resatlas.designs.catalog import resolve
from tests.arch.strategies import blueprints, images

OUTSIDE = 2
"""The stem's convolution and the classifier."""


def blocks(count: int, *, streams: Streams, layers: int = 2, bodies: int = 1) -> PathLengths:
    """The paths of a network of so many blocks, all of one width."""
    blueprint = Blueprint(
        stem=Stem(width=8),
        units=(count,),
        widths=PerStage((8,)),
        residual=Residual(convs=basic((3,) * layers), bodies=bodies),
        streams=streams,
    )
    return path_lengths(expand(blueprint, image=Shape(3, 8, 8), classes=10))


def deviation(counts: Mapping[int, int] | Mapping[int, Fraction]) -> float:
    """The standard deviation of a length, each length as often as it is counted."""
    whole = sum(counts.values())
    mean = Fraction(sum(length * count for length, count in counts.items())) / whole
    return sqrt(sum((length - mean) ** 2 * count for length, count in counts.items()) / whole)


def binomial(trials: int, p: Fraction, *, step: int) -> dict[int, Fraction]:
    """The distribution of OUTSIDE + step · (successes of so many trials)."""
    return {OUTSIDE + step * k: comb(trials, k) * p**k * (1 - p) ** (trials - k) for k in range(trials + 1)}


def distribution(counts: Mapping[int, int] | Mapping[int, Fraction]) -> dict[int, Fraction]:
    """The share of each length."""
    whole = sum(counts.values())
    return {length: Fraction(count) / whole for length, count in counts.items()}


@pytest.mark.parametrize("join", ["sum", "concat"])
def test_the_three_blocks_of_the_paper(join: Join) -> None:
    """One block more adds 2 layers to the mean as two residual units, 4/3 inception-like, 2/3 merged and run."""
    three = {
        "residual pair": [blocks(2 * n, streams=Single()) for n in (1, 2)],
        "inception-like": [blocks(n, streams=Single(), bodies=2) for n in (1, 2)],
        "merge-and-run": [blocks(n, streams=MergeAndRun(join=join)) for n in (1, 2)],
    }
    assert {name: after.mean - before.mean for name, (before, after) in three.items()} == {
        "residual pair": 2,
        "inception-like": Fraction(4, 3),
        "merge-and-run": Fraction(2, 3),
    }
    assert {name: after.weighted_mean - before.weighted_mean for name, (before, after) in three.items()} == {
        "residual pair": 2,
        "inception-like": Fraction(4, 3),
        "merge-and-run": 1,
    }


def test_one_block_alone() -> None:
    """Stem and classifier apart, a single block has the mean of its kind; merged at once it has 1, weighted 4/3."""
    lengths = {
        "residual pair": blocks(2, streams=Single()),
        "inception-like": blocks(1, streams=Single(), bodies=2),
        "sum": blocks(1, streams=MergeAndRun(join="sum")),
        "concat": blocks(1, streams=MergeAndRun(join="concat")),
        "merge": blocks(1, streams=MergeAndRun(join="merge")),
    }
    assert {name: each.mean - OUTSIDE for name, each in lengths.items()} == {
        "residual pair": 2,
        "inception-like": Fraction(4, 3),
        "sum": Fraction(2, 3),
        "concat": Fraction(2, 3),
        "merge": 1,
    }
    assert {name: each.weighted_mean - OUTSIDE for name, each in lengths.items()} == {
        "residual pair": 2,
        "inception-like": Fraction(4, 3),
        "sum": 1,
        "concat": 1,
        "merge": Fraction(4, 3),
    }


def test_merging_changes_the_last_block_alone() -> None:
    """Merged rather than summed, a network of any length gains 1/3 whole and 1/3 weighted."""
    for count in (1, 2, 7):
        merged, summed = (blocks(count, streams=MergeAndRun(join=join)) for join in ("merge", "sum"))
        assert merged.mean - summed.mean == Fraction(1, 3)
        assert merged.weighted_mean - summed.weighted_mean == Fraction(1, 3)


NETWORKS = [
    # L, network, mean and deviation of whole paths, of weighted paths
    (9, "resnet:depth=38,shortcut=B", 20, 4.24, 20, 4.24),
    (9, "dilnet:depth=20", 14, 2.83, 14, 2.83),
    (9, "dmrnet:depth=20,join=sum", 8, 2.83, 11, 3.00),
    (9, "dmrnet:depth=20,join=concat", 8, 2.83, 11, 3.00),
    (24, "resnet:depth=98,shortcut=B", 50, 6.93, 50, 6.93),
    (24, "dilnet:depth=50", 34, 4.62, 34, 4.62),
    (24, "dmrnet:depth=50,join=sum", 18, 4.62, 26, 4.90),
    (24, "dmrnet:depth=50,join=concat", 18, 4.62, 26, 4.90),
]


@pytest.mark.parametrize(("count", "text", "mean", "spread", "weighted", "weighted_spread"), NETWORKS)
def test_the_networks_of_the_paper(
    count: int, text: str, mean: int, spread: float, weighted: int, weighted_spread: float
) -> None:
    """BL + 2, 2BL/3 + 2 and BL/3 + 2 for L = 9 and 24, with the spread of the distribution; projections not counted."""
    plan = resolve(text).plan()
    formulas = {"resnet": 2 * count + 2, "dilnet": 4 * count // 3 + 2, "dmrnet": 2 * count // 3 + 2}
    lengths = path_lengths(plan)
    assert lengths.mean == mean_lengths(plan).mean == mean == formulas[text.partition(":")[0]]
    assert lengths.weighted_mean == mean_lengths(plan).weighted_mean == weighted
    assert round(deviation(lengths.paths), 2) == spread
    assert round(deviation(lengths.weights), 2) == weighted_spread


@pytest.mark.parametrize(
    ("text", "trials", "whole", "weighted"),
    [
        ("resnet-38", 18, Fraction(1, 2), Fraction(1, 2)),
        ("dilnet-20", 9, Fraction(2, 3), Fraction(2, 3)),
        ("dmrnet-20:join=sum", 9, Fraction(1, 3), Fraction(1, 2)),
        ("dmrnet-20:join=concat,streams=4", 9, Fraction(1, 5), Fraction(1, 2)),
    ],
)
def test_lengths_are_binomial(text: str, trials: int, whole: Fraction, weighted: Fraction) -> None:
    """Every block is passed through a body with one probability: 1/2, 2/3, 1/(K + 1); weighted always 1/2."""
    lengths = path_lengths(resolve(text).plan())
    assert distribution(lengths.paths) == binomial(trials, whole, step=2)
    assert distribution(lengths.weights) == binomial(trials, weighted, step=2)


@given(
    count=st.integers(1, 8),
    layers=st.integers(1, 4),
    k=st.integers(1, 5),
    join=st.sampled_from(("sum", "concat")),
)
@settings(max_examples=40, deadline=None)
def test_means_in_closed_form(count: int, layers: int, k: int, join: Join) -> None:
    """K streams: BL/(K + 1) whole, BL/2 weighted, as a ResNet of L units; K bodies: KBL/(K + 1) either way."""
    run = blocks(count, streams=MergeAndRun(count=k, join=join), layers=layers)
    side_by_side = blocks(count, streams=Single(), layers=layers, bodies=k)
    single = blocks(count, streams=Single(), layers=layers)
    assert run.mean == OUTSIDE + Fraction(layers * count, k + 1)
    assert run.weighted_mean == single.mean == OUTSIDE + Fraction(layers * count, 2)
    assert isclose(deviation(run.weights), layers * sqrt(count) / 2)
    assert side_by_side.mean == side_by_side.weighted_mean == OUTSIDE + Fraction(k * layers * count, k + 1)


@given(count=st.integers(1, 12), k=st.integers(1, 5))
@settings(max_examples=30, deadline=None)
def test_numbers_of_paths(count: int, k: int) -> None:
    """2^L, (K + 1)^L with K bodies, K(K + 1)^L with K streams; merged, the last mean is taken once."""
    assert sum(blocks(count, streams=Single()).paths.values()) == 2**count
    assert sum(blocks(count, streams=Single(), bodies=k).paths.values()) == (k + 1) ** count
    for join in ("sum", "concat"):
        run = blocks(count, streams=MergeAndRun(count=k, join=join))
        assert sum(run.paths.values()) == k * (k + 1) ** count
        assert sum(run.weights.values()) == k * 2**count
    merged = blocks(count, streams=MergeAndRun(count=k, join="merge"))
    assert sum(merged.paths.values()) == 2 * k * (k + 1) ** (count - 1)


@pytest.mark.parametrize("text", ["plain-20", "plain-34", "plain:depth=29,unit=bottleneck"])
def test_a_plain_network_has_one_path(text: str) -> None:
    """It is as long as the network is deep."""
    entry = resolve(text)
    assert path_lengths(entry.plan()).paths == {entry.depth: 1}


def test_an_absent_shortcut_leaves_the_bodies() -> None:
    """Without shortcuts every path passes a body of every unit."""
    blueprint = Blueprint(
        stem=Stem(width=8),
        units=(3,),
        widths=PerStage((8,)),
        residual=Residual(convs=basic(), shortcut=Absent(), bodies=2),
    )
    assert path_lengths(expand(blueprint, image=Shape(3, 8, 8), classes=0)).paths == {7: 8}


def convolutions(chain: Chain) -> int:
    """How many convolutions and classifiers a chain has."""
    return sum(isinstance(layer.op, Convolution | Linear) for layer in chain)


Path = tuple[int, Fraction]
"""The length and the coefficient of one path."""


class Walk:
    """Every path of a plan one by one, followed from the classifier back to the image."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.units = [unit for _, unit in plan.units]

    def paths(self) -> Iterator[Path]:
        """All of them."""
        after, heads = convolutions(self.plan.head), self.plan.heads
        last = len(self.units) - 1
        streams = range(len(self.units[last].streams))
        shared = self.units[last].join == "merge"
        for k in streams:
            ends = self.through_bodies(last, k) if shared else self.behind(last, k)
            yield from ((length + after, coefficient / heads) for length, coefficient in ends)
        if shared:
            yield from ((length + after, coefficient) for length, coefficient in self.through_shortcuts(last, streams))

    def behind(self, unit: int, k: int) -> Iterator[Path]:
        """Paths to stream k behind a unit; behind unit -1 stands the stem."""
        if unit < 0:
            yield convolutions(self.plan.stem), Fraction(1)
        else:
            yield from self.through_bodies(unit, k)
            yield from self.through_shortcuts(unit, self.sources(unit, k))

    def sources(self, unit: int, k: int) -> Sequence[int]:
        """The streams whose shortcuts stream k takes the mean of; a random projector counts as the mean."""
        count = len(self.units[unit].streams)
        return {"own": [k], "identity": [k], "swap": [(k + 1) % count]}.get(self.units[unit].skip, range(count))

    def through_bodies(self, unit: int, k: int) -> Iterator[Path]:
        """Paths that end in one of the bodies of a stream."""
        stream: Stream = self.units[unit].streams[k]
        around = convolutions((*stream.first, *stream.merged))
        for body in range(len(stream.bodies)):
            for inside in self.to_body(stream, body):
                yield from ((length + inside + around, share) for length, share in self.behind(unit - 1, k))

    def to_body(self, stream: Stream, body: int) -> Iterator[int]:
        """The convolutions on each path that ends in a body: from its slice, and in a cascade from the body before."""
        own = convolutions(stream.bodies[body])
        yield own
        if stream.merge == "cascade" and body not in (0, len(stream.bodies) - 1):
            yield from (own + before for before in self.to_body(stream, body - 1))

    def through_shortcuts(self, unit: int, sources: Sequence[int]) -> Iterator[Path]:
        """Paths that end in the mean of these shortcuts."""
        streams = self.units[unit].streams
        for source in sources:
            if streams[source].shortcut is not None:
                for length, coefficient in self.behind(unit - 1, source):
                    yield length, coefficient / len(sources)


@given(blueprint=blueprints(most_units=2), image=images(), classes=st.integers(0, 1))
@settings(max_examples=40, deadline=None)
def test_every_path_is_counted_once(blueprint: Blueprint, image: Shape, classes: int) -> None:
    """Distribution, means and longest path are those of following the paths of small networks one by one."""
    plan = expand(blueprint, image=image, classes=classes)
    every = list(Walk(plan).paths())
    weights: defaultdict[int, Fraction] = defaultdict(Fraction)
    for length, coefficient in every:
        weights[length] += coefficient
    lengths = path_lengths(plan)
    assert lengths.paths == Counter(length for length, _ in every)
    assert lengths.weights == weights
    assert lengths.longest == max(weights)
    assert mean_lengths(plan) == MeanLengths(
        mean=Fraction(sum(length for length, _ in every), len(every)),
        weighted_mean=Fraction(sum(length * weight for length, weight in weights.items())) / sum(weights.values()),
        longest=max(weights),
    )
