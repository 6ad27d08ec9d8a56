"""Pages that onnxruntime-web computes, in Chromium."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from resatlas.arch.ops import Shape
from resatlas.data.photograph import pixels
from resatlas.exporting.page.document import write_page
from resatlas.exporting.page.runtime import Runtime, read_runtime
from resatlas.exporting.page.runtime_engine import RuntimeEngine
from resatlas.exporting.preprocessing import prepared
from resatlas.nets.network import Network
from tests.exporting.page.networks import network, preparation
from tests.exporting.page.pictures import PHOTO, saved
from tests.exporting.page.runtimes import FOLDER, needs_runtime, small_runtime
from tests.exporting.subjects import needs
from tests.page.test_browser import MISSING, chromium, opened

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = [
    pytest.mark.skipif(bool(MISSING) and os.environ.get("CI") != "true", reason=f"not installed: {', '.join(MISSING)}"),
    needs("onnx", "onnxscript", "onnxruntime"),
]

IMAGE = Shape(3, 24, 24)
CLASSES = tuple("abcde")
WAIT = 120_000


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """A browser without background requests."""
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def net() -> Network:
    """Two streams, so that the model has more than convolutions."""
    return network("dmrnet:depth=8,base=2", IMAGE, classes=len(CLASSES))


def page(net: Network, runtime: Runtime, file: Path) -> Path:
    """The page of the network."""
    known = preparation(IMAGE)
    write_page(net, file, classes=CLASSES, preparation=known, title="x", engine=RuntimeEngine(runtime))
    return file


def verdict(page: "Page") -> str:
    """What the page says about itself after its comparison."""
    judged = page.locator("#check", has_text="the logits").or_(page.locator("#check", has_text="Nothing"))
    judged.wait_for(timeout=WAIT)
    return page.locator("#check").inner_text()


@needs_runtime
def test_a_picture_is_classified_as_by_predict(browser: "Browser", net: Network, tmp_path: Path) -> None:
    """The page compares itself with torch, gives the shares of the network, asks for nothing, and warns if changed."""
    written = page(net, read_runtime(Path(FOLDER)), tmp_path / "page.html")
    file = tmp_path / "photo.jpg"
    file.write_bytes(saved(PHOTO, "JPEG"))
    with torch.no_grad():
        image = prepared(torch.from_numpy(pixels(file.read_bytes())), preparation(IMAGE))
        shares = net(image[None]).softmax(dim=1)[0]
    ranked = [f"{CLASSES[k]}|{100 * float(shares[k]):.1f} %" for k in shares.argsort(descending=True).tolist()]
    with opened(browser, written.as_uri()) as window:
        window.page.set_input_files("#file", file)  # while the runtime starts
        window.page.locator("#result").wait_for(timeout=WAIT)
        rows = window.page.locator("#classes li").all()
        assert ["|".join(row.locator("span").all_inner_texts()) for row in rows] == ranked
        assert verdict(window.page).startswith("This browser computes the logits of torch")
        assert window.page.evaluate("resatlas.page.checked()")["far"] <= 1e-5
        window.check_harmless()
    text = written.read_text(encoding="utf-8")
    place = text.index('"check":{"logits":[') + len('"check":{"logits":[')
    written.write_text(f"{text[:place]}9{text[place:].lstrip('-0')}", encoding="utf-8")
    with opened(browser, written.as_uri()) as window:
        assert verdict(window.page).startswith("Do not trust the classes")
    written.write_text(text.replace(" 'wasm-unsafe-eval'", ""), encoding="utf-8")
    with opened(browser, written.as_uri()) as window:
        assert verdict(window.page).startswith("Nothing can be classified: onnxruntime-web does not start")


def test_a_runtime_that_does_not_start_is_named(browser: "Browser", net: Network, tmp_path: Path) -> None:
    """The page gives the reason at its foot and refuses pictures."""
    written = page(net, small_runtime('throw new Error("no SIMD");'), tmp_path / "page.html")
    file = tmp_path / "a.png"
    file.write_bytes(saved(PHOTO, "PNG"))
    with opened(browser, written.as_uri()) as window:
        expected = "Nothing can be classified: onnxruntime-web does not start in this browser (no SIMD)."
        assert verdict(window.page) == expected
        assert window.page.locator("#check.wrong").count() == 1
        window.page.set_input_files("#file", file)
        window.page.locator("#message", has_text="cannot be classified").wait_for(timeout=WAIT)
        assert window.page.locator("#result").is_hidden()


def test_a_session_runs_one_image_at_a_time(browser: "Browser", net: Network, tmp_path: Path) -> None:
    """Three images at once are computed one after another, and wrong logits are a warning."""
    slow = """let running = 0, count = 0;
      return { run: async ({ images }) => {
        if (running++) throw new Error("two at a time");
        if (images.dims.join() !== "1,3,24,24") throw new Error("another shape");
        await new Promise((done) => setTimeout(done, 30));
        running--;
        return { logits: { data: Float32Array.from([0, 0, count++, 0, 0]) } };
      } };"""
    written = page(net, small_runtime(slow), tmp_path / "page.html")
    with opened(browser, written.as_uri()) as window:
        assert verdict(window.page).startswith("Do not trust the classes: in this browser the logits")
        counts = window.page.evaluate(
            """async () => {
              const pixels = { channels: 3, height: 24, width: 24, data: new Uint8Array(1728) };
              const results = await Promise.all([1, 2, 3].map(() => resatlas.page.logitsOf(pixels)));
              return results.map(({ logits }) => logits[2]);
            }"""
        )
        assert counts == [1, 2, 3]
        window.check_harmless()
