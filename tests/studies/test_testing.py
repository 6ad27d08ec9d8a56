"""Further tests of finished runs: protocols, ensembles, other data, averaged statistics, and their files."""

import csv
import json
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from resatlas.arch.ops import Shape
from resatlas.data import catalog as datasets
from resatlas.data.dataset import DataSet, ImageSet, Parts
from resatlas.data.normalisation import normalised, read_normaliser, unit
from resatlas.errors import DataError, FolderError, UnknownName, UsageError
from resatlas.nets.network import Network
from resatlas.recipes.images import Centre, TenCrops
from resatlas.runs.names import NORMALISATION
from resatlas.runs.seal import write_seal
from resatlas.runs.store import Run
from resatlas.studies.testing import EvaluationOptions, ensemble, evaluate
from resatlas.training.starting import trained
from tests.evaluation.photographs import photographs
from tests.training.small import EXPERIMENT, carried_out

PARTS = ("train", "val")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Run]:
    """Two seeds of the smallest experiment."""
    root = tmp_path_factory.mktemp("runs")
    return carried_out(root / "one"), carried_out(root / "two", replace(EXPERIMENT, seed=1))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pieces of two real photographs: train and val, of temple, flower and turned."""
    folder = tmp_path_factory.mktemp("photographs")
    draw = np.random.default_rng(0)
    for name, image in zip(("temple", "flower", "turned"), photographs(), strict=True):
        for part in PARTS:
            (folder / part / name).mkdir(parents=True)
            for k in range(6 if part == "train" else 3):
                y, x = draw.integers(image.shape[0] - 50), draw.integers(image.shape[1] - 90)
                Image.fromarray(image[y : y + 50, x : x + 90]).save(folder / part / name / f"{k}.png")
    return folder


@pytest.fixture(scope="module")
def photographic(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run on them whose recipe names two views."""
    recipe = replace(
        EXPERIMENT.recipe, batch=6, epochs=2, validation=Fraction(0), testing=(Centre(), TenCrops(mean_of="logits"))
    )
    folder = tmp_path_factory.mktemp("runs") / "photographic"
    return carried_out(folder, replace(EXPERIMENT, data=f"{root}:size=16", recipe=recipe))


def rows(file: Path) -> list[dict[str, str]]:
    """The lines of a file of predictions."""
    with file.open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def logits(run: Run, network: Network | None = None, data: str = EXPERIMENT.data) -> tuple[torch.Tensor, torch.Tensor]:
    """(logits, labels) of the test images, computed one by one."""
    part = datasets.resolve(data).read().test
    assert isinstance(part, ImageSet)
    network = network or trained(run.record(), run.beginning().experiment).eval()
    normaliser = read_normaliser(run.folder / NORMALISATION)
    with torch.no_grad():
        outputs = [network(normalised(unit(torch.from_numpy(image)[None]), normaliser))[0] for image in part.images]
    return torch.stack(outputs), torch.from_numpy(part.labels)


def test_every_protocol_has_its_own_file(photographic: Run) -> None:
    """predictions.csv is the recipe's first view; rows, error and classes of each file are those of its values."""
    before = (photographic.folder / "predictions.csv").read_bytes()
    evaluations = evaluate(
        [photographic.folder], EvaluationOptions(protocols=("recipe", "flips", "multi-scale:shorter=224+256"))
    )
    assert [(evaluation.protocol.name, evaluation.file.name) for evaluation in evaluations] == [
        ("centre", "predictions.csv"),
        ("ten-crops:mean_of=logits", "predictions-ten-crops_mean_of_logits.csv"),
        ("flips", "predictions-flips.csv"),
        ("multi-scale:shorter=224+256", "predictions-multi-scale_shorter_224_256.csv"),
    ]
    for evaluation in evaluations:
        lines = rows(evaluation.file)
        assert [line["id"] for line in lines] == [
            f"{c}/{k}.png" for c in ("flower", "temple", "turned") for k in range(3)
        ]
        wrong = sum(line["true"] != line["predicted"] for line in lines)
        assert evaluation.values["error_percent"] == pytest.approx(100 * wrong / 9)
        assert evaluation.values["images"] == 9
        assert sum(taken.images for taken in evaluation.taken) == wrong
        assert [missed.images for missed in evaluation.missed] == [3, 3, 3]
        assert "top5_error_percent" not in evaluation.values
    assert (photographic.folder / "predictions.csv").read_bytes() == before
    assert len({evaluation.values["loss"] for evaluation in evaluations}) == 4


def test_probabilities_that_are_asked_for_have_a_file(photographic: Run) -> None:
    """Also if the run's own file has them; that file is kept."""
    before = (photographic.folder / "predictions.csv").read_bytes()
    [evaluation] = evaluate([photographic.folder], EvaluationOptions(probabilities="every"))
    assert (evaluation.same, evaluation.filing, evaluation.file.name) == (
        "yes",
        "written",
        "predictions-probabilities-centre.csv",
    )
    lines = rows(evaluation.file)
    assert [name for name in lines[0] if name.startswith("p:")] == [f"p:{name}" for name in evaluation.classes]
    for line in lines:
        shares = {name.removeprefix("p:"): float(share) for name, share in line.items() if name.startswith("p:")}
        assert max(shares, key=shares.__getitem__) == line["predicted"]
        assert sum(shares.values()) == pytest.approx(1)
        assert evaluation.classes[int(line["label"])] == line["true"]
    assert (photographic.folder / "predictions.csv").read_bytes() == before
    evaluation.file.unlink()


def test_an_ensemble_is_the_mean_softmax(runs: tuple[Run, Run]) -> None:
    """The mean over both runs, image by image; its file is in the first run, beside predictions.csv."""
    usual = [(run.folder / "predictions.csv").read_bytes() for run in runs]
    [evaluation] = ensemble([run.folder for run in runs])
    (one, labels), (two, _) = (logits(run) for run in runs)
    shares = (one.double().softmax(dim=1) + two.double().softmax(dim=1)) / 2
    expected = -sum(math.log(row[label]) for row, label in zip(shares.tolist(), labels.tolist(), strict=True)) / 24
    assert evaluation.values["loss"] == pytest.approx(expected, rel=1e-5)
    assert evaluation.values["error_percent"] == pytest.approx(
        100 * float((shares.argmax(dim=1) != labels).double().mean())
    )
    assert [float(line["probability"]) for line in rows(evaluation.file)] == pytest.approx(
        shares.amax(dim=1).tolist(), abs=1e-5
    )
    assert evaluation.file.parent == runs[0].folder
    assert evaluation.file.name.startswith("predictions-ensemble-2-")
    assert [(run.folder / "predictions.csv").read_bytes() for run in runs] == usual


def test_an_ensemble_answers_to_the_same_images(runs: tuple[Run, Run], photographic: Run) -> None:
    """A single run and runs on different data are refused."""
    with pytest.raises(UsageError, match="two runs or more"):
        ensemble([runs[0].folder])
    with pytest.raises(DataError, match="needs runs with the same test images"):
        ensemble([runs[0].folder, photographic.folder], EvaluationOptions(protocols=("centre",)))


def test_averaged_statistics_are_those_of_the_training_images(runs: tuple[Run, Run]) -> None:
    """Compared with statistics over all activations of one more epoch in training mode."""
    from resatlas.data.batches import batches, source
    from resatlas.training.splits import normaliser_of, split_images

    [evaluation] = evaluate([runs[0].folder], EvaluationOptions(statistics="reestimated"))
    [usual] = evaluate([runs[0].folder])
    assert evaluation.file.name == "predictions-reestimated-centre.csv"
    assert evaluation.values["loss"] != usual.values["loss"]
    experiment, data = runs[0].beginning().experiment, datasets.resolve(EXPERIMENT.data)
    images = split_images(data.read(), experiment, data, normaliser=normaliser_of(runs[0]))
    network = trained(runs[0].record(), experiment)
    seen: dict[torch.nn.Module, list[torch.Tensor]] = {}
    norms = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]

    def record(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        seen.setdefault(module, []).append(inputs[0])

    for norm in norms:
        norm.register_forward_pre_hook(record)
    network.train()
    epoch = batches(source(images.train, images.pipeline), images.pipeline, seed=0, epoch=3, batch=16, leftover="kept")
    with torch.no_grad():
        for batch in epoch:
            network(batch.images)
    for norm in norms:
        values = torch.cat(seen[norm]).double()
        assert norm.running_mean is not None
        assert norm.running_var is not None
        norm.running_mean.copy_(values.mean(dim=(0, 2, 3)))
        norm.running_var.copy_(values.var(dim=(0, 2, 3), correction=0))
    outputs, labels = logits(runs[0], network.eval())
    assert evaluation.values["loss"] == pytest.approx(
        torch.nn.functional.cross_entropy(outputs, labels).item(), rel=1e-4
    )


@pytest.fixture
def some(monkeypatch: pytest.MonkeyPatch) -> str:
    """A data set with two of the four classes in reverse order; its images are the run's test images of these."""
    whole = datasets.resolve(EXPERIMENT.data)
    kept = (2, 0)

    def read() -> Parts:
        test = whole.read().test
        assert isinstance(test, ImageSet)
        part = test.take(np.flatnonzero(np.isin(test.labels, kept)))
        part = replace(part, labels=np.array([kept.index(label) for label in part.labels.tolist()]))
        return Parts(train=part, test=part)

    def two() -> DataSet:
        return replace(whole, name="two", classes=tuple(whole.classes[k] for k in kept), read=read)

    monkeypatch.setitem(datasets.NAMED, "two", two)
    return "two"


@pytest.mark.parametrize("among", ["data", "run"])
def test_a_net_of_more_classes_is_restricted_to_the_data_s(runs: tuple[Run, Run], some: str, among: str) -> None:
    """The softmax is over the data's classes or over all; each has its own file."""
    [evaluation] = evaluate([runs[0].folder], EvaluationOptions(data=some, among=among))  # type: ignore[arg-type]
    outputs, labels = logits(runs[0])
    rows_ = [
        (row, label) for row, label in zip(outputs.double().tolist(), labels.tolist(), strict=True) if label in (0, 2)
    ]
    columns = (2, 0) if among == "data" else (0, 1, 2, 3)
    losses = [math.log(sum(math.exp(row[k]) for k in columns)) - row[label] for row, label in rows_]
    wrong = [max(columns, key=lambda k, row=row: row[k]) != label for row, label in rows_]
    assert evaluation.values["images"] == len(rows_)
    assert evaluation.values["loss"] == pytest.approx(sum(losses) / len(losses), rel=1e-5)
    assert evaluation.values["error_percent"] == pytest.approx(100 * sum(wrong) / len(wrong))
    names = {"data": "predictions-two-restricted-centre.csv", "run": "predictions-two-centre.csv"}
    assert evaluation.file.name == names[among]
    assert {line["true"] for line in rows(evaluation.file)} == {runs[0].beginning().classes[k] for k in (0, 2)}


def test_classes_that_a_net_has_not_learnt_are_refused(runs: tuple[Run, Run], monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the first of them; images of another shape are refused too."""
    whole = datasets.resolve(EXPERIMENT.data)
    monkeypatch.setitem(datasets.NAMED, "strange", lambda: replace(whole, name="strange", classes=("0", "cat", "dog")))
    with pytest.raises(DataError, match=r'was not trained on the class "0" and 2 others of strange'):
        evaluate([runs[0].folder], EvaluationOptions(data="strange"))
    large = replace(whole, name="large", image=Shape(1, 16, 16))
    monkeypatch.setitem(datasets.NAMED, "large", lambda: large)
    with pytest.raises(UsageError, match=r"images of large are 1x16x16, and .* takes 1x8x8"):
        evaluate([runs[0].folder], EvaluationOptions(data="large"))


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        (EvaluationOptions(protocols=("tencrops",)), UnknownName, 'did you mean "ten-crops"'),
        (EvaluationOptions(protocols=("ten-crops",)), UsageError, "ten-crops needs photographs larger"),
        (EvaluationOptions(protocols=("flips",)), UsageError, "mirroring changes the class"),
        (EvaluationOptions(data="digts"), UnknownName, 'did you mean "digits"'),
    ],
)
def test_senseless_tests_are_refused(
    runs: tuple[Run, Run], options: EvaluationOptions, kind: type[Exception], words: str
) -> None:
    """With one sentence, and nothing is written."""
    before = sorted(file.name for file in runs[1].folder.iterdir())
    with pytest.raises(kind, match=words):
        evaluate([runs[1].folder], options)
    assert sorted(file.name for file in runs[1].folder.iterdir()) == before


def test_a_file_that_tells_of_the_results_is_not_replaced_by_another(runs: tuple[Run, Run], tmp_path: Path) -> None:
    """If another machine computes another error, the note says so, and predictions.csv is kept."""
    shutil.copytree(runs[0].folder, tmp_path / "run")
    file = tmp_path / "run" / "results.json"
    results = json.loads(file.read_text())
    results["test"]["error_percent"] += 1
    file.write_text(json.dumps(results))
    last = max((tmp_path / "run" / "checkpoints").glob("step-*"))
    write_seal(tmp_path / "run", checkpoint=last.name, manifest=last / "MANIFEST.json")
    before = (tmp_path / "run" / "predictions.csv").read_bytes()
    [evaluation] = evaluate([tmp_path / "run"])
    assert "differs from results.json in its error" in evaluation.note
    assert (evaluation.same, evaluation.file.name, evaluation.filing) == ("no", "predictions-centre.csv", "written")
    assert evaluation.file.read_bytes() == before
    assert (tmp_path / "run" / "predictions.csv").read_bytes() == before


def test_an_unfinished_run_among_others_ends_all_before_any_work(
    runs: tuple[Run, Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No image is read for the first run."""
    shutil.copytree(runs[1].folder, tmp_path / "run")
    for name in ("results.json", "SEAL.json"):
        (tmp_path / "run" / name).unlink()

    def never(_: str) -> Callable[[], None]:
        raise AssertionError("a data set is read")

    monkeypatch.setattr(datasets, "resolve", never)
    with pytest.raises(FolderError, match="is not finished"):
        evaluate([runs[0].folder, tmp_path / "run"])
