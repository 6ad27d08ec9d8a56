"""The pages in a real browser, at the width of a desk and of a phone."""

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
    name for name, there in (("chromium", CHROMIUM.exists()), ("playwright", find_spec("playwright"))) if not there
]
DESK, PHONE = 1280, 375

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
    said: chart.innerText,
    marks: marks.filter((mark) => mark.width + mark.height > 0.5).length,
    outside: [...parts, ...words].filter((part) => beyond(part.getBoundingClientRect())).map((part) => part.outerHTML),
    smallest: Math.min(...words.map((text) => parseFloat(getComputedStyle(text).fontSize))),
    left: box.left, right: box.right, height: box.height,
  };
})"""
"""What became of each chart."""

LOOKS = """(id) => [...document.getElementById(id).querySelectorAll("svg .role-mark > *")]
  .map((mark) => mark.getAttribute("opacity") + mark.getAttribute("stroke-opacity"))"""
"""How faint each mark of a chart is."""

LEGENDS = """() => [...document.querySelectorAll("script[data-chart]")].map((block) => block.dataset.chart)
  .filter((id) => document.getElementById(id).querySelector(".role-legend-symbol"))"""
"""The charts whose legends have names to click."""

SMALL = """() => [...document.querySelectorAll("body *")]
  .filter((each) => [...each.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim()))
  .filter((each) => !each.closest("script, style, noscript, svg, #vg-tooltip-element"))
  .filter((each) => parseFloat(getComputedStyle(each).fontSize) < 12).map((each) => each.textContent)"""
"""Words of the page that nobody reads on a phone."""

WIDE = """(width) => [...document.querySelectorAll("main *, header *")]
  .filter((each) => !each.closest(".scroll *") && !each.closest("svg *"))
  .filter((each) => each.getBoundingClientRect().right > width + 0.5).map((each) => each.outerHTML.slice(0, 200))"""
"""What reaches beyond the window, but for what scrolls in a box of its own."""


@dataclass
class Opened:
    """A page in the browser, and what it did: what it logged, asked for, and put before the user."""

    page: "Page"
    address: str
    logged: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)

    def charts(self) -> list[dict[str, Any]]:
        """Its charts, all of them unfolded and drawn."""
        self.page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
        self.page.wait_for_function(
            """() => [...document.querySelectorAll("script[data-chart]")].every((block) =>
              document.getElementById(block.dataset.chart).querySelector("svg") ||
              document.getElementById(block.dataset.chart).textContent)"""
        )
        return self.page.evaluate(CHARTS)

    def dismissed(self, dialog: "Dialog") -> None:
        """Write down what a window of its own says, and close it."""
        self.dialogs.append(dialog.message)
        dialog.dismiss()

    def harmless(self) -> None:
        """Nothing was logged, asked of anybody, or shown in a window of its own."""
        assert self.logged == []
        assert self.asked == [self.address]
        assert self.dialogs == []


@pytest.fixture(scope="module")
def addresses(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Each page, as the address of a file."""
    return {name: make(tmp_path_factory.mktemp(name)).as_uri() for name, make in PAGES.items()}


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """A browser that does not phone home."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield started
        started.close()


@contextmanager
def opened(browser: "Browser", address: str, width: int = DESK, **options: Any) -> Iterator[Opened]:  # noqa: ANN401
    """The page in a window of its own, without a network, whose doings are written down."""
    context = browser.new_context(viewport={"width": width, "height": 844}, offline=True, **options)
    found = Opened(context.new_page(), address)
    found.page.set_default_timeout(20_000)
    found.page.on("console", lambda message: found.logged.append(message.text))
    found.page.on("pageerror", lambda error: found.logged.append(str(error)))
    context.on("request", lambda request: found.asked.append(request.url))
    found.page.on("dialog", found.dismissed)
    found.page.goto(address)
    yield found
    context.close()


@pytest.mark.parametrize("width", [DESK, PHONE])
@pytest.mark.parametrize("name", PAGES)
def test_every_chart_is_drawn(browser: "Browser", addresses: dict[str, str], name: str, width: int) -> None:
    """None is empty, cut off or wider than the window; nothing is asked of anyone, and no error is logged."""
    with opened(browser, addresses[name], width) as found:
        charts = found.charts()
        assert len(charts) == found.page.locator("script[data-chart]").count() > 0
        for chart in charts:
            assert chart["marks"] >= 2, chart
            assert "could not be drawn" not in chart["said"], chart
            assert chart["outside"] == [], chart["name"]
            assert 0 <= chart["left"] < chart["right"] <= width, chart
            assert chart["height"] > 60, chart
            assert chart["smallest"] >= (9 if "confusions" in chart["name"] else 11), chart
        assert found.page.evaluate(WIDE, width) == []
        assert found.page.evaluate("document.documentElement.scrollWidth") <= width
        assert found.page.evaluate(SMALL) == []
        found.harmless()


def test_the_page_of_trained_networks_has_every_section(browser: "Browser", addresses: dict[str, str]) -> None:
    """Leaders, curves, budgets, confusions, networks, and an answer to each question about insides."""
    with opened(browser, addresses["trained"]) as found:
        names = " ".join(chart["name"] for chart in found.charts())
        for part in (
            *("test-error", "error-over-parameters", "error-over-multiply-adds", "error-over-seconds"),
            *("training-loss", "validation-error", "confusions", "network-resnet", "network-pyramidnet"),
            *("network-dmrnet", "lesion", "paths", "flow", "streams", "similarity", "surface", "capacity"),
        ):
            assert part in names
        assert found.page.locator("figure img").count() > 0  # explained images
        for image in found.page.locator("figure img").all():
            assert image.evaluate("(image) => image.complete && image.naturalWidth > 0")


def test_legends_switch(browser: "Browser", addresses: dict[str, str]) -> None:
    """A click on a name leaves its marks and makes others faint; a second click on it shows all again."""
    for name in ("trained", "study"):
        with opened(browser, addresses[name]) as found:
            found.charts()
            switched = 0
            for chart in found.page.evaluate(LEGENDS):
                labels = found.page.locator(f"[id='{chart}'] .role-legend-label text")
                if labels.count() < 2:
                    continue
                before = found.page.evaluate(LOOKS, chart)
                labels.first.click()
                during = found.page.evaluate(LOOKS, chart)
                assert during != before, chart
                assert set(during) & set(before), chart
                labels.first.click()
                assert found.page.evaluate(LOOKS, chart) == before, chart
                switched += 1
            assert switched >= 5
            found.harmless()


def test_charts_answer_the_mouse(browser: "Browser", addresses: dict[str, str]) -> None:
    """Somewhere on each chart a box tells the figures below the mouse."""
    with opened(browser, addresses["trained"]) as found:
        for chart in found.charts():
            assert told(found.page, chart["name"]), chart["name"]
        words = told(found.page, "chart-network-dmrnet-depth-8-base-2", "stages.1.0, stream 1 of 2")
        for word in ("path", "channels", "2 → 4", "map", "8×8 → 4×4", "stride", "shortcut", "projected: mean"):
            assert word in words
        for word in ("operations", "conv3/2:4", "parameters", "multiply-adds"):
            assert word in words
        found.harmless()


def told(page: "Page", chart: str, wanted: str = "") -> str:
    """What the box at the mouse says over the first mark of a chart that has one with these words."""
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


def test_names_of_others_are_words(browser: "Browser", addresses: dict[str, str]) -> None:
    """Markup in names of classes, designs, data and answers is shown as it stands, also by charts, and runs nothing."""
    with opened(browser, addresses["evil"]) as found:
        charts = found.charts()
        text = found.page.locator("main").inner_text()
        assert all(attack in text for attack in ATTACKS)
        assert EVIL in found.page.locator("h1").inner_text()
        confusions = next(chart["name"] for chart in charts if "confusions" in chart["name"])
        assert EVIL in told(found.page, confusions, EVIL)
        assert found.page.locator("img[src=x]").count() == 0
        assert found.page.evaluate("document.scripts.length") == len(charts) + 2  # the bundle, and the call
        found.harmless()


def test_a_dark_screen_shows_the_same_page(browser: "Browser", addresses: dict[str, str]) -> None:
    """The page is light whatever the screen prefers, so that its charts stay legible."""
    with opened(browser, addresses["trained"], color_scheme="dark") as found:
        colours = (
            "(() => { const style = getComputedStyle(document.body); return [style.color, style.backgroundColor]; })()"
        )
        assert found.page.evaluate(colours) == ["rgb(28, 28, 28)", "rgb(255, 255, 255)"]
        found.harmless()


def test_the_page_reads_without_scripts(browser: "Browser", addresses: dict[str, str]) -> None:
    """Tables and verdicts need none."""
    with opened(browser, addresses["study"], java_script_enabled=False) as found:
        assert found.page.locator("table:visible").count() >= 2
        assert found.page.locator(".verdict:visible").count() == 2
        assert found.page.locator("noscript").inner_text().startswith("The charts are drawn by a script")
        found.harmless()
