"""Verdicts on synthetic runs: which claims are made, and at which budgets."""

import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from statistics import fmean
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resatlas.comparing.comparison import compare
from resatlas.comparing.comparison_data import as_json
from resatlas.comparing.verdicts import ComparedPair
from resatlas.errors import FolderError, UnknownName, UsageError
from resatlas.runs.files import read_json, write_json
from resatlas.runs.store import Run
from tests.comparing import folders
from tests.comparing.folders import IMAGES, RECIPE, Subject, write_errors, write_run, write_study

SMALL = Subject(family="resnet", depth=8, parameters=20_000, multiply_adds=1_000_000, pace=0.5)
MIDDLE = Subject(family="resnet", depth=20, parameters=60_000, multiply_adds=3_000_000, pace=1.5)
LARGE = Subject(family="resnet", depth=56, parameters=180_000, multiply_adds=9_000_000, pace=4.5)
PLAIN = replace(MIDDLE, family="plain")
LOW, HIGH = (10, 12, 11, 13), (40, 43, 41, 38)
"""Misclassified images of 360, seed by seed."""


def judged(folder: Path, *runs: tuple[Subject, Sequence[int]], against: str | None = None) -> tuple[ComparedPair, ...]:
    """The compared pairs of runs with these numbers of misclassified images."""
    for subject, wrong in runs:
        write_errors(folder, subject, wrong)
    [comparison] = compare([folder], against=against)
    return comparison.pairs


def edited(runs: Sequence[Run], file: str, **values: object) -> None:
    """Set keys of a JSON file of some runs."""
    for run in runs:
        folders.edited(run.folder / file, **values)


def test_less_at_equal_budgets_is_supported(tmp_path: Path) -> None:
    """The first has the lower error, or the higher one, at budgets within 10 %; each budget has its verdict."""
    [pair] = judged(tmp_path, (PLAIN, LOW), (MIDDLE, HIGH))
    assert (pair.first.label, pair.second.label, pair.verdict) == ("plain", "resnet", "supported")
    assert pair.trained is not None
    assert pair.trained.points == pytest.approx(100 * (fmean(LOW) - fmean(HIGH)) / IMAGES)
    assert {basis: (verdict.verdict, len(verdict.tested)) for basis, verdict in pair.verdicts.items()} == {
        "multiply-adds": ("supported", 1),
        "parameters": ("supported", 1),
    }
    [pair] = judged(tmp_path / "other", (PLAIN, HIGH), (MIDDLE, LOW))
    assert pair.verdict == "contradicted"


def test_a_difference_that_may_be_chance_is_undecided(tmp_path: Path) -> None:
    """No design is better, whatever the means."""
    [pair] = judged(tmp_path, (PLAIN, (10, 20, 30)), (MIDDLE, (15, 22, 32)))
    assert pair.verdict == "undecided"


def test_each_budget_has_a_verdict_of_its_own(tmp_path: Path) -> None:
    """With one size each, a budget that differs by more than 10 % has no claim, but a command that finds a design."""
    [pair] = judged(tmp_path, (replace(PLAIN, parameters=70_000), LOW), (MIDDLE, HIGH))
    assert {basis: verdict.verdict for basis, verdict in pair.verdicts.items()} == {
        "multiply-adds": "supported",
        "parameters": "not testable here",
    }
    [reason] = pair.verdicts["parameters"].reasons
    assert reason == (
        "no runs at comparable parameters: 70,000 against 60,000; train a design that "
        "`resatlas solve plain --parameters 60000 --image 1,16,16 --classes 10` finds"
    )
    [pair] = judged(tmp_path / "b", (replace(PLAIN, multiply_adds=4_000_000), LOW), (MIDDLE, HIGH))
    assert pair.verdict == "not testable here"
    assert pair.verdicts["parameters"].verdict == "supported"


def test_seconds_decide_nothing(tmp_path: Path) -> None:
    """Equal parameters and multiply-adds give a verdict, whatever the seconds and their variation."""
    runs = write_errors(tmp_path, replace(PLAIN, pace=0.03), LOW)
    write_errors(tmp_path, replace(MIDDLE, pace=0.06), HIGH)
    edited(runs[:1], "results.json", seconds=0.9)
    [comparison] = compare([tmp_path])
    assert comparison.pairs[0].verdict == "supported"
    values = as_json(comparison)
    assert values["pairs"][0]["equal_budgets"]["seconds"] == (
        "not used in the verdict: wall-clock times, 0.4 (0.4 to 0.9) against 0.7 s"
    )
    assert [design["seconds_spread"] for design in values["designs"]] == [pytest.approx([0.36, 0.9]), [0.72, 0.72]]
    assert any("a cost, not used in the verdicts" in note for note in comparison.notes)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"threads": "1"}, "different OMP_NUM_THREADS (1 / default)"),
        ({"processor": "another", "cores": 8}, "different processor (AMD EPYC / another) and number of cores (2 / 8)"),
        ({"packages": {"torch": "2.15.0"}}, "different version of torch (2.14.1 / 2.15.0)"),
    ],
)
def test_what_differs_between_machines_is_named(tmp_path: Path, change: Mapping[str, object], words: str) -> None:
    """The warning is about seconds, and the verdict is not affected."""
    runs = write_errors(tmp_path, PLAIN, LOW)
    write_errors(tmp_path, MIDDLE, HIGH)
    edited(runs, "env.json", **change)
    [comparison] = compare([tmp_path])
    assert comparison.pairs[0].verdict == "supported"
    assert f"seconds are not comparable: measured with {words}" in comparison.warnings
    assert (
        as_json(comparison)["pairs"][0]["equal_budgets"]["seconds"] == f"not used in the verdict: measured with {words}"
    )


def test_unequal_budgets_widen_the_interval(tmp_path: Path) -> None:
    """8 % of the budget may explain 8 % of the lower error: both intervals and p include it."""
    wrong = (100, 104, 102), (107, 111, 109)
    [same] = judged(tmp_path / "a", (PLAIN, wrong[0]), (MIDDLE, wrong[1]))
    [near] = judged(tmp_path / "b", (replace(PLAIN, multiply_adds=3_240_000), wrong[0]), (MIDDLE, wrong[1]))
    one, other = (pair.verdicts["multiply-adds"].tested[0].difference for pair in (same, near))
    assert (one.slack, other.slack) == (0, pytest.approx(0.08 * 100 * 102 / IMAGES))
    assert other.low == pytest.approx(one.low - other.slack)
    assert other.high == pytest.approx(one.high + other.slack)
    assert other.interval_images is not None
    assert one.p_seeds < 0.05 < other.p_seeds
    assert other.detectable is not None
    assert one.detectable is not None
    assert other.detectable.points == pytest.approx(one.detectable.points + other.slack, abs=0.02)


def test_no_claim_rests_on_a_chord(tmp_path: Path) -> None:
    """Equal laws of error over size, one size between two of the other kind: undecided."""
    inside = [
        (SMALL, (36, 37, 36)),
        (LARGE, (12, 13, 12)),
        (PLAIN, (18, 19, 18)),
    ]
    pairs = judged(tmp_path, *inside)
    weight = math.log(60 / 20) / math.log(180 / 20)
    chord = (1 - weight) * fmean((36, 37, 36)) + weight * fmean((12, 13, 12))
    assert fmean((18, 19, 18)) < chord - 5, "the chord is far above"
    assert {pair.verdict for pair in pairs} == {"undecided"}
    for pair in pairs:
        settled = pair.verdicts["multiply-adds"]
        assert settled.remedy == "resatlas solve resnet --multiply-adds 3000000 --image 1,16,16 --classes 10"
        [tested] = settled.tested
        assert tested.second == pytest.approx((100 * fmean((12, 13, 12)) / IMAGES, 100 * fmean((36, 37, 36)) / IMAGES))
        assert tested.difference.p == 1


def test_lower_than_the_larger_size_is_lower_between(tmp_path: Path) -> None:
    """A design with a lower error than both sizes around it needs no curve; the claim is about the kind."""
    pairs = judged(tmp_path, (SMALL, HIGH), (LARGE, HIGH), (PLAIN, LOW))
    assert [pair.claim for pair in pairs] == [
        "plain has a lower error than resnet 8's kind",
        "plain has a lower error than resnet 56's kind",
    ]
    assert {pair.verdict for pair in pairs} == {"supported"}


def test_another_sign_at_another_amount_depends_on_the_budget(tmp_path: Path) -> None:
    """Significantly lower at one amount and higher at another; if only one is significant, undecided."""
    other = [replace(size, family="plain") for size in (SMALL, LARGE)]
    runs = (SMALL, (90, 92, 94)), (LARGE, (5, 6, 7)), (other[0], (60, 62, 61)), (other[1], (40, 41, 42))
    [pair] = [
        pair
        for pair in judged(tmp_path / "a", *runs, against=SMALL.design)
        if pair.first.row.family == "plain" and pair.first.row.depth == 56
    ]
    assert pair.verdict == "depends on the budget"
    assert {tested.side for tested in pair.verdicts["multiply-adds"].tested} == {-1, 1}
    runs = (SMALL, (90, 92, 94)), (LARGE, (38, 45, 52)), (other[0], (60, 62, 61)), (other[1], (40, 45, 49))
    [pair] = [
        pair
        for pair in judged(tmp_path / "b", *runs, against=SMALL.design)
        if pair.first.row.family == "plain" and pair.first.row.depth == 56
    ]
    assert pair.verdict == "undecided"


def test_opposite_verdicts_of_two_budgets_depend_on_the_budget(tmp_path: Path) -> None:
    """Lower at equal multiply-adds and higher at equal parameters: the pair has no single verdict."""
    costly = replace(PLAIN, parameters=180_000)
    runs = (MIDDLE, HIGH), (replace(LARGE, multiply_adds=9_000_000), (2, 3, 2)), (costly, LOW)
    [pair] = [pair for pair in judged(tmp_path, *runs) if pair.second.row.depth == 56]
    assert {basis: verdict.verdict for basis, verdict in pair.verdicts.items()} == {
        "multiply-adds": "supported",
        "parameters": "contradicted",
    }
    assert pair.verdict == "depends on the budget"


def test_two_sizes_of_one_kind_are_judged_as_they_are(tmp_path: Path) -> None:
    """Degradation is testable: whether the deeper one has the higher error, whatever the budgets."""
    [pair] = judged(tmp_path, (SMALL, LOW), (LARGE, HIGH), against=SMALL.design)
    assert (pair.first.row.depth, list(pair.verdicts), pair.verdict) == (56, ["sizes"], "contradicted")
    assert pair.claim == "resnet 56 has a lower error than resnet 8"


def test_one_seed_has_no_spread(tmp_path: Path) -> None:
    """A single seed has no verdict, nor have runs that all have the same error."""
    [pair] = judged(tmp_path / "a", (PLAIN, LOW), (MIDDLE, (40,)))
    assert (pair.verdict, pair.trained) == ("not testable here", None)
    assert pair.reasons == ("resnet has one seed only, so no verdict",)
    [pair] = judged(tmp_path / "b", (PLAIN, (0, 0, 0)), (MIDDLE, (0, 0, 0)))
    assert pair.reasons == (
        "all runs of both designs have the same value, 0, so there is neither difference nor spread",
    )


@pytest.mark.parametrize(("seeds", "verdict"), [(2, "undecided"), (3, "undecided"), (4, "supported"), (5, "supported")])
def test_errors_that_do_not_vary_have_an_exact_p(tmp_path: Path, seeds: int, verdict: str) -> None:
    """(0, 0, 0) against (40, 40, 40): 2 of all ways to assign them, 0.1 with three seeds and 0.03 with four."""
    [pair] = judged(tmp_path, (PLAIN, (0,) * seeds), (MIDDLE, (40,) * seeds))
    assert pair.trained is not None
    assert pair.trained.p_seeds == pytest.approx(2 / math.comb(2 * seeds, seeds))
    assert pair.trained.interval_seeds is None
    assert pair.trained.interval_images is not None
    assert pair.trained.nets.nets == 4
    assert pair.verdict == verdict


def test_two_changes_at_once_have_no_verdict(tmp_path: Path) -> None:
    """Design and recipe together are not testable; the recipe alone is tested like the design alone."""
    write_errors(tmp_path, PLAIN, LOW, recipe=replace(RECIPE, batch=32))
    write_errors(tmp_path / "x", MIDDLE, HIGH)
    [comparison] = compare([tmp_path, tmp_path / "x"])
    assert comparison.pairs[0].verdict == "not testable here"
    [reason] = comparison.pairs[0].reasons
    assert reason == "they differ in design and recipe, and no run shows which of these causes the difference"
    assert "unequal recipe of plain and resnet: batch 32 / 64" in comparison.warnings
    shutil.rmtree(tmp_path / "x")
    write_errors(tmp_path / "x", PLAIN, HIGH)
    [comparison] = compare([tmp_path, tmp_path / "x"])
    assert {pair.verdict for pair in comparison.pairs} <= {"supported", "contradicted"}


def test_sizes_are_compared_with_their_nearest(tmp_path: Path) -> None:
    """Two kinds with three sizes each give three pairs, not fifteen; --against compares with all."""
    for family in ("plain", "resnet"):
        for size in (SMALL, MIDDLE, LARGE):
            write_errors(tmp_path, replace(size, family=family), LOW)
    pairs = compare([tmp_path])[0].pairs
    assert [(pair.first.row.depth, pair.second.row.depth) for pair in pairs] == [(8, 8), (20, 20), (56, 56)]
    assert {pair.verdict for pair in pairs} == {"undecided"}
    assert len(compare([tmp_path], against=MIDDLE.design)[0].pairs) == 5


def test_a_design_has_several_names(tmp_path: Path) -> None:
    """The baseline may be written differently than in its runs."""
    write_errors(tmp_path, PLAIN, LOW)
    write_errors(tmp_path, replace(MIDDLE, knobs="base=16"), HIGH)
    [comparison] = compare([tmp_path], against="resnet-20")
    assert [pair.first.label for pair in comparison.pairs] == ["plain"]


def test_holm_counts_the_pairs_that_are_tested(tmp_path: Path) -> None:
    """With three pairs the least p is multiplied by three; pairs that are not tested do not count."""
    third, alone = replace(PLAIN, family="dmrnet"), replace(PLAIN, family="dilnet")
    pairs = judged(tmp_path, (PLAIN, LOW), (MIDDLE, HIGH), (third, (25, 28, 20)), (alone, (9,)))
    differences = [pair.trained for pair in pairs if pair.trained]
    assert len(differences) == 3 < len(pairs)
    least = min(differences, key=lambda difference: difference.p)
    assert least.p_holm == pytest.approx(3 * least.p)
    assert max(pair.p_holm for pair in differences) == pytest.approx(max(pair.p for pair in differences))


def test_ten_networks_have_robust_tests(tmp_path: Path) -> None:
    """Rank sum and bootstrap give p for ten networks or more, and the smallest possible p for fewer."""
    [pair] = judged(tmp_path / "a", (PLAIN, range(10, 20)), (MIDDLE, range(15, 25)))
    assert [test.p is not None for test in pair.robust_tests] == [True, True]
    [pair] = judged(tmp_path / "b", (PLAIN, range(10, 19)), (MIDDLE, range(15, 25)))
    assert [test.p for test in pair.robust_tests] == [None, None]
    assert pair.robust_tests[0].least == 2 / math.comb(19, 9)


def test_seeds_are_paired_where_they_correlate(tmp_path: Path) -> None:
    """Errors that correlate over shared seeds have a narrow interval; others do not."""
    hard = (10, 30, 50, 20, 40)
    [pair] = judged(tmp_path / "a", (PLAIN, hard), (MIDDLE, [errors + 2 + errors % 3 for errors in hard]))
    assert pair.trained is not None
    assert pair.trained.method == "paired"
    assert pair.trained.p_seeds < 0.01 < pair.trained.p, "other images might say otherwise"
    assert pair.verdict == "undecided"
    assert pair.correlation is not None
    assert pair.correlation > 0.99
    [pair] = judged(tmp_path / "b", (PLAIN, hard), (MIDDLE, [errors + 2 + errors % 3 for errors in hard[::-1]]))
    assert pair.trained is not None
    assert (pair.trained.method, pair.verdict) == ("pooled", "undecided")
    opposed = [60 - errors for errors in hard]
    [pair] = judged(tmp_path / "d", (PLAIN, hard), (MIDDLE, opposed))
    assert pair.trained is not None
    assert pair.trained.method == "paired", "not to pair would make the interval too narrow"
    [pair] = judged(tmp_path / "c", (PLAIN, hard), (MIDDLE, [errors + 2 for errors in hard]))
    assert pair.trained is not None
    assert pair.trained.method == "pooled", "differences that are all the same have no spread to judge by"


def test_pairs_of_networks_are_not_pooled(tmp_path: Path) -> None:
    """McNemar's test of each shared seed, from the images that only one network misclassifies."""
    write_errors(tmp_path, PLAIN, LOW[:2])
    write_errors(tmp_path, MIDDLE, HIGH[:3])
    [comparison] = compare([tmp_path])
    assert [two.seeds for two in comparison.nets] == [(0, 0), (1, 1)]
    for two, low, high in zip(comparison.nets, LOW, HIGH, strict=False):
        assert two.second_alone - two.first_alone == high - low


small = st.lists(st.integers(1, 60), min_size=1, max_size=4)


@settings(max_examples=12, deadline=None)
@given(st.lists(small, min_size=2, max_size=3), st.randoms(use_true_random=False))
def test_neither_order_nor_side_matters(counts: list[list[int]], random: Random) -> None:
    """The order of the folders changes nothing; exchanged sides give the opposite verdict."""
    opposite = {"supported": "contradicted", "contradicted": "supported"}
    with TemporaryDirectory() as name:
        folder = Path(name)
        families = ("plain", "resnet", "dmrnet")
        runs = [
            run
            for family, wrong in zip(families, counts, strict=False)
            for run in write_errors(folder, replace(MIDDLE, family=family), wrong)
        ]
        folders = [run.folder for run in runs]
        [comparison] = compare(folders)
        random.shuffle(folders)
        assert [as_json(again) for again in compare(folders)] == [as_json(comparison)]
        if len(counts) > 2:
            return
        [back] = compare(folders, against=comparison.pairs[0].first.row.design)
        [ours], [theirs] = comparison.pairs, back.pairs
        assert theirs.first.label == ours.second.label
        assert opposite.get(ours.verdict, ours.verdict) == theirs.verdict
        assert theirs.p == (None if ours.p is None else pytest.approx(ours.p))
        if ours.trained:
            assert theirs.trained is not None
            assert theirs.trained.detectable == pytest.approx(ours.trained.detectable)
            assert theirs.trained.points == -ours.trained.points
            assert theirs.trained.nets == ours.trained.nets
            for one, other in (
                (theirs.trained.interval_seeds, ours.trained.interval_seeds),
                (theirs.trained.interval_images, ours.trained.interval_images),
            ):
                assert (one is None) == (other is None)
                if one and other:
                    assert one == pytest.approx((-other[1], -other[0]))
        assert theirs.robust_tests == ours.robust_tests


# ------------------------------------------------------------------------------------------------ warnings, refusals


def warned(folder: Path) -> tuple[str, ...]:
    """The warnings of the only comparison."""
    [comparison] = compare([folder])
    return comparison.warnings


def test_inequalities_have_warnings(tmp_path: Path) -> None:
    """Unequal budgets, seeds and departures, a recipe that was made for one design, and unfinished runs."""
    runs = write_errors(tmp_path, replace(PLAIN, family="wide-resnet", parameters=90_000), LOW)
    for run in (*runs, *write_errors(tmp_path, MIDDLE, HIGH[:3])):
        recipe = {**read_json(run.folder / "experiment.json")["recipe"], "name": "wrn-cifar"}
        edited([run], "experiment.json", recipe=recipe)
    edited(runs, "experiment.json", departures=["batch is 64 in place of 128"])
    (tmp_path / "begun").mkdir()
    write_json(tmp_path / "begun" / "experiment.json", read_json(runs[0].folder / "experiment.json"))
    assert warned(tmp_path) == (
        "unequal budgets: from 60,000 parameters (resnet) to 90,000 parameters (wide-resnet)",
        "unequal seeds, so unequal order of the data: 0 to 2 of resnet; 0 to 3 of wide-resnet; designs with different "
        "seeds are not paired",
        "unequal departures from the recipe: wide-resnet: batch is 64 in place of 128",
        "unequal tuning: the recipe wrn-cifar was made for wide-resnet, not for resnet",
        "left out, not finished: begun: not begun",
    )


def test_unequal_numbers_of_recipes_have_a_warning(tmp_path: Path) -> None:
    """The best of two recipes has an advantage over a single one."""
    write_errors(tmp_path, PLAIN, LOW)
    write_errors(tmp_path, MIDDLE, HIGH)
    for run in write_errors(tmp_path / "again", MIDDLE, LOW):
        recipe = {**read_json(run.folder / "experiment.json")["recipe"], "batch": 32}
        edited([run], "experiment.json", recipe=recipe)
    [comparison] = compare([tmp_path, tmp_path / "again"])
    expected = (
        "unequal tuning: recipes tried: 1 for plain:depth=20,base=8 and 2 for resnet:depth=20,base=8; the best of "
        "several has a lower error by selection alone"
    )
    assert expected in comparison.warnings


def test_errors_near_zero_have_a_note(tmp_path: Path) -> None:
    """Three misclassified images of 360 are far from a normal distribution."""
    write_errors(tmp_path, PLAIN, (2, 3, 4))
    write_errors(tmp_path, MIDDLE, HIGH)
    [comparison] = compare([tmp_path])
    assert comparison.notes[0].startswith(
        "Errors near zero: on average few of the 360 images are misclassified: plain (3.0)."
    )


def test_equal_runs_have_no_warning(tmp_path: Path) -> None:
    """There is no warning if nothing is unequal."""
    write_errors(tmp_path, PLAIN, LOW)
    write_errors(tmp_path, MIDDLE, HIGH)
    assert warned(tmp_path) == ()


def test_published_errors_are_shown_beside_ours(tmp_path: Path) -> None:
    """They are unchanged and have their protocol, and a spread only where one was printed."""
    for subject, wrong in ((replace(MIDDLE, knobs="base=16"), LOW), (replace(LARGE, depth=110, knobs="base=16"), HIGH)):
        write_errors(tmp_path, subject, wrong, data="cifar-10")
    [comparison] = compare([tmp_path])
    published = comparison.published["resnet 20"]
    assert [(str(error.value), error.spread, error.protocol) for error in published] == [
        ("8.75", None, "mean subtracted; repeats not stated")
    ]
    assert ("6.61 ± 0.16", "mean of 5") in [
        (str(error), error.protocol) for error in comparison.published["resnet 110"]
    ]


def test_studies_keep_their_questions(tmp_path: Path) -> None:
    """Each question of a study is compared with its own Holm correction; also if the study is one folder of several."""
    study = write_study(tmp_path / "inner" / "study")
    comparisons = compare([study])
    assert [comparison.question.title for comparison in comparisons] == [
        "Which designs train when they are deep?",
        "Which is better at an equal budget?",
    ]
    assert [as_json(inner) for inner in compare([tmp_path / "inner"])] == list(map(as_json, comparisons))
    assert len(compare([study], against="resnet:depth=56,base=8")) == 1


def refusal(*folders: Path, against: str | None = None) -> str:
    """The message of the error."""
    with pytest.raises((FolderError, UnknownName)) as caught:
        compare(folders, against=against)
    return str(caught.value)


def test_what_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    """No runs, one design, several data sets, other images and a copied run have a message of one line."""
    assert refusal(tmp_path / "nowhere").endswith("is neither a run nor a study: it does not exist")
    assert "there is no experiment.json or study.json in it" in refusal(tmp_path)
    [run, *_] = write_errors(tmp_path / "a", PLAIN, LOW)
    assert refusal(run.folder) == "nothing to compare: all runs are of plain; add runs of another design"
    assert refusal(tmp_path / "a") == refusal(run.folder)
    write_errors(tmp_path / "b", MIDDLE, HIGH)
    assert refusal(tmp_path / "a", tmp_path / "b", against="resnet:depth=2O,base=8") == (
        'no run of the design "resnet:depth=2O,base=8"; did you mean "resnet:depth=20,base=8"?'
    )
    write_errors(tmp_path / "c", MIDDLE, HIGH, data="synthetic")
    assert refusal(tmp_path / "a", tmp_path / "c") == (
        "the runs are of several data sets (digits:size=16, synthetic); errors can be compared only on the same images"
    )
    shutil.copytree(run.folder, tmp_path / "a" / "copy")
    assert refusal(tmp_path / "a", tmp_path / "b") == (
        f"copy and {run.name} are one training with seed 0; a copy does not count as another network"
    )
    shutil.rmtree(tmp_path / "a" / "copy")
    edited([run], "experiment.json", images="other")
    assert refusal(tmp_path / "a", tmp_path / "b").startswith("the runs are of different images of digits:size=16")


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        ("", "not valid JSON"),
        ("[]", "results.json: expected a table, got list"),
        ({"test": {"loss": 1, "error_percent": "1", "images": IMAGES}}, "error_percent: expected a number"),
        ({"test": {"loss": 1, "error_percent": math.inf, "images": IMAGES}}, "error_percent is a finite number from 0"),
        ({"test": {"loss": 1, "error_percent": math.nan, "images": IMAGES}}, "error_percent is a finite number from 0"),
        ({"parameters": -1}, "parameters is a finite number from 0; got -1"),
        ({"seconds": None}, "results.seconds: expected a number, got nothing"),
        ({"train": {}}, 'results.train: key "loss" is missing'),
    ],
    ids=str,
)
def test_damaged_results_are_named(tmp_path: Path, damage: str | Mapping[str, object], sentence: str) -> None:
    """The message names the file and its fault."""
    runs = write_errors(tmp_path, PLAIN, LOW)
    write_errors(tmp_path, MIDDLE, HIGH)
    if isinstance(damage, str):
        (runs[0].folder / "results.json").write_text(damage)
        folders.seal(runs[0].folder)
    else:
        edited(runs[:1], "results.json", **damage)
    assert sentence in refusal(tmp_path)
    assert runs[0].name in refusal(tmp_path)


def test_other_test_images_are_refused(tmp_path: Path) -> None:
    """Fewer images or others are refused; runs without predictions are compared, but not one by one."""
    runs = write_errors(tmp_path, PLAIN, LOW)
    write_errors(tmp_path, MIDDLE, HIGH)
    kept = (runs[0].folder / "predictions.csv").read_text()
    (runs[0].folder / "predictions.csv").write_text(kept.replace("\n1,", "\n100000,", 1))
    folders.seal(runs[0].folder)
    assert refusal(tmp_path) == "the runs were tested on different images: the ids of their predictions differ"
    (runs[0].folder / "predictions.csv").unlink()
    folders.seal(runs[0].folder)
    [comparison] = compare([tmp_path])
    assert [two.seeds[0] for two in comparison.nets] == [1, 2, 3]
    edited(runs, "results.json", test={"loss": 0.1, "error_percent": 1.0, "images": 100})
    assert refusal(tmp_path) == "the runs were tested on different numbers of images: 100 and 360"


@pytest.mark.parametrize("points", [0.0, -1.0, 101.0, math.nan, math.inf])
def test_a_difference_out_of_range_is_refused(tmp_path: Path, points: float) -> None:
    """It must be from 0.001 to 100 points of test error."""
    with pytest.raises(UsageError, match=r"from 0\.001 to 100 points of error"):
        compare([tmp_path], points=points)


def test_an_unknown_design_is_compared(tmp_path: Path) -> None:
    """A deleted design file, or a folder without env.json, does not prevent a verdict."""
    runs = [
        write_run(tmp_path / f"{design} {seed}", MIDDLE, seed=seed, wrong=[k < n for k in range(IMAGES)], design=design)
        for design, counts in (("gone.toml", LOW), ("resnet-20", HIGH))
        for seed, n in enumerate(counts)
    ]
    for run in runs:
        (run.folder / "env.json").unlink()
        folders.seal(run.folder)
    [comparison] = compare([tmp_path])
    assert comparison.pairs[0].verdict in ("supported", "contradicted")
