"""A study: questions, each answered by a list of runs; written as a TOML file."""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path

from resatlas.analysis.probes import PROBES
from resatlas.data import catalog as datasets
from resatlas.errors import BlueprintError, ResatlasError, UnknownName, quoted, unknown
from resatlas.recipes import catalog as recipes
from resatlas.recipes.recipe import with_epochs
from resatlas.recipes.settings import with_settings
from resatlas.runs.collection import Collection, Question, View
from resatlas.runs.experiment import Experiment, folder_name
from resatlas.values.codec import decode
from resatlas.values.toml import read_toml

SCHEMA = 1
MOST_RUNS = 10_000
LONGEST_NAME = 100


@dataclass(frozen=True, kw_only=True)
class Runs:
    """Designs, each trained from seeds 0 to `seeds` - 1; what is not said here is the study's."""

    designs: tuple[str, ...]
    seeds: int = 1
    data: str | None = None
    recipe: str | None = None
    epochs: int | None = None
    settings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class AskedQuestion:
    """A question of a study, and the runs that answer it."""

    name: str
    title: str
    runs: tuple[Runs, ...]
    view: View = "runs"


@dataclass(frozen=True, kw_only=True)
class Dissection:
    """A question of `resatlas dissect`, put to each of some designs: to its first nets, and the first ones beside."""

    question: str
    designs: tuple[str, ...]
    nets: int = 1
    beside: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Study:
    """Questions, what their runs have in common, and what is asked of trained networks afterwards."""

    schema: int
    name: str
    questions: tuple[AskedQuestion, ...]
    data: str = "digits"
    recipe: str = "quick"
    epochs: int | None = None
    dissections: tuple[Dissection, ...] = ()

    def __post_init__(self) -> None:
        if self.schema != SCHEMA:
            raise BlueprintError(f"study {self.name}: schema = {SCHEMA} is expected, {self.schema} given")
        if self.name != folder_name(self.name) or not self.name.strip(".") or len(self.name) > LONGEST_NAME:
            raise BlueprintError(
                f"a study's name is up to {LONGEST_NAME} letters, digits, dots, _ and -; {quoted(self.name)} is not"
            )
        names = [question.name for question in self.questions]
        for name in names:
            if names.count(name) > 1:
                raise BlueprintError(f"study {self.name}: two questions are called {quoted(name)}")
        lists = [runs for question in self.questions for runs in question.runs]
        if not all(runs.designs for runs in lists) or not lists:
            raise BlueprintError(f"study {self.name} asks for no run, or has a list without designs")
        if min(runs.seeds for runs in lists) < 1 or sum(runs.seeds * len(runs.designs) for runs in lists) > MOST_RUNS:
            raise BlueprintError(
                f"study {self.name}: seeds lie between 1 and {MOST_RUNS:,}, and so do all runs together"
            )

    def experiments(self, question: AskedQuestion) -> Iterator[tuple[str, Experiment]]:
        """The experiments of a question with the names of their runs, seed by seed within a list of designs.

        A name tells the settings and the epochs of its list, so that lists may differ in nothing else.
        """
        for runs in question.runs:
            recipe = with_settings(recipes.resolve(runs.recipe or self.recipe), runs.settings)
            epochs = self.epochs if runs.epochs is None else runs.epochs
            if epochs is not None:
                recipe = with_epochs(recipe, epochs)
            data = datasets.resolve(runs.data or self.data).name
            marks = [*runs.settings, *([] if runs.epochs is None else [f"epochs={runs.epochs}"])]
            for seed in range(runs.seeds):
                for design in runs.designs:
                    experiment = Experiment(design=design, data=data, recipe=recipe, seed=seed)
                    yield folder_name("-".join([experiment.run_name, *marks])), experiment

    def questions_inside(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Each question to trained networks with the names of the runs that it is put to, the first one first.

        Raises: UnknownName if there is no such question or no run of a design; BlueprintError for more nets than runs.
        """
        nets: dict[str, list[str]] = {}
        for name, experiment in self.distinct().items():
            nets.setdefault(experiment.design, []).append(name)
        for asked in self.dissections:
            if asked.question not in PROBES:
                raise UnknownName(unknown("question", asked.question, PROBES))
            for design in (*asked.designs, *asked.beside):
                if design not in nets:
                    raise UnknownName(unknown(f"run of study {self.name} of the design", design, nets))
            beside = [nets[design][0] for design in asked.beside]
            for design in asked.designs:
                if not 1 <= asked.nets <= len(nets[design]):
                    raise BlueprintError(
                        f"study {self.name}: {asked.question} is put to 1 to {len(nets[design])} nets of "
                        f"{quoted(design)}, not to {asked.nets}"
                    )
                runs = (*nets[design][: asked.nets], *beside)
                if len(runs) > 1 and PROBES[asked.question].beside == "none":
                    raise BlueprintError(f"study {self.name}: {asked.question} is put to one net at a time")
                yield asked.question, runs

    def collection(self) -> Collection:
        """Which run folders answer which question."""
        return Collection(
            name=self.name,
            questions=tuple(
                Question(
                    name=question.name,
                    title=question.title,
                    view=question.view,
                    runs=tuple(dict.fromkeys(name for name, _ in self.experiments(question))),
                )
                for question in self.questions
            ),
        )

    def distinct(self) -> dict[str, Experiment]:
        """Every experiment once, by the name of its run.

        Raises: BlueprintError if two differ under one name.
        """
        found: dict[str, Experiment] = {}
        for question in self.questions:
            for name, experiment in self.experiments(question):
                if found.setdefault(name, experiment) != experiment:
                    raise BlueprintError(f"study {self.name}: two different runs would be called {name}")
        return found


def read_study(path: Path) -> Study:
    """The study of a TOML file.

    Raises: BlueprintError with the key and the nearest right one; whatever its designs, data and recipes raise.
    """
    table = read_toml(path)
    try:
        study = decode(Study, table, where="study")
        for experiment in study.distinct().values():
            _ = experiment.entry
        tuple(study.questions_inside())
    except ResatlasError as error:
        raise type(error)(f"{path}: {error}") from None
    return study


def demo_study() -> Study:
    """The study of `resatlas demo`."""
    with as_file(files("resatlas.studies").joinpath("demo.toml")) as path:
        return read_study(path)
