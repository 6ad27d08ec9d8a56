"""The pages in a real browser, at the widths of a desktop and of a phone."""

import csv
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.page.pages import ATTACKS, EVIL, PAGES

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Dialog, Page

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
MISSING = [
    name
    for name, installed in (("chromium", CHROMIUM.exists()), ("playwright", find_spec("playwright")))
    if not installed
]
DESKTOP, PHONE = 1280, 390
LONGEST = 8_000  # pixels of the demo's page at DESKTOP before anything is unfolded

AXE_VERSION = "4.14.1"
AXE = os.environ.get("RESATLAS_AXE", "")
"""The folder of axe-core from npm, whose rules find what people with a screen reader or a keyboard cannot use."""

pytestmark = pytest.mark.skipif(
    bool(MISSING) and os.environ.get("CI") != "true", reason=f"not installed: {', '.join(MISSING)}"
)

CHARTS = """() => [...document.querySelectorAll("script[data-chart]")].map((block) => {
  const chart = document.getElementById(block.dataset.chart);
  const box = chart.getBoundingClientRect();
  const beyond = (place) => place.left < box.left - 1 || place.right > box.right + 1;
  const parts = [...chart.querySelectorAll("svg .role-mark > :not(g)")];
  const marks = parts.map((mark) => mark.getBoundingClientRect());
  const words = [...chart.querySelectorAll("svg text")].filter((text) => text.textContent);
  return {
    name: block.dataset.chart,
    text: chart.innerText,
    marks: marks.filter((mark) => mark.width + mark.height > 0.5).length,
    outside: [...parts, ...words].filter((part) => beyond(part.getBoundingClientRect())).map((part) => part.outerHTML),
    smallest: Math.min(...words.map((text) => parseFloat(getComputedStyle(text).fontSize))),
    left: box.left, right: box.right, height: box.height,
  };
})"""
"""Returns the size, marks and words of each chart."""

LOOKS = """(id) => [...document.getElementById(id).querySelectorAll("svg .role-mark > *")]
  .map((mark) => mark.getAttribute("opacity") + mark.getAttribute("stroke-opacity"))"""
"""Returns the opacity of each mark of a chart."""

LEGENDS = """() => [...document.querySelectorAll("script[data-chart]")].map((block) => block.dataset.chart)
  .filter((id) => document.getElementById(id).querySelector(".role-legend-symbol"))"""
"""Returns the charts whose legends have names to click."""

SMALL = """() => [...document.querySelectorAll("body *")]
  .filter((element) => [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim()))
  .filter((element) => !element.closest("script, style, noscript, svg, #vg-tooltip-element"))
  .filter((element) => parseFloat(getComputedStyle(element).fontSize) < 12).map((element) => element.textContent)"""
"""Returns text that is too small for a phone."""

WIDE = """(width) => [...document.querySelectorAll("main *, header *")]
  .filter((element) => !element.closest(".scroll *") && !element.closest("svg *"))
  .filter((element) => element.getBoundingClientRect().right > width + 0.5)
  .map((element) => element.outerHTML.slice(0, 200))"""
"""Returns elements wider than the window that are not inside a scrollable box."""


@dataclass
class OpenedPage:
    """A page in the browser, with its log messages, network requests and dialogs."""

    page: "Page"
    address: str
    logged: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)

    def charts(self) -> list[dict[str, Any]]:
        """All charts, unfolded and drawn."""
        self.page.evaluate("document.querySelectorAll('details').forEach((details) => { details.open = true; })")
        self.page.wait_for_function(
            """() => [...document.querySelectorAll("script[data-chart]")].every((block) =>
              document.getElementById(block.dataset.chart).querySelector("svg") ||
              document.getElementById(block.dataset.chart).textContent)"""
        )
        return self.page.evaluate(CHARTS)

    def dismiss(self, dialog: "Dialog") -> None:
        """Store the message of a dialog, and close it."""
        self.dialogs.append(dialog.message)
        dialog.dismiss()

    def check_harmless(self) -> None:
        """Check that the page has logged nothing, requested nothing, and opened no dialog."""
        assert self.logged == []
        assert self.requests == [self.address]
        assert self.dialogs == []


class Addresses(dict[str, str]):
    """The address of each page, which is made when a test first needs it."""

    def __init__(self, folders: pytest.TempPathFactory) -> None:
        super().__init__()
        self.folders = folders

    def __missing__(self, name: str) -> str:
        self[name] = PAGES[name](self.folders.mktemp(name)).as_uri()
        return self[name]


@pytest.fixture(scope="module")
def addresses(tmp_path_factory: pytest.TempPathFactory) -> Addresses:
    """The address of each page."""
    return Addresses(tmp_path_factory)


@contextmanager
def chromium(*further: str) -> Iterator["Browser"]:
    """A browser without background network requests; `further` are more words of its command."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=[*ARGUMENTS, *further])
        yield started
        started.close()


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """A browser for all pages."""
    with chromium() as started:
        yield started


@contextmanager
def opened(browser: "Browser", address: str, width: int = DESKTOP, **options: Any) -> Iterator[OpenedPage]:  # noqa: ANN401
    """The page in a new window without a network; its messages and requests are recorded."""
    context = browser.new_context(viewport={"width": width, "height": 844}, offline=True, **options)
    window = OpenedPage(context.new_page(), address)
    window.page.set_default_timeout(20_000)
    window.page.on("console", lambda message: window.logged.append(message.text))
    window.page.on("pageerror", lambda error: window.logged.append(str(error)))
    context.on("request", lambda request: window.requests.append(request.url))
    window.page.on("dialog", window.dismiss)
    window.page.goto(address)
    yield window
    context.close()


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
@pytest.mark.parametrize("name", PAGES)
def test_every_chart_is_drawn(browser: "Browser", addresses: dict[str, str], name: str, width: int) -> None:
    """No chart is empty, cut off or wider than the window; nothing is requested, and no error is logged."""
    with opened(browser, addresses[name], width) as window:
        charts = window.charts()
        assert len(charts) == window.page.locator("script[data-chart]").count() > 0
        for chart in charts:
            assert chart["marks"] >= 2, chart
            assert "could not be drawn" not in chart["text"], chart
            assert chart["outside"] == [], chart["name"]
            assert 0 <= chart["left"] < chart["right"] <= width, chart
            assert chart["height"] > 60, chart
            assert chart["smallest"] >= (9 if "confusions" in chart["name"] else 11), chart
        assert window.page.evaluate(WIDE, width) == []
        assert window.page.evaluate("document.documentElement.scrollWidth") <= width
        assert window.page.evaluate(SMALL) == []
        window.check_harmless()


def test_the_page_of_trained_networks_has_every_section(browser: "Browser", addresses: dict[str, str]) -> None:
    """The page has test errors, curves, budgets, confusion matrices, networks, and the results of all probes."""
    with opened(browser, addresses["trained"]) as window:
        names = " ".join(chart["name"] for chart in window.charts())
        for part in (
            *("test-error", "error-over-parameters", "error-over-multiply-adds", "error-over-seconds"),
            *("training-loss", "validation-error", "confusions", "network-resnet", "network-pyramidnet"),
            *("network-dmrnet", "lesion", "paths", "flow", "streams", "similarity", "surface", "capacity"),
        ):
            assert part in names
        assert window.page.locator("figure img").count() > 0  # images of the explain probe
        for image in window.page.locator("figure img").all():
            assert image.evaluate("(image) => image.complete && image.naturalWidth > 0")


def test_legends_filter(browser: "Browser", addresses: dict[str, str]) -> None:
    """A click on a name makes all other marks faint; a second click shows all again."""
    for name in ("trained", "study"):
        with opened(browser, addresses[name]) as window:
            window.charts()
            filtered = 0
            for chart in window.page.evaluate(LEGENDS):
                labels = window.page.locator(f"[id='{chart}'] .role-legend-label text")
                if labels.count() < 2:
                    continue
                before = window.page.evaluate(LOOKS, chart)
                labels.first.click()
                during = window.page.evaluate(LOOKS, chart)
                assert during != before, chart
                assert set(during) & set(before), chart
                labels.first.click()
                assert window.page.evaluate(LOOKS, chart) == before, chart
                filtered += 1
            assert filtered >= 5
            window.check_harmless()


def test_charts_have_tooltips(browser: "Browser", addresses: dict[str, str]) -> None:
    """Each chart shows a tooltip under the mouse."""
    with opened(browser, addresses["trained"]) as window:
        for chart in window.charts():
            assert tooltip(window.page, chart["name"]), chart["name"]
        words = tooltip(window.page, "chart-network-dmrnet-depth-8-base-2", "stages.1.0, stream 1 of 2")
        for word in ("path", "channels", "2 → 4", "feature map", "8×8 → 4×4", "stride", "shortcut", "projected: mean"):
            assert word in words
        for word in ("operations", "conv3/2:4", "parameters", "multiply-adds"):
            assert word in words
        window.check_harmless()


def tooltip(page: "Page", chart: str, wanted: str = "") -> str:
    """The text of the first tooltip of a chart, of a mark whose label has the wanted words."""
    marks = page.locator(f"[id='{chart}'] svg .role-mark:not([pointer-events=none]) > :not(g)")
    box = page.locator("#vg-tooltip-element.visible")
    for mark in marks.all()[:40]:
        if wanted not in (mark.get_attribute("aria-label") or ""):
            continue
        mark.scroll_into_view_if_needed()
        place = mark.bounding_box()
        assert place is not None
        page.mouse.move(place["x"] + place["width"] / 2, place["y"] + place["height"] / 2)
        if box.count():
            words = box.inner_text()
            page.mouse.move(0, 0)
            return words
    return ""


def test_markup_in_names_is_text(browser: "Browser", addresses: dict[str, str]) -> None:
    """Markup in names of classes, designs, data and results is shown as text, also in charts, and is not executed."""
    with opened(browser, addresses["evil"]) as window:
        charts = window.charts()
        text = window.page.locator("main").inner_text()
        assert all(attack in text for attack in ATTACKS)
        assert EVIL in window.page.locator("h1").inner_text()
        confusions = next(chart["name"] for chart in charts if "confusions" in chart["name"])
        assert EVIL in tooltip(window.page, confusions, EVIL)
        assert window.page.locator("img[src=x]").count() == 0
        assert window.page.evaluate("document.scripts.length") == len(charts) + 2  # the bundle and its call
        window.check_harmless()


def test_markup_in_names_of_objects_is_text(browser: "Browser", addresses: dict[str, str]) -> None:
    """In tables, charts and beside the pictures, each of which is a picture and has its mistakes as its text."""
    with opened(browser, addresses["found"]) as window:
        charts = " ".join(chart["name"] for chart in window.charts())
        assert all(part in charts for part in ("precision-recall", "precision-recall-classes", "confusions"))
        text = window.page.locator("main").inner_text()
        assert all(attack in text for attack in ATTACKS)
        pictures = window.page.locator(".looks img")
        assert pictures.count() == 2
        for picture in pictures.all():
            assert picture.evaluate("(image) => image.complete && image.naturalWidth > 300")
            assert "5 missed" in (picture.get_attribute("alt") or "")
        window.check_harmless()


def test_a_dark_screen_has_light_letters(browser: "Browser", addresses: dict[str, str]) -> None:
    """Page, charts and tooltips are dark where the reader prefers that; the saved figures are as on paper."""
    with opened(browser, addresses["trained"], color_scheme="dark") as window:
        window.charts()
        style = "(element) => { const style = getComputedStyle(element); return [style.color, style.backgroundColor]; }"
        letters, ground = window.page.locator("body").evaluate(style)
        assert (letters, ground) == ("rgb(232, 232, 230)", "rgb(25, 25, 24)")
        drawn = window.page.locator(".chart svg").first
        assert drawn.evaluate("(chart) => getComputedStyle(chart).filter") == "invert(1) hue-rotate(180deg)"
        window.page.emulate_media(media="print")
        assert window.page.locator("body").evaluate(style)[0] == "rgb(28, 28, 28)"
        assert window.page.locator("nav:visible").count() == 0
        window.check_harmless()


def test_the_page_is_readable_without_scripts(browser: "Browser", addresses: dict[str, str]) -> None:
    """Tables and findings need no JavaScript."""
    with opened(browser, addresses["study"], java_script_enabled=False) as window:
        assert window.page.locator("table:visible").count() >= 2
        assert window.page.locator(".headline p strong:visible").count() == 3
        assert window.page.locator("noscript").inner_text().startswith("The charts need JavaScript")
        window.check_harmless()


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_the_first_screen_has_the_first_finding(browser: "Browser", addresses: dict[str, str], width: int) -> None:
    """The sentence and how sure it is stand on the first screen; no table of designs leaves its frame."""
    with opened(browser, addresses["study"], width) as window:
        first = window.page.locator(".headline p").first
        assert first.inner_text().startswith("At depth 56, resnet has a test error of ")
        assert "The difference is 23.52 points (95 %: 19.53 to 27.51 over seeds, " in first.inner_text()
        place = first.bounding_box()
        assert place is not None
        assert place["y"] + place["height"] < 844
        tables = window.page.locator(".leading .scroll")
        assert tables.count() == 2
        assert tables.evaluate_all("(all) => all.every((one) => one.scrollWidth <= one.clientWidth)")
        assert window.page.evaluate("document.documentElement.scrollWidth") <= width
        if width == DESKTOP:
            assert window.page.evaluate("document.documentElement.scrollHeight") <= LONGEST


def test_tables_are_sorted_by_the_keyboard(browser: "Browser", addresses: dict[str, str]) -> None:
    """Enter on a head sorts by its values, and again the other way round; missing values stay last."""
    with opened(browser, addresses["study"]) as window:
        table = window.page.locator(".leading table").first
        values = "(table, column) => [...table.tBodies[0].rows].map((row) => row.cells[column].textContent)"
        table.locator("th button").nth(4).focus()
        for way, sign in (("ascending", 1), ("descending", -1)):
            window.page.keyboard.press("Enter")
            parameters = [sign * int(text.replace(",", "")) for text in table.evaluate(values, 4)]
            assert parameters == sorted(parameters)
            assert table.locator("th[aria-sort]").get_attribute("aria-sort") == way
        table.locator("th button").nth(3).click()
        assert table.evaluate(values, 3)[-6:] == ["–"] * 6
        table.locator("th button").first.click()
        plain = [name for name in table.evaluate(values, 0) if name.startswith("plain")]
        assert plain == ["plain 8", "plain 20", "plain 56"]
        window.check_harmless()


def test_tables_are_filtered(browser: "Browser", addresses: dict[str, str]) -> None:
    """Rows without all words are hidden, and their number is said."""
    with opened(browser, addresses["study"]) as window:
        sheet = window.page.locator(".leading").first
        sheet.get_by_role("searchbox", name="Filter rows").fill("PLAIN 56")
        assert sheet.locator("tbody tr:visible").all_inner_texts()[0].startswith("plain 56")
        assert sheet.locator("tbody tr:visible").count() == 1
        assert sheet.locator("output").inner_text() == "1 of 12 rows"
        sheet.get_by_role("searchbox", name="Filter rows").fill("")
        assert sheet.locator("tbody tr:visible").count() == 12
        window.check_harmless()


def test_tables_and_figures_are_saved(browser: "Browser", addresses: dict[str, str]) -> None:
    """A table as CSV with plain numbers, a figure as SVG with its title, also from a dark screen; without a request."""
    with opened(browser, addresses["study"], color_scheme="dark") as window:
        table = saved(window.page, "Save the table “Designs: Which designs train when they are deep?” as CSV")
        head, first, *rest = csv.reader(table.splitlines())
        assert head == ["design", "seeds", "test error (%)", "95 % interval of the mean", "parameters"]
        assert (first[0], first[4], len(rest)) == ("dmrnet", "430000", 11)
        figure = saved(window.page, "Save the figure “Test error over depth” as SVG")
        assert figure.startswith("<svg")
        assert "Test error over depth" in figure
        assert 'fill="white"' in figure
        assert [address for address in window.requests if not address.startswith("blob:")] == [window.address]
        assert window.logged == []
    with opened(browser, addresses["evil"]) as window:
        window.charts()
        [attack] = ATTACKS[4:]
        classes = window.page.get_by_role("button", name="Save the table “Errors of each class").get_attribute(
            "aria-label"
        )
        assert classes is not None
        assert f"\n'{attack}," in saved(window.page, classes)


def saved(page: "Page", name: str) -> str:
    """The text of the file that a button saves."""
    with page.expect_download() as download:
        page.get_by_role("button", name=name).first.click()
    return Path(download.value.path()).read_text(encoding="utf-8")


RUN_AXE = """axe.run({ exclude: ["svg > g > g"] }, {
    runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"],
})"""


@pytest.mark.skipif(not AXE, reason=f"RESATLAS_AXE does not name the folder of axe-core {AXE_VERSION}")
@pytest.mark.parametrize(("name", "width"), [("study", PHONE), *((name, DESKTOP) for name in PAGES if name != "study")])
def test_nothing_breaks_a_rule_of_access(browser: "Browser", addresses: dict[str, str], name: str, width: int) -> None:
    """No violation of level A or AA of WCAG 2.2, all unfolded, the marks of charts apart; the phone is dark."""
    scheme = {DESKTOP: "light", PHONE: "dark"}[width]
    with opened(browser, addresses[name], width, color_scheme=scheme) as window:
        window.charts()
        window.page.evaluate(f"{Path(AXE, 'axe.min.js').read_text(encoding='utf-8')}; 0")
        report = window.page.evaluate(RUN_AXE)
        assert report["testEngine"]["version"] == AXE_VERSION
        assert len(report["passes"]) > 15
        assert [(rule["id"], rule["nodes"][0]["html"]) for rule in report["violations"]] == []
