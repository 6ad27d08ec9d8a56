"""The output of list, describe, verify and cite, as text and as JSON."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from resatlas.cli.main import main
from resatlas.designs import verdicts
from resatlas.designs.catalog import FAMILIES, Entry, named
from resatlas.designs.printed import FOREIGN, Printed, printed

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
    """A function that runs a verb and returns its standard output; nothing is on standard error."""

    def output_of(*words: str, code: int = 0) -> str:
        assert main(words) == code
        output = capsys.readouterr()
        assert output.err == ""
        return output.out

    return output_of


def test_list_as_json(run: Run) -> None:
    """The whole catalogue, with the shape of an image, the family's paper and a published error."""
    rows = json.loads(run("list", "--json"))
    assert {row["name"] for row in rows} == set(named())
    assert {
        "name": "resnet-20",
        "family": "resnet",
        "arxiv": "1512.03385",
        "image": [3, 32, 32],
        "parameters": 269_722,
        "multiply_adds": 40_551_040,
        "published_error": 8.75,
        "published_on": "CIFAR-10",
    } in rows
    assert {tuple(row) for row in rows} == {tuple(rows[0])}


def test_list_is_sorted_as_people_count(run: Run) -> None:
    """By family, then small images before large ones, then the family's own names, 14 before 1202."""
    names = [row["name"] for row in json.loads(run("list", "--json"))]
    places = [
        names.index(name) for name in ("resnet-20", "resnet-110", "resnet-1202", "fuse3-20", "resnet-34-A", "wrn-16-4")
    ]
    assert places == sorted(places)


def test_list_as_text(run: Run) -> None:
    """An aligned line for each design, and their number."""
    assert run("list", "wrn-22-*").splitlines() == [
        "name           family       arXiv         image  parameters  multiply-adds  published error (%)  on",
        "wrn-22-2-B313  wide-resnet  1605.07146  3x32x32   1,145,498    167,167,232                 5.78  CIFAR-10",
        "wrn-22-8       wide-resnet  1605.07146  3x32x32  17,158,106  2,454,115,328                 4.38  CIFAR-10",
        "wrn-22-10      wide-resnet  1605.07146  3x32x32  26,797,914  3,827,751,168                 4.44  CIFAR-10",
        "3 designs; other members of a family work too, as in wrn-28-3",
    ]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """A function that makes standard output a terminal with so many letters per line."""

    def make(columns: int) -> None:
        monkeypatch.setattr("sys.stdout.isatty", lambda: True)
        monkeypatch.setenv("COLUMNS", str(columns))

    return make


def test_list_fits_a_terminal(run: Run, terminal: Callable[[int], None]) -> None:
    """At 80 letters no line of designs or recipes is longer; a wide one has a line per design, as a pipe has."""
    piped, data = run("list"), run("list", "--json")
    terminal(80)
    for words in (("list",), ("list", "--recipes")):
        assert max(map(len, run(*words).splitlines())) <= 80, words
    assert run("list", "--json") == data
    assert run("list", "wrn-22-2*").splitlines()[:4] == [
        "               family                   parameters  published error (%)",
        "name           arXiv          image  multiply-adds  on",
        "wrn-22-2-B313  wide-resnet  3x32x32      1,145,498  5.78",
        "               1605.07146              167,167,232  CIFAR-10",
    ]
    terminal(160)
    assert run("list") == piped


def test_list_takes_a_family(run: Run) -> None:
    """A family's name lists the family."""
    assert {row["family"] for row in json.loads(run("list", "dmrnet", "--json"))} == {"dmrnet"}


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_is_described_by_its_knobs(run: Run, name: str) -> None:
    """Its paper, every knob with its values and default, and a text to copy, which lacks only the numbers."""
    family, described = FAMILIES[name], json.loads(run("describe", name, "--json"))
    assert [knob["name"] for knob in described["knobs"]] == [field.name for field in fields(family.design)]
    assert described["paper"] == str(family.paper)
    text = run("describe", name)
    assert f"a network: resatlas describe {name}:depth=…" in text
    assert [line.split()[0] for line in text.splitlines() if line.endswith("needed")] == [
        knob["name"] for knob in described["knobs"] if knob["needed"]
    ]


def test_a_family_is_read_as_text(run: Run) -> None:
    """Words that a knob takes are listed; a knob without a default is needed."""
    lines = run("describe", "pyramidnet").splitlines()
    assert [line for line in lines if line.startswith(("knob", "depth ", "alpha ", "growth "))] == [
        "knob         values                                 default",
        "depth        a whole number                         needed",
        "alpha        a number                               needed",
        "growth       additive, multiplicative               additive",
    ]


def test_a_family_is_not_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    """The answer says what can be drawn."""
    assert main(("describe", "resnet", "--draw", "x.svg")) == 2
    assert "resnet is a family; describe draws and counts a network, as in resnet:depth=…" in capsys.readouterr().err


KEYS = {
    "name",
    "family",
    "depth",
    "convs_on_longest_path",
    "parameters",
    "multiply_adds",
    "units",
    "levels",
    "published",
    "published_as_backbone",
}


def test_describe_as_json(run: Run) -> None:
    """The network's sizes, and every unit with its path, width, stride and counts."""
    data = json.loads(run("describe", "wrn-16-2", "--json"))
    assert set(data) >= KEYS
    assert {key: data[key] for key in KEYS - {"units", "levels", "published", "published_as_backbone"}} == {
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
    assert data["levels"][-1] == {"stage": 2, "channels": 128, "stride": 4, "receptive_field": 53}


def test_describe_as_text(run: Run) -> None:
    """The network, its units, and the figures of the papers."""
    plan = (PLANS / "resnet-20.txt").read_text(encoding="utf-8")
    assert run("describe", "resnet-20") == (
        "resnet-20: resnet, depth 20 as labelled, 19 convolutions on the longest path, mean path length 11.00; "
        f"image 3x32x32, 10 classes\nreceptive field after each stage: 15, 37, 81 pixels\n\n{plan}\n"
        "printed parameters: 0.27 M; ours 269,722: yes (all weights)  [paper Table 6] ResNet\n"
        "printed depth: 20 layers; ours 20: yes (conv+fc without projections)  [paper Table 6] ResNet\n"
        "printed width: 16 channels (stage 1); ours 16: yes (as built)  [paper 4.2] ResNet\n"
        "printed width: 32 channels (stage 2); ours 32: yes (as built)  [paper 4.2] ResNet\n"
        "printed width: 64 channels (stage 3); ours 64: yes (as built)  [paper 4.2] ResNet\n\n"
        "data set  metric      published %  protocol                             source\n"
        "CIFAR-10  test error  8.75         mean subtracted; repeats not stated  [paper Table 6] ResNet\n"
    )


def test_describe_says_what_the_receptive_field_leaves_out(run: Run) -> None:
    """Attention reads means of whole maps."""
    assert run("describe", "se-resnet-50").splitlines()[1] == (
        "receptive field after each stage: 35, 99, 291, 483 pixels and, by attention, means of all"
    )


def test_describe_shows_both_ways_of_counting_paths(run: Run) -> None:
    """If streams are joined, both the whole paths of the paper and the weighted ones are printed."""
    [head, *_] = run("describe", "dmrnet-20:join=sum").splitlines()
    assert head == (
        "dmrnet-20:join=sum: dmrnet, depth 20 as labelled, 19 convolutions on the longest path, mean path length 8.00 "
        "(whole paths, as the paper counts), 11.00 weighted; image 3x32x32, 10 classes"
    )


def test_describe_says_where_nothing_was_printed(run: Run) -> None:
    """The text says so for a network without figures."""
    assert run("describe", "resnet-26").endswith(
        "\n\nno printed size is known for this network\n\nno published result is known for this network\n"
    )


@pytest.mark.parametrize("name", ["resnet-18", "resnet-34"])
def test_describe_shows_an_alias_its_figures(run: Run, name: str) -> None:
    """A network under its other name has the same printed figures."""
    alias, itself = (run("describe", design).partition("\nprinted ") for design in (name, f"{name}-B"))
    assert alias[2] == itself[2] != ""


def published(run: Run, design: str) -> list[dict[str, Any]]:
    """The published figures of a design as JSON."""
    return json.loads(run("describe", design, "--json"))["published"]


def test_describe_shows_detectors_apart_from_errors(run: Run) -> None:
    """AP of detectors on a network has a table of its own, with protocol and source; other networks have none."""
    data = json.loads(run("describe", "resnet-101", "--json"))
    assert {row["metric"] for row in data["published"]} <= {"top-1 error", "top-5 error"}
    on_it = {(row["name"], row["dataset"], row["metric"], row["value"]) for row in data["published_as_backbone"]}
    assert ("faster-rcnn-resnet-101", "COCO-val", "AP@[.5:.95]", 27.2) in on_it
    assert ("r-fcn-resnet-101", "VOC07-test", "mAP", 79.5) in on_it
    assert all(row["source"] and row["protocol"] for row in data["published_as_backbone"] if row["name"][:3] != "loc")
    text = run("describe", "resnet-101")
    assert "on this network" in text.split("published %")[1]
    assert "on this network" not in run("describe", "resnet-20")


def test_describe_shows_what_was_published(run: Run) -> None:
    """Data set, metric, value, spread, protocol and source of every figure; with dropout it is another network."""
    assert published(run, "wrn-16-4:dropout=0.3") == [
        {
            "name": "wrn-16-4-dropout",
            "dataset": dataset,
            "metric": "test error",
            "value": value,
            "spread": None,
            "protocol": "median of 5; mean/std; dropout 0.3",
            "source": "[paper Table 6] WRN",
        }
        for dataset, value in (("CIFAR-10", 5.24), ("CIFAR-100", 23.91))
    ]
    assert {row["value"] for row in published(run, "wrn-16-4")} == {5.02, 24.03, 1.85}
    assert (6.61, 0.16) in [(row["value"], row["spread"]) for row in published(run, "resnet-110")]
    assert "6.61 ± 0.16  mean of 5 " in run("describe", "resnet-110")
    assert published(run, "resnet-26") == []


def test_describe_explains_what_counters_report(run: Run) -> None:
    """The paper prints 3.8 G for ResNet-50; rule and place of the stride give 3.86, 4.09, 7.72 or 8.18 G."""
    [_, _, *lines] = run("describe", "resnet-50", "--conventions").splitlines()
    assert lines == [
        "counted by                    resnet-50          resnet-50-v1.5",
        "stride on the                 first 1x1                     3x3",
        "papers           3,857,973,248 = 3.86 G  4,089,184,256 = 4.09 G",
        "torchvision      3,857,973,248 = 3.86 G  4,089,184,256 = 4.09 G",
        "FlopCounterMode  7,715,946,496 = 7.72 G  8,178,368,512 = 8.18 G",
        "ptflops          3,889,133,544 = 3.89 G  4,121,925,096 = 4.12 G",
        "",
        "papers: 1 a multiply-add of convolutions and classifier; called FLOPs",
        "torchvision: the same, published as GFLOPS of its weights",
        "FlopCounterMode: 2 a multiply-add: PyTorch's own counter",
        "ptflops: multiply-adds and biases, 2 a normalised value, 1 a value that a relu gives or a pool reads",
        "",
        "resnet-50: printed multiply-adds: 3.8 G; ours 3,857,973,248: partly (conv+fc; cut off)  "
        "[paper Table 1] ResNet",
        "resnet-50-v1.5: printed multiply-adds: 4.1 G; ours 4,089,184,256: yes (conv+fc)  [paper Table 1] ResNeXt",
        "resnet-50-v1.5: printed multiply-adds: 0.22 G (one 56x56 block); ours 218,365,952: "
        "yes (conv only; one 56x56 block)  [paper Table 2] ResNeXt",
    ]


def test_conventions_as_json(run: Run) -> None:
    """The count of each convention for the network and its twin, and all values of describe."""
    data = json.loads(run("describe", "resnext-50-32x4d", "--conventions", "--json"))
    assert set(data) >= KEYS
    assert {tuple(row) for row in data["conventions"]} == {("name", "stride", "convention", "rule", "count")}
    assert [(row["name"], row["stride"], row["convention"]) for row in data["conventions"]] == [
        (name, stride, convention)
        for name, stride in (
            ("resnext-50-32x4d", "3x3"),
            ("resnext-50-32x4d with the stride on the first 1x1", "first 1x1"),
        )
        for convention in ("papers", "torchvision", "FlopCounterMode", "ptflops")
    ]
    assert data["conventions"][0]["count"] == data["multiply_adds"]
    assert "conventions" not in json.loads(run("describe", "resnext-50-32x4d", "--json"))


def test_conventions_of_other_networks_and_images(run: Run) -> None:
    """Units with one place for the stride have no twin; --image and --classes apply; small counts are in millions."""
    words = ("describe", "resnet-26", "--conventions", "--image", "1,16,16", "--classes", "0")
    data = json.loads(run(*words, "--json"))
    assert [(row["name"], row["stride"]) for row in data["conventions"]] == [("resnet-26", None)] * 4
    assert [row["count"] for row in data["conventions"]][:3] == [n * data["multiply_adds"] for n in (1, 1, 2)]
    [_, _, head, papers, *_, last] = run(*words).splitlines()
    assert head.split() == ["counted", "by", "resnet-26"]
    assert papers.split()[1:] == [f"{data['multiply_adds']:,}", "=", f"{data['multiply_adds'] / 1e6:.2f}", "M"]
    assert last == "no printed multiply-adds are known for this network"


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


@pytest.mark.parametrize("end", ["svg", "png"])
def test_describe_draws(run: Run, tmp_path: Path, end: str) -> None:
    """The network for these images and classes as a picture, whose path is printed."""
    file = tmp_path / "drawn" / f"network.{end}"
    words = ("describe", "dmrnet-8", "--image", "1,16,16", "--draw", str(file))
    assert f"drawn in {file}" in run(*words)
    first = file.read_bytes()
    assert first.startswith({"svg": b"<svg ", "png": b"\x89PNG"}[end])
    if end == "svg":
        assert all(text.encode() in first for text in ("dmrnet-8", "16×16", "2 streams"))
    assert json.loads(run(*words, "--json"))["drawing"] == str(file)
    assert file.read_bytes() == first
    assert "drawing" not in json.loads(run("describe", "dmrnet-8", "--json"))


def test_verify_as_json(run: Run) -> None:
    """Two sizes of every entry and every printed figure, six keys each."""
    rows = json.loads(run("verify", "--json"))
    assert {row["name"] for row in rows} == set(named())
    assert {tuple(row) for row in rows} == {("name", "quantity", "ours", "printed", "convention", "verdict")}
    assert {row["verdict"] for row in rows} == {"yes", "partly", "no", "none"}
    shown = {(row["name"], row["quantity"], row["printed"]) for row in rows}
    assert {
        (figure.name, figure.quantity, f"{figure.printed} {figure.unit}".strip())
        for figure in printed()
        if figure.name not in FOREIGN
    } <= shown
    assert {quantity for _, quantity, figure in shown if not figure} == {"parameters", "multiply_adds"}
    assert [tuple(row.values()) for row in rows if row["name"] == "resnet-50"] == [
        ("resnet-50", "parameters", 25_557_032, "", "", "none"),
        ("resnet-50", "multiply_adds", 3_857_973_248, "3.8 G", "conv+fc; cut off", "partly"),
        ("resnet-50", "depth", 50, "50 layers", "conv+fc without projections", "yes"),
    ]


def test_verify_as_text(run: Run) -> None:
    """The printed figures, their verdicts, and that no verdict has changed."""
    assert run("verify", "resnet-1202").splitlines() == [
        "name         quantity    verdict  convention                       printed        ours",
        "resnet-1202  parameters  yes      all weights                       19.4 M  19,421,274",
        "resnet-1202  parameters  no       none found                        10.2 M  19,421,274",
        "resnet-1202  depth       yes      conv+fc without projections  1202 layers       1,202",
        "yes 2 (our count gives the printed digits), partly 0 (only the named rule does), no 1 (no rule known), "
        "none 1 (nothing printed)",
        "every verdict is the recorded one",
    ]


def test_verify_tells_of_an_entry_without_a_figure(run: Run) -> None:
    """Both its sizes, and that none was printed."""
    assert run("verify", "plain-14").splitlines()[:3] == [
        "name      quantity       verdict  convention  printed        ours",
        "plain-14  parameters     none                             172,506",
        "plain-14  multiply-adds  none                          26,395,264",
    ]
    names = {line.split()[0] for line in run("verify").splitlines()}
    assert set(named()) <= names


def test_verify_needs_no_torch() -> None:
    """The whole catalogue is verified without torch."""
    code = "import sys; from resatlas.cli.main import main; print(main(('verify', '--quiet')), 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "0 False\n"


@pytest.mark.parametrize("quantity", ["parameters", "depth", "width"])
def test_verify_fails_where_a_verdict_is_not_the_recorded_one(
    run: Run, monkeypatch: pytest.MonkeyPatch, quantity: str
) -> None:
    """A verdict that differs from the recorded one is printed, and the exit code is 1."""

    def recorded(entry: Entry) -> tuple[Printed, ...]:
        figures = (figure for figure in printed() if (figure.name, figure.quantity) == (entry.name, quantity))
        return (replace(next(figures), agrees="no"),)

    monkeypatch.setattr(verdicts, "printed_of", recorded)
    text = run("verify", "resnet-20", code=1)
    assert "yes, recorded no" in text
    assert text.endswith("1 verdict not as recorded\n")
    assert run("verify", "resnet-20", "--quiet", code=1) == ""


def test_cite_as_text(run: Run) -> None:
    """Only references, so that the output is a .bib file."""
    text = run("cite", "wrn-28-10")
    entries = text.removesuffix("\n").split("\n\n")
    assert [entry.splitlines()[0] for entry in entries] == [
        "@inproceedings{he2016deep,",
        "@inproceedings{he2016identity,",
        "@inproceedings{zagoruyko2016wide,",
    ]
    assert entries[2] == (
        "@inproceedings{zagoruyko2016wide,\n"
        "  title = {Wide Residual Networks},\n"
        "  author = {Sergey Zagoruyko and Nikos Komodakis},\n"
        "  booktitle = {British Machine Vision Conference (BMVC)},\n"
        "  year = {2016},\n"
        "  eprint = {1605.07146},\n"
        "  archiveprefix = {arXiv},\n"
        "}"
    )


def test_cite_as_json(run: Run) -> None:
    """Key, title, authors, year, number on arXiv, and the reference itself."""
    rows = json.loads(run("cite", "resnext-50-32x4d", "--json"))
    assert {tuple(row) for row in rows} == {("key", "title", "authors", "year", "arxiv", "bibtex")}
    assert [(row["key"], row["year"], row["arxiv"]) for row in rows] == [
        ("he2016deep", 2016, "1512.03385"),
        ("xie2017aggregated", 2017, "1611.05431"),
    ]
    assert rows[1]["authors"] == ["Saining Xie", "Ross Girshick", "Piotr Dollár", "Zhuowen Tu", "Kaiming He"]
    assert "\n\n".join(row["bibtex"] for row in rows) + "\n" == run("cite", "resnext-50-32x4d")


def test_cite_takes_a_file(run: Run, tmp_path: Path) -> None:
    """A cross is cited by its parts."""
    path = tmp_path / "mine.toml"
    path.write_text(
        f'{FILE}[residual]\norder = "pre-activation"\n[streams]\nrule = "merge-and-run"\n', encoding="utf-8"
    )
    keys = [row["key"] for row in json.loads(run("cite", str(path), "--json"))]
    assert keys == ["he2016deep", "he2016identity", "zhao2018mergeandrun"]


@pytest.mark.parametrize(
    "words", [("list",), ("describe", "resnet-20"), ("verify", "resnet-20"), ("cite", "resnet-20")]
)
def test_quiet_prints_nothing(run: Run, words: tuple[str, ...]) -> None:
    """There is only an exit code."""
    assert run(*words, "--quiet") == ""
