"""What list, describe and verify print, as text and as JSON."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from resatlas.cli.main import main
from resatlas.designs import published
from resatlas.designs.catalog import named
from resatlas.designs.published import printed

PLANS = Path(__file__).parents[1] / "golden" / "plans"

FILE = """\
schema = 1
name = "mine"
image = [1, 8, 8]
classes = 3
units = [1, 2]
[stem]
width = 8
[widths]
rule = "doubling"
start = 8
"""

Run = Callable[..., str]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a verb that succeeds, and gives its standard output."""

    def told(*words: str, code: int = 0) -> str:
        assert main(words) == code
        output = capsys.readouterr()
        assert output.err == ""
        return output.out

    return told


def test_list_as_json(run: Run) -> None:
    """The whole catalogue in its order, four keys each."""
    rows = json.loads(run("list", "--json"))
    assert [row["name"] for row in rows] == list(named())
    assert {tuple(row) for row in rows} == {("name", "family", "parameters", "multiply_adds")}
    assert {
        "name": "resnet-20",
        "family": "resnet",
        "parameters": 269_722,
        "multiply_adds": 40_551_040,
    } in rows


def test_list_as_text(run: Run) -> None:
    """A line each, aligned, and how many they are."""
    assert run("list", "wrn-22-*").splitlines() == [
        "name           family       parameters  multiply-adds",
        "wrn-22-8       wide-resnet  17,158,106  2,454,115,328",
        "wrn-22-10      wide-resnet  26,797,914  3,827,751,168",
        "wrn-22-2-B313  wide-resnet   1,145,498    167,167,232",
        "3 designs; any other member of a family resolves too, as in wrn-28-3",
    ]


def test_list_takes_a_family(run: Run) -> None:
    """A family's name lists the family."""
    assert {row["family"] for row in json.loads(run("list", "dmrnet", "--json"))} == {"dmrnet"}


KEYS = {"name", "family", "depth", "convs_on_longest_path", "parameters", "multiply_adds", "units"}


def test_describe_as_json(run: Run) -> None:
    """The network's sizes, and every unit with its path, width, stride and counts."""
    data = json.loads(run("describe", "wrn-16-2", "--json"))
    assert set(data) >= KEYS
    assert {key: data[key] for key in KEYS - {"units"}} == {
        "name": "wrn-16-2",
        "family": "wide-resnet",
        "depth": 16,
        "convs_on_longest_path": 13,
        "parameters": 691_674,
        "multiply_adds": 101_106_944,
    }
    assert [tuple(unit.values()) for unit in data["units"]] == [
        ("stages.0.0", 32, 1, 14_432, 14_680_064),
        ("stages.0.1", 32, 1, 18_560, 18_874_368),
        ("stages.1.0", 64, 2, 57_536, 14_680_064),
        ("stages.1.1", 64, 1, 73_984, 18_874_368),
        ("stages.2.0", 128, 2, 229_760, 14_680_064),
        ("stages.2.1", 128, 1, 295_424, 18_874_368),
    ]
    assert {tuple(unit) for unit in data["units"]} == {("path", "width", "stride", "parameters", "multiply_adds")}


def test_describe_as_text(run: Run) -> None:
    """What it is, its units, and the papers' figures beside it."""
    plan = (PLANS / "resnet-20.txt").read_text(encoding="utf-8")
    assert run("describe", "resnet-20") == (
        "resnet-20: resnet, depth 20 as labelled, 19 convolutions on the longest path, mean path length 11.00; "
        f"image 3x32x32, 10 classes\n\n{plan}\n"
        "printed parameters: 0.27 M; ours 269,722: yes (all weights)  [paper Table 6] ResNet\n"
    )


def test_describe_shows_both_ways_of_counting_paths(run: Run) -> None:
    """Where streams meet, the whole paths of the paper stand beside the weighted ones."""
    [head, *_] = run("describe", "dmrnet-20:join=sum").splitlines()
    assert head == (
        "dmrnet-20:join=sum: dmrnet, depth 20 as labelled, 19 convolutions on the longest path, mean path length 8.00 "
        "(whole paths, as the paper counts), 11.00 weighted; image 3x32x32, 10 classes"
    )


def test_describe_says_where_nothing_was_printed(run: Run) -> None:
    """A network without figures is said to have none."""
    assert run("describe", "resnet-26").endswith("\n\nno printed size is known for this network\n")


@pytest.mark.parametrize("name", ["resnet-18", "resnet-34"])
def test_describe_shows_an_alias_its_figures(run: Run, name: str) -> None:
    """A network under its other name has the same printed figures."""
    assert run("describe", name).splitlines()[-1] == run("describe", f"{name}-B").splitlines()[-1]


def test_describe_takes_other_images_and_classes(run: Run) -> None:
    """Image and classes change the counts, and no classes leave out the classifier."""
    data: dict[str, Any] = json.loads(run("describe", "resnet-20", "--image", "1,64,48", "--classes", "0", "--json"))
    assert (data["image"], data["classes"]) == ([1, 64, 48], 0)
    assert data["parameters"] == 269_722 - 650 - 2 * 9 * 16
    assert data["multiply_adds"] == 3 * (40_551_040 - 640) - 2 * 9 * 16 * 64 * 48


def test_describe_takes_a_file(run: Run, tmp_path: Path) -> None:
    """A blueprint has the name, image and classes of its file, and its longest path for a depth."""
    path = tmp_path / "mine.toml"
    path.write_text(FILE, encoding="utf-8")
    data = json.loads(run("describe", str(path), "--json"))
    assert (data["name"], data["family"], data["image"], data["classes"]) == ("mine", "blueprint", [1, 8, 8], 3)
    assert (data["depth"], data["convs_on_longest_path"]) == (8, 7)
    assert [(unit["path"], unit["width"], unit["stride"]) for unit in data["units"]] == [
        ("stages.0.0", 8, 1),
        ("stages.1.0", 16, 2),
        ("stages.1.1", 16, 1),
    ]


def test_verify_as_json(run: Run) -> None:
    """Parameters and multiply-adds of every entry, six keys each."""
    rows = json.loads(run("verify", "--json"))
    assert {row["name"] for row in rows} == set(named())
    assert {tuple(row) for row in rows} == {("name", "quantity", "ours", "printed", "convention", "verdict")}
    assert {row["quantity"] for row in rows} == {"parameters", "multiply_adds"}
    assert {row["verdict"] for row in rows} == {"yes", "partly", "no", "none"}
    assert [row for row in rows if row["name"] == "resnet-50"] == [
        {
            "name": "resnet-50",
            "quantity": "parameters",
            "ours": 25_557_032,
            "printed": "",
            "convention": "",
            "verdict": "none",
        },
        {
            "name": "resnet-50",
            "quantity": "multiply_adds",
            "ours": 3_857_973_248,
            "printed": "3.8 G",
            "convention": "conv+fc; cut off",
            "verdict": "partly",
        },
    ]


def test_verify_as_text(run: Run) -> None:
    """The figures that were printed, how they come out, and that nothing changed."""
    assert run("verify", "resnet-1202").splitlines() == [
        "name         quantity    verdict  convention   printed        ours",
        "resnet-1202  parameters  yes      all weights   19.4 M  19,421,274",
        "resnet-1202  parameters  no       none found    10.2 M  19,421,274",
        "yes 1 (our count gives the printed digits), partly 0 (only the named rule does), no 1 (no rule known), "
        "none 1 (nothing printed)",
        "every verdict is the recorded one",
    ]


def test_verify_fails_where_a_verdict_is_not_the_recorded_one(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another record than today's verdict is named, and the exit code is that of a failed check."""
    changed = {"resnet-20": tuple(replace(each, agrees="no") for each in printed() if each.name == "resnet-20")}
    monkeypatch.setattr(published, "printed_of", changed.__getitem__)
    text = run("verify", "resnet-20", code=1)
    assert "yes, recorded no" in text
    assert text.endswith("1 verdicts differ from the recorded ones\n")
    assert run("verify", "resnet-20", "--quiet", code=1) == ""


@pytest.mark.parametrize("words", [("list",), ("describe", "resnet-20"), ("verify", "resnet-20")])
def test_quiet_prints_nothing(run: Run, words: tuple[str, ...]) -> None:
    """Only the exit code is left."""
    assert run(*words, "--quiet") == ""
