"""The page in a real browser, at the width of a desk and of a phone."""

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from resatlas.reporting.page import write_page
from resatlas.reporting.report import report
from tests.reporting.folders import write_study

if TYPE_CHECKING:
    from playwright.sync_api import Browser

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

pytestmark = pytest.mark.skipif(
    bool(MISSING) and os.environ.get("CI") != "true", reason=f"not installed: {', '.join(MISSING)}"
)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of a study, as the address of a file."""
    folder = tmp_path_factory.mktemp("study")
    write_page(folder / "report.html", title="resatlas demo", answers=report([write_study(folder / "demo")]))
    return (folder / "report.html").as_uri()


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """A browser that does not phone home."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield started
        started.close()


@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_is_drawn(browser: "Browser", address: str, width: int) -> None:
    """Every chart is drawn inside the window, nothing is asked of anyone, and no error is logged."""
    page = browser.new_page(viewport={"width": width, "height": 844})
    problems: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address)
    count = page.locator("script[data-chart]").count()
    assert count == 7
    for place in range(count):
        chart = page.locator(".chart").nth(place)
        chart.locator("svg").wait_for()
        assert chart.locator("svg .mark-symbol path, svg .mark-line path, svg .mark-rect path").count() > 5
        box = chart.locator("svg").bounding_box()
        assert box is not None
        assert 0 <= box["x"] < box["x"] + box["width"] <= width
        assert box["width"] > 0.8 * min(width, 400)
    for details in page.locator("details").all():
        details.locator("summary").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert problems == []
    assert asked == [address]
    page.close()


def test_the_page_reads_without_scripts(browser: "Browser", address: str) -> None:
    """Tables and verdicts need none."""
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address)
    assert [table.is_visible() for table in page.locator("table").all()] == [True, True]
    assert page.get_by_text("could have shown a difference").count() == 2
    context.close()
