"""Designs by name: the networks of the papers, all other members of their families, and TOML files."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from fnmatch import fnmatchcase
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, get_type_hints

from resatlas.arch.blueprint import Blueprint
from resatlas.arch.blueprint_file import read_blueprint
from resatlas.arch.expand import expand, with_classes
from resatlas.arch.ops import Shape
from resatlas.arch.plan import Plan
from resatlas.designs import (
    aliases,
    dmrnet,
    ecanet,
    preact_resnet,
    pyramidnet,
    regnet,
    res2net,
    resnet,
    resnet_d,
    resnext,
    senet,
    shake_shake,
    wide_resnet,
)
from resatlas.designs.family import Family
from resatlas.designs.plugins import families_of_packages
from resatlas.designs.tasks import TASKS, Design
from resatlas.errors import BlueprintError, DesignError, UnknownName, UsageError, quoted, unknown
from resatlas.values.codec import decode_text
from resatlas.values.knobs import key_values

FAMILIES: Mapping[str, Family] = {
    family.name: family
    for family in (
        resnet.RESNET,
        resnet.PLAIN,
        preact_resnet.PREACT_RESNET,
        wide_resnet.WIDE_RESNET,
        resnext.RESNEXT,
        pyramidnet.PYRAMIDNET,
        dmrnet.DMRNET,
        dmrnet.DILNET,
        resnet_d.TWEAKED_RESNET,
        senet.SE_RESNET,
        senet.SE_RESNEXT,
        regnet.REGNET,
        res2net.RES2NET,
        ecanet.ECA_RESNET,
        shake_shake.SHAKE_SHAKE,
    )
}


@cache
def installed() -> Mapping[str, Family]:
    """The families of installed packages, which are imported only if a name is not found here."""
    return families_of_packages(taken=FAMILIES)


def families() -> dict[str, Family]:
    """All families: those here, and those of installed packages."""
    return {**FAMILIES, **installed()}


def family_named(text: str) -> Family | None:
    """The family whose name a text is; None for the name of a network, a file, or an unknown one."""
    if text in FAMILIES or _is_file(text):
        return FAMILIES.get(text)
    return None if _by_grammar(text) else installed().get(text)


def family_called(name: str | Family) -> Family:
    """The family of a name; a family of your own replaces its name. Packages are imported only for an unknown name.

    Raises: UnknownName with the nearest name.
    """
    if isinstance(name, Family):
        return name
    family = FAMILIES.get(name) or installed().get(name)
    if family is None:
        words = {known.grammar.word: known.name for known in families().values()}
        meant = f'no family "{name}"; did you mean "{words[name]}"?' if name in words else ""
        raise UnknownName(meant or unknown("family", name, families()))
    return family


def _nearest_first() -> Iterator[Family]:
    """The families here first, then those that must be imported."""
    yield from FAMILIES.values()
    yield from installed().values()


@dataclass(frozen=True, kw_only=True)
class OwnDesign:
    """A network of a user's own code, as a run stores it, since no text can name it without that code."""

    family: str
    depth: int | None
    blueprint: Blueprint


@dataclass(frozen=True, kw_only=True)
class Entry:
    """The meaning of a DESIGN text: a blueprint with its names and its usual task.

    `depth` is the paper's label; a blueprint from a file has none. `design` holds a paper's knobs.
    """

    name: str
    family: str
    depth: int | None
    blueprint: Blueprint
    image: Shape
    classes: int
    design: Design | None = None

    def plan(self, *, image: Shape | None = None, classes: int | None = None) -> Plan:
        """The plan for the usual task or another one."""
        return expand(
            self.blueprint,
            image=Shape(*image) if image else self.image,
            classes=self.classes if classes is None else classes,
        )


def family_of(design: Design) -> Family | None:
    """The family whose file defines the class of a design; None for a class that no family knows."""
    return next((family for family in _nearest_first() if type(design) in (family.design, *family.others)), None)


def own_design(entry: Entry) -> OwnDesign | None:
    """The stored form of an entry that needs a user's own code; None for designs of this package."""
    own = type(entry.design)
    if any(own in (family.design, *family.others) for family in FAMILIES.values()):
        return None
    return OwnDesign(family=entry.family, depth=entry.depth, blueprint=entry.blueprint)


@lru_cache(maxsize=1024)
def own_design_named(text: str) -> OwnDesign | None:
    """`own_design` of a DESIGN text; None also for files and unknown designs."""
    name = text.partition(":")[0]
    if _is_file(text) or name in FAMILIES:
        return None
    try:
        return own_design(resolve(text))
    except UsageError:
        return None


def entry_of_own(name: str, own: OwnDesign) -> Entry:
    """The entry of a stored own design."""
    return replace(_of_blueprint(own.blueprint), name=name, family=own.family, depth=own.depth)


def entry_of_value(value: object, *, name: str, knobs: Iterable[str] = ()) -> Entry:
    """The entry, called `name`, of a family, a design or a blueprint.

    Raises: UsageError for anything else; as `resolve` for its knobs.
    """
    words = list(knobs)
    if isinstance(value, Family):
        return _entry(name, _with_knobs(value.design, {}, words, name))
    if isinstance(value, Blueprint):
        if words:
            raise UsageError(f"{name}: a blueprint has no knobs; {quoted(words[0])} cannot be set")
        return replace(_of_blueprint(value), name=name)
    if isinstance(value, Design) and not isinstance(value, type):
        return _entry(name, _with_knobs(type(value), _knob_values(value), words, name) if words else value)
    raise UsageError(f"{name}: expected a Family, a design or a Blueprint; got {type(value).__name__}")


def _of_blueprint(blueprint: Blueprint) -> Entry:
    from hashlib import sha256

    task = TASKS["cifar"]
    return Entry(
        name=f"blueprint-{sha256(repr(blueprint).encode()).hexdigest()[:8]}",
        family="blueprint",
        depth=None,
        blueprint=blueprint,
        image=task.image,
        classes=task.classes,
    )


def _is_file(text: str) -> bool:
    return text.endswith(".toml") or "/" in text.partition(":")[0] or ".py:" in text


def same_network(one: Entry, other: Entry) -> bool:
    """Whether two entries have the same network for the same images; names may differ."""
    return (one.blueprint, one.image) == (other.blueprint, other.image)


def names_of(entry: Entry) -> tuple[str, ...]:
    """All names of this network in the catalogue, in its order."""
    return tuple(known.name for known in named().values() if same_network(known, entry))


def resolve(text: str | Design | Blueprint) -> Entry:
    """The entry of a DESIGN text: a name, a name or a family with knobs, or a TOML file.

    Spellings of other programs are accepted; the entry has the name here. A design or a blueprint can be passed in
    place of a text; the usual task of a blueprint is CIFAR's.
    Raises: UnknownName with the nearest names; DesignError if the network is impossible; BlueprintError.
    """
    if isinstance(text, Blueprint):
        return _of_blueprint(text)
    if not isinstance(text, str):
        return _entry(with_knobs(text.family, text), text)
    text = canonical(text)
    name, colon, rest = text.partition(":")
    knobs = rest.split(",") if colon else []
    if ".py:" in text:
        raise UsageError(f"{quoted(text)} is code, which is executed only if it is the DESIGN of a command line")
    if text.endswith(".toml") or "/" in name:
        file = read_blueprint(Path(text))
        return Entry(
            name=file.name,
            family="blueprint",
            depth=None,
            blueprint=file.blueprint,
            image=file.image,
            classes=file.classes,
        )
    if family := family_named(name):
        return _entry(text, _with_knobs(family.design, {}, knobs, name))
    design = _design(name)
    if colon:
        design = _with_knobs(type(design), _knob_values(design), knobs, name)
    return _entry(text, design)


def canonical(text: str) -> str:
    """The DESIGN text with a spelling of another program replaced by the name here; other texts unchanged."""
    name, colon, knobs = text.partition(":")
    if _is_file(text):
        return text
    return f"{_spelling(name).name or name}{colon}{knobs}"


def alias_note(text: str) -> str | None:
    """A sentence about the meaning of another program's spelling; None if the text has the name here."""
    here = canonical(text)
    if here == text:
        return None
    name, known = (words.partition(":")[0] for words in (text, here))
    peers = aliases.peers(families())
    tag = name.partition(".")[2] if name not in peers and name.partition(".")[0] in peers else ""
    whose = ", as torchvision and timm build it" if known.endswith("-v1.5") else ""
    return f"{name} is {known} here{whose}" + (f"; {quoted(tag)} names weights, which are not loaded" if tag else "")


@lru_cache(maxsize=1024)
def _spelling(name: str) -> aliases.Spelling:
    """The meaning of a name that may be another program's spelling."""
    if name in FAMILIES:
        return aliases.Spelling(name=name)
    try:
        known = _by_grammar(name)
    except DesignError:
        return aliases.Spelling(name=name)
    if known:
        return aliases.Spelling(name=name)
    return aliases.meaning(name, grammar=_by_grammar, families=families())


@cache
def named() -> Mapping[str, Entry]:
    """The catalogue: all networks that the papers name, in the order of the papers.

    Raises: DesignError if two files claim one name.
    """
    entries: dict[str, Entry] = {}
    for family in FAMILIES.values():
        for name, design in family.named.items():
            if name in entries:
                raise DesignError(f'two designs are named "{name}"')
            entries[name] = _entry(name, design)
    return entries


def matching(pattern: str = "*") -> Iterator[Entry]:
    """The entries whose name or family matches a shell pattern.

    Raises: UnknownName if none does.
    """
    plugin_entries = [_entry(name, design) for family in installed().values() for name, design in family.named.items()]
    entries = [*named().values(), *plugin_entries]
    matches = [entry for entry in entries if fnmatchcase(entry.name, pattern) or fnmatchcase(entry.family, pattern)]
    if not matches:
        names = [*(entry.name for entry in entries), *families()]
        raise UnknownName(unknown("design matching", pattern, names, where="all: resatlas list"))
    yield from matches


def list_designs(pattern: str = "*") -> list[str]:
    """The names of the catalogue that match a shell pattern.

    Raises: UnknownName if none does.
    """
    return [entry.name for entry in matching(pattern)]


def plan(design: str | Design | Blueprint | Plan, *, image: Shape | None = None, classes: int | None = None) -> Plan:
    """The plan of a DESIGN text, a design or a blueprint, for its usual images and classes or for others.

    A plan is returned as it is or with another number of classes; its image cannot change.
    Raises: as `resolve`; ImageError if the image is too small for the strides.
    """
    if not isinstance(design, Plan):
        return resolve(design).plan(image=image, classes=classes)
    if image is not None and Shape(*image) != design.image:
        raise DesignError(f"a plan has a fixed image, here {tuple(design.image)}; expand its blueprint for another one")
    return design if classes is None or classes == design.classes else with_classes(design, classes)


def knobs_in(words: Iterable[str], family: Callable[..., Design], name: str) -> dict[str, Any]:
    """The knobs in words such as depth=110, with their types in the family; errors contain `name`.

    Raises: UnknownName for an unknown knob, with the nearest one; BlueprintError for a malformed or repeated one.
    """
    hints = {field.name: get_type_hints(family)[field.name] for field in fields(family)}  # type: ignore[arg-type]
    texts = key_values(words, of=name, known=hints, error=BlueprintError)
    return {key: decode_text(hints[key], text, where=f"{name}: {key}") for key, text in texts.items()}


def _design(name: str) -> Design:
    design = _by_grammar(name)
    if design:
        return design
    where = "all: resatlas list"
    if suggestions := _spelling(name).suggestions:
        raise UnknownName(f"no design {quoted(name)}; did you mean {' or '.join(map(quoted, suggestions))}? ({where})")
    raise UnknownName(unknown("design", name, [*named(), *families()], where=where))


def _by_grammar(name: str) -> Design | None:
    """The design of an exact name; None for any other text.

    Raises: DesignError if the name fits the grammar but the network is impossible.
    """
    for family in _nearest_first():
        design = family.named.get(name) or family.grammar.design(name)
        if design:
            return design
    return None


def _entry(name: str, design: Design) -> Entry:
    task = TASKS[design.setting]
    return Entry(
        name=name,
        family=design.family,
        depth=design.depth,
        blueprint=design.blueprint(),
        image=task.image,
        classes=task.classes,
        design=design,
    )


def with_knobs(name: str, design: Design) -> str:
    """The DESIGN text of a family's name and the knobs of a design that differ from their defaults."""
    knobs = [(knob.name, getattr(design, knob.name), knob.default) for knob in fields(design)]  # type: ignore[arg-type]
    words = ",".join(f"{knob}={'none' if value is None else value}" for knob, value, usual in knobs if value != usual)
    return f"{name}:{words}" if words else name


def _knob_values(design: Design) -> dict[str, Any]:
    return {field.name: getattr(design, field.name) for field in fields(design)}  # type: ignore[arg-type]


def _with_knobs(family: Callable[..., Design], values: dict[str, Any], knobs: list[str], name: str) -> Design:
    """The design of a family with the knob `values`, overridden by knobs written key=value."""
    overrides = knobs_in(knobs, family, name)
    for field in fields(family):  # type: ignore[arg-type]
        if field.name not in {**values, **overrides} and field.name in ("depth", "alpha"):
            raise BlueprintError(f'family {name} needs the knob "{field.name}", as in {name}:{field.name}=…')
    return family(**{**values, **overrides})
