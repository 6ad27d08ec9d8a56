"""New folders that are written whole or not at all: their place is checked, and a draft is renamed at the end."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from resatlas.errors import FolderError
from resatlas.runs.files import drafted


def check_target(folder: Path) -> None:
    """Refuse a folder that is not empty.

    Raises: FolderError
    """
    if folder.exists() and not folder.is_dir():
        raise FolderError(f"{folder} is a file; give a new or empty folder")
    try:
        is_occupied = folder.is_dir() and any(folder.iterdir())
    except OSError as error:
        raise _unwritable(folder, error) from None
    if is_occupied:
        raise FolderError(f"{folder} is not empty; give a new or empty folder")


@contextmanager
def drafting(target: Path) -> Iterator[Path]:
    """A hidden folder next to the target, which is renamed to the target at the end, or removed after an error.

    Raises: FolderError if nothing can be written there.
    """
    place = target.resolve()
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with drafted(place, within=place.parent) as draft:
            yield draft
    except (OSError, SafetensorError) as error:
        raise _unwritable(target, error) from None


def _unwritable(folder: Path, error: OSError | SafetensorError) -> FolderError:
    reason = getattr(error, "strerror", None) or str(error)
    return FolderError(f"{folder} cannot be written: {reason.lower()}")
