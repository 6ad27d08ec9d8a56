"""`resatlas audit`: files of other authors, executed in a process of their own."""

import json
from pathlib import Path

import pytest

from resatlas.cli.main import main

SOURCE = '''
"""Somebody's networks."""
import torch
from torch import nn

print("imported")

def right():
    """A ResNet-8 that has a first layer of its own name."""
    import resatlas
    return resatlas.build("resnet:depth=8,base=4", seed=0)

def wrong():
    """Without the last relu."""
    network = right()
    network.get_submodule("stages.2.0").after_sum = nn.Identity()
    return network

class Needy(nn.Module):
    def __init__(self, depth):
        super().__init__()

def number():
    return 7

def broken():
    raise KeyError("no such thing")

def deadly():
    import os
    os._exit(3)

def killed():
    import os
    os.kill(os.getpid(), 9)

def interrupted():
    raise KeyboardInterrupt

def leaving():
    raise SystemExit(0)

class Leaving(nn.Module):
    def forward(self, x):
        raise SystemExit("bye")

def deeper():
    import resatlas
    return resatlas.build("resnet:depth=14,base=4", seed=0)

def strange():
    """Another eps, and a tanh after the pool."""
    network = right()
    network.stem.norm.eps = 1e-3
    network.head.register_module("pool", nn.Sequential(network.head.pool, nn.Tanh()))
    return network

def endless():
    while True:
        pass
'''


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of networks."""
    path = tmp_path / "theirs.py"
    path.write_text(SOURCE, encoding="utf-8")
    return path


def audited(file: Path, name: str, *more: str) -> int:
    """The exit code of an audit of one name of the file."""
    return main(("audit", f"{file}:{name}", "--as", "resnet:depth=8,base=4", *more))


def test_the_same_function_is_told_so(file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Exit code 0; the output of the file is not on standard output."""
    assert audited(file, "right", "--json") == 0
    printed = capfd.readouterr()
    verdict = json.loads(printed.out)
    assert (verdict["same"], verdict["first_difference"], verdict["design"]) == (True, None, "resnet:depth=8,base=4")
    assert verdict["paired"] == verdict["operations"] == 15
    assert verdict["parameters"] == verdict["expected_parameters"]
    assert "imported" in printed.err


def test_another_function_is_told_where(file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Exit code 1, with the first difference."""
    assert audited(file, "wrong") == 1
    text = capfd.readouterr().out
    assert "wrong is not resnet:depth=8,base=4; 14 of 15 operations paired" in text
    assert "first difference, at head.linear:" in text
    assert "ours   head.linear, linear 10x16, reads head.pool" in text
    assert text.endswith(
        "it is the same function as resnet:depth=8,base=4 with:\n  - no relu after the sum in stages.2.0\n"
    )


def test_another_network_is_named(file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A correct network of another depth, with the option to audit it as such."""
    assert audited(file, "deeper") == 1
    text = capfd.readouterr().out
    assert text.endswith("\nit is the same function as resnet:depth=14,base=4: use --as resnet:depth=14,base=4\n")


def test_what_is_more_than_known_mistakes_is_told_so(file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The known mistake is listed, and a remaining difference is mentioned."""
    assert audited(file, "strange") == 1
    assert capfd.readouterr().out.endswith(
        "with these mistakes resnet:depth=8,base=4 comes closer to it, but an unknown difference remains:\n"
        "  - eps 0.001 instead of 1e-05: stem.norm\n"
    )


@pytest.mark.parametrize("seconds", ["0", "-3", "1.5", "soon"])
def test_seconds_are_a_whole_number(file: Path, seconds: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Other values are refused, and nothing is executed."""
    assert audited(file, "right", "--timeout", seconds) == 2
    assert f'expected a whole number of seconds, 1 or more; got "{seconds}"' in capfd.readouterr().err


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Needy", "Needy() fails: TypeError: "),
        ("number", "number() returns a int; a torch.nn.Module is expected"),
        ("broken", "broken() fails: KeyError: 'no such thing'"),
        ("rigt", 'no class or function "rigt"; did you mean "right"'),
        ("deadly", "exited with code 3 before it had a verdict"),
        ("killed", "was killed by SIGKILL before it had a verdict"),
        ("interrupted", "interrupted() fails: KeyboardInterrupt; "),
        ("leaving", "leaving() fails: SystemExit: 0; "),
        ("Leaving", "theirs.py: Leaving exits the program: SystemExit: bye"),
    ],
)
def test_what_gives_no_network_is_refused(file: Path, name: str, words: str, capfd: pytest.CaptureFixture[str]) -> None:
    """One line, exit code 2."""
    assert audited(file, name) == 2
    lines = [line for line in capfd.readouterr().err.splitlines() if line != "imported"]
    assert len(lines) == 1
    assert words in lines[0]


def test_what_never_ends_is_given_up(file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The audit ends after --timeout."""
    assert audited(file, "endless", "--timeout", "8") == 2
    assert "the audit took more than 8 seconds" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import no_such_module", "No module named 'no_such_module'"),
        ("def (", "SyntaxError"),
        ("raise SystemExit", "SystemExit"),
    ],
)
def test_files_that_fail_are_told(tmp_path: Path, source: str, words: str, capfd: pytest.CaptureFixture[str]) -> None:
    """The message has the error of the file."""
    file = tmp_path / "bad.py"
    file.write_text(source, encoding="utf-8")
    assert audited(file, "anything") == 2
    error = capfd.readouterr().err
    assert error.startswith("UsageError: bad.py fails while it is executed: ")
    assert words in error


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("net.py", 'expected FILE.py:CLASS; got "net.py"'),
        ("net.txt:Net", 'expected FILE.py:CLASS; got "net.txt:Net"'),
        ("nowhere.py:Net", 'there is no file "nowhere.py"'),
    ],
)
def test_what_is_no_file_is_refused(module: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything is executed."""
    assert main(("audit", module, "--as", "resnet-20")) == 2
    assert capsys.readouterr().err == f"UsageError: {words}\n"
