"""The options of a benchmark, and the refusals before anything is measured."""

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
    """The Makefile runs each benchmark, and the page of the tables names its command."""
    [made] = re.findall(r"^BENCHMARKS := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert made.split() == list(BENCHMARKS)
    page = (ROOT / "benchmarks" / "README.md").read_text()
    commands = re.findall(r"^\| `([a-z]+)` \| `resatlas bench(.*?) --out benchmarks/\1`", page, re.MULTILINE)
    assert [name for name, _ in commands] == list(BENCHMARKS)
    assert all(words == ("" if name == "training" else f" --question {name}") for name, words in commands)


def test_every_table_is_of_the_command_that_the_page_names() -> None:
    """Each table was made by the command in its row, as Markdown and JSON; the page says which one is missing."""
    page = (ROOT / "benchmarks" / "README.md").read_text()
    commands = dict(re.findall(r"^\| `([a-z-]+)` \| `(resatlas bench[^`]*)`", page, re.MULTILINE))
    for missing in re.findall(r"^No table yet: `([a-z-]+)`\.$", page, re.MULTILINE):
        del commands[missing]
    tables = {file.stem: json.loads(file.read_text()) for file in (ROOT / "benchmarks").glob("*.json")}
    facts = {name: {fact["name"]: fact["value"] for fact in table["facts"]} for name, table in tables.items()}
    assert {name: fact["command"] for name, fact in facts.items()} == commands
    assert {file.stem for file in (ROOT / "benchmarks").glob("*.md")} == {*tables, "README"}
    assert all(
        f"- command: {fact['command']}" in (ROOT / "benchmarks" / f"{name}.md").read_text()
        for name, fact in facts.items()
    )


@pytest.mark.parametrize("page", ["README.md", "README.zh-CN.md"])
def test_the_first_page_quotes_the_table(page: str) -> None:
    """Best against best, and the peer as people run it: geometric means of the table."""
    table = json.loads((ROOT / "benchmarks" / "training.json").read_text())
    means = {
        fact["name"].partition(",")[0]: fact["value"] for fact in table["facts"] if "geometric mean" in fact["name"]
    }
    [row] = [line for line in (ROOT / page).read_text().splitlines() if "(benchmarks/README.md)" in line]
    assert re.findall(r"\d+\.\d+", row) == [f"{means['over_best']:.2f}", f"{means['over_default']:.1f}"]


def test_the_pages_quote_the_tables() -> None:
    """Memory of a training against its prediction, and engines against torch: the figures in their sentences."""
    training = (ROOT / "docs" / "training.md").read_text()
    for file, form in (("memory", "all {1} trainings of twelve networks"), ("elsewhere/memory", "{0} of {1} are")):
        facts = json.loads((ROOT / "benchmarks" / f"{file}.json").read_text())["facts"]
        [value] = [fact["value"] for fact in facts if fact["name"].startswith("whole process")]
        within, count, least, most = re.findall(r"[+-]?\d+", value.replace("within 15 %", ""))
        assert form.format(within, count) in training
        assert file != "memory" or f"({least} to {most} %)" in training
    rows = json.loads((ROOT / "benchmarks" / "inference-engines.json").read_text())["further"][0]["rows"]
    [sentence] = re.findall(
        r"whose figures in float32 are these: (.*?), so calls", (ROOT / "docs" / "export.md").read_text()
    )
    quoted = [
        next(
            row["over_folded"]
            for row in rows
            if (row["design"], row["batch"], row["engine"]) == (design, batch, engine)
            and (row["precision"], row["network"]) == ("fp32", "ours")
        )
        for design, batch in (("resnet-20", 1), ("resnet-50-v1.5", 1), ("resnet-50-v1.5", 64))
        for engine in ("onnxruntime", "openvino")
    ]
    written = [float(number) for number in re.findall(r"\d+\.\d+", sentence)]
    assert written == [round(ratio, 2 if 1 < ratio < 1.2 else 1) for ratio in quoted]


def test_the_verb_starts_without_torch() -> None:
    """Help and refusals import neither torch nor numpy."""
    script = "import sys, resatlas.cli.bench_verb; print(sorted({'torch', 'numpy', 'rich'} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", script], text=True) == "[]\n"


def test_designs_default_to_those_of_the_benchmark() -> None:
    """The benchmark's designs by default; the named ones otherwise."""
    assert complete("training", Options()).designs == BENCHMARKS["training"].designs
    assert complete("training", Options(designs=("resnet-20",))).designs == ("resnet-20",)


@pytest.mark.parametrize(
    ("question", "options", "error", "message"),
    [
        ("trainin", Options(), UnknownName, 'no question "trainin"; did you mean "training"?'),
        ("training", Options(against="pytorchvc"), UnknownName, 'did you mean "pytorchcv"?'),
        ("growth", Options(against="pytorchcv"), UsageError, "omit --against pytorchcv"),
        ("growth", Options(forms=("eager", "compiled")), UsageError, "growth has no peer to compile"),
        ("inference", Options(norm_group=8), UsageError, "inference has no norm groups; omit --norm-group 8"),
        ("training", Options(batch=0), UsageError, "--batch must be between 1 and 4,096; got 0"),
        ("training", Options(batch=-5), UsageError, "got -5"),
        ("training", Options(rounds=10**6), UsageError, "--rounds must be between 1 and 1,000"),
        ("training", Options(norm_group=0), UsageError, "--norm-group must be between"),
        ("training", Options(designs=("resnet-20-C-B",)), UnknownName, "no design"),
        ("training", Options(designs=("resnet-21",)), DesignError, "21"),
    ],
)
def test_refusals(question: str, options: Options, error: type[Exception], message: str) -> None:
    """A message with the allowed values and the nearest valid name."""
    with pytest.raises(error) as raised:
        complete(question, options)
    assert message in str(raised.value)
