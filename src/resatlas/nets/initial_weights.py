"""Trained weights that a network starts from: whoever wrote them, and for however many classes."""

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from resatlas.arch.ops import Linear
from resatlas.arch.plan import layers
from resatlas.errors import CheckpointError
from resatlas.nets.network import Network
from resatlas.nets.sources import SOURCES, Dialect, dialect_for, key_of, path_of, shape_of
from resatlas.nets.weight_files import read_tensors
from resatlas.nets.weights import check_writer, load_weights, unwrapped


@dataclass(frozen=True, kw_only=True)
class Taken:
    """Whose names the weights have, and for how many classes they were, if not for the network's."""

    source: str
    classes: int | None


def start_from(network: Network, file: Path, *, source: str | None = None) -> Taken:
    """Set every weight from a file of any source; a classifier for other classes stays as it was drawn.

    The source is the one whose names the file has; where two share them, the first that computes the same.
    Raises: CheckpointError as `load_weights`, by the source that fits best.
    """
    given = unwrapped(read_tensors(file), file.name)
    check_writer(network.plan, file)
    fault: CheckpointError | None = None
    for name in [source] if source else _likely(network, given):
        dialect = dialect_for(network.plan, name, given)
        fitted, classes = _with_own_classifier(network, dialect, given)
        try:
            load_weights(network, fitted, source=name)
        except CheckpointError as error:
            fault = fault or CheckpointError(f"{file.name}, as {name} names it: {error}")
        else:
            return Taken(source=name, classes=classes)
    raise fault or CheckpointError(f"{file.name} has the names of none of {', '.join(SOURCES)}")


def _likely(network: Network, given: dict[str, Tensor]) -> list[str]:
    """The sources whose names most of the tensors have; several where they share their names."""
    paths = network.state_dict()
    dialects = {source: dialect_for(network.plan, source, given) for source in SOURCES}
    known = {
        source: sum(path_of(key, dialect, network.plan) in paths for key in given)
        for source, dialect in dialects.items()
    }
    return [source for source, count in known.items() if count == max(known.values()) > 0]


def _with_own_classifier(
    network: Network, dialect: Dialect, given: dict[str, Tensor]
) -> tuple[dict[str, Tensor], int | None]:
    """The tensors with the network's own classifier where theirs has other classes, and how many those are."""
    own = network.state_dict()
    fitted, classes = dict(given), None
    for module in (path for path, layer in layers(network.plan) if isinstance(layer.op, Linear)):
        for path in (f"{module}.weight", f"{module}.bias"):
            key = key_of(path, dialect, network.plan) or path
            shape = shape_of(path, tuple(own[path].shape), dialect)
            if key in given and given[key].shape != shape and given[key].shape[1:] == shape[1:]:
                classes = len(given[key])
                fitted[key] = own[path].view(shape)
    return fitted, classes
