"""Comparisons as text: golden texts in every format, and escaped names."""

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest

from resatlas.comparing.comparison import Comparison, compare
from resatlas.comparing.comparison_data import as_csv, as_json
from resatlas.page.comparison_text import document
from resatlas.page.document import FORMATS
from resatlas.values.blocks import Bullets, Heading, Paragraph
from resatlas.values.table import Table, numbers, words
from tests.comparing.folders import IMAGES, RECIPE, Subject, write_errors, write_run

GOLDEN = Path(__file__).parent / "golden"

SMALL = Subject(family="resnet", depth=20, knobs="base=16", parameters=269_722, multiply_adds=40_551_808, pace=3.0)
LARGE = Subject(family="resnet", depth=56, knobs="base=16", parameters=853_018, multiply_adds=125_485_696, pace=9.0)
COSTLY = Subject(
    family="pyramidnet", depth=26, knobs="alpha=28", parameters=400_000, multiply_adds=130_000_000, pace=5.0
)
WIDE = Subject(family="wide-resnet", depth=16, knobs="widen=1", parameters=275_000, multiply_adds=41_000_000, pace=3.1)


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> tuple[Comparison, ...]:
    """Two sizes of one design, a design of equal size, one between them, and one with a single seed."""
    folder = tmp_path_factory.mktemp("runs")
    write_errors(folder, SMALL, (60, 64, 62), data="cifar-10")
    write_errors(folder, LARGE, (20, 25, 22), data="cifar-10")
    write_errors(folder, COSTLY, (33, 36, 35), data="cifar-10")
    write_errors(folder, WIDE, (41, 40, 45, 44), data="cifar-10")
    write_errors(folder, replace(SMALL, family="plain"), (7,), data="cifar-10")
    return compare([folder], points=1.0)


@pytest.mark.parametrize("form", FORMATS)
def test_a_comparison_reads_as_its_golden_text(
    answers: tuple[Comparison, ...], form: str, golden: Callable[[Path, str], None]
) -> None:
    """The text has results, differences, verdicts, pairs of networks, published results and notes."""
    golden(GOLDEN / f"compare-{form}.txt", FORMATS[form](document(answers)))


def test_the_csv_has_its_golden_data(answers: tuple[Comparison, ...], golden_data: Callable[[Path, str], None]) -> None:
    """One row per pair of networks, with all digits."""
    golden_data(GOLDEN / "compare-csv.txt", as_csv(answers))


def test_json_has_the_same_results(answers: tuple[Comparison, ...]) -> None:
    """All values are valid JSON; a missing value is None."""
    comparison = json.loads(json.dumps(as_json(answers[0]), allow_nan=False))
    assert {pair["verdict"] for pair in comparison["pairs"]} >= {
        "contradicted",
        "not testable here",
    }
    for pair in comparison["pairs"]:
        single = any(pair[side].startswith("plain") for side in ("first", "second"))
        assert (pair["as_trained"] is None) == single
        assert (pair["p_at_equal_budgets"] is None) == (pair["verdict"] == "not testable here")
        if not single:
            assert set(pair["verdicts"]) == {"multiply-adds", "parameters"}
            assert len(pair["interval_seeds"]) == len(pair["interval_images"]) == 2
            low, high = pair["interval_images"]
            assert low <= pair["interval_seeds"][0] < pair["interval_seeds"][1] <= high
            assert len(pair["sentences"]) in (1, 2)
    assert (comparison["metric"], comparison["margin"]) == ("test_error", None)
    assert comparison["global_p"] < 1e-6
    [first, *_] = comparison["designs"]
    assert first["seeds"] == list(range(len(first["errors_percent"])))
    assert comparison["asked_points"] == 1.0
    [curve] = comparison["curves"]
    assert (curve["labels"], curve["seconds"]) == (
        ["resnet 20", "resnet 56"],
        [36.0, 108.0],
    )
    published = {design["label"]: design["published"] for design in comparison["designs"]}
    assert published["resnet 20"][0]["percent"] == 8.75


def test_a_csv_is_read_back(answers: tuple[Comparison, ...]) -> None:
    """Numbers are read back as numbers, negative ones too; every row has as many cells as the head."""
    rows = list(csv.DictReader(StringIO(as_csv(answers))))
    assert len(rows) == len(answers[0].pairs)
    assert all(None not in row and None not in row.values() for row in rows)
    trained = [row for row in rows if row["points"]]
    assert any(float(row["points"]) < 0 for row in trained)
    for row in trained:
        assert float(row["low"]) < float(row["points"]) < float(row["high"])


WORDS = '=cmd()|"<b>&_$x^{}~%#\\input'


def test_names_are_escaped(tmp_path: Path) -> None:
    """A design and a data set whose names contain markup of each format are escaped in all of them."""
    marked = f"{WORDS}\x1b[2J.toml"
    for design, wrong in ((marked, (5, 6)), ("resnet-20", (8, 9))):
        for seed, count in enumerate(wrong):
            answers = [k < count for k in range(IMAGES)]
            write_run(tmp_path / f"{len(design)}-{seed}", SMALL, seed=seed, wrong=answers, design=design, data="=data")
    comparisons = compare([tmp_path])
    blocks = document(comparisons)
    assert not any("\x1b" in write(blocks) for write in FORMATS.values())
    text = FORMATS["latex"](blocks)
    assert r"=cmd()\textbar{}''\textless{}b\textgreater{}\&\_\$x\textasciicircum{}\{\}\textasciitilde{}\%\#" in text
    assert r"\textbackslash{}input" in text
    table = FORMATS["markdown"](blocks)
    assert r"=cmd()\|" in table
    assert "<b>" not in table
    heads = [line for line in table.splitlines() if line.startswith("| ")]
    assert all(line.replace(r"\|", "").count("|") in range(6, 14) for line in heads)
    [row] = csv.DictReader(StringIO(as_csv(comparisons)))
    assert row["data"] == "'=data"
    assert {row["first"][:5], row["second"][:5]} == {"'=cmd", "resne"}
    assert as_json(comparisons[0])["data"] == "=data"


def test_private_folders_are_not_shown(tmp_path: Path) -> None:
    """A design's file is named without its folder."""
    for design, wrong in (("/home/someone/secret/net.toml", (5, 6)), ("resnet-20", (8, 9))):
        for seed, count in enumerate(wrong):
            answers = [k < count for k in range(IMAGES)]
            write_run(
                tmp_path / f"{len(design)}-{seed}", SMALL, seed=seed, wrong=answers, design=design, data="/srv/x/y"
            )
    comparisons = compare([tmp_path])
    texts = [json.dumps(as_json(comparisons[0])), as_csv(comparisons)]
    texts += [write(document(comparisons)) for write in FORMATS.values()]
    assert not any("secret" in text or "/srv" in text for text in texts)


def test_blocks_in_every_format() -> None:
    """Each kind of block is written, and the columns of tables are aligned."""
    blocks = (
        Heading("A"),
        Paragraph("b_c"),
        Bullets("D", ("e", "f")),
        Table(title="g", columns=(*words("h"), *numbers("i")), rows=(("j", "1.0"), ("kk", 20))),
    )
    assert FORMATS["table"](blocks) == "A\n\nb_c\n\nD\n- e\n- f\n\ng\nh     i\nj   1.0\nkk   20"
    assert FORMATS["markdown"](blocks) == (
        "## A\n\nb\\_c\n\nD\n\n- e\n- f\n\ng\n\n| h | i |\n| --- | ---: |\n| j | 1.0 |\n| kk | 20 |"
    )
    assert FORMATS["latex"](blocks).startswith(
        "% in the preamble: \\usepackage{booktabs}\n\n\\subsection*{A}\n\nb\\_c\n\nD\n\\begin{itemize}\n  \\item e\n"
    )
    assert (
        "\\begin{tabular}{@{}lr@{}}\n\\toprule\nh & i \\\\\n\\midrule\nj & 1.0 \\\\\nkk & 20 \\\\\n\\bottomrule"
    ) in FORMATS["latex"](blocks)


def test_many_pairs_of_networks_are_cut_short(tmp_path: Path) -> None:
    """The table has twenty pairs of networks; the JSON has all of them."""
    for subject, wrong in ((SMALL, range(10, 33)), (WIDE, (*range(20, 33), *range(10, 20)))):
        write_errors(tmp_path, subject, wrong, recipe=replace(RECIPE, epochs=1))
    comparisons = compare([tmp_path])
    text = FORMATS["table"](document(comparisons))
    assert "3 more pairs of networks: resatlas compare --json" in text
    assert len(as_json(comparisons[0])["nets"]) == 23
    assert "Wilcoxon rank-sum test  bootstrap t test" in text
