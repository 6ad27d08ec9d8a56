"""The record of a family of networks, which stands at the end of its file and serves the whole package."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from resatlas.arch.blueprint import Blueprint
from resatlas.designs.tasks import PAPER_BASES, Design, Setting


@dataclass(frozen=True, kw_only=True)
class Paper:
    """A reference: the version in the proceedings or the journal, with its number on arXiv.

    `used_in` tells whether a blueprint has parts of the paper; the designs of its own file always cite it.
    """

    key: str
    title: str
    authors: tuple[str, ...]
    booktitle: str
    year: int
    arxiv: str
    kind: Literal["inproceedings", "article"] = "inproceedings"
    used_in: Callable[[Blueprint], bool] = lambda _: False

    def __str__(self) -> str:
        """He et al., "Deep Residual Learning for Image Recognition", arXiv:1512.03385."""
        names = [author.rpartition(" ")[2] for author in self.authors]
        authors = f"{names[0]} et al." if len(names) > 2 else " and ".join(names)
        return f'{authors}, "{self.title}", arXiv:{self.arxiv}'


def kinds(rules: tuple[object, ...]) -> set[type]:
    """The classes of the ops at one position in a unit."""
    return {type(rule) for rule in rules}


@dataclass(frozen=True, kw_only=True)
class Grammar:
    """How names of a family are parsed and composed.

    `read` returns the design of a match of `pattern`, or None if the name belongs to another family. `head` contains
    the knobs of every name; `words` replaces values in the head. `ends` has the suffix of a knob, for any value or by
    value, in the order of the pattern. A knob without a suffix is written after a colon.
    """

    pattern: re.Pattern[str]
    read: Callable[[re.Match[str]], Design | None]
    head: str
    ends: Mapping[str, str | Mapping[str, str]] = field(default_factory=dict)
    words: Mapping[str, str] = field(default_factory=dict)

    def design(self, name: str) -> Design | None:
        """The design of a name; None for any other text.

        Raises: DesignError if the name fits the grammar but the network is impossible.
        """
        match = self.pattern.fullmatch(name)
        return self.read(match) if match else None

    @property
    def word(self) -> str:
        """The first word of names, such as wrn in wrn-28-10."""
        return self.head.partition("-{")[0]


@dataclass(frozen=True, kw_only=True)
class Family:
    """A family of networks: its knobs, its names, its paper, and how the rest of the package presents it.

    `design` is the dataclass of its knobs; `others` are classes that its file adds to a family of another file.
    `named` are the networks in the catalogue. `sizes` are the knobs that `solve` searches, the depth first, with bounds
    that include all networks of the paper; the cost must grow with every size except the depth. `label` is the name of
    the class in an ejected file, and `sources` are the sentences there about the origin of the network. `recipes` are
    the recipes of its authors. `peers` maps names of torchvision and timm to names here, and `spellings` is a pattern
    of other spellings of the first word of names.
    """

    design: type[Any]
    grammar: Grammar
    paper: Paper
    sizes: Mapping[str, Sequence[int]]
    colour: str
    shape: str
    label: str
    sources: Callable[[Any], tuple[str, ...]]
    named: Mapping[str, Design] = field(default_factory=dict)
    others: tuple[type[Any], ...] = ()
    recipes: tuple[str, ...] = ()
    peers: Mapping[str, str] = field(default_factory=dict)
    spellings: str = ""
    bases: Mapping[Setting, int] = field(default_factory=lambda: PAPER_BASES)

    @property
    def name(self) -> str:
        """The family in a DESIGN text, as in wide-resnet:depth=28."""
        return self.design.family
