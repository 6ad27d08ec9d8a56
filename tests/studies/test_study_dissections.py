"""The dissections of a study: which questions are answered, and which answers are kept."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from resatlas.analysis.probes import FOLDER, ProbeResult, result_to_json
from resatlas.arch.plan import to_json as plan_to_json
from resatlas.designs.catalog import plan
from resatlas.errors import BlueprintError, CheckpointError, UnknownName
from resatlas.runs.files import read_json, write_json
from resatlas.studies import study_dissections
from resatlas.studies.study import Dissection, Runs, Study, StudyQuestion
from resatlas.studies.study_dissections import dissect_study
from tests.comparing.folders import Subject, edited, write_run

DESIGNS = ("resnet:depth=8,base=2", "plain:depth=8,base=2")


def study(*dissections: Dissection) -> Study:
    """A study of two designs with two seeds, and these dissections."""
    questions = (StudyQuestion(name="which", title="Which?", runs=(Runs(designs=DESIGNS, seeds=2),)),)
    return Study(schema=1, name="tiny", questions=questions, dissections=dissections)


def trained(folder: Path, whole: Study) -> Path:
    """The folder of a study whose runs are all finished."""
    for name, experiment in whole.distinct_experiments().items():
        subject = Subject(family=experiment.design.partition(":")[0], depth=8, knobs="base=2")
        write_run(folder / name, subject, seed=experiment.seed, wrong=[True, False])
        file = folder / name / "experiment.json"
        edited(file, plan=plan_to_json(plan(experiment.design)))
    return folder


def recorded_calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, tuple[str, ...]]]:
    """Replace dissect by a function that writes empty answers; the list of its calls."""
    calls: list[tuple[str, tuple[str, ...]]] = []

    def answer(run: Path, question: str, *, beside: Sequence[Path] = ()) -> None:
        names = (run.name, *(other.name for other in beside))
        calls.append((question, names))
        (run / FOLDER).mkdir(exist_ok=True)
        found = ProbeResult(question=question, title="", runs=names, images="")
        write_json(run / FOLDER / f"{question}.json", result_to_json(found))

    monkeypatch.setattr(study_dissections, "dissect", answer)
    return calls


def names(whole: Study) -> Mapping[tuple[str, int], str]:
    """The runs by design and seed."""
    return {(experiment.design, experiment.seed): name for name, experiment in whole.distinct_experiments().items()}


def test_first_nets_are_asked_and_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first seed of each design, or `nets` of them, with those of `beside`; existing answers are kept."""
    whole = study(
        Dissection(question="paths", designs=DESIGNS),
        Dissection(question="lesion", designs=DESIGNS[:1], nets=2),
        Dissection(question="flow", designs=DESIGNS[:1], beside=DESIGNS[1:]),
    )
    trained(tmp_path, whole)
    calls, messages = recorded_calls(monkeypatch), list[str]()
    of = names(whole)
    resnet, second, plain = of[DESIGNS[0], 0], of[DESIGNS[0], 1], of[DESIGNS[1], 0]
    assert dissect_study(whole, tmp_path, on_question=messages.append) == ()
    assert calls == [
        ("paths", (resnet,)),
        ("paths", (plain,)),
        ("lesion", (resnet, second)),
        ("flow", (resnet, plain)),
    ]
    assert messages[2:] == [f"lesion of {DESIGNS[0]} (3 of 4)", f"flow of {DESIGNS[0]}, {DESIGNS[1]} (4 of 4)"]
    assert dissect_study(whole, tmp_path, on_question=messages.append) == ()
    assert len(calls) == len(messages) == 4


@pytest.mark.parametrize("change", ["damaged", "of others", "older than the run"])
def test_an_answer_of_other_nets_is_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    """A damaged answer, one of other runs and one older than its run are replaced."""
    whole = study(Dissection(question="paths", designs=DESIGNS[:1]))
    trained(tmp_path, whole)
    calls = recorded_calls(monkeypatch)
    dissect_study(whole, tmp_path, on_question=lambda _: None)
    run = tmp_path / names(whole)[DESIGNS[0], 0]
    file = run / FOLDER / "paths.json"
    if change == "damaged":
        file.write_text("{")
    elif change == "of others":
        write_json(file, {**read_json(file), "runs": ["other"]})
    else:
        later = file.stat().st_mtime + 10
        os.utime(run / "results.json", (later, later))
    dissect_study(whole, tmp_path, on_question=lambda _: None)
    assert len(calls) == 2


def test_a_run_without_results_is_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is skipped, and the other runs are dissected."""
    whole = study(Dissection(question="paths", designs=DESIGNS))
    trained(tmp_path, whole)
    calls = recorded_calls(monkeypatch)
    (tmp_path / names(whole)[DESIGNS[0], 0] / "results.json").unlink()
    assert dissect_study(whole, tmp_path, on_question=lambda _: None) == ()
    assert calls == [("paths", (names(whole)[DESIGNS[1], 0],))]


def test_what_cannot_be_answered_keeps_nothing_else_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure gives one sentence, and the next question is answered."""
    whole = study(Dissection(question="paths", designs=DESIGNS))
    trained(tmp_path, whole)

    def fail(_run: Path, question: str, **_: object) -> None:
        raise CheckpointError(f"no weights for {question}")

    monkeypatch.setattr(study_dissections, "dissect", fail)
    failed = dissect_study(whole, tmp_path, on_question=lambda _: None)
    assert failed == tuple(f"paths of {names(whole)[design, 0]} failed: no weights for paths" for design in DESIGNS)


def test_a_real_question_is_answered(tmp_path: Path) -> None:
    """The answer is written to the run's folder, where the page reads it."""
    whole = study(Dissection(question="capacity", designs=DESIGNS[:1]))
    trained(tmp_path, whole)
    run = tmp_path / names(whole)[DESIGNS[0], 0]
    assert dissect_study(whole, tmp_path, on_question=lambda _: None) == ()
    assert read_json(run / FOLDER / "capacity.json")["runs"] == [run.name]


@pytest.mark.parametrize(
    ("wrong", "error", "sentence"),
    [
        (Dissection(question="path", designs=DESIGNS), UnknownName, 'no question "path"; did you mean "paths"?'),
        (Dissection(question="paths", designs=("resnet:depth=8,base=3",)), UnknownName, 'did you mean "resnet:'),
        (
            Dissection(question="lesion", designs=DESIGNS, nets=3),
            BlueprintError,
            "nets of lesion must be between 1 and 2, the runs of",
        ),
        (Dissection(question="lesion", designs=DESIGNS, nets=0), BlueprintError, "; got 0"),
        (Dissection(question="paths", designs=DESIGNS, nets=2), BlueprintError, "paths takes one network; got 2"),
    ],
    ids=lambda value: value.question if isinstance(value, Dissection) else "",
)
def test_wrong_questions_are_refused_in_words(wrong: Dissection, error: type[Exception], sentence: str) -> None:
    """Before anything is trained."""
    with pytest.raises(error, match=r".") as caught:
        tuple(study(wrong).dissected_runs())
    assert sentence in str(caught.value)
