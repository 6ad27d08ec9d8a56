"""An experiment is a value that JSON holds whole."""

import json
from dataclasses import MISSING, fields, replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resatlas.arch.blueprint import Initial
from resatlas.errors import UsageError
from resatlas.recipes.catalog import NAMED
from resatlas.recipes.recipe import Decay, Recipe, Sgd
from resatlas.recipes.schedule import OneCycle
from resatlas.runs.experiment import (
    SCHEMA,
    Experiment,
    digest,
    digest_as_written,
    folder_name,
    from_json,
    to_json,
)

PLAIN = Experiment(design="resnet-20", data="digits")

OF_SCHEMA_1 = (
    *("name", "source", "epochs", "batch", "schedule", "iterations", "leftover", "norm_group", "optimizer", "decay"),
    *("initial", "dropouts", "steps", "testing", "validation", "data", "images", "reported", "unsettled"),
)
"""The fields that a recipe had then."""

RATES = st.floats(0, 0.999)

RECIPES = st.builds(
    Recipe,
    name=st.text(),
    source=st.text(),
    epochs=st.integers(1, 10**6),
    batch=st.integers(1, 10**6),
    optimizer=st.builds(Sgd, momentum=RATES, form=st.sampled_from(["plain", "nesterov", "caffe"])),
    schedule=st.one_of(
        st.builds(
            OneCycle,
            peak=st.floats(1e-12, 1e12),
            rise=st.fractions(Fraction(1, 99), Fraction(98, 99), max_denominator=999),
        ),
        st.sampled_from([each.schedule for each in NAMED.values()]),
    ),
    decay=st.builds(Decay, conv=RATES, linear=RATES, norm=RATES, bias=RATES),
    steps=st.sampled_from([each.steps for each in NAMED.values()]),
    testing=st.sampled_from([each.testing for each in NAMED.values()]),
    initial=st.sampled_from([None, Initial(fan="in")]),
    validation=st.fractions(0, Fraction(1, 2), max_denominator=99),
)

EXPERIMENTS = st.builds(
    Experiment,
    design=st.text(min_size=1),
    data=st.text(min_size=1),
    recipe=RECIPES,
    seed=st.integers(0, 2**31 - 1),
    layout=st.sampled_from(["channels-last", "contiguous"]),
)


@given(EXPERIMENTS)
def test_an_experiment_comes_back_from_json(experiment: Experiment) -> None:
    """Through text and back, it is equal and has the same digest."""
    again = from_json(json.loads(json.dumps(to_json(experiment))))
    assert again == experiment
    assert digest(again) == digest(experiment)


@given(EXPERIMENTS, EXPERIMENTS)
def test_digests_are_equal_where_experiments_are(one: Experiment, other: Experiment) -> None:
    """Two different experiments have different digests."""
    assert (digest(one) == digest(other)) == (one == other)


def test_other_keys_of_its_file_are_passed_over() -> None:
    """The plan, the classes and the note stand beside it."""
    assert from_json({**to_json(PLAIN), "plan": {}, "classes": [], "note": ""}) == PLAIN


@pytest.mark.parametrize(
    ("schema", "sentence"),
    [
        (SCHEMA + 1, r"of schema 3 was written by a later version of resatlas; this version reads 1 and 2"),
        (0, "of schema 0 cannot be read; this version reads 1 and 2"),
        ("1", "of schema 1 cannot be read"),
        (True, "of schema True cannot be read"),
        (None, "of schema None cannot be read"),
        ([], "of schema .* cannot be read"),
    ],
)
def test_another_schema_is_refused(schema: object, sentence: str) -> None:
    """A file of another version is not guessed at; that of a later one is told as such."""
    with pytest.raises(UsageError, match=sentence):
        from_json({**to_json(PLAIN), "schema": schema})


@given(EXPERIMENTS)
def test_the_schema_before_is_read(experiment: Experiment) -> None:
    """An experiment of schema 1, which had SGD alone, and none of the fields that came since."""
    data = json.loads(json.dumps(to_json(experiment)))
    optimizer = {key: value for key, value in data["recipe"]["optimizer"].items() if key != "kind"}
    recipe = {key: value for key, value in data["recipe"].items() if key in OF_SCHEMA_1}
    old = {**data, "schema": 1, "precision": "fp32", "recipe": {**recipe, "optimizer": optimizer}}
    default = {each.name: each.default for each in fields(Recipe) if each.name not in OF_SCHEMA_1}
    known = {name: value for name, value in default.items() if value is not MISSING}
    assert from_json(old) == replace(experiment, recipe=replace(experiment.recipe, **known), precision="fp32")
    assert digest_as_written({**old, "plan": {}, "note": ""}) == digest_as_written(old) != digest(experiment)


@pytest.mark.parametrize(
    "change",
    [
        {"design": 3},
        {"seed": "0"},
        {"seed": -1},
        {"seed": 2**31},
        {"seed": True},
        {"layout": "rows"},
        {"precision": "fp8"},
        {"recipe": {}},
        {"recipe": None},
        {"recipe": {**to_json(PLAIN)["recipe"], "epochs": "many"}},
        {"recipe": {**to_json(PLAIN)["recipe"], "colour": "red"}},
        {"recipe": {**to_json(PLAIN)["recipe"], "augmentation": [{"kind": "os.system"}]}},
    ],
    ids=str,
)
def test_data_of_another_form_are_refused(change: dict[str, Any]) -> None:
    """Wrong types, values and keys are usage errors."""
    with pytest.raises(UsageError):
        from_json({**to_json(PLAIN), **change})


@pytest.mark.parametrize("missing", ["design", "data"])
def test_what_has_no_default_must_be_there(missing: str) -> None:
    """An experiment without design or data is none."""
    with pytest.raises(UsageError, match=missing):
        from_json({key: value for key, value in to_json(PLAIN).items() if key != missing})


def test_a_run_is_called_after_its_experiment() -> None:
    """<data>-<design>-<recipe>-s<seed>, every odd character as an underscore."""
    experiment = Experiment(design="wide-resnet:depth=10,widen=17/12", data="digits:size=16", seed=3)
    assert experiment.run_name == "digits_size_16-wide-resnet_depth_10_widen_17_12-quick-s3"


@given(st.text())
def test_a_folder_name_is_plain_and_as_long_as_its_text(text: str) -> None:
    """Only letters, digits and "._-" of ASCII are left, all others are underscores, and nothing else changes."""
    name = folder_name(text)
    assert len(name) == len(text)
    allowed = set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")
    assert all(new == (old if old in allowed else "_") for old, new in zip(text, name, strict=True))


@given(EXPERIMENTS)
def test_a_run_name_is_one_folder(experiment: Experiment) -> None:
    """No name leads out of the folder of runs."""
    assert "/" not in experiment.run_name
    assert experiment.run_name not in ("", ".", "..")


@pytest.mark.parametrize("seed", [-1, 2**31, 10**30])
def test_seeds_have_bounds(seed: int) -> None:
    """A seed is a whole number below 2**31."""
    with pytest.raises(UsageError, match="a seed must be between 0 and 2,147,483,647"):
        replace(PLAIN, seed=seed)
