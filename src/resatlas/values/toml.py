"""TOML files from strangers, read without surprises."""

import re
import tomllib
from pathlib import Path
from typing import Any

from resatlas.errors import BlueprintError
from resatlas.values import reading

LARGEST = 1_000_000  # bytes
DEEPEST = 16

_QUIET = re.compile(
    r'"""(?:[^"\\]|\\.|"(?!""))*+(?:"{3,5}|\Z)'
    r"|'''(?:[^']|'(?!''))*+(?:'{3,5}|\Z)"
    r'|"(?:[^"\\\n]|\\.)*+"?'
    r"|'[^'\n]*+'?"
    r"|#[^\n]*+",
    re.DOTALL,
)
_DOTTED = re.compile(rf"(?<![\w-])(?:[\w-]++\s*+\.\s*+){{{DEEPEST}}}")


def read_toml(path: Path) -> dict[str, Any]:
    """The table of a TOML file.

    Its nesting is measured before the parser sees it, so that no file can exhaust the stack.
    Raises: BlueprintError if the file is missing, too large, too deep, or not TOML (doubled keys included).
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
    """Refuse brackets and dotted keys nested more than sixteen deep, outside texts and comments.

    Raises: BlueprintError
    """
    depth = 0
    bare = _QUIET.sub(lambda found: "" if found[0].startswith("#") else "q", text)  # a quoted key is a key
    for character in re.findall(r"[\[\]{}]", bare):
        depth += 1 if character in "[{" else -1
        if depth > DEEPEST:
            raise BlueprintError(f"{name}: nested more than {DEEPEST} deep")
    if _DOTTED.search(bare):
        raise BlueprintError(f"{name}: a dotted key of more than {DEEPEST} parts")
