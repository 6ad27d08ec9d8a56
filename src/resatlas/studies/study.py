"""Studies: TOML files of questions, each answered by a list of runs."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.resources import as_file, files
from pathlib import Path

from resatlas.analysis.probes import PROBES
from resatlas.arch.blueprint import Blueprint
from resatlas.arch.blueprint_file import read_blueprint
from resatlas.comparing.effects import columns
from resatlas.comparing.measures import measure_of
from resatlas.data.annotated import resolve_any
from resatlas.designs.catalog import OwnDesign, canonical
from resatlas.errors import BlueprintError, ResatlasError, UnknownName, quoted, unknown
from resatlas.recipes import catalog as recipes
from resatlas.recipes.recipe import with_epochs
from resatlas.recipes.settings import with_settings
from resatlas.runs.collection import Cell, Collection, Factor, Hypothesis, Question, View
from resatlas.runs.experiment import Experiment, folder_name
from resatlas.values.codec import decode
from resatlas.values.toml import read_toml

SCHEMA = 1
_MOST_RUNS = 10_000
_LONGEST_NAME = 100


@dataclass(frozen=True, kw_only=True)
class Runs:
    """Designs, each trained with seeds 0 to `seeds` - 1, or with the listed seeds; None means the value of the study.

    In a factorial question `levels` has the levels of each design, such as "+-+", a sign for each factor.
    Raises: BlueprintError without designs, or for seeds that are repeated or out of bounds.
    """

    designs: tuple[str, ...]
    levels: tuple[str, ...] = ()
    seeds: int | tuple[int, ...] = 1
    data: str | None = None
    recipe: str | None = None
    epochs: int | None = None
    settings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.designs:
            raise BlueprintError("a list of runs needs at least one design")
        if isinstance(self.seeds, int) and not 1 <= self.seeds <= _MOST_RUNS:
            raise BlueprintError(f"the number of seeds must be between 1 and {_MOST_RUNS:,}; got {self.seeds:,}")
        if not self.seed_list or len(set(self.seed_list)) < len(self.seed_list):
            raise BlueprintError(f"seeds are a number or a list of different seeds; got {list(self.seed_list)}")

    @property
    def seed_list(self) -> tuple[int, ...]:
        """The seeds, in the order of the runs."""
        return tuple(range(self.seeds)) if isinstance(self.seeds, int) else self.seeds


@dataclass(frozen=True, kw_only=True)
class StudyQuestion:
    """A question of a study, and the runs that answer it; `about` introduces it on the page.

    A factorial question has `factors`, and one list of runs with the levels of each design; a `hypothesis` is about two
    of the designs.
    Raises: BlueprintError for levels that do not fit the factors, or a hypothesis about other designs; UsageError for
        factors that alias, or an unknown metric.
    """

    name: str
    title: str
    runs: tuple[Runs, ...]
    view: View = "runs"
    about: str = ""
    factors: tuple[Factor, ...] = ()
    hypothesis: Hypothesis | None = None

    def __post_init__(self) -> None:
        if self.hypothesis:
            self._check_hypothesis(self.hypothesis)
        if not self.factors:
            if any(runs.levels for runs in self.runs):
                raise BlueprintError(f"question {self.name} has levels, but no factors")
            return
        if len(self.runs) != 1:
            raise BlueprintError(
                f"question {self.name}: a factorial question has one list of runs; got {len(self.runs)}"
            )
        [runs] = self.runs
        if len(runs.levels) != len(runs.designs):
            raise BlueprintError(
                f"question {self.name}: {len(runs.designs)} designs need as many levels; got {len(runs.levels)}"
            )
        for design in runs.designs:
            if runs.designs.count(design) > 1:
                raise BlueprintError(
                    f"question {self.name}: {quoted(design)} is listed twice; each cell has its own design"
                )
        for levels in runs.levels:
            if len(levels) != len(self.factors) or set(levels) - {"+", "-"}:
                raise BlueprintError(
                    f"question {self.name}: levels are {len(self.factors)} signs + and -, one for each factor; got "
                    f"{quoted(levels)}"
                )
        columns(
            {
                factor.name: tuple(1 if levels[place] == "+" else -1 for levels in runs.levels)
                for place, factor in enumerate(self.factors)
            }
        )

    def _check_hypothesis(self, hypothesis: Hypothesis) -> None:
        measure_of(hypothesis.metric)
        known = [design for runs in self.runs for design in runs.designs]
        for design in (hypothesis.first, hypothesis.second):
            if known.count(design) != 1:
                raise BlueprintError(
                    f"question {self.name}: {unknown('design', design, known)}"
                    if design not in known
                    else f"question {self.name}: its hypothesis needs {design} once among the runs; it is listed "
                    f"{known.count(design)} times"
                )
        if hypothesis.first == hypothesis.second:
            raise BlueprintError(
                f"question {self.name}: a hypothesis is about two designs; got {hypothesis.first} twice"
            )


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A plan that is frozen when the first run of a study begins: see `studies.frozen`.

    `statement` is the analysis in words. The runs begin block by block, that is seed by seed, the designs of a block in
    a fixed shuffled order. No run begins once the finished runs have trained for `hours` together.
    Raises: BlueprintError for hours that are not positive.
    """

    statement: str
    hours: float | None = None

    def __post_init__(self) -> None:
        if self.hours is not None and not self.hours > 0:
            raise BlueprintError(f"plan.hours must be above 0; got {self.hours:g}")


@dataclass(frozen=True, kw_only=True)
class Dissection:
    """A question of `resatlas dissect` about each of some designs.

    The question is asked about the first `nets` networks of a design, together with the first network of each design
    in `beside`.
    """

    question: str
    designs: tuple[str, ...]
    nets: int = 1
    beside: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class BlueprintFile:
    """A file as a study names it, and the blueprint in it; its runs have the blueprint's name."""

    file: str
    name: str
    blueprint: Blueprint


@dataclass(frozen=True, kw_only=True)
class Study:
    """Questions, the defaults of their runs, and the dissections of the trained networks."""

    schema: int
    name: str
    questions: tuple[StudyQuestion, ...]
    data: str = "digits"
    recipe: str = "quick"
    epochs: int | None = None
    dissections: tuple[Dissection, ...] = ()
    plan: Plan | None = None
    blueprints: tuple[BlueprintFile, ...] = ()
    """The networks of designs that name a TOML file, read with the study; a study file has no such key."""

    def __post_init__(self) -> None:
        if self.schema != SCHEMA:
            raise BlueprintError(f"study {self.name}: schema must be {SCHEMA}; got {self.schema}")
        if self.name != folder_name(self.name) or not self.name.strip(".") or len(self.name) > _LONGEST_NAME:
            raise BlueprintError(
                f"a study's name has up to {_LONGEST_NAME} letters, digits, dots, _ and -, not dots alone; got "
                f"{quoted(self.name)}"
            )
        names = [question.name for question in self.questions]
        for name in names:
            if names.count(name) > 1:
                raise BlueprintError(f"study {self.name}: two questions have the name {quoted(name)}")
        lists = [runs for question in self.questions for runs in question.runs]
        if not lists:
            raise BlueprintError(f"study {self.name} has no runs")
        if (count := sum(len(runs.seed_list) * len(runs.designs) for runs in lists)) > _MOST_RUNS:
            raise BlueprintError(f"study {self.name}: a study has up to {_MOST_RUNS:,} runs; got {count:,}")

    def experiments(self, question: StudyQuestion) -> Iterator[tuple[str, Experiment]]:
        """The names and experiments of a question's runs, ordered by seed within each list of designs.

        A name includes the settings and the epochs of its list, so lists that differ only in these have other names.
        """
        for runs in question.runs:
            recipe = with_settings(recipes.resolve(runs.recipe or self.recipe), runs.settings)
            epochs = self.epochs if runs.epochs is None else runs.epochs
            if epochs is not None:
                recipe = with_epochs(recipe, epochs)
            data = resolve_any(runs.data or self.data).name
            suffixes = [*runs.settings, *([] if runs.epochs is None else [f"epochs={runs.epochs}"])]
            for seed in runs.seed_list:
                for text in runs.designs:
                    design, own = self._design(text)
                    experiment = Experiment(design=design, own=own, data=data, recipe=recipe, seed=seed)
                    yield folder_name("-".join([experiment.run_name, *suffixes])), experiment

    def _design(self, text: str) -> tuple[str, OwnDesign | None]:
        """The name of a design in its runs; with its network, if it comes from a file."""
        for known in self.blueprints:
            if known.file == text:
                return known.name, OwnDesign(family="blueprint", depth=None, blueprint=known.blueprint)
        return text, None

    def _named(self, hypothesis: Hypothesis | None) -> Hypothesis | None:
        """The hypothesis with its designs as their runs name them."""
        if hypothesis is None:
            return None
        first, second = (canonical(self._design(text)[0]) for text in (hypothesis.first, hypothesis.second))
        return replace(hypothesis, first=first, second=second)

    def _cells(self, question: StudyQuestion) -> tuple[Cell, ...]:
        """The cells of a factorial question with their runs by seed, in the order of the file."""
        if not question.factors:
            return ()
        [runs] = question.runs
        by_design: dict[str, dict[int, str]] = {}
        for name, experiment in self.experiments(question):
            by_design.setdefault(experiment.design, {})[experiment.seed] = name
        return tuple(
            Cell(levels=levels, seeds=tuple(own), runs=tuple(own.values()))
            for levels, own in zip(runs.levels, by_design.values(), strict=True)
        )

    def dissected_runs(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """The name of each dissection with the names of its runs; the answer is stored in the first run.

        Raises: UnknownName if there is no such question or no run of a design; BlueprintError for more nets than runs.
        """
        nets: dict[str, list[str]] = {}
        for name, experiment in self.distinct_experiments().items():
            nets.setdefault(experiment.design, []).append(name)
        for dissection in self.dissections:
            question = dissection.question
            if question not in PROBES:
                raise UnknownName(unknown("question", question, PROBES))
            for design in (*dissection.designs, *dissection.beside):
                if design not in nets:
                    raise UnknownName(unknown(f"run of study {self.name} of the design", design, nets))
            beside = [nets[design][0] for design in dissection.beside]
            for design in dissection.designs:
                if not 1 <= dissection.nets <= len(nets[design]):
                    raise BlueprintError(
                        f"study {self.name}: nets of {question} must be between 1 and {len(nets[design])}, the runs of "
                        f"{quoted(design)}; got {dissection.nets}"
                    )
                runs = (*nets[design][: dissection.nets], *beside)
                if len(runs) > 1 and PROBES[question].beside == "none":
                    raise BlueprintError(f"study {self.name}: {question} takes one network; got {len(runs)}")
                yield question, runs

    def collection(self) -> Collection:
        """The names of the run folders for each question, as written to study.json."""
        return Collection(
            name=self.name,
            questions=tuple(
                Question(
                    name=question.name,
                    title=question.title,
                    view=question.view,
                    about=question.about,
                    factors=question.factors,
                    cells=self._cells(question),
                    hypothesis=self._named(question.hypothesis),
                    runs=tuple(dict.fromkeys(name for name, _ in self.experiments(question))),
                )
                for question in self.questions
            ),
        )

    def distinct_experiments(self) -> dict[str, Experiment]:
        """Every experiment once, by the name of its run.

        Raises: BlueprintError if two different experiments have the same name.
        """
        experiments: dict[str, Experiment] = {}
        for question in self.questions:
            for name, experiment in self.experiments(question):
                if experiments.setdefault(name, experiment) != experiment:
                    raise BlueprintError(f"study {self.name}: two different runs would have the name {name}")
        return experiments


def read_study(path: Path) -> Study:
    """The study of a TOML file; the files of its designs are relative to its folder.

    Raises: BlueprintError that names a wrong key and the nearest right one; also the errors of its designs, data and
        recipes.
    """
    table = read_toml(path)
    try:
        if "blueprints" in table:
            raise BlueprintError(unknown("key", "blueprints", table))
        study = decode(Study, table, where="study")
        study = replace(study, blueprints=tuple(_blueprints(study, path.parent)))
        for experiment in study.distinct_experiments().values():
            _ = experiment.entry
        tuple(study.dissected_runs())
    except ResatlasError as error:
        raise type(error)(f"{path}: {error}") from None
    return study


def _blueprints(study: Study, folder: Path) -> Iterator[BlueprintFile]:
    lists = [runs for question in study.questions for runs in question.runs]
    for text in dict.fromkeys(design for runs in lists for design in runs.designs if design.endswith(".toml")):
        named = read_blueprint(folder / text)
        yield BlueprintFile(file=text, name=named.name, blueprint=named.blueprint)


def demo_study() -> Study:
    """The study of `resatlas demo`."""
    with as_file(files("resatlas.studies").joinpath("demo.toml")) as path:
        return read_study(path)
