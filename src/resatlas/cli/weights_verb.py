"""`resatlas weights`: list published weights, get a file of them, or check the files on this machine."""

import argparse
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

from resatlas.cli.display import fitted, meter
from resatlas.cli.offline import access, offline_option
from resatlas.cli.outcome import Outcome
from resatlas.cli.requirements import Requirement, Requirements
from resatlas.errors import CheckpointError, UnknownName, UsageError, unknown
from resatlas.exporting.config import WEIGHTS, read_config
from resatlas.values.table import Column, Table, numbers, words
from resatlas.values.text import counted, plain
from resatlas.weights import digests
from resatlas.weights.obtaining import MIRROR, obtain
from resatlas.weights.places import SETTING, Candidate, candidates
from resatlas.weights.words import matching, own_words, resolve, table

OPTIONS: Requirements = {
    "--offline": Requirement(
        what="the action get", holds=lambda options: options.action == "get", otherwise="with another action"
    ),
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its options."""
    parser.description = (
        "list shows the known words, or those that match a PATTERN such as timm/*; get downloads the file of a WORD "
        "unless it is on this machine, and verifies it; check verifies the files of all words on this machine, or one. "
        f"{SETTING} names another folder for downloads, {MIRROR} and HF_ENDPOINT other addresses."
    )
    parser.add_argument("action", metavar="ACTION", help=", ".join(_ACTIONS))
    parser.add_argument(
        "subject", nargs="?", metavar="PATTERN|WORD|FILE", help="what to list, get or check (get needs it)"
    )
    offline_option(parser)


def run(options: argparse.Namespace) -> Outcome:
    """The outcome of the action."""
    if options.action not in _ACTIONS:
        raise UsageError(unknown("action of resatlas weights", options.action, _ACTIONS))
    return _ACTIONS[options.action](options)


def list_words(options: argparse.Namespace) -> Outcome:
    """The words that match a pattern, with their networks, results and licences."""
    pattern = options.subject or "*"
    rows = [_described(word) for word in matching(pattern)]
    if not rows:
        raise UnknownName(unknown("weights", pattern, [*own_words(), *table()], where="all: resatlas weights list"))
    here = sum(row["file"] is not None for row in rows)
    columns = (
        *words("word", "design"),
        *numbers("image", "classes"),
        *words("data"),
        *(Column("error", "%", ".2f"), Column("top-5 error", "%", ".2f"), Column("size", "MB", ",.1f")),
        *words("licence", "here"),
    )
    cells = tuple(
        (
            *(row["word"], row["design"], row["image"], row["classes"], row["data"]),
            *(row["error_percent"], row["top5_error_percent"], row["bytes"] / 1e6),
            *(row["licence"], "yes" if row["file"] else ""),
        )
        for row in rows
    )
    total = f"{counted(len(rows), 'word')}, {here:,} on this machine; errors are those that the source publishes"
    return Outcome(rows, f"{fitted(Table(columns=columns, rows=cells))}\n{total}")


def get(options: argparse.Namespace) -> Outcome:
    """The verified file of a word, downloaded if it is not on this machine."""
    if options.subject is None:
        raise UsageError("resatlas weights get needs a WORD (all: resatlas weights list)")
    word = resolve(options.subject)
    present = word in own_words() or any(candidates(table()[word]))
    with meter("bytes", quiet=options.quiet) as progress:
        file = obtain(word, access=access(options), progress=progress)
    sha256 = digests.digest_of(file, "sha256")
    data = {"word": word, "file": str(file), "sha256": sha256, "fetched": not present}
    return Outcome(data, plain(f"{word}: {'was here' if present else 'fetched'}, verified: {file}"))


def check(options: argparse.Namespace) -> Outcome:
    """A verdict on every file of words on this machine, on those of one word, or on one file.

    The exit code is that of a CheckpointError if a file is not what it should be, or if there is none.
    """
    subject = options.subject
    if subject is None:
        verdicts = [verdict for word in matching() for verdict in _verdicts(word)]
    elif Path(subject).exists():
        verdicts = [_verdict_of_file(Path(subject))]
    else:
        word = resolve(subject)
        verdicts = list(_verdicts(word))
        if not verdicts:
            raise CheckpointError(f"{word} is not on this machine; get it with: resatlas weights get {word}")
    faults = [verdict for verdict in verdicts if verdict["fault"]]
    lines = [
        plain(f"{row['file']}: {row['fault'] or row['word']}{' is verified' if not row['fault'] else ''}")
        for row in verdicts
    ]
    total = f"{counted(len(verdicts), 'file')}, {counted(len(faults), 'fault')}"
    return Outcome(verdicts, "\n".join([*lines, total]), exit_code=CheckpointError.exit_code if faults else 0)


def _verdicts(word: str) -> Iterator[dict[str, Any]]:
    """A verdict on each file of a word that is on this machine."""
    own = own_words()
    if word in own:
        yield {"word": word, "file": str(own[word] / WEIGHTS), "fault": _fault(partial(obtain, word))}
        return
    for candidate in candidates(table()[word]):
        fault = _fault(partial(digests.check, candidate, word))
        yield {"word": word, "file": str(candidate.file), "fault": fault}


def _fault(verify: Callable[[], object]) -> str:
    """The error of a verification, or ""."""
    try:
        verify()
    except CheckpointError as error:
        return str(error)
    return ""


def _verdict_of_file(file: Path) -> dict[str, Any]:
    """The word whose published or recorded digest a file has, or why there is none.

    Raises: CheckpointError if the file cannot be read.
    """
    digest_of = cache(partial(digests.digest_of, file))
    named = [word for word in table().values() if word.file == file.name]
    for word in table().values():
        algorithm, _, digits = (word.digest or digests.recorded(word.word)).partition(":")
        if digits and digest_of(algorithm).startswith(digits):
            return {"word": word.word, "file": str(file), "fault": ""}
    if named:
        candidate = Candidate(file=file, digest=named[0].digest)
        return {
            "word": named[0].word,
            "file": str(file),
            "fault": _fault(lambda: digests.check(candidate, named[0].word)),
        }
    fault = f"no known source publishes a file with its sha256 {digest_of('sha256')}"
    return {"word": None, "file": str(file), "fault": fault}


def _described(word: str) -> dict[str, Any]:
    """What is known about a word, and its file on this machine."""
    if folder := own_words().get(word):
        return _of_package(word, folder)
    known = table()[word]
    found = next(candidates(known), None)
    return {
        "word": word,
        "design": known.design_text,
        "image": known.image,
        "classes": known.classes,
        "data": known.data,
        "error_percent": known.error_percent,
        "top5_error_percent": known.top5_error_percent,
        "protocol": known.protocol,
        "bytes": known.bytes,
        "licence": known.licence,
        "digest": known.digest,
        "file": None if found is None else str(found.file),
    }


def _of_package(word: str, folder: Path) -> dict[str, Any]:
    config = read_config(folder)
    test = config.training.test if config.training else None
    return {
        "word": word,
        "design": config.design,
        "image": config.image.height,
        "classes": config.classes,
        "data": config.training.data if config.training else "",
        "error_percent": test.error_percent if test else None,
        "top5_error_percent": None,
        "protocol": f"{test.images:,} test images" if test else "",
        "bytes": (folder / WEIGHTS).stat().st_size,
        "licence": config.licence or "",
        "digest": f"sha256:{config.weights_sha256}",
        "file": str(folder / WEIGHTS),
    }


_ACTIONS: dict[str, Callable[[argparse.Namespace], Outcome]] = {"list": list_words, "get": get, "check": check}
