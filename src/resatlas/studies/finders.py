"""Trained networks that find objects or the classes of pixels, by RUN or the FOLDER of a saved one.

`finder` is for them what `predictors.predictor_of` is for networks that classify images.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, assert_never

from resatlas.arch.plan import Plan
from resatlas.errors import UsageError
from resatlas.exporting.found_config import is_found, read_found_config
from resatlas.recipes.detection import Classify, Detect, Segment
from resatlas.recipes.task_text import noun
from resatlas.runs.amendments import as_carried_out
from resatlas.runs.decoding import read_beginning, read_finished
from resatlas.runs.names import FIRST
from resatlas.runs.record import Epoch, best_of
from resatlas.studies.predictors import kind_of

if TYPE_CHECKING:  # a wrong folder is reported before torch is imported
    from resatlas.data.normalisation import Normaliser
    from resatlas.nets.detector import Detector
    from resatlas.nets.segmenter import Segmenter


@dataclass(frozen=True, kw_only=True, eq=False)
class Finder:
    """A detector or a segmenter in evaluation mode, the normalisation of its images, and the names of its classes.

    name: what named it; saved: whether that is the folder of a saved network; plan: of the network inside, before
    strides became dilation; data: the DATA text of its own data, "" if unknown; epoch: of its training, None if
    unknown; published: its result in the test, in words; licence: of the weights, "" if nobody states one.
    """

    name: str
    saved: bool
    module: "Detector | Segmenter"
    normaliser: "Normaliser"
    plan: Plan
    classes: tuple[str, ...]
    data: str = ""
    epoch: int | None = None
    published: str = ""
    licence: str = ""

    @property
    def task(self) -> Detect | Segment:
        """What it finds, and how."""
        return self.module.task


def finds_objects(where: str | Path) -> bool:
    """Whether this is a run that has learnt objects, or the folder of a saved network that has.

    Raises: FolderError, CheckpointError if the start of the run, or the config, is damaged.
    """
    folder = Path(where)
    if (folder / FIRST).is_file():
        return not isinstance(read_beginning(folder).experiment.recipe.task, Classify)
    return is_found(folder)


def finder(where: str | Path, of: Epoch = "last") -> Finder:
    """The network of a finished run that finds objects, or of a saved one.

    Raises: FolderError, CheckpointError; UsageError if it has learnt labels, or the run does not keep its best epoch.
    """
    kind = kind_of(where)
    match kind:
        case "run":
            return _of_run(Path(where), of)
        case "saved" if is_found(where):
            if of == "best":
                raise UsageError(f"{where} has the weights of one epoch; leave out --of best")
            return _of_saved(Path(where))
        case "saved" | "word":
            raise UsageError(f"{where} has learnt {noun(Classify())}, not objects")
        case _:
            assert_never(kind)


def _of_run(folder: Path, of: Epoch) -> Finder:
    run = read_finished(folder)
    task = run.experiment.recipe.task
    if isinstance(task, Classify):
        raise UsageError(f"{folder} has learnt {noun(task)}, not objects")
    from resatlas.data.normalisation import UNTOUCHED
    from resatlas.nets.detector import Detector
    from resatlas.nets.segmenter import Segmenter
    from resatlas.training.splits import normaliser_of
    from resatlas.training.starting import trained_state

    module = trained_state(run, as_carried_out(run.beginning), of).tested.eval()
    assert isinstance(module, Detector | Segmenter)  # noqa: S101 - what these tasks train
    best = best_of(run.metrics)
    return Finder(
        name=str(folder),
        saved=False,
        module=module,
        normaliser=normaliser_of(run) or UNTOUCHED,
        plan=run.plan,
        classes=run.classes,
        data=run.experiment.data,
        epoch=best.epoch if of == "best" and best else run.outcome.epochs,
    )


def _of_saved(folder: Path) -> Finder:
    config = read_found_config(folder)
    from resatlas.exporting.found_loading import found_in
    from resatlas.exporting.preprocessing import read_normalisation

    training = config.training
    test = training.test if training else None
    return Finder(
        name=str(folder),
        saved=True,
        module=found_in(folder),
        normaliser=read_normalisation(folder, config.network),
        plan=config.network.plan,
        classes=config.class_names,
        data=training.data if training else "",
        epoch=training.epochs if training else None,
        published=f"an error of {test.error_percent:g} % on {test.images:,} test images" if test else "",
        licence=config.network.licence or "",
    )
