"""`resatlas audit`: check whether a foreign module is a paper's network."""

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

_ERRORS: Mapping[str, type[ResatlasError]] = {error.__name__: error for error in (Defect, OutOfMemory)}
"""The errors other than UsageError that may end an audit, by the name that the other process reports."""

OPTIONS: Requirements = {
    "--as": ALWAYS,
    "--classes": ALWAYS,
    "--image": ALWAYS,
    "--timeout": ALWAYS,
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its options."""
    parser.description = (
        "Copies the weights of your network into ours, operation by operation, runs both, and reports whether they "
        "compute the same function, or where they first differ. It EXECUTES the file, in a process of its own, with "
        "your rights: audit only code that you would run."
    )
    parser.add_argument(
        "module", metavar="FILE.py:CLASS", help="a Python file, and a class or a function without arguments in it"
    )
    parser.add_argument(
        "--as", dest="design", metavar="DESIGN", required=True, help="the design to compare with, as in wrn-16-2"
    )
    parser.add_argument(
        "--classes", type=int, metavar="N", help="number of classes (default: the number of the network's outputs)"
    )
    parser.add_argument(
        "--image",
        type=image_shape,
        metavar="C,H,W",
        help="shape of the images to run both networks on, as in 3,32,32 (default: the design's)",
    )
    parser.add_argument(
        "--timeout",
        type=_seconds,
        default=1800,
        metavar="SECONDS",
        help="end the audit after this time (default: 1800)",
    )


def _seconds(text: str) -> int:
    """A whole number of seconds, 1 or more."""
    if not text.isdecimal() or len(text) > 9 or int(text) == 0:
        raise argparse.ArgumentTypeError(f'expected a whole number of seconds, 1 or more; got "{text[:40]}"')
    return int(text)


def run(options: argparse.Namespace) -> Outcome:
    """The verdict; exit code 1 if the functions differ."""
    file, _, name = options.module.rpartition(":")
    if not file.endswith(".py") or not name.isidentifier():
        raise UsageError(f"expected FILE.py:CLASS; got {quoted(options.module)}")
    if not Path(file).is_file():
        raise UsageError(f"there is no file {quoted(file)}")
    entry = resolve(options.design)
    entry.plan(image=options.image, classes=options.classes)  # raises for an impossible network before anything runs
    request = {
        "file": str(Path(file).resolve()),
        "name": name,
        "design": options.design,
        "image": options.image,
        "classes": options.classes,
    }
    verdict = _verdict(request, timeout=options.timeout)
    if "error" in verdict:
        raise _ERRORS.get(verdict.get("kind", ""), UsageError)(verdict["error"])
    return Outcome(
        {"design": entry.name, **verdict}, _text(options.module, entry.name, verdict), 0 if verdict["same"] else 1
    )


def _verdict(request: dict[str, Any], *, timeout: int) -> dict[str, Any]:
    """The verdict of the process that executes the file; the output of the file goes to standard error."""
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        command = [sys.executable, "-m", "resatlas.audit.foreign", json.dumps({**request, "answer": str(answer)})]
        try:
            process = subprocess.run(  # noqa: S603 - our own program
                command, stdout=sys.stderr.fileno(), timeout=timeout, check=False, start_new_session=True
            )
        except subprocess.TimeoutExpired:
            raise UsageError(f"the audit took more than {timeout} seconds; allow more with --timeout") from None
        if not answer.is_file():
            raise UsageError(f"the process that executed the file {_end(process.returncode)} before it had a verdict")
        return json.loads(answer.read_text(encoding="utf-8"))


def _end(code: int) -> str:
    if code >= 0:
        return f"exited with code {code}"
    names = {number.value: number.name for number in signal.Signals}
    return f"was killed by {names.get(-code, f'signal {-code}')}"


def _text(module: str, design: str, verdict: dict[str, Any]) -> str:
    """The verdict as text."""
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
            *_explanation(design, verdict),
        ]
    return "\n".join([*lines, *(f"note: {remark}" for remark in verdict["remarks"])])


def _explanation(design: str, verdict: dict[str, Any]) -> list[str]:
    """The known mistakes that explain a difference, or another design that fits better."""
    bearer = verdict["bearer"]
    if verdict["bearer_same"]:
        return [f"it is the same function as {bearer}: use --as {bearer}"]
    other = [f"it has the parameters of {bearer}: try --as {bearer}"] if bearer else []
    if not verdict["mistakes"]:
        return other or ["no known mistake explains the difference"]
    heading = (
        f"it is the same function as {design} with"
        if verdict["explained"]
        else f"with these mistakes {design} comes closer to it, but an unknown difference remains"
    )
    return [f"{heading}:", *(f"  - {mistake}" for mistake in verdict["mistakes"]), *other]
