"""Values to JSON and back by their annotations, and words of the command line to values."""

import json
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import pytest
from hypothesis import given, settings

from resatlas.arch.blueprint import Blueprint
from resatlas.arch.ops import Shape
from resatlas.arch.streams import MergeAndRun
from resatlas.errors import BlueprintError
from resatlas.values.codec import decode, decode_text, encode, kind_of
from tests.arch.strategies import blueprints


@dataclass(frozen=True)
class Round:
    """A member of a union."""

    radius: Fraction


@dataclass(frozen=True)
class Flat:
    """Another member, without fields."""


@dataclass(frozen=True, kw_only=True)
class Thing:
    """A value of every kind that the codec knows."""

    size: int
    share: float = 0.5
    name: str = "thing"
    open: bool = False
    form: Round | Flat = Flat()
    forms: tuple[Round | Flat, ...] = ()
    image: Shape | None = None
    word: Literal["one", "two"] = "one"
    part: Fraction | None = None


WHOLE = Thing(size=3, form=Round(Fraction(3, 4)), forms=(Flat(), Round(Fraction(2))), image=Shape(1, 2, 3))


def test_a_value_is_written_in_plain_json() -> None:
    """Unions carry their kind, fractions are texts, tuples and shapes lists."""
    assert encode(WHOLE) == {
        "size": 3,
        "share": 0.5,
        "name": "thing",
        "open": False,
        "form": {"kind": "round", "radius": "3/4"},
        "forms": [{"kind": "flat"}, {"kind": "round", "radius": "2"}],
        "image": [1, 2, 3],
        "word": "one",
        "part": None,
    }


def test_a_value_comes_back() -> None:
    """Value, JSON text, value: the same."""
    assert decode(Thing, json.loads(json.dumps(encode(WHOLE))), where="thing") == WHOLE


@given(blueprints())
@settings(max_examples=30, deadline=None)
def test_every_blueprint_comes_back(blueprint: Blueprint) -> None:
    """Blueprint, JSON text, blueprint: the same."""
    assert decode(Blueprint, json.loads(json.dumps(encode(blueprint))), where="blueprint") == blueprint


@pytest.mark.parametrize(
    ("data", "value"),
    [
        ({"size": 3, "share": 1}, Thing(size=3, share=1.0)),
        ({"size": 3, "part": 2}, Thing(size=3, part=Fraction(2))),
        ({"size": 3, "part": 0.1}, Thing(size=3, part=Fraction(1, 10))),
        ({"size": 3, "part": "0.1"}, Thing(size=3, part=Fraction(1, 10))),
        ({"size": 3, "part": "1/10"}, Thing(size=3, part=Fraction(1, 10))),
        ({"size": 3, "part": None}, Thing(size=3)),
    ],
)
def test_numbers_are_read_as_written(data: dict[str, object], value: Thing) -> None:
    """A whole number may stand for a number, and a decimal is the fraction that it shows."""
    assert decode(Thing, data, where="thing") == value


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({}, 'thing: key "size" is missing'),
        ([], "thing: expected a table, got a list"),
        (None, "thing: expected a table, got nothing"),
        ({"size": 3, "sise": 1}, 'thing: no key "sise"; did you mean "size"?'),
        ({"size": 3, "__class__": "x"}, None),
        ({"size": "3"}, "thing.size: expected a whole number, got a text"),
        ({"size": 3.0}, "thing.size: expected a whole number, got a number"),
        ({"size": True}, "thing.size: expected a whole number, got true or false"),
        ({"size": None}, "thing.size: expected a whole number, got nothing"),
        ({"size": 3, "share": "x"}, "thing.share: expected a number, got a text"),
        ({"size": 3, "share": True}, "thing.share: expected a number, got true or false"),
        ({"size": 3, "open": 1}, "thing.open: expected true or false, got a whole number"),
        ({"size": 3, "name": 1}, "thing.name: expected a text, got a whole number"),
        ({"size": 3, "word": "tow"}, 'thing.word: no value "tow"; did you mean "two"?'),
        ({"size": 3, "word": ["one"]}, None),
        ({"size": 3, "form": "round"}, 'thing.form: expected a table with "kind" (round, flat)'),
        ({"size": 3, "form": {"radius": 1}}, 'thing.form: expected a table with "kind" (round, flat)'),
        ({"size": 3, "form": {"kind": "rond"}}, 'thing.form: no kind "rond"; did you mean "round"?'),
        ({"size": 3, "form": {"kind": "round"}}, 'thing.form: key "radius" is missing'),
        ({"size": 3, "forms": {"kind": "flat"}}, "thing.forms: expected a list, got a dict"),
        ({"size": 3, "forms": [{"kind": "flat"}, 1]}, 'thing.forms[1]: expected a table with "kind" (round, flat)'),
        ({"size": 3, "image": [1, 2]}, "thing.image: 3 numbers (channels, height, width), not 2"),
        ({"size": 3, "image": [1, 2, "3"]}, "thing.image[2]: expected a whole number, got a text"),
    ],
)
def test_what_does_not_fit_is_told(data: object, words: str | None) -> None:
    """The place, what is expected there and what was given; for a wrong word the nearest right one."""
    with pytest.raises(BlueprintError) as refusal:
        decode(Thing, data, where="thing")
    assert words is None or str(refusal.value) == words
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "part", ["1/0", "x", "", "1e5", "1e999999999", "9" * 25, "nan", float("nan"), float("inf"), True, [1], {}]
)
def test_what_is_no_fraction_is_told(part: object) -> None:
    """Neither powers of ten nor long numbers nor other values are taken for a fraction."""
    with pytest.raises(BlueprintError, match=r'thing\.part: expected a fraction such as "1/4" or 0\.25, got .*'):
        decode(Thing, {"size": 3, "part": part}, where="thing")


def test_a_deep_value_is_refused_like_any_other() -> None:
    """A value that is too deep to be shown is still refused in one line."""
    deep: object = 1
    for _ in range(100_000):
        deep = {"a": deep}
    for key in ("part", "word", "size", "form", "image"):
        with pytest.raises(BlueprintError):
            decode(Thing, {"size": 3, key: deep}, where="thing")


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (int, "28", 28),
        (int, "-4", -4),
        (float, "0.3", 0.3),
        (float, "3", 3.0),
        (bool, "true", True),
        (bool, "false", False),
        (str, "none", "none"),
        (str, "131", "131"),
        (Fraction, "3/4", Fraction(3, 4)),
        (Fraction, "0.1", Fraction(1, 10)),
        (int | None, "none", None),
        (int | None, "16", 16),
        (Literal["A", "B"], "B", "B"),
        (Literal["A", "B"] | None, "none", None),
        (Literal["A", "B"] | None, "A", "A"),
    ],
)
def test_a_word_is_read_as_its_type(kind: Any, text: str, value: object) -> None:  # noqa: ANN401 - any type
    """Numbers, truth values, names and none, where the type has them."""
    read = decode_text(kind, text, where="knob")
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (int, "1e9"),
        (int, "3.0"),
        (int, "true"),
        (int, "none"),
        (int, "9" * 25),
        (float, "x"),
        (bool, "1"),
        (bool, "True"),
        (Fraction, "none"),
        (Literal["A", "B"], "none"),
        (Literal["A", "B"], "C"),
        (Literal["A", "B"] | None, "C"),
    ],
)
def test_a_word_of_another_type_is_refused(kind: Any, text: str) -> None:  # noqa: ANN401 - any type
    """Values are not converted to fit, and None is refused for a type without None."""
    with pytest.raises(BlueprintError, match=r"^knob(: | needs )"):
        decode_text(kind, text, where="knob")


@dataclass(frozen=True)
class Either:
    """A number, or a list of numbers."""

    seeds: int | tuple[int, ...]


def test_a_value_or_a_list_of_values_is_told_apart_by_the_list() -> None:
    """Both come back; a list of another type is refused at its place."""
    for data in ({"seeds": 3}, {"seeds": [3, 5]}):
        assert encode(decode(Either, data, where="runs")) == data
    with pytest.raises(BlueprintError, match=r"runs.seeds\[1\]: expected a whole number, got a text"):
        decode(Either, {"seeds": [1, "two"]}, where="runs")
    with pytest.raises(BlueprintError, match=r"runs\.seeds: expected a whole number, got a text"):
        decode(Either, {"seeds": "two"}, where="runs")


def test_kinds_are_words_with_hyphens() -> None:
    """A class of two words has a kind of two words."""
    assert kind_of(MergeAndRun) == "merge-and-run"
