"""What the whole package needs to know of a family of networks, in one record at the end of its file."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from resatlas.arch.blueprint import Blueprint
from resatlas.designs.tasks import PAPER_BASES, Design, Setting


@dataclass(frozen=True, kw_only=True)
class Paper:
    """What a reference needs: the version in the proceedings, with its number on arXiv.

    `used_in` says whether a blueprint has parts of the paper; the designs of its own file cite it in any case.
    """

    key: str
    title: str
    authors: tuple[str, ...]
    booktitle: str
    year: int
    arxiv: str
    used_in: Callable[[Blueprint], bool] = lambda _: False

    def __str__(self) -> str:
        """He et al., "Deep Residual Learning for Image Recognition", arXiv:1512.03385."""
        names = [author.rpartition(" ")[2] for author in self.authors]
        authors = f"{names[0]} et al." if len(names) > 2 else " and ".join(names)
        return f'{authors}, "{self.title}", arXiv:{self.arxiv}'


def kinds(rules: tuple[object, ...]) -> set[type]:
    """The classes of the ops of a place in a unit."""
    return {type(rule) for rule in rules}


@dataclass(frozen=True, kw_only=True)
class Grammar:
    """How the names of a family are read, and how they are put together.

    `read` gives the design of a match of `pattern`, None if the name is another family's. `head` has the knobs that
    every name says; `words` are those of values in the head. `ends` is what follows for a knob, whatever its value or
    by its value, in the order of the pattern. A knob without an end is written behind a colon.
    """

    pattern: re.Pattern[str]
    read: Callable[[re.Match[str]], Design | None]
    head: str
    ends: Mapping[str, str | Mapping[str, str]] = field(default_factory=dict)
    words: Mapping[str, str] = field(default_factory=dict)

    def design(self, name: str) -> Design | None:
        """The design of a name; None of any other text.

        Raises: DesignError if the grammar has the name and the family no such network.
        """
        match = self.pattern.fullmatch(name)
        return self.read(match) if match else None

    @property
    def word(self) -> str:
        """What names begin with, as wrn in wrn-28-10."""
        return self.head.partition("-{")[0]


@dataclass(frozen=True, kw_only=True)
class Family:
    """A family of networks: its knobs, its names, its paper, and what the rest of the package shows of it.

    `design` is the dataclass of its knobs; `others` are classes that its file adds to a family of another file.
    `named` are the networks that the catalogue lists. `sizes` are the knobs that `solve` searches, the depth first,
    with bounds that hold every network of the paper; with every size but the depth, a network costs more. `label` is
    the name of the class in an ejected file, and `sources` the sentences there on where the network comes from.
    `recipes` are those that its own authors chose. `peers` are names in torchvision and timm of networks that have
    names here, and `spellings` a pattern of other ways to write the word that names begin with.
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
