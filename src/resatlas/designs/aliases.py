"""Spellings of other programs and the corresponding names here.

Names of torchvision and timm mean the networks that those libraries build. A spelling that differs from one name only
in case, dashes and underscores means that name. If other programs use a spelling for another network, the message of
the error suggests the possible names.
"""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from resatlas.designs.family import Family
from resatlas.designs.tasks import Design
from resatlas.errors import DesignError

_ELSEWHERE = "resnet-26"
"""A small network for CIFAR here; resnet26 of timm has bottlenecks and is for ImageNet."""

_TAGGED = re.compile(r"(\w+)\.[a-z0-9_]+", re.ASCII)
"""timm's names of trained weights: the network, a point, and the training."""

Grammar = Callable[[str], Design | None]
"""Returns the design of an exact name; None if it is not a name; raises DesignError if the network is impossible."""


@dataclass(frozen=True, kw_only=True)
class Spelling:
    """The meaning of a spelling: one name, several suggestions, or neither."""

    name: str | None = None
    suggestions: tuple[str, ...] = ()


def peers(families: Mapping[str, Family]) -> dict[str, str]:
    """Names of torchvision and timm with the names here; both libraries have the stride on the 3x3.

    Source: torchvision/models/resnet.py; timm/models/resnet.py.
    """
    return {theirs: ours for family in families.values() for theirs, ours in family.peers.items()}


def meaning(text: str, *, grammar: Grammar, families: Mapping[str, Family]) -> Spelling:
    """The meaning of a text that is not a name here."""
    tagged = _TAGGED.fullmatch(text)
    known = peers(families)
    named = {name for family in families.values() for name in family.named}
    peer = known.get(text) or known.get(tagged[1] if tagged else "")
    if peer:
        return Spelling(name=peer)
    for family in families:
        if _letters(family) == _letters(text):
            return Spelling(name=family)
    for name in _names(text, families):
        try:
            design = grammar(name)
        except DesignError:  # a name of the grammar; its error lists the nearest depths
            deep = _bottleneck(name)
            return Spelling(suggestions=(deep,)) if deep in named else Spelling(name=name)
        if design is not None:
            suggestions = _suggestions(text, name, design, named, known)
            return Spelling(suggestions=suggestions) if suggestions else Spelling(name=name)
    return Spelling()


def _suggestions(
    text: str, name: str, design: Design, named: Collection[str], known: Mapping[str, str]
) -> tuple[str, ...]:
    """What is offered instead of a guess; nothing where the spelling can mean one network alone."""
    if text.lower() == name.lower():
        return ()
    bottleneck = _bottleneck(name)
    peer = known.get(text.lower().replace("-", "").replace("_", ""))
    if bottleneck in named:
        return (bottleneck, name)
    if design.setting == "imagenet" and design.family in ("resnet", "preact-resnet") and not name.endswith("-v1.5"):
        return (name, peer) if peer and peer != name else (name,)
    return (name,) if name == _ELSEWHERE else ()


def _bottleneck(name: str) -> str:
    """The name of the network of bottlenecks of that depth, as papers mean it from 164 on."""
    return re.sub(r"-\d+", r"\g<0>-bottleneck", name, count=1)


def _names(text: str, families: Mapping[str, Family]) -> list[str]:
    """The spellings of the grammar that a text comes near, options in small and in capital letters."""
    plain = text.lower().replace("_", "-")
    for family in families.values():
        word = family.grammar.word
        match = re.fullmatch(rf"(cifar-|imagenet-)?(?:{family.spellings or word})-?((?:[xy]-)?\d.*)", plain, re.ASCII)
        if match is None:
            continue
        rest = match[2]
        if "}x{" not in family.grammar.head:  # 28x10: two sizes; 110a48, 56v2: an option begins; in 32x4d none does
            rest = re.sub(r"(?<=\d)x(?=\d)", "-", rest)
            rest = re.sub(r"(?<=\d)(?=[abckmwlv])", "-", rest)
        name = f"{match[1] or ''}{word}-{rest}"
        capital = re.sub(r"-(?:[abc](?=-|$)|b(?=\d))", lambda option: option[0].upper(), name)
        given = f"{match[1] or ''}{word}-{match[2]}"
        wanted = [capital, name] if re.search(r"[-_]?[ABC](?=[-_]|$)", text) else [name, capital]
        return list(dict.fromkeys([*wanted, given]))
    return []


def _letters(text: str) -> str:
    return text.lower().replace("-", "").replace("_", "")
