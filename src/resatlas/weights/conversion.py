"""Loading and export of weights, under our paths or under the names of another library."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from resatlas.arch.plan import Plan, from_json, to_json
from resatlas.errors import BlueprintError, CheckpointError, quoted
from resatlas.nets.network import Network
from resatlas.values.text import counted
from resatlas.values.weights import Storage, Which, check_address
from resatlas.weights.holders import StateDict, find_state_dict, listed, option_for
from resatlas.weights.identify import name_of_network, name_of_same_function
from resatlas.weights.semantics import describe_difference, describe_mismatch, function, traits
from resatlas.weights.sources import Dialect, dialect_for, dialects_of, key_of, path_of, shape_of, sources_of_names
from resatlas.weights.weight_files import Content, read_content, save_file
from resatlas.weights.wrappers import Unwrapped, unwrap

_NOTE = "plan"
"""Key of a file's metadata that holds the plan of the network."""

_WEIGHT_TYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_COUNT_TYPES = (torch.int64, torch.int32)


def save_weights(network: nn.Module, file: Path, *, stored: Storage = "own") -> None:
    """Write every parameter and buffer under its path as safetensors, with the plan of the network as metadata.

    `stored="fp16"` rounds filters and matrices to half precision; vectors, which are few, keep their precision.
    Raises: CheckpointError if a weight is beyond the range of half precision.
    """
    metadata = {_NOTE: json.dumps(to_json(network.plan), sort_keys=True)} if isinstance(network, Network) else None
    tensors = {path: tensor.detach().contiguous() for path, tensor in network.state_dict().items()}
    if stored == "fp16":
        tensors = {path: _halved(path, tensor) for path, tensor in tensors.items()}
    save_file(tensors, file, metadata=metadata)


def _halved(path: str, tensor: Tensor) -> Tensor:
    """A filter or a matrix in half precision; a vector as it is."""
    if tensor.ndim < 2:
        return tensor
    half = tensor.to(torch.float16)
    if not half.isfinite().all():
        raise CheckpointError(
            f"{path} has a weight of {tensor.abs().max():.3g}, beyond the range of half precision (65,504); "
            'leave out stored="fp16"'
        )
    return half


def export_weights(network: Network, *, target: str) -> dict[str, Tensor]:
    """A copy of every parameter and buffer under the names and in the shapes of a target, one of `SOURCES`.

    Raises: CheckpointError if the target's code computes another function with the same weights; UnknownName;
        DesignError if the network has been changed, so that its plan no longer describes it.
    """
    dialect = dialect_for(network.checked_plan(), target)
    own = _own(network, dialect)
    _check_traits(network.plan, dialect, own, source=target)
    return {key: tensor.clone() for key, tensor in own.items()}


@dataclass(frozen=True, kw_only=True)
class LoadedWeights:
    """What was loaded: the source of the names, and classes and image channels of the file if the network has others.

    `notes` say in words which of several weights were loaded, which prefix was removed from the names, which tensors
    were ignored, and whether a new classifier was initialised.
    """

    source: str
    classes: int | None = None
    channels: int | None = None
    notes: tuple[str, ...] = field(default=(), compare=False)

    def changes(self, plan: Plan) -> Iterator[str]:
        """What differs from the file because the network of this plan has other classes or image channels, in words."""
        if self.classes:
            yield f"its classifier of {self.classes:,} classes is replaced by a new one of {plan.classes:,}"
        if self.channels:
            yield (
                f"its first convolution for images of {counted(self.channels, 'channel')} is changed to "
                f"{plan.image.channels}, so that it gives the same maps where all channels are equal"
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class NamedWeights:
    """The weights of one network under a source's names, the plan in the file's metadata, and notes."""

    tensors: dict[str, Tensor]
    plan: Plan | None = None
    notes: tuple[str, ...] = ()


def load_weights(
    network: Network, weights: str | Path | Mapping[str, object], *, source: str = "resatlas", which: Which = "raw"
) -> LoadedWeights:
    """Set every parameter and buffer from the weights of a source, one of `SOURCES`. If it fails, nothing is changed.

    `weights` is a state dict, a safetensors file, or a torch file of tensors and plain values. Enclosing dicts,
    prefixes of names and other tensors that training programs add are removed; the notes of the result list them. If
    there are raw weights and their average, `which` selects one. Only the batch counts of norms may be missing, as in
    files of old torch; they are then 0.

    Shapes do not determine the function. The traits of the source are checked, too, or, in our own files, the plan.
    Some networks remain indistinguishable: our state dicts without a file; pytorchcv's resnet50 and resnet50b (and
    other depths), which differ in the place of the stride: both load into `resnet-50` and into `resnet-50-v1.5`;
    timm's resnetblur50 and resnetaa50, which blur or average before a stride: they load like its resnet50. `audit`
    distinguishes all of them, since it runs their code.
    Raises: CheckpointError if the file cannot be read, if the source's code or the network that wrote the file
        computes another function, or if entries are missing, unexpected, of another shape or type, or not finite;
        UnknownName.
    """
    content = read_named_weights(network, weights, sources=[source], which=which)
    set_weights(network, content.tensors, source=source, plan=content.plan)
    return LoadedWeights(source=source, notes=content.notes)


def read_named_weights(
    network: Network, weights: str | Path | Mapping[str, object], *, sources: Iterable[str], which: Which = "raw"
) -> NamedWeights:
    """The weights of one network in a file or a state dict, under the names of one of the sources.

    Raises: CheckpointError if there are no weights, several networks, or no average although `which` is "ema";
        UnknownName.
    """
    where = _name(weights)
    content = read_content(_checked_path(weights)) if isinstance(weights, str | Path) else Content(value=weights)
    state = find_state_dict(content.value, where=where, which=which)
    own = [_keys(network, dialect) for source in sources for dialect in dialects_of(source)]
    bare = unwrap(state.tensors, own, where=where, which="raw" if state.averaged else which)
    if which == "ema" and not (state.averaged or bare.averaged):
        raise CheckpointError(f"{where} holds no averaged weights; load it without --weights ema")
    notes = tuple(_notes(state, bare, which))
    return NamedWeights(tensors=bare.tensors, plan=_plan_of(content.notes), notes=notes)


def set_weights(network: Network, weights: Mapping[str, Tensor], *, source: str, plan: Plan | None = None) -> None:
    """Set every parameter and buffer from tensors under a source's names. If it fails, nothing is changed.

    `plan` is the plan of the network that wrote the tensors, if it is known.
    Raises: CheckpointError as `load_weights`.
    """
    dialect = dialect_for(network.plan, source, weights)
    own = _own(network, dialect)
    _check_traits(network.plan, dialect, weights, source=source)
    _check_entries(network.plan, dialect, weights, own, source=source)
    if source == "resatlas":
        check_writer(network.plan, plan)
    fitted = {key: _fitted(key, weights.get(key, torch.zeros_like(tensor)), tensor) for key, tensor in own.items()}
    for key, tensor in own.items():
        tensor.copy_(fitted[key])


def _checked_path(weights: str | Path) -> Path:
    """The path of a file of weights.

    Raises: CheckpointError for an address, since nothing is downloaded.
    """
    if isinstance(weights, str):
        check_address(weights)
    return Path(weights)


def _name(weights: object) -> str:
    return Path(weights).name or str(weights) if isinstance(weights, str | Path) else "the state dict"


def _notes(state: StateDict, bare: Unwrapped, which: Which) -> Iterator[str]:
    """What was loaded and what was ignored, in words."""
    place = quoted(".".join(state.path))
    if state.left:
        other: Which = "raw" if which == "ema" else "ema"
        kinds = {"raw": "raw weights", "ema": "averaged weights"}
        yield f"{kinds[which]} from {place}; for the {kinds[other]} in {listed(state.left)} use {option_for(other)}"
    elif state.averaged:
        yield f"averaged weights from {place}"
    if bare.prefix:
        yield f"prefix {quoted(bare.prefix)} removed"
    ignored = [f"{count} tensors of {quoted(name)}" for name, count in {**bare.others, **bare.counters}.items()]
    if ignored:
        yield f"ignored: {', '.join(ignored)}"
    types = Counter(tensor.dtype for tensor in bare.tensors.values() if tensor.is_floating_point())
    if others := sorted(str(dtype).removeprefix("torch.") for dtype in types if dtype != torch.float32):
        yield f"converted from {' and '.join(others)}"


def check_writer(plan: Plan, written: Plan | None) -> None:
    """Refuse the weights of a network that computes another function; a file without a plan is accepted.

    Raises: CheckpointError with the name of the network that wrote the weights, if it has one.
    """
    if written is None or function(written) == function(plan):
        return
    faults = describe_difference(traits(plan), traits(written), whose="the file")
    name = name_of_same_function(written)
    hint = [f"did you mean {name}?"] if name else []
    raise CheckpointError("; ".join([*(faults or ["the file's network computes another function"]), *hint]))


def _plan_of(notes: Mapping[str, str]) -> Plan | None:
    """The plan in a file's metadata; None if there is none or it is of an unknown version."""
    try:
        return from_json(json.loads(notes.get(_NOTE, "null")))
    except (BlueprintError, ValueError, RecursionError):
        return None


def _keys(network: Network, dialect: Dialect) -> list[str]:
    """The names of the network's tensors in a dialect."""
    return [key_of(path, dialect, network.plan) or path for path in network.state_dict()]


def _own(network: Network, dialect: Dialect) -> dict[str, Tensor]:
    """Views of the network's own tensors under the names and in the shapes of a dialect; writing to them sets it."""
    return {
        key_of(path, dialect, network.plan) or path: tensor.view(shape_of(path, tuple(tensor.shape), dialect))
        for path, tensor in network.state_dict().items()
    }


def _check_traits(plan: Plan, dialect: Dialect, weights: Mapping[str, Tensor], *, source: str) -> None:
    """Refuse a source whose code computes another function with the same weights."""
    faults = describe_mismatch(traits(plan), dialect.traits, source=source)
    if faults:
        raise CheckpointError("; ".join([*faults, *_hint(plan, weights, source)]))


def _check_entries(
    plan: Plan, dialect: Dialect, weights: Mapping[str, Tensor], own: Mapping[str, Tensor], *, source: str
) -> None:
    """Refuse entries that are missing, unexpected or mis-shaped."""
    shaped = [key for key in own if key in weights and weights[key].shape != own[key].shape]
    kinds = {
        "missing": [key for key in own if key not in weights and not _may_be_missing(key, weights)],
        "unexpected": [key for key in weights if key not in own],
        "mis-shaped": shaped,
    }
    faults = [
        f"{kind} {_by_part([path_of(key, dialect, plan) or key for key in keys])}"
        for kind, keys in kinds.items()
        if keys
    ]
    first = [f"{quoted(key)} is {_shape(weights[key])}, here {_shape(own[key])}" for key in shaped[:1]]
    if faults:
        whole = "; ".join([*faults, *first, *(_other_source(plan, weights, source) or _hint(plan, weights, source))])
        raise CheckpointError(f"these are not the network's weights: {whole}")


def _hint(plan: Plan, weights: Mapping[str, Tensor], source: str) -> list[str]:
    name = name_of_network({key: tuple(tensor.shape) for key, tensor in weights.items()}, plan, source=source)
    return [f"did you mean {name}?"] if name else []


def _other_source(plan: Plan, weights: Mapping[str, Tensor], source: str) -> list[str]:
    """The hint to another source, if the names seem to be from there."""
    sources = sources_of_names(weights, plan)
    return (
        [f'the names seem to be those of {" or ".join(sources)}: pass source="{sources[0]}"']
        if (sources and source not in sources)
        else []
    )


def _may_be_missing(key: str, weights: Mapping[str, Tensor]) -> bool:
    """Whether a key is the batch count of a norm whose other entries are present."""
    norm, _, leaf = key.rpartition(".")
    return leaf == "num_batches_tracked" and f"{norm}.running_mean" in weights


def _by_part(paths: list[str]) -> str:
    """The number of paths, in all and for each part of the network: 12 (stages.0: 10, head: 2)."""
    parts = Counter(".".join(path.split(".")[: 2 if path.startswith("stages.") else 1]) for path in paths)
    return f"{len(paths)} ({', '.join(f'{part}: {count}' for part, count in parts.items())})"


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a number"


def _fitted(key: str, tensor: Tensor, own: Tensor) -> Tensor:
    """The tensor in the type and on the device of the network's own tensor."""
    if own.is_meta:
        raise CheckpointError('a network on the device "meta" has no values to set; build it on another')
    types = _WEIGHT_TYPES if own.is_floating_point() else _COUNT_TYPES
    kind = str(tensor.dtype).removeprefix("torch.")
    if tensor.is_quantized:
        raise CheckpointError(f"{quoted(key)} is quantized ({kind}); give the weights from before quantization")
    if tensor.layout != torch.strided or tensor.is_meta:
        raise CheckpointError(f"{quoted(key)} has no dense values")
    if tensor.dtype not in types:
        advice = "convert the file to float32" if types is _WEIGHT_TYPES else "a count of batches must be int64"
        raise CheckpointError(f"{quoted(key)} is {kind}; {advice}")
    fitted = tensor.detach().to(device=own.device, dtype=own.dtype)
    if bad := int((~fitted.isfinite()).sum()):
        values = f"{bad:,} of its {fitted.numel():,} values"
        raise CheckpointError(f"{quoted(key)} holds NaN or infinity, in {values}")
    return fitted
