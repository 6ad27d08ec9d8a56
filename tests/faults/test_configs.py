"""Malicious configurations are refused in one line, quickly, with little memory, without running any code."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from resatlas.runs.store import Run
from tests.promptness import SECONDS, at_once
from tests.training.small import DATA, DESIGN

MEGABYTES = 300

CARRIED_OUT = """
import io, json, re, sys, time
from contextlib import redirect_stderr, redirect_stdout
from resatlas.cli.main import main
results = []
for words in json.load(sys.stdin):
    started, err = time.process_time(), io.StringIO()
    with redirect_stderr(err), redirect_stdout(io.StringIO()):
        code = main(words)
    results.append([code, err.getvalue(), time.process_time() - started])
size = int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) / 1024
print(json.dumps([results, size, [name for name in ("torch", "yaml", "antigravity") if name in sys.modules]]))
"""


def refusals(folder: Path, commands: list[list[str]]) -> list[str]:
    """The refusals of these commands, run in one process whose memory stays small."""
    done = subprocess.run(
        [sys.executable, "-c", CARRIED_OUT],
        cwd=folder,
        input=json.dumps(commands),
        capture_output=True,
        text=True,
        check=True,
    )
    error, megabytes, modules = json.loads(done.stdout)
    assert done.stderr == ""
    for words, (code, err, seconds) in zip(commands, error, strict=True):
        assert code == 2, (words, err)
        assert err.count("\n") == 1, (words, err)
        assert len(err) < 1000, (words, err)
        assert seconds < SECONDS, (words, seconds)
    assert megabytes < MEGABYTES
    assert modules == []
    assert not (folder / "marker").exists()
    return [err.rstrip("\n") for _, err, _ in error]


HOSTILE: dict[str, str] = {
    "object": '!!python/object/apply:os.system ["touch marker"]\n',
    "tag": "name: !!python/name:os.system\n",
    "aliases": "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\n",
    "target": '_target_ = "os.system"\n_args_ = ["touch marker"]\n',
    "class path": 'class_path = "os.system"\ninit_args = { command = "touch marker" }\n',
    "lists": "a = " + "[" * 10**6,
    "whole lists": "a = " + "[" * 10**6 + "]" * 10**6,
    "tables": "a = " + "{a = " * 10**5,
    "dotted": "a" + ".a" * 10**5 + " = 1\n",
    "headers": "".join(f"[a{k}]\n" for k in range(200_000)),
    "doubled": "schema = 1\nschema = 1\n",
    "long": 'name = "' + "x" * 10**6 + '"\n',
    "digits": "schema = " + "9" * 10**5 + "\n",
    "bytes": "\x00\x01\x02",
    "code": "schema = 1\nname = \"__import__('os').system('touch marker')\"\n",
}


@pytest.mark.parametrize("verb", ["describe", "train", "study"])
def test_no_hostile_file_is_followed(tmp_path: Path, verb: str) -> None:
    """As a network or as a study: exit code 2 and the name of the file, for any content."""
    for name, text in HOSTILE.items():
        (tmp_path / f"{name}.toml").write_text(text)
    lines = refusals(tmp_path, [[verb, f"{name}.toml"] for name in HOSTILE])
    for name, line in zip(HOSTILE, lines, strict=True):
        assert f"{name}.toml" in line


COMMANDS: dict[str, str] = {
    "describe resnet:depth=1e9": "depth",
    "describe resnet:depth=1000000002": "depth",
    "describe wrn-999999996-10": "depth",
    "describe resnet-20 --classes -1": "classes",
    "describe resnet-20 --classes 1000000000000": "classes",
    "describe resnet:depth=20,_target_=os.system": "_target_",
    "describe resnet:depth=__import__('os')": "depth",
    "train resnet-20 --set _target_=os.system": "_target_",
    "train resnet-20 --set schedule.class_path=os.system": "class_path",
    "train resnet-20 --set schedule.__class__=os": "__class__",
    "train resnet-20 --set schedule.peak=nan": "peak",
    "train resnet-20 --set schedule.peak=inf": "peak",
    "train resnet-20 --set schedule.peak=__import__('os').system('touch${IFS}marker')": "peak",
    "train resnet-20 --set epochs=1000000000": "epochs",
    "train resnet-20 --set epochs=1e999": "epochs",
    "train resnet-20 --set batch=-1": "batch",
    "train resnet-20 --set epohcs=3": 'did you mean "epochs"?',
    "train resnet-20 --data digits:size=1000000000": "size",
    "train resnet-20 --data synthetic:images=1000000000000": "images",
    "train resnet-20 --data synthetic:classes=-1": "classes",
}


def test_no_hostile_word_is_followed(tmp_path: Path) -> None:
    """Huge numbers, names of code and misspellings get the nearest valid word."""
    long = {f"train resnet-20 --set epochs={'9' * 10**5}": "epochs", f"train resnet-20 --set {'a.' * 10**4}b=1": "a.a"}
    commands = COMMANDS | long
    lines = refusals(tmp_path, [command.split() for command in commands])
    for (command, word), line in zip(commands.items(), lines, strict=True):
        assert word in line, (command[:100], line)


def edited(record: dict[str, Any], path: str, value: object) -> str:
    """The text of experiment.json with another value in one place."""
    changed = json.loads(json.dumps(record))
    *way, last = path.split(".")
    at: Any = changed
    for key in way:
        at = at[int(key) if isinstance(at, list) else key]
    at[last] = value
    return json.dumps(changed)


EDITS: dict[str, tuple[str, object]] = {
    "kind": ("recipe.schedule.kind", "os.system"),
    "target": ("recipe._target_", "os.system"),
    "class path": ("recipe.optimizer.class_path", "os.system"),
    "unknown key": ("recipe.epohcs", 3),
    "epochs": ("recipe.epochs", 10**9),
    "negative": ("recipe.batch", -1),
    "text": ("recipe.epochs", "3"),
    "nan": ("recipe.schedule.peak", float("nan")),
    "infinite": ("recipe.optimizer.momentum", float("inf")),
    "seed": ("seed", 10**30),
    "list": ("recipe", []),
    "schema before": ("schema", 0),
    "schema after": ("schema", 3),
    "design": ("design", ["resnet-20"]),
}
TEXTS: dict[str, str] = {
    "deep": "[" * 10**6,
    "deep value": '{"schema": 1, "design": ' + "[" * 10**5 + "]" * 10**5 + "}",
    "digits": '{"schema": 1, "seed": ' + "9" * 10**5 + "}",
    "yaml": "!!python/object/apply:os.system [touch marker]",
    "bytes": "\x00",
    "doubled": '{"schema": 1, "design": "resnet-20", "design": "resnet-32", "data": "digits"}',
}


def test_no_experiment_edited_by_hand_is_followed(unbroken: Run, tmp_path: Path) -> None:
    """A modified experiment.json is refused by resume, evaluation and report."""
    record = json.loads((unbroken.folder / "experiment.json").read_text())
    texts = {name: edited(record, *change) for name, change in EDITS.items()} | TEXTS
    commands: list[list[str]] = []
    for name, text in texts.items():
        shutil.copytree(unbroken.folder, tmp_path / name)
        (tmp_path / name / "experiment.json").write_text(text)
        train = ["train", DESIGN, "--data", DATA, "--set", "batch=16", "--epochs", "3", "--resume", "auto"]
        commands += [[*train, "--out", name], ["evaluate", name], ["report", name, "--out", "page.html"]]
    for (verb, *words), line in zip(commands, refusals(tmp_path, commands), strict=True):
        assert "experiment" in line, (verb, words, line)
    assert not (tmp_path / "page.html").exists()


PLANS: dict[str, tuple[str, object]] = {
    "width": ("plan.stem.0.output", [10**12, 8, 8]),
    "wide": ("plan.stem.0.output", [4, 8, 8]),
    "kernel": ("plan.stem.0.op.kernel", 10**9),
    "even kernel": ("plan.stem.0.op.kernel", 10**6),
    "groups": ("plan.stem.0.op.groups", 0),
    "classes": ("plan.classes", 10**12),
    "role": ("plan.stem.0.role", "../../x"),
    "no plan": ("plan", []),
}


@pytest.mark.parametrize("name", PLANS)
def test_no_plan_edited_by_hand_is_built(refused: Callable[..., str], unbroken: Run, tmp_path: Path, name: str) -> None:
    """A network other than the experiment's is refused before memory is taken for it."""
    record = json.loads((unbroken.folder / "experiment.json").read_text())
    shutil.copytree(unbroken.folder, tmp_path / "run")
    (tmp_path / "run" / "experiment.json").write_text(edited(record, *PLANS[name]))
    with at_once():
        assert "run/experiment.json" in refused("evaluate", "run")


@pytest.mark.parametrize("text", ["", "[]", "{}", "[" * 10**6, '{"epochs": 3, "parameters": "many", "test": {}}'])
def test_no_results_edited_by_hand_are_trusted(
    refused: Callable[..., str], unbroken: Run, tmp_path: Path, text: str
) -> None:
    """A run is not evaluated against invalid results."""
    shutil.copytree(unbroken.folder, tmp_path / "run")
    (tmp_path / "run" / "results.json").write_text(text)
    (tmp_path / "run" / "SEAL.json").unlink()  # as in a run of an earlier version
    assert "run/results.json" in refused("evaluate", "run")
