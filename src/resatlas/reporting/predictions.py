"""What a run answered to its test images."""

from collections.abc import Mapping

from resatlas.runs.record import RunRecord


def wrong_answers(run: RunRecord) -> Mapping[tuple[str, str], bool]:
    """Of each test image, by id and true class, whether the run's answer is wrong; empty without predictions."""
    return {(each.image, each.true): each.true != each.predicted for each in run.predictions or ()}
