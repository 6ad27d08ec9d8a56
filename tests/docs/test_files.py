"""What docs/files.md shows, works as it says."""

import os
import re
import subprocess
import sys
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

from resatlas.cli.main import main
from resatlas.evaluation.predictions import MOST_CELLS, MOST_CLASSES
from tests.data.pictures import write

TEXT = (Path(__file__).parents[2] / "docs" / "files.md").read_text(encoding="utf-8")

SCRIPTED = """
import torch
import resatlas

for design in ("resnet:depth=8,base=2", "dmrnet:depth=14,base=2"):
    network, images = resatlas.build(design, seed=0).eval(), torch.randn(2, 3, 32, 32)
    traced = torch.jit.trace(network, images)(images).allclose(network(images))
    for part in (network, network.stages[0][0]):
        try:
            torch.jit.script(part)
            print("scripted")
        except Exception:
            print(traced, "not scripted")
"""


def test_a_network_of_ones_own_loop_is_saved_and_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The example prints what its comment says, and the folder classifies files of images by name."""
    monkeypatch.chdir(tmp_path)
    [code] = (block for block in re.findall(r"^```python\n(.*?)^```$", TEXT, re.M | re.S) if "save_pretrained" in block)
    printed = StringIO()
    with redirect_stdout(printed):
        exec(compile(code, "files.md", "exec"), {})  # noqa: S102 - it is ours
    assert printed.getvalue() == "True\n"
    write(tmp_path / "a.png", 3)
    assert main(("predict", "mine", "a.png")) == 0
    assert "cat" in capsys.readouterr().out


def test_the_limits_are_those_of_the_program() -> None:
    """In the words of the text."""
    assert (f"{MOST_CLASSES} classes" in TEXT, MOST_CELLS) == (True, 10_000_000)


def test_networks_are_traced_and_not_scripted(tmp_path: Path) -> None:
    """With several streams too; torch.jit.script compiles them no better than their annotations of shapes.

    In a process of its own: the checks of shapes in tests read sizes, which a trace has as tensors.
    """
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPTED], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("True not scripted\n" * 4, "")
