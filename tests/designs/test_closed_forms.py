"""Sizes of whole families in closed form, for members that no table lists."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resatlas.arch.cost import Cost, cost, unit_cost
from resatlas.designs.catalog import resolve

N = st.integers(1, 40)


def parameters(text: str, classes: int = 10) -> int:
    """The parameters of a design."""
    return cost(resolve(text).plan(classes=classes)).parameters


@given(n=N)
@settings(max_examples=10, deadline=None)
def test_resnets_of_basic_units(n: int) -> None:
    """97,216n - 21,926 with option A, as many without shortcuts or pre-activated; B adds 2,752, or 2,560 bare.

    Source: ResNet paper (arXiv:1512.03385), 4.2; pre-activation paper (arXiv:1603.05027), appendix.
    """
    whole = 97_216 * n - 21_926
    depth = 6 * n + 2
    assert parameters(f"resnet:depth={depth}") == whole
    assert parameters(f"plain:depth={depth}") == whole
    assert parameters(f"preact-resnet:depth={depth},unit=basic") == whole
    assert parameters(f"resnet:depth={depth},shortcut=B") == whole + 2_752
    assert parameters(f"preact-resnet:depth={depth},unit=basic,shortcut=B") == whole + 2_560
    assert parameters(f"resnet:depth={depth}", classes=100) == whole + 5_850


@given(n=N)
@settings(max_examples=10, deadline=None)
def test_preactivated_bottlenecks(n: int) -> None:
    """92,736n + 34,010; the post-activation twin has 896 more.

    Source: pre-activation paper (arXiv:1603.05027), appendix: 9n + 2 layers.
    """
    whole = 92_736 * n + 34_010
    assert parameters(f"preact-resnet:depth={9 * n + 2},unit=bottleneck") == whole
    assert parameters(f"resnet:depth={9 * n + 2},unit=bottleneck") == whole + 896


@given(n=N, k=st.integers(1, 12), classes=st.integers(1, 100))
@settings(max_examples=20, deadline=None)
def test_wide_resnets(n: int, k: int, classes: int) -> None:
    """464 + (N - 1)(96,768k² + 448k) + 73,984k² + 3,008k + 64kC + C, and 256 less for k = 1.

    Source: Wide ResNet paper (arXiv:1605.07146), Table 1: 6N + 4 layers.
    """
    whole = 464 + (n - 1) * (96_768 * k**2 + 448 * k) + 73_984 * k**2 + 3_008 * k + 64 * k * classes + classes
    assert parameters(f"wrn-{6 * n + 4}-{k}", classes) == whole - (256 if k == 1 else 0)


@given(n=st.integers(1, 10))
@settings(max_examples=5, deadline=None)
def test_deepening_leaves_the_size(n: int) -> None:
    """One to four convolutions a unit, as many convolutions in all: the same size.

    Source: Wide ResNet paper (arXiv:1605.07146), Table 3.
    """
    depth = 36 * n + 4
    assert len({parameters(f"wrn-{depth}-2-l{convs}") for convs in (1, 2, 3, 4)}) == 1


@given(n=N, k=st.integers(1, 8))
@settings(max_examples=20, deadline=None)
def test_merge_and_run(n: int, k: int) -> None:
    """K streams of n units a stage: 1,114 + K(97,216n - 20,288); K bodies under one shortcut share its projections.

    Source: DMRNet paper (arXiv:1611.07718), section 3; the released code's 1x1 projections with a norm, 2,752 a stream.
    """
    whole = 1_114 + k * (97_216 * n - 20_288)
    depth = 6 * n + 2
    assert parameters(f"dmrnet:depth={depth},streams={k}") == whole
    assert parameters(f"dilnet:depth={depth},branches={k}") == whole - 2_752 * (k - 1)


@given(n=st.integers(1, 20))
@settings(max_examples=10, deadline=None)
def test_merge_and_run_costs_its_twin(n: int) -> None:
    """Two residual units are one merge-and-run unit, so that the twin of 12n + 2 layers has a projection less a stage.

    Source: DMRNet paper (arXiv:1611.07718), section 3.
    """
    twin = parameters(f"resnet:depth={12 * n + 2},shortcut=B")
    dmrnet = parameters(f"dmrnet:depth={6 * n + 2}")
    dilnet = parameters(f"dilnet:depth={6 * n + 2}")
    assert twin - dmrnet == 20_288
    assert dmrnet - dilnet == 2_752


@pytest.mark.parametrize("join", ["merge", "sum"])
def test_joins_that_add_cost_nothing(join: str) -> None:
    """Merged or summed streams have one classifier; side by side they have one twice as wide."""
    assert parameters(f"dmrnet-14:join={join}") == parameters("dmrnet-14")
    assert parameters("dmrnet-14:join=concat") == parameters("dmrnet-14") + 640


@given(
    n=st.integers(1, 3),
    cardinality=st.integers(1, 16),
    width=st.integers(1, 16),
    setting=st.sampled_from(("cifar", "imagenet")),
)
@settings(max_examples=15, deadline=None)
def test_the_three_forms_of_resnext_cost_the_same(n: int, cardinality: int, width: int, setting: str) -> None:
    """Summed bodies, concatenated bodies and groups have equal parameters and multiply-adds.

    Source: ResNeXt paper (arXiv:1611.05431), Fig. 3.
    """
    depth = 9 * n + 2 if setting == "cifar" else 50
    text = f"resnext:depth={depth},cardinality={cardinality},width={width},setting={setting}"
    totals = {form: cost(resolve(f"{text},form={form}").plan()) for form in "abc"}
    assert len({(total.parameters, total.multiply_adds) for total in totals.values()}) == 1
    assert totals["c"] == cost(resolve(text).plan())


def test_one_wide_path_is_a_resnet() -> None:
    """ResNeXt 1x64d is the ResNet with its stride on the 3x3.

    Source: ResNeXt paper (arXiv:1611.05431), Table 1.
    """
    resnext, resnet = (resolve(name).plan() for name in ("resnext-50-1x64d", "resnet-50-v1.5"))
    assert resnext == resnet


@pytest.mark.parametrize(
    ("v1", "v15"),
    [("resnet-50", "resnet-50-v1.5"), ("preact-resnet-200", "preact-resnet-200-v1.5")],
)
def test_the_place_of_the_stride_changes_the_work_alone(v1: str, v15: str) -> None:
    """On the 3x3 a bottleneck has the same parameters and 0.23 G more multiply-adds."""
    before, after = (cost(resolve(name).plan()) for name in (v1, v15))
    assert before.parameters == after.parameters
    assert after.multiply_adds - before.multiply_adds == 231_211_008


def test_another_convolution_costs_itself_and_its_norm() -> None:
    """A 1x1 between two 3x3, at the unit's width, adds width² + 2·width to every unit of a wide ResNet."""
    two, three = (
        [unit_cost(unit).parameters for _, unit in resolve(f"wrn-16-2:kernels={kernels}").plan().units]
        for kernels in ("33", "313")
    )
    more = [after - before for before, after in zip(two, three, strict=True)]
    assert more == [width * width + 2 * width for width in (32, 32, 64, 64, 128, 128)]


def test_widths_multiply_as_fractions() -> None:
    """One and a half times as wide is exact in both ways of writing it."""
    assert resolve("wrn-16-1.5").blueprint == resolve("wrn-16-1:widen=3/2").blueprint
    assert resolve("wrn-16-1.5").design == resolve(f"wrn-16-1:widen={Fraction(3, 2)}").design


def test_no_classes_save_the_classifier() -> None:
    """Without classes a network gives features: 64 · 10 weights and 10 biases less."""
    plans = [resolve("resnet-20").plan(classes=classes) for classes in (10, 0)]
    assert cost(plans[0]) == cost(plans[1]) + Cost(650, 640, 10)
