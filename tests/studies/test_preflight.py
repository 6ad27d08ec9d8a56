"""What a training will need, before it starts: the facts, the verdict, and the nearest setting that fits."""

from dataclasses import replace
from pathlib import Path

import pytest

import resatlas
from resatlas.data import catalog as datasets
from resatlas.data.dataset import ImageSet
from resatlas.errors import DataError, UsageError
from resatlas.recipes.catalog import NAMED
from resatlas.recipes.settings import with_settings
from resatlas.runs.experiment import Experiment
from resatlas.studies import demand, pace
from resatlas.studies.demand import remedies, shortages
from resatlas.studies.preflight import Preflight, preflight, to_json
from resatlas.studies.single import carry_out, prepare
from resatlas.training.session import Watcher
from resatlas.values.room import Room
from tests.data.pictures import write_parts
from tests.training.small import DATA, EXPERIMENT, STEPS, carried_out

DEEP = Experiment(design="resnet-110", data="synthetic:images=1000", recipe=replace(NAMED["resnet-cifar"], epochs=10))


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache without a remembered peak, and a machine of 64 GiB."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    having(monkeypatch, 64 << 30)


def having(monkeypatch: pytest.MonkeyPatch, most: int, free: int | None = None) -> None:
    """A machine with so much memory."""
    monkeypatch.setattr(demand, "memory_room", lambda: Room(most, most if free is None else free))


def test_steps_are_those_of_the_training(tmp_path: Path) -> None:
    """Steps of an epoch and in all, images, and the learning rate, as the run then has them."""
    course = preflight(EXPERIMENT, out=tmp_path).course
    run = carried_out(tmp_path / "run")
    assert (course.steps_per_epoch, course.epochs) == (STEPS, len(run.metrics))
    assert course.steps == run.metrics[-1]["step"]
    assert (course.images, course.held_back) == (84, 12)
    assert course.peak_rate == EXPERIMENT.recipe.schedule.peak


def test_checkpoints_are_as_large_as_predicted(tmp_path: Path) -> None:
    """The files of a checkpoint, and those of all that are kept, within a tenth and the size of their headers."""
    run = carried_out(tmp_path / "run", replace(EXPERIMENT, design="wide-resnet:depth=10,base=16,widen=2"))
    setting = preflight(run.beginning().experiment, out=tmp_path).setting
    folders = [folder for folder in run.checkpoints.iterdir() if folder.is_dir()]
    sizes = [sum(file.stat().st_size for file in folder.glob("*.safetensors")) for folder in folders]
    assert max(sizes) == pytest.approx(setting.checkpoint, rel=0.05)
    assert sum(sizes) < setting.disk


def test_the_rates_are_those_of_the_schedule() -> None:
    """Drops after the epochs of the recipe."""
    course = preflight(DEEP).course
    assert [rate for _, rate in course.rates] == pytest.approx([0.1, 0.01, 0.001], rel=1e-6)
    assert course.norm_group == DEEP.recipe.norm_group


def test_time_says_what_it_is_based_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """From multiply-adds and a peak of the machine that is measured, then remembered; more of them take longer."""
    rates = iter((2e9, 1e9, 1e9))
    monkeypatch.setattr(pace, "_measured", lambda: next(rates))
    first, again = preflight(DEEP), preflight(DEEP)
    assert first.pace is not None
    assert "measured now" in first.pace.basis
    assert again.pace is not None
    assert "measured on 20" in again.pace.basis
    assert again.pace.median == first.pace.median
    assert first.pace.low < first.pace.median < first.pace.high
    smaller = preflight(replace(DEEP, design="resnet-20")).pace
    assert smaller is not None
    assert smaller.median < first.pace.median / 4


def test_a_damaged_memory_of_the_peak_is_measured_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No JSON, another machine, a number that is none."""
    monkeypatch.setattr(pace, "_measured", lambda: 2e9)
    file = tmp_path / "cache" / "resatlas" / "peak.json"
    for text in ("{", "[]", "{}", '{"processor": null, "numpy": null, "multiply_adds_per_second": "x"}'):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        assert pace.peak_of_core() == (2e9, "measured now")
    assert pace.peak_of_core()[0] == 2e9


def test_no_estimate_where_there_is_no_ground_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a precision that the processor emulates, only a measurement tells."""
    monkeypatch.setattr("resatlas.runs.environment.processor_flags", frozenset)
    result = preflight(replace(DEEP, recipe=with_settings(DEEP.recipe, ["precision=bf16"]), precision=None))
    assert result.pace is None
    assert "an epoch" not in result.sentence
    assert any("--measure" in note for note in result.notes)


def test_the_nearest_settings_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where memory does not suffice, each remedy does, and a slightly larger batch does not."""
    most = 1100 << 20
    having(monkeypatch, most)
    result = preflight(DEEP)
    assert not result.fits
    [shortage] = result.shortages
    options = {remedy.option: remedy.bytes for remedy in shortage.remedies}
    batch = f"--batch {_batch(options)} --set norm_group={_batch(options)}"
    assert list(options) == ["--checkpoint-activations segments", "--set norm_group=16", batch]
    assert all(size <= most for size in options.values())
    for batch, fits in ((_batch(options), True), (_batch(options) + 8, False)):
        recipe = replace(DEEP.recipe, batch=batch, norm_group=min(64, batch))
        assert preflight(replace(DEEP, recipe=recipe)).fits is fits
    assert result.sentence.startswith(f"{demand.size_text(result.setting.needed)} of 1; about ")
    assert "Does not fit: the training needs about" in result.sentence


def _batch(options: dict[str, int]) -> int:
    return next(int(option.split()[1]) for option in options if option.startswith("--batch"))


def test_fewer_processes_fit_where_each_takes_its_libraries() -> None:
    """On a processor all of them share the memory of the machine."""
    setting = preflight(EXPERIMENT, processes=8).setting
    most = replace(setting, processes=3).needed
    assert [remedy.option for remedy in remedies(setting, most)][:1] == ["--processes 3"]


def test_nothing_fits_a_tiny_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The libraries alone are too large: no remedy is offered."""
    having(monkeypatch, 100 << 20)
    [shortage] = preflight(EXPERIMENT).shortages
    assert (shortage.fits, shortage.remedies) == (False, ())
    assert shortage.words.endswith("this machine has 100 MiB; no batch fits")


def test_memory_that_others_use_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be free when the training starts."""
    having(monkeypatch, 64 << 30, 100 << 20)
    result = preflight(EXPERIMENT)
    assert result.fits
    assert "100 MiB is free at present" in result.shortages[0].words


def test_a_full_disk_does_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Checkpoints that are larger than what is free."""

    def full(_folder: Path) -> int:
        return 1000

    monkeypatch.setattr(demand, "disk_free", full)
    [shortage] = shortages(preflight(EXPERIMENT).setting, tmp_path)
    assert not shortage.fits
    assert "1000 bytes is free" in shortage.words


def test_train_says_it_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A training notes what it lacks before its first step, and trains; one that lacks nothing says nothing."""
    notes: list[str] = []
    carry_out(prepare(EXPERIMENT, out=tmp_path / "enough"), watcher=Watcher(on_note=notes.append))
    assert not any("memory" in note for note in notes)
    having(monkeypatch, 100 << 20)
    carry_out(prepare(EXPERIMENT, out=tmp_path / "less"), watcher=Watcher(on_note=notes.append))
    [note] = [note for note in notes if "memory" in note]
    assert note.startswith("the training needs about ")
    assert "\n" not in note


def photographs(folder: Path, count: int = 8) -> Experiment:
    """An experiment on a folder of photographs."""
    write_parts(folder, count)
    recipe = replace(NAMED["fine-tune"], batch=4, norm_group=None)
    return Experiment(design="resnet:depth=8,base=2", data=f"{folder}:size=32", recipe=recipe)


def test_photographs_are_decoded_to_time_the_loader(tmp_path: Path) -> None:
    """Workers take memory, and a few decoded photographs say how many a step needs."""
    result = preflight(photographs(tmp_path / "pets"), workers=1)
    assert result.loader.source == "files"
    assert result.loader.seconds is not None
    assert result.loader.needed is not None
    assert result.loader.waits is (result.loader.needed > 1)
    assert result.setting.footprint.readers > 0


def test_measured_steps() -> None:
    """A process of its own takes some steps: seconds with their spread, the time of a batch, and its memory."""
    result: Preflight = resatlas.preflight(EXPERIMENT, measure=True)
    assert result.pace is not None
    assert 0 < result.pace.low <= result.pace.median <= result.pace.high
    assert "measured steps" in result.pace.basis
    assert result.loader.seconds is not None
    assert result.measured_memory is not None
    assert result.measured_memory > 100 << 20
    values = to_json(result)
    assert values["time"]["step_seconds"] == result.pace.median
    assert values["memory"]["measured_bytes"] == result.measured_memory


def test_what_a_training_refuses_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Too many processes, an unknown data set, a GPU that is missing."""
    monkeypatch.setattr(demand.shutil, "which", _missing)
    with pytest.raises(UsageError, match="processes must be between 1 and 16, the images of a batch; got 17"):
        preflight(EXPERIMENT, processes=17)
    with pytest.raises(DataError):
        preflight(replace(EXPERIMENT, data="./nowhere"))
    with pytest.raises(UsageError, match="nvidia-smi finds no GPU here"):
        preflight(EXPERIMENT, device="cuda")


def _missing(_program: str) -> None:
    """No such program."""


def test_a_gpu_is_asked_for_its_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever nvidia-smi says counts, for each process alone; nonsense and a failure mean that there is none."""
    program = tmp_path / "nvidia-smi"
    monkeypatch.setenv("PATH", str(tmp_path))
    for script, room in (
        ("echo 24576, 20000; echo 1, 1", Room(24 << 30, 20000 << 20)),
        ("exit 9", None),
        ("echo", None),
    ):
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        assert demand.gpu_room() == room
    program.write_text("#!/bin/sh\necho 24576, 20000\n")
    result = preflight(DEEP, processes=2)
    assert (result.where, result.pace) == ("cuda", None)
    assert result.sentence.endswith(" of 24")
    assert result.setting.needed == result.setting.footprint.total
    assert preflight(DEEP, device="cpu").where == "cpu"


def test_memory_counts_the_images_of_all_parts() -> None:
    """And once more those that are held back, which are copies."""
    parts = datasets.resolve(DATA).read()
    none = with_settings(EXPERIMENT.recipe, ["validation=0"])
    assert isinstance(parts.train, ImageSet)
    assert isinstance(parts.test, ImageSet)
    images = parts.train.images.nbytes + parts.test.images.nbytes
    assert demand.data_bytes(parts, none) == images
    assert demand.data_bytes(parts, EXPERIMENT.recipe) == images + parts.train.images.nbytes
