"""Pages about saved networks and published weights: what they say, and that markup in names is text."""

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from html import escape, unescape
from pathlib import Path

import pytest

from resatlas.arch.cost import cost
from resatlas.arch.paths import mean_lengths
from resatlas.cli.main import main
from resatlas.exporting.card import card
from resatlas.exporting.config import CONFIG, Affine, Stored
from resatlas.page.network_page import DescribedNetwork
from resatlas.studies.network_facts import described
from resatlas.values.blocks import Block, Bullets, Heading, Paragraph
from resatlas.weights.words import table
from tests.cli.test_startup import IMPORTED
from tests.exporting.saved import BARE, MARKUP, TRAINED, without_weights

WORD = "torchvision/resnet18@V1"


def said(network: DescribedNetwork) -> list[str]:
    """The sentences of the blocks, in order."""
    return list(_said(network.blocks))


def _said(blocks: tuple[Block, ...]) -> Iterator[str]:
    for block in blocks:
        match block:
            case Heading(words) | Paragraph(words):
                yield words
            case Bullets(title, lines):
                yield from (title, *lines)
            case _:
                yield from (cell for line in block.cells for cell in line)


def written(tmp_path: Path, *what: str | Path) -> str:
    """The text of the page about networks."""
    file = tmp_path / "page.html"
    assert main(["report", *map(str, what), "--out", str(file), "--quiet"]) == 0
    return file.read_text(encoding="utf-8")


def test_a_saved_network_is_described_as_on_its_card(tmp_path: Path) -> None:
    """Every sentence about results, training and limits is on the model card, too."""
    config = replace(TRAINED, class_names=tuple("abcd"))
    plain = replace(config, training=config.training and replace(config.training, departures=()))
    sentences = said(described(without_weights(tmp_path / "net", plain)))
    text = card(plain, ()).replace("\\_", "_")
    begin, end = sentences.index("Results"), sentences.index("Licences")
    assert end - begin > 20
    assert [sentence for sentence in sentences[begin:end] if sentence not in text] == []
    assert "1.32 to 4.68 % for the error" in " ".join(sentences)
    assert sentences[0] in text


def test_the_preparation_and_the_weights_are_said(tmp_path: Path) -> None:
    """In pixels and numbers, with the digest; what a folder does not say is unknown."""
    sentences = said(described(without_weights(tmp_path / "a", TRAINED)))
    line = sentences[sentences.index("Preparation of images") + 1]
    assert "its shorter side is resized to 37 pixels (bilinear, antialiased), and its centre of 32 x 32" in line
    assert line.endswith("Pixels x from 0 to 255 become (x/255 - mean)/std: mean 0.5, 0.5, 0.5, std 0.25, 0.25, 0.25.")
    assert f"model.safetensors, sha256 {'0' * 64}; written by resatlas 9.9.9." in sentences
    assert "Weights: unknown." in sentences
    bare = said(described(without_weights(tmp_path / "b", BARE)))
    assert "Unknown: the network was saved without it." in bare
    assert "Unknown: the network was saved without a run, so its training is unknown." in bare


@pytest.mark.parametrize(
    ("normalisation", "words"),
    [
        (Affine(mean=((((0.5,) * 32),) * 32,) * 3, std=(((1.0,),),) * 3), "each pixel is normalised with its own mean"),
        (Stored(sha256="a" * 64), f"as normalisation.safetensors says (sha256 {'a' * 64})"),
    ],
)
def test_other_normalisations_are_named(normalisation: Affine | Stored, words: str, tmp_path: Path) -> None:
    """A mean image and a whitening have too many numbers for a sentence."""
    network = described(without_weights(tmp_path / "net", replace(TRAINED, normalisation=normalisation)))
    assert any(words in sentence for sentence in said(network))


def test_markup_in_names_is_text(tmp_path: Path) -> None:
    """Class names, data, notes and the name of the folder end no element and hold no folder of the machine."""
    training = TRAINED.training
    assert training
    evil = replace(training, data="<img src=x>:size=8", note="/home/me/x", recipe="</p><script>alert(2)</script>")
    text = written(tmp_path, without_weights(tmp_path / "<b>net<", replace(TRAINED, training=evil, class_names=MARKUP)))
    main_ = text[text.index("<main>") : text.index("</main>")]
    assert escape(MARKUP[0]) in main_
    assert not re.search(r"<script>alert|<img|<b>|/home/me", main_)
    assert "<title>resatlas: &lt;b&gt;net&lt;</title>" in text


def test_a_word_is_described_by_its_row(tmp_path: Path) -> None:
    """Design, cost, drawing, preparation, source, digest, licence and the published error with its protocol."""
    word = table()[WORD]
    plan = word.plan()
    text = unescape(written(tmp_path, WORD))
    for words in (
        f"{cost(plan).parameters:,} parameters, {cost(plan).multiply_adds:,} multiply-adds per image",
        f"{float(mean_lengths(plan).mean):.2f}",
        "shorter side is resized to 256 pixels (bilinear, antialiased), and its centre of 224 x 224",
        "mean 0.485, 0.456, 0.406, std 0.229, 0.224, 0.225",
        "resnet18-f37072fd.pth at https://download.pytorch.org/models/",
        word.digest,
        "Licence: bsd-3-clause.",
        "As published: 30.242 % error, 10.922 % top-5 error on imagenet, centre 224 of 256, bilinear.",
        "and 900 more, listed in the description of imagenet",
        "@inproceedings{he2016deep,",
    ):
        assert words in text, words
    assert text.count('data-chart="chart-network-torchvision-resnet18-v1"') == 1


def test_a_word_is_described_without_torch(tmp_path: Path) -> None:
    """Nothing is computed with the weights."""
    words = ("report", WORD, "--out", str(tmp_path / "page.html"), "--quiet")
    command = (sys.executable, "-c", IMPORTED, "torch,torchvision", *words)
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0"]


def test_several_networks_share_a_table(tmp_path: Path) -> None:
    """One row and one section each; drawings can be written as pictures."""
    folder = without_weights(tmp_path / "net", TRAINED)
    assert main(["report", WORD, str(folder), "--out", str(tmp_path / "p.html"), "--figures", str(tmp_path / "f")]) == 0
    text = (tmp_path / "p.html").read_text(encoding="utf-8")
    assert text.count('<section id="network-') == 2
    assert "2 trained residual networks" in text
    assert "a.svg" not in text
    assert {file.name for file in (tmp_path / "f").iterdir()} == {
        f"network-{name}{end}" for name in ("torchvision-resnet18-v1", "net") for end in (".svg", ".png")
    }


def test_runs_and_networks_need_two_pages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line, before any run is read; nothing is written."""
    out = tmp_path / "page.html"
    assert main(["report", str(tmp_path / "runs"), WORD, "--out", str(out)]) == 2
    assert capsys.readouterr().err == (
        "UsageError: a page is about runs or about networks without a run, and torchvision/resnet18@V1 is a saved "
        "network or a word: write two pages\n"
    )
    assert not out.exists()


@pytest.mark.parametrize(
    ("what", "code", "words"),
    [
        ("torchvision/resnet19", 2, 'did you mean "torchvision/resnet18@V1"'),
        ("damaged", 4, "config.json: not valid JSON"),
    ],
)
def test_wrong_networks_are_refused(
    what: str,
    code: int,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A misspelt word and a damaged folder, in one line."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / CONFIG).write_text("{", encoding="utf-8")
    assert main(["report", what, "--out", "page.html"]) == code
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1
    assert not (tmp_path / "page.html").exists()
