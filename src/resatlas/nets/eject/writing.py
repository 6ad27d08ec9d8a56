"""Python text as its formatter would leave it: calls, classes, functions."""

import ast
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

LINE = 120


@dataclass(frozen=True, slots=True)
class Call:
    """function(arguments), written in one line, or with one argument a line where there are many or it is long."""

    function: str
    arguments: tuple[str, ...] = ()

    def after(self, start: str) -> list[str]:
        """The lines of `start` and the call."""
        line = f"{start}{self.function}({', '.join(self.arguments)})"
        if len(line) <= LINE - 12 and not (self.function == "chain" and len(self.arguments) > 2):
            return [line]
        return [f"{start}{self.function}(", *indented(f"{argument}," for argument in self.arguments), ")"]


def indented(lines: Iterable[str]) -> list[str]:
    """The lines one level further in."""
    return [f"    {line}" if line else "" for line in lines]


def number(value: float) -> str:
    """The shortest text of a number: 2e-5, not 2e-05."""
    return repr(value).replace("e-0", "e-")


def factor(expression: str) -> str:
    """The expression, in parentheses unless it is a name, a number or one call."""
    whole = ast.parse(expression, mode="eval").body
    return expression if isinstance(whole, ast.Name | ast.Constant | ast.Call) else f"({expression})"


def docstring(*paragraphs: str) -> list[str]:
    """A docstring of paragraphs, each of which has its line breaks already; empty ones are left out."""
    text = "\n\n".join(paragraph for paragraph in paragraphs if paragraph)
    return [f'"""{text}"""'] if "\n" not in text else [*f'"""{text}'.split("\n"), '"""']


def function(signature: str, doc: str, body: Sequence[str]) -> str:
    """A function."""
    return "\n".join([f"def {signature}:", *indented([*docstring(doc), *body])])


def module_class(
    name: str, doc: Sequence[str], *, parameters: str, init: Sequence[str], forward: str, body: Sequence[str]
) -> str:
    """A subclass of nn.Module with its __init__ and its forward, whose signature is given without self."""
    takes = f"self, {parameters}" if parameters else "self"
    lines = [
        *docstring(*doc),
        "",
        f"def __init__({takes}) -> None:",
        *indented(["super().__init__()", *init]),
        "",
        f"def forward(self, {forward}:",
        *indented(body),
    ]
    return "\n".join([f"class {name}(nn.Module):", *indented(lines)])
