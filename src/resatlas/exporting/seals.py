"""Checks of a file against its stored sha256."""

import re
from pathlib import Path

from resatlas.errors import BlueprintError, CheckpointError, quoted
from resatlas.runs.files import sha256_of


def check_sealed(file: Path, sha256: str, *, by: str = "config.json") -> None:
    """Refuse a file with another content than the file `by` beside it says.

    Raises: CheckpointError
    """
    try:
        actual = sha256_of(file)
    except OSError as error:
        raise CheckpointError(f"{file}: {(error.strerror or 'cannot be read').lower()}") from None
    if actual != sha256:
        raise CheckpointError(f"{file} is damaged or was changed: its sha256 differs from the one in {by}")


def check_sha256(text: str) -> None:
    """Refuse a text that is not a sha256.

    Raises: BlueprintError
    """
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        raise BlueprintError(f"a sha256 has 64 hexadecimal digits; got {quoted(text)}")
