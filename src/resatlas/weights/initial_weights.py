"""Trained weights that a network starts from: whoever wrote them, and for however many classes."""

from dataclasses import replace
from pathlib import Path

from torch import Tensor

from resatlas.arch.ops import Linear
from resatlas.arch.plan import layers
from resatlas.errors import CheckpointError
from resatlas.nets.network import Network
from resatlas.values.weights import Which
from resatlas.weights.conversion import Taken, check_writer, given_in, set_weights
from resatlas.weights.sources import SOURCES, Dialect, dialect_for, key_of, path_of, shape_of


def start_from(network: Network, file: Path, *, source: str | None = None, which: Which = "raw") -> Taken:
    """Set every weight from a file of any source; a classifier for other classes, or none, stays as it was drawn.

    The source is the one whose names the file has; where two share them, the first that computes the same.
    Raises: CheckpointError as `load_weights`, by the source that fits best.
    """
    given = given_in(network, file, sources=[source] if source else SOURCES, which=which)
    check_writer(network.plan, given.plan)
    fault: CheckpointError | None = None
    for name in [source] if source else _matching_sources(network, given.tensors):
        dialect = dialect_for(network.plan, name, given.tensors)
        fitted, taken = _with_own_classifier(network, dialect, given.tensors, Taken(source=name, notes=given.notes))
        try:
            set_weights(network, fitted, source=name)
        except CheckpointError as error:
            fault = fault or CheckpointError(f"{file.name}, as {name} names it: {error}")
        else:
            return taken
    raise fault or CheckpointError(f"{file.name} has the names of none of {', '.join(SOURCES)}")


def _matching_sources(network: Network, given: dict[str, Tensor]) -> list[str]:
    """The sources whose names most of the tensors have; several where they share their names."""
    paths = network.state_dict()
    dialects = {source: dialect_for(network.plan, source, given) for source in SOURCES}
    known = {
        source: sum(path_of(key, dialect, network.plan) in paths for key in given)
        for source, dialect in dialects.items()
    }
    return [source for source, count in known.items() if count == max(known.values()) > 0]


def _with_own_classifier(
    network: Network, dialect: Dialect, given: dict[str, Tensor], taken: Taken
) -> tuple[dict[str, Tensor], Taken]:
    """The tensors with the network's own classifier where theirs has other classes or none, and that this was done."""
    own = network.state_dict()
    fitted, classes, notes = dict(given), None, list(taken.notes)
    for module in (path for path, layer in layers(network.plan) if isinstance(layer.op, Linear)):
        paths = (f"{module}.weight", f"{module}.bias")
        keys = [key_of(path, dialect, network.plan) or path for path in paths]
        if not any(key in given for key in keys):
            beside = [key for key in given if key.startswith(f"{keys[0].rpartition('.')[0]}.")]
            fitted = {key: tensor for key, tensor in fitted.items() if key not in beside}
            inside = f" but {len(beside)} tensors of another head, which are passed over" if beside else ""
            notes.append(f"no classifier in the file{inside}; a new one of {network.plan.classes:,} classes is drawn")
        for path, key in zip(paths, keys, strict=True):
            shape = shape_of(path, tuple(own[path].shape), dialect)
            if key not in given and not any(each in given for each in keys):
                fitted[key] = own[path].view(shape)
            elif key in given and given[key].shape != shape and given[key].shape[1:] == shape[1:]:
                classes = len(given[key])
                fitted[key] = own[path].view(shape)
    return fitted, replace(taken, classes=classes, notes=tuple(dict.fromkeys(notes)))
