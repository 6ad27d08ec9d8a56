"""The design page as one file: Python in the browser gives the answers of CPython, and nothing is requested."""

import ast
import hashlib
import json
import os
import tarfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import ZipFile

import pytest
from docs.site import pyodide
from docs.site.design import CACHE, main, package, write_design
from docs.site.pyodide import ARCHIVE, FILES, NoRuntimeError, Runtime, runtime

from resatlas.designs.catalog import named
from resatlas.page.design.answers import ask
from tests.page.design.test_in_browser import READY
from tests.page.test_browser import MISSING, chromium

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

needs_browser = pytest.mark.skipif(
    bool(MISSING) and os.environ.get("CI") != "true", reason=f"not installed: {', '.join(MISSING)}"
)

WAIT = 240_000  # milliseconds
MOST_BYTES = 10_000_000

SOME = 40
"""Networks of one call into the page."""

ASKED = """(names) => Promise.all(names.map((text) => window.resatlasTransport.ask("turn", { text })))"""


@pytest.fixture(scope="module")
def python() -> Runtime:
    """Pyodide, from the archive that is named, else from npm; a test is skipped where npm cannot get it."""
    try:
        return runtime(CACHE)
    except NoRuntimeError as error:
        if os.environ.get(ARCHIVE):
            raise
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def file(python: Runtime, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page."""
    out = tmp_path_factory.mktemp("design") / "design.html"
    write_design(out, python)
    return out


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """A browser without background requests."""
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def page(browser: "Browser", file: Path) -> Iterator["Page"]:
    """The page once it is ready, in a window without a network; it has logged nothing and requested only itself."""
    context = browser.new_context(viewport={"width": 390, "height": 844}, offline=True)
    opened, logged, requests = context.new_page(), list[str](), list[str]()
    opened.set_default_timeout(WAIT)
    opened.on("console", lambda message: logged.append(message.text))
    opened.on("pageerror", lambda error: logged.append(str(error)))
    context.on("request", lambda request: requests.append(request.url))
    opened.goto(file.as_uri())
    opened.wait_for_function(READY)
    assert opened.locator("#message").inner_text() == ""
    assert opened.locator("#title").inner_text() == "resnet-20"
    yield opened
    assert logged == []
    assert [url for url in requests if not url.startswith("blob:")] == [file.as_uri()]
    context.close()


@needs_browser
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_browser_gives_the_answers_of_cpython(page: "Page") -> None:
    """Every text, number and drawing of every network of the catalogue."""
    names = list(named())
    for start in range(0, len(names), SOME):
        some = names[start : start + SOME]
        for name, text in zip(some, page.evaluate(ASKED, some), strict=True):
            assert json.loads(text) == json.loads(ask("turn", json.dumps({"text": name}))), name


@needs_browser
@pytest.mark.slow
def test_a_phone_turns_knobs(page: "Page") -> None:
    """Another depth, a wrong one with its sentence, a cross, the PyTorch file."""
    page.locator("#knob-depth").fill("32")
    page.locator("#title", has_text="resnet-32").wait_for()
    page.locator("#knob-depth").fill("33")
    page.locator("#message", has_text="a ResNet for CIFAR has depth 6n + 2; 33 is not (nearest: 32, 38)").wait_for()
    page.locator("#knob-depth").fill("8")
    page.locator("#title", has_text="resnet-8").wait_for()
    page.locator("#as-cross").click()
    page.locator("[data-key='residual.groups']").fill("4")
    page.locator("#copy-toml", has_text="groups = 4").wait_for()
    page.locator("#eject summary").click()
    page.locator("#source", has_text="groups").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.slow
def test_the_file_is_small_and_always_the_same(file: Path, python: Runtime, tmp_path: Path) -> None:
    """At most ten megabytes, with a policy that lets it ask nobody."""
    assert file.stat().st_size <= MOST_BYTES
    write_design(tmp_path / "again.html", python)
    assert (tmp_path / "again.html").read_bytes() == file.read_bytes()
    head = file.read_text(encoding="utf-8")[:2000]
    assert "default-src 'none'" in head
    assert "connect-src 'none'" in head


def test_the_package_in_the_page_has_no_torch() -> None:
    """It has the answers, the tables and what they import, and none of the rooms that compute with networks."""
    names = set(ZipFile(BytesIO(package())).namelist())
    assert {"resatlas/__init__.py", "resatlas/page/design/answers.py", "resatlas/designs/printed.csv"} <= names
    assert {name.split("/")[1] for name in names if name.count("/") > 1} == {
        "arch", "comparing", "designs", "eject", "nets", "page", "recipes", "runs", "training", "values",
    }  # fmt: skip
    archive = ZipFile(BytesIO(package()))
    nodes = [node for name in names if name.endswith(".py") for node in ast.walk(ast.parse(archive.read(name)))]
    imported = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    assert not {module.partition(".")[0] for module in imported} & {"torch", "torchvision", "numpy", "scipy"}


def test_another_archive_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its digest; a missing one by its name, and a missing npm with the way to do without."""
    monkeypatch.setenv(ARCHIVE, str(tmp_path / "other.tgz"))
    with pytest.raises(NoRuntimeError, match=r"other\.tgz: no such file or directory"):
        runtime(tmp_path)
    (tmp_path / "other.tgz").write_bytes(b"another")
    with pytest.raises(NoRuntimeError, match=r"other\.tgz is not that of pyodide 314\.0\.7"):
        runtime(tmp_path)
    monkeypatch.delenv(ARCHIVE)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoRuntimeError, match="npm is not installed; RESATLAS_PYODIDE can name the archive"):
        runtime(tmp_path / "cache")


def test_the_files_of_an_archive_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that the page needs."""
    archive = tmp_path / "small.tgz"
    with tarfile.open(archive, "w:gz") as opened:
        for name in FILES:
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(name)
            opened.addfile(member, BytesIO(name.encode()))
    monkeypatch.setattr(pyodide, "SHA256", hashlib.sha256(archive.read_bytes()).hexdigest())
    monkeypatch.setenv(ARCHIVE, str(archive))
    assert runtime(tmp_path).files == {name: name.encode() for name in FILES}


def test_the_program_says_how_it_is_used(capsys: pytest.CaptureFixture[str]) -> None:
    """A page is an .html file."""
    assert main([]) == main(["page.txt"]) == 2
    assert capsys.readouterr().err.splitlines()[0] == "usage: python -m docs.site.design OUT.html"
