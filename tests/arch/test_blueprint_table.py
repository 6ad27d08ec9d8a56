"""A blueprint is written as the TOML file that is read as the same blueprint."""

from dataclasses import replace
from pathlib import Path

import pytest

from resatlas.arch.blueprint_file import NamedBlueprint, read_blueprint
from resatlas.arch.blueprint_table import blueprint_table, blueprint_text
from resatlas.arch.residual import PRE_ACTIVATION
from resatlas.designs.catalog import Entry, named, resolve
from resatlas.errors import BlueprintError

WITHOUT_WORDS = "regnet-y-"
"""Their attention is between two convolutions."""


def file_of(entry: Entry) -> NamedBlueprint:
    """The blueprint of an entry with its usual task."""
    return NamedBlueprint(name=entry.name, image=entry.image, classes=entry.classes, blueprint=entry.blueprint)


def test_every_network_of_the_catalogue_is_a_file(tmp_path: Path) -> None:
    """What is written is read as the same blueprint, for the same images."""
    entries = [entry for name, entry in named().items() if not name.startswith(WITHOUT_WORDS)]
    for entry in entries:
        (tmp_path / "net.toml").write_text(blueprint_text(file_of(entry)), encoding="utf-8")
        assert read_blueprint(tmp_path / "net.toml") == file_of(entry)
    assert len(entries) > 250


def test_usual_values_are_left_out() -> None:
    """A file says what is unlike the defaults, and the kind of unit."""
    assert blueprint_table(file_of(resolve("resnet-20"))) == {
        "schema": 1,
        "name": "resnet-20",
        "image": [3, 32, 32],
        "classes": 10,
        "units": [3, 3, 3],
        "stem": {"width": 16},
        "widths": {"rule": "per-stage", "widths": [16, 32, 64]},
        "residual": {"convs": "basic", "order": "post-activation", "shortcut": "zero-pad"},
    }


def test_a_part_without_words_is_named() -> None:
    """An order that no file can say, and shortcuts that differ from their order's."""
    with pytest.raises(BlueprintError, match="regnet-y-200mf: a TOML file has no words for the order of operations"):
        blueprint_text(file_of(resolve("regnet-y-200mf")))
    entry = resolve("resnet-20-B")
    wrong = replace(
        entry, blueprint=replace(entry.blueprint, residual=replace(entry.blueprint.residual, order=PRE_ACTIVATION))
    )
    with pytest.raises(BlueprintError, match="resnet-20-B: a TOML file has no words for its residual"):
        blueprint_text(file_of(wrong))
