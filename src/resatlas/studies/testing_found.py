"""Further tests of finished runs that find objects: on their own images, or on others with the same classes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from resatlas.data.annotated import resolve_annotated
from resatlas.data.boxes import AnnotatedImages, AnnotatedParts, DetectionData, names_of
from resatlas.data.catalog import OBJECTS, separated
from resatlas.data.identity import annotated_digests, changed_annotations
from resatlas.errors import DataError, UsageError
from resatlas.evaluation.protocol import resolve_for_objects, view_for_objects
from resatlas.recipes.detection import Segment, Task
from resatlas.recipes.images import Centre
from resatlas.runs.decoding import read_finished
from resatlas.runs.names import DETECTIONS, FIRST
from resatlas.runs.record import RunRecord
from resatlas.runs.store import check_writable
from resatlas.studies.finders import Finder, finder
from resatlas.studies.own_images import Standing, compare_images, differ_text, scan_parts
from resatlas.studies.subject import DEFAULT_OPTIONS, EvaluationOptions
from resatlas.studies.tasks import masks_for
from resatlas.training.threads import PASS, computing, threads_for, threads_of
from resatlas.values.progress import Progress, silent

if TYPE_CHECKING:  # wrong arguments are reported before torch is imported
    from resatlas.evaluation.finding import Found, ObjectView
    from resatlas.evaluation.logits import OnImages

_AT_ONCE = 4
"""Images of one pass of a saved network, which does not say for how many the training had memory."""


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


def evaluate_all_found(
    folders: Sequence[str | Path], options: EvaluationOptions = DEFAULT_OPTIONS, progress: Progress = silent
) -> list[FoundEvaluation]:
    """As `evaluate_found` for each run under each protocol, by all processes that torchrun started.

    Raises: as there; UsageError if --out would have the detections of several tests.
    """
    _check_options(options)
    tests = [(folder, protocol) for folder in folders for protocol in resolve_for_objects(options.protocols)]
    if options.out and len(tests) > 1:
        raise UsageError(f"--out takes the detections of one test; here are {len(tests)}: evaluate them one by one")
    from resatlas.training.distributed import joined

    with joined(rank_timeout=options.rank_timeout):
        return [
            evaluate_found(folder, replace(options, protocols=(protocol.name,)), progress) for folder, protocol in tests
        ]


def evaluate_found(
    where: str | Path, options: EvaluationOptions = DEFAULT_OPTIONS, progress: Progress = silent
) -> FoundEvaluation:
    """The measures of a finished run, or of a saved one, on its test images, or on those of --data.

    The first protocol counts: `centre`, the images as they are, or `flips`, with their mirror images. Detections are
    written to --out.
    Raises: FolderError, UsageError, CheckpointError; DataError also if the images or objects are not those of the run
        and not named by --data.
    """
    _check_options(options)
    run = read_finished(Path(where)) if (Path(where) / FIRST).is_file() else None
    subject = finder(where, options.of)
    protocol, *_ = resolve_for_objects(options.protocols)
    data = resolve_annotated(options.data or _own_data(subject), masks=masks_for(subject.task))
    view = view_for_objects(protocol, subject.task, data=data.name, mirror=data.mirror)
    parts = data.read()
    check_fits(subject, data, parts)
    standing, note = _standing(run, options, data.name, parts) if run else ("unrecorded", "")
    from resatlas.evaluation.detections import write_detections
    from resatlas.evaluation.finding import detections_of
    from resatlas.studies.finding import measured
    from resatlas.training.distributed import current

    found = _found(subject, run, parts.test, options, view, on_images=partial(progress, str(where)))
    values = measured(parts.test, found, subject.task)
    own = standing == "own" and options.of == "last" and view == Centre()
    same = values == run.written["test"] if own and run else None
    file = run.folder / DETECTIONS if own and run and (run.folder / DETECTIONS).exists() else None
    if options.out:
        file = options.out / DETECTIONS
        if current().leads:
            options.out.mkdir(parents=True, exist_ok=True)
            write_detections(file, detections_of(found))
    return FoundEvaluation(
        run=str(where),
        data=data.name,
        protocol=protocol.name,
        values=values,
        file=file,
        standing=standing,
        same=same,
        note="; ".join(_remarks(note, subject, run, same=same)),
    )


def _found(
    subject: Finder,
    run: RunRecord | None,
    part: AnnotatedImages,
    options: EvaluationOptions,
    view: "ObjectView",
    *,
    on_images: "OnImages",
) -> "Found":
    """What a network finds in the images of a part, computed by all processes, with the threads of its training."""
    from resatlas.data.pipeline import Pipeline
    from resatlas.evaluation.finding import find
    from resatlas.evaluation.portions import images_at_once
    from resatlas.training.distributed import current
    from resatlas.training.execution import device_of

    usual = images_at_once(run.plan, run.experiment.recipe, photographs=part.root is not None) if run else _AT_ONCE
    threads = threads_of(run.folder, run.plan, images=PASS) if run else threads_for(subject.plan, images=PASS)
    with computing(threads):
        return find(
            subject.module.to(device_of(options.device)),
            part,
            Pipeline(steps=(), normaliser=subject.normaliser, workers=options.workers),
            subject.task,
            batch=options.test_batch or usual,
            processes=current(),
            view=view,
            on_images=on_images,
        )


def _remarks(standing: str, subject: Finder, run: RunRecord | None, *, same: bool | None) -> Iterator[str]:
    """What is to be said of the measures: of the images, of those in results.json, and of published ones."""
    if standing:
        yield standing
    if same is not None and run:
        before = run.outcome.test.error_percent
        yield "same as results.json" if same else f"differs from results.json, there an error of {before:.6g} %"
    if subject.published:
        yield f"published: {subject.published}"


def _own_data(subject: Finder) -> str:
    """The DATA text of the images that a network was tested on, which may be a folder of a run alone.

    Raises: UsageError if a saved network does not name data that are known here.
    """
    if subject.saved and separated(subject.data)[0] not in OBJECTS:
        raise UsageError(f"the images of {subject.name} are not those of a known data set; evaluate takes --data DATA")
    return subject.data


def check_fits(subject: Finder, data: DetectionData, parts: AnnotatedParts) -> None:
    """Refuse images with other classes or channels than the network has learnt.

    Raises: UsageError, DataError
    """
    if subject.classes != classes_in(subject.task, parts):
        raise DataError(f"{data.name} has other classes than {subject.name}; they and their order must be the same")
    channels = subject.plan.image.channels
    if data.channels != channels:
        raise UsageError(f"images of {data.name} have {data.channels} channels, and {subject.name} takes {channels}")


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

    Raises: DataError if they are others and not named by --data.
    """
    standing, words = standing_of(run, parts, threads=options.workers)
    if standing == "own":
        return standing, ""
    if options.data is None:
        raise DataError(
            f"{data}: the images are not those of {run.folder}: {words}; to test on these anyway, add --data {data}"
        )
    return standing, f"the images are not those of {run.folder}: {words}"


def classes_in(task: Task, parts: AnnotatedParts) -> tuple[str, ...]:
    """What the test images call the classes of such a task."""
    return parts.test.pixel_classes if isinstance(task, Segment) else names_of(parts.test.categories)


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
