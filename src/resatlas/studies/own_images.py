"""Whether the images that are there are those of a run, part by part, and in words how they differ."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from resatlas.data import catalog as datasets
from resatlas.data.dataset import DataSet, Parts, fingerprint
from resatlas.data.identity import (
    Fingerprint,
    Role,
    differences,
    fingerprint_of,
    parsed,
    parts_in_files,
)
from resatlas.data.listing import is_directory, printable
from resatlas.data.verifying import Depth, Looked, looked_at
from resatlas.errors import DataError, ResatlasError, UnreadableImage
from resatlas.runs.amendments import Unreadable, amendments, record_unreadable, unreadable
from resatlas.runs.record import Beginning
from resatlas.training.execution import Verify
from resatlas.values.progress import Progress, silent

if TYPE_CHECKING:  # of the rest nothing needs torch
    from resatlas.data.pipeline import Policy

ROLES: tuple[Role, ...] = get_args(Role)
MOST_NAMED = 10
"""Broken files that a message names."""

Standing = Literal["own", "mended", "other", "unrecorded"]
"""Images of a run itself; the same but for files that could not be read before; others; of a run that has no record."""


def look(
    parts: Parts,
    *,
    roles: Collection[Role] = ROLES,
    verify: Verify = "none",
    threads: int = 1,
    on_image: Progress = silent,
) -> dict[Role, Looked]:
    """The files of these parts looked at: for their fingerprints, and decoded where `verify` says so."""
    found: dict[Role, Looked] = {}
    for role, part in parts_in_files(parts).items():
        if role in roles:
            depth: Depth = "decoded" if verify == "all" or (verify == "tested" and role != "train") else "listed"
            found[role] = looked_at(
                part, depth=depth, threads=threads, on_image=lambda k, n, role=role: on_image(f"{role} images", k, n)
            )
    return found


def check_readable(data: DataSet, looked: Mapping[Role, Looked], policy: "Policy") -> None:
    """Refuse broken images before anything is trained; under "skip" only parts that have no others.

    Raises: DataError that names them.
    """
    broken = [
        (f"{printable(each.part.root / name)} ({reason})")
        for each in looked.values()
        if policy == "error" or len(each.unreadable) == len(each.part)
        for name, reason in each.unreadable.items()
    ]
    if not broken:
        return
    more = f" and {len(broken) - MOST_NAMED:,} more" if len(broken) > MOST_NAMED else ""
    count = "1 image" if len(broken) == 1 else f"{len(broken):,} images"
    advice = ", or give --unreadable skip to test without them" if policy == "error" else ""
    raise DataError(
        f"{count} of {data.name} cannot be read: {'; '.join(broken[:MOST_NAMED])}{more}. Nothing was begun; replace or "
        f"remove {'it' if len(broken) == 1 else 'them'}{advice}"
    )


def listed(looked: Mapping[Role, Looked]) -> Iterator[Unreadable]:
    """The images that cannot be read, as a run records them."""
    for role, each in looked.items():
        for name, mark in zip(each.part.files, each.marks, strict=True):
            if reason := each.unreadable.get(name):
                yield Unreadable(part=role, file=printable(name), reason=reason, mark=mark)


@contextmanager
def recorded_failures(folder: Path, parts: Parts) -> Iterator[None]:
    """Record in a run the image that ends its training, so that it can be replaced, and say what to do about it.

    Raises: UnreadableImage
    """
    try:
        yield
    except UnreadableImage as error:
        for role, part in parts_in_files(parts).items():
            names = {str(part.path(k)): name for k, name in enumerate(part.files)}
            if error.file in names:
                mark = dict(zip(part.files, look(parts, roles=(role,))[role].marks, strict=True))[names[error.file]]
                broken = Unreadable(part=role, file=printable(names[error.file]), reason=str(error), mark=mark)
                with suppress(OSError, ResatlasError):
                    record_unreadable(folder, [broken])
        raise UnreadableImage(
            f"{error}; replace the file or add --unreadable skip, and give the same command with --resume auto",
            file=error.file,
        ) from None


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The images of a run against those that are there now: which parts differ and how, and which files were mended."""

    standing: Standing
    differences: Mapping[Role, str]
    mended: tuple[str, ...] = ()


def recorded(run: Beginning) -> dict[Role, Fingerprint] | str:
    """The fingerprints of a run's parts, as they are since its last amendment; of an older version one for all parts.

    Raises: FolderError, DataError if they do not read as such.
    """
    if isinstance(run.images, str):
        return run.images
    latest = {each.part: each.fingerprint for change in amendments(run.folder) for each in change.images}
    return {role: parsed(text) for role in ROLES if (text := {**dict(run.images), **latest}.get(role))}


def compared(
    run: Beginning, parts: Parts, looked: Mapping[Role, Looked], *, roles: Collection[Role] = ROLES
) -> Comparison:
    """The parts of these roles, whose files were looked at, against those of the run."""
    now = {role: each.fingerprint for role, each in looked.items() if role in roles}
    before = recorded(run)
    if isinstance(before, str):
        if not before and now:
            return Comparison(standing="unrecorded", differences={})
        same = before == fingerprint(parts)
        words = dict.fromkeys(now or ROLES, "other names, sizes or number of images")
        return Comparison(standing="own" if same else "other", differences={} if same else words)
    found = differences({role: each for role, each in before.items() if role in roles}, now)
    if not found:
        return Comparison(standing="own", differences={})
    begun = dict(() if isinstance(run.images, str) else run.images)
    marks = {(each.part, each.file): each.mark for each in unreadable(run.folder)}
    mended: list[str] = []
    for role in tuple(found):
        if role in looked and str(_unmended(looked[role], role, marks, mended)) == begun.get(role):
            del found[role]
    return Comparison(standing="other" if found else "mended", differences=found, mended=() if found else tuple(mended))


def _unmended(looked: Looked, role: Role, marks: Mapping[tuple[str, str], str], mended: list[str]) -> Fingerprint:
    """The fingerprint that a part would have if every file that could not be read were as it was then."""
    before = [
        marks.get((role, printable(name)), mark) for name, mark in zip(looked.part.files, looked.marks, strict=True)
    ]
    mended += [
        f"{role}/{printable(name)}"
        for name, old, new in zip(looked.part.files, before, looked.marks, strict=True)
        if old != new
    ]
    return fingerprint_of(looked.part, before, looked.by)


def differ_text(found: Mapping[Role, str]) -> str:
    """The parts that differ in words: "train has 8 images, where it had 6"."""
    return "; ".join(f"{role} has {words}" for role, words in found.items())


def check_own(run: Beginning, data: DataSet, parts: Parts, *, roles: Collection[Role], purpose: str) -> Comparison:
    """How the images of these parts stand to those of the run, which are wanted for a purpose.

    Raises: DataError if they are others.
    """
    found = compared(run, parts, look(parts, roles=roles), roles=roles)
    if found.standing == "other":
        raise DataError(
            f"the images of {data.name} are not those of {run.folder}: {differ_text(found.differences)}; {purpose}"
        )
    return found


def resolved(text: str, *, of: Beginning | None = None) -> DataSet:
    """The data set of a DATA text, which is that of a run or of a command.

    Raises: as `datasets.resolve`; the error says from which directory a path was followed, where it matters.
    """
    try:
        return datasets.resolve(text)
    except ResatlasError as error:
        name = datasets.separated(text)[0]
        if name in datasets.NAMED or Path(name).is_absolute():
            raise
        here = Path.cwd()
        above = next((each for each in here.parents if is_directory(each / name)), None)
        if above is None and of is None:
            raise
        words = f"the working directory is {here}" + (f"; {name} lies in {above}" if above else "")
        told = f"; {of.folder} was trained on it by this path" if of else ""
        raise type(error)(f"{error} ({words}{told})") from None
