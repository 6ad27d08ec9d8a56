"""The model card of a saved network, and its config."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped] - it comes without types
from huggingface_hub import ModelCard
from huggingface_hub.repocard_data import model_index_to_eval_results

from resatlas.data.catalog import NAMED
from resatlas.designs.citations import papers_of
from resatlas.exporting.card import card
from resatlas.exporting.config import Config, Figures, from_json, to_json
from resatlas.exporting.facts import wilson
from resatlas.exporting.metadata import HUB_NAMES
from resatlas.values.markdown import as_text
from tests.exporting.saved import BARE, ENTRY, MARKUP, TRAINED

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize(("name", "config"), [("run", TRAINED), ("network", BARE)])
def test_cards_are_as_written(name: str, config: Config, golden: Callable[[Path, str], None]) -> None:
    """The cards of a run and of a network without a run, with markup in the names."""
    golden(GOLDEN / f"{name}.md", card(config, papers_of(ENTRY) if config.training else ()))


def test_a_config_is_read_as_it_was_written() -> None:
    """Conversion to JSON and back gives the same config, markup included."""
    for config in (BARE, TRAINED):
        assert from_json(json.loads(json.dumps(to_json(config)))) == config


@pytest.mark.parametrize("name", [*MARKUP, "www.f.example", "a\u202eb\n- c", "@someone", "&lt;"])
def test_names_stay_words(name: str) -> None:
    """All markup in a name is escaped, and a Markdown reader shows the name on one line."""
    text = as_text(name)
    assert not re.search(r"[<>\n\u202e]|(?<!\\)[`*_|$@\[]|(?<!\\)://|www\.", text)
    read = re.sub(r"\\(\W|_)", r"\1", text).replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    assert read == " ".join(name.replace("\u202e", "?").split())


def test_many_classes_are_not_all_named() -> None:
    """A card lists the first hundred."""
    plan = ENTRY.plan(classes=1000)
    names = tuple(f"class {k}" for k in range(1000))
    config = replace(TRAINED, plan=plan, classes=1000, class_names=names)
    assert "class 99 and 900 more, listed in `config.json`." in card(config, ())


def front(text: str) -> dict[str, Any]:
    """The YAML block of a card; checks that the hub's library and a YAML parser read the same."""
    on_hub = ModelCard(text).data.to_dict()
    _, block, _ = text.split("---\n", 2)
    table = yaml.safe_load(block)
    assert {key: on_hub[key] for key in table if key != "model-index"} == {
        key: value for key, value in table.items() if key != "model-index"
    }
    return table


@pytest.mark.parametrize("data", ["beasts:size=32", "fashion-mnist", *MARKUP, 'a: "b"\u2028- c', "yes", "\udcff"])
def test_the_hub_reads_the_metadata(data: str) -> None:
    """It reads library, task and results, and the data set by its name on the hub or by a valid name."""
    assert TRAINED.training
    table = front(card(replace(TRAINED, training=replace(TRAINED.training, data=data)), ()))
    assert (table["library_name"], table["pipeline_tag"], table["license"]) == (
        "resatlas",
        "image-classification",
        "unknown",
    )
    assert table.get("datasets") == (["zalando-datasets/fashion_mnist"] if data == "fashion-mnist" else None)
    [model] = table["model-index"]
    name, [result] = model_index_to_eval_results(table["model-index"])[0], model["results"]
    assert name.startswith("wrn-16-4 on ")
    assert re.fullmatch(r"([\w-]+/)?[\w.-]+", result["dataset"]["type"])
    assert [(metric["type"], metric["value"]) for metric in result["metrics"]] == [("accuracy", 0.975), ("loss", 0.25)]


def test_names_on_the_hub_are_of_data_sets_here() -> None:
    """The table of names on the hub has no unknown data set."""
    assert set(HUB_NAMES) <= set(NAMED)


def test_unknown_metadata_are_left_out() -> None:
    """Without a run there is no data set and no result; without classes the task is another."""
    table = front(card(BARE, ()))
    assert set(table) == {"license", "library_name", "pipeline_tag", "tags"}
    plan = ENTRY.plan(classes=0)
    features = front(card(replace(BARE, plan=plan, classes=0), ()))
    assert features["pipeline_tag"] == "image-feature-extraction"


@pytest.mark.parametrize(("percent", "images", "low", "high"), [(0, 10, 0, 27.75), (2.5, 360, 1.32, 4.68)])
def test_intervals_are_those_of_wilson(percent: float, images: int, low: float, high: float) -> None:
    """(p + z²/2n ± z·√(p(1 - p)/n + z²/4n²))/(1 + z²/n), also if no image is misclassified."""
    assert wilson(Figures(loss=1, error_percent=percent, images=images)) == pytest.approx((low, high), abs=0.005)
