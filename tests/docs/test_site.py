"""The site is built without a warning, has every verb and every public name, and leads nowhere else.

It is built once for all workers, in both languages; the notebook is executed in it.
"""

import fcntl
import html
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from docs.site.catalogues import catalogues, extract, ids, translations, unfinished
from docs.site.formats import keys_page
from docs.site.languages import CHINESE, CHINESE_BY_THEMSELVES, LANGUAGES, TRANSLATED
from docs.site.reference import verbs_page

import resatlas
from resatlas.cli.main import VERBS
from resatlas.designs.citations import papers
from resatlas.designs.printed import FOREIGN, printed
from resatlas.designs.published import published
from tests.comparing.folders import Subject, write_errors
from tests.page.test_browser import MISSING, chromium

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.timeout(900)  # the first of the tests builds the site, and the others wait for it


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the site; the first worker that needs it builds it."""
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "built"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "log").exists():
            done = subprocess.run(
                [sys.executable, "-m", "docs.site.build", str(folder)],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])},
                capture_output=True,
                text=True,
                check=False,
            )
            (folder / "log").write_text(f"{done.stderr}\nexit code {done.returncode}\n", encoding="utf-8")
    log = (folder / "log").read_text(encoding="utf-8")
    assert log.endswith("exit code 0\n"), log
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
    assert re.search(r"\nquestions:\n  training +images a second", page)


def test_the_page_of_keys_has_those_of_a_run(tmp_path: Path) -> None:
    """Every key of the results and of the rows of a run is on it."""
    write_errors(tmp_path, Subject(family="resnet", depth=20, knobs="base=16"), (40,))
    [results] = tmp_path.rglob("results.json")
    listed = set(re.findall(r"^\| (\S+) \|", keys_page().replace("\\_", "_"), re.MULTILINE))
    [row, *_] = (results.parent / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    told = json.loads(results.read_text(encoding="utf-8"))
    assert {"parameters", "test.error_percent", "units\\[\\].stride"} <= listed
    assert set(told) | {f"test.{key}" for key in told["test"]} | set(json.loads(row)) <= listed


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


@pytest.mark.slow
def test_the_notebook_has_its_results(site: Path, pages: dict[Path, str]) -> None:
    """It is executed once: pages of both languages show the same text and the same three figures."""
    shown = [pages[site / language.place / "docs" / "first-experiment.html"] for language in LANGUAGES.values()]
    for page in shown:
        assert re.search(r"test error: \d+\.\d % of 360 images", page)
    figures = [re.findall(r'src="\.\./_images/(\w+\.svg)"', page) for page in shown]
    assert len(set(figures[0])) == 3
    assert figures[0] == figures[1]


@pytest.mark.slow
def test_every_page_leads_to_its_translation(site: Path, pages: dict[Path, str]) -> None:
    """And the pages of the Chinese site that are in English say so."""
    chinese = site / LANGUAGES[CHINESE].place
    assert all('class="languages"' in text for text in pages.values())
    translated = {chinese / f"{page}.html" for page in (*TRANSLATED, *CHINESE_BY_THEMSELVES)}
    assert translated <= set(pages)
    documents = {page for page in pages if page.is_relative_to(chinese) and page.stem not in ("genindex", "search")}
    assert {page for page in documents if 'class="untranslated"' not in pages[page]} == translated
    assert not any('class="untranslated"' in text for page, text in pages.items() if page not in documents)


@pytest.mark.slow
@pytest.mark.skipif(bool(MISSING) and os.environ.get("CI") != "true", reason=f"not installed: {', '.join(MISSING)}")
def test_search_finds_chinese_words(site: Path) -> None:
    """A search from disk finds the pages with the word 参数, in Chinese."""
    address = (site / LANGUAGES[CHINESE].place / "search.html").as_uri()
    with chromium() as browser:
        page = browser.new_page()
        page.goto(f"{address}?q=参数")
        page.wait_for_selector("#search-results li a")
        found = page.locator("#search-results li a").all_inner_texts()
    assert "怎么做" in found
    assert len(found) > 3


def test_what_is_to_be_done_is_translated() -> None:
    """The catalogues are those of the pages of the contents under Do, and of three more."""
    contents = (ROOT / "docs" / "site" / "contents.md").read_text(encoding="utf-8")
    [listed] = re.findall(r":caption: Do\n\n(.*?)\n```", contents, re.DOTALL)
    assert {*TRANSLATED} == {*listed.split(), "docs/learn", "docs/first-experiment", "docs/inside"}
    known = catalogues(translations(CHINESE), ".po")
    assert set(known) == {*TRANSLATED}
    assert list(unfinished(known)) == []


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Sphinx warns of its own extensions
def test_the_catalogues_are_those_of_the_pages(site: Path, tmp_path: Path) -> None:
    """`python -m docs.site.catalogues` would add nothing and remove nothing."""
    needed = catalogues(extract(site.parent / f"pages-{CHINESE}", tmp_path), ".pot")
    known = catalogues(translations(CHINESE), ".po")
    assert {page: ids(catalogue) for page, catalogue in known.items()} == {
        page: ids(catalogue) for page, catalogue in needed.items()
    }


def messages() -> Iterator[tuple[str, str]]:
    """Each text of a page with its translation."""
    for catalogue in catalogues(translations(CHINESE), ".po").values():
        yield from ((str(message.id), str(message.string)) for message in catalogue if message.id)


def test_code_and_links_are_not_translated() -> None:
    """A translation has the code and the links of its text; only the design page lies elsewhere."""
    for text, translated in messages():
        for kept in (r"`[^`]+`", r"\]\(([^)]+)\)", r"https?://[a-z./]+[a-z]"):
            assert sorted(re.findall(kept, text)) == sorted(re.findall(kept, translated)), text
        assert ("<a href=" in text) is ("<a href=" in translated)


def test_what_beginners_are_told_is_so() -> None:
    """Shortcuts of zeros have no weights, and so many units make so many paths."""
    told = " ".join((ROOT / "docs" / "learn.md").read_text(encoding="utf-8").split())
    plain, residual = resatlas.plan("plain-20"), resatlas.plan("resnet-20")
    assert "it has as many parameters as the plain chain above" in told
    assert resatlas.cost(plain).parameters == resatlas.cost(residual).parameters
    units = sum(map(len, residual.stages))
    assert f"The {units} units of this network make {2**units} paths" in told
