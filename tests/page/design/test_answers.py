"""What the design page says is what the package says, and what it offers to copy runs."""

import json
import shlex
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import fields
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import torch

from resatlas.arch.blueprint_file import FILE
from resatlas.arch.cost import cost
from resatlas.arch.paths import mean_lengths
from resatlas.cli.main import main
from resatlas.designs.catalog import families, named, resolve
from resatlas.designs.published import published_of
from resatlas.designs.verdicts import verdicts
from resatlas.page.design.answers import FUNCTIONS, ask
from resatlas.page.design.question import as_cross, subject_of


def answer(name: str, **question: object) -> dict[str, Any]:
    """The answer of a function."""
    return json.loads(ask(name, json.dumps(question)))


def turned(state: Mapping[str, Any], key: str, value: str) -> dict[str, Any]:
    """The answer after one knob of a state is turned."""
    return answer("turn", **{**state, "knobs": {**state["knobs"], key: value}, "changed": key})


def test_the_page_offers_every_name_and_every_family() -> None:
    """In the order of the catalogue."""
    offered = answer("start")
    assert offered["names"] == list(named())
    assert offered["families"] == list(families())


@pytest.mark.parametrize("family", families())
def test_the_knobs_of_a_family_are_its_fields(family: str) -> None:
    """With the values of the first network; its state asks for the same network."""
    first = answer("turn", mode="family", text=family)
    [group] = first["form"]
    knobs = [field.name for field in fields(families()[family].design)]
    assert [control["key"] for control in group["controls"]] == knobs
    assert first["state"]["text"] == family == resolve(first["name"]).family
    again = answer("turn", **first["state"])
    assert {**again, "state": None} == {**first, "state": None}


@pytest.mark.parametrize("name", ["resnet-20", "dmrnet-26-k3", "pyramidnet-110-a48", "resnext-29-8x64d", "resnet-50"])
def test_the_numbers_are_those_of_the_package(name: str) -> None:
    """Counts, path lengths, printed sizes and published errors."""
    plan, said = resolve(name).plan(), answer("turn", text=name)
    total, lengths = cost(plan), mean_lengths(plan)
    numbers = said["numbers"]
    assert (numbers["parameters"], numbers["multiply_adds"]) == (total.parameters, total.multiply_adds)
    assert numbers["mean_path_length"] == float(lengths.mean)
    rows = {table["title"]: table["rows"] for table in said["tables"]}
    sizes = [verdict for verdict in verdicts(resolve(name)) if verdict.printed]
    assert len(rows.get("Printed sizes beside ours", [])) == len(sizes)
    assert len(rows.get("Published errors", [])) == len(published_of(resolve(name)))
    assert [row[0] for row in rows["Maps after each stage"]] == [str(k) for k in range(len(plan.stages))]


def test_a_printed_size_that_differs_is_a_warning() -> None:
    """With the rule of counting that gives it, or the sentence that none does."""
    [wrong] = [line for line in answer("turn", text="resnet-1202")["warnings"] if "10.2 M" in line]
    assert wrong == "Printed parameters: 10.2 M; ours are 19,421,274, and no known rule of counting agrees."
    lines = answer("turn", text="preact-resnet-1001")["warnings"]
    assert any("10.2 M; ours are 10,327,706, equal by another rule: conv+fc without BN." in line for line in lines)
    assert answer("turn", text="resnet50")["warnings"][0].startswith("resnet50 is resnet-50-v1.5 here")
    assert any("No paper names" in line for line in answer("turn", text="resnet:depth=20,base=3")["warnings"])


@pytest.mark.parametrize(
    ("question", "sentence"),
    [
        ({"text": "resnet-21"}, "a ResNet for CIFAR has depth 6n + 2; 21 is not (nearest: 20, 26)"),
        ({"text": "resnet-20:bsae=4"}, 'did you mean "base"?'),
        ({"text": "my.toml"}, 'the page takes names and knobs, not files; got "my.toml"'),
        ({"text": "nets.py:FAMILY"}, "the page takes names and knobs, not files"),
        ({"text": "resnet-20", "image": "3,32"}, 'expected channels, height and width, as in 3,32,32; got "3,32"'),
        ({"text": "resnet-20", "classes": "ten"}, 'classes needs a whole number; got "ten"'),
        ({"text": "resnet-20", "batch": "0"}, "a batch has 1 to 1,000,000 images; got 0"),
        ({"text": "resnet-20", "kept": "few"}, '; got "few"'),
        ({"mode": "family", "text": "resnet", "knobs": {"depth": "x"}}, 'resnet: depth needs a whole number; got "x"'),
        ({"mode": "family", "text": "resnet", "knobs": {"base": "4"}}, "needs the knob"),
        ({"mode": "cross", "text": "x", "knobs": {"units": "2,,2"}}, "units: expected whole numbers with commas"),
        ({"mode": "cross", "text": "x", "knobs": {"stem.widht": "2"}}, 'did you mean "stem.width"?'),
        ({"mode": "cross", "text": "x", "knobs": {"units": "2", "stem.width": "4", "widths.rule": "wide"}}, "widths: "),
        ({"mode": "other"}, 'question.mode: no value "other"'),
        ({"text": "x" * 401}, "a control of the design page holds up to 400 letters"),
    ],
)
def test_a_wrong_knob_gets_the_sentence_of_the_package(question: dict[str, Any], sentence: str) -> None:
    """One line, and nothing else."""
    said = answer("turn", **question)
    assert list(said) == ["error"]
    assert sentence in said["error"]
    assert "defect" not in said["error"]


def test_every_network_of_the_catalogue_is_a_cross() -> None:
    """With the same plan, if a file has words for it."""
    for name, entry in named().items():
        if not name.startswith("regnet-y-"):
            assert subject_of(as_cross(entry)).plan == entry.plan(), name
    assert "no words" in answer("cross", text="regnet-y-200mf")["error"]


def test_a_cross_has_every_key_of_a_file() -> None:
    """Its tables are groups; another rule of widths has other keys, with first values."""
    said = answer("cross", text="wrn-16-2", classes="5")
    keys = {control["key"] for group in said["form"] for control in group["controls"]}
    tables = {field.name for field in fields(FILE)} - {"schema", "name", "image", "classes"}
    assert {key.partition(".")[0] for key in keys} == tables | {"widths", "streams"}
    assert {"stem.width", "residual.order", "residual.shortcut", "residual.groups", "streams.rule"} <= keys
    assert said["numbers"]["parameters"] == cost(resolve("wrn-16-2").plan(classes=5)).parameters
    pyramid = turned(said["state"], "widths.rule", "additive")
    assert (pyramid["state"]["knobs"]["widths.start"], pyramid["state"]["knobs"]["widths.alpha"]) == ("16", "48")
    streams = turned(pyramid["state"], "streams.rule", "merge-and-run")
    assert streams["state"]["knobs"]["streams.join"] == "merge"
    assert streams["numbers"]["parameters"] > pyramid["numbers"]["parameters"]
    grouped = turned(streams["state"], "residual.groups", "16")
    assert "error" in grouped
    back = turned(streams["state"], "widths.rule", "per-stage")
    assert back["state"]["knobs"]["widths.widths"] == "16, 32, 64"


def test_rows_of_equal_units_are_one() -> None:
    """The first and the last of them are named; the total is that of the network."""
    rows = answer("units", text="resnet-1202")["table"]["rows"]
    assert [row[0] for row in rows][:3] == ["stem", "stages.0.0 … stages.0.199", "stages.1.0"]
    assert rows[-1][3] == "19,421,274"


def copied(text: str, **question: object) -> dict[str, str]:
    """The texts to copy, by their names."""
    return {copy["name"]: copy["text"] for copy in answer("turn", text=text, **question)["copies"]}


@pytest.mark.parametrize(
    "question",
    [
        {"text": "resnet:depth=8,base=4"},
        {"text": "dmrnet:depth=8,base=2", "classes": "7", "image": "1,16,16"},
        as_cross(resolve("pyramidnet:depth=8,alpha=8,base=4")).__dict__ | {"text": "a cross, of mine"},
    ],
    ids=["name", "options", "cross"],
)
def test_what_is_copied_runs(
    question: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command prints the numbers of the page; code and file build a network of its parameters and output."""
    said = answer("turn", **question)
    texts = {copy["name"]: copy["text"] for copy in said["copies"]}
    monkeypatch.chdir(tmp_path)
    words = shlex.split(texts["describe"])
    if question.get("mode") == "cross":
        assert words == ["resatlas", "describe", "a-cross-of-mine.toml"]
        Path(words[2]).write_text(texts["toml"], encoding="utf-8")
    assert main([*words[1:], "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    numbers = said["numbers"]
    assert {key: printed[key] for key in ("parameters", "multiply_adds", "activations")}.items() <= numbers.items()
    shown = StringIO()
    with redirect_stdout(shown):
        exec(compile(texts["python"], "copied.py", "exec"), {})  # noqa: S102 - what the page offers
    assert shown.getvalue() == f"torch.Size([1, {printed['classes']}])\n"
    module: dict[str, Any] = {"__name__": "ejected"}
    exec(compile(answer("eject", **question)["source"], "ejected.py", "exec"), module)  # noqa: S102
    [name] = {"ResNet", "DMRNet", "Network"} & set(module)
    network = module[name]()
    assert sum(weight.numel() for weight in network.parameters()) == numbers["parameters"]
    assert network.eval()(torch.zeros(1, *printed["image"])).shape == (1, printed["classes"])


@pytest.mark.slow
def test_the_copied_training_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the bundled digits, to its end."""
    monkeypatch.chdir(tmp_path)
    words = shlex.split(copied("resnet:depth=8,base=2", image="1,8,8")["train"])
    assert words == [*["resatlas", "train", "resnet:depth=8,base=2", "--data", "digits:size=8", "--recipe", "quick"]]
    assert main([*words[1:], "--quiet"]) == 0


def test_every_function_is_asked_by_the_page() -> None:
    """No more and no less than those in its script."""
    script = (Path(__file__).parents[3] / "src/resatlas/page/design/page.js").read_text(encoding="utf-8")
    assert all(f'"{name}"' in script for name in FUNCTIONS)
