"""What the package offers at its top: shown by dir, typed for whoever checks types, imported when it is used."""

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import resatlas

SOURCE = Path(inspect.getfile(resatlas))

USER = """
import resatlas
from resatlas import build

network = build("resnet-20", clases=3)
right: int = resatlas.cost(resatlas.plan("resnet-20")).parameters
wrong: str = resatlas.cost(resatlas.plan("resnet-20")).parameters
"""


def test_dir_shows_the_public_names() -> None:
    """Those and nothing else, though none of them is imported yet."""
    assert dir(resatlas) == sorted(resatlas.__all__)
    assert {"build", "plan", "train", "__version__"} < set(dir(resatlas))


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
