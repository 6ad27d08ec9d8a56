"""The page in Chromium: its pixels, its logits, and what a person does with it."""

import base64
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from resatlas.arch.dilation import dilated
from resatlas.arch.ops import Shape
from resatlas.cli.studying import _links
from resatlas.comparing.run_sets import read_run_sets
from resatlas.data.photograph import pixels, proportioned
from resatlas.data.photographic import centre
from resatlas.errors import DataError
from resatlas.exporting.page import document
from resatlas.exporting.page.document import write_page
from resatlas.exporting.page.encoding import Precision, encoded_preparation, encoded_program
from resatlas.exporting.page.plain_engine import PlainEngine
from resatlas.exporting.page.program import program_of, rounded
from resatlas.exporting.preprocessing import prepared
from resatlas.nets.network import Network, build
from resatlas.page.page import write_page as write_report
from resatlas.recipes.images import Centre
from resatlas.runs.decoding import read_run
from resatlas.runs.store import Run
from resatlas.studies.classifying_page import best_run, write_classifying_page
from resatlas.studies.predicting import predict
from tests.exporting.page.networks import IMAGENET, PAGES, PREPARATIONS, SMALL, network, preparation
from tests.exporting.page.pictures import PHOTO, refused, saved, whole
from tests.exporting.saved import MARKUP
from tests.inference.test_inference import trained
from tests.page.test_browser import MISSING, OpenedPage, chromium, opened
from tests.training.small import DATA, DESIGN

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.skipif(
    bool(MISSING) and os.environ.get("CI") != "true", reason=f"not installed: {', '.join(MISSING)}"
)

PHONE = 390
CLOSE = 1e-5
CAMERA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
WAIT = 30_000

DECODED = """async (text) => {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  try {
    const { height, width, data } = await resatlas.images.decoded(new Blob([bytes]));
    return [height, width, btoa(Array.from(data, (value) => String.fromCharCode(value)).join(""))];
  } catch (error) { return error instanceof resatlas.images.Refused ? error.message : `unforeseen: ${error}`; }
}"""
"""Returns the pixels of a file's bytes, or the reason why it is refused."""

CENTRE = """([height, width, text, image, shorter]) => {
  const data = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const result = resatlas.images.centre({ channels: image[0], height, width, data }, { image, shorter });
  return btoa(Array.from(result.data, (value) => String.fromCharCode(value)).join(""));
}"""
"""Returns the centre of an image in the network's size."""

NORMALISED = """([text, table, numbers]) => {
  const data = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const [channels, height, width] = table.image;
  const known = resatlas.numbers.numbersIn(numbers, "fp32");
  return Array.from(resatlas.images.normalised({ channels, height, width, data }, table, known));
}"""
"""Returns the numbers that the network takes."""

LOGITS = """async ([table, weights, image]) => {
  const { engine, numbers } = resatlas;
  const compute = await engine.opened(table, weights);
  await compute(numbers.numbersIn(image, "fp32").fill(1)); // the next run must not depend on this one
  return Array.from(await compute(numbers.numbersIn(image, "fp32")));
}"""
"""Returns the logits of a program."""

SHARES = """async (text) => {
  const { images, page } = resatlas;
  const file = new Blob([Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0))]);
  const ranked = page.ranked((await page.logitsOf(page.inChannels(await images.decoded(file)))).logits);
  return Object.fromEntries(ranked.map(({ name, probability }) => [name, probability]));
}"""
"""Returns the probability of each class for a file's bytes."""

UNNAMED = """() => [...document.querySelectorAll("input, button, canvas, video, section")].filter((element) =>
  !(element.ariaLabel || element.labels?.length || element.textContent.trim() ||
    element.ariaLabelledByElements?.length))
  .map((element) => element.outerHTML)"""
"""Returns the controls that a screen reader cannot name."""


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """A browser with a camera that shows a test picture, without background requests."""
    with chromium(*CAMERA) as started:
        yield started


@dataclass(frozen=True)
class Written:
    """A page on disk, and its network."""

    net: Network
    address: str

    def opened(self, browser: "Browser", width: int = 1280, **options: Any) -> AbstractContextManager[OpenedPage]:  # noqa: ANN401
        """The page in a new window."""
        return opened(browser, self.address, width, **options)


@pytest.fixture(scope="module")
def grey(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """The page of a network of grey images, whose class names are markup."""
    return written(tmp_path_factory.mktemp("grey"), Shape(1, 16, 16), MARKUP)


@pytest.fixture(scope="module")
def colour(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """The page of a network of colour images."""
    return written(tmp_path_factory.mktemp("colour"), Shape(3, 24, 24), tuple("abcde"))


def written(folder: Path, image: Shape, classes: tuple[str, ...]) -> Written:
    """The page of a tiny network."""
    net = network("resnet:depth=8,base=2", image, classes=len(classes))
    facts = write_page(
        net, folder / "page.html", classes=classes, preparation=preparation(image), title="<b>A small network</b>"
    )
    return Written(net, facts.file.as_uri())


@pytest.fixture(scope="module")
def page(browser: "Browser", colour: Written) -> Iterator["Page"]:
    """An open page whose functions are called one by one."""
    with colour.opened(browser) as window:
        yield window.page
        window.check_harmless()


def text_of(values: np.ndarray) -> str:
    """Bytes as base64."""
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode("ascii")


def bytes_in(text: str) -> np.ndarray:
    """The numbers of base64."""
    return np.frombuffer(base64.b64decode(text), np.uint8)


@pytest.mark.parametrize(("name", "content"), [pytest.param(*one, id=one[0]) for one in whole()])
def test_pixels_are_those_of_the_reader(page: "Page", name: str, content: bytes) -> None:
    """Every kind of file has the pixels that `predict` reads, whatever its profile, alpha or orientation."""
    height, width, text = page.evaluate(DECODED, base64.b64encode(content).decode())
    expected = pixels(content)
    assert (3, height, width) == expected.shape, name
    assert np.array_equal(bytes_in(text), expected.ravel()), name


@pytest.mark.parametrize(("name", "content", "words"), [pytest.param(*one, id=one[0]) for one in refused()])
def test_what_the_reader_refuses_is_refused(page: "Page", name: str, content: bytes, words: str) -> None:
    """A file that `predict` does not read has no classes on the page; the reason is said."""
    with pytest.raises(DataError):
        proportioned(pixels(content))
    reason = page.evaluate(DECODED, base64.b64encode(content).decode())
    assert isinstance(reason, str), name
    assert words in reason


def test_printing_colours_differ_by_one_at_most(page: "Page") -> None:
    """A browser rounds CMYK in another way than Pillow: pixels differ by 1 of 255."""
    content = saved(PHOTO.convert("CMYK"), "JPEG", subsampling=0)
    text = page.evaluate(DECODED, base64.b64encode(content).decode())[2]
    assert np.abs(bytes_in(text).astype(int) - pixels(content).ravel()).max() <= 1


SIDES = [
    *((61, 83, 24), (24, 24, 24), (24, 60, 24), (23, 24, 24), (7, 5, 24), (2, 2, 16), (2, 99, 16), (480, 640, 224)),
    *((97, 12, 16), (20, 999, 24), (640, 13, 24), (257, 256, 224), (1000, 700, 32)),
]
"""Heights and widths of images, and sides of networks: smaller, larger, equal, and long strips."""


@pytest.mark.parametrize(("height", "width", "size"), SIDES)
@pytest.mark.parametrize("shorter", [Fraction(256, 224), Fraction(1), Fraction(35, 16)])
def test_the_centre_is_that_of_torchvision(page: "Page", height: int, width: int, size: int, shorter: Fraction) -> None:
    """Resized with antialias and cropped, all pixels are equal, for small, large and long images."""
    given = np.random.default_rng(height + width).integers(0, 256, (1, height, width), dtype=np.uint8)
    expected = centre(torch.from_numpy(given), Centre(shorter=shorter), size).numpy()
    side = int(shorter * size + Fraction(1, 2))
    text = page.evaluate(CENTRE, [height, width, text_of(given), [1, size, size], side])
    assert np.array_equal(bytes_in(text), expected.ravel())


@pytest.mark.parametrize("kind", PREPARATIONS)
def test_numbers_are_those_of_the_preparation(page: "Page", kind: str) -> None:
    """Constants and mean images give the same float32 numbers; a whitening agrees up to rounding."""
    image = Shape(3, 8, 8)
    by = PREPARATIONS[kind](image)
    given = np.random.default_rng(4).integers(0, 256, image, dtype=np.uint8)
    expected = prepared(torch.from_numpy(given), by).numpy().ravel()
    encoded = encoded_preparation(by)
    numbers = np.asarray(page.evaluate(NORMALISED, [text_of(given), encoded.table, encoded.numbers]), np.float32)
    if kind == "whitening":
        assert np.abs(numbers - expected).max() <= 1e-5 * np.abs(expected).max()
    else:
        assert np.array_equal(numbers, expected)


@pytest.mark.parametrize("design", PAGES)
def test_logits_are_those_of_torch(page: "Page", design: str) -> None:
    """Every family agrees with torch in float64 to 1e-5 of the largest logit, at odd sides, twice in a row."""
    net = network(design)
    image = np.random.default_rng(5).normal(size=SMALL).astype(np.float32)
    assert differing(page, net, image) <= CLOSE


@pytest.mark.parametrize("design", ["resnet-8-B", "pyramidnet-8-a12"])
def test_logits_of_dilated_networks_are_those_of_torch(page: "Page", design: str) -> None:
    """Taps that are 2 and 4 pixels apart, of convolutions and of the means of pyramidal shortcuts."""
    net = trained(build(dilated(network(design).plan, 1), seed=0))
    image = np.random.default_rng(8).normal(size=SMALL).astype(np.float32)
    assert differing(page, net, image) <= CLOSE


@pytest.mark.parametrize("design", IMAGENET)
def test_logits_of_photographs_are_those_of_torch(page: "Page", design: str) -> None:
    """Networks with a 7x7 stem and a max pool agree, too, the first of them at 224 pixels."""
    shape = Shape(3, 224, 224) if design == IMAGENET[0] else Shape(3, 67, 71)
    image = np.random.default_rng(6).normal(size=shape).astype(np.float32)
    assert differing(page, network(design, shape), image) <= CLOSE


def test_weights_of_half_precision_are_read(page: "Page") -> None:
    """Logits with float16 weights are those of the rounded network, small weights included."""
    net = network("resnet-8")
    with torch.no_grad():
        net.get_parameter("stem.conv.weight").mul_(1e-4)  # below the smallest normal number of float16
    image = np.random.default_rng(7).normal(size=SMALL).astype(np.float32)
    assert differing(page, net, image, "fp16") <= CLOSE


def differing(page: "Page", net: Network, image: np.ndarray, precision: Precision = "fp32") -> float:
    """The largest difference of the logits from those of torch in float64, as a share of the largest."""
    from resatlas.exporting.page.checking import logits_of

    stored = rounded(program_of(net), torch.float32 if precision == "fp32" else torch.float16)
    encoded = encoded_program(stored, precision)
    ours = np.asarray(page.evaluate(LOGITS, [encoded.table, encoded.numbers, text_of(image)]))
    batch = torch.from_numpy(image).double()[None]
    with torch.no_grad():
        expected = (net.double()(batch) if precision == "fp32" else logits_of(stored, batch)).numpy()[0]
    return float(np.abs(ours - expected).max() / max(1, np.abs(expected).max()))


def test_a_chosen_picture_is_classified_as_by_predict(browser: "Browser", colour: Written, tmp_path: Path) -> None:
    """The classes and their shares are those of the network for the pixels that `predict` gives it."""
    file = tmp_path / "photo.jpg"
    file.write_bytes(saved(PHOTO, "JPEG"))
    image = prepared(torch.from_numpy(pixels(file.read_bytes())), preparation(colour.net.plan.image))
    with torch.no_grad():
        shares = colour.net(image[None]).softmax(dim=1)[0]
    ranked = [f"{'abcde'[k]}|{100 * float(shares[k]):.1f} %" for k in shares.argsort(descending=True).tolist()]
    with colour.opened(browser) as window:
        window.page.set_input_files("#file", file)
        window.page.locator("#result").wait_for(timeout=WAIT)
        rows = window.page.locator("#classes li").all()
        assert ["|".join(row.locator("span").all_inner_texts()) for row in rows] == ranked
        assert "Classified the picture in " in window.page.locator("#message").inner_text()
        assert window.page.locator("#seen").evaluate("(canvas) => [canvas.width, canvas.height]") == [24, 24]
        window.check_harmless()


def test_a_run_and_its_saved_folder_answer_as_predict(browser: "Browser", run: Run, kept: Path, tmp_path: Path) -> None:
    """The page of each gives the classes of `predict`, for JPEG, WEBP, alpha and a photo that was turned."""
    chosen = ("jpeg 75 2", "webp", "png alpha", "jpeg held 6", "png 16 bits grey")
    files = {name: tmp_path / f"{name.replace(' ', '-')}.{name.split()[0]}" for name in chosen}
    for name, content in whole():
        if name in chosen:
            files[name].write_bytes(content)
    for source in (run.folder, kept):
        facts = write_classifying_page(source, tmp_path / f"{source.name}.html")
        with opened(browser, facts.file.as_uri()) as window:
            assert window.page.locator("h1").inner_text() == source.name
            for answer in predict(source, files.values(), top=9):
                shares = window.page.evaluate(SHARES, base64.b64encode(Path(answer.image).read_bytes()).decode())
                assert shares == pytest.approx(dict(answer.classes), abs=1e-5), answer.image
            window.check_harmless()


def test_a_picture_that_is_refused_leaves_no_classes(browser: "Browser", colour: Written, tmp_path: Path) -> None:
    """After a refusal nothing of the picture before remains; the reason is one sentence."""
    good, bad = tmp_path / "a.png", tmp_path / "b.png"
    good.write_bytes(saved(PHOTO, "PNG"))
    bad.write_bytes(good.read_bytes()[:500])
    with colour.opened(browser) as window:
        window.page.set_input_files("#file", good)
        window.page.locator("#result").wait_for(timeout=WAIT)
        window.page.set_input_files("#file", bad)
        window.page.locator("#result").wait_for(state="hidden", timeout=WAIT)
        said = window.page.locator("#message").inner_text()
        assert said == "This image cannot be classified: a PNG that is damaged or not complete."
        window.check_harmless()


def test_a_dropped_picture_is_classified(browser: "Browser", colour: Written) -> None:
    """A file that falls on the page is read; a text is refused in words, and the page stays."""
    drop = """(text) => {
      const data = new DataTransfer();
      if (text) data.items.add(new File([Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0))], "a.png"));
      else data.setData("text/plain", "hello");
      document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
    }"""
    with colour.opened(browser) as window:
        window.page.evaluate(drop, "")
        assert window.page.locator("#message").inner_text() == "Drop an image file."
        window.page.evaluate(drop, base64.b64encode(saved(PHOTO, "PNG")).decode())
        window.page.locator("#result").wait_for(timeout=WAIT)
        window.check_harmless()


def test_a_drawing_is_classified(browser: "Browser", grey: Written) -> None:
    """Strokes of the mouse give classes when the pen is lifted, scaled to the square or not; clearing removes them."""
    with grey.opened(browser) as window:
        box = window.page.locator("#drawing").bounding_box()
        assert box is not None
        window.page.mouse.move(box["x"] + 120, box["y"] + 90)
        window.page.mouse.down()
        window.page.mouse.move(box["x"] + 130, box["y"] + 190, steps=5)
        window.page.mouse.up()
        window.page.locator("#result").wait_for(timeout=WAIT)
        fitted = ink(window.page)
        window.page.locator("#fit").uncheck()
        assert 0 < ink(window.page) < fitted
        window.page.locator("#clear").click()
        assert window.page.locator("#result").is_hidden()
        window.check_harmless()


def test_the_keyboard_draws(browser: "Browser", grey: Written) -> None:
    """Arrow keys move the pen, the space bar lowers and lifts it; the image has ink only where it was down."""
    with grey.opened(browser) as window:
        window.page.locator("#drawing").focus()
        window.page.keyboard.press("ArrowLeft")
        assert window.page.locator("#result").is_hidden()
        window.page.keyboard.press("Space")
        for _ in range(8):
            window.page.keyboard.press("ArrowDown")
        window.page.keyboard.press("Space")
        window.page.locator("#result").wait_for(timeout=WAIT)
        assert ink(window.page) > 0
        window.check_harmless()


def ink(page: "Page") -> int:
    """The sum of what the network sees, read from a copy, since reading a canvas twice is logged."""
    return page.locator("#seen").evaluate(
        """(canvas) => {
          const copy = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
          copy.drawImage(canvas, 0, 0);
          return copy.getImageData(0, 0, canvas.width, canvas.height).data
            .reduce((sum, value, k) => sum + (k % 4 ? 0 : value), 0);
        }"""
    )


def test_the_camera_gives_a_photo(browser: "Browser", grey: Written) -> None:
    """The camera starts when it is asked for, gives one photo at a time, and stops; light and dark can be swapped."""
    with grey.opened(browser, permissions=["camera"]) as window:
        assert window.page.locator("#video").is_hidden()
        window.page.locator("#start").click()
        window.page.locator("#shoot").wait_for(timeout=WAIT)
        window.page.locator("#shoot").click()
        window.page.locator("#result").wait_for(timeout=WAIT)
        before = ink(window.page)
        window.page.locator("#invert").check()
        assert ink(window.page) == 255 * 16 * 16 - before
        window.page.locator("#start").click()
        window.page.locator("#video").wait_for(state="hidden", timeout=WAIT)
        window.check_harmless()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, PHONE, 320])
def test_the_page_fits_and_is_named(browser: "Browser", grey: Written, width: int, scheme: str) -> None:
    """Nothing is wider than the window, every control has a name, markup is text, and text is legible in the dark."""
    with grey.opened(browser, width, color_scheme=scheme) as window:
        window.page.locator("#drawing").focus()
        assert window.page.evaluate("document.documentElement.scrollWidth") <= width
        assert window.page.evaluate(UNNAMED) == []
        assert window.page.locator("h1").inner_text() == "<b>A small network</b>"
        assert all(name in window.page.locator("header").inner_text() for name in MARKUP[:2])
        ink_, ground = window.page.evaluate(
            "(() => { const style = getComputedStyle(document.body); return [style.color, style.backgroundColor]; })()"
        )
        assert (brightness(ink_) < brightness(ground)) is (scheme == "light")
        assert abs(brightness(ink_) - brightness(ground)) > 180
        window.check_harmless()


def brightness(colour: str) -> float:
    """The mean of red, green and blue in rgb(…)."""
    return sum(map(int, colour[4:-1].split(","))) / 3


def test_the_page_compares_itself_with_torch(browser: "Browser", colour: Written, tmp_path: Path) -> None:
    """It says that its logits are those of torch, and warns if they are not."""
    with colour.opened(browser) as window:
        assert window.page.locator("#check").inner_text().startswith("This browser computes the logits of torch")
        assert window.page.evaluate("resatlas.page.checked()")["far"] <= CLOSE
    text = Path(colour.address.removeprefix("file://")).read_text(encoding="utf-8")
    place = text.index('"check":{"logits":[') + len('"check":{"logits":[')
    changed = tmp_path / "changed.html"
    changed.write_text(f"{text[:place]}9{text[place:].lstrip('-0')}", encoding="utf-8")
    with opened(browser, changed.as_uri()) as window:
        assert window.page.locator("#check.wrong").inner_text().startswith("Do not trust the classes")


def test_a_browser_that_changes_pixels_is_named(browser: "Browser", colour: Written) -> None:
    """Protection against tracking adds noise to canvases; the page says so instead of showing other classes."""
    noise = """() => {
      const read = CanvasRenderingContext2D.prototype.getImageData;
      CanvasRenderingContext2D.prototype.getImageData = function (...given) {
        const picture = read.apply(this, given);
        picture.data[400] ^= 1;
        return picture;
      };
    }"""
    context = browser.new_context(offline=True)
    context.add_init_script(f"({noise})()")
    window = context.new_page()
    window.goto(colour.address)
    assert "this browser changes the pixels" in window.locator("#check.wrong").inner_text()
    context.close()


def test_an_oblong_network_takes_its_own_size_alone(page: "Page") -> None:
    """As for `predict`: an image of another size is refused, since nothing says how to crop it."""
    given = text_of(np.arange(96, dtype=np.uint8))
    assert page.evaluate(CENTRE, [8, 12, given, [1, 8, 12], 8]) == given
    with pytest.raises(Exception, match="12 x 8 pixels, where this network needs exactly 24 x 16"):
        page.evaluate(CENTRE, [8, 12, given, [1, 16, 24], 16])


def test_only_networks_of_grey_images_take_drawings(browser: "Browser", grey: Written, colour: Written) -> None:
    """A pen draws white on black, which says nothing to a network of colour photographs."""
    for page_, count in ((grey, 1), (colour, 0)):
        with page_.opened(browser) as window:
            assert window.page.locator("#drawing").count() == count
            window.check_harmless()


def test_the_report_of_a_study_links_to_it(browser: "Browser", run: Run, tmp_path: Path) -> None:
    """The best network of the data gets classify.html next to report.html, which links to it and still opens alone."""
    answers = read_run_sets([run.folder])
    links = _links(answers, tmp_path, DATA)
    write_report(tmp_path / "report.html", title="tiny", run_sets=answers, links=links)
    with opened(browser, (tmp_path / "report.html").as_uri()) as window:
        window.check_harmless()
        assert "it has the lowest test error, " in window.page.locator("header").inner_text()
        window.page.get_by_role("link", name="Draw a digit").click()
        window.page.locator("#drawing").wait_for(timeout=WAIT)
        assert window.page.locator("h1").inner_text() == f"synthetic: {DESIGN}"
        assert window.logged == []


def test_a_network_that_a_page_cannot_carry_leaves_the_report(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The reason is printed, and there is no link."""
    monkeypatch.setattr(document, "PLAIN", PlainEngine(most_multiply_adds=1000))
    assert _links(read_run_sets([run.folder]), tmp_path, DATA) == ()
    assert "no classify.html: a page computes up to" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_best_run_is_that_of_the_data(run: Run) -> None:
    """Of runs on other data there is none."""
    record = read_run(run.folder)
    assert best_run([record], data=DATA) is record
    assert best_run([record], data="digits:size=16") is None
