"""Export of a finished run that finds objects, or the classes of pixels, checked against its network."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from resatlas.data.annotated import resolve_annotated
from resatlas.errors import DataError, UsageError
from resatlas.exporting.targets import ExportOptions
from resatlas.inference.engines.packages import check_packages
from resatlas.runs.record import Epoch
from resatlas.runs.store import check_writable
from resatlas.studies.finders import Finder, finder
from resatlas.studies.tasks import masks_for
from resatlas.values.notes import once

if TYPE_CHECKING:  # wrong options are reported before torch is imported
    from resatlas.data.boxes import AnnotatedImages


def export_found(
    where: Path, out: Path, options: ExportOptions, *, data: str | None = None, of: Epoch = "last"
) -> dict[str, Any]:
    """Export a finished run that finds objects, or the folder of a saved one; returns export.json.

    Raises: UsageError, FolderError, CheckpointError; ExportError if the export finds something else, after which
        nothing is left; DataError if the named data cannot be read.
    """
    check_packages(options.packages, install=options.install, purpose=f"--to {options.to}")
    subject = finder(where, of)
    from resatlas.data.normalisation import Affine
    from resatlas.exporting.drafts import check_target
    from resatlas.exporting.found_description import to_json
    from resatlas.exporting.found_export import FoundSubject, write_found_export
    from resatlas.training.threads import computing, threads_for

    check_target(out)
    check_writable(out)
    images, source = _images(subject, data)
    if not isinstance(subject.normaliser, Affine):
        raise UsageError(f"images of {where} are normalised with a whitening matrix, which fits one size")
    own = FoundSubject(
        name=where.resolve().name,
        module=subject.module,
        normaliser=subject.normaliser,
        classes=subject.classes,
        images=images,
        source=source,
        epoch=subject.epoch,
        licence=subject.licence,
    )
    with computing(threads_for(subject.plan, images=1)):
        return to_json(write_found_export(own, options, out))


def _images(subject: Finder, data: str | None) -> tuple["AnnotatedImages | None", str]:
    """The test images of the named data, or of its own; or None and the reason, if its own are not at hand.

    Raises: DataError, UsageError if the named data do not fit.
    """
    text = data or subject.data
    try:
        resolved = resolve_annotated(text, masks=masks_for(subject.task))
        part = resolved.read().test
    except DataError as error:
        if data is not None:
            raise
        once(f"images of {text}", str(error))
        return None, "random pixels: the images of its data set are not at hand"
    channels = subject.plan.image.channels
    if resolved.channels != channels:
        raise UsageError(f"images of {text} have {resolved.channels} channels, and the network takes {channels}")
    name = resolved.name if part.root is None else Path(resolved.name).name
    return part.without_masks(), f"test images of {name}"
