"""A network cites the papers whose parts it has, and no other."""

import re
from pathlib import Path

import pytest

from resatlas.designs.catalog import FAMILIES, named, resolve
from resatlas.designs.citations import bibtex, papers, papers_of

FILES = {family.paper: family.design.__module__.rpartition(".")[2] for family in FAMILIES.values()}

CROSS = """\
schema = 1
name = "mine"
units = [2, 2, 2]
[stem]
width = 16
[widths]
{widths}
[residual]
{residual}
"""

DOUBLING = 'rule = "doubling"\nstart = 16'
WIDER = 'rule = "doubling"\nstart = 64'
PYRAMID = 'rule = "additive"\nstart = 16\nalpha = 48'
STREAMS = '[streams]\nrule = "merge-and-run"'


def cited(text: str) -> str:
    """The papers of a design by their files, in their order."""
    return " ".join(FILES[paper] for paper in papers_of(resolve(text)))


@pytest.mark.parametrize(
    ("text", "papers"),
    [
        ("resnet-20", "resnet"),
        ("plain-34", "resnet"),
        ("resnet-50-v1.5", "resnet"),
        ("resnet-98-ijcai", "resnet dmrnet"),
        ("preact-resnet-110", "resnet preact_resnet"),
        ("resnet-110:order=bn-after-add", "resnet preact_resnet"),
        ("resnet-110:order=relu-before-add", "resnet preact_resnet"),
        ("resnet-110:order=relu-only-preact", "resnet preact_resnet"),
        ("resnet-110:modified=scale-0.5-1", "resnet preact_resnet"),
        ("resnet-110:modified=scale-1-0.5", "resnet preact_resnet"),
        ("resnet-110:modified=exclusive-gate-b-6", "resnet preact_resnet"),
        ("resnet-110:modified=dropout-0.5", "resnet preact_resnet"),
        ("resnet-110:unit=single", "resnet preact_resnet"),
        ("wrn-28-10", "resnet preact_resnet wide_resnet"),
        ("wrn-16-1", "resnet preact_resnet wide_resnet"),
        ("wrn-50-2", "resnet wide_resnet"),
        ("resnext-50-32x4d", "resnet resnext"),
        ("resnext-29-8x64d:form=a", "resnet resnext"),
        ("resnext-29-8x64d:form=b", "resnet resnext"),
        ("resnext-50-1x64d", "resnet resnext"),
        ("res2net-50-26w-4s", "resnet res2net"),
        ("shake-shake-26-2x32d", "resnet preact_resnet shake_shake"),
        ("pyramidnet-110-a48", "resnet preact_resnet pyramidnet"),
        ("pyramidnet-110-m8", "resnet preact_resnet pyramidnet"),
        ("dmrnet-56", "resnet dmrnet"),
        ("dmrnet-32-w4", "resnet dmrnet"),
        ("dilnet-26", "resnet dmrnet"),
    ],
)
def test_designs_cite_their_parts(text: str, papers: str) -> None:
    """The paper of the design, and those that its order, widths, groups and streams come from."""
    assert cited(text) == papers


@pytest.mark.parametrize(
    ("widths", "residual", "papers"),
    [
        (DOUBLING, "", "resnet"),
        (DOUBLING, 'order = "pre-activation"', "resnet preact_resnet"),
        (WIDER, "", "resnet wide_resnet"),
        (WIDER, 'convs = "bottleneck"', "resnet"),
        (WIDER, "groups = 4", "resnet resnext"),
        (DOUBLING, "dropout = 0.3", "resnet wide_resnet"),
        (DOUBLING, "groups = 4", "resnet resnext"),
        (PYRAMID, 'order = "pre-activation"', "resnet preact_resnet pyramidnet"),
        (PYRAMID, "", "resnet pyramidnet"),
        (DOUBLING, 'order = "pyramidal"', "resnet preact_resnet pyramidnet"),
        (DOUBLING, STREAMS, "resnet dmrnet"),
        (PYRAMID, f'order = "pre-activation"\n{STREAMS}', "resnet preact_resnet pyramidnet dmrnet"),
    ],
)
def test_a_cross_cites_its_parts(tmp_path: Path, widths: str, residual: str, papers: str) -> None:
    """A file has no paper of its own: each part has the paper that it comes from."""
    file = tmp_path / "mine.toml"
    file.write_text(CROSS.format(widths=widths, residual=residual), encoding="utf-8")
    assert cited(str(file)) == papers


def test_every_design_has_the_paper_of_its_file() -> None:
    """Every class of designs and every name of the catalogue is in a file with a paper."""
    for entry in named().values():
        assert type(entry.design).__module__.rpartition(".")[2] in cited(entry.name).split()


@pytest.mark.parametrize("paper", papers(), ids=lambda paper: paper.key)
def test_references_are_bibtex(paper: object) -> None:
    """One entry of ASCII fields in balanced braces, with every author and the number on arXiv."""
    [paper] = [known for known in papers() if known == paper]
    text = bibtex(paper)
    assert text.isascii()
    assert text.count("{") == text.count("}")
    head, *fields, end = text.splitlines()
    assert (head, end) == (f"@{paper.kind}{{{paper.key},", "}")
    values = dict(re.fullmatch(r"  (\w+) = \{(.+)\},", line).groups() for line in fields)  # type: ignore[union-attr]
    place = "journal" if paper.kind == "article" else "booktitle"
    assert list(values) == ["title", "author", place, "year", "eprint", "archiveprefix"]
    assert values["author"].replace(r"{\'a}", "á").split(" and ") == list(paper.authors)
    assert (values["title"], values["year"]) == (paper.title, str(paper.year))
    assert re.fullmatch(r"\d{4}\.\d{5}", values["eprint"])


def test_keys_are_unique() -> None:
    """References of several networks can stand in one file."""
    assert len({paper.key for paper in papers()}) == len({paper.arxiv for paper in papers()}) == 12
