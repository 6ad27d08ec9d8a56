"""Every error of resatlas, and the exit code that the command line gives for it.

    ResatlasError                1  a check failed
    ├── UsageError               2  the request cannot be met as written
    │   ├── UnknownName             no design, data set, recipe, verb or key of that name
    │   ├── DesignError             a network that its family or its blueprint does not allow
    │   │   ├── DepthError
    │   │   ├── WidthError
    │   │   ├── GroupsError
    │   │   └── ImageError          an image that the strides shrink to nothing
    │   ├── BlueprintError          a blueprint or study file that does not read as one
    │   ├── RecipeError
    │   └── FolderError             occupied, unwritable, or not what it was taken for
    ├── DataError                3  a data set that is missing or damaged
    │   └── UnreadableImage         an image file that cannot be read
    ├── CheckpointError          4  a checkpoint or weights file that cannot be used
    ├── NonFiniteError           5  a loss or gradient that is not a number
    ├── ExportError              1  an export that does not compute what its network computes
    ├── ProcessLost              1  one of the processes that worked together is gone
    ├── OutOfMemory              1  too little memory, on the machine or on its GPU
    ├── Defect                  70  what no code foresaw: a mistake of resatlas itself
    └── Stopped                 75  a signal ended the work; what was learnt is saved

A message says what was given, what is allowed, and the nearest right thing, in one line.
"""

from collections.abc import Iterable, Mapping
from difflib import SequenceMatcher
from typing import ClassVar


class ResatlasError(Exception):
    """Anything that resatlas refuses or fails at, in words for its user."""

    exit_code: ClassVar[int] = 1


class UsageError(ResatlasError):
    """A request that cannot be met as written."""

    exit_code: ClassVar[int] = 2


class UnknownName(UsageError):
    """A name that nothing here has."""


class DesignError(UsageError):
    """A network that its family or its blueprint does not allow."""


class DepthError(DesignError):
    """A depth that the family does not have."""


class WidthError(DesignError):
    """A width, or a rule of widths, that gives no network."""


class GroupsError(DesignError):
    """Channels that the groups do not divide."""


class ImageError(DesignError):
    """An image that the network cannot take."""


class BlueprintError(UsageError):
    """A blueprint or study file that does not read as one."""


class RecipeError(UsageError):
    """A recipe that cannot be followed."""


class FolderError(UsageError):
    """A folder that is occupied, unwritable, or not what it was taken for."""


class DataError(ResatlasError):
    """A data set that is missing or damaged."""

    exit_code: ClassVar[int] = 3


class UnreadableImage(DataError):
    """An image file that cannot be read; `file` is its path, where that is known."""

    def __init__(self, message: str, *, file: str = "") -> None:
        super().__init__(message)
        self.file = file


class CheckpointError(ResatlasError):
    """A checkpoint or weights file that cannot be used."""

    exit_code: ClassVar[int] = 4


class NonFiniteError(ResatlasError):
    """A loss or gradient that is not a number; `evidence` is what is known of the step, if it was one."""

    exit_code: ClassVar[int] = 5

    def __init__(self, message: str, *, evidence: Mapping[str, object] | None = None) -> None:
        super().__init__(message)
        self.evidence = evidence


class ExportError(ResatlasError):
    """An export that does not compute what its network computes."""


class ProcessLost(ResatlasError):
    """One of the processes that worked together is gone, and so the others cannot go on."""


class OutOfMemory(ResatlasError):
    """Too little memory, on the machine or on its GPU."""


class Defect(ResatlasError):
    """What no code foresaw: a mistake of resatlas itself."""

    exit_code: ClassVar[int] = 70


class Stopped(ResatlasError):
    """A signal ended the work; what was learnt is saved."""

    exit_code: ClassVar[int] = 75


def unknown(kind: str, word: str, known: Iterable[str], *, where: str = "") -> str:
    """The sentence for a name that is not there: 'no verb "trian"; did you mean "train"?'.

    The nearest name is offered, with others that are as near; where none is near, all are named if they are few.
    `where` tells how to see the rest.
    """
    names = list(known)
    near = nearest(word, names)
    if near:
        hint = f"did you mean {' or '.join(quoted(name) for name in near)}?"
    elif len(names) <= 12:
        hint = f"there are {', '.join(names)}"
    else:
        hint = f"there are {len(names)}"
    return f"no {kind} {quoted(word)}; {hint}" + (f" ({where})" if where else "")


def nearest(word: str, names: Iterable[str]) -> list[str]:
    """Up to three names that are alike enough to be meant, none of them much less than the first."""
    word = word[:_LONGEST_WORD]
    likeness = {name: max(_likeness(word, name), _likeness(_bare(word), _bare(name))) for name in names}
    best = sorted(likeness, key=lambda name: -likeness[name])[:3]
    return [name for name in best if likeness[name] >= max(0.6, likeness[best[0]] - 0.05)]


_LONGEST_WORD = 200
"""Letters of a word that are compared with names: the time grows with their number, and no name has more."""


def _likeness(one: str, other: str) -> float:
    return SequenceMatcher(None, one, other).ratio()


def _bare(word: str) -> str:
    """The word in small letters, without dashes and underscores."""
    return word.lower().replace("-", "").replace("_", "")


def quoted(word: str) -> str:
    """The word in double quotes, on one line and of bounded length."""
    line = " ".join(word.split())
    return f'"{line if len(line) <= 80 else line[:77] + "..."}"'
