"""`resatlas audit`: whether a foreign module is the paper's network."""

import argparse
import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from resatlas.cli.describe_verb import image_shape
from resatlas.cli.outcome import Outcome
from resatlas.cli.requirements import ALWAYS, Requirements
from resatlas.designs.catalog import resolve
from resatlas.errors import Defect, OutOfMemory, ResatlasError, UsageError, quoted

ENDS: Mapping[str, type[ResatlasError]] = {each.__name__: each for each in (Defect, OutOfMemory)}
"""What may end an audit beside what is refused, by the name that the other process gives."""

OPTIONS: Requirements = {
    "--as": ALWAYS,
    "--classes": ALWAYS,
    "--image": ALWAYS,
    "--timeout": ALWAYS,
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its options."""
    parser.description = (
        "Pairs the weights of somebody's network with ours by what each reads, runs both, and says whether they are "
        "the same function. It EXECUTES the file, in a process of its own, with your rights: audit only code that "
        "you would run."
    )
    parser.add_argument("module", metavar="FILE.py:CLASS", help="a class, or a function without arguments, in a file")
    parser.add_argument("--as", dest="design", metavar="DESIGN", required=True, help="what it is meant to be")
    parser.add_argument("--classes", type=int, metavar="N", help="number of classes; by default what it puts out")
    parser.add_argument("--image", type=image_shape, metavar="C,H,W", help="shape of the images to run it on")
    parser.add_argument("--timeout", type=_seconds, default=1800, metavar="SECONDS", help="give up after (1800)")


def _seconds(text: str) -> int:
    """A whole number of seconds, 1 or more."""
    if not text.isdecimal() or len(text) > 9 or int(text) == 0:
        raise argparse.ArgumentTypeError(f'"{text[:40]}" is not a whole number of seconds, 1 or more')
    return int(text)


def run(options: argparse.Namespace) -> Outcome:
    """The verdict; exit code 1 if the functions differ."""
    file, _, name = options.module.rpartition(":")
    if not file.endswith(".py") or not name.isidentifier():
        raise UsageError(f"a module is written FILE.py:CLASS; {quoted(options.module)} is not")
    if not Path(file).is_file():
        raise UsageError(f"there is no file {quoted(file)}")
    entry = resolve(options.design)
    entry.plan(image=options.image, classes=options.classes)  # what is impossible is refused before anything runs
    request = {
        "file": str(Path(file).resolve()),
        "name": name,
        "design": options.design,
        "image": options.image,
        "classes": options.classes,
    }
    verdict = _answer(request, timeout=options.timeout)
    if "error" in verdict:
        raise ENDS.get(verdict.get("kind", ""), UsageError)(verdict["error"])
    return Outcome(
        {"design": entry.name, **verdict}, _told(options.module, entry.name, verdict), 0 if verdict["same"] else 1
    )


def _answer(request: dict[str, Any], *, timeout: int) -> dict[str, Any]:
    """What the process that executes the file answers; what the file prints goes to standard error."""
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        words = [sys.executable, "-m", "resatlas.audit.foreign", json.dumps({**request, "answer": str(answer)})]
        try:
            done = subprocess.run(  # noqa: S603 - our own program
                words, stdout=sys.stderr.fileno(), timeout=timeout, check=False, start_new_session=True
            )
        except subprocess.TimeoutExpired:
            raise UsageError(f"the audit took more than {timeout} seconds; give it more with --timeout") from None
        if not answer.is_file():
            raise UsageError(f"the process that executed the file {_ended(done.returncode)} before there was a verdict")
        return json.loads(answer.read_text(encoding="utf-8"))


def _ended(code: int) -> str:
    if code >= 0:
        return f"ended itself with exit code {code}"
    names = {each.value: each.name for each in signal.Signals}
    return f"was ended by {names.get(-code, f'signal {-code}')}"


def _told(module: str, design: str, verdict: dict[str, Any]) -> str:
    """The verdict in words."""
    ours, theirs = verdict["expected_parameters"], verdict["parameters"]
    sizes = f"{theirs:,} parameters" if ours == theirs else f"{theirs:,} parameters, {design} has {ours:,}"
    difference = verdict["first_difference"]
    if difference is None:
        lines = [f"{module} is the same function as {design}: {verdict['paired']} operations paired; {sizes}"]
    else:
        lines = [
            f"{module} is not {design}; {verdict['paired']} of {verdict['operations']} operations paired; {sizes}",
            f"first difference, at {difference['at']}:",
            f"  there  {difference['foreign']}",
            f"  ours   {difference['ours']}",
            *_likeness(design, verdict),
        ]
    return "\n".join([*lines, *(f"note: {remark}" for remark in verdict["remarks"])])


def _likeness(design: str, verdict: dict[str, Any]) -> list[str]:
    bearer = verdict["bearer"]
    if verdict["bearer_same"]:
        return [f"it is the same function as {bearer}: use --as {bearer}"]
    other = [f"it has the parameters of {bearer}: try --as {bearer}"] if bearer else []
    if not verdict["mistakes"]:
        return other or ["no mistake of structure that is known here gives this function"]
    begin = (
        f"it is the same function as {design} with"
        if verdict["explained"]
        else f"these bring {design} nearer to it, but something that is not known here differs too"
    )
    return [f"{begin}:", *(f"  - {what}" for what in verdict["mistakes"]), *other]
