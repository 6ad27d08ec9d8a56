"""The networks in the package: they have the errors of their cards, and need no download."""

import os
import re
from pathlib import Path

import pytest
import torch
from docs.zoo import publish
from PIL import Image
from safetensors.torch import load_file

from resatlas.cli.main import main
from resatlas.data.catalog import resolve
from resatlas.data.dataset import ImageSet
from resatlas.data.fashion_mnist import PACKAGED
from resatlas.designs.catalog import FAMILIES
from resatlas.exporting.config import WEIGHTS, read_config
from resatlas.studies.predictors import predictor_of
from resatlas.studies.study import read_study
from resatlas.studies.testing import evaluate
from resatlas.weights.words import own_words

ZOO = Path(publish.__file__).parent
COMMANDS = (ZOO.parents[1] / "docs" / "commands.md").read_text(encoding="utf-8")

needs_images = pytest.mark.skipif(
    not (PACKAGED.is_dir() or os.environ.get("CI")), reason="needs the apt package dataset-fashion-mnist"
)


UNTRAINED = {"plain", "dilnet", "tweaked-resnet", "se-resnext", "regnet", "res2net", "eca-resnet", "shake-shake"}
"""Families without weights in the package."""


def test_the_networks_of_the_package_are_those_of_the_study() -> None:
    """Each is one of the study's, by its name; the study has one of each family that was trained."""
    experiments = read_study(ZOO / "zoo.toml").distinct_experiments().values()
    assert {experiment.design for experiment in experiments} == set(publish.WORDS)
    assert {experiment.entry.family for experiment in experiments} == set(FAMILIES) - UNTRAINED
    designs = {f"resatlas/{name}": design for design, name in publish.WORDS.items()}
    assert "resatlas/fashion-resnet-20" in own_words()
    for word, folder in own_words().items():
        assert read_config(folder).design == designs[word]


def test_the_weights_are_small() -> None:
    """Filters and matrices in half precision; all together at most 6 MB, since every installation has them."""
    for folder in own_words().values():
        tensors = load_file(folder / WEIGHTS)
        assert {tensor.dtype for tensor in tensors.values() if tensor.ndim > 1} == {torch.float16}
    assert sum(file.stat().st_size for folder in own_words().values() for file in folder.iterdir()) < 6_000_000


@needs_images
@pytest.mark.parametrize("word", sorted(own_words()))
def test_the_error_is_the_published_one(word: str) -> None:
    """That of the stored weights is in the table, and differs from that of the training by rounding only."""
    [tested] = evaluate([word])
    training = read_config(own_words()[word]).training
    assert training
    assert training.test
    assert tested.values["images"] == training.test.images == 10_000
    assert abs(tested.values["error_percent"] - training.test.error_percent) < 0.2
    table = (ZOO / "results.md").read_text(encoding="utf-8")
    assert re.search(rf"\| {word} \|.*\| {training.test.error_percent:.2f} \| \d+\.\d\d \|", table)
    [stored] = re.findall(rf"\| {word} \|.*\| (\d+\.\d\d) \| [\d,]+ \|\n", table)
    assert tested.values["error_percent"] == pytest.approx(float(stored), abs=0.05)  # kernels round differently


def test_a_word_of_the_package_needs_no_download(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is a predictor with named classes, also offline."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    predictor = predictor_of("fashion-resnet-20", access="offline")
    assert predictor.classes[0] == "T-shirt/top"
    assert predictor.licence == publish.LICENCE
    assert predictor.epoch == 6


@needs_images
def test_the_command_of_the_readme_recognises_a_boot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first test image, saved as boot.png."""
    monkeypatch.chdir(tmp_path)
    test = resolve("fashion-mnist").read().test
    assert isinstance(test, ImageSet)
    Image.fromarray(test.images[0, 0]).save("boot.png")
    [command] = re.findall(r"^resatlas (predict resatlas/.*?) *#", COMMANDS, re.MULTILINE)
    assert main(tuple(command.split())) == 0
    assert "ankle boot" in capsys.readouterr().out.splitlines()[1]
