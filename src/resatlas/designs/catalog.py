"""Every design by name: the papers' networks, every other member of their families, and TOML files."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, get_type_hints

from resatlas.arch.blueprint import Blueprint
from resatlas.arch.blueprint_file import read_blueprint
from resatlas.arch.expand import expand
from resatlas.arch.ops import Shape
from resatlas.arch.plan import Plan
from resatlas.designs import aliases, dmrnet, preact_resnet, pyramidnet, resnet, resnext, wide_resnet
from resatlas.designs.setting import TASKS, Design
from resatlas.errors import BlueprintError, DesignError, UnknownName, quoted, unknown
from resatlas.values.codec import decode_text
from resatlas.values.knobs import key_values

FAMILIES: Mapping[str, type[Any]] = {
    design.family: design
    for design in (
        resnet.ResNet,
        resnet.Plain,
        preact_resnet.PreActResNet,
        wide_resnet.WideResNet,
        resnext.ResNeXt,
        pyramidnet.PyramidNet,
        dmrnet.DmrNet,
        dmrnet.DilNet,
    )
}

_MODULES = (resnet, preact_resnet, wide_resnet, resnext, pyramidnet, dmrnet)

_NAMES = frozenset(name for module in _MODULES for name in module.NAMED)

_ALIASES: Mapping[str, str] = {"resnet-18": "resnet-18-B", "resnet-34": "resnet-34-B"}


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What a DESIGN text means: a blueprint, with its names and its usual task.

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
        """The plan for the usual task, or for another."""
        return expand(
            self.blueprint,
            image=Shape(*image) if image else self.image,
            classes=self.classes if classes is None else classes,
        )


def resolve(text: str) -> Entry:
    """The entry that a DESIGN text means: a name, a name or a family with knobs, or a TOML file.

    Spellings of other programs are taken for the names here that they mean, and the entry has the name here.
    Raises: UnknownName with the nearest names; DesignError if the network is impossible; BlueprintError.
    """
    text = canonical(text)
    name, colon, rest = text.partition(":")
    knobs = rest.split(",") if colon else []
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
    if name in FAMILIES:
        return _entry(text, _with_knobs(FAMILIES[name], {}, knobs, name))
    design = _design(name)
    if colon:
        design = _with_knobs(type(design), _given(design), knobs, name)
    return _entry(text, design)


def canonical(text: str) -> str:
    """The DESIGN text under the name here, if another program's spelling stands in its place; else as it is."""
    name, colon, knobs = text.partition(":")
    if text.endswith(".toml") or "/" in name:
        return text
    return f"{_spelling(name).name or name}{colon}{knobs}"


def alias_note(text: str) -> str | None:
    """What a spelling of another program means here, in words; None where the text has the name here."""
    meant = canonical(text)
    if meant == text:
        return None
    name, known = (each.partition(":")[0] for each in (text, meant))
    tag = name.partition(".")[2] if name not in aliases.PEERS and name.partition(".")[0] in aliases.PEERS else ""
    whose = ", as torchvision and timm build it" if known.endswith("-v1.5") else ""
    return f"{name} is {known} here{whose}" + (f"; {quoted(tag)} names weights, and none are loaded" if tag else "")


@lru_cache(maxsize=1024)
def _spelling(name: str) -> aliases.Spelling:
    """What a name means that may be another program's spelling."""
    if name in FAMILIES:
        return aliases.Spelling(name=name)
    try:
        known = _literally(name)
    except DesignError:
        return aliases.Spelling(name=name)
    if known:
        return aliases.Spelling(name=name)
    return aliases.meaning(name, grammar=_literally, families=FAMILIES, named=_NAMES)


@cache
def named() -> Mapping[str, Entry]:
    """The catalogue: every network that the papers name, in the order of the papers.

    Raises: DesignError if two files claim one name.
    """
    entries: dict[str, Entry] = {}
    for module in _MODULES:
        for name, design in module.NAMED.items():
            if name in entries:
                raise DesignError(f'two designs are called "{name}"')
            entries[name] = _entry(name, design)
    return entries


def matching(pattern: str = "*") -> Iterator[Entry]:
    """The entries whose name or family matches a shell pattern.

    Raises: UnknownName if none does.
    """
    found = [
        entry for entry in named().values() if fnmatchcase(entry.name, pattern) or fnmatchcase(entry.family, pattern)
    ]
    if not found:
        raise UnknownName(unknown("design matching", pattern, [*named(), *FAMILIES], where="all: resatlas list"))
    yield from found


def list_designs(pattern: str = "*") -> list[str]:
    """The names of the catalogue that match a shell pattern.

    Raises: UnknownName if none does.
    """
    return [entry.name for entry in matching(pattern)]


def plan(design: str, *, image: Shape | None = None, classes: int | None = None) -> Plan:
    """The plan of a DESIGN text, for its usual images and classes or for others.

    Raises: as `resolve`; ImageError if the image is too small for the strides.
    """
    return resolve(design).plan(image=image, classes=classes)


def knobs_in(words: Iterable[str], family: Callable[..., Design], name: str) -> dict[str, Any]:
    """The knobs that words such as depth=110 give, each of its type in the family; `name` is said in errors.

    Raises: UnknownName for another knob, with the nearest; BlueprintError for a malformed or doubled one.
    """
    hints = {each.name: get_type_hints(family)[each.name] for each in fields(family)}  # type: ignore[arg-type]
    texts = key_values(words, of=name, known=hints, error=BlueprintError)
    return {key: decode_text(hints[key], text, where=f"{name}: {key}") for key, text in texts.items()}


def _design(name: str) -> Design:
    design = _literally(name)
    if design:
        return design
    where = f"{len(named())} names: resatlas list"
    if offered := _spelling(name).offered:
        raise UnknownName(f"no design {quoted(name)}; did you mean {' or '.join(map(quoted, offered))}? ({where})")
    raise UnknownName(unknown("design", name, [*named(), *FAMILIES], where=where))


def _literally(name: str) -> Design | None:
    """The design of a name of the grammar; None of any other text.

    Raises: DesignError if the grammar has the name and the family no such network.
    """
    for module in _MODULES:
        if name in module.NAMED:
            return module.NAMED[name]
    if name in _ALIASES:
        return _literally(_ALIASES[name])
    for module in _MODULES:
        match = module.NAME.fullmatch(name)
        design = module.named(match) if match else None
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


def _given(design: Design) -> dict[str, Any]:
    return {each.name: getattr(design, each.name) for each in fields(design)}  # type: ignore[arg-type]


def _with_knobs(family: Callable[..., Design], given: dict[str, Any], knobs: list[str], name: str) -> Design:
    """The design of a family with knobs written key=value,key=value over those given."""
    set_now = knobs_in(knobs, family, name)
    for each in fields(family):  # type: ignore[arg-type]
        if each.name not in {**given, **set_now} and each.name in ("depth", "alpha"):
            raise BlueprintError(f'family {name} needs the knob "{each.name}", as in {name}:{each.name}=…')
    return family(**{**given, **set_now})
