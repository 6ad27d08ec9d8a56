"""`resatlas data`: fetch a data set, or check the images of a folder."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from resatlas.cli.display import meter
from resatlas.cli.outcome import Outcome
from resatlas.cli.together import Together
from resatlas.data.listing import printable
from resatlas.errors import DataError, UsageError, unknown
from resatlas.values.table import Table, numbers, words
from resatlas.values.terminal import aligned

if TYPE_CHECKING:  # a wrong word is answered before images can be read
    from resatlas.data.checking import Checked

NOTHING_TO_FETCH = {
    "digits": "digits need no fetching: scikit-learn brings them",
    "synthetic": "synthetic images need no fetching: they are made on the spot",
}

OPTIONS: Together = {}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its options."""
    parser.description = (
        "data fetch NAME gets a data set from where it is published and checks it; data check FOLDER opens every image "
        "of every part of a folder and names those that cannot be trained on."
    )
    parser.add_argument("action", metavar="ACTION", help=" or ".join(ACTIONS))
    parser.add_argument("subject", nargs="?", metavar="NAME|FOLDER", help="what to fetch, or where the images lie")


def run(options: argparse.Namespace) -> Outcome:
    """What the action gives."""
    if options.action not in ACTIONS:
        raise UsageError(unknown("action of resatlas data", options.action, ACTIONS))
    if options.subject is None:
        wanted = {"fetch": "the NAME of a data set", "check": "a FOLDER of images"}[options.action]
        raise UsageError(f"resatlas data {options.action} needs {wanted} (resatlas data --help)")
    return ACTIONS[options.action](options.subject, quiet=options.quiet)


def fetch(text: str, *, quiet: bool) -> Outcome:
    """Where the files of a data set lie, whatever was missing fetched before."""
    from resatlas.data import catalog, fetching, imagenet

    data = catalog.resolve(text)
    name = data.name.partition(":")[0]
    if name in NOTHING_TO_FETCH:
        return Outcome({"name": data.name, "files": [], "fetched": []}, NOTHING_TO_FETCH[name])
    if name == "imagenet":
        folder = imagenet.located()
        return Outcome({"name": data.name, "files": [str(folder)], "fetched": []}, f"imagenet: it is in {folder}")
    if data.name not in fetching.SOURCES:
        raise UsageError(f"a folder of images is where it is; {', '.join(fetching.SOURCES)} can be fetched")
    with meter("bytes", quiet=quiet) as progress:
        fetched = fetching.fetch(fetching.SOURCES[data.name](), progress=progress)
    files = [str(path) for path in fetched.paths]
    what = f"fetched {', '.join(fetched.names)}" if fetched.names else "everything is there"
    folders = ", ".join(sorted({str(path.parent) for path in fetched.paths}))
    return Outcome(
        {"name": data.name, "files": files, "fetched": list(fetched.names)}, f"{data.name}: {what}; it is in {folders}"
    )


def check(folder: str, *, quiet: bool) -> Outcome:
    """Every image of a folder that cannot be trained on, with the reason; exit code 3 if there is one."""
    from resatlas.data.checking import checked

    with meter("images", quiet=quiet) as progress:
        found = checked(Path(folder), on_image=lambda done, total: progress("checked", done, total))
    data = {
        "images": found.images,
        "unreadable": found.unreadable,
        "faults": [{"file": fault.file, "reason": fault.reason} for fault in found.faults],
        "classes": {part: dict(classes) for part, classes in found.classes.items()},
    }
    return Outcome(data, _told(found), exit_code=DataError.exit_code if found.faults else 0)


def _told(found: "Checked") -> str:
    """One line a fault, then how many images each class of each part has."""
    faults = [f"{printable(fault.file)}: {printable(fault.reason)}" for fault in found.faults]
    names = dict.fromkeys(name for classes in found.classes.values() for name in classes)
    rows = [(printable(name), *(classes.get(name, 0) for classes in found.classes.values())) for name in names]
    sums = ("all", *(sum(classes.values()) for classes in found.classes.values()))
    columns = (*words("class"), *numbers(*(part or "images" for part in found.classes)))
    table = aligned(Table(columns=columns, rows=(*rows, sums)))
    unreadable = f", {found.unreadable:,} files that cannot be read" if found.unreadable else ""
    return "\n".join([*faults, table, f"{found.images:,} images{unreadable}, {len(found.faults):,} faults"])


ACTIONS: dict[str, Callable[..., Outcome]] = {"fetch": fetch, "check": check}
