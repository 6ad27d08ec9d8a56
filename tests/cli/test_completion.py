"""The scripts with which shells complete commands: each shell parses its own, and two of them are asked."""

import json
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from resatlas.cli.completion_verb import Shell
from resatlas.cli.main import VERBS, main
from resatlas.recipes.catalog import matching
from tests.cli.test_startup import IMPORTED, python

Written = Callable[[Shell], Path]

BASH = """
source {script}
COMP_WORDS=({words})
COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
_shtab_resatlas
printf '%s\\n' "${{COMPREPLY[@]}}"
"""

FISH = """
source {script}
complete -C {line} | string split -f1 \\t; true
"""


@pytest.fixture
def written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Written:
    """A function that writes the script of a shell, and skips the test where there is no such shell."""

    def write(shell: Shell) -> Path:
        if shutil.which(shell) is None:
            pytest.skip(f"{shell} is not installed")
        assert main(("completion", shell)) == 0
        script = tmp_path / f"resatlas.{shell}"
        script.write_text(capsys.readouterr().out, encoding="utf-8")
        return script

    return write


def shell_output(shell: Shell, *words: str | Path, cwd: Path) -> str:
    """Standard output of a shell, which must succeed."""
    done = subprocess.run([shell, *words], cwd=cwd, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_parses_its_script(written: Written, shell: Shell, tmp_path: Path) -> None:
    """Without carrying it out; it names every verb."""
    script = written(shell)
    assert shell_output(shell, "-n", script, cwd=tmp_path) == ""
    text = script.read_text(encoding="utf-8")
    assert [verb for verb in VERBS if verb not in text] == []


def completed(shell: Shell, script: Path, line: str) -> set[str]:
    """What a shell offers for the last word of a line, in a folder with nothing but the script."""
    words = [*shlex.split(line), *([""] if line.endswith(" ") else [])]
    text = {"bash": BASH, "fish": FISH}[shell].format(
        script=script.name, words=shlex.join(words), line=shlex.quote(line)
    )
    return set(shell_output(shell, "-c", text, cwd=script.parent).splitlines())


@pytest.mark.parametrize("shell", ["bash", "fish"])
def test_verbs_designs_recipes_and_files_are_completed(written: Written, shell: Shell) -> None:
    """At the start of a line, as an argument, after an option, and behind other arguments."""
    script = written(shell)
    assert completed(shell, script, "resatlas de") == {verb for verb in VERBS if verb.startswith("de")}
    assert {"wrn-28-10", "wrn-28-12"} <= completed(shell, script, "resatlas describe wrn-28-1")
    assert {"wide-resnet"} <= completed(shell, script, "resatlas describe wide")
    assert "resatlas." in "".join(completed(shell, script, "resatlas describe resa"))
    assert completed(shell, script, "resatlas train resnet-20 --data fash") == {"fashion-mnist"}
    assert completed(shell, script, "resatlas train resnet-20 --recipe wrn-") == {
        recipe.name for recipe in matching("wrn-*")
    }
    assert completed(shell, script, "resatlas describe resnet-20 --conv") == {"--conventions"}
    assert {"bash", "fish", "zsh"} == completed(shell, script, "resatlas completion ")


def test_the_script_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    """The shell and its script."""
    assert main(("completion", "bash", "--json")) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["shell"] == "bash"
    assert "_shtab_resatlas" in data["script"]


def test_other_verbs_do_not_import_shtab() -> None:
    """So they start as fast as before; scripts need no torch."""
    assert python("-c", IMPORTED, "shtab", "describe", "resnet-20").split() == ["0"]
    assert python("-c", IMPORTED, "shtab,torch,torchvision,sklearn", "completion", "fish").split() == ["0", "shtab"]
