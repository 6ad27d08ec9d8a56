"""The card of a saved network, and the config that it is written from."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from resatlas.designs.citations import papers_of
from resatlas.exporting.card import card, wilson
from resatlas.exporting.config import Config, Figures, from_json, to_json
from resatlas.values.markdown import as_text
from tests.exporting.saved import BARE, ENTRY, MARKUP, TRAINED

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize(("name", "config"), [("run", TRAINED), ("network", BARE)])
def test_cards_are_as_written(name: str, config: Config, golden: Callable[[Path, str], None]) -> None:
    """The cards of a run and of a network alone, with names full of markup."""
    golden(GOLDEN / f"{name}.md", card(config, papers_of(ENTRY) if config.training else ()))


def test_a_config_is_read_as_it_was_written() -> None:
    """To JSON and back is the same config, markup and all."""
    for config in (BARE, TRAINED):
        assert from_json(json.loads(json.dumps(to_json(config)))) == config


@pytest.mark.parametrize("name", [*MARKUP, "www.f.example", "a\u202eb\n- c", "@someone", "&lt;"])
def test_names_stay_words(name: str) -> None:
    """Taken back as Markdown reads it, a name is what it was, on one line; no mark of it is left bare."""
    text = as_text(name)
    assert not re.search(r"[<>\n\u202e]|(?<!\\)[`*_|$@\[]|(?<!\\)://|www\.", text)
    read = re.sub(r"\\(\W|_)", r"\1", text).replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    assert read == " ".join(name.replace("\u202e", "?").split())


def test_many_classes_are_not_all_named() -> None:
    """A card names a hundred of them, the config all."""
    plan = ENTRY.plan(classes=1000)
    names = tuple(f"class {k}" for k in range(1000))
    config = replace(TRAINED, plan=plan, classes=1000, class_names=names)
    assert "class 99 and 900 more, which `config.json` has." in card(config, ())


@pytest.mark.parametrize(("percent", "images", "low", "high"), [(0, 10, 0, 27.75), (2.5, 360, 1.32, 4.68)])
def test_intervals_are_those_of_wilson(percent: float, images: int, low: float, high: float) -> None:
    """(p + z²/2n ± z·√(p(1 - p)/n + z²/4n²))/(1 + z²/n), also where no answer is wrong."""
    assert wilson(Figures(loss=1, error_percent=percent, images=images)) == pytest.approx((low, high), abs=0.005)
