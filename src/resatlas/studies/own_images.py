"""Comparison of the images of a data set with those that a run was trained on, part by part."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from resatlas.data import catalog as datasets
from resatlas.data.annotated import resolve_any
from resatlas.data.boxes import AnnotatedParts, DetectionData
from resatlas.data.dataset import DataSet, Parts, fingerprint
from resatlas.data.identity import (
    Fingerprint,
    by_role,
    changed_annotations,
    differences,
    digests_of_objects,
    fingerprint_of,
    parsed,
    parts_in_files,
)
from resatlas.data.layouts import Role
from resatlas.data.listing import is_directory, printable
from resatlas.data.verifying import Depth, Looked, looked_at
from resatlas.errors import DataError, ResatlasError, UnreadableImage
from resatlas.runs.amendments import Unreadable, amendments, record_unreadable, unreadable
from resatlas.runs.record import Beginning
from resatlas.training.execution import Verify
from resatlas.values.progress import Progress, silent
from resatlas.values.text import counted
from resatlas.values.threaded import threaded

if TYPE_CHECKING:  # nothing else here needs torch
    from resatlas.data.pipeline import Policy

ROLES: tuple[Role, ...] = get_args(Role)
_MOST_NAMED = 10
"""Broken files that a message names."""

Standing = Literal["own", "mended", "other", "unrecorded"]
"""How images relate to those of a run.

own: the same; mended: the same, except for files that could not be read before; other: different; unrecorded: the run
has no record of its images.
"""


def scan_parts(
    parts: Parts | AnnotatedParts,
    *,
    roles: Collection[Role] = ROLES,
    verify: Verify = "none",
    threads: int = 1,
    on_image: Progress = silent,
) -> dict[Role, Looked]:
    """A scan of the files of each part, for its fingerprint; the files are also decoded as `verify` says."""
    scans: dict[Role, Looked] = {}
    for role, part in parts_in_files(parts).items():
        if role in roles:
            depth: Depth = "decoded" if verify == "all" or (verify == "tested" and role != "train") else "listed"
            scans[role] = looked_at(
                part, depth=depth, threads=threads, on_image=lambda k, n, role=role: on_image(f"{role} images", k, n)
            )
    return scans


def check_readable(data: DataSet | DetectionData, scans: Mapping[Role, Looked], policy: "Policy") -> None:
    """Refuse unreadable images before anything is trained; under "skip" only parts without any readable image.

    Raises: DataError that names them.
    """
    broken = [
        (f"{printable(scan.part.root / name)} ({reason})")
        for scan in scans.values()
        if policy == "error" or len(scan.unreadable) == len(scan.part)
        for name, reason in scan.unreadable.items()
    ]
    if not broken:
        return
    more = f" and {len(broken) - _MOST_NAMED:,} more" if len(broken) > _MOST_NAMED else ""
    count = counted(len(broken), "image")
    skipped = policy == "error" and isinstance(data, DataSet)
    advice = ", or add --unreadable skip to test without them" if skipped else ""
    raise DataError(
        f"{count} of {data.name} cannot be read: {'; '.join(broken[:_MOST_NAMED])}{more}. No run was started; replace "
        f"or remove {'it' if len(broken) == 1 else 'them'}{advice}"
    )


def check_sizes(
    data: DataSet | DetectionData, parts: Parts | AnnotatedParts, *, verify: Verify, threads: int = 1
) -> None:
    """Refuse images that do not fit their annotations before anything is trained, in the parts that are verified.

    Raises: DataError.
    """
    if isinstance(parts, Parts):
        return
    from resatlas.data.annotation_checking import mismatch  # needs numpy and Pillow

    for role, part in by_role(parts).items():
        if verify == "none" or (verify == "tested" and role == "train"):
            continue
        found = threaded(partial(mismatch, part), range(len(part)), threads=threads)
        if faults := [fault for fault in found if fault]:
            others = f" and {len(faults) - 1:,} more" if len(faults) > 1 else ""
            raise DataError(f"{faults[0]}{others} (resatlas data check {printable(data.name)} lists every fault)")


def unreadable_images(scans: Mapping[Role, Looked]) -> Iterator[Unreadable]:
    """The images that cannot be read, as a run records them."""
    for role, scan in scans.items():
        for name, mark in zip(scan.part.files, scan.marks, strict=True):
            if reason := scan.unreadable.get(name):
                yield Unreadable(part=role, file=printable(name), reason=reason, mark=mark)


@contextmanager
def recorded_failures(folder: Path, parts: Parts | AnnotatedParts) -> Iterator[None]:
    """Record in a run the unreadable image that ends its training, so that the user can replace it.

    Raises: UnreadableImage that also says what to do.
    """
    try:
        yield
    except UnreadableImage as error:
        for role, part in parts_in_files(parts).items():
            names = {str(part.path(k)): name for k, name in enumerate(part.files)}
            if error.file in names:
                name = names[error.file]
                mark = dict(zip(part.files, scan_parts(parts, roles=(role,))[role].marks, strict=True))[name]
                broken = Unreadable(part=role, file=printable(name), reason=str(error), mark=mark)
                with suppress(OSError, ResatlasError):
                    record_unreadable(folder, [broken])
        skipping = " or add --unreadable skip" if isinstance(parts, Parts) else ""  # objects have no substitute
        raise UnreadableImage(
            f"{error}; replace the file{skipping}, then rerun the command with --resume auto", file=error.file
        ) from None


@dataclass(frozen=True, kw_only=True)
class ImageComparison:
    """The present images against those of a run: which parts differ and how, and which files were mended."""

    standing: Standing
    differences: Mapping[Role, str]
    mended: tuple[str, ...] = ()


def _recorded_fingerprints(run: Beginning) -> dict[Role, Fingerprint] | str:
    """The fingerprints of a run's parts after its last amendment; runs of older versions have one text for all parts.

    Raises: FolderError, DataError if they are not valid fingerprints.
    """
    if isinstance(run.images, str):
        return run.images
    latest = {image.part: image.fingerprint for change in amendments(run.folder) for image in change.images}
    return {role: parsed(text) for role in ROLES if (text := {**dict(run.images), **latest}.get(role))}


def compare_images(
    run: Beginning, parts: Parts | AnnotatedParts, scans: Mapping[Role, Looked], *, roles: Collection[Role] = ROLES
) -> ImageComparison:
    """The scanned parts of these roles against those of the run."""
    now = {role: scan.fingerprint for role, scan in scans.items() if role in roles}
    before = _recorded_fingerprints(run)
    if isinstance(before, str):
        if not before and now:
            return ImageComparison(standing="unrecorded", differences={})
        same = before == fingerprint(parts)
        words = dict.fromkeys(now or ROLES, "other names, sizes or number of images")
        return ImageComparison(standing="own" if same else "other", differences={} if same else words)
    differing = differences({role: before[role] for role in before if role in roles}, now)
    if not differing:
        return ImageComparison(standing="own", differences={})
    original = dict(() if isinstance(run.images, str) else run.images)
    marks = {(image.part, image.file): image.mark for image in unreadable(run.folder)}
    mended: list[str] = []
    for role in tuple(differing):
        if role in scans and str(_unmended(scans[role], role, marks, mended)) == original.get(role):
            del differing[role]
    if differing:
        return ImageComparison(standing="other", differences=differing)
    return ImageComparison(standing="mended", differences={}, mended=tuple(mended))


def check_objects(run: Beginning, data: DataSet | DetectionData, parts: Parts | AnnotatedParts) -> None:
    """Refuse annotations that have changed since a run began.

    Raises: DataError with the parts.
    """
    before = {} if isinstance(run.images, str) else dict(run.images)
    if changed := list(changed_annotations(before, digests_of_objects(parts))):
        words = " and ".join(f"the {kind} of {role}" for role, kind in changed)
        raise DataError(
            f"{words} in {data.name} have changed since {run.folder} began; restore the original annotations, or train "
            "in another folder with --out"
        )


def _unmended(scan: Looked, role: Role, marks: Mapping[tuple[str, str], str], mended: list[str]) -> Fingerprint:
    """The fingerprint that a part would have with its mended files still unreadable; adds these files to `mended`."""
    before = [marks.get((role, printable(name)), mark) for name, mark in zip(scan.part.files, scan.marks, strict=True)]
    mended += [
        f"{role}/{printable(name)}"
        for name, old, new in zip(scan.part.files, before, scan.marks, strict=True)
        if old != new
    ]
    return fingerprint_of(scan.part, before, scan.by)


def differ_text(differing: Mapping[Role, str]) -> str:
    """A sentence about the parts that differ: "train has 8 images, where it had 6"."""
    return "; ".join(f"{role} has {words}" for role, words in differing.items())


def check_own(run: Beginning, data: DataSet, parts: Parts, *, roles: Collection[Role], purpose: str) -> ImageComparison:
    """The images of these parts against those of the run, which must be the same.

    Raises: DataError if they are different; it ends with `purpose`.
    """
    comparison = compare_images(run, parts, scan_parts(parts, roles=roles), roles=roles)
    if comparison.standing == "other":
        raise DataError(
            f"the images of {data.name} are not those of {run.folder}: {differ_text(comparison.differences)}; {purpose}"
        )
    return comparison


def resolve_data(text: str, *, of: Beginning | None = None) -> DataSet:
    """The data set of a DATA text, with a label for each image, which comes from a command or, with `of`, from a run.

    Raises: as `datasets.resolve`; for a relative path the error also names the working directory.
    """
    with _here_named(text, of):
        return datasets.resolve(text)


def any_data(text: str, *, of: Beginning | None = None) -> DataSet | DetectionData:
    """As `resolve_data`, also of images with objects."""
    with _here_named(text, of):
        return resolve_any(text)


@contextmanager
def _here_named(text: str, of: Beginning | None) -> Iterator[None]:
    """Name the working directory in an error about a relative path."""
    try:
        yield
    except ResatlasError as error:
        name = datasets.separated(text)[0]
        if not datasets.is_folder(text) or Path(name).is_absolute():
            raise
        here = Path.cwd()
        above = next((folder for folder in here.parents if is_directory(folder / name)), None)
        if above is None and of is None:
            raise
        hints = [f"the working directory is {here}"]
        if above:
            hints.append(f"{name} is in {above}")
        if of:
            hints.append(f"{of.folder} was trained on this path")
        raise type(error)(f"{error} ({'; '.join(hints)})") from None
