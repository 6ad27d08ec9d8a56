"""Whether a file holds the weights of a word: by the published digest, or by the one recorded at first use."""

import hashlib
import io
from functools import partial
from pathlib import Path
from typing import cast

from resatlas.errors import CheckpointError, FolderError
from resatlas.runs.files import read_json, write_json
from resatlas.values.notes import once
from resatlas.values.reading import opened
from resatlas.values.weights import check_offered
from resatlas.weights.places import Candidate, own_folder

RECORDS = "recorded.json"
"""The sha256 of files without a published digest, by word, in the folder of our downloads."""

_LARGEST = 1 << 22  # bytes of the records


def check(candidate: Candidate, word: str) -> None:
    """Refuse a file that does not hold the weights of a word.

    A file without a published digest is recorded at its first use, with a note, and compared with that record later.
    Raises: CheckpointError with both digests, or with the kind of the file if it cannot be weights.
    """
    expected = candidate.digest or recorded(word)
    check_offered(candidate.file)
    if not expected:
        _record(word, digest_of(candidate.file, "sha256"), candidate.file)
        return
    algorithm, _, digits = expected.partition(":")
    found = digest_of(candidate.file, algorithm)
    if not found.startswith(digits):
        whose = "published" if candidate.digest else f"recorded at first use in {own_folder() / RECORDS}"
        raise CheckpointError(
            f"{candidate.file} is damaged, incomplete or another file than {word}: {algorithm} {found}, {whose} "
            f"{digits}; remove it and rerun the command"
        )


def digest_of(file: Path, algorithm: str) -> str:
    """The digits of a file's digest.

    Raises: CheckpointError if the file cannot be read.
    """
    try:
        with opened(file) as source:
            function = partial(hashlib.new, algorithm, usedforsecurity=False)
            return hashlib.file_digest(cast("io.BufferedReader", source), function).hexdigest()
    except OSError as error:
        raise CheckpointError(f"{file} cannot be read: {(error.strerror or 'no such path').lower()}") from None


def recorded(word: str) -> str:
    """The digest recorded at the first use of a word; "" if there is none."""
    return _records().get(word, "")


def _records() -> dict[str, str]:
    file = own_folder() / RECORDS
    if not file.exists():
        return {}
    try:
        content = read_json(file, most=_LARGEST)
    except FolderError as error:
        raise CheckpointError(f"{error}; remove it to record digests anew") from None
    if not isinstance(content, dict) or not all(isinstance(digest, str) for digest in content.values()):
        raise CheckpointError(f"{file} does not map words to digests; remove it to record digests anew")
    return content


def _record(word: str, digest: str, file: Path) -> None:
    """Write the digest of a word's first use, and say so."""
    folder = own_folder()
    why = f"{word}: its source publishes no digest"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / RECORDS, {**_records(), word: f"sha256:{digest}"}, within=folder)
    except (OSError, FolderError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        once(word, f"{why}, and that of {file} cannot be recorded ({reason.lower()}): the file is not verified")
        return
    once(word, f"{why}; sha256 {digest[:16]}… of {file} is recorded, and later loads are compared with it")
