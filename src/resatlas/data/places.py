"""Where the files of data sets lie on this machine."""

import os
from collections.abc import Sequence
from pathlib import Path

from resatlas.data.official import Official, Source
from resatlas.errors import DataError


def folders(name: str) -> tuple[Path, ...]:
    """Where a data set of that name may lie, in the order of looking; the first is where it is fetched to.

    Raises: DataError if RESATLAS_DATA names none, and the user has no cache.
    """
    own, kept = os.environ.get("RESATLAS_DATA"), cache()
    found = ((Path(own, name), Path(own)) if own else ()) + ((kept / name,) if kept else ())
    if not found:
        raise DataError(
            "this user has no home directory to keep data sets in; set RESATLAS_DATA or XDG_CACHE_HOME to a folder"
        )
    return found


def cache() -> Path | None:
    """The user's folder of what can be fetched again; none where the user has no home, as in some containers.

    Source: XDG Base Directory Specification 0.8, XDG_CACHE_HOME; a relative path there counts as none.
    """
    named = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if named.is_absolute():
        return named / "resatlas"
    try:
        return Path.home() / ".cache" / "resatlas"
    except RuntimeError:  # neither HOME nor an entry of the user
        return None


def located(source: Source) -> tuple[Path, ...]:
    """Where each file lies that is read, in the source's order: in the first folder that has it.

    Raises: DataError if one is missing, or has another size than was published.
    """
    found = {path: where for path in source.needed if (where := lying(source, path))}
    if missing := [path for path in source.needed if path not in found]:
        looked = " or ".join(map(str, places(source)))
        where = f"is not in {looked}" if not found else f"lacks {', '.join(missing)}, which is not in {looked}"
        raise DataError(f"{source.title} {where}; {remedy(source)}")
    for member in source.members:
        size = found[member.path].stat().st_size
        if member.bytes not in (None, size):
            raise DataError(
                f"{found[member.path]} is damaged: it has {size:,} bytes, {member.bytes:,} were published; "
                f'remove its folder and say "resatlas data fetch {source.name}"'
            )
    return tuple(found.values())


def lying(source: Source, path: str) -> Path | None:
    """The first place that has a file of that path, if one has."""
    return next((folder / path for folder in places(source) if (folder / path).is_file()), None)


def places(source: Source) -> tuple[Path, ...]:
    """The folders that are looked at for a source: the user's own, then that of its package."""
    return folders(source.folder) + ((source.package[0],) if source.package else ())


def remedy(source: Source) -> str:
    """How to get a data set, with a network and without."""
    packaged = f'"{source.package[1]}" or ' if source.package else ""
    put = by_hand(source.files, folders(source.folder)[0])
    return (
        f'get it with {packaged}"resatlas data fetch {source.name}"; '
        f"without a network, {put} first (RESATLAS_DATA names another folder)"
    )


def by_hand(files: Sequence[Official], folder: Path) -> str:
    """Which files to put where; those of a source have one address."""
    return f"put {', '.join(file.name for file in files)} of {files[0].site} into {folder}"
