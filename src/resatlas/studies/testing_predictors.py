"""Tests of networks that have no run: those of a saved folder or of a WORD, on the images of a data set."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from resatlas.data import catalog as datasets
from resatlas.data.dataset import DataSet, ImageFiles, Part
from resatlas.errors import DataError, FolderError, UsageError, quoted
from resatlas.evaluation import protocol as protocols
from resatlas.evaluation.portions import MOST, Portion, check_test_batch
from resatlas.evaluation.protocol import Protocol, name_of, view_of
from resatlas.runs.experiment import folder_name, short_digest
from resatlas.runs.store import check_writable
from resatlas.studies.own_images import resolve_data
from resatlas.studies.predictors import Predictor, knows, own_data, predictor_of
from resatlas.studies.subject import EvaluationOptions, check_engine_for, check_protocol_for
from resatlas.training.execution import device_of
from resatlas.training.threads import PASS, computing, threads_for
from resatlas.values.progress import Progress

if TYPE_CHECKING:  # wrong arguments are reported before torch is imported
    from torch import nn

    from resatlas.evaluation.logits import Predictions
    from resatlas.studies.testing import Evaluation
    from resatlas.training.distributed import World


def predictor_evaluations(
    where: str | Path, options: EvaluationOptions, progress: Progress, world: "World"
) -> Iterator["Evaluation"]:
    """A test of a saved network or of a word under each protocol; by default under that of its own preparation.

    Predictions are written only with --out, since there is no run to keep them.
    Raises: UsageError, DataError, CheckpointError; FolderError if --out cannot be written.
    """
    if options.statistics == "reestimated":
        raise UsageError(f"--norm-statistics reestimated needs the training images of a run; {where} is not a run")
    check_engine_for(options)
    if options.test_batch is not None:
        check_test_batch(options.test_batch)
    if options.out:
        check_writable(options.out)
    texts = [text for text in options.protocols if text != "recipe"]
    views = [view_of(text) for text in texts]
    predictor = predictor_of(where, of=options.of, access=options.access, progress=progress)
    data = resolve_data(options.data) if options.data else own_data(predictor)
    columns = _columns(predictor, data)
    own = predictor.preprocessing.view
    chosen = [Protocol(name=name_of(view), view=view) for view in dict.fromkeys(views or [own])]
    test = data.read().test
    for protocol in chosen:
        protocols.check(protocol, data, test)
        check_protocol_for(options.engine, protocol)
    from resatlas.inference.engines.network import run_by

    with computing(threads_for(predictor.network.plan, images=PASS)):
        network = run_by(options.engine, predictor.network.to(device_of(options.device)), free="size")
        for protocol in chosen:
            remarks: list[str] = []
            predictions = _predictions(network, predictor, test, columns, protocol, options, remarks, world, progress)
            yield world.lead(partial(_evaluation, predictions, predictor, data, test, protocol, options, remarks))


def _columns(predictor: Predictor, data: DataSet) -> tuple[int, ...]:
    """The output of the network for each class of the data; those of its own data set are in the same order.

    Raises: DataError if the network does not know one of the classes; UsageError if it takes other images.
    """
    image = predictor.preprocessing.image
    if data.image != image:
        raise UsageError(
            f"images of {data.name} are {data.image}, and {predictor.name} takes {image}; most data have a knob size, "
            f"as in {datasets.separated(data.name)[0]}:size={image.height}"
        )
    if data.classes == predictor.classes or knows(predictor, data):
        return tuple(range(len(data.classes)))
    outputs = {name: k for k, name in enumerate(predictor.classes)}
    missing = [name for name in data.classes if name not in outputs]
    if missing:
        raise DataError(
            f"{predictor.name} has no class {quoted(missing[0])} of {data.name}; its classes must include those of "
            "--data by the same names"
        )
    return tuple(outputs[name] for name in data.classes)


def _predictions(
    network: "nn.Module",
    predictor: Predictor,
    test: Part,
    columns: Sequence[int],
    protocol: Protocol,
    options: EvaluationOptions,
    remarks: list[str],
    world: "World",
    progress: Progress,
) -> "Predictions":
    from resatlas.data.pipeline import Pipeline
    from resatlas.evaluation.logits import no_progress, predict, predict_together, restricted

    preparation = predictor.preprocessing
    pipeline = Pipeline(
        steps=(),
        normaliser=preparation.normaliser,
        view=preparation.view,
        workers=options.workers,
        on_note=remarks.append,
    )
    portion = Portion(size=options.test_batch or MOST, note=remarks.append)
    on_images = partial(progress, f"{predictor.name} {protocol.name}") if world.leads else no_progress
    predictions = predict_together(
        test, world, lambda part: predict(network, part, pipeline, protocol.view, on_images, portion)
    )
    if options.among == "run":
        import torch

        return predictions._replace(labels=torch.tensor(columns)[predictions.labels])
    return restricted(predictions, columns)


def _evaluation(
    predictions: "Predictions",
    predictor: Predictor,
    data: DataSet,
    test: Part,
    protocol: Protocol,
    options: EvaluationOptions,
    remarks: Sequence[str],
) -> "Evaluation":
    """The measures of predictions; their file is written with --out.

    Raises: NonFiniteError if a measure is not finite; FolderError if the file cannot be written.
    """
    from resatlas.evaluation.confusion import confusion, missed, taken
    from resatlas.studies.testing import Evaluation, measured

    counts = confusion(predictions)
    classes = predictor.classes if options.among == "run" else data.classes
    file = (options.out or Path()) / _file_name(predictor, data, protocol, options)
    if options.out:
        _write(predictions, file, classes, test, options)
    return Evaluation(
        runs=(predictor.name,),
        data=data.name,
        protocol=protocol,
        size=data.image.height,
        values=measured(predictions, protocol),
        classes=classes,
        missed=missed(counts),
        taken=taken(counts),
        file=file,
        filing="written" if options.out else "not written",
        standing="unrecorded",
        same="another test",
        note="; ".join(dict.fromkeys([*_notes(predictor, test), *remarks])),
    )


def _write(
    predictions: "Predictions", file: Path, classes: tuple[str, ...], test: Part, options: EvaluationOptions
) -> None:
    from resatlas.evaluation.classification import prediction_rows
    from resatlas.evaluation.predictions import write_predictions

    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        names = test.files if isinstance(test, ImageFiles) else ()
        write_predictions(file, prediction_rows(predictions, options.probabilities), classes, names)
    except OSError as error:
        raise FolderError(f"{file} cannot be written: {(error.strerror or str(error)).lower()}") from None


def _notes(predictor: Predictor, test: Part) -> Iterator[str]:
    """The published result, and a difference of this test from it."""
    if predictor.published:
        yield f"published: {predictor.published}"
    if predictor.preprocessing.interpolation != "bilinear" and isinstance(test, ImageFiles):
        yield (
            f"photographs are resized bilinearly here; {predictor.name} was trained for "
            f"{predictor.preprocessing.interpolation} interpolation"
        )


def _file_name(predictor: Predictor, data: DataSet, protocol: Protocol, options: EvaluationOptions) -> str:
    """The name of the file of predictions, made of what is tested."""
    words = ["predictions", predictor.name[-80:], data.name[-80:], protocol.name]
    if options.probabilities == "every":
        words.append("probabilities")
    if options.engine != "torch":
        words.append(options.engine)
    return f"{folder_name('-'.join(words))[:160]}-{short_digest(' '.join([predictor.name, *words]))}.csv"
