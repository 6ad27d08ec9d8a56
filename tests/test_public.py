"""What the package offers at its top: shown by dir, typed for whoever checks types, imported when it is used."""

import ast
import inspect
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped] - it comes without types

import resatlas
from resatlas.cli.main import VERBS, parser_of

SOURCE = Path(inspect.getfile(resatlas))

ROOT = Path(__file__).parents[1]

PUBLIC = """
Experiment Preparation __version__ body build compare convert_form cost detector dilated dissect evaluate export
export_weights for_inference from_pretrained levels list_designs load_weights path_lengths plan predict preflight
preprocessing read_config read_found_config save_pretrained segmenter train
"""
"""The names that users may rely on; one more or one less is for the CHANGELOG."""

USER = """
import resatlas
from resatlas import build

network = build("resnet-20", clases=3)
right: int = resatlas.cost(resatlas.plan("resnet-20")).parameters
wrong: str = resatlas.cost(resatlas.plan("resnet-20")).parameters
"""


def test_dir_shows_the_public_names() -> None:
    """Those and nothing else, though none of them is imported yet."""
    assert dir(resatlas) == sorted(resatlas.__all__) == PUBLIC.split()


def test_type_checkers_are_given_every_public_name() -> None:
    """Each from the module that it is taken from when it is used."""
    given = {
        alias.name: node.module
        for node in ast.walk(ast.parse(SOURCE.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("resatlas.")
        for alias in node.names
        if alias.asname == alias.name
    }
    assert given == resatlas._PUBLIC


@pytest.mark.parametrize("name", resatlas._PUBLIC)
def test_every_public_name_is_there(name: str) -> None:
    """And says in its docstring what it is."""
    assert inspect.getdoc(getattr(resatlas, name))


def test_a_user_sees_types(tmp_path: Path) -> None:
    """A wrong keyword and a wrong type in somebody's own file are found: the package says that it is typed."""
    assert (SOURCE.parent / "py.typed").is_file()
    (tmp_path / "user.py").write_text(USER)
    config = f'project-includes = ["user.py"]\nsearch-path = ["{SOURCE.parents[1]}"]\npreset = "strict"\n'
    (tmp_path / "pyrefly.toml").write_text(config)
    checker = Path(sys.executable).with_name("pyrefly")
    done = subprocess.run(
        [checker, "check", "--output-format", "min-text"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    found = [line for line in done.stdout.splitlines() if "user.py" in line]
    assert len(found) == 2, done.stdout + done.stderr
    assert "`clases`" in found[0]
    assert "`int` is not assignable to `str`" in found[1]


def test_the_citation_is_of_this_version() -> None:
    """CITATION.cff has what its schema 1.2.0 requires, and the version and licence of the package."""
    table = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= set(table)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    said = table["cff-version"], str(table["version"]), table["license"]
    assert said == ("1.2.0", resatlas.__version__, project["license"])


def test_the_changelog_begins_with_this_version() -> None:
    """Nothing stands above it that a release would not have."""
    headings = re.findall("^## (.+)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert headings[0] == resatlas.__version__
    assert len(set(headings)) == len(headings)


def test_the_page_on_security_names_every_verb_that_executes_a_file() -> None:
    """Those whose help has an argument FILE.py:NAME, in the order of the alphabet."""
    executing = sorted(verb for verb in VERBS if "FILE.py:" in parser_of(verb).format_help())
    text = " ".join((ROOT / "SECURITY.md").read_text(encoding="utf-8").split())
    assert f"({', '.join(f'`{verb}`' for verb in executing)}), it executes FILE.py" in text
