"""The program: a table of verbs, each in a module of its own that is imported when it is asked for."""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from io import TextIOWrapper
from pathlib import Path
from typing import NoReturn, cast

from resatlas import __version__
from resatlas.cli.notices import notices
from resatlas.cli.outcome import Verb
from resatlas.cli.requirements import check_requirements
from resatlas.errors import ProcessLost, ResatlasError, Stopped, UsageError, quoted, unknown
from resatlas.runs.environment import launched, leading
from resatlas.values.text import plain
from resatlas.values.unforeseen import foreseen, show_traceback

VERBS: Mapping[str, str] = {
    "list": "the catalogue, with parameters and multiply-adds",
    "describe": "a network unit by unit, with the papers' figures beside it",
    "solve": "members of a family that cost what is asked for",
    "audit": "whether somebody's network is the paper's; executes its file",
    "eject": "a network as one readable Python file that needs only torch",
    "verify": "every entry against the sizes that the papers printed",
    "cite": "BibTeX of exactly the papers that a network uses",
    "data": "get a data set, or find the bad images of a folder",
    "train": "train a design on a data set",
    "evaluate": "test finished runs again: crops, scales, flips, ensembles",
    "dissect": "what is inside a trained network: lesions, paths, flow, similarity and more",
    "predict": "classify single images by a finished run",
    "compare": "what runs say about their designs: differences, intervals, verdicts",
    "bench": "how fast it is: training steps and more, against the peers",
    "study": "carry out a file of many runs, reusing what is finished",
    "report": "one self-contained page of runs",
    "demo": "the main job on embedded data: which designs train deep, which is better at equal cost",
    "doctor": "what is here and what is missing",
}


SAVING: Mapping[str, str] = {
    "train": "--set norm_group=N below the batch, --checkpoint-activations segments, smaller images, --test-batch N",
    "evaluate": "--test-batch N, a protocol of fewer crops, smaller images",
    "dissect": "--images N, --test-batch N",
    "predict": "fewer images in one command",
    "bench": "--batch N",
    "study": "runs of smaller designs or smaller batches",
    "report": "fewer runs on one page",
    "compare": "fewer runs in one command",
    "describe": "a smaller --image",
}
"""What makes a verb need less memory, said where there was too little."""

MOMENT = 1.0
"""Grace period in seconds before this rank takes an error for its own: another rank that failed ends all sooner."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; the exit code is that of design and errors alone, never of a traceback."""
    words = list(sys.argv[1:] if argv is None else argv)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started us: no file of ours takes its place
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - for as long as the process lives
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        return _run(words)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (Exception, KeyboardInterrupt) as error:  # no traceback reaches a user
        return _failed(error, words)


def _failed(error: BaseException, words: Sequence[str]) -> int:
    """Say in one line why the verb failed; its exit code."""
    show_traceback(error)
    ours = foreseen(error, doing=_doing(words), saving=SAVING.get(words[0], "") if words else "")
    if not (isinstance(ours, ProcessLost) and launched()):
        _tell(f"{type(ours).__name__}: {ours}", alone=not isinstance(ours, Stopped))
    return ours.exit_code


def _doing(words: Sequence[str]) -> str:
    """The command as far as it is needed to know it again: the verb, and what it is about."""
    return plain(" ".join(["resatlas", *(word[:60] for word in words[:2] if not word.startswith("-"))]))


def _tell(text: str, *, alone: bool = False) -> None:
    """One line on standard error, of the leading process where several work together.

    Another rank that met it alone reports it if it is still running after that grace period.
    """
    if not leading():
        if not alone:
            return
        time.sleep(MOMENT)
    with suppress(OSError):
        print(plain(" ".join(text.split())), file=sys.stderr, flush=True)


def _show(text: str) -> None:
    try:
        print(text, flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise ResatlasError(f"standard output: {error.strerror}") from None


def _run(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help"):
        _show(_help())
        return 0
    if words[0] == "--version":
        _show(f"resatlas {__version__}")
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
    _tell_aliases(options)
    with notices(quiet=options.quiet):
        outcome = verb.run(options)
    if options.json:
        _show(json.dumps(outcome.data, indent=2, ensure_ascii=False))
    elif not options.quiet and outcome.text:
        _show(outcome.text)
    return outcome.exit_code


def verb_of(name: str) -> Verb:
    """The module of a verb."""
    return cast("Verb", import_module(f"resatlas.cli.{name}_verb"))


def parser_of(name: str) -> argparse.ArgumentParser:
    """What reads the options of a verb."""
    verb = verb_of(name)
    parser = _Parser(prog=f"resatlas {name}", description=VERBS[name], allow_abbrev=False)
    parser.elsewhere = getattr(verb, "elsewhere", parser.elsewhere)
    verb.arguments(parser)
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--json", action="store_true", help="one JSON value on standard output, and nothing else there")
    how.add_argument("--quiet", action="store_true", help="no text but errors")
    return parser


def _tell_aliases(options: argparse.Namespace) -> None:
    """What other programs' spellings of designs mean here, on standard error."""
    given = [
        getattr(options, "design", None),
        getattr(options, "against", None),
        *(getattr(options, "designs", None) or ()),
    ]
    texts = [text for text in given if isinstance(text, str)]
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
            "Each verb tells its options with --help. Start with: resatlas demo",
        ]
    )


def nowhere(word: str, options: argparse.Namespace) -> str:  # noqa: ARG001 - as `elsewhere` of a verb is called
    """What an unknown option means elsewhere: nothing."""
    return ""


class _Parser(argparse.ArgumentParser):
    """Argument parsing whose errors are one line with the nearest right word.

    `elsewhere` is what else an unknown option may mean in the verb, in words, or nothing.
    """

    elsewhere: Callable[[str, argparse.Namespace], str] = staticmethod(nowhere)

    def parse_args(self, args: Sequence[str] | None = None, namespace: None = None) -> argparse.Namespace:  # type: ignore[override]
        options, rest = self.parse_known_args(args, namespace)
        if rest:
            known = [option for action in self._actions for option in action.option_strings if option.startswith("--")]
            word = rest[0].partition("=")[0]
            if word.startswith("-"):
                if meant := self.elsewhere(word, options):
                    raise UsageError(f"no option of {self.prog} {quoted(word)}; {meant}")
                raise UsageError(unknown(f"option of {self.prog}", word, known))
            raise UsageError(f'{self.prog} does not take "{word[:60]}" ({self.prog} --help)')
        return options

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{self.prog}: {message} ({self.prog} --help)")
