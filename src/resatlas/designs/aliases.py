"""Spellings of other programs, and the names here that they mean.

Torchvision's and timm's own names mean the networks that those libraries build. Any other spelling that differs from
one name alone in case, dashes and underscores means that name. Where another program means another network by it,
nothing is guessed: the names that may be meant are offered.
"""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from resatlas.designs.family import Family
from resatlas.designs.tasks import Design
from resatlas.errors import DesignError

ELSEWHERE = "resnet-26"
"""The name of a small network for CIFAR here; resnet26 of timm is one of bottlenecks for ImageNet."""

_TAGGED = re.compile(r"(\w+)\.[a-z0-9_]+", re.ASCII)
"""timm's names of trained weights: the network's, a point, and what it was trained on."""

Grammar = Callable[[str], Design | None]
"""The design that a name means to the letter; None if it is not a name, DesignError if there is no such network."""


@dataclass(frozen=True, kw_only=True)
class Spelling:
    """What a spelling means here: one name, or those that may be meant, or nothing."""

    name: str | None = None
    offered: tuple[str, ...] = ()


def peers(families: Mapping[str, Family]) -> dict[str, str]:
    """Names of torchvision and timm, and the names here; both libraries take the stride on the 3x3.

    Source: torchvision/models/resnet.py; timm/models/resnet.py.
    """
    return {theirs: ours for family in families.values() for theirs, ours in family.peers.items()}


def meaning(text: str, *, grammar: Grammar, families: Mapping[str, Family]) -> Spelling:
    """What a text means that is not a name here."""
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
        except DesignError:  # a name of the grammar whose own error says what is near
            deep = _bottleneck(name)
            return Spelling(offered=(deep,)) if deep in named else Spelling(name=name)
        if design is not None:
            offered = _offered(text, name, design, named, known)
            return Spelling(offered=offered) if offered else Spelling(name=name)
    return Spelling()


def _offered(text: str, name: str, design: Design, named: Collection[str], known: Mapping[str, str]) -> tuple[str, ...]:
    """What is offered in place of a guess; nothing where the spelling can mean one network alone."""
    if text.lower() == name.lower():
        return ()
    bottleneck = _bottleneck(name)
    peer = known.get(text.lower().replace("-", "").replace("_", ""))
    if bottleneck in named:
        return (bottleneck, name)
    if design.setting == "imagenet" and design.family in ("resnet", "preact-resnet") and not name.endswith("-v1.5"):
        return (name, peer) if peer and peer != name else (name,)
    return (name,) if name == ELSEWHERE else ()


def _bottleneck(name: str) -> str:
    """The name of the network of bottlenecks of that depth, as papers mean it from 164 on."""
    return re.sub(r"-\d+", r"\g<0>-bottleneck", name, count=1)


def _names(text: str, families: Mapping[str, Family]) -> list[str]:
    """The spellings of the grammar that a text comes near, options in small and in capital letters."""
    plain = text.lower().replace("_", "-")
    for family in families.values():
        word = family.grammar.word
        match = re.fullmatch(rf"(cifar-|imagenet-)?(?:{family.spellings or word})-?(\d.*)", plain, re.ASCII)
        if match is None:
            continue
        rest = match[2]
        if "}x{" not in family.grammar.head:  # 28x10: two sizes; 110a48, 56v2: an option begins; in 32x4d none does
            rest = re.sub(r"(?<=\d)x(?=\d)", "-", rest)
            rest = re.sub(r"(?<=\d)(?=[abckmwlv])", "-", rest)
        name = f"{match[1] or ''}{word}-{rest}"
        capital = re.sub(r"-(?:[abc](?=-|$)|b(?=\d))", lambda option: option[0].upper(), name)
        return list(dict.fromkeys([name, capital]))
    return []


def _letters(text: str) -> str:
    return text.lower().replace("-", "").replace("_", "")
