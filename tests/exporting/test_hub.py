"""Saving of a trained network as a folder, and loading it from there."""

import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import resatlas
from resatlas.arch.ops import Shape
from resatlas.data import catalog
from resatlas.data.dataset import ImageSet
from resatlas.data.normalisation import normalised, read_normaliser, unit
from resatlas.data.photograph import decoded
from resatlas.errors import CheckpointError, UsageError
from resatlas.exporting.config import read_config
from resatlas.exporting.loading import from_pretrained
from resatlas.exporting.preprocessing import preprocessing
from resatlas.exporting.saving import save_pretrained
from resatlas.nets.network import build
from resatlas.recipes.catalog import NAMED
from resatlas.recipes.images import Normalisation, Rescale, SubtractMeanImage, Whiten
from resatlas.runs.experiment import weights_in
from resatlas.runs.store import Run
from resatlas.training.starting import trained
from resatlas.weights.conversion import load_weights
from tests.data.pictures import write
from tests.training.small import EXPERIMENT, carried_out

LOADED = """
import sys, torch
import resatlas
network, prepare = resatlas.from_pretrained(sys.argv[1]), resatlas.preprocessing(sys.argv[1])
pixels = torch.arange(64, dtype=torch.uint8).view(1, 8, 8)
with torch.inference_mode():
    print(network.training, network(prepare(pixels)[None])[0].tolist())
"""


def files(folder: Path) -> list[str]:
    """The names in a folder, also hidden ones."""
    return sorted(path.name for path in folder.iterdir())


def python(*words: str, cwd: Path) -> str:
    """The standard output of another Python process, which must succeed with an empty standard error."""
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False, cwd=cwd)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def images_tested(run: Run) -> ImageSet:
    """The test images of a run whose data is in memory."""
    part = catalog.resolve(run.beginning().experiment.data).read().test
    assert isinstance(part, ImageSet)
    return part


def test_a_run_is_three_files(kept: Path) -> None:
    """The folder contains the weights, the config and the card, and no draft remains."""
    assert files(kept) == ["README.md", "config.json", "model.safetensors"]
    assert files(kept.parent) == ["saved"]


def test_another_process_gives_the_same_logits(run: Run, kept: Path, tmp_path: Path) -> None:
    """They are bit-equal, although the process has only the folder, under another name."""
    network = trained(run.record(), run.beginning().experiment).eval()
    pixels = torch.arange(64, dtype=torch.uint8).view(1, 8, 8)
    with torch.inference_mode():
        logits = network(preprocessing(kept)(pixels)[None])[0].tolist()
    shutil.move(shutil.copytree(kept, tmp_path / "copied"), tmp_path / "elsewhere")
    assert python("-c", LOADED, str(tmp_path / "elsewhere"), cwd=tmp_path) == f"False {logits}\n"


def test_its_errors_are_those_of_the_run(run: Run, kept: Path) -> None:
    """The saved network misclassifies as many test images as the card says."""
    test = images_tested(run)
    prepare, network = preprocessing(kept), from_pretrained(kept)
    with torch.inference_mode():
        predicted = network(torch.stack([prepare(torch.from_numpy(image)) for image in test.images])).argmax(dim=1)
    training = read_config(kept).training
    assert training is not None
    assert training.test is not None
    assert int((predicted.numpy() != test.labels).sum()) == training.test.wrong
    assert f"| test | {training.test.error_percent:.2f} |" in (kept / "README.md").read_text(encoding="utf-8")


def test_the_config_describes_the_run(run: Run, kept: Path) -> None:
    """It contains design, classes, results, and the version of the library."""
    config = read_config(kept)
    assert (config.design, config.family) == (run.beginning().experiment.design, "resnet")
    assert (config.class_names, config.plan) == (run.beginning().classes, run.beginning().plan)
    assert config.library == f"resatlas {resatlas.__version__}"
    assert config.training is not None
    assert config.training.test is not None
    assert config.training.test.error_percent == run.record().written["test"]["error_percent"]
    assert config.training.departures[0] == f"3 epochs (recipe quick: {NAMED['quick'].epochs})"


def test_the_weights_load_without_their_config(kept: Path) -> None:
    """The file of weights has exactly the paths of the network."""
    config = read_config(kept)
    network = build(config.plan, seed=0)
    load_weights(network, kept / "model.safetensors")
    own, saved = network.state_dict(), from_pretrained(kept).state_dict()
    assert own.keys() == load_file(kept / "model.safetensors").keys() == saved.keys()
    assert all(own[path].equal(saved[path]) for path in own)


def test_the_code_of_the_card_runs(kept: Path) -> None:
    """In the folder it prints one probability per class."""
    [code] = re.findall(r"^```python\n(.*?)^```$", (kept / "README.md").read_text(encoding="utf-8"), re.M | re.S)
    assert python("-c", code, cwd=kept).count("0.") == 4


def test_a_network_is_saved_without_a_run(tmp_path: Path) -> None:
    """The config has the name of the design in the catalogue; an unknown preparation is reported."""
    network = build("resnet-20", image=Shape(1, 8, 8), classes=3, seed=5)
    resatlas.save_pretrained(network, tmp_path / "net")
    config = resatlas.read_config(tmp_path / "net")
    assert (config.design, config.family, config.training) == ("resnet-20", "resnet", None)
    again = resatlas.from_pretrained(tmp_path / "net")
    images = torch.randn(2, 1, 8, 8)
    assert again(images).equal(network.eval()(images))
    with pytest.raises(CheckpointError, match="does not say how images are prepared"):
        resatlas.preprocessing(tmp_path / "net")


@pytest.mark.parametrize("design", ["dmrnet:depth=14,base=2,skip=projector", "pyramidnet:depth=20,base=2,alpha=5"])
def test_every_kind_of_tensor_is_saved(design: str, tmp_path: Path) -> None:
    """Projectors and odd widths are loaded again, also for designs outside the catalogue."""
    network = build(design, image=Shape(3, 16, 16), classes=0, seed=0)
    save_pretrained(network, tmp_path / "net")
    assert read_config(tmp_path / "net").design is None
    own, again = network.state_dict(), from_pretrained(tmp_path / "net").state_dict()
    assert own.keys() == again.keys()
    assert all(own[path].equal(again[path]) for path in own)


def test_weights_are_stored_in_half_precision(kept: Path, run: Run, tmp_path: Path) -> None:
    """Filters are rounded, norms are not; the card says so and has the licence; loaded, all are float32 again."""
    save_pretrained(run.folder, tmp_path / "half", stored="fp16", licence="CC-BY-4.0")
    stored, whole = load_file(tmp_path / "half" / "model.safetensors"), load_file(kept / "model.safetensors")
    for path, tensor in whole.items():
        rounded = tensor.half() if tensor.ndim > 1 else tensor
        assert stored[path].dtype == rounded.dtype
        assert stored[path].equal(rounded)
    again = from_pretrained(tmp_path / "half").state_dict()
    assert {tensor.dtype for tensor in again.values() if tensor.is_floating_point()} == {torch.float32}
    assert all(again[path].equal(stored[path].to(again[path].dtype)) for path in again)
    training = read_config(tmp_path / "half").training
    assert training
    assert training.departures[-1].startswith("the weights are rounded to half precision after the training")
    card = (tmp_path / "half" / "README.md").read_text(encoding="utf-8")
    assert card.startswith("---\nlicense: cc-by-4.0\n")
    assert "- Weights: CC-BY-4.0." in card


def test_weights_beyond_half_precision_are_refused(tmp_path: Path) -> None:
    """No infinite weight is stored; a licence is an identifier. Nothing is left behind."""
    network = build("resnet-20", image=Shape(1, 8, 8), classes=3, seed=5)
    with pytest.raises(UsageError, match="a licence is an identifier such as Apache"):
        save_pretrained(network, tmp_path / "net", licence="free for all\n# x")
    with torch.no_grad():
        network.get_parameter("head.linear.weight")[0, 0] = 7e4
    with pytest.raises(CheckpointError, match=r"head.linear.weight has a weight of 7e\+04, beyond the range of half"):
        save_pretrained(network, tmp_path / "net", stored="fp16")
    assert files(tmp_path) == []


@pytest.mark.parametrize(
    ("step", "kind", "count"), [(Rescale(), "Affine", 3), (SubtractMeanImage(), "Affine", 3), (Whiten(), "Stored", 4)]
)
def test_every_normalisation_is_saved(step: Normalisation, kind: str, count: int, tmp_path: Path) -> None:
    """Few numbers are in the config, many in a separate file, whose sha256 is checked."""
    recipe = replace(EXPERIMENT.recipe, steps=(step,), epochs=1)
    run = carried_out(tmp_path / "run", replace(EXPERIMENT, recipe=recipe))
    folder = tmp_path / "saved"
    save_pretrained(run.folder, folder)
    assert type(read_config(folder).normalisation).__name__ == kind
    assert len(files(folder)) == count
    before = read_normaliser(run.folder / "normalisation.safetensors")
    pixels = torch.from_numpy(images_tested(run).images[0])
    assert preprocessing(folder)(pixels).equal(normalised(unit(pixels)[None], before)[0])
    if kind == "Stored":
        (folder / "normalisation.safetensors").write_bytes(b"other")
        with pytest.raises(CheckpointError, match="damaged or was changed"):
            preprocessing(folder)


CLASSES = ("<script>", "a|b", "www.example.com")

CROSS = """
schema = 1
name = "small"
image = [3, 8, 8]
classes = 3
units = [1]
[stem]
width = 2
[widths]
rule = "per-stage"
widths = [2]
[residual]
convs = "basic"
order = "post-activation"
shortcut = "projection"
"""


def test_names_of_private_folders_are_not_saved(tmp_path: Path) -> None:
    """For data and a design in files only names are saved, no folders; photographs of any size are prepared."""
    for k, (part, name) in enumerate((part, name) for part in ("train", "val") for name in CLASSES):
        for i in range(2):
            write(tmp_path / "private" / "beasts" / part / name / f"{i}.png", seed=10 * k + i)
    (tmp_path / "cross.toml").write_text(CROSS, encoding="utf-8")
    data = f"{tmp_path}/private/beasts:size=8"
    recipe = replace(EXPERIMENT.recipe, epochs=1, validation=EXPERIMENT.recipe.validation * 0)
    run = carried_out(tmp_path / "run", replace(EXPERIMENT, design=f"{tmp_path}/cross.toml", data=data, recipe=recipe))
    shutil.move(tmp_path / "cross.toml", tmp_path / "moved.toml")
    save_pretrained(run.folder, tmp_path / "saved")
    config = read_config(tmp_path / "saved")
    assert (config.design, config.family, config.class_names) == ("cross.toml", "blueprint", CLASSES)
    texts = [(tmp_path / "saved" / name).read_text(encoding="utf-8") for name in ("README.md", "config.json")]
    assert not any(str(tmp_path) in text or "private" in text for text in texts)
    assert "cross.toml on beasts:size=8" in texts[0]
    assert "&lt;script&gt;, a\\|b, www\\.example.com" in texts[0]
    photograph = torch.from_numpy(decoded(tmp_path / "private" / "beasts" / "val" / "a|b" / "0.png"))
    assert tuple(photograph.shape) == (3, 6, 9)
    assert tuple(preprocessing(tmp_path / "saved")(photograph).shape) == (3, 8, 8)


def test_initial_weights_are_named(kept: Path, tmp_path: Path) -> None:
    """A run that started from a file of weights names the file and its sha256, not its folder."""
    weights = weights_in(kept / "model.safetensors")
    run = carried_out(tmp_path / "run", replace(EXPERIMENT, weights=weights))
    save_pretrained(run.folder, tmp_path / "saved")
    training = read_config(tmp_path / "saved").training
    assert training is not None
    assert training.begun_from == replace(weights, file="model.safetensors")
    assert weights.sha256 in (tmp_path / "saved" / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "pixels",
    [torch.zeros(3, 8, 8, dtype=torch.uint8), torch.zeros(1, 8, 8), torch.zeros(8, 8, dtype=torch.uint8)],
    ids=("colours", "floats", "axes"),
)
def test_pixels_of_another_type_or_shape_are_refused(pixels: torch.Tensor, kept: Path) -> None:
    """Other channels, number types and numbers of axes are refused."""
    with pytest.raises(UsageError, match=r"an image must be uint8 of shape \(1, height, width\); got"):
        preprocessing(kept)(pixels)
