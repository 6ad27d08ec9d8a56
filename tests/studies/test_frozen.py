"""A study with a plan keeps it: what changes after the first run is refused, and runs begin block by block."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from resatlas.arch.ops import Shape
from resatlas.errors import BlueprintError, FolderError, UsageError
from resatlas.runs.collection import Factor, Hypothesis
from resatlas.runs.experiment import from_json, to_json
from resatlas.runs.frozen_plan import FILE, FrozenPlan, digest_of, read_plan
from resatlas.runs.store import Run, begin
from resatlas.studies.frozen import block_order, freeze, plan_of
from resatlas.studies.runner import carry_out_study
from resatlas.studies.single import prepare
from resatlas.studies.study import Plan, Runs, Study, StudyQuestion, read_study

IMAGE = Shape(1, 8, 8)
DESIGNS = ("plain:depth=8,base=2", "resnet:depth=8,base=2")


CELL = """schema = 1
name = "cell"
units = [1, 1, 1]
image = [1, 8, 8]
classes = 4
[stem]
width = 4
[widths]
rule = "per-stage"
widths = [4, 8, WIDTH]
[residual]
convs = "basic"
order = "post-activation"
shortcut = "zero-pad"
"""
STUDY = """schema = 1
name = "beside"
data = "digits:size=8"
[[questions]]
name = "q"
title = "Which?"
runs = [{ designs = ["cells/one.toml"] }]
"""


def study(**changes: object) -> Study:
    """Two designs of two seeds on tiny images, with a plan."""
    runs = Runs(designs=DESIGNS, seeds=(3, 5), settings=("batch=16",))
    values = {
        "schema": 1,
        "name": "planned",
        "data": "synthetic:size=8,channels=1,classes=4,images=96",
        "epochs": 1,
        "questions": (StudyQuestion(name="q", title="Which?", runs=(runs,)),),
        "plan": Plan(statement="The error of the last epoch, by seed."),
    }
    return Study(**{**values, **changes})  # type: ignore[arg-type]


def test_an_unchanged_plan_is_accepted(tmp_path: Path) -> None:
    """The second start finds the plan of the first."""
    freeze(study(), tmp_path)
    written = (tmp_path / FILE).read_bytes()
    freeze(study(), tmp_path)
    assert (tmp_path / FILE).read_bytes() == written
    assert json.loads(written)["sha256"] == plan_of(study())["sha256"]


def with_runs(**changes: object) -> tuple[StudyQuestion, ...]:
    """The question with another list of runs."""
    [question] = study().questions
    [runs] = question.runs
    return (replace(question, runs=(replace(runs, **changes),)),)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"epochs": 2}, "study.epochs was 1, and is 2"),
        ({"questions": with_runs(seeds=(3, 5, 6))}, "study.questions[0].runs[0].seeds had 2 entries, and has 3"),
        ({"questions": with_runs(seeds=(3, 6))}, "study.questions[0].runs[0].seeds[1] was 5, and is 6"),
        ({"plan": Plan(statement="The best epoch.")}, "study.plan.statement was The error of the last epoch"),
        ({"plan": None}, "but its file has no [plan]"),
    ],
)
def test_a_changed_plan_is_refused(tmp_path: Path, changes: dict[str, object], words: str) -> None:
    """With the first difference, what was and what is, and what to do."""
    freeze(study(), tmp_path)
    with pytest.raises(UsageError) as error:
        freeze(study(**changes), tmp_path)
    assert words in str(error.value)
    assert "restore it, or give another --out" in str(error.value)


def test_a_changed_network_is_refused(tmp_path: Path) -> None:
    """The file of a design may keep its name: its network is part of the plan."""
    file = tmp_path / "cell.toml"
    file.write_text(CELL.replace("WIDTH", "16"), encoding="utf-8")
    questions = with_runs(designs=(str(file),))
    freeze(study(questions=questions), tmp_path)
    file.write_text(CELL.replace("WIDTH", "17"), encoding="utf-8")
    with pytest.raises(UsageError, match="networks"):
        freeze(study(questions=questions), tmp_path)


def test_a_damaged_plan_is_refused(tmp_path: Path) -> None:
    """A file that is not a frozen plan is not taken for one."""
    (tmp_path / FILE).write_text('{"schema": 2}', encoding="utf-8")
    with pytest.raises(FolderError, match="is not a frozen plan of schema 1"):
        freeze(study(), tmp_path)


def test_a_plan_whose_content_was_edited_is_refused(tmp_path: Path) -> None:
    """Its digest tells."""
    freeze(study(), tmp_path)
    plan = json.loads((tmp_path / FILE).read_text(encoding="utf-8"))
    plan["study"]["epochs"] = 2
    (tmp_path / FILE).write_text(json.dumps(plan), encoding="utf-8")
    with pytest.raises(FolderError, match="its content has another sha256 than it says"):
        freeze(study(epochs=2), tmp_path)


def test_a_plan_of_an_earlier_version_is_accepted(tmp_path: Path) -> None:
    """A key that came later has its default in it."""
    freeze(study(), tmp_path)
    plan = json.loads((tmp_path / FILE).read_text(encoding="utf-8"))
    for question in plan["study"]["questions"]:
        del question["hypothesis"]
    plan["sha256"] = digest_of(plan)
    (tmp_path / FILE).write_text(json.dumps(plan), encoding="utf-8")
    freeze(study(), tmp_path)


def test_designs_are_files_beside_the_study(tmp_path: Path) -> None:
    """Wherever the command starts; a run has the name in the file, and its network in experiment.json."""
    (tmp_path / "cells").mkdir()
    (tmp_path / "cells" / "one.toml").write_text(CELL.replace("WIDTH", "16"), encoding="utf-8")
    (tmp_path / "study.toml").write_text(STUDY, encoding="utf-8")
    read = read_study(tmp_path / "study.toml")
    [(name, experiment)] = read.distinct_experiments().items()
    assert (name, experiment.design) == ("digits-cell-quick-s0", "cell")
    assert experiment.entry.blueprint == read.blueprints[0].blueprint
    assert from_json(to_json(experiment)) == experiment


def test_blueprints_are_not_a_key_of_the_file(tmp_path: Path) -> None:
    """The networks come from files, so a study cannot contain another one."""
    (tmp_path / "study.toml").write_text("blueprints = []\n" + STUDY, encoding="utf-8")
    with pytest.raises(BlueprintError, match='no key "blueprints"'):
        read_study(tmp_path / "study.toml")


@pytest.mark.parametrize(
    ("first", "words"),
    [
        ("resnet:depth=8,base=3", 'no design "resnet:depth=8,base=3"; did you mean "resnet:depth=8,base=2"?'),
        ("plain:depth=8,base=2", "a hypothesis is about two designs; got plain:depth=8,base=2 twice"),
    ],
)
def test_a_hypothesis_is_about_two_designs_of_its_question(first: str, words: str) -> None:
    """A misspelt design is named with the nearest."""
    runs = Runs(designs=DESIGNS, seeds=2)
    hypothesis = Hypothesis(first=first, second=DESIGNS[0], expected="lower")
    with pytest.raises(BlueprintError) as error:
        StudyQuestion(name="q", title="Q", runs=(runs,), hypothesis=hypothesis)
    assert words in str(error.value)


def test_a_plan_is_not_frozen_after_the_first_run(tmp_path: Path) -> None:
    """Neither where there was none, nor where it was removed."""
    name, experiment = next(iter(study().distinct_experiments().items()))
    begin(tmp_path / name, experiment, experiment.entry.plan(image=IMAGE, classes=4))
    with pytest.raises(UsageError, match="has begun: a plan is frozen before the first run"):
        freeze(study(), tmp_path)


def frozen(folder: Path) -> FrozenPlan:
    """The plan of the study, frozen in a folder."""
    freeze(study(), folder)
    plan = read_plan(folder)
    assert plan
    return plan


def test_questions_are_those_of_the_plan(tmp_path: Path) -> None:
    """A question under the same name that asks for something else is named."""
    plan = frozen(tmp_path)
    [question] = study().collection().questions
    plan.check_question(question)
    hypothesis = Hypothesis(first=DESIGNS[0], second=DESIGNS[1], expected="lower")
    for other in (replace(question, title="Other?"), replace(question, hypothesis=hypothesis)):
        with pytest.raises(FolderError, match=r"question q is not that of the frozen plan\.json"):
            plan.check_question(other)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (study(epochs=2), "is trained by another recipe than the frozen plan"),
        (study(questions=with_runs(designs=("resnet:depth=8,base=4",))), "trains another network than the frozen plan"),
    ],
)
def test_runs_are_those_of_the_plan(tmp_path: Path, other: Study, words: str) -> None:
    """A run of another recipe or network is named; one of the plan is accepted."""
    plan = frozen(tmp_path)
    for name, asked in (("own", study()), ("other", other)):
        experiment = next(iter(asked.distinct_experiments().values()))
        begin(tmp_path / name, experiment, experiment.entry.plan(image=IMAGE, classes=4))
    plan.check_run(Run(tmp_path / "own").beginning())
    with pytest.raises(FolderError, match=words):
        plan.check_run(Run(tmp_path / "other").beginning())


def test_a_recipe_may_have_initial_weights_of_its_own(tmp_path: Path) -> None:
    """They are part of the run's plan, not of the design's; such a run is one of the frozen plan."""
    asked = study(recipe="resnet-cifar", questions=with_runs(settings=("batch=16", "norm_group=16")))
    experiment = next(iter(asked.distinct_experiments().values()))
    freeze(asked, tmp_path)
    plan = read_plan(tmp_path)
    assert plan
    trained = prepare(experiment, out=tmp_path / "own").plan
    assert trained.initial != experiment.entry.plan().initial
    begin(tmp_path / "own", experiment, trained)
    plan.check_run(Run(tmp_path / "own").beginning())


def test_a_folder_may_have_no_plan(tmp_path: Path) -> None:
    """Then nothing is checked."""
    assert read_plan(tmp_path) is None


def test_runs_begin_block_by_block() -> None:
    """All runs of a seed before the next seed; the order within blocks is shuffled, and always the same."""
    many = Runs(designs=tuple(f"resnet:depth=8,base={base}" for base in range(2, 12)), seeds=(7, 1))
    planned = study(questions=(StudyQuestion(name="q", title="Q", runs=(many,)),))
    names = block_order(planned)
    experiments = planned.distinct_experiments()
    assert [experiments[name].seed for name in names] == [1] * 10 + [7] * 10
    first, second = ([experiments[name].design for name in half] for half in (names[:10], names[10:]))
    assert sorted(first) == sorted(second) == sorted(many.designs)
    assert first != second != list(many.designs)
    assert block_order(planned) == names


@pytest.mark.slow
def test_no_run_begins_after_the_hours_of_the_plan(tmp_path: Path) -> None:
    """One worker: the first run uses up the hours, the others do not begin, and a note says so."""
    notes: list[str] = []
    short = study(plan=Plan(statement="Short.", hours=1e-9))
    carry_out_study(short, tmp_path, workers=1, on_progress=lambda progress: notes.append(progress.note))
    begun = [name for name in block_order(short) if (tmp_path / name).exists()]
    assert begun == block_order(short)[:1]
    assert Run(tmp_path / begun[0]).finished
    assert "the hours of the plan are over: 3 runs do not begin" in notes
    carry_out_study(short, tmp_path, workers=1, on_progress=lambda progress: notes.append(progress.note))
    assert [name for name in block_order(short) if (tmp_path / name).exists()] == begun


def test_hours_are_positive() -> None:
    """A plan without time for a run is a mistake."""
    with pytest.raises(BlueprintError, match=r"plan\.hours must be above 0; got 0"):
        Plan(statement="None.", hours=0)


FACTORS = (Factor(name="depth", minus="8", plus="14"), Factor(name="kind", minus="plain", plus="resnet"))


@pytest.mark.parametrize(
    ("levels", "words"),
    [
        (("--", "-+", "+-"), "4 designs need as many levels; got 3"),
        (("--", "-+", "+-", "+"), 'levels are 2 signs + and -, one for each factor; got "+"'),
        (("--", "-+", "+-", "+x"), 'levels are 2 signs + and -, one for each factor; got "+x"'),
        (("--", "-+", "+-", "+-"), "two cells have the levels +-"),
    ],
)
def test_levels_fit_the_factors(levels: tuple[str, ...], words: str) -> None:
    """A sign for each factor and each design, no cell twice, factors that can be separated."""
    designs = tuple(f"{kind}:depth={depth},base=2" for depth in (8, 14) for kind in ("plain", "resnet"))
    runs = Runs(designs=designs, levels=levels)
    with pytest.raises((BlueprintError, UsageError)) as error:
        StudyQuestion(name="f", title="F", runs=(runs,), factors=FACTORS)
    assert words in str(error.value)


def test_a_design_is_one_cell() -> None:
    """Listed twice with two levels, it would be two cells of one network."""
    runs = Runs(designs=(*DESIGNS, *DESIGNS), levels=("--", "-+", "+-", "++"))
    with pytest.raises(BlueprintError, match='"plain:depth=8,base=2" is listed twice; each cell has its own design'):
        StudyQuestion(name="f", title="F", runs=(runs,), factors=FACTORS)


def test_a_factorial_question_names_the_runs_of_its_cells() -> None:
    """Each cell with its levels and its runs by seed, which is what the effects are computed from."""
    designs = tuple(f"{kind}:depth={depth},base=2" for depth in (8, 14) for kind in ("plain", "resnet"))
    runs = Runs(designs=designs, levels=("--", "-+", "+-", "++"), seeds=(0, 4))
    question = StudyQuestion(name="f", title="F", runs=(runs,), factors=FACTORS)
    [collected] = study(questions=(question,)).collection().questions
    assert collected.factors == FACTORS
    assert [cell.levels for cell in collected.cells] == ["--", "-+", "+-", "++"]
    assert [cell.seeds for cell in collected.cells] == [(0, 4)] * 4
    assert {name for cell in collected.cells for name in cell.runs} == set(collected.runs)
