"""Every field of every family's record holds, and the rest of the package follows it."""

from dataclasses import fields

import pytest

from resatlas.arch.cost import cost
from resatlas.designs.aliases import peers
from resatlas.designs.catalog import FAMILIES, family_of, named, resolve
from resatlas.designs.citations import papers, papers_of
from resatlas.designs.family import Family
from resatlas.designs.solver.space import sizes_of
from resatlas.designs.solver.spelling import spelled
from resatlas.eject.papers import origin
from resatlas.page.chart import look_of
from resatlas.recipes import catalog as recipes
from resatlas.recipes import modern, quick
from resatlas.recipes.detection import Classify
from tests.oracles.test_oracles import CASES

FREE = {**quick.NAMED, **modern.NAMED}
"""Recipes of no family."""


@pytest.fixture(params=FAMILIES.values(), ids=list(FAMILIES))
def family(request: pytest.FixtureRequest) -> Family:
    """Each family."""
    return request.param


def smallest(family: Family) -> str:
    """A DESIGN text of the family with every other size than the depth at its least."""
    least = ",".join(f"{size.knob}={size.values[0]}" for size in sizes_of(family)[1:])
    depth = next(entry.depth for entry in named().values() if type(entry.design) is family.design)
    return f"{family.name}:depth={depth}" + (f",{least}" if least else "")


def test_design_name_and_named(family: Family) -> None:
    """The knobs are those of a dataclass that gives its family's name, and the catalogue lists some of its networks."""
    knobs = {knob.name for knob in fields(family.design)}
    assert {"depth", "base"} <= knobs
    assert FAMILIES[family.name] is family
    listed = [entry for entry in named().values() if entry.family == family.name]
    assert any(type(entry.design) is family.design for entry in listed)
    for name, design in family.named.items():
        assert named()[name].design == design
        if type(design) in family.others:
            assert family_of(design) is family


def test_grammar(family: Family) -> None:
    """What it reads, it writes, and the other way round; each knob with an end or in the head is one of the design."""
    text = spelled(resolve(smallest(family)).design)  # type: ignore[arg-type]
    assert family.grammar.word in text
    assert resolve(text).blueprint == resolve(smallest(family)).blueprint
    assert set(family.grammar.ends) <= {knob.name for knob in fields(family.design)}


def test_sizes(family: Family) -> None:
    """They rise, and with every size but the depth a network costs more."""
    depth, *others = sizes_of(family)
    assert depth.knob == "depth"
    for size in (depth, *others):
        assert list(size.values) == sorted(set(size.values))
    for size in others:
        text = smallest(family)
        more = text.replace(f"{size.knob}={size.values[0]}", f"{size.knob}={size.values[1]}")
        assert cost(resolve(text).plan()).parameters < cost(resolve(more).plan()).parameters


def test_paper(family: Family) -> None:
    """It is among the papers, and every network of the family cites it."""
    assert family.paper in papers()
    assert family.paper in papers_of(resolve(smallest(family)))


def test_colour_and_shape(family: Family) -> None:
    """No two families share either, and charts take both."""
    assert look_of(family.name) == (family.colour, family.shape)
    for other in FAMILIES.values():
        assert other is family or (other.colour != family.colour and other.shape != family.shape)


def test_label_and_sources(family: Family) -> None:
    """An ejected file has a class of that name and a sentence with the paper, for every network of the file."""
    assert origin(resolve(smallest(family))).network == family.label
    assert family.label.isidentifier()
    for name in family.named:
        sources = origin(named()[name]).sources
        assert any(str(family_of(named()[name].design).paper) in line for line in sources)  # type: ignore[arg-type]
        assert all(line.endswith(".") for line in sources)


def test_recipes(family: Family) -> None:
    """Its authors' recipes are there."""
    assert family.recipes
    assert set(family.recipes) <= set(recipes.NAMED) - set(FREE)


def test_every_recipe_of_a_paper_has_a_family() -> None:
    """None but those of no family is left out of the records; networks inside detectors may be of any family."""
    labelled = {name for name, recipe in recipes.NAMED.items() if isinstance(recipe.task, Classify)}
    assert {name for family in FAMILIES.values() for name in family.recipes} == labelled - set(FREE)


def test_peers_and_spellings(family: Family) -> None:
    """Names of other libraries mean networks of the family, and other spellings are read as its names."""
    assert family.peers.items() <= peers(FAMILIES).items()
    for theirs in family.peers:
        assert resolve(theirs).family == family.name
    text = spelled(resolve(smallest(family)).design)  # type: ignore[arg-type]
    assert resolve(text.upper().replace("-", "_", 1)).blueprint == resolve(text).blueprint


def test_bases(family: Family) -> None:
    """A network with its setting's base written out is the network without."""
    entry = resolve(smallest(family))
    assert entry.design is not None
    base = family.bases[entry.design.setting]
    assert resolve(f"{smallest(family)},base={base}").blueprint == entry.blueprint


def test_straight_line_oracle(family: Family) -> None:
    """The tests have a forward pass of the family that is written from the paper alone."""
    assert any(resolve(name).family == family.name for name, *_ in CASES)
