"""Completion scripts for shells, written by shtab from the parsers of all verbs."""

import argparse
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import shtab

from resatlas.cli.main import VERBS, parser_of
from resatlas.data.catalog import NAMED as DATA_SETS
from resatlas.data.catalog import OBJECTS
from resatlas.designs.catalog import families, named
from resatlas.recipes.catalog import matching

_WORDS: Mapping[str, Callable[[], Iterable[str]]] = {
    "design": lambda: (*named(), *families()),
    "family": families,
    "data_set": lambda: (*DATA_SETS, *OBJECTS),
    "recipe": lambda: (recipe.name for recipe in matching()),
}
"""The words of each kind of argument; files are completed beside them."""

_KINDS: Mapping[str, str] = {
    "DESIGN": "design",
    "PATTERN": "design",
    "FAMILY": "family",
    "DATA": "data_set",
    "NAME|FOLDER": "data_set",
}
"""The kind of an argument, by its name in the help."""


def script(shell: str) -> str:
    """The script that completes verbs, options, designs, recipes, data sets and files in bash, zsh or fish."""
    return shtab.complete(_program(), shell=shell)


def _program() -> argparse.ArgumentParser:
    """One parser of the whole program."""
    program = argparse.ArgumentParser(prog="resatlas")
    program.add_argument("--version", action="version", version="", help="show the version and exit")
    verbs = program.add_subparsers()
    for name, words in VERBS.items():
        parser = verbs.add_parser(name, help=words, description=words, parents=[parser_of(name)], add_help=False)
        for action in parser._actions:  # noqa: SLF001 - argparse has no public list, and shtab reads the same
            if (completed := _completed(action)) is not None:
                action.complete = completed  # type: ignore[attr-defined] - where shtab looks for it
    return program


def _completed(action: argparse.Action) -> dict[str, Any] | None:
    """What shtab completes an argument with; None if it has choices or takes a text of any kind."""
    metavar = action.metavar if isinstance(action.metavar, str) else ""
    if kind := "recipe" if action.dest == "recipe" else _KINDS.get(metavar):
        return _words(kind)
    if metavar == "DIR":
        return shtab.DIRECTORY
    return shtab.FILE if action.type is Path else None


def _words(kind: str) -> dict[str, Any]:
    """Words of a kind, or files, by a function of the shell, which the script contains once."""
    function, listed = f"_resatlas_{kind}_or_file", " ".join(_WORDS[kind]())
    return {
        "bash": function,
        "zsh": function,
        "fish": f"({function})",
        "preamble": {
            "bash": f'{function}() {{\n  compgen -W "{listed}" -- "$1"\n  compgen -f -- "$1"\n}}\n',
            "zsh": f"{function}() {{\n  compadd -- {listed}\n  _files\n}}\n",
            "fish": f"function {function}\n  printf '%s\\t{kind}\\n' {listed}\n"
            "  __fish_complete_path (commandline -ct)\nend\n",
        },
    }
