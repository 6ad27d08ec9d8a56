"""`resatlas serve` as a process: the answers of `resatlas predict`, files that ask for much, signals, the page."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from resatlas import predict, save_pretrained
from resatlas.cli.main import main
from resatlas.nets.network import build
from resatlas.nets.preparation import Preparation
from tests.data.pictures import picture
from tests.page.test_browser import ARGUMENTS, CHROMIUM, MISSING
from tests.serving.bombs import ANSWERED, REFUSED
from tests.serving.running import answer, asked, connected, get, png, request
from tests.serving.test_load import eventually, refuses
from tests.training.small import carried_out

if TYPE_CHECKING:
    from playwright.sync_api import Browser

MARKUP = ("<script>alert(1)</script>", '"></td>', "=cmd()", "Hund & Katze", "猫")


READING = """
import os, sys

def refuse(event, arguments):
    writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    elsewhere = arguments and not str(arguments[0]).startswith((os.environ["TMPDIR"], os.devnull))
    if elsewhere and (writes or event in ("os.mkdir", "os.rename", "socket.connect")):
        os.write(2, f"forbidden: {event} {arguments}\\n".encode())
        os._exit(99)

sys.addaudithook(refuse)
sys.argv[0] = "resatlas"
from resatlas.__main__ import run
run()
"""
"""The program, which ends at once if it writes a file, except for temporary ones, or connects to an address."""


@dataclass(frozen=True)
class Program:
    """A process that serves a folder, and its port."""

    process: "subprocess.Popen[str]"
    port: int
    folder: Path

    def status(self, name: str) -> int:
        """A line of /proc/<pid>/status, in kB."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) for line in text.splitlines() if line.startswith(f"{name}:"))

    def ended(self) -> tuple[int, str, str]:
        """Its exit code and what it has printed since it was ready."""
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out, err


@contextmanager
def serving(folder: Path, *options: str) -> Iterator[Program]:
    """The program on a free port, once it is ready; it writes temporary files alone, and connects to no address.

    torch makes an empty folder for them.
    """
    words = [sys.executable, "-c", READING, "serve", str(folder), "--port", "0", *options]
    scratch = folder.with_name(f"{folder.name}-scratch")
    scratch.mkdir(exist_ok=True)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1", "TMPDIR": str(scratch)}
    for name in ("TORCHINDUCTOR_CACHE_DIR", "CI", "ORT_DISABLE_TELEMETRY"):  # set by torch, and by ourselves
        environment.pop(name, None)
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stderr is not None
            line = process.stderr.readline()
            assert "(stop with Ctrl-C)" in line, line + process.stderr.read()
            port = int(line.partition("://127.0.0.1:")[2].partition("/")[0])
            yield Program(process, port, folder)
        finally:
            process.kill()
    assert [path for path in scratch.rglob("*") if path.is_file()] == []


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved network of three channels whose classes are markup, formulas and letters of other alphabets."""
    folder = tmp_path_factory.mktemp("serving") / "saved"
    network = build("resnet-20", classes=len(MARKUP), seed=0)
    save_pretrained(network, folder, classes=MARKUP, preparation=Preparation(mean=(0.4,), std=(0.2,), crop_share=0.9))
    return folder


@pytest.fixture(scope="module")
def program(saved: Path) -> Iterator[Program]:
    """A server of that network."""
    with serving(saved) as running:
        yield running


def write_kinds(folder: Path) -> list[Path]:
    """Image files of every kind that is read: formats, colours, depths, transparency, turned, of other sizes."""
    exif = Image.Exif()
    exif[0x0112] = 6
    photograph, small = picture(1, size=(120, 90)), picture(2, size=(32, 32))
    grey = Image.fromarray(np.arange(48 * 40, dtype=np.uint16).reshape(48, 40) * 30)
    see_through = small.copy()
    see_through.putalpha(Image.linear_gradient("L").resize((32, 32)))
    images = {
        "small.png": small,
        "photograph.png": photograph,
        "photograph.jpg": photograph,
        "cmyk.jpg": photograph.convert("CMYK"),
        "photograph.bmp": photograph,
        "grey.png": photograph.convert("L"),
        "palette.png": photograph.convert("P"),
        "deep.png": grey,
        "see-through.png": see_through,
        "wide.png": picture(3, size=(20, 300)),
    }
    for name, image in images.items():
        image.save(folder / name)
    photograph.save(folder / "progressive.jpg", progressive=True)
    photograph.save(folder / "turned.jpg", exif=exif)
    photograph.save(folder / "photograph.webp", lossless=True)
    return sorted(folder.iterdir())


def check_same(folder: Path, port: int, files: list[Path]) -> None:
    """The server's classes and probabilities are those of `predict`, up to rounding."""
    for expected in predict(folder, files, top=3):
        body = Path(expected.image).read_bytes()
        found = asked(port, request(body, line="POST /v1/classify?top=3 HTTP/1.1")).json["classes"]
        assert [row["class"] for row in found] == [name for name, _ in expected.classes], expected.image
        assert [row["probability"] for row in found] == pytest.approx([p for _, p in expected.classes], abs=1e-5)


def test_answers_are_those_of_predict(program: Program, tmp_path: Path) -> None:
    """For a saved network and image files of every kind."""
    check_same(program.folder, program.port, write_kinds(tmp_path))


def test_a_run_is_served_and_a_signal_answers_what_is_in_flight(tmp_path: Path) -> None:
    """A finished run of one channel. SIGTERM: the body on its way is taken and answered, new connections are refused.

    The exit code is 0, and the number of answers is the result.
    """
    run, images, whole = carried_out(tmp_path / "run"), tmp_path / "images", request(png())
    images.mkdir()
    with serving(run.folder, "--json") as program, connected(program.port) as line:
        check_same(run.folder, program.port, write_kinds(images))
        assert get(program.port, "/v1/model").json["image"] == {"channels": 1, "height": 8, "width": 8}
        line.sendall(whole[:-9])
        assert get(program.port, "/health/ready").status == 200  # so that the half has arrived
        program.process.send_signal(signal.SIGTERM)
        eventually(lambda: refuses(program.port))
        line.sendall(whole[-9:])
        assert answer(line).status == 200
        code, out, err = program.ended()
    assert (code, err) == (0, "")
    assert json.loads(out) == {"answered": 16}


def test_the_network_is_described_without_a_path(program: Program) -> None:
    """Design, classes, sizes and limits; neither the folder nor the user's name."""
    found = get(program.port, "/v1/model")
    assert found.json["design"] == "resnet-20"
    assert found.json["classes"] == list(MARKUP)
    assert found.json["limits"] == {"max_body": 10_000_000, "max_pixels": 25_000_000}
    assert (found.json["engine"], found.json["precision"]) == ("torch", "fp32")


def test_no_answer_has_a_path_of_the_machine(program: Program) -> None:
    """Whatever the request, the answer has no folder of ours."""
    answers = [get(program.port, path) for path in ("/", "/v1/model", "/metrics", "/health/ready", "/x", "/page.js")]
    answers += [asked(program.port, request(body)) for body in (b"x", png()[:-30], REFUSED["two images"])]
    for one in answers:
        text = one.body + str(one.headers).encode()
        for part in (str(program.folder), str(Path(__file__).parents[2]), str(Path.home()), sys.prefix, "Traceback"):
            assert part == "/" or part.encode() not in text


def test_bombs_are_refused_with_little_memory(program: Program) -> None:
    """4xx in JSON, before the time limit of an answer; less than 100 MB more at any moment; the server goes on.

    Texts and profiles that unpack to much are passed over, as by `predict`.
    """
    usual = asked(program.port, request(png())).json
    Path(f"/proc/{program.process.pid}/clear_refs").write_text("5")  # the peak counts from now; proc(5)
    before = program.status("VmRSS")
    for name, body in REFUSED.items():
        found = asked(program.port, request(body))
        assert (found.status, name) == (422, name)
        assert found.error.startswith("the image cannot be classified: ")
    for name, body in ANSWERED.items():
        assert (asked(program.port, request(body)).json, name) == (usual, name)
    assert program.status("VmHWM") - before < 100_000
    assert asked(program.port, request(png())).json == usual


@pytest.mark.skipif(bool(MISSING) and os.environ.get("CI") != "true", reason=f"not installed: {', '.join(MISSING)}")
def test_the_page_classifies_an_image(program: Program, tmp_path: Path) -> None:
    """In a browser: names of classes are text, every request is to the server itself, nothing is logged."""
    from playwright.sync_api import expect, sync_playwright

    file = tmp_path / "image.png"
    file.write_bytes(png())
    site = f"http://127.0.0.1:{program.port}/"
    with sync_playwright() as playwright:
        browser: Browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = browser.new_page()
        page.set_default_timeout(60_000)
        expect.set_options(timeout=60_000)
        seen: list[str] = []
        page.on("console", lambda message: seen.append(message.text))
        page.on("pageerror", lambda error: seen.append(str(error)))
        page.on("dialog", lambda dialog: seen.append(dialog.message))
        requests: list[str] = []
        page.on("request", lambda request: requests.append(request.url))
        page.goto(site)
        expect(page.locator("#about")).to_contain_text("resnet-20, 5 classes")
        page.locator("#file").set_input_files(file)
        rows = page.locator("#classes tbody tr")
        expect(rows).to_have_count(5)
        assert set(page.locator("#classes tbody td:first-child").all_inner_texts()) == set(MARKUP)
        other = tmp_path / "other.png"
        other.write_bytes(b"not an image")
        page.locator("#file").set_input_files(other)
        expect(page.locator("#status")).to_contain_text("something else, not a complete JPEG")
        browser.close()
    assert all(address.startswith((site, "data:", f"blob:{site}")) for address in requests)
    assert [text for text in seen if "422" not in text] == []


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--port 70000", "--port must be between 0 and 65,535; got 70,000"),
        ("--port x", "argument --port: invalid int value: 'x'"),
        ("--host nowhere.invalid", "--host nowhere.invalid is not an address of this machine"),
        ("--host 192.0.2.7", "--host 192.0.2.7 is not an address of this machine"),
        ("--engine tpu", 'no value of --engine "tpu"; there are torch, onnxruntime, openvino'),
        ("--precision fp8", 'no value of --precision "fp8"; there are fp32, bf16'),
        ("--threads 0", "--threads must be between 1 and 1,024; got 0"),
        ("--max-body 10X", 'expected a size such as 10M, 500k or 2000000; got "10X"'),
        ("--max-body 1G", "--max-body must be between 1,000 and 2.5e+08"),
        ("--queue 0", "--queue must be between 1 and 10,000; got 0"),
        ("--batch 0", "--batch must be between 1 and 1,024; got 0"),
        ("--connections 99999", "--connections must be between 1 and 10,000; got 99,999"),
        ("--answer-seconds nan", "--answer-seconds must be between 0.1 and 600; got nan"),
        ("--prot 1", 'no option of resatlas serve "--prot"; did you mean "--port"?'),
        ("", "is neither a run folder nor a saved network: it does not exist"),
    ],
)
def test_wrong_options_are_told_in_a_line(
    words: str, sentence: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 2, before anything is loaded."""
    monkeypatch.chdir(tmp_path)
    port = () if "--port" in words else ("--port", "0")
    assert main(["serve", "nothing", *port, *words.split()]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert sentence in err


def test_a_port_in_use_is_told_in_a_line(program: Program, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, before anything is loaded."""
    assert main(["serve", "nothing", "--port", str(program.port)]) == 2
    assert f"port {program.port} is in use; choose another with --port" in capsys.readouterr().err


def test_a_missing_package_is_told_with_the_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 2 and what to install."""
    installed = {"starlette": 1, "prometheus_client": 1}
    monkeypatch.setattr("resatlas.cli.serve_verb.find_spec", installed.get)
    assert main(["serve", "nothing"]) == 2
    assert capsys.readouterr().err == "UsageError: resatlas serve needs uvicorn: pip install 'resatlas[serve]'\n"
