"""Initialisation of a network with the trained weights of a file, of any source, for other classes or grey images."""

from dataclasses import replace
from pathlib import Path

from torch import Tensor

from resatlas.arch.ops import Convolution, Linear
from resatlas.arch.plan import end_paths, layers
from resatlas.errors import CheckpointError
from resatlas.nets.network import Network
from resatlas.values.weights import Which
from resatlas.weights.conversion import LoadedWeights, check_writer, read_named_weights, set_weights
from resatlas.weights.sources import SOURCES, Dialect, dialect_for, key_of, path_of, shape_of


def start_from(network: Network, file: Path, *, source: str | None = None, which: Which = "raw") -> LoadedWeights:
    """Set every weight from a file of any source; a classifier for other classes, or a missing one, is not changed.

    A first convolution W for images of C channels fits grey images as the sum of W over C; one for grey images fits
    C channels as W/C for each. Both give the same maps as before for images whose channels are equal. The default
    source is the one whose names the file has; if several share the names, the first whose code computes the same
    function.
    Raises: CheckpointError as `load_weights`, for the source that fits best.
    """
    content = read_named_weights(network, file, sources=[source] if source else SOURCES, which=which)
    check_writer(network.plan, content.plan)
    fault: CheckpointError | None = None
    for name in [source] if source else _matching_sources(network, content.tensors):
        dialect = dialect_for(network.plan, name, content.tensors)
        loaded = LoadedWeights(source=name, notes=content.notes)
        tensors, loaded = _with_own_classifier(network, dialect, content.tensors, loaded)
        tensors, loaded = _with_own_channels(network, dialect, tensors, loaded)
        try:
            set_weights(network, tensors, source=name)
        except CheckpointError as error:
            fault = fault or CheckpointError(f"{file.name}, with the names of {name}: {error}")
        else:
            return loaded
    raise fault or CheckpointError(f"{file.name} has the names of no known source (known: {', '.join(SOURCES)})")


def _matching_sources(network: Network, weights: dict[str, Tensor]) -> list[str]:
    """The sources whose names the most tensors have; several if they share their names."""
    paths = network.state_dict()
    dialects = {source: dialect_for(network.plan, source, weights) for source in SOURCES}
    known = {
        source: sum(path_of(key, dialect, network.plan) in paths for key in weights)
        for source, dialect in dialects.items()
    }
    return [source for source, count in known.items() if count == max(known.values()) > 0]


def _with_own_classifier(
    network: Network, dialect: Dialect, weights: dict[str, Tensor], loaded: LoadedWeights
) -> tuple[dict[str, Tensor], LoadedWeights]:
    """The weights, with the network's own classifier if theirs is missing or for other classes, and notes of that."""
    own = network.state_dict()
    tensors, classes, notes = dict(weights), None, list(loaded.notes)
    for module in (path for path, layer in layers(network.plan) if isinstance(layer.op, Linear)):
        paths = (f"{module}.weight", f"{module}.bias")
        keys = [key_of(path, dialect, network.plan) or path for path in paths]
        missing = not any(key in weights for key in keys)
        if missing:
            other_head = [key for key in weights if key.startswith(f"{keys[0].rpartition('.')[0]}.")]
            tensors = {key: tensor for key, tensor in tensors.items() if key not in other_head}
            ignored = f"; {len(other_head)} tensors of another head are ignored" if other_head else ""
            new = f"a new classifier for {network.plan.classes:,} classes is initialised"
            notes.append(f"no classifier in the file{ignored}; {new}")
        for path, key in zip(paths, keys, strict=True):
            shape = shape_of(path, tuple(own[path].shape), dialect)
            if missing:
                tensors[key] = own[path].view(shape)
            elif key in weights and weights[key].shape != shape and weights[key].shape[1:] == shape[1:]:
                classes = len(weights[key])
                tensors[key] = own[path].view(shape)
    return tensors, replace(loaded, classes=classes, notes=tuple(dict.fromkeys(notes)))


def _with_own_channels(
    network: Network, dialect: Dialect, weights: dict[str, Tensor], loaded: LoadedWeights
) -> tuple[dict[str, Tensor], LoadedWeights]:
    """The weights, with first convolutions for the network's image channels if one of the two numbers is 1."""
    plan, own = network.plan, network.state_dict()
    tensors, channels = dict(weights), None
    [first, *_] = (layer.role for layer in plan.stem if isinstance(layer.op, Convolution))
    for path in (f"{stem}.{first}.weight" for stem in end_paths("stem", plan.stems)):
        key, ours = key_of(path, dialect, plan) or path, plan.image.channels
        theirs = weights.get(key)
        if theirs is None or theirs.ndim != own[path].ndim or not theirs.is_floating_point():
            continue
        if theirs.shape[1] != ours and 1 in (theirs.shape[1], ours):
            channels = theirs.shape[1]
            whole = theirs.to(own[path].dtype).sum(dim=1, keepdim=True)
            tensors[key] = (whole / ours).expand(-1, ours, -1, -1)
    return tensors, replace(loaded, channels=channels)
