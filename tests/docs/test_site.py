"""The site is built without a warning, has every verb and every public name, and leads nowhere else."""

import html
import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from docs.site.reference import verbs_page

import resatlas
from resatlas.cli.main import VERBS
from resatlas.designs.citations import papers
from resatlas.designs.printed import FOREIGN, printed
from resatlas.designs.published import published

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the site, which is built once."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "docs.site.build", str(folder)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder / "site"


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, str]:
    """The pages of the site that Sphinx writes."""
    return {file: file.read_text(encoding="utf-8") for file in site.rglob("*.html") if file.name != "design.html"}


def anchors(page: str) -> set[str]:
    """The places in a page to which a link can lead."""
    return set(re.findall(r'\bid="([^"]+)"', page))


def test_lists_of_a_help_stay_lists() -> None:
    """The lines below the options are not filled to paragraphs."""
    page = verbs_page()
    assert "\nto use it:\n  bash  in ~/.bashrc: eval" in page
    assert "\nquestions:\n  training   images a second" in page


@pytest.mark.slow
def test_it_has_every_verb_and_every_name(site: Path, pages: dict[Path, str]) -> None:
    """A section each, and one for each paper with all sizes that were printed and errors that were published."""
    assert set(VERBS) <= anchors(pages[site / "generated" / "verbs.html"])
    names = re.findall(r"<h2>resatlas\.(\w+)<", pages[site / "generated" / "names.html"])
    assert {*names, "__version__"} == set(resatlas.__all__)
    known = html.unescape(pages[site / "generated" / "papers.html"])
    assert all(f"<h2>{paper.title}<" in known for paper in papers())
    sizes = sum(figure.name not in FOREIGN for figure in printed())
    assert len(re.findall(r"<td[^>]*><p>(?:yes|partly|no)</p></td>", known)) == sizes
    assert sum(map(int, re.findall(r"<summary>(\d+) (?:published figures|networks)", known))) == len(published())


@pytest.mark.slow
def test_no_link_leads_nowhere(pages: dict[Path, str]) -> None:
    """Each link inside the site has its file, and its place in it."""
    lost = []
    for page, text in pages.items():
        for link in re.findall(r'\b(?:href|src)="([^"]+)"', text):
            parts = urlsplit(html.unescape(link))
            goal = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            place = unquote(parts.fragment)
            if not parts.scheme and (
                not goal.exists() or (place and goal in pages and place not in anchors(pages[goal]))
            ):
                lost.append((page.name, link))
    assert len(pages) > 50
    assert lost == []


@pytest.mark.slow
def test_no_request_leaves_the_page(site: Path, pages: dict[Path, str]) -> None:
    """Scripts, styles, pictures and fonts are files of the site."""
    loading = re.compile(r'<(?:script|img|link|iframe|source)\b[^>]*?\b(?:src|href)="([^"]+)"')
    loaded = {link for text in pages.values() for link in loading.findall(text)}
    assert any(link.partition("?")[0].endswith("sort.js") for link in loaded)
    assert [link for link in loaded if urlsplit(link).scheme or link.startswith("//")] == []
    styles = "".join(file.read_text(encoding="utf-8") for file in site.rglob("*.css"))
    assert re.findall(r"@import|url\(\s*['\"]?(?:https?:)?//", styles) == []


@pytest.mark.slow
def test_commands_that_draw_have_their_pictures(site: Path, pages: dict[Path, str]) -> None:
    """Below each of them on the page for beginners."""
    page = site / "docs" / "learn.html"
    drawn = re.findall(r"describe (\S+) --draw", (ROOT / "docs" / "learn.md").read_text(encoding="utf-8"))
    assert re.findall(r'alt="(\S+), unit by unit"', pages[page]) == drawn
    assert len(drawn) > 6


@pytest.mark.slow
def test_the_design_page_is_in_the_site(site: Path, pages: dict[Path, str]) -> None:
    """A page leads to it, or says that Pyodide was not at hand; where CI is, it is."""
    text = pages[site / "generated" / "design-page.html"]
    there = (site / "generated" / "design.html").exists()
    assert there or os.environ.get("CI") != "true"
    assert ('href="design.html"' in text) is there
    assert ("Pyodide was not at hand" in text) is not there


def test_what_beginners_are_told_is_so() -> None:
    """Shortcuts of zeros have no weights, and so many units make so many paths."""
    told = " ".join((ROOT / "docs" / "learn.md").read_text(encoding="utf-8").split())
    plain, residual = resatlas.plan("plain-20"), resatlas.plan("resnet-20")
    assert "it has as many parameters as the plain chain above" in told
    assert resatlas.cost(plain).parameters == resatlas.cost(residual).parameters
    units = sum(map(len, residual.stages))
    assert f"The {units} units of this network make {2**units} paths" in told
