"""What a saved network says of the run that trained it, without the names of folders, which are private."""

from dataclasses import replace
from pathlib import Path

from resatlas.data.catalog import NAMED, separated
from resatlas.data.normalisation import Normaliser, normaliser_bytes
from resatlas.exporting.config import NORMALISATION, Affine, Stored
from resatlas.exporting.preprocessing import as_numbers
from resatlas.runs.departures import sentences
from resatlas.runs.experiment import Experiment, TrainedWeights
from resatlas.runs.files import sha256_of, write_bytes
from resatlas.runs.record import RunRecord
from resatlas.values.weights import Storage

_ROUNDED = "the weights are rounded to half precision after the training; the results are those before it"


def without_folders(design: str) -> str:
    """A DESIGN text; the path of a file is shortened to its name."""
    return Path(design).name if design.endswith(".toml") else design


def data_of(experiment: Experiment) -> str:
    """The DATA text of an experiment; the path of a folder is shortened to its name."""
    name, colon, knobs = separated(experiment.data)
    return experiment.data if name in NAMED else f"{Path(name).name}{colon}{knobs}"


def begun_from(experiment: Experiment) -> TrainedWeights | None:
    """The file of initial weights, by its name alone; None if they were random."""
    weights = experiment.weights
    return weights and replace(weights, file=Path(weights.file).name)


def departures_of(run: RunRecord, *, epoch: int, stored: Storage) -> tuple[str, ...]:
    """The differences of a run from its recipe, and of the saved weights from those of its last epoch."""
    whole = run.outcome.epochs
    return (
        *run.beginning.departures,
        *sentences(run.outcome.departures),
        *([] if epoch == whole else [f"the weights are those after epoch {epoch} of {whole}"]),
        *([_ROUNDED] if stored == "fp16" else []),
    )


def written_normalisation(normaliser: Normaliser | Affine, draft: Path) -> Affine | Stored:
    """The normalisation as numbers, or, if there are too many, as a separate file.

    The file of weights holds nothing else, since other libraries read it, too.
    """
    if isinstance(normaliser, Affine):
        return normaliser
    numbers = as_numbers(normaliser)
    if numbers:
        return numbers
    write_bytes(draft / NORMALISATION, normaliser_bytes(normaliser))
    return Stored(sha256=sha256_of(draft / NORMALISATION))
