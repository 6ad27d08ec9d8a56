"""A chart as a file of its own, SVG or PNG."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from resatlas.errors import FolderError, UsageError
from resatlas.page.figure import Figure, Spec
from resatlas.runs.files import write_bytes

WIDTH = 760  # pixels; on a page a chart is as wide as its place
SCALE = 2  # pixels of a PNG for each of them


def svg(spec: Spec) -> bytes:
    """The chart as SVG on white."""
    import vl_convert

    return vl_convert.vegalite_to_svg(_placed(spec), allowed_base_urls=[]).encode()


def png(spec: Spec) -> bytes:
    """The chart as PNG on white."""
    import vl_convert

    return vl_convert.vegalite_to_png(_placed(spec), scale=SCALE, allowed_base_urls=[])


FORMATS: Mapping[str, Callable[[Spec], bytes]] = {".svg": svg, ".png": png}
"""How a chart is written, by the end of the file's name."""


def check_picture(file: Path) -> None:
    """Refuse a file that no picture goes to.

    Raises: UsageError if its name has none of the known ends, FolderError if it is a folder.
    """
    if file.suffix not in FORMATS:
        raise UsageError(
            f"a picture is an {' or '.join(FORMATS)} file; {file} is not; other file types are not overwritten"
        )
    if file.is_dir():
        raise FolderError(f"{file} is a folder; name a file in it, as in {file / 'network.svg'}")
    check_folder(file.parent)


def check_folder(folder: Path) -> None:
    """Refuse a place that takes no files.

    Raises: FolderError if it is a file or lies below one.
    """
    place = next((each for each in (folder, *folder.parents) if each.exists()), None)
    if place and not place.is_dir():
        raise FolderError(f"{place} is a file; figures go into a folder")


def write_picture(file: Path, spec: Spec) -> None:
    """Write the chart in the format that the file's name asks for, in one step.

    Raises: UsageError or FolderError if it cannot be.
    """
    check_picture(file)
    _write({file: partial(FORMATS[file.suffix], spec)})


def write_figures(folder: Path, figures: Sequence[Figure]) -> tuple[str, ...]:
    """Every chart as NAME.svg and NAME.png in a folder, which is made; the names written, in order.

    Files of these names are replaced, no others are touched. The same charts give the same bytes.
    Raises: FolderError if the folder, or a file in it, cannot be written.
    """
    check_folder(folder)
    files = {
        folder / f"{figure.name}{end}": partial(FORMATS[end], figure.spec) for figure in figures for end in FORMATS
    }
    taken = next((file for file in files if file.is_dir()), None)
    if taken:
        raise FolderError(f"{taken} is a folder, where a figure would go; name another folder for the figures")
    _write(files)
    return tuple(file.name for file in files)


def _write(files: Mapping[Path, Callable[[], bytes]]) -> None:
    for file, content in files.items():
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(file, content())
        except OSError as error:
            raise FolderError(f"{file} cannot be written: {(error.strerror or 'the system refuses').lower()}") from None


def _placed(spec: Spec) -> Spec:
    """The chart with a ground of its own, and a width if it has none."""
    own = {"width": WIDTH} if spec.get("width") == "container" else {}
    return {**spec, **own, "background": "white"}
