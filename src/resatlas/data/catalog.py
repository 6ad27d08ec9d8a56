"""The data sets by name, and the meaning of a DATA text: a name or a folder, with or without knobs."""

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, get_args

from resatlas.data.boxes import DetectionData
from resatlas.data.cifar import cifar_10, cifar_100
from resatlas.data.dataset import DataSet
from resatlas.data.digits import Split, digits
from resatlas.data.fashion_mnist import fashion_mnist
from resatlas.data.folder import folder
from resatlas.data.imagenet import imagenet
from resatlas.data.largest import largest
from resatlas.data.listing import is_directory, printable
from resatlas.data.scenes import scenes
from resatlas.data.svhn import svhn
from resatlas.data.synthetic import synthetic
from resatlas.errors import UnknownName, UsageError, quoted, unknown
from resatlas.values.knobs import key_values

WORDS: dict[str, tuple[str, ...]] = {"split": get_args(Split)}
"""Knobs that are words, and their values; all others are whole numbers."""


def resolve(text: str) -> DataSet:
    """The data set of a DATA text such as `digits:size=16`, named by its shortest text.

    Raises: UnknownName for an unknown data set or knob; UsageError if a knob is malformed, set twice or
        out of bounds, or the data set has objects; DataError if a folder is not laid out as a data set.
    """
    name, colon, rest = separated(text)
    if name in OBJECTS:
        raise UsageError(
            f"{name} has objects, not one label per image: resatlas train --data {name} --recipe detect-quick learns "
            "them, resatlas evaluate RUN tests them"
        )
    if name not in NAMED and not _is_path(name):
        raise UnknownName(unknown("data set", name, [*NAMED, *OBJECTS]))
    make = NAMED.get(name) or partial(folder, Path(name))
    usual = {knob: parameter.default for knob, parameter in inspect.signature(make).parameters.items()}
    values = knobs(printable(name), rest, usual) if colon else {}
    changed = ",".join(f"{knob}={values[knob]}" for knob in usual if values.get(knob, usual[knob]) != usual[knob])
    return replace(make(**values), name=f"{name}:{changed}" if changed else name)


def separated(text: str) -> tuple[str, str, str]:
    """(name, colon if there are knobs, knobs); a folder may have colons in its own name."""
    first, last = text.partition(":"), text.rpartition(":")
    if first[0] in NAMED or first[0] in OBJECTS:
        return first
    if text and is_directory(Path(text)):
        return text, "", ""
    return last if _is_path(last[0]) else first


def is_folder(text: str) -> bool:
    """Whether a DATA text means a folder of images, existing or not."""
    name = separated(text)[0]
    return name not in NAMED and name not in OBJECTS


def _is_path(name: str) -> bool:
    """Whether a name that is not a data set means a folder of images: it has a slash, or the folder exists."""
    return "/" in name or (name != "" and is_directory(Path(name)))


def knobs(name: str, text: str, usual: Mapping[str, Any]) -> dict[str, Any]:
    """The values of `key=value,key=value`: whole numbers, and words among those of the data set.

    Raises: UnknownName, UsageError as `resolve`.
    """
    if not usual:
        raise UsageError(f"{name} has no knobs; {quoted(text)} cannot be set")
    texts = key_values(text.split(","), of=name, known=usual)
    return {knob: _value(name, knob, value, usual[knob]) for knob, value in texts.items()}


def _value(name: str, knob: str, text: str, usual: object) -> int | str:
    if isinstance(usual, str):
        if text not in WORDS[knob]:
            raise UnknownName(unknown(f"{knob} of {name}", text, WORDS[knob]))
        return text
    if not re.fullmatch(r"-?[0-9]{1,9}", text):
        words = quoted(f"{knob}={text}")
        raise UsageError(f"a knob of {name} is a whole number of up to 9 digits, such as {knob}={usual}; got {words}")
    return int(text)


NAMED: dict[str, Callable[..., DataSet]] = {
    "cifar-10": cifar_10,
    "cifar-100": cifar_100,
    "digits": digits,
    "fashion-mnist": fashion_mnist,
    "imagenet": imagenet,
    "largest": largest,
    "svhn": svhn,
    "synthetic": synthetic,
}

OBJECTS: Mapping[str, Callable[..., DetectionData]] = {"scenes": scenes}
"""The data sets whose images have objects, beside folders in COCO's or VOC's layout; see `data.annotated`."""
