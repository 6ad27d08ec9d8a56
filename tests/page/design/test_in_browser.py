"""The design page in Chromium, with this machine's Python: by mouse, by keyboard, at the width of a phone."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from resatlas.page.design.document import design_page, local_transport
from resatlas.page.design.question import Question
from resatlas.serving.design_server import DesignServer
from tests.page.test_browser import DESKTOP, MISSING, SMALL, WIDE, chromium

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.skipif(
    bool(MISSING) and os.environ.get("CI") != "true", reason=f"not installed: {', '.join(MISSING)}"
)

PHONE = 390
WAIT = 120_000  # milliseconds

UNNAMED = """() => [...document.querySelectorAll("input, select, button, section, pre, [role=img]")].filter((element) =>
  !(element.ariaLabel || element.labels?.length || element.textContent.trim() ||
    element.ariaLabelledByElements?.length || element.closest("details:not([open])")))
  .map((element) => element.outerHTML)"""
"""Returns the controls and pictures that a screen reader cannot name."""

READY = "performance.getEntriesByName('ready').length || document.getElementById('message').innerText"

LINES = """(place) => [...document.querySelectorAll(`${place} svg .mark-rule line`)].length"""


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """A browser without background requests."""
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def server() -> Iterator[DesignServer]:
    """The server of `resatlas design wrn-16-2`, in a thread."""
    started = DesignServer(design_page(local_transport(), first=Question(text="wrn-16-2")))
    thread = threading.Thread(target=started.serve_forever)
    thread.start()
    yield started
    started.shutdown()
    started.server_close()
    thread.join()


@contextmanager
def opened(browser: "Browser", address: str, width: int = DESKTOP) -> Iterator["Page"]:
    """The page once it is ready; it asks the server of its address alone, and logs nothing."""
    context = browser.new_context(viewport={"width": width, "height": 844})
    page, logged, asked = context.new_page(), list[str](), set[str]()
    page.set_default_timeout(WAIT)
    page.on("console", lambda message: logged.append(message.text))
    page.on("pageerror", lambda error: logged.append(str(error)))
    context.on("request", lambda request: asked.add(request.url))
    page.goto(address)
    page.wait_for_function(
        "performance.getEntriesByName('ready').length || document.getElementById('message').innerText"
    )
    yield page
    assert logged == []
    start = address.partition("#")[0]
    assert all(url.startswith(start) for url in asked), asked
    context.close()


def shown(page: "Page", name: str) -> None:
    """Wait until the page shows a network."""
    page.locator("#title", has_text=name).wait_for()
    page.wait_for_function("!document.querySelector('.stale')")


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_a_network_is_drawn_and_named(browser: "Browser", server: DesignServer, width: int) -> None:
    """With numbers, lines of shortcuts, tables and texts; nothing is wider than the window, and all has a name."""
    with opened(browser, server.address, width) as page:
        shown(page, "wrn-16-2")
        assert page.locator("#facts").inner_text().split("\n")[:2] == ["parameters", "691,674"]
        assert page.evaluate(LINES, "#drawing") >= 3 * 6
        assert "6 units" in (page.locator("#drawing").get_attribute("aria-label") or "")
        assert page.locator("#paths svg").count() == 1
        assert page.locator("#tables caption", has_text="Training memory").count() == 1
        assert page.locator("#copy-design").inner_text() == "wrn-16-2"
        page.locator("#units summary").click()
        page.locator("#unit-table td", has_text="stages.2.1").first.wait_for()
        page.locator("#eject summary").click()
        page.locator("#source", has_text="class WideResNet").wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(WIDE, width) == []
        assert page.evaluate(SMALL) == []
        assert page.evaluate(UNNAMED) == []


def test_knobs_turn_by_keyboard(browser: "Browser", server: DesignServer) -> None:
    """A wrong one gets the sentence of the package and keeps the focus; a right one shows its network."""
    with opened(browser, server.address) as page:
        page.locator("#knob-depth").focus()
        page.keyboard.press("ArrowUp")
        page.locator("#message", has_text="a wide ResNet has depth 6n + 4; 17 is not (nearest: 16, 22)").wait_for()
        assert page.locator("#knob-depth").get_attribute("aria-invalid") == "true"
        assert page.locator("#title").inner_text() == "wrn-16-2"
        page.keyboard.press("Control+A")
        page.keyboard.type("22")
        shown(page, "wrn-22-2")
        assert page.evaluate("document.activeElement.id") == "knob-depth"
        assert page.locator("[aria-invalid]").count() == 0
        page.keyboard.press("Tab")
        page.keyboard.press("Control+A")
        page.keyboard.type("4")
        shown(page, "wrn-22-4")
        assert page.url.endswith("#wrn-22-4")
        page.locator("#set-classes").fill("100")
        page.locator("#copy-describe", has_text="resatlas describe wrn-22-4 --classes 100").wait_for()


def test_a_network_becomes_a_cross(browser: "Browser", server: DesignServer) -> None:
    """Every key of its file is a knob; its texts are those of a file."""
    with opened(browser, f"{server.address}#dmrnet-14") as page:
        shown(page, "dmrnet-14")
        page.locator("#as-cross").focus()
        page.keyboard.press("Enter")
        page.locator("[data-key='streams.count']").wait_for()
        page.locator("[data-key='streams.count']").fill("3")
        page.locator("#copy-toml", has_text="count = 3").wait_for()
        page.locator("[data-key='residual.order']").select_option("pre-activation")
        page.locator("#copy-toml", has_text='order = "pre-activation"').wait_for()
        assert page.locator("#copy-describe").inner_text() == "resatlas describe dmrnet-14.toml"
        page.locator("#family").select_option("resnet")
        shown(page, "resnet-20")
        page.locator("#name").fill("no-such-net")
        page.keyboard.press("Enter")
        page.locator("#message", has_text='no design "no-such-net"').wait_for()
        page.locator("#name").fill("<b>wrn</b>")
        page.keyboard.press("Enter")
        page.locator("#message", has_text="<b>wrn</b>").wait_for()


def test_a_text_is_copied(browser: "Browser", server: DesignServer) -> None:
    """The button puts the text into the clipboard and says so."""
    with opened(browser, server.address) as page:
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        button = page.get_by_role("button", name="Copy Describe")
        button.click()
        page.locator("button", has_text="Copied").wait_for()
        assert page.evaluate("navigator.clipboard.readText()") == "resatlas describe wrn-16-2"
