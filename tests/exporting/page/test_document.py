"""What is written: the limits, the proof, and a page that asks for nothing."""

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from resatlas.arch.ops import Shape
from resatlas.errors import CheckpointError, FolderError, ResatlasError, UsageError
from resatlas.exporting.page import plain_engine
from resatlas.exporting.page.document import write_page
from resatlas.exporting.page.encoding import Precision
from resatlas.exporting.page.program import Apply, Program, program_of
from resatlas.inference.folding import Classify
from resatlas.nets.network import Network, build
from tests.exporting.page.networks import network, preparation
from tests.exporting.saved import MARKUP

GREY = Shape(1, 12, 12)


@pytest.fixture(scope="module")
def net() -> Network:
    """A tiny network for grey images."""
    return network("resnet:depth=8,base=2", GREY, classes=4)


def written(
    net: Network,
    file: Path,
    *,
    classes: Sequence[str] = tuple("abcd"),
    title: str = "small",
    precision: Precision = "fp32",
) -> str:
    """The text of a page."""
    known = preparation(net.plan.image)
    write_page(net, file, classes=classes, preparation=known, title=title, precision=precision)
    return file.read_text(encoding="utf-8")


def test_equal_networks_give_equal_bytes(net: Network, tmp_path: Path) -> None:
    """The record says size and digest of the file, and how near the stored weights are to the network."""
    facts = write_page(net, tmp_path / "a" / "page.html", classes="abcd", preparation=preparation(GREY), title="small")
    content = facts.file.read_bytes()
    assert content == (tmp_path / "a" / "page.html").read_bytes()
    assert (facts.bytes, facts.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert 0 < facts.difference < 1e-5 * max(1, facts.largest_logit)
    assert written(net, tmp_path / "b.html").encode() == content


def test_half_precision_stores_half_the_bytes(net: Network, tmp_path: Path) -> None:
    """float16 weights take half the text, and the record says how far they move the logits."""
    text, half = written(net, tmp_path / "a.html"), written(net, tmp_path / "b.html", precision="fp16")
    assert len(weights(half)) == pytest.approx(len(weights(text)) / 2, abs=4)


def weights(text: str) -> str:
    """The weights in a page, as text."""
    [found] = re.findall(r'<script id="weights" type="text/plain">([^<]*)</script>', text)
    return found


def test_the_page_asks_for_nothing(net: Network, tmp_path: Path) -> None:
    """Its policy admits its own script and style by their digests, and no address is in it."""
    text = written(net, tmp_path / "page.html")
    [policy] = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert not re.search(r"unsafe|https?:|data:|blob:|\*", policy)
    for tag, source in (('script type="module"', "script-src"), ("style", "style-src")):
        [inline] = re.findall(rf"<{tag}>(.*?)</{tag.split()[0]}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()
        assert f"{source} 'sha256-{digest}'" in policy
    assert not re.search(r"(src|href)=", text)
    assert "http" not in re.sub(r'http-equiv="Content', "", text).replace(weights(text), "")
    assert str(tmp_path) not in text


def test_markup_in_names_is_text(net: Network, tmp_path: Path) -> None:
    """A class or a title of markup ends no element."""
    text = written(net, tmp_path / "page.html", classes=MARKUP, title="<script>alert(1)</script>")
    assert text.count("<script") == 4
    [table] = re.findall(r'<script id="description" type="application/json">(.*?)</script>', text, re.DOTALL)
    assert json.loads(table)["classes"] == list(MARKUP)


@pytest.mark.parametrize(
    ("design", "image", "classes", "words"),
    [
        (
            "resnet-18-B",
            Shape(3, 224, 224),
            5,
            "1,814 million at 3x224x224. Larger ones need --runtime DIR, a folder with onnxruntime-web 1.30.0",
        ),
        ("resnet:depth=8,base=2", Shape(3, 32, 32), 0, "this network has no classifier"),
        ("resnet:depth=8,base=2", Shape(3, 32, 32), 3, "got 5 class names for a network with 3 outputs"),
        ("resnet:depth=8,base=2", Shape(2, 32, 32), 5, "the network takes images of 2 channels"),
    ],
)
def test_what_a_page_cannot_carry_is_refused(
    design: str, image: Shape, classes: int, words: str, tmp_path: Path
) -> None:
    """Each refusal says what the network has and what is allowed, and nothing is written."""
    net = build(design, image=image, classes=classes, seed=0).eval()
    names = tuple("abcde") if classes else ()
    with pytest.raises(UsageError, match=re.escape(words)):
        write_page(net, tmp_path / "page.html", classes=names, preparation=preparation(image), title="x")
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_file_is_refused(net: Network, tmp_path: Path) -> None:
    """A folder, another type of file, and a place below a file."""
    (tmp_path / "page.html").mkdir()
    (tmp_path / "file").write_text("mine")
    with pytest.raises(FolderError, match="is a folder; name a file in it"):
        written(net, tmp_path / "page.html")
    with pytest.raises(UsageError, match=r"must be an \.html file"):
        written(net, tmp_path / "model.onnx")
    with pytest.raises(FolderError, match="cannot be written"):
        written(net, tmp_path / "file" / "page.html")
    assert (tmp_path / "file").read_text() == "mine"


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    """A network that has diverged is not written."""
    net = network("resnet:depth=8,base=2", GREY, classes=4)
    with torch.no_grad():
        net.get_parameter("head.linear.weight")[0, 0] = float("nan")
    with pytest.raises(CheckpointError, match="not finite"):
        written(net, tmp_path / "page.html")
    assert not list(tmp_path.iterdir())


def test_a_program_that_is_not_the_network_is_refused(
    net: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The comparison finds a bias that is off by a millionth, and nothing is written."""
    program = program_of(net)
    last = program.operations[-1]
    assert isinstance(last, Apply)
    assert isinstance(last.step, Classify)
    wrong = replace(last, step=replace(last.step, bias=last.step.bias + 1e-6))
    changed = replace(program, operations=(*program.operations[:-1], wrong))

    def differing(_net: Network) -> Program:
        return changed

    monkeypatch.setattr(plain_engine, "program_of", differing)
    with pytest.raises(ResatlasError, match="the operations of the page differ from the network"):
        written(net, tmp_path / "page.html")
    assert not list(tmp_path.iterdir())


def test_the_network_is_not_changed(net: Network, tmp_path: Path) -> None:
    """Its weights, their type and its mode are those of before."""
    net.train()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    written(net, tmp_path / "page.html")
    assert net.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    assert {tensor.dtype for tensor in net.parameters()} == {torch.float32}
    net.eval()
