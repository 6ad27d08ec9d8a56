"""What docs/serve.md and docs/Dockerfile say of the server is so."""

import json
import re
from pathlib import Path

from resatlas.cli.main import parser_of
from resatlas.serving.connections import RESERVED
from resatlas.serving.image_file import _MOST_SCANS
from resatlas.serving.limits import Limits
from resatlas.serving.service import _NAMED, TOP

DOCS = Path(__file__).parents[2] / "docs"
TEXT = (DOCS / "serve.md").read_text(encoding="utf-8")


def test_the_options_are_those_of_the_verb() -> None:
    """Each with its default, in the order of the page."""
    rows = dict(re.findall(r"^\| `(--[a-z-]+)` \| (.+?) \|", TEXT, re.MULTILINE))
    actions = {name: action.default for action in parser_of("serve")._actions for name in action.option_strings[-1:]}
    defaults = {name: value for name, value in actions.items() if name not in ("--help", "--json", "--quiet")}
    assert rows == {
        name: "by rule" if value is None else f"`{value:g}`" if isinstance(value, float) else f"`{value}`"
        for name, value in defaults.items()
    }


def test_the_paths_are_those_of_the_server() -> None:
    """Each with its method, and the usual number of classes."""
    paths = re.findall(r"^\| `(?:GET|POST) (/[a-z0-9/]*)[?`]", TEXT, re.MULTILINE)
    assert sorted(paths) == sorted(_NAMED)
    assert f"`POST /v1/classify?top={TOP}`" in TEXT


def test_the_limits_are_those_of_the_server() -> None:
    """In the words of the page."""
    limits = Limits()
    assert f"closed after {limits.silent_seconds:g} s" in TEXT
    assert f"on up to {RESERVED} more" in TEXT
    assert f"a JPEG of more than {_MOST_SCANS}\n" in TEXT
    assert f"({limits.held_bytes // 10**6} MB by default)" in TEXT
    assert f"above {2 * limits.answer_seconds + 1:g}" in TEXT


def test_the_command_of_the_container_is_one_of_ours() -> None:
    """The verb takes its words, which end with a folder that the user may only read."""
    file = (DOCS / "Dockerfile").read_text(encoding="utf-8")
    [entry] = re.findall(r"^ENTRYPOINT (\[.*\])$", file, re.MULTILINE)
    [words] = re.findall(r"^CMD (\[.*\])$", file, re.MULTILINE)
    assert json.loads(entry) == ["resatlas", "serve"]
    options = parser_of("serve").parse_args(json.loads(words))
    assert (options.host, options.port) == ("0.0.0.0", 8000)  # noqa: S104 - inside a container
    assert re.search(r"^USER [1-9]\d+$", file, re.MULTILINE)
