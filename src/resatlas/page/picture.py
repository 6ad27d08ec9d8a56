"""Charts as SVG and PNG files."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from resatlas.errors import FolderError, UsageError
from resatlas.page.figure import Figure, Spec
from resatlas.runs.files import write_bytes

WIDTH = 760  # pixels; on a page, a chart is as wide as its container
SCALE = 2  # PNG pixels per pixel of the chart


def svg(spec: Spec) -> bytes:
    """The chart as SVG with a white background."""
    import vl_convert

    return vl_convert.vegalite_to_svg(_with_background(spec), allowed_base_urls=[]).encode()


def _png(spec: Spec) -> bytes:
    """The chart as PNG with a white background."""
    import vl_convert

    return vl_convert.vegalite_to_png(_with_background(spec), scale=SCALE, allowed_base_urls=[])


_FORMATS: Mapping[str, Callable[[Spec], bytes]] = {".svg": svg, ".png": _png}
"""The functions that write a chart, by the extension of the file."""


def _check_picture(file: Path) -> None:
    """Refuse a file to which no picture can be written.

    Raises: UsageError if its extension is not in `_FORMATS`, FolderError if it is a folder.
    """
    if file.suffix not in _FORMATS:
        raise UsageError(
            f"a picture must be an {' or '.join(_FORMATS)} file; got {file}; files of other types are not overwritten"
        )
    if file.is_dir():
        raise FolderError(f"{file} is a folder; name a file in it, as in {file / 'network.svg'}")
    check_folder(file.parent)


def check_folder(folder: Path) -> None:
    """Refuse a folder to which no files can be written.

    Raises: FolderError if it is a file or is inside one.
    """
    place = next((path for path in (folder, *folder.parents) if path.exists()), None)
    if place and not place.is_dir():
        raise FolderError(f"{place} is a file; figures are written into a folder")


def write_picture(file: Path, spec: Spec) -> None:
    """Write the chart in the format of the file's extension, in one atomic step.

    Raises: UsageError or FolderError if the file cannot be written.
    """
    _check_picture(file)
    _write({file: partial(_FORMATS[file.suffix], spec)})


def write_figures(folder: Path, figures: Sequence[Figure]) -> tuple[str, ...]:
    """Write every chart as NAME.svg and NAME.png into a folder; returns the names of the files in order.

    The folder is created. Files of these names are replaced, all others are kept. Equal charts give equal bytes.
    Raises: FolderError if the folder, or a file in it, cannot be written.
    """
    check_folder(folder)
    files = {
        folder / f"{figure.name}{end}": partial(_FORMATS[end], figure.spec) for figure in figures for end in _FORMATS
    }
    occupied = next((file for file in files if file.is_dir()), None)
    if occupied:
        raise FolderError(f"{occupied} is a folder, so the figure of this name cannot be written; name another folder")
    _write(files)
    return tuple(file.name for file in files)


def _write(files: Mapping[Path, Callable[[], bytes]]) -> None:
    for file, content in files.items():
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(file, content())
        except OSError as error:
            raise FolderError(f"{file} cannot be written: {(error.strerror or 'the system refuses').lower()}") from None


def _with_background(spec: Spec) -> Spec:
    """The chart with a white background and a fixed width."""
    width = {"width": WIDTH} if spec.get("width") == "container" else {}
    return {**spec, **width, "background": "white"}
