"""`resatlas solve`: its output, its errors, and how many networks a search expands."""

import json
import subprocess
import sys

import pytest

from resatlas.arch.blueprint import Blueprint
from resatlas.arch.cost import cost
from resatlas.arch.expand import expand
from resatlas.arch.ops import Shape
from resatlas.arch.plan import Plan
from resatlas.cli.main import main
from resatlas.designs.catalog import resolve
from resatlas.designs.solver import price

Captured = pytest.CaptureFixture[str]


def rows(capsys: Captured, *words: str) -> list[dict[str, object]]:
    """The designs of --json."""
    assert main(("solve", *words, "--json")) == 0
    output = capsys.readouterr()
    assert output.err == ""
    return json.loads(output.out)


@pytest.mark.parametrize(
    "words",
    [
        ("resnext", "--set", "depth=50", "--set", "cardinality=8", "--parameters", "25.6M"),
        ("pyramidnet", "--parameters", "1.7M", "--multiply-adds", "0.4G", "--tolerance", "2%"),
        ("preact-resnet", "--parameters", "1.9M", "--tolerance", "1%"),
        ("dmrnet", "--multiply-adds", "250M", "--set", "ends=separate"),
        ("wide-resnet", "--parameters", "68.9M", "--set", "setting=imagenet"),
    ],
    ids=lambda words: words[0],
)
def test_every_design_resolves_to_what_it_costs(capsys: Captured, words: tuple[str, ...]) -> None:
    """The keys are those of list; the name resolves to a network of the family with exactly these sizes."""
    designs = rows(capsys, *words)
    assert designs
    for row in designs:
        assert tuple(row) == ("name", "family", "parameters", "multiply_adds")
        entry = resolve(str(row["name"]))
        total = cost(entry.plan())
        assert (entry.family, total.parameters, total.multiply_adds) == tuple(row.values())[1:]


def test_the_nearest_stands_first(capsys: Captured) -> None:
    """Budgets in thousands, millions and as whole numbers mean the same, and the nearest design is the first."""
    for budget in ("269.722k", "0.269722M", "269722", "269,722"):
        assert [row["name"] for row in rows(capsys, "resnet", "--parameters", budget)] == ["resnet-20"]
    names = [row["name"] for row in rows(capsys, "resnet", "--set", "widen=1", "--parameters", "1.7M")]
    assert names == ["resnet-110", "resnet-104"]


def test_the_text_tells_what_was_searched(capsys: Captured) -> None:
    """A line for each design with its deviation; the last line has tolerance, bounds and number of combinations."""
    assert main(("solve", "resnet", "--set", "widen=1", "--parameters", "1.7M")) == 0
    assert capsys.readouterr().out.splitlines() == [
        "name        family  parameters  multiply-adds  off by",
        "resnet-110  resnet   1,727,962    252,887,680   1.64%",
        "resnet-104  resnet   1,630,746    238,731,904   4.07%",
        "2 designs with 1,700,000 parameters within 5%, nearest first; searched 200 combinations for cifar: "
        "depth 8 to 1202 in steps of 6",
    ]


def test_another_base_is_told(capsys: Captured) -> None:
    """If no design with the paper's base is within the tolerance, the text says so; JSON is still a list."""
    words = ("resnet", "--set", "depth=20", "--set", "widen=1", "--parameters", "200k")
    assert main(("solve", *words)) == 0
    [first, _, row, last] = capsys.readouterr().out.splitlines()
    assert first == "no such design has the paper's base width; with base=14:"
    assert row.split()[0] == "resnet-20:base=14"
    assert last.endswith("searched 32 combinations for cifar: depth 20, base 1 to 32")
    assert [row["name"] for row in rows(capsys, *words)] == ["resnet-20:base=14"]


@pytest.mark.parametrize("how", ["--json", "--quiet"])
def test_nothing_near_is_told_with_exit_code_1(capsys: Captured, how: str) -> None:
    """The nearest member with its sizes, and the bounds, on standard error."""
    assert main(("solve", "resnet", "--parameters", "10", how)) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err == (
        "ResatlasError: no resnet has 10 parameters within 5%; the nearest is resnet-8:base=1 with 395 parameters and "
        "73,768 multiply-adds (3850.00% off); searched 102,400 combinations for cifar: depth 8 to 1202 in steps of 6, "
        "widen 1 to 16, base 1 to 32\n"
    )


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("resnxt", "--parameters", "1M"), 'UnknownName: no family "resnxt"; did you mean "resnext"?'),
        (("resnet",), "UsageError: a budget needs parameters, multiply-adds or both, as in --parameters 1.7M"),
        (("resnet", "--parameters", "1.7m"), 'expected a size such as 1.7M, 250k, 3.8G or 1700000; got "1.7m"'),
        (("resnet", "--parameters", "0.5"), 'or 1700000; got "0.5"'),
        (("resnet", "--parameters", "1,7M"), 'or 1700000; got "1,7M"'),
        (("resnet", "--parameters", "1M", "--tolerance", "5"), 'expected a percentage such as 5% or 0.5%; got "5"'),
        (("resnet", "--parameters", "1M", "--tolerance", "80%"), "a tolerance must be between 0% and 50%; got 80%"),
        (("resnet", "--parameters", "1M", "--set", "dpeth=20"), 'no knob of resnet "dpeth"; did you mean "depth"?'),
        (("resnet", "--parameters", "1M", "--set", "depth=30"), "has depth 6n + 2; 30 is not (nearest: 26, 32)"),
        (("resnet", "--parameters", "1M", "--image", "3,1,1"), "ImageError: a map of 1x1 pixels"),
        (("resnet", "--parameters", "1M", "--set", "x\ny"), "a knob is written key=value"),
    ],
    ids=repr,
)
def test_refusals_are_one_line(capsys: Captured, words: tuple[str, ...], sentence: str) -> None:
    """What was given, what is allowed, the nearest right thing; exit code 2."""
    assert main(("solve", *words)) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert sentence in output.err
    assert output.err.count("\n") == 1


LOADED = """
import sys
from resatlas.cli.main import main
code = main(sys.argv[1:])
print(code, *sorted({name.partition(".")[0] for name in sys.modules} & {"torch", "numpy", "sklearn"}))
"""


@pytest.mark.parametrize(
    ("words", "most"),  # what these searches need, 1,056, 67, 76 and 48, and a little room
    [
        (("resnext", "--parameters", "34.4M"), 1100),
        (("pyramidnet", "--parameters", "28M"), 100),
        (("resnet", "--parameters", "20k"), 100),
        (("dmrnet", "--parameters", "1.7M", "--multiply-adds", "250M"), 100),
    ],
    ids=["resnext", "pyramidnet", "resnet", "dmrnet"],
)
def test_a_search_expands_few_networks(words: tuple[str, ...], most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only one of each kind is expanded: a formula gives the cost of more units and other widths."""
    expanded: list[Blueprint] = []

    def counted(blueprint: Blueprint, *, image: Shape, classes: int) -> Plan:
        expanded.append(blueprint)
        return expand(blueprint, image=image, classes=classes)

    price._growing.cache_clear()
    monkeypatch.setattr(price, "expand", counted)
    assert main(("solve", *words, "--quiet")) == 0
    assert 0 < len(expanded) <= most


def test_a_search_imports_nothing_that_computes() -> None:
    """Neither torch nor numpy nor scikit-learn is imported."""
    words = ("pyramidnet", "--parameters", "28M")
    done = subprocess.run(
        [sys.executable, "-c", LOADED, "solve", *words, "--quiet"], capture_output=True, text=True, check=False
    )
    assert (done.stdout.split(), done.stderr) == (["0"], "")
