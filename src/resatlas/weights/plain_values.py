"""Stand-ins for the harmless types that training programs save beside weights, such as their arguments.

A torch file names the types and functions that make its values. Those named here are never imported or called: in
their places stand a type that keeps nothing but a state, and one that makes an empty dict. So nothing of the file
runs, whatever arguments it gives; what is not named here is refused.
"""

from typing import Any

import torch

CLOCK = ("datetime", "date", "time", "timedelta", "timezone")
PATHS = ("Path", "PosixPath", "WindowsPath", "PurePath", "PurePosixPath", "PureWindowsPath")
BUILTINS = ("object", "frozenset", "range", "list", "dict", "tuple", "int", "float", "str", "bool", "bytes")
ARRAYS = ("scalar", "_reconstruct")

VALUES = (
    "argparse.Namespace",
    "types.SimpleNamespace",
    "copyreg._reconstructor",  # how the oldest pickles make an object without arguments
    *(f"builtins.{name}" for name in BUILTINS),
    *(f"datetime.{name}" for name in CLOCK),
    *(f"{module}.{name}" for module in ("pathlib", "pathlib._local") for name in PATHS),
    *(f"numpy.{module}.multiarray.{name}" for module in ("core", "_core") for name in ARRAYS),
    "numpy.ndarray",
    "numpy.dtype",
    "decimal.Decimal",
    "fractions.Fraction",
    "uuid.UUID",
    "torch.torch_version.TorchVersion",
)
"""Types of values, and what pickles call to make them."""

MAPPINGS = (
    "collections.defaultdict",
    "lightning_fabric.utilities.data.AttributeDict",
    "lightning.fabric.utilities.data.AttributeDict",
    "pytorch_lightning.utilities.parsing.AttributeDict",
)
"""Types of mappings, which are filled like a dict."""


class Value:
    """A value of a type that is not imported: only the state that its pickle set, which nothing reads."""

    state: object = None

    def __init__(self, *_: object) -> None:
        """Keep nothing of the arguments."""

    def __setstate__(self, state: object) -> None:
        self.state = state


class Table:
    """Makes an empty dict."""

    def __new__(cls, *_: object) -> Any:  # noqa: ANN401, D102 - torch fills dicts alone
        empty: dict[object, object] = {}
        return empty


def harmless() -> torch.serialization.safe_globals:
    """While it is entered, torch reads the names above as these stand-ins."""
    pairs = [(Value, name) for name in VALUES] + [(Table, name) for name in MAPPINGS]
    return torch.serialization.safe_globals(pairs)  # type: ignore[arg-type]
