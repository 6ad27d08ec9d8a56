"""What is asked, and what is refused before anything is measured."""

import json
import re
import subprocess
import sys
from importlib import import_module
from inspect import signature
from pathlib import Path

import pytest

from resatlas.bench.benchmarks import BENCHMARKS, Options, complete
from resatlas.designs import catalog
from resatlas.errors import DesignError, UnknownName, UsageError

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_benchmark_has_a_module_that_measures(name: str) -> None:
    """The module of its name has `measure(options, on_advance)`, and its designs exist."""
    module = import_module(f"resatlas.bench.{name}")
    assert list(signature(module.measure).parameters) == ["options", "on_advance"]
    assert all(catalog.resolve(design) for design in BENCHMARKS[name].designs)


def test_every_benchmark_has_a_table_that_one_command_makes() -> None:
    """The Makefile runs each, and the page of the tables names its command."""
    [made] = re.findall(r"^BENCHMARKS := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert made.split() == list(BENCHMARKS)
    page = (ROOT / "benchmarks" / "README.md").read_text()
    commands = re.findall(r"^\| `([a-z]+)` \| `resatlas bench(.*?) --out benchmarks/\1`", page, re.MULTILINE)
    assert [name for name, _ in commands] == list(BENCHMARKS)
    assert all(words == ("" if name == "training" else f" --question {name}") for name, words in commands)


def test_every_table_is_of_the_command_that_the_page_names() -> None:
    """Each was made as its row says, for people and for programs."""
    page = (ROOT / "benchmarks" / "README.md").read_text()
    commands = re.findall(r"^\| `([a-z-]+)` \| `(resatlas bench[^`]*)`", page, re.MULTILINE)
    tables = {file.stem: json.loads(file.read_text()) for file in (ROOT / "benchmarks").glob("*.json")}
    facts = {name: {fact["name"]: fact["value"] for fact in table["facts"]} for name, table in tables.items()}
    assert {name: each["command"] for name, each in facts.items()} == dict(commands)
    assert {file.stem for file in (ROOT / "benchmarks").glob("*.md")} == {*tables, "README"}
    assert all(
        f"- command: {each['command']}" in (ROOT / "benchmarks" / f"{name}.md").read_text()
        for name, each in facts.items()
    )


def test_asking_starts_without_torch() -> None:
    """Help and refusals load nothing that computes."""
    script = "import sys, resatlas.cli.bench_verb; print(sorted({'torch', 'numpy', 'rich'} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", script], text=True) == "[]\n"


def test_what_is_not_said_is_the_questions() -> None:
    """Designs by default; those that are named otherwise."""
    assert complete("training", Options()).designs == BENCHMARKS["training"].designs
    assert complete("training", Options(designs=("resnet-20",))).designs == ("resnet-20",)


@pytest.mark.parametrize(
    ("question", "options", "error", "told"),
    [
        ("trainin", Options(), UnknownName, 'no question "trainin"; did you mean "training"?'),
        ("training", Options(against="pytorchvc"), UnknownName, 'did you mean "pytorchcv"?'),
        ("growth", Options(against="pytorchcv"), UsageError, "leave out --against pytorchcv"),
        ("growth", Options(forms=("eager", "compiled")), UsageError, "growth has no peer that could be compiled"),
        ("inference", Options(norm_group=8), UsageError, "inference has no groups of norms; leave out --norm-group 8"),
        ("training", Options(batch=0), UsageError, "--batch lies between 1 and 4,096; 0 does not"),
        ("training", Options(batch=-5), UsageError, "-5 does not"),
        ("training", Options(rounds=10**6), UsageError, "--rounds lies between 1 and 1,000"),
        ("training", Options(norm_group=0), UsageError, "--norm-group lies between"),
        ("training", Options(designs=("resnet-20-C-B",)), UnknownName, "no design"),
        ("training", Options(designs=("resnet-21",)), DesignError, "21"),
    ],
)
def test_refusals(question: str, options: Options, error: type[Exception], told: str) -> None:
    """In words, with the nearest right one."""
    with pytest.raises(error) as found:
        complete(question, options)
    assert told in str(found.value)
