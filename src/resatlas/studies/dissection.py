"""Dissection of finished runs: one question is checked and answered, and the answer is written to the first run."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from resatlas.analysis import capacity
from resatlas.analysis.probes import FOLDER, PROBES, Fact, ProbeResult, result_to_json
from resatlas.data.dataset import ImageFiles
from resatlas.data.layouts import Role
from resatlas.errors import FolderError, UnknownName, UsageError, unknown
from resatlas.evaluation.portions import check_test_batch
from resatlas.runs.amendments import as_carried_out
from resatlas.runs.decoding import read_finished
from resatlas.runs.files import make_folder, write_json
from resatlas.runs.record import Epoch, RunRecord, check_labels
from resatlas.runs.store import check_writable
from resatlas.studies.checks import check_classes, check_plan
from resatlas.studies.own_images import check_own, resolve_data
from resatlas.studies.predictors import Predictor, kind_of, predictor_of
from resatlas.training.threads import PASS, computing, threads_for, threads_of
from resatlas.values.memory import out_of_memory
from resatlas.weights.obtaining import Access

if TYPE_CHECKING:  # `capacity` needs no torch
    from resatlas.analysis.probed_run import Probed, ProbedRun

Subject = RunRecord | Predictor


def dissect(
    run: str | Path,
    question: str,
    *,
    beside: Sequence[str | Path] = (),
    images: int | None = None,
    swaps: Sequence[tuple[str, str]] = (),
    replay: bool = False,
    out: str | Path | None = None,
    test_batch: int | None = None,
    of: Epoch = "last",
    access: Access = "online",
) -> ProbeResult:
    """The answer to a question of `PROBES` about a run, also written to its folder as dissections/QUESTION.json.

    `run` may also be the folder of a saved network or a WORD, for some questions; the answer is then written with `out`
    only, and the images are those of its data set.
    beside: further runs to compare with.
    images: the number of images to use; by default what the question needs.
    swaps: pairs of units that change places (lesion).
    replay: train once more and measure after every epoch (flow).
    out: another folder for the answer. If the answer cannot be written, it is returned with a note.
    test_batch: images per forward pass; by default as many as the training had memory for, at most 256.
    of: the epoch whose weights are probed, in all runs; of the best, the file is QUESTION-best.json.
    access: whether the weights of a WORD may be downloaded.
    Raises: UnknownName, UsageError, FolderError, DataError, CheckpointError; DesignError if the question does not
        apply to the network.
    """
    _check(question, beside=beside, images=images, swaps=swaps, replay=replay, test_batch=test_batch, of=of)
    if test_batch is not None:
        check_test_batch(test_batch)
    first, *others = [_subject_of(where, question, of, access) for where in (run, *beside)]
    if out is not None:
        check_writable(Path(out))
        Path(out).mkdir(parents=True, exist_ok=True)
    with _writable(_own_folder(first) if out is None else Path(out)) as (root, reason):
        if question == "capacity":
            answer = capacity.probe(first.name, first.plan)
        else:
            runs = (first, *others)
            with computing(max(map(_threads, runs))):
                answer = _answer_on_images(
                    question, runs, root / FOLDER, test_batch, images, swaps, replay=replay, of=of
                )
        if not reason:
            reason = _write(answer, root, _file_name(question, of))
    if not reason:
        return answer
    return replace(answer, notes=(*answer.notes, f"No file written: {reason}; choose a folder with --out."))


def _subject_of(where: str | Path, question: str, of: Epoch, access: Access) -> Subject:
    """A finished run, or a trained network without one.

    Raises: as `read_finished` and `predictor_of`; UsageError if the question, or the epoch, needs a run.
    """
    if kind_of(where) == "run":
        return read_finished(Path(where))
    if of == "best":
        raise UsageError(f"{where} has the weights of one epoch; leave out --of best")
    from resatlas.studies.dissecting_predictors import check_question

    check_question(question, str(where))
    return predictor_of(where, access=access)


def _own_folder(subject: Subject) -> Path | None:
    return subject.folder if isinstance(subject, RunRecord) else None


def _threads(subject: Subject) -> int:
    if isinstance(subject, RunRecord):
        return threads_of(subject.folder, subject.plan, images=PASS)
    return threads_for(subject.plan, images=PASS)


@contextmanager
def _writable(folder: Path | None) -> Iterator[tuple[Path, str]]:
    """The folder and ""; if it is read-only or there is none, a temporary folder and the reason."""
    if folder is None:
        with TemporaryDirectory() as other:
            yield Path(other), "there is no run to keep it"
        return
    if not folder.exists() or os.access(folder, os.W_OK | os.X_OK):
        yield folder, ""
        return
    with TemporaryDirectory() as other:
        yield Path(other), f"{folder} cannot be written"


def _file_name(question: str, of: Epoch) -> str:
    """The name of an answer's file or folder, without ending."""
    return question if of == "last" else f"{question}-best"


def _write(answer: ProbeResult, root: Path, name: str) -> str:
    """Write an answer; return "", or the reason why it cannot be written."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        make_folder(root / FOLDER, within=root)
        write_json(root / FOLDER / f"{name}.json", result_to_json(answer), within=root)
    except (OSError, FolderError) as error:
        return f"{root / FOLDER} cannot be written ({(getattr(error, 'strerror', None) or str(error)).lower()})"
    return ""


def _answer_on_images(
    question: str,
    runs: Sequence[Subject],
    folder: Path,
    test_batch: int | None,
    images: int | None,
    swaps: Sequence[tuple[str, str]],
    *,
    replay: bool,
    of: Epoch,
) -> ProbeResult:
    """The answer to a question that needs images; the batch is halved as often as memory runs out."""
    notes: list[str] = []
    subjects = [_subject(run, question, test_batch, of, notes) for run in runs]
    if of == "best":
        from resatlas.training.starting import best_epoch

        own = [run for run in runs if isinstance(run, RunRecord)]
        notes += [f"Weights of {run.name} after epoch {best_epoch(run).epoch}, its best." for run in own]
    while True:
        try:
            answer = _answer(question, subjects, folder, images=images, swaps=swaps, replay=replay)
            return replace(answer, notes=(*answer.notes, *dict.fromkeys(notes)))
        except (MemoryError, RuntimeError, OSError) as error:
            batch = max(subject.batch_size for subject in subjects)
            if batch == 1 or not out_of_memory(error):
                raise
        subjects = [replace(subject, batch_size=max(subject.batch_size // 2, 1)) for subject in subjects]
        notes.append(f"Out of memory with a batch of {batch:,} images; repeated with {batch // 2:,}.")


def _check(
    question: str,
    *,
    beside: Sequence[str | Path],
    images: int | None,
    swaps: Sequence[tuple[str, str]],
    replay: bool,
    test_batch: int | None,
    of: Epoch,
) -> None:
    """Refuse options that do not apply to a question, before anything is read.

    Raises: UnknownName, UsageError
    """
    if question not in PROBES:
        raise UnknownName(unknown("question", question, PROBES))
    if beside and PROBES[question].beside == "none":
        raise UsageError(f"{question} takes one run; leave out --beside")
    if images is not None and images < 2:
        raise UsageError(f"--images must be at least 2; got {images}")
    if images is not None and question == "capacity":
        raise UsageError("capacity needs no images; leave out --images")
    if test_batch is not None and question == "capacity":
        raise UsageError("capacity needs no images; leave out --test-batch")
    if swaps and question != "lesion":
        raise UsageError(f"--swap applies only to lesion, not to {question}; leave it out")
    if of == "best" and question == "capacity":
        raise UsageError("capacity needs no weights; leave out --of best")
    if of == "best" and replay:
        raise UsageError("--replay ends with the weights of the last epoch; leave out --of best")
    if replay and question != "flow":
        raise UsageError(f"--replay applies only to flow, not to {question}; leave it out")


def _subject(run: Subject, question: str, test_batch: int | None, of: Epoch, notes: list[str]) -> "Probed":
    """A finished run with the images of its training, or a network with those of its data; remarks go to `notes`.

    Raises: as `dissect`.
    """
    if not isinstance(run, RunRecord):
        from resatlas.studies.dissecting_predictors import probed_network

        return probed_network(run, test_batch, notes)
    check_labels(run)
    experiment = as_carried_out(run.beginning)
    data = resolve_data(experiment.data, of=run.beginning)
    check_classes(run, data)
    parts = data.read()
    roles: tuple[Role, ...] = ("test",) if question == "explain" else ("train", "validation")
    comparison = check_own(
        run.beginning,
        data,
        parts,
        roles=roles,
        purpose="held-back and training images can no longer be distinguished; restore the original files",
    )
    if comparison.mended:
        notes.append(f"{len(comparison.mended):,} images that {run.name} could not read were replaced since.")
    if comparison.standing == "unrecorded":
        notes.append(f"{run.name} has no record of its images; whether these are the same is unknown.")
    from resatlas.analysis.probed_run import ProbedRun
    from resatlas.evaluation.portions import images_at_once
    from resatlas.training.splits import normaliser_of, split_images

    check_plan(run)
    photographs = isinstance(parts.test, ImageFiles)
    at_once = test_batch or images_at_once(run.plan, experiment.recipe, photographs=photographs)
    split = split_images(parts, experiment, data, normaliser=normaliser_of(run), on_note=notes.append)
    return ProbedRun(run, split, at_once, of=of)


def _answer(
    question: str,
    probed: "Sequence[Probed]",
    folder: Path,
    *,
    images: int | None,
    swaps: Sequence[tuple[str, str]],
    replay: bool,
) -> ProbeResult:
    from resatlas.analysis import explain, lesion, paths, similarity, streams, surface
    from resatlas.analysis.probed_run import ProbedRun

    match question:
        case "lesion":
            return lesion.probe(probed, images=images, swaps=swaps)
        case "paths":
            return paths.probe(probed, images=images)
        case "similarity":
            return similarity.probe(probed, images=images)
        case _:
            subjects = [subject for subject in probed if isinstance(subject, ProbedRun)]  # by `check_question`, all
    match question:
        case "flow":
            return _flow(subjects, images=images, replay=replay)
        case "streams":
            return streams.probe(subjects, images=images)
        case "surface":
            return surface.probe(subjects, images=images)
        case "explain":
            return explain.probe(subjects, images=images, pictures=folder / _file_name(question, subjects[0].of))
        case _:
            raise UnknownName(unknown("question", question, PROBES))


def _flow(subjects: "Sequence[ProbedRun]", *, images: int | None, replay: bool) -> ProbeResult:
    from resatlas.analysis import flow
    from resatlas.analysis.replay import replayed

    batches = [subject.training(images or flow.IMAGES).joined() for subject in subjects]
    pairs = list(zip(subjects, batches, strict=True))
    if not replay:
        return flow.probe(subjects, images=images, moments=[list(flow.checkpoint_flows(*pair)) for pair in pairs])
    results = [replayed(subject, lambda network, batch=batch: flow.flow(network, batch)) for subject, batch in pairs]
    answer = flow.probe(subjects, images=images, moments=[result.moments for result in results])
    same = [
        Fact(name=f"replay ends with the weights of {subject.name}", unit="", value="yes" if result.same else "no")
        for subject, result in zip(subjects, results, strict=True)
    ]
    return replace(answer, facts=(*answer.facts, *same))
