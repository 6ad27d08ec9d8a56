"""Weights in and out as safetensors, by path."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from resatlas.errors import CheckpointError


def save_weights(network: nn.Module, file: Path) -> None:
    """Write every parameter and buffer under its path."""
    save_file({path: tensor.detach().contiguous() for path, tensor in network.state_dict().items()}, file)


def load_weights(network: nn.Module, weights: str | Path | Mapping[str, Tensor]) -> None:
    """Set every parameter and buffer from a safetensors file or a state dict of the same paths; all or nothing.

    Raises: CheckpointError if the file cannot be read, or entries are missing, unexpected or of another shape.
    """
    given = read_tensors(Path(weights)) if isinstance(weights, str | Path) else weights
    wanted = network.state_dict()
    faults = [
        _by_part("missing", [path for path in wanted if path not in given]),
        _by_part("unexpected", [path for path in given if path not in wanted]),
        _by_part("mis-shaped", [path for path in wanted if path in given and given[path].shape != wanted[path].shape]),
    ]
    if any(faults):
        raise CheckpointError(f"these are not the network's weights: {'; '.join(fault for fault in faults if fault)}")
    network.load_state_dict(dict(given))


def read_tensors(file: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file.

    Raises: CheckpointError if it is missing, truncated or no such file.
    """
    try:
        return load_file(file)
    except OSError as error:
        raise CheckpointError(f"{file.name}: {(error.strerror or 'cannot be read').lower()}") from None
    except SafetensorError as error:
        raise CheckpointError(f"{file.name} is damaged or no safetensors file: {error}") from None


def _by_part(fault: str, paths: list[str]) -> str:
    """'missing 12 (stages.0: 10, head: 2)', or nothing."""
    if not paths:
        return ""
    parts = Counter(".".join(path.split(".")[: 2 if path.startswith("stages.") else 1]) for path in paths)
    return f"{fault} {len(paths)} ({', '.join(f'{part}: {count}' for part, count in parts.items())})"
