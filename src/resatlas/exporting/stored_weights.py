"""The weights of a saved network compared with its plan by their shapes, before memory is allocated for them."""

from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import nn

from resatlas.errors import CheckpointError, quoted
from resatlas.exporting.config import CONFIG
from resatlas.values.reading import check_regular

Shapes = dict[str, tuple[int, ...]]


def shapes_of(module: nn.Module) -> Shapes:
    """The shapes of all weights of a module."""
    return {path: tuple(tensor.shape) for path, tensor in module.state_dict().items()}


def check_shapes(expected: Shapes, file: Path) -> None:
    """Refuse a safetensors file with other tensors, of which only the header is read.

    Raises: CheckpointError
    """
    stored = _shapes_in(file)
    for path in (*expected, *stored):
        if expected.get(path) != stored.get(path):
            raise CheckpointError(
                f"{file} does not hold the weights of {CONFIG}'s network: {quoted(path)} is "
                f"{_shape_text(stored.get(path))}, not {_shape_text(expected.get(path))}"
            )


def _shapes_in(file: Path) -> Shapes:
    """The shapes of all tensors of a safetensors file; only its header is read."""
    try:
        check_regular(file)
        with safe_open(file, framework="pt") as opened:
            return {name: tuple(opened.get_slice(name).get_shape()) for name in opened.keys()}  # noqa: SIM118
    except OSError as error:
        raise CheckpointError(f"{file}: {(error.strerror or 'cannot be read').lower()}") from None
    except SafetensorError as error:
        raise CheckpointError(f"{file} is damaged or not a safetensors file: {error}") from None


def _shape_text(shape: tuple[int, ...] | None) -> str:
    return "missing" if shape is None else "x".join(map(str, shape)) or "a number"
