"""Further tests of finished runs that find objects: on their own images, or on others with the same classes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from resatlas.data.annotated import resolve_annotated
from resatlas.data.boxes import AnnotatedParts, names_of
from resatlas.data.identity import annotated_digests, changed_annotations
from resatlas.errors import DataError, UsageError
from resatlas.evaluation.protocol import resolve, view_for_objects
from resatlas.recipes.detection import Classify, Detect, Segment, Task
from resatlas.recipes.task_text import noun
from resatlas.runs.amendments import as_carried_out
from resatlas.runs.decoding import read_beginning, read_finished
from resatlas.runs.names import DETECTIONS, FIRST
from resatlas.runs.record import Epoch, RunRecord
from resatlas.runs.store import check_writable
from resatlas.studies.own_images import Standing, compare_images, differ_text, scan_parts
from resatlas.studies.subject import DEFAULT_OPTIONS, EvaluationOptions
from resatlas.studies.tasks import masks_for
from resatlas.training.threads import PASS, computing, threads_of
from resatlas.values.progress import Progress, silent

if TYPE_CHECKING:  # wrong arguments are reported before torch is imported
    from torch import nn

    from resatlas.data.normalisation import Normaliser


@dataclass(frozen=True, kw_only=True)
class FoundEvaluation:
    """One test: measures as in results.json, the file of detections, and how the images relate to those of the run.

    same: whether the measures are those at the end of the training; None if another test was made.
    """

    run: str
    data: str
    protocol: str
    values: dict[str, Any]
    file: Path | None
    standing: Standing
    same: bool | None
    note: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class Finder:
    """A detector or a segmenter of a run, the normalisation of its images, and what it finds."""

    run: RunRecord
    module: "nn.Module"
    normaliser: "Normaliser"
    task: Detect | Segment


def finds_objects(where: str | Path) -> bool:
    """Whether this is a run that has learnt objects.

    Raises: FolderError if the start of the run is damaged.
    """
    folder = Path(where)
    return (folder / FIRST).is_file() and not isinstance(task_of(folder), Classify)


def task_of(folder: Path) -> Task:
    """What a run learns."""
    return read_beginning(folder).experiment.recipe.task


def finder(folder: str | Path, of: Epoch = "last") -> Finder:
    """The network of a finished run that finds objects, in evaluation mode.

    Raises: FolderError, CheckpointError; UsageError if it has learnt labels, or does not keep its best epoch.
    """
    run = read_finished(Path(folder))
    task = run.experiment.recipe.task
    if isinstance(task, Classify):
        raise UsageError(f"{folder} has learnt {noun(task)}, not objects")
    from resatlas.data.normalisation import UNTOUCHED
    from resatlas.training.splits import normaliser_of
    from resatlas.training.starting import trained_state

    module = trained_state(run, as_carried_out(run.beginning), of).tested.eval()
    return Finder(run=run, module=module, normaliser=normaliser_of(run) or UNTOUCHED, task=task)


def evaluate_all_found(
    folders: Sequence[str | Path], options: EvaluationOptions = DEFAULT_OPTIONS, progress: Progress = silent
) -> list[FoundEvaluation]:
    """As `evaluate_found` for each run under each protocol, by all processes that torchrun started.

    Raises: as there; UsageError if --out would have the detections of several tests.
    """
    _check_options(options)
    tests = [
        (folder, protocol)
        for folder in folders
        for protocol in resolve(options.protocols, read_finished(Path(folder)).experiment.recipe)
    ]
    if options.out and len(tests) > 1:
        raise UsageError(f"--out takes the detections of one test; here are {len(tests)}: evaluate them one by one")
    from resatlas.training.distributed import joined

    with joined(rank_timeout=options.rank_timeout):
        return [
            evaluate_found(folder, replace(options, protocols=(protocol.name,)), progress) for folder, protocol in tests
        ]


def evaluate_found(
    folder: str | Path, options: EvaluationOptions = DEFAULT_OPTIONS, progress: Progress = silent
) -> FoundEvaluation:
    """The measures of a finished run on its test images, or on those of --data; detections are written to --out.

    The first protocol counts: `centre`, the images as they are, or `flips`, with their mirror images.
    Raises: FolderError, UsageError, CheckpointError; DataError also if the images or objects are not those of the run
        and not named by --data.
    """
    _check_options(options)
    run = read_finished(Path(folder))
    task = run.experiment.recipe.task
    protocol, *_ = resolve(options.protocols, run.experiment.recipe)
    data = resolve_annotated(options.data or run.experiment.data, masks=masks_for(task))
    view = view_for_objects(protocol, data, task)
    parts = data.read()
    standing, note = _standing(run, options, data.name, parts)
    subject = finder(folder, options.of)
    from resatlas.data.pipeline import Pipeline
    from resatlas.evaluation.detections import write_detections
    from resatlas.evaluation.finding import detections_of, find
    from resatlas.evaluation.portions import images_at_once
    from resatlas.studies.finding import measured
    from resatlas.training.distributed import current
    from resatlas.training.execution import device_of

    truth = parts.test
    batch = options.test_batch or images_at_once(run.plan, run.experiment.recipe, photographs=truth.root is not None)
    world = current()
    with computing(threads_of(run.folder, run.plan, images=PASS)):
        found = find(
            subject.module.to(device_of(options.device)),
            truth,
            Pipeline(steps=(), normaliser=subject.normaliser, workers=options.workers),
            subject.task,
            batch=batch,
            processes=world,
            view=view,
            on_images=lambda done, total: progress(str(folder), done, total),
        )
    values = measured(truth, found, subject.task)
    own = standing == "own" and options.of == "last" and view == run.experiment.recipe.testing[0]
    same = values == run.written["test"] if own else None
    file = run.folder / DETECTIONS if own and (run.folder / DETECTIONS).exists() else None
    if options.out:
        file = options.out / DETECTIONS
        if world.leads:
            options.out.mkdir(parents=True, exist_ok=True)
            write_detections(file, detections_of(found))
    notes = [note] if note else []
    if same is not None:
        before = run.outcome.test.error_percent
        notes.append("same as results.json" if same else f"differs from results.json, there an error of {before:.6g} %")
    return FoundEvaluation(
        run=str(folder),
        data=data.name,
        protocol=protocol.name,
        values=values,
        file=file,
        standing=standing,
        same=same,
        note="; ".join(notes),
    )


def _check_options(options: EvaluationOptions) -> None:
    usual = EvaluationOptions()
    for name, option in (
        ("among", "--among"),
        ("statistics", "--norm-statistics"),
        ("engine", "--engine"),
        ("probabilities", "--probabilities"),
    ):
        if getattr(options, name) != getattr(usual, name):
            raise UsageError(f"{option} is for networks that classify images; leave it out for one that finds objects")
    if options.out:
        check_writable(options.out)


def _standing(run: RunRecord, options: EvaluationOptions, data: str, parts: AnnotatedParts) -> tuple[Standing, str]:
    """How the test images and their objects relate to those of the run.

    Raises: DataError if they are others and not named by --data, or have other classes.
    """
    if run.classes != classes_in(run, parts):
        raise DataError(f"{data} has other classes than {run.folder}; they and their order must be the same")
    standing, words = standing_of(run, parts, threads=options.workers)
    if standing == "own":
        return standing, ""
    if options.data is None:
        raise DataError(
            f"{data}: the images are not those of {run.folder}: {words}; to test on these anyway, add --data {data}"
        )
    return standing, f"the images are not those of {run.folder}: {words}"


def classes_in(run: RunRecord, parts: AnnotatedParts) -> tuple[str, ...]:
    """What the test images call the classes of such a run."""
    segments = isinstance(run.experiment.recipe.task, Segment)
    return parts.test.pixel_classes if segments else names_of(parts.test.categories)


def standing_of(run: RunRecord, parts: AnnotatedParts, *, threads: int = 1) -> tuple[Literal["own", "other"], str]:
    """Whether the test images and their objects are those of the run, and in which way they are others."""
    recorded = {} if isinstance(run.images, str) else dict(run.images)
    scans = scan_parts(parts, roles=("test",), threads=threads)
    comparison = compare_images(run.beginning, parts, scans, roles=("test",))
    words = "" if comparison.standing == "own" else differ_text(comparison.differences)
    if not words:
        changed = changed_annotations(recorded, annotated_digests("test", parts.test))
        words = " and ".join(f"test has other {kind}" for _, kind in changed)
    return ("other", words) if words else ("own", "")
