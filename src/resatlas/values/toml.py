"""Safe reading of TOML files, and writing of tables as TOML."""

import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from resatlas.errors import BlueprintError
from resatlas.values import reading

LARGEST = 1_000_000  # bytes
_DEEPEST = 16

_QUIET = re.compile(
    r'"""(?:[^"\\]|\\.|"(?!""))*+(?:"{3,5}|\Z)'
    r"|'''(?:[^']|'(?!''))*+(?:'{3,5}|\Z)"
    r'|"(?:[^"\\\n]|\\.)*+"?'
    r"|'[^'\n]*+'?"
    r"|#[^\n]*+",
    re.DOTALL,
)
_DOTTED = re.compile(rf"(?<![\w-])(?:[\w-]++\s*+\.\s*+){{{_DEEPEST}}}")


def read_toml(path: Path) -> dict[str, Any]:
    """The table of a TOML file.

    Its nesting is checked before it is parsed, so that no file can exhaust the stack.
    Raises: BlueprintError if the file is missing, too large, too deep, or not TOML (including repeated keys).
    """
    try:
        text = reading.text(path, most=LARGEST)
    except OSError as error:
        raise BlueprintError(f"{path}: {(error.strerror or 'cannot be read').lower()}") from None
    except UnicodeDecodeError:
        raise BlueprintError(f"{path}: not a text in UTF-8") from None
    try:
        check_nesting(text, str(path))
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        raise BlueprintError(f"{path}: not valid TOML: {' '.join(str(error).split())[:160]}") from None


def check_nesting(text: str, name: str) -> None:
    """Check that brackets and dotted keys are at most sixteen deep, outside strings and comments.

    Raises: BlueprintError
    """
    depth = 0
    bare = _QUIET.sub(lambda match: "" if match[0].startswith("#") else "q", text)  # a quoted key counts as a key
    for character in re.findall(r"[\[\]{}]", bare):
        depth += 1 if character in "[{" else -1
        if depth > _DEEPEST:
            raise BlueprintError(f"{name}: nested more than {_DEEPEST} deep")
    if _DOTTED.search(bare):
        raise BlueprintError(f"{name}: a dotted key of more than {_DEEPEST} parts")


def toml_text(table: Mapping[str, Any]) -> str:
    """A table of texts, numbers, truth values, lists and tables as TOML; what `read_toml` reads back is equal to it."""
    plain = [f"{_key(key)} = {_value(value)}" for key, value in table.items() if not isinstance(value, Mapping)]
    for name, inner in table.items():
        if isinstance(inner, Mapping):
            plain += [f"[{_key(name)}]", *(f"{_key(key)} = {_value(value)}" for key, value in inner.items())]
    return "\n".join(plain) + "\n"


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _value(name)


def _value(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case str():  # the escapes of JSON are those of TOML, which also needs one for DEL
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case int() | float():
            return repr(value)
        case list() | tuple():
            return f"[{', '.join(map(_value, value))}]"
        case Mapping():
            return f"{{ {', '.join(f'{_key(key)} = {_value(inner)}' for key, inner in value.items())} }}"
        case _:
            raise TypeError(f"TOML has no {type(value).__name__} here")
