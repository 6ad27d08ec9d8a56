"""A question put to finished runs: checked, answered, and written beside the first of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from resatlas.analysis import capacity
from resatlas.analysis.answer import Answer, Fact, to_json
from resatlas.analysis.questions import FOLDER, QUESTIONS
from resatlas.data import catalog as datasets
from resatlas.errors import FolderError, UnknownName, UsageError, unknown
from resatlas.runs.decoding import read_run
from resatlas.runs.files import make_folder, write_json
from resatlas.runs.record import RunRecord
from resatlas.studies.checks import check_classes, check_plan
from resatlas.training.threads import PASS, computing, threads_of

if TYPE_CHECKING:  # `capacity` needs no torch
    from resatlas.analysis.subject import Subject


def dissect(
    run: str | Path,
    question: str,
    *,
    beside: Sequence[str | Path] = (),
    images: int | None = None,
    swaps: Sequence[tuple[str, str]] = (),
    replay: bool = False,
) -> Answer:
    """The answer of a run to a question of `QUESTIONS`, written to its folder as dissections/QUESTION.json.

    `beside` are further runs; `images` is how many are looked at, by default what the question needs. `swaps` are
    pairs of units that change places (lesion); `replay` trains once more and looks after every epoch (flow).
    Raises: UnknownName, UsageError, FolderError, DataError, CheckpointError; DesignError where the network has no
        such thing.
    """
    _check(question, beside=beside, images=images, swaps=swaps, replay=replay)
    first, *others = [_finished(Path(folder)) for folder in (run, *beside)]
    if question == "capacity":
        found = capacity.answer(first.name, first.plan)
    else:
        runs = (first, *others)
        with computing(max(threads_of(each.folder, each.plan, images=PASS) for each in runs)):
            found = _asked(question, [_opened(each) for each in runs], images=images, swaps=swaps, replay=replay)
    folder = first.folder / FOLDER
    try:
        make_folder(folder, within=first.folder)
        write_json(folder / f"{question}.json", to_json(found), within=first.folder)
    except OSError as error:
        raise FolderError(f"{folder} cannot be written: {(error.strerror or str(error)).lower()}") from None
    return found


def _check(
    question: str,
    *,
    beside: Sequence[str | Path],
    images: int | None,
    swaps: Sequence[tuple[str, str]],
    replay: bool,
) -> None:
    """Refuse what a question does not take, before anything is read.

    Raises: UnknownName, UsageError
    """
    if question not in QUESTIONS:
        raise UnknownName(unknown("question", question, QUESTIONS))
    if beside and QUESTIONS[question].beside == "none":
        raise UsageError(f"{question} is put to one run; leave out --beside")
    if images is not None and images < 2:
        raise UsageError(f"a question is put on at least 2 images; {images} is fewer")
    if images is not None and question == "capacity":
        raise UsageError("capacity needs no images; leave out --images")
    if swaps and question != "lesion":
        raise UsageError(f"units change places for lesion alone, not for {question}; leave out --swap")
    if replay and question != "flow":
        raise UsageError(f"a training is replayed for flow alone, not for {question}; leave out --replay")


def _finished(folder: Path) -> RunRecord:
    run = read_run(folder)
    if not run.finished:
        raise FolderError(f"{folder} is not finished; what it has learnt is dissected after its last epoch")
    return run


def _opened(run: RunRecord) -> "Subject":
    """A finished run with its images.

    Raises: as `dissect`.
    """
    experiment = run.experiment
    data = datasets.resolve(experiment.data)
    check_classes(run, data)
    parts = data.read()
    from resatlas.analysis.subject import Subject
    from resatlas.training.session import material, normaliser_of

    check_plan(run)
    return Subject(run, material(parts, experiment, data, normaliser=normaliser_of(run)))


def _asked(
    question: str,
    subjects: "Sequence[Subject]",
    *,
    images: int | None,
    swaps: Sequence[tuple[str, str]],
    replay: bool,
) -> Answer:
    from resatlas.analysis import explain, lesion, paths, similarity, streams, surface

    match question:
        case "lesion":
            return lesion.answer(subjects, images=images, swaps=swaps)
        case "paths":
            return paths.answer(subjects, images=images)
        case "flow":
            return _flow(subjects, images=images, replay=replay)
        case "streams":
            return streams.answer(subjects, images=images)
        case "similarity":
            return similarity.answer(subjects, images=images)
        case "surface":
            return surface.answer(subjects, images=images)
        case "explain":
            return explain.answer(subjects, images=images, pictures=subjects[0].run.folder / FOLDER / "explain")
        case _:
            raise UnknownName(unknown("question", question, QUESTIONS))


def _flow(subjects: "Sequence[Subject]", *, images: int | None, replay: bool) -> Answer:
    from dataclasses import replace

    from resatlas.analysis import flow
    from resatlas.analysis.replay import replayed

    batches = [subject.learnt(images or flow.IMAGES).joined() for subject in subjects]
    pairs = list(zip(subjects, batches, strict=True))
    if not replay:
        return flow.answer(subjects, images=images, moments=[list(flow.kept(*pair)) for pair in pairs])
    found = [replayed(subject, lambda network, batch=batch: flow.flow(network, batch)) for subject, batch in pairs]
    told = flow.answer(subjects, images=images, moments=[each.moments for each in found])
    same = [
        Fact(name=f"replay ends with the weights of {subject.name}", unit="", value="yes" if each.same else "no")
        for subject, each in zip(subjects, found, strict=True)
    ]
    return replace(told, facts=(*told.facts, *same))
