"""Export of a finished run or a saved network to another format, checked against the network."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resatlas.data import catalog as datasets
from resatlas.errors import DataError, UsageError
from resatlas.exporting.page.runtime import read_runtime
from resatlas.exporting.targets import Dynamic, ExportOptions, InputKind, Precision
from resatlas.inference.engines.packages import check_packages
from resatlas.runs.amendments import as_carried_out
from resatlas.runs.decoding import read_finished
from resatlas.runs.names import FIRST
from resatlas.runs.record import Epoch, RunRecord
from resatlas.runs.store import check_writable
from resatlas.studies.finders import finds_objects
from resatlas.studies.own_images import check_own, resolve_data
from resatlas.studies.predictors import Predictor, kind_of, knows, predictor_of
from resatlas.studies.shipping_found import export_found
from resatlas.values.notes import once
from resatlas.weights.obtaining import Access

if TYPE_CHECKING:  # wrong options are reported before torch is imported
    from resatlas.data.dataset import DataSet, Parts
    from resatlas.data.pipeline import Policy
    from resatlas.exporting.images import ExportImages


def export(
    what: str | Path,
    out: str | Path,
    *,
    to: str = "onnx",
    precision: Precision = "fp32",
    dynamic: Dynamic | None = None,
    input: InputKind = "pixels",  # noqa: A002 - the name of the option
    calibrate: int = 256,
    most_loss: float = 1.0,
    runtime: str | Path | None = None,
    data: str | None = None,
    of: Epoch = "last",
    access: Access = "online",
) -> dict[str, Any]:
    """Export a finished run or a saved network (by its folder), or the weights of a WORD; returns export.json.

    The options are those of `resatlas export`: `of` is the epoch of a run whose weights are exported, and `data` a DATA
    text, by default the data that the network was trained on. `runtime` is the folder of onnxruntime-web for a page.
    The export is compared with the network in float64, and int8 is also measured on all test images.
    Raises: UsageError, UnknownName, FolderError before anything is computed; ExportError if the export computes
        something else, after which nothing is left; DataError, CheckpointError.
    """
    options = ExportOptions(
        to=to,
        precision=precision,
        dynamic=dynamic,
        input=input,
        calibrate=calibrate,
        most_loss=most_loss,
        runtime=None if runtime is None else Path(runtime),
    )
    target, folder = Path(out), Path(what)
    if finds_objects(folder):
        return export_found(folder, target, options, data=data, of=of)
    purpose = f"--to {to}" if options.runtime is None else "--runtime"
    check_packages(options.packages, install=options.install, purpose=purpose)
    if options.runtime is not None:
        read_runtime(options.runtime)
    predictor = predictor_of(what, of=of, access=access)
    from resatlas.exporting.description import to_json
    from resatlas.exporting.drafts import check_target
    from resatlas.exporting.export_folder import write_export
    from resatlas.exporting.subject import Subject
    from resatlas.training.threads import computing, threads_for

    check_target(target)
    check_writable(target)
    images, note = _images(folder, predictor, data)
    subject = Subject(
        name=folder.resolve().name if kind_of(what) != "word" else predictor.name,
        network=predictor.network,
        preprocessing=predictor.preprocessing,
        classes=predictor.classes,
        images=images,
        note=note,
        epoch=predictor.epoch,
        licence=predictor.licence,
    )
    with computing(threads_for(predictor.network.plan, images=1)):
        return to_json(write_export(subject, options, target))


def _images(folder: Path, predictor: Predictor, data: str | None) -> tuple["ExportImages | None", str]:
    """The images of the named data, or of the network's own; or None and the reason, if none are named.

    Raises: DataError if the named data, or the changed data of a run, does not fit.
    """
    if (folder / FIRST).is_file():
        run = read_finished(folder)
        return _of_run(run, predictor, data)
    named = predictor.data if datasets.separated(predictor.data)[0] in datasets.NAMED else None
    if (text := data or named) is None:
        return None, "no data set is named"
    return _read(text, predictor, named=data is not None)


def _of_run(run: RunRecord, predictor: Predictor, data: str | None) -> tuple["ExportImages | None", str]:
    """The training images of a run without those that it held out, and its test images."""
    if data is not None:
        return _read(data, predictor, named=True)
    from resatlas.training.splits import split_images

    experiment = run.experiment
    try:
        own = resolve_data(experiment.data, of=run.beginning)
        parts = own.read()
    except DataError as error:
        once(f"images of {run.name}", str(error))
        return None, "the images of its data set are not at hand"
    check_own(
        run.beginning,
        own,
        parts,
        roles=("train", "test"),
        purpose="name the images to check the export on with --data DATA",
    )
    _check_fits(own, predictor)
    splits = split_images(parts, experiment, own, normaliser=predictor.preprocessing.normaliser)
    parts = replace(parts, train=splits.train)
    return _export_images(own, parts, predictor, as_carried_out(run.beginning).unreadable), ""


def _read(text: str, predictor: Predictor, *, named: bool) -> tuple["ExportImages | None", str]:
    try:
        data = resolve_data(text)
        parts = data.read()
    except DataError as error:
        if named:
            raise
        once(f"images of {text}", str(error))
        return None, "the images of its data set are not at hand"
    _check_fits(data, predictor)
    return _export_images(data, parts, predictor), ""


def _export_images(
    data: "DataSet", parts: "Parts", predictor: Predictor, unreadable: "Policy" = "error"
) -> "ExportImages":
    from resatlas.data.pipeline import Pipeline
    from resatlas.exporting.images import ExportImages

    how = predictor.preprocessing
    return ExportImages(
        train=parts.train,
        test=parts.test,
        pipeline=Pipeline(steps=(), normaliser=how.normaliser, view=how.view, unreadable=unreadable),
        source=f"test images of {Path(data.name).name if datasets.is_folder(data.name) else data.name}",
    )


def _check_fits(data: "DataSet", predictor: Predictor) -> None:
    """Refuse images of another shape, or with other classes.

    Raises: UsageError, DataError
    """
    image = predictor.network.plan.image
    if data.image != image:
        raise UsageError(f"images of {data.name} are {data.image}, and the network takes {image}")
    if data.classes != predictor.classes and not knows(predictor, data):
        raise DataError(f"the classes of {data.name} are not those of the network, in their order")
