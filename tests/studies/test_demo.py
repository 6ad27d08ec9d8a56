"""The demo compares designs of equal cost, which their plans show before any training."""

from itertools import combinations

import pytest

from resatlas.arch.cost import Cost, cost
from resatlas.data import catalog as datasets
from resatlas.designs import catalog as designs
from resatlas.errors import ResatlasError
from resatlas.studies.study import StudyQuestion, demo_study

OF_THE_PAPERS = {"resnet", "plain", "preact-resnet", "wide-resnet", "resnext", "pyramidnet", "dmrnet", "dilnet"}
"""The families of the five papers; the demo leaves out later ones."""

DEEP = 56
CLOSE = 1.1


def question(name: str) -> StudyQuestion:
    """A question of the demo."""
    [match] = (question for question in demo_study().questions if question.name == name)
    return match


def designs_of(name: str) -> list[str]:
    """The designs of a question, each once."""
    return list(dict.fromkeys(design for runs in question(name).runs for design in runs.designs))


def price(design: str, name: str = "budget") -> Cost:
    """Parameters and multiply-adds on the images of a question."""
    [text] = {runs.data or demo_study().data for runs in question(name).runs}
    data = datasets.resolve(text)
    return cost(designs.plan(design, image=data.image, classes=len(data.classes)))


def test_the_demo_runs_on_data_that_need_no_download() -> None:
    """Digits of 16x16 pixels and scenes of them, by the quick recipe."""
    study = demo_study()
    assert (study.name, study.data, study.recipe) == ("demo", "digits:size=16", "quick")
    assert {experiment.data for experiment in study.distinct_experiments().values()} == {"digits:size=16", "largest"}
    assert [(question.name, question.view) for question in study.questions] == [
        ("depth", "depth"),
        ("budget", "budget"),
    ]


@pytest.mark.parametrize("design", [*designs_of("depth"), *designs_of("budget")])
def test_every_design_of_the_demo_resolves(design: str) -> None:
    """For the demo's images and classes."""
    assert price(design).parameters > 1000


@pytest.mark.parametrize(("one", "other"), list(combinations(designs_of("budget"), 2)))
@pytest.mark.parametrize("quantity", ["parameters", "multiply_adds"])
def test_designs_at_an_equal_budget_are_within_ten_percent(one: str, other: str, quantity: str) -> None:
    """Every pair, in parameters and in multiply-adds."""
    low, high = sorted(getattr(price(design), quantity) for design in (one, other))
    assert high / low <= CLOSE


def test_the_budget_question_asks_each_family_once_and_several_seeds() -> None:
    """Every family except the plain twins, which serve as a control."""
    families = [designs.resolve(design).family for design in designs_of("budget")]
    assert sorted(families) == sorted(OF_THE_PAPERS - {"plain", "preact-resnet"})
    assert all(len(runs.seed_list) >= 5 for runs in question("budget").runs)


def deepest() -> list[str]:
    """The designs of the depth question that are near 56."""
    return [design for design in designs_of("depth") if (designs.resolve(design).depth or 0) > DEEP // 2]


def test_the_depth_question_asks_every_family() -> None:
    """Each once at its greatest depth."""
    assert sorted(designs.resolve(design).family for design in deepest()) == sorted(OF_THE_PAPERS)


def is_a_depth(family: str, knobs: str, depth: int) -> bool:
    """Whether the family has a member of this depth and these other knobs."""
    try:
        designs.resolve(f"{family}:depth={depth},{knobs}")
    except ResatlasError:
        return False
    return True


@pytest.mark.parametrize("design", deepest())
def test_no_member_of_a_family_is_nearer_to_depth_56(design: str) -> None:
    """Each design of the depth question is the one of its family and knobs that is nearest to 56."""
    family, _, words = design.partition(":")
    depth, _, knobs = words.partition(",")
    off = abs(int(depth.removeprefix("depth=")) - DEEP)
    assert is_a_depth(family, knobs, int(depth.removeprefix("depth=")))
    assert not any(is_a_depth(family, knobs, DEEP + sign * k) for k in range(off) for sign in (-1, 1))


def test_plain_and_residual_nets_meet_at_every_depth() -> None:
    """The effect of a shortcut is measured against the same network without it."""
    pairs = {
        family: [design for design in designs_of("depth") if design.startswith(f"{family}:")]
        for family in ("plain", "resnet")
    }
    assert [design.removeprefix("plain") for design in pairs["plain"]] == [
        design.removeprefix("resnet") for design in pairs["resnet"]
    ]
    assert len(pairs["plain"]) == 3


def test_the_demo_asks_what_its_page_shows() -> None:
    """Paths of a plain, a residual and a merge-and-run network, gradients of the degradation pair, lesions of three."""
    study = demo_study()
    dissections = list(study.dissected_runs())
    experiments = study.distinct_experiments()
    paths = [experiments[runs[0]].design.partition(":")[0] for question, runs in dissections if question == "paths"]
    assert paths == ["plain", "resnet", "dmrnet"]
    [pair] = [runs for question, runs in dissections if question == "flow"]
    assert [experiments[name].design for name in pair] == ["resnet:depth=56,base=8", "plain:depth=56,base=8"]
    assert max(len(runs) for question, runs in dissections if question == "lesion") == 3
    assert all(
        experiments[name].design.partition(",")[0].endswith(("=8", "=20"))
        for q, runs in dissections
        if q == "lesion"
        for name in runs
    )
