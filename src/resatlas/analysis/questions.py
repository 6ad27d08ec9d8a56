"""Which questions a trained network is asked; free of torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

FOLDER = "dissections"
"""Below a run's folder: QUESTION.json for each question that was put to it, and pictures."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """A question, in words, and how many further runs it is put to."""

    words: str
    beside: Literal["none", "any"]


QUESTIONS: Mapping[str, Question] = {
    "lesion": Question(words="what is lost with a unit, several, or in another order", beside="any"),
    "paths": Question(words="paths by length: their number, their weight, the exact gradient", beside="none"),
    "flow": Question(words="responses, gradients and cut sums along the depth", beside="any"),
    "streams": Question(words="how far streams are apart, and what other skip matrices do", beside="any"),
    "similarity": Question(words="linear CKA between the units of a network, or of two", beside="any"),
    "surface": Question(words="the loss around the trained network", beside="none"),
    "capacity": Question(words="where parameters and multiply-adds sit along the depth", beside="none"),
    "explain": Question(words="the most wrong test images, and where the network looks", beside="none"),
}
