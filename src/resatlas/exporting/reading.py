"""Reading of an exported folder: export.json, strictly, and the model's files against their sha256. Needs no torch."""

import json
from pathlib import Path
from typing import Any

from resatlas.arch.expand import LARGEST_SIDE
from resatlas.errors import BlueprintError, CheckpointError, FolderError, quoted
from resatlas.exporting.config import file_in
from resatlas.exporting.description import EXPORT, SCHEMA, SCRIPT, Description
from resatlas.exporting.seals import check_sealed
from resatlas.exporting.targets import TARGETS
from resatlas.values.codec import decode
from resatlas.values.reading import text

_LARGEST = 10_000_000  # bytes of export.json


def is_export(folder: str | Path) -> bool:
    """Whether a folder is one that `resatlas export` wrote."""
    return (Path(folder) / EXPORT).is_file()


def read_export(folder: Path) -> Description:
    """The description of an exported network, whose files have the sha256 that it states.

    Raises: FolderError if a file is missing or leads out of the folder; CheckpointError if one is damaged or changed.
    """
    where = folder / EXPORT
    try:
        description = _description(json.loads(text(where, most=_LARGEST)))
    except OSError as error:
        raise FolderError(f"{where}: {(error.strerror or 'cannot be read').lower()}") from None
    except BlueprintError as error:
        raise CheckpointError(f"{where}: {error}") from None
    except (ValueError, RecursionError):
        raise CheckpointError(f"{where}: not valid JSON") from None
    for name, sha256 in {description.file: description.sha256, **description.further}.items():
        check_sealed(file_in(folder, name), sha256, by=EXPORT)
    return description


def _description(data: object) -> Description:
    """The description for the JSON values of `description.to_json`.

    Raises: BlueprintError
    """
    table: dict[str, Any] = data if isinstance(data, dict) else {}
    if table.get("schema") != SCHEMA:
        raise BlueprintError(f"an export has schema {SCHEMA}; this has {quoted(str(table.get('schema')))}")
    if "finds" in table:
        raise BlueprintError(f"it finds {quoted(str(table['finds']))}; a server answers with classes: use its {SCRIPT}")
    description = decode(Description, {key: table[key] for key in table if key != "schema"}, where="export")
    target = TARGETS.get(description.format)
    if target is None or description.file != target.file:
        raise BlueprintError(f"no format has the name {quoted(description.format)} and a {quoted(description.file)}")
    for name in description.further:
        if Path(name).name != name:
            raise BlueprintError(f"{quoted(name)} is not the name of a file in the folder")
    prepare = description.prepare
    if len(prepare.size) != 2 or not all(
        1 <= side <= LARGEST_SIDE for side in (*prepare.size, prepare.shorter, prepare.channels)
    ):
        raise BlueprintError(f"sides and channels are from 1 to {LARGEST_SIDE:,}; got {prepare}")
    if not description.classes:
        raise BlueprintError("it has no classes")
    return description
