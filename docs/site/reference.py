"""The pages to look things up: verbs, public names and exit codes, as the package itself tells them."""

import argparse
import inspect
import re
from collections.abc import Callable, Iterator
from functools import partial
from textwrap import fill

import resatlas
from resatlas import errors
from resatlas.cli.main import VERBS, parser_of
from resatlas.values import markdown
from resatlas.values.table import Table, numbers, words

WIDTH = 84
"""Characters in a line of usage and of a signature."""

_CODE = re.compile(r"(`[^`]+`)")
_SECTION = re.compile(r"\n(?=(?:Raises|Source|Differs|Shape):)")
_MODULES = re.compile(r"\b(?:[a-z_]\w*\.)+(?=[A-Z])")


def verbs_page() -> str:
    """Every verb with the help of its own parser."""
    parts = ["# Verbs", "What `resatlas VERB --help` prints, verb by verb."]
    for name, summary in VERBS.items():
        parser = parser_of(name)
        parser.formatter_class = partial(argparse.RawDescriptionHelpFormatter, width=WIDTH)
        parser.description = "" if parser.description == summary else fill(parser.description or "", WIDTH)
        usage = parser.format_help()
        parts += [f"## {name}", f"{prose(summary[0].upper() + summary[1:])}.", fenced(usage.strip())]
    return joined(parts)


def names_page() -> str:
    """Every public name with its signature and its docstring."""
    public = [name for name in resatlas.__all__ if name != "__version__"]
    parts = ["# Names in Python", "What `import resatlas` offers; each is imported when it is first used."]
    for name in public:
        value = getattr(resatlas, name)
        parts += [f"## resatlas.{name}", fenced(signature(name, value), "python"), *described(value)]
        if inspect.isclass(value):
            parts += list(_members(value))
    return joined(parts)


def _members(owner: type) -> Iterator[str]:
    """The documented members of a class."""
    for name, member in vars(owner).items():
        function = getattr(member, "fget", None) or getattr(member, "__func__", member)
        if not name.startswith("_") and inspect.isfunction(function) and function.__doc__:
            shown = name if isinstance(member, property) else signature(name, function)
            yield fenced(shown, "python")
            yield from described(function)


def exit_codes_page() -> str:
    """Every exit code with the errors that have it."""
    rows = tuple(
        (code, kind.__name__, (inspect.getdoc(kind) or "").replace("`", ""))
        for code, kind in sorted(((kind.exit_code, kind) for kind in _errors()), key=lambda pair: pair[0])
    )
    table = Table(columns=(*numbers("exit code"), *words("error", "meaning")), rows=((0, "", "Success."), *rows))
    return joined(
        ["# Exit codes", "A failure is one line on standard error that begins with its error.", markdown.table(table)]
    )


def _errors() -> Iterator[type[errors.ResatlasError]]:
    """The errors in the order of their file."""
    for value in vars(errors).values():
        if inspect.isclass(value) and issubclass(value, errors.ResatlasError):
            yield value


def signature(name: str, value: Callable[..., object]) -> str:
    """The name with its parameters, types without their modules; a line each, if they are many."""
    whole = inspect.signature(value)
    line = name + _MODULES.sub("", str(whole))
    if len(line) <= WIDTH:
        return line
    parameters: list[str] = []
    starred = False
    for parameter in whole.parameters.values():
        starred = starred or parameter.kind is parameter.VAR_POSITIONAL
        if parameter.kind is parameter.KEYWORD_ONLY and not starred:
            parameters.append("    *,")
            starred = True
        parameters.append(f"    {_MODULES.sub('', str(parameter))},")
    end = line.rpartition(" -> ")[2] if whole.return_annotation is not whole.empty else ""
    return "\n".join([f"{name}(", *parameters, f") -> {end}" if end else ")"])


def described(value: object) -> Iterator[str]:
    """The paragraphs of a docstring; what is indented stays as it is."""
    for block in re.split(r"\n\s*\n", inspect.getdoc(value) or ""):
        if all(line.startswith("    ") for line in block.splitlines()):
            yield fenced(inspect.cleandoc(block))
        else:
            yield from map(prose, _SECTION.split(block))


def prose(text: str) -> str:
    """Words in Markdown, of which only code in backticks is marked."""
    parts = _CODE.split(text)
    return "".join(part if k % 2 else _escaped(part) for k, part in enumerate(parts))


def _escaped(text: str) -> str:
    inner = markdown.as_text(text, longest=len(text))
    return f"{' ' * text[:1].isspace()}{inner}{' ' * (text[-1:].isspace() and bool(inner))}"


def fenced(text: str, language: str = "text") -> str:
    """A block of code."""
    return f"```{language}\n{text}\n```"


def joined(parts: list[str]) -> str:
    """Parts of a page with a line between them."""
    return "\n\n".join(parts) + "\n"
