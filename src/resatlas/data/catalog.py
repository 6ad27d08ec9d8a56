"""Which data sets exist, and what a DATA text means: a name, or a name with knobs (`digits:size=16`)."""

import inspect
import re
from collections.abc import Callable
from dataclasses import replace

from resatlas.data.dataset import DataSet
from resatlas.data.digits import digits
from resatlas.data.fashion_mnist import fashion_mnist
from resatlas.data.synthetic import synthetic
from resatlas.errors import UnknownName, UsageError, quoted, unknown


def resolve(text: str) -> DataSet:
    """The data set of a DATA text, named by the shortest text that means it.

    Raises: UnknownName if no data set has the name, or it has no such knob; UsageError if a knob is malformed,
        given twice or out of bounds.
    """
    name, colon, rest = text.partition(":")
    if name not in NAMED:
        raise UnknownName(unknown("data set", name, NAMED))
    usual = {knob: parameter.default for knob, parameter in inspect.signature(NAMED[name]).parameters.items()}
    given = knobs(name, rest, usual) if colon else {}
    changed = ",".join(f"{knob}={given[knob]}" for knob in usual if given.get(knob, usual[knob]) != usual[knob])
    return replace(NAMED[name](**given), name=f"{name}:{changed}" if changed else name)


def knobs(name: str, text: str, usual: dict[str, int]) -> dict[str, int]:
    """The values of `key=value,key=value`, whole numbers all.

    Raises: UnknownName, UsageError as `resolve`.
    """
    if not usual:
        raise UsageError(f"{name} has no knobs; {quoted(text)} cannot be set")
    values: dict[str, int] = {}
    for item in text.split(","):
        knob, _, value = item.partition("=")
        if knob not in usual:
            raise UnknownName(unknown(f"knob of {name}", knob, usual))
        if not re.fullmatch(r"-?[0-9]{1,9}", value):
            raise UsageError(
                f"a knob of {name} is a whole number of up to 9 digits, as {knob}={usual[knob]}; {quoted(item)} is not"
            )
        if knob in values:
            raise UsageError(f"a knob is given once; {knob} of {name} is given twice in {quoted(text)}")
        values[knob] = int(value)
    return values


NAMED: dict[str, Callable[..., DataSet]] = {
    "digits": digits,
    "fashion-mnist": fashion_mnist,
    "synthetic": synthetic,
}
