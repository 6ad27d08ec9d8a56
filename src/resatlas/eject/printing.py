"""Python text in the style of its formatter: calls, functions, docstrings."""

from collections.abc import Iterable, Sequence
from textwrap import fill
from typing import NamedTuple

_LINE = 88  # of the formatter black


class Call(NamedTuple):
    """A call, or a value if it has no parentheses."""

    function: str
    arguments: tuple[str, ...] = ()

    def after(self, start: str, *, depth: int, end: str = "") -> list[str]:
        """`start`, the call and `end` in one line or with one argument per line; `depth` is their indentation."""
        line = f"{start}{self}{end}"
        if depth + len(line) <= _LINE and not (self.function == "chain" and len(self.arguments) > 2):
            return [line]
        return [f"{start}{self.function}(", *indented(f"{argument}," for argument in self.arguments), f"){end}"]

    def __str__(self) -> str:
        return f"{self.function}({', '.join(self.arguments)})"


def indented(lines: Iterable[str]) -> list[str]:
    """The lines, indented by one level."""
    return [f"    {line}" if line else "" for line in lines]


def docstring(*paragraphs: str) -> list[str]:
    """A docstring of paragraphs that already have their line breaks; empty ones are left out."""
    text = "\n\n".join(paragraph for paragraph in paragraphs if paragraph)
    return [f'"""{text}"""'] if "\n" not in text else [*f'"""{text}'.split("\n"), '"""']


def paragraph(text: str, *, depth: int = 0, hanging: str = "") -> str:
    """The text, wrapped at the formatter's line length."""
    return fill(text, _LINE - depth, subsequent_indent=hanging, break_on_hyphens=False, break_long_words=False)


def function(signature: Call, returns: str, doc: str, body: Iterable[str]) -> str:
    """The definition of a function."""
    head = signature.after("def ", end=f" -> {returns}:", depth=0)
    return "\n".join([*head, *indented([*docstring(doc), *body])])


def module_class(
    name: str, doc: Sequence[str], *, init: Sequence[str], forward: str, body: Iterable[str], parameters: str = ""
) -> str:
    """A subclass of nn.Module with __init__ and forward; `forward` is the signature of the latter without self."""
    methods = [
        *docstring(*doc),
        "",
        f"def __init__(self{', ' + parameters if parameters else ''}) -> None:",
        *indented(["super().__init__()", *init]),
        "",
        f"def forward(self, {forward}:",
        *indented(body),
    ]
    return "\n".join([f"class {name}(nn.Module):", *indented(methods)])
