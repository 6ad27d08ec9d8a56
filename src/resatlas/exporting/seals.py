"""Whether a file is still the one whose sha256 was written down."""

import re
from pathlib import Path

from resatlas.errors import BlueprintError, CheckpointError, quoted
from resatlas.runs.files import sha256_of


def check_sealed(file: Path, sha256: str) -> None:
    """Refuse a file whose content is another.

    Raises: CheckpointError
    """
    try:
        found = sha256_of(file)
    except OSError as error:
        raise CheckpointError(f"{file}: {(error.strerror or 'cannot be read').lower()}") from None
    if found != sha256:
        raise CheckpointError(f"{file} is damaged or was changed: its sha256 is not the one that config.json has")


def check_sha256(text: str) -> None:
    """Refuse what is no sha256.

    Raises: BlueprintError
    """
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        raise BlueprintError(f"a sha256 has 64 hexadecimal digits; {quoted(text)} has not")
