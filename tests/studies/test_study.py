"""A study is read from a file, checked as a whole before anything is trained, and lists its runs."""

from collections.abc import Callable
from pathlib import Path

import pytest

from resatlas.errors import BlueprintError, DepthError, RecipeError, ResatlasError, UnknownName
from resatlas.recipes.catalog import NAMED
from resatlas.runs.collection import Collection, Question, answers, read_collection, write_collection
from resatlas.runs.experiment import folder_name
from resatlas.studies.study import Runs, Study, StudyQuestion, read_study
from tests.studies.tiny import DESIGNS, TEXT, write
from tests.training.small import DATA


def names(study: Study) -> list[tuple[str, int]]:
    """Design and seed of each distinct run, in order."""
    return [(experiment.design, experiment.seed) for experiment in study.distinct_experiments().values()]


def test_a_study_is_read(tmp_path: Path) -> None:
    """Every key of the file is read, and missing keys have their default."""
    study = read_study(write(tmp_path))
    assert (study.schema, study.name, study.data, study.recipe, study.epochs) == (1, "tiny", DATA, "quick", 3)
    shortcuts, again = study.questions
    assert (shortcuts.name, shortcuts.title, shortcuts.view) == ("shortcuts", "Do shortcuts help?", "runs")
    assert shortcuts.runs == (Runs(designs=DESIGNS, seeds=2, settings=("batch=16",)),)
    assert (again.name, again.view) == ("again", "budget")


def test_experiments_come_seed_by_seed(tmp_path: Path) -> None:
    """Every design with seed 0 first, so that first results come early; a run shared by two questions is one run."""
    study = read_study(write(tmp_path))
    assert names(study) == [(DESIGNS[0], 0), (DESIGNS[1], 0), (DESIGNS[0], 1), (DESIGNS[1], 1)]
    assert list(study.distinct_experiments()) == [
        f"{experiment.run_name}-batch_16" for experiment in study.distinct_experiments().values()
    ]
    for experiment in study.distinct_experiments().values():
        assert (experiment.data, experiment.recipe.epochs, experiment.recipe.batch, experiment.recipe.name) == (
            DATA,
            3,
            16,
            "quick",
        )


def test_lists_of_runs_come_one_after_another() -> None:
    """The second list of a question begins after the first."""
    runs = (Runs(designs=("resnet-20", "plain-20"), seeds=2), Runs(designs=("resnet-32",)))
    study = Study(schema=1, name="x", questions=(StudyQuestion(name="q", title="Q", runs=runs),))
    assert names(study) == [("resnet-20", 0), ("plain-20", 0), ("resnet-20", 1), ("plain-20", 1), ("resnet-32", 0)]


def test_what_a_list_says_goes_before_what_the_study_says() -> None:
    """Data, recipe, epochs and settings of a list override those of the study."""
    runs = (
        Runs(designs=("resnet-20",)),
        Runs(designs=("plain-20",), data="digits:size=16", epochs=7, settings=("schedule.peak=0.3",)),
    )
    study = Study(
        schema=1, name="x", data="digits:size=8", epochs=2, questions=(StudyQuestion(name="q", title="Q", runs=runs),)
    )
    one, other = study.distinct_experiments().values()
    assert (one.data, one.recipe.epochs, one.recipe.schedule.peak) == ("digits", 2, 0.1)
    assert (other.data, other.recipe.epochs, other.recipe.schedule.peak) == ("digits:size=16", 7, 0.3)


def test_lists_may_differ_in_epochs_or_settings_alone() -> None:
    """The same design and seed with other settings is another run, whose name contains them."""
    lists = (
        Runs(designs=("resnet-20",)),
        Runs(designs=("resnet-20",), epochs=7),
        Runs(designs=("resnet-20",), settings=("schedule.peak=0.3", "batch=16")),
    )
    experiments = Study(
        schema=1, name="x", questions=(StudyQuestion(name="q", title="Q", runs=lists),)
    ).distinct_experiments()
    assert list(experiments) == [
        "digits-resnet-20-quick-s0",
        "digits-resnet-20-quick-s0-epochs_7",
        "digits-resnet-20-quick-s0-schedule.peak_0.3-batch_16",
    ]


def test_without_epochs_the_recipe_s_count() -> None:
    """A study without epochs uses those of its recipe."""
    question = StudyQuestion(name="q", title="Q", runs=(Runs(designs=("resnet-20",)),))
    [experiment] = Study(schema=1, name="x", questions=(question,)).distinct_experiments().values()
    assert experiment.recipe == NAMED["quick"]


def test_its_collection_names_the_folders_of_each_question(tmp_path: Path) -> None:
    """study.json lists the run folders of each question in order, and is read back unchanged."""
    collection = read_study(write(tmp_path)).collection()
    data = folder_name(DATA)
    runs = tuple(f"{data}-{folder_name(design)}-quick-s{seed}-batch_16" for seed in (0, 1) for design in DESIGNS)
    assert collection == Collection(
        name="tiny",
        questions=(
            Question(name="shortcuts", title="Do shortcuts help?", view="runs", runs=runs),
            Question(name="again", title="And is a run shared?", view="budget", runs=runs[:1]),
        ),
    )
    write_collection(tmp_path, collection)
    assert read_collection(tmp_path) == collection


def test_runs_that_are_not_there_are_not_answers(tmp_path: Path) -> None:
    """A question whose runs do not exist is a ResatlasError."""
    collection = read_study(write(tmp_path)).collection()
    with pytest.raises(ResatlasError):
        answers(tmp_path, collection.questions[0])


def changed(old: str, new: str) -> str:
    """The tiny study with one thing changed in every place."""
    assert old in TEXT
    return TEXT.replace(old, new)


REFUSED: dict[str, tuple[str, type[ResatlasError], str]] = {
    "unknown key": (changed("epochs = 3", "epoch = 3"), BlueprintError, 'no key "epoch"; did you mean "epochs"?'),
    "unknown key of a question": (changed("title", "titel"), BlueprintError, 'no key "titel"; did you mean "title"?'),
    "unknown key of a list": (changed("seeds", "seed"), BlueprintError, 'no key "seed"; did you mean "seeds"?'),
    "doubled key": (changed("epochs = 3", "epochs = 3\nepochs = 4"), BlueprintError, "not valid TOML"),
    "schema": (changed("schema = 1", "schema = 2"), BlueprintError, "schema must be 1; got 2"),
    "no schema": (changed("schema = 1\n", ""), BlueprintError, 'key "schema" is missing'),
    "no title": (changed('title = "Do shortcuts help?"\n', ""), BlueprintError, 'key "title" is missing'),
    "wrong type": (changed("epochs = 3", 'epochs = "3"'), BlueprintError, "expected a whole number, got a text"),
    "name with a slash": (changed('"tiny"', '"a/b"'), BlueprintError, '; got "a/b"'),
    "name of dots": (changed('"tiny"', '".."'), BlueprintError, '; got ".."'),
    "empty name": (changed('"tiny"', '""'), BlueprintError, '; got ""'),
    "long name": (changed('"tiny"', f'"{"x" * 300}"'), BlueprintError, "a study's name has up to 100 letters"),
    "unknown view": (changed('"budget"', '"buget"'), BlueprintError, 'did you mean "budget"?'),
    "no seeds": (changed("seeds = 2", "seeds = 0"), BlueprintError, "seeds must be between 1 and"),
    "negative seeds": (changed("seeds = 2", "seeds = -2"), BlueprintError, "seeds must be between 1 and"),
    "too many seeds": (changed("seeds = 2", "seeds = 10001"), BlueprintError, "seeds must be between 1 and 10,000"),
    "too many runs": (changed("seeds = 2", "seeds = 6000"), BlueprintError, "10,000"),
    "no epochs": (changed("epochs = 3", "epochs = 0"), RecipeError, "epochs must be between 1 and 1,000,000; got 0"),
    "too many epochs": (changed("epochs = 3", "epochs = 1000000000"), RecipeError, "epochs must be between"),
    "no designs": (changed(str(list(DESIGNS)), "[]"), BlueprintError, ""),
    "no runs": (TEXT.partition("[[questions]]")[0] + "questions = []\n", BlueprintError, "has no runs"),
    "unknown data": (changed("synthetic:", "synthtic:"), UnknownName, 'no data set "synthtic"'),
    "unknown recipe": (changed("epochs = 3", 'recipe = "qick"'), UnknownName, 'did you mean "quick"?'),
    "unknown setting": (changed("batch=16", "bach=16"), UnknownName, 'did you mean "batch"?'),
    "unknown design": (changed("plain:depth", "plane:depth"), UnknownName, 'no design "plane"; did you mean "plain'),
    "wrong depth": (changed("plain:depth=8", "plain:depth=9"), DepthError, "9 is not"),
    "questions of one name": (changed('"again"', '"shortcuts"'), BlueprintError, "shortcuts"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_wrong_study_is_refused_with_its_file(tmp_path: Path, what: str) -> None:
    """Every fault is found when the file is read, in one line that names the file, with exit code 2."""
    text, kind, sentence = REFUSED[what]
    file = write(tmp_path, text)
    with pytest.raises(ResatlasError) as refused:
        read_study(file)
    assert str(file) in str(refused.value)
    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)
    assert type(refused.value) is kind
    assert refused.value.exit_code == 2


def removed(file: Path) -> None:
    """Remove the file."""
    file.unlink()


def turned_into_bytes(file: Path) -> None:
    """Write bytes that are not UTF-8."""
    file.write_bytes(b"\xff\xfe\x00")


def nested(file: Path) -> None:
    """Nest lists deeper than any stack."""
    file.write_text("a = " + "[" * 10**5)


@pytest.mark.parametrize("damage", [removed, turned_into_bytes, nested], ids=lambda damage: damage.__name__)
def test_a_file_that_is_no_study_is_refused(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    """Missing, binary and hostile files give an error that names the file."""
    file = write(tmp_path)
    damage(file)
    with pytest.raises(BlueprintError, match=f"^{file}: "):
        read_study(file)
