"""`resatlas solve`: its output, its errors, and how many networks a search expands."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

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


CELL = """\
schema = 1
name = "grouped"
units = [2, 2]
image = [1, 8, 8]
classes = 4
[stem]
width = 16
[widths]
rule = "doubling"   # a comment
start = 16
[residual]
convs = "bottleneck"
inner = "1/2"
groups = 4
shortcut = "zero-pad"
"""


@pytest.fixture
def cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A blueprint in the working folder."""
    monkeypatch.chdir(tmp_path)
    Path("cell.toml").write_text(CELL)
    return "cell.toml"


def test_a_blueprint_is_solved_and_written(capsys: Captured, cell: str) -> None:
    """Every row has the widths and the text of its file; --out has the nearest, which costs what is said."""
    designs = rows(capsys, cell, "--multiply-adds", "500k", "--tolerance", "3%", "--out", "new.toml")
    assert {row["name"] for row in designs} == {"grouped"}
    for row in designs:
        assert tuple(row) == ("name", "family", "parameters", "multiply_adds", "stem", "widths", "toml")
        Path("row.toml").write_text(str(row["toml"]))
        total = cost(resolve("row.toml").plan())
        assert (total.parameters, total.multiply_adds) == (row["parameters"], row["multiply_adds"])
        assert abs(total.multiply_adds / 500_000 - 1) <= 0.03
    assert Path("new.toml").read_text() == designs[0]["toml"]
    before, after = resolve(cell).blueprint, resolve("new.toml").blueprint
    assert replace(after, stem=before.stem, widths=before.widths) == before
    assert Path(cell).read_text() == CELL


def test_a_blueprint_is_solved_in_words(capsys: Captured, cell: str) -> None:
    """The widths of each design, what was searched, and where the nearest is."""
    assert main(("solve", cell, "--multiply-adds", "119,936", "--tolerance", "1%", "--out", "new.toml")) == 0
    assert capsys.readouterr().out.splitlines() == [
        "name     widths                 parameters  multiply-adds  off by",
        "grouped  stem 16, stages 16-32       4,436        119,936   0.00%",
        "1 design with 119,936 multiply-adds within 1%, nearest first; searched 32 combinations for images 1x8x8: "
        "widest stage 8 to 256 in steps of 8",
        "the nearest is in new.toml",
    ]
    assert main(("solve", cell, "--multiply-adds", "150k", "--tolerance", "4%")) == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert first == "no such design has all widths at the nearest multiple; with widths rounded to a neighbour:"


def test_a_blueprint_of_python_is_solved(capsys: Captured, cell: str) -> None:
    """The widths are in the JSON; there is no TOML text, since its source is not one."""
    Path("own.py").write_text(
        "from pathlib import Path\nfrom resatlas.arch.blueprint_file import read_blueprint\n"
        f"NET = read_blueprint(Path({cell!r})).blueprint\n"
    )
    words = ("--image", "1,8,8", "--classes", "4", "--parameters", "9460")
    designs = rows(capsys, "own.py:NET", *words)
    assert designs[0]["toml"] is None
    assert [row["widths"] for row in designs] == [row["widths"] for row in rows(capsys, cell, *words)]
    assert main(("solve", "own.py:NET", "--parameters", "10k", "--set", "depth=20")) == 2
    assert capsys.readouterr().err == ('UsageError: own.py:NET: a blueprint has no knobs; "depth=20" cannot be set\n')


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("cell.toml", "--out", "cell.toml"), 2, "FolderError: cell.toml exists; give a new name with --out"),
        (("cell.toml", "--out", "new.txt"), 2, "UsageError: --out needs a name that ends in .toml, as in new.toml"),
        (("cell.toml", "--out", "no/new.toml"), 2, "FolderError: no/new.toml cannot be written: no is not a folder"),
        (("none.toml",), 2, "BlueprintError: none.toml: no such file or directory"),
        (("cell.py",), 2, 'UsageError: expected FILE.py:NAME, a name in the file; got "cell.py"'),
        (("cell.toml", "--image", "1,1,1"), 2, "ImageError: a map of 1x1 pixels is too small"),
        (
            ("cell.toml", "--tolerance", "0%"),
            1,
            "ResatlasError: no cell.toml of other widths has 100,001 multiply-adds",
        ),
        (("bad.toml",), 2, "WidthError: 2 stages need 2 widths; got 1"),
        (("empty.toml",), 2, "WidthError: 2 stages need 2 widths; got 0"),
    ],
    ids=repr,
)
def test_refusals_of_blueprints_are_one_line(
    capsys: Captured, cell: str, words: tuple[str, ...], code: int, sentence: str
) -> None:
    """The file, what is wrong, what to do; no file is written or changed."""
    assert Path(cell).exists()
    for name, widths in (("bad", "[16]"), ("empty", "[]")):
        rule = CELL.replace('"doubling"   # a comment\nstart = 16', f'"per-stage"\nwidths = {widths}')
        Path(f"{name}.toml").write_text(rule)
    before = {file: file.read_text() for file in Path().iterdir()}
    assert main(("solve", *words, "--multiply-adds", "100001")) == code
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith(sentence)
    assert output.err.count("\n") == 1
    assert {file: file.read_text() for file in Path().iterdir()} == before


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
