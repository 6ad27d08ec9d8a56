"""Run folders in the format of real trainings, with random values, for tests that train nothing."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from resatlas.arch.ops import Shape
from resatlas.arch.plan import to_json as plan_to_json
from resatlas.comparing.comparison import Comparison, compare_run_set
from resatlas.comparing.run_sets import RunSet
from resatlas.designs.catalog import plan
from resatlas.errors import ResatlasError
from resatlas.evaluation.predictions import Prediction, write_predictions
from resatlas.recipes.catalog import NAMED
from resatlas.recipes.recipe import Recipe
from resatlas.runs.collection import Collection, Question, View, write_collection
from resatlas.runs.experiment import Experiment, to_json
from resatlas.runs.files import append_line, read_json, write_json
from resatlas.runs.seal import write_seal
from resatlas.runs.store import Run

NOTE = "the 13 writers of the test images also wrote training images, so errors are optimistic"
IMAGES = 360
CLASSES = tuple("0123456789")
RECIPE = replace(NAMED["quick"], epochs=12)


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A design whose runs get random values.

    `ease` lowers its errors, `loss` is the final training loss, `pace` the seconds per epoch.
    """

    family: str
    depth: int
    knobs: str = "base=8"
    parameters: int = 70_000
    multiply_adds: int = 2_500_000
    loss: float = 0.02
    ease: float = 0.0
    pace: float = 0.5

    @property
    def design(self) -> str:
        """The DESIGN text."""
        return f"{self.family}:depth={self.depth},{self.knobs}"


def random_errors(
    random: Random, eases: Sequence[float], *, seeds: int = 3, images: int = IMAGES, hardness: float = -6.0
) -> list[list[list[bool]]]:
    """For each design, seed and image: whether it is misclassified; images differ in hardness, partly by design."""
    shared = [random.gauss(hardness, 2.0) for _ in range(images)]
    errors = []
    for ease in eases:
        own = [logit + random.gauss(0, 1.0) - ease for logit in shared]
        skills = [random.gauss(0, 0.3) for _ in range(seeds)]
        errors.append([[random.random() < 1 / (1 + math.exp(skill - logit)) for logit in own] for skill in skills])
    return errors


def write_run(
    folder: Path,
    subject: Subject,
    *,
    seed: int,
    wrong: Sequence[bool],
    recipe: Recipe = RECIPE,
    data: str = "digits:size=16",
    design: str | None = None,
) -> Run:
    """Write one finished run; `wrong` says for each test image whether it is misclassified."""
    (folder / "checkpoints").mkdir(parents=True)
    random = Random(f"{subject.design} {seed}")  # noqa: S311 - test values, not secrets
    experiment = Experiment(design=design or subject.design, data=data, recipe=recipe, seed=seed)
    write_json(
        folder / "experiment.json",
        {**to_json(experiment), "classes": list(CLASSES), "note": NOTE, "plan": plan_of(experiment.design)},
    )
    write_json(folder / "env.json", environment())
    run = Run(folder)
    loss = error = 0.0
    for epoch in range(1, recipe.epochs + 1):
        loss = subject.loss + 2.3 * math.exp(-5 * epoch / recipe.epochs) * random.uniform(0.8, 1.2)
        error = min(90.0, 25 * loss * random.uniform(0.8, 1.2))
        run.record_epoch(
            {
                "epoch": epoch,
                "step": 19 * epoch,
                "learning_rate": 0.1,
                "train_loss": loss,
                "train_error_percent": error,
                "validation_loss": loss,
                "validation_error_percent": error,
            },
            {"epoch": epoch, "images": 1216, "seconds": 0.5, "images_per_second": 2432.0 + seed},
        )
    ids = range(1, 5 * len(wrong), 5)
    rows = [Prediction(i, i % 10, (i + miss) % 10, 0.9) for i, miss in zip(ids, wrong, strict=False)]
    write_predictions(folder / "predictions.csv", rows, CLASSES)
    results = {
        "design": experiment.design,
        "family": subject.family,
        "depth": subject.depth,
        "data": data,
        "recipe": recipe.name,
        "seed": seed,
        "epochs": recipe.epochs,
        "parameters": subject.parameters,
        "multiply_adds": subject.multiply_adds,
        "mean_path_length": subject.depth / 2 + 1,
        "seconds": subject.pace * recipe.epochs,
        "images_per_second": 2432.0,
        "train": {"loss": loss, "error_percent": error, "images": 1257},
        "train_evaluated": {"loss": 0.8 * loss, "error_percent": error, "images": 1257},
        "validation": {"loss": loss, "error_percent": error, "images": 180},
        "test": {"loss": 0.1, "error_percent": 100 * sum(wrong) / len(wrong), "images": len(wrong)},
    }
    write_json(folder / "results.json", results)
    run.set_status("finished", epoch=recipe.epochs)
    seal(folder)
    return run


def diverged(run: Run) -> None:
    """Change a run to one whose loss was not finite: without results, and with a reason."""
    for name in ("results.json", "predictions.csv", "SEAL.json"):
        (run.folder / name).unlink()
    reason = "the loss is nan at step 20 (epoch 2); a lower schedule.peak may help"
    run.set_status("failed", epoch=1, error="NonFiniteError", reason=reason)


def plan_of(design: str) -> Mapping[str, object]:
    """The plan of a design for images of 16 pixels; for an unknown design, a plan that depends on its text."""
    image, number = Shape(1, 16, 16), int(hashlib.sha256(design.encode()).hexdigest(), 16)
    try:
        network = plan(design, image=image, classes=len(CLASSES))
    except ResatlasError:
        network = plan(f"resnet:depth={6 * (number // 97 % 20) + 8},base={number % 97 + 1}", image=image, classes=10)
    return plan_to_json(network)


def edited(file: Path, **values: object) -> None:
    """Change keys of a JSON file of a run, and seal the run again."""
    write_json(file, {**read_json(file), **values})
    seal(file.parent)


def seal(folder: Path) -> None:
    """Seal a run as it is now; its last checkpoint is an empty manifest."""
    manifest = folder / "checkpoints" / "step-00000228" / "MANIFEST.json"
    manifest.parent.mkdir(exist_ok=True)
    manifest.write_text("{}", encoding="utf-8")
    write_seal(folder, checkpoint=manifest.parent.name, manifest=manifest)


def write_errors(
    folder: Path, subject: Subject, wrong: Sequence[int], *, recipe: Recipe = RECIPE, data: str = "digits:size=16"
) -> list[Run]:
    """Runs of one design with seeds from 0, each with its number of misclassified images."""
    runs = []
    for seed, count in enumerate(wrong):
        misclassified = [k < count for k in range(IMAGES)]
        Random(f"{subject.design} {seed}").shuffle(misclassified)  # noqa: S311 - test values, not secrets
        name = Experiment(design=subject.design, data=data, recipe=recipe, seed=seed).run_name
        runs.append(write_run(folder / name, subject, seed=seed, wrong=misclassified, recipe=recipe, data=data))
    return runs


def environment() -> Mapping[str, object]:
    """The content of env.json, with a command that names private folders."""
    return {
        "python": "3.11.7",
        "packages": {"resatlas": "0.1.0", "torch": "2.14.1", "torchvision": None},
        "system": "Linux 6.18 x86_64",
        "processor": "AMD EPYC",
        "cores": 2,
        "threads": "default",
        "command": ["resatlas", "demo", "--out", "/home/someone/private/demo", "--data=/srv/secret/digits"],
    }


def write_runs(folder: Path, subjects: Sequence[tuple[Subject, int]], *, random_seed: int = 0) -> list[Run]:
    """Runs of several designs, each with its number of seeds, tested on the same images."""
    most = max(seeds for _, seeds in subjects)
    random = Random(random_seed)  # noqa: S311 - test values, not secrets
    errors = random_errors(random, [subject.ease for subject, _ in subjects], seeds=most)
    runs = []
    for (subject, seeds), wrong in zip(subjects, errors, strict=True):
        for seed in range(seeds):
            experiment = Experiment(design=subject.design, data="digits:size=16", recipe=RECIPE, seed=seed)
            runs.append(write_run(folder / experiment.run_name, subject, seed=seed, wrong=wrong[seed]))
    return runs


DEEP = (
    (Subject(family="plain", depth=8, loss=0.05, parameters=19_074), 3),
    (Subject(family="plain", depth=20, loss=0.11, ease=-0.8), 3),
    (Subject(family="plain", depth=56, loss=1.4, ease=-4.5, parameters=214_346), 3),
    (Subject(family="resnet", depth=8, loss=0.06, parameters=19_074), 3),
    (Subject(family="resnet", depth=20, loss=0.02), 3),
    (Subject(family="resnet", depth=56, loss=0.008, parameters=214_346), 3),
    (Subject(family="preact-resnet", depth=56, loss=0.007, parameters=214_346), 1),
    (Subject(family="wide-resnet", depth=58, loss=0.006, knobs="base=8,widen=1", parameters=215_930), 1),
    (Subject(family="resnext", depth=56, loss=0.01, knobs="base=8,cardinality=2", parameters=260_000), 1),
    (Subject(family="pyramidnet", depth=56, loss=0.012, knobs="base=8,alpha=24", parameters=180_000), 1),
    (Subject(family="dmrnet", depth=56, loss=0.015, parameters=430_000), 1),
    (Subject(family="dilnet", depth=56, loss=0.02, parameters=430_000), 1),
)
"""The designs of the demo's question about depth."""

EQUAL = tuple(
    (Subject(family=family, depth=depth, knobs=knobs, loss=loss, ease=ease, parameters=parameters), 3)
    for family, depth, knobs, loss, ease, parameters in (
        ("resnet", 20, "base=9", 0.021, 0.0, 84_000),
        ("wide-resnet", 16, "base=8,widen=3/2", 0.018, 0.1, 85_100),
        ("resnext", 29, "base=8,cardinality=4,bottleneck=2", 0.02, 0.0, 83_620),
        ("pyramidnet", 26, "base=8,alpha=28", 0.017, 0.2, 84_410),
        ("dmrnet", 20, "base=6", 0.025, -0.1, 84_930),
        ("dilnet", 20, "base=6", 0.03, 0.0, 84_930),
    )
)
"""The designs of the demo's question at an equal budget."""


def write_study(folder: Path) -> Path:
    """A study like the demo's, with all runs finished."""
    questions = []
    views: tuple[tuple[View, str, Sequence[tuple[Subject, int]]], ...] = (
        ("depth", "Which designs train when they are deep?", DEEP),
        ("budget", "Which is better at an equal budget?", EQUAL),
    )
    for random_seed, (view, title, subjects) in enumerate(views):
        runs = write_runs(folder, subjects, random_seed=random_seed)
        questions.append(Question(name=view, title=title, view=view, runs=tuple(run.name for run in runs)))
    write_collection(folder, Collection(name="demo", questions=tuple(questions)))
    return folder


def write_stopped(folder: Path) -> Run:
    """A run that was stopped after two epochs."""
    folder.mkdir(parents=True)
    experiment = to_json(Experiment(design="resnet-20", data="digits", recipe=RECIPE))
    write_json(folder / "experiment.json", {**experiment, "plan": plan_of("resnet-20")})
    for epoch in (1, 2):
        append_line(folder / "metrics.jsonl", {"epoch": epoch, "train_loss": 1.0})
    run = Run(folder)
    run.set_status("stopped", epoch=2)
    return run


def comparison_of(runs: Sequence[Run], *, view: View = "runs") -> Comparison:
    """The comparison of some runs."""
    names = tuple(run.name for run in runs)
    return compare_run_set(
        RunSet(Question(name="which", title="Which?", view=view, runs=names), tuple(run.record() for run in runs))
    )
