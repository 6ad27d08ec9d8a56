"""A training stopped in an epoch is resumed to bit-equal results, for any number of workers."""

from dataclasses import replace
from pathlib import Path

import pytest

from resatlas.errors import Stopped
from resatlas.recipes.catalog import NAMED
from resatlas.runs.experiment import Experiment
from resatlas.runs.store import Run
from resatlas.studies.single import carry_out, prepare
from resatlas.training.execution import Execution
from resatlas.training.session import UNWATCHED, Watcher
from tests.data.pictures import write_parts
from tests.training.small import EXPERIMENT, assert_same, signalling

STEP, OF = 11, 20


@pytest.fixture(scope="module")
def experiments(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Experiment]:
    """Twenty steps each: four epochs of images in memory, two of photographs with all random steps."""
    root = write_parts(tmp_path_factory.mktemp("images"), 40)
    photographic = replace(NAMED["fb-imagenet"], epochs=2, batch=8, norm_group=None)
    resident = replace(EXPERIMENT, recipe=replace(EXPERIMENT.recipe, epochs=4))
    return {"resident": resident, "folder": replace(EXPERIMENT, data=f"{root}:size=8", recipe=photographic)}


def trained(
    folder: Path, experiment: Experiment, *, workers: int, resume: str | None = None, watcher: Watcher = UNWATCHED
) -> Run:
    """The run of an experiment, to its end or to the stop of its watcher."""
    execution = Execution(resume=resume, save_every=0, workers=workers)
    carry_out(prepare(experiment, out=folder, execution=execution), watcher=watcher)
    return Run(folder)


@pytest.mark.parametrize("data", ["resident", "folder"])
def test_a_stop_inside_an_epoch_changes_nothing_with_any_number_of_workers(
    experiments: dict[str, Experiment], tmp_path: Path, data: str
) -> None:
    """At step 11 of 20, from one worker to two and back: weights, momentum, metrics and predictions agree."""
    experiment = experiments[data]
    straight = trained(tmp_path / "straight", experiment, workers=1)
    assert straight.metrics[-1]["step"] == OF
    for before, after in ((1, 2), (2, 1)):
        folder = tmp_path / f"{before} then {after}"
        with pytest.raises(Stopped, match=f"after step {STEP} of {OF}, saved"):
            trained(folder, experiment, workers=before, watcher=signalling(STEP))
        assert_same(trained(folder, experiment, workers=after, resume="auto"), straight)
