"""The program: a table of verbs, each in its own module, which is imported only for that verb."""

import argparse
import json
import os
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from io import TextIOWrapper
from itertools import pairwise
from pathlib import Path
from typing import NoReturn, cast

from resatlas import __version__
from resatlas.cli.notices import notices
from resatlas.cli.outcome import Verb
from resatlas.cli.requirements import check_requirements
from resatlas.errors import ProcessLost, ResatlasError, Stopped, UsageError, nearest, quoted, unknown
from resatlas.runs.environment import launched, leading, local_rank
from resatlas.values.text import plain
from resatlas.values.unforeseen import foreseen, show_traceback

VERBS: Mapping[str, str] = {
    "list": "list the designs with parameters and multiply-adds, or the recipes",
    "describe": "print a network unit by unit, with the figures of its paper",
    "design": "turn the knobs of a network in a browser, and see and copy what they make",
    "solve": "find designs with a given number of parameters or multiply-adds",
    "audit": "check whether a PyTorch module is a paper's network; executes its file",
    "eject": "print a network as one readable Python file that needs only torch",
    "verify": "compare our counts with the sizes printed in the papers",
    "cite": "print BibTeX of the papers that a network uses",
    "data": "download a data set, or find the unreadable images of a folder",
    "weights": "list published weights, get a file of them, or check those on this machine",
    "train": "train a design on a data set",
    "preflight": "predict what a training needs: memory, disk, time, and whether the loader keeps up",
    "evaluate": "test finished runs or published weights: crops, scales, flips, ensembles",
    "dissect": "analyse a trained network: lesions, paths, gradients, similarity and more",
    "predict": "classify images, or find objects in them, with a run or weights",
    "export": "write a trained network for ONNX Runtime, OpenVINO and others, and check it",
    "serve": "answer images over HTTP with a finished run, a saved network or published weights",
    "compare": "compare designs by their runs: differences, intervals, verdicts",
    "effects": "effects of the factors of a factorial study, with intervals and checks",
    "hypotheses": "what a study's runs say of the hypotheses in its file",
    "bench": "measure speed: training, inference and more, against other libraries",
    "study": "carry out the runs of a study file; finished runs are reused",
    "report": "write one self-contained HTML page about runs or networks",
    "demo": "train small networks on bundled digits and write a report",
    "doctor": "show what is installed and what is missing",
    "completion": "print the script with which bash, zsh or fish completes commands",
}


_SAVING: Mapping[str, str] = {
    "train": "--set norm_group=N below the batch, --checkpoint-activations segments, smaller images, --test-batch N",
    "evaluate": "--test-batch N, a protocol of fewer crops, smaller images",
    "dissect": "--images N, --test-batch N",
    "predict": "fewer images in one command",
    "bench": "--batch N",
    "preflight": "--batch N",
    "serve": "--batch N, --max-pixels N",
    "export": "--dynamic none, --calibrate N",
    "study": "runs of smaller designs or smaller batches",
    "report": "fewer runs on one page",
    "compare": "fewer runs in one command",
    "effects": "fewer studies in one command",
    "hypotheses": "fewer studies in one command",
    "describe": "a smaller --image",
    "design": "smaller networks and images",
}
"""How a verb needs less memory, for the message of an out-of-memory error."""

_GRACE_SECONDS = 1.0
"""Grace period before this rank reports an error as its own: if another rank failed first, all end within it."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit code; every error becomes one line on standard error."""
    words = list(sys.argv[1:] if argv is None else argv)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the parent: a file that we open must not get its descriptor
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - open until the process ends
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        return _run(words)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (Exception, KeyboardInterrupt) as error:  # users see one line instead of a traceback
        return _report_failure(error, words)


def _report_failure(error: BaseException, words: Sequence[str]) -> int:
    """Print one line about an error; return its exit code."""
    show_traceback(error)
    ours = foreseen(error, doing=_command(words), saving=_SAVING.get(words[0], "") if words else "")
    lost = isinstance(ours, ProcessLost)
    if not (lost and launched()):
        at_once = leading() or (lost and local_rank() == 0)  # torchrun of this node may end it within the grace period
        _print_error(f"{type(ours).__name__}: {ours}", at_once=at_once, only_here=not isinstance(ours, Stopped))
    return ours.exit_code


def _command(words: Sequence[str]) -> str:
    """The start of the command, to identify it in a message: the verb and its first argument."""
    return plain(" ".join(["resatlas", *(word[:60] for word in words[:2] if not word.startswith("-"))]))


def _print_error(text: str, *, at_once: bool, only_here: bool) -> None:
    """Print one line on standard error; of several processes those that are to do it at once.

    Another rank prints an error that occurred only there, if it is still running after the grace period.
    """
    if not at_once:
        if not only_here:
            return
        time.sleep(_GRACE_SECONDS)
    with suppress(OSError):
        print(plain(" ".join(text.split())), file=sys.stderr, flush=True)


def _print(text: str) -> None:
    """Print to standard output.

    Raises: BrokenPipeError if its reader has ended; ResatlasError if it cannot be written, as on a full disk.
    """
    try:
        print(text, flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise ResatlasError(f"standard output: {error.strerror}") from None


def _run(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help"):
        _print(_help())
        return 0
    if words[0] == "--version":
        _print(f"resatlas {__version__}")
        return 0
    name, *rest = words
    if name not in VERBS:
        raise UsageError(unknown("verb", name, VERBS, where="all: resatlas --help"))
    verb = verb_of(name)
    parser = parser_of(name)
    options = parser.parse_args(rest)
    check_requirements(verb.OPTIONS, options, rest, prog=parser.prog)
    options.words = words
    if not leading():
        options.quiet, options.json = True, False
    _note_aliases(options)
    with notices(quiet=options.quiet):
        outcome = verb.run(options)
    if options.json:
        _print(json.dumps(outcome.data, indent=2, ensure_ascii=False))
    elif not options.quiet and outcome.text:
        _print(outcome.text)
    return outcome.exit_code


def verb_of(name: str) -> Verb:
    """The module of a verb."""
    return cast("Verb", import_module(f"resatlas.cli.{name}_verb"))


def parser_of(name: str) -> argparse.ArgumentParser:
    """The parser of a verb's options."""
    verb = verb_of(name)
    parser = _Parser(prog=f"resatlas {name}", description=VERBS[name], allow_abbrev=False)
    parser.hint = getattr(verb, "hint", parser.hint)
    verb.arguments(parser)
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--json", action="store_true", help="print the result as one JSON value (default: text)")
    output.add_argument("--quiet", action="store_true", help="print nothing but errors (default: off)")
    return parser


def _note_aliases(options: argparse.Namespace) -> None:
    """Print to standard error which design an alias of another library stands for."""
    designs = [
        getattr(options, "design", None),
        getattr(options, "against", None),
        *(getattr(options, "designs", None) or ()),
    ]
    texts = [text for text in designs if isinstance(text, str)]
    if texts and not options.quiet:
        from resatlas.designs.catalog import alias_note

        for note in filter(None, map(alias_note, texts)):
            print(plain(note), file=sys.stderr)


def _help() -> str:
    span = max(map(len, VERBS))
    lines = [f"  {name.ljust(span)}  {text}" for name, text in VERBS.items()]
    return "\n".join(
        [
            "usage: resatlas VERB …",
            "",
            "Residual image networks from one description: list, count, verify, train, compare.",
            "",
            *lines,
            "",
            "Options of a verb: resatlas VERB --help. Start with: resatlas demo",
        ]
    )


def _no_hint(word: str, options: argparse.Namespace) -> str:  # noqa: ARG001 - the signature of a verb's `hint`
    """No hint about an unknown option."""
    return ""


class _Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line with the nearest known option.

    `hint` returns another suggestion for an unknown option of the verb, or "".
    """

    hint: Callable[[str, argparse.Namespace], str] = staticmethod(_no_hint)
    given: Sequence[str] = ()

    def parse_args(self, args: Sequence[str] | None = None, namespace: None = None) -> argparse.Namespace:  # type: ignore[override]
        self.given = args or ()
        options, rest = self.parse_known_args(args, namespace)
        if rest:
            word = rest[0].partition("=")[0]
            if word.startswith("-"):
                if hint := self.hint(word, options):
                    raise UsageError(f"no option of {self.prog} {quoted(word)}; {hint}")
                raise UsageError(self._no_option(word))
            raise UsageError(f'{self.prog} does not take "{word[:60]}" ({self.prog} --help)')
        return options

    def _no_option(self, word: str) -> str:
        known = [option for option in self._option_string_actions if option.startswith("--")]
        return unknown(f"option of {self.prog}", word, known)

    def _check_value(self, action: argparse.Action, value: object) -> None:
        """Refuse a value that is not among the choices of an option or a position.

        Raises: UsageError with the nearest value and with all.
        """
        choices = [str(choice) for choice in action.choices or ()]
        if action.choices is None or value in action.choices:
            return
        name = f"value of {action.option_strings[-1]}" if action.option_strings else action.metavar or action.dest
        every = f"all: {' | '.join(choices)}; " if nearest(str(value), choices) else ""
        raise UsageError(unknown(str(name), str(value), choices, where=f"{every}{self.prog} --help"))

    def error(self, message: str) -> NoReturn:
        if message.startswith("the following arguments are required"):  # perhaps one is there, misspelt
            words = (word.partition("=")[0] for word in self.given if word.startswith("--"))
            if wrong := next((word for word in words if word not in self._option_string_actions), ""):
                raise UsageError(self._no_option(wrong))
        lacking = re.fullmatch(r"argument (?:.*/)?(--[a-z-]+): expected one argument", message)
        value = next((word for option, word in pairwise(self.given) if lacking and option == lacking[1]), "")
        dashed = f"; a value that begins with - is given as {lacking[1]}=VALUE" if lacking and value[:1] == "-" else ""
        raise UsageError(f"{self.prog}: {message}{dashed} ({self.prog} --help)")
