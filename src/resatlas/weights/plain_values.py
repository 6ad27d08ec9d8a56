"""Stand-ins for the harmless types that training programs save along with weights, such as their arguments.

A torch file names the types and functions that construct its values. Those listed here are never imported or called:
`Value`, which stores only a state, and `Table`, which constructs an empty dict, replace them. So no code of the file
runs, whatever arguments it passes. Names that are not listed are refused.
"""

from typing import Any

import torch

_CLOCK = ("datetime", "date", "time", "timedelta", "timezone")
_PATHS = ("Path", "PosixPath", "WindowsPath", "PurePath", "PurePosixPath", "PureWindowsPath")
_BUILTINS = ("object", "frozenset", "range", "list", "dict", "tuple", "int", "float", "str", "bool", "bytes")
_ARRAYS = ("scalar", "_reconstruct")

VALUES = (
    "argparse.Namespace",
    "types.SimpleNamespace",
    "copyreg._reconstructor",  # how the oldest pickles construct an object without arguments
    *(f"builtins.{name}" for name in _BUILTINS),
    *(f"datetime.{name}" for name in _CLOCK),
    *(f"{module}.{name}" for module in ("pathlib", "pathlib._local") for name in _PATHS),
    *(f"numpy.{module}.multiarray.{name}" for module in ("core", "_core") for name in _ARRAYS),
    "numpy.ndarray",
    "numpy.dtype",
    "decimal.Decimal",
    "fractions.Fraction",
    "uuid.UUID",
    "torch.torch_version.TorchVersion",
)
"""Types of values, and functions that pickles call to construct them."""

_MAPPINGS = (
    "collections.defaultdict",
    "lightning_fabric.utilities.data.AttributeDict",
    "lightning.fabric.utilities.data.AttributeDict",
    "pytorch_lightning.utilities.parsing.AttributeDict",
)
"""Types of mappings that a pickle fills like a dict."""


class Value:
    """A stand-in for a value of any type. It stores only the state that its pickle sets, which is never used."""

    state: object = None

    def __init__(self, *_: object) -> None:
        """Ignore the arguments."""

    def __setstate__(self, state: object) -> None:
        self.state = state


class Table:
    """A stand-in for a type of mappings; calling it returns an empty dict."""

    def __new__(cls, *_: object) -> Any:  # noqa: ANN401, D102 - torch fills nothing but dicts
        empty: dict[object, object] = {}
        return empty


def stand_ins() -> torch.serialization.safe_globals:
    """A context in which torch.load replaces the listed names by the stand-ins."""
    pairs = [(Value, name) for name in VALUES] + [(Table, name) for name in _MAPPINGS]
    return torch.serialization.safe_globals(pairs)  # type: ignore[arg-type]
