"""Networks without a run as subjects of a dissection: saved networks and words, with the images of their data set."""

from resatlas.analysis.probed_run import ProbedNetwork
from resatlas.data.pipeline import Pipeline
from resatlas.errors import UsageError
from resatlas.evaluation.portions import MOST
from resatlas.studies.predictors import Predictor, own_data
from resatlas.training.splits import Splits

QUESTIONS = ("capacity", "lesion", "paths", "similarity")
"""The questions that need no run; the others need its checkpoints, results or predictions."""


def check_question(question: str, name: str) -> None:
    """Refuse a question that needs a run.

    Raises: UsageError
    """
    if question not in QUESTIONS:
        raise UsageError(
            f"{question} needs a finished run, and {name} is a saved network or a word; without a run there are "
            f"{', '.join(QUESTIONS)}"
        )


def probed_network(predictor: Predictor, test_batch: int | None, notes: list[str]) -> ProbedNetwork:
    """A network with the images of its data set; remarks are added to `notes`.

    Raises: UsageError if its data set is not known here; DataError if the images are missing.
    """
    data = own_data(predictor)
    if data.image != predictor.plan.image:
        raise UsageError(f"images of {data.name} are {data.image}, and {predictor.name} takes {predictor.plan.image}")
    parts = data.read()
    if parts.validation is None:
        notes.append(f"No validation images of {predictor.name} are known; training images of {data.name} are used.")
    preparation = predictor.preprocessing
    pipeline = Pipeline(steps=(), normaliser=preparation.normaliser, view=preparation.view, on_note=notes.append)
    splits = Splits(train=parts.train, validation=parts.validation, test=parts.test, pipeline=pipeline)
    return ProbedNetwork(
        name=predictor.name,
        design=predictor.design or predictor.name,
        network=predictor.network.eval(),
        splits=splits,
        batch_size=test_batch or MOST,
    )
