"""`resatlas data`: download a data set, or check the images of a folder."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from resatlas.cli.display import meter
from resatlas.cli.outcome import Outcome
from resatlas.cli.requirements import Requirements
from resatlas.data.listing import printable
from resatlas.errors import DataError, UsageError, unknown
from resatlas.values.table import Table, numbers, words
from resatlas.values.terminal import aligned
from resatlas.values.text import counted

if TYPE_CHECKING:  # wrong arguments are reported before the imports that read images
    from resatlas.data.annotation_checking import CheckedAnnotations
    from resatlas.data.checking import Checked

_NOTHING_TO_FETCH = {
    "digits": "digits need no download: they are part of scikit-learn",
    "largest": "scenes of digits need no download: they are made of the digits in scikit-learn",
    "scenes": "scenes of digits need no download: they are made of the digits in scikit-learn",
    "synthetic": "synthetic images need no download: they are generated",
}

OPTIONS: Requirements = {}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its options."""
    parser.description = (
        "fetch NAME downloads a data set from its publisher and checks it; check FOLDER opens every image of a folder "
        "and lists those that cannot be used for training, and of COCO's or VOC's annotations and of masks every fault."
    )
    parser.add_argument("action", metavar="ACTION", help=" or ".join(_ACTIONS))
    parser.add_argument(
        "subject", nargs="?", metavar="NAME|FOLDER", help="the data set to fetch, or the folder of images to check"
    )


def run(options: argparse.Namespace) -> Outcome:
    """The outcome of the action."""
    if options.action not in _ACTIONS:
        raise UsageError(unknown("action of resatlas data", options.action, _ACTIONS))
    if options.subject is None:
        wanted = {"fetch": "the NAME of a data set", "check": "a FOLDER of images"}[options.action]
        raise UsageError(f"resatlas data {options.action} needs {wanted} (resatlas data --help)")
    return _ACTIONS[options.action](options.subject, quiet=options.quiet)


def fetch(text: str, *, quiet: bool) -> Outcome:
    """Download the missing files of a data set; the paths of all its files."""
    from resatlas.data import fetching, imagenet
    from resatlas.data.annotated import resolve_any

    data = resolve_any(text)
    name = data.name.partition(":")[0]
    if name in _NOTHING_TO_FETCH:
        return Outcome({"name": data.name, "files": [], "fetched": []}, _NOTHING_TO_FETCH[name])
    if name == "imagenet":
        folder = imagenet.located()
        return Outcome({"name": data.name, "files": [str(folder)], "fetched": []}, f"imagenet: it is in {folder}")
    if data.name not in fetching.SOURCES:
        raise UsageError(f"a folder of images cannot be fetched; data sets to fetch: {', '.join(fetching.SOURCES)}")
    with meter("bytes", quiet=quiet) as progress:
        fetched = fetching.fetch(fetching.SOURCES[data.name](), progress=progress)
    files = [str(path) for path in fetched.paths]
    news = f"fetched {', '.join(fetched.names)}" if fetched.names else "nothing to fetch"
    folders = ", ".join(sorted({str(path.parent) for path in fetched.paths}))
    return Outcome(
        {"name": data.name, "files": files, "fetched": list(fetched.names)}, f"{data.name}: {news}; it is in {folders}"
    )


def check(folder: str, *, quiet: bool) -> Outcome:
    """Every image of a folder that cannot be used, with the reason; exit code 3 if there is one."""
    from resatlas.data.annotation_checking import checked_annotations, is_annotated
    from resatlas.data.checking import checked

    if is_annotated(Path(folder)):
        with meter("images", quiet=quiet) as progress:
            return _annotated(
                checked_annotations(Path(folder), on_image=lambda done, total: progress("checked", done, total))
            )
    with meter("images", quiet=quiet) as progress:
        result = checked(Path(folder), on_image=lambda done, total: progress("checked", done, total))
    data = {
        "images": result.images,
        "unreadable": result.unreadable,
        "faults": [{"file": fault.file, "reason": fault.reason} for fault in result.faults],
        "classes": {part: dict(classes) for part, classes in result.classes.items()},
    }
    return Outcome(data, _text(result), exit_code=DataError.exit_code if result.faults else 0)


def _annotated(result: "CheckedAnnotations") -> Outcome:
    """One line for each fault of annotations and images, then a table of the objects of each category and part."""
    parts = result.parts
    data = {
        "faults": [fault._asdict() for fault in result.faults],
        "parts": {name: vars(part) for name, part in parts.items()},
    }
    names = dict.fromkeys(name for part in parts.values() for name in part.objects)
    rows = (
        *((name, *(part.objects.get(name, 0) for part in parts.values())) for name in names),
        ("(crowds and difficult objects)", *(part.ignored for part in parts.values())),
        ("(images)", *(part.images for part in parts.values())),
        ("(images without objects)", *(part.empty for part in parts.values())),
    )
    table = aligned(Table(columns=(*words("objects"), *numbers(*parts)), rows=rows))
    lines = [*(printable(str(fault)) for fault in result.faults), table, counted(len(result.faults), "fault")]
    return Outcome(data, "\n".join(lines), exit_code=DataError.exit_code if result.faults else 0)


def _text(result: "Checked") -> str:
    """One line for each fault, then a table of the images of each class and part."""
    faults = [f"{printable(fault.file)}: {printable(fault.reason)}" for fault in result.faults]
    names = dict.fromkeys(name for classes in result.classes.values() for name in classes)
    rows = [(printable(name), *(classes.get(name, 0) for classes in result.classes.values())) for name in names]
    sums = ("all", *(sum(classes.values()) for classes in result.classes.values()))
    columns = (*words("class"), *numbers(*(part or "images" for part in result.classes)))
    table = aligned(Table(columns=columns, rows=(*rows, sums)))
    unreadable = f", {counted(result.unreadable, 'unreadable file')}" if result.unreadable else ""
    total = f"{counted(result.images, 'image')}{unreadable}, {counted(len(result.faults), 'fault')}"
    return "\n".join([*faults, table, total])


_ACTIONS: dict[str, Callable[..., Outcome]] = {"fetch": fetch, "check": check}
