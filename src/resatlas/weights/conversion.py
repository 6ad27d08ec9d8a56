"""Weights in and out: under our paths, or under the names of another source's code."""

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
from resatlas.values.weights import Which, check_address
from resatlas.weights.holders import Held, held, listed, pass_
from resatlas.weights.identify import taker, writer
from resatlas.weights.semantics import contrasts, differences, function, traits
from resatlas.weights.sources import Dialect, dialect_for, dialects_of, key_of, path_of, shape_of, speakers
from resatlas.weights.weight_files import Content, read_content, save_file
from resatlas.weights.wrappers import Unwrapped, unwrapped

NOTE = "plan"
"""Where our files say which plan their weights are for."""

WEIGHT_TYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
COUNT_TYPES = (torch.int64, torch.int32)


def save_weights(network: nn.Module, file: Path) -> None:
    """Write every parameter and buffer under its path, as safetensors, with the plan that says what they compute."""
    note = {NOTE: json.dumps(to_json(network.plan), sort_keys=True)} if isinstance(network, Network) else None
    held = {path: tensor.detach().contiguous() for path, tensor in network.state_dict().items()}
    save_file(held, file, metadata=note)


def export_weights(network: Network, *, target: str) -> dict[str, Tensor]:
    """A copy of every parameter and buffer under the names and in the shapes of a target, one of `SOURCES`.

    Raises: CheckpointError if the target's code computes something else than the network; UnknownName; DesignError if
        the network is no longer what its plan says.
    """
    dialect = dialect_for(network.described(), target)
    own = _own(network, dialect)
    _check_traits(network.plan, dialect, own, source=target)
    return {key: tensor.clone() for key, tensor in own.items()}


@dataclass(frozen=True, kw_only=True)
class Taken:
    """Whose names the weights have, for how many classes they were, if not for the network's, and what was chosen.

    `notes` say in words what was taken of several weights, taken off their names, passed over or drawn anew.
    """

    source: str
    classes: int | None = None
    notes: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True, kw_only=True, eq=False)
class Given:
    """The weights of one network under a source's names, what its file notes of its plan, and what was chosen."""

    tensors: dict[str, Tensor]
    plan: Plan | None = None
    notes: tuple[str, ...] = ()


def load_weights(
    network: Network, weights: str | Path | Mapping[str, object], *, source: str = "resatlas", which: Which = "raw"
) -> Taken:
    """Set every parameter and buffer from what a source wrote, one of `SOURCES`; all or nothing.

    `weights` is a state dict, a safetensors file, or a torch file of tensors and plain values. What training programs
    put around it, around its names and beside it is left out; the result says what. Where there are raw weights and
    their average, `which` says which of them are taken. Only the batch counts of norms may be missing, as in files of
    old torch: they are then 0.

    Where shapes do not show what the weights computed, the source's traits do, and in our own files their plan.
    Neither names nor shapes nor files tell apart: our state dicts without a file; pytorchcv's resnet50 and resnet50b,
    whose strides stand elsewhere, and their like of other depths: both load into `resnet-50` and into
    `resnet-50-v1.5`; timm's resnetblur50 and resnetaa50, which blur or average where they stride: they load as its
    resnet50 does. `audit` distinguishes them all, since it runs their code.
    Raises: CheckpointError if the file cannot be read, if the source's code or the network that wrote the file
    computes something else than the network, or if entries are missing, unexpected, of another shape or type, or not
    finite; UnknownName.
    """
    given = given_in(network, weights, sources=[source], which=which)
    set_weights(network, given.tensors, source=source, plan=given.plan)
    return Taken(source=source, notes=given.notes)


def given_in(
    network: Network, weights: str | Path | Mapping[str, object], *, sources: Iterable[str], which: Which = "raw"
) -> Given:
    """The weights of one network in a file or a state dict, under names that some sources have for it.

    Raises: CheckpointError if there are none, several, or no average where one is asked for; UnknownName.
    """
    where = _name(weights)
    content = read_content(checked_path(weights)) if isinstance(weights, str | Path) else Content(value=weights)
    found = held(content.value, where=where, which=which)
    own = [_keys(network, dialect) for source in sources for dialect in dialects_of(source)]
    bare = unwrapped(found.tensors, own, where=where, which="raw" if found.averaged else which)
    if which == "ema" and not (found.averaged or bare.averaged):
        raise CheckpointError(f"{where} holds no average of weights; take what it holds without --weights ema")
    notes = tuple(_notes(found, bare, which))
    return Given(tensors=bare.tensors, plan=_plan_of(content.notes), notes=notes)


def set_weights(network: Network, given: Mapping[str, Tensor], *, source: str, plan: Plan | None = None) -> None:
    """Set every parameter and buffer from tensors under a source's names, all or nothing.

    `plan` is that of the network that wrote them, where it is known.
    Raises: CheckpointError as `load_weights`.
    """
    dialect = dialect_for(network.plan, source, given)
    own = _own(network, dialect)
    _check_traits(network.plan, dialect, given, source=source)
    _check_entries(network.plan, dialect, given, own, source=source)
    if source == "resatlas":
        check_writer(network.plan, plan)
    fitted = {key: _fitted(key, given.get(key, torch.zeros_like(tensor)), tensor) for key, tensor in own.items()}
    for key, tensor in own.items():
        tensor.copy_(fitted[key])


def checked_path(weights: str | Path) -> Path:
    """The path of a file of weights.

    Raises: CheckpointError for an address, where nothing is looked for.
    """
    if isinstance(weights, str):
        check_address(weights)
    return Path(weights)


def _name(weights: object) -> str:
    return Path(weights).name or str(weights) if isinstance(weights, str | Path) else "the state dict"


def _notes(found: Held, bare: Unwrapped, which: Which) -> Iterator[str]:
    """What was chosen and left out, in words."""
    if found.left:
        other: Which = "raw" if which == "ema" else "ema"
        kind = {"raw": "raw weights", "ema": "average of the weights"}
        yield f"{quoted('.'.join(found.path))}, the {kind[which]}, not {listed(found.left)}; {pass_(other)}"
    elif found.averaged:
        yield f"{quoted('.'.join(found.path))}, an average of weights"
    if bare.prefix:
        yield f"without the prefix {quoted(bare.prefix)}"
    passed = [f"{count} tensors of {quoted(name)}" for name, count in {**bare.others, **bare.counters}.items()]
    if passed:
        yield f"passed over: {', '.join(passed)}"
    types = Counter(tensor.dtype for tensor in bare.tensors.values() if tensor.is_floating_point())
    if others := sorted(str(each).removeprefix("torch.") for each in types if each != torch.float32):
        yield f"converted from {' and '.join(others)}"


def check_writer(plan: Plan, written: Plan | None) -> None:
    """Refuse the weights of a network that computes something else; of a network that is not known, nothing is said.

    Raises: CheckpointError with the name of the network that it computes, where it has one.
    """
    if written is None or function(written) == function(plan):
        return
    faults = contrasts(traits(plan), traits(written), whose="the file")
    name = writer(written)
    meant = [f"did you mean {name}?"] if name else []
    raise CheckpointError("; ".join([*(faults or ["the file's network computes something else"]), *meant]))


def _plan_of(notes: Mapping[str, str]) -> Plan | None:
    """The plan that a file notes, if it is one of a version that is understood here."""
    try:
        return from_json(json.loads(notes.get(NOTE, "null")))
    except (BlueprintError, ValueError, RecursionError):
        return None


def _keys(network: Network, dialect: Dialect) -> list[str]:
    """The names of the network's tensors in a dialect."""
    return [key_of(path, dialect, network.plan) or path for path in network.state_dict()]


def _own(network: Network, dialect: Dialect) -> dict[str, Tensor]:
    """The network's own tensors under the names and in the shapes of a dialect: what is written there is set."""
    return {
        key_of(path, dialect, network.plan) or path: tensor.view(shape_of(path, tuple(tensor.shape), dialect))
        for path, tensor in network.state_dict().items()
    }


def _check_traits(plan: Plan, dialect: Dialect, given: Mapping[str, Tensor], *, source: str) -> None:
    """Refuse a source whose code computes something else with the same weights."""
    faults = differences(traits(plan), dialect.traits, source=source)
    if faults:
        raise CheckpointError("; ".join([*faults, *_meant(plan, given, source)]))


def _check_entries(
    plan: Plan, dialect: Dialect, given: Mapping[str, Tensor], own: Mapping[str, Tensor], *, source: str
) -> None:
    """Refuse entries that are missing, unexpected or mis-shaped."""
    shaped = [key for key in own if key in given and given[key].shape != own[key].shape]
    kinds = {
        "missing": [key for key in own if key not in given and not _forgiven(key, given)],
        "unexpected": [key for key in given if key not in own],
        "mis-shaped": shaped,
    }
    faults = [
        f"{kind} {_by_part([path_of(key, dialect, plan) or key for key in keys])}"
        for kind, keys in kinds.items()
        if keys
    ]
    first = [f"{quoted(key)} is {_shape(given[key])}, here {_shape(own[key])}" for key in shaped[:1]]
    if faults:
        whole = "; ".join([*faults, *first, *(_whose(plan, given, source) or _meant(plan, given, source))])
        raise CheckpointError(f"these are not the network's weights: {whole}")


def _meant(plan: Plan, given: Mapping[str, Tensor], source: str) -> list[str]:
    found = taker({key: tuple(tensor.shape) for key, tensor in given.items()}, plan, source=source)
    return [f"did you mean {found}?"] if found else []


def _whose(plan: Plan, given: Mapping[str, Tensor], source: str) -> list[str]:
    """Another source that the names seem to be of."""
    found = speakers(given, plan)
    return (
        [f'the names seem to be those of {" or ".join(found)}: pass source="{found[0]}"']
        if (found and source not in found)
        else []
    )


def _forgiven(key: str, given: Mapping[str, Tensor]) -> bool:
    """Whether a key is the batch count of a norm that is otherwise there."""
    norm, _, leaf = key.rpartition(".")
    return leaf == "num_batches_tracked" and f"{norm}.running_mean" in given


def _by_part(paths: list[str]) -> str:
    """12 (stages.0: 10, head: 2)."""
    parts = Counter(".".join(path.split(".")[: 2 if path.startswith("stages.") else 1]) for path in paths)
    return f"{len(paths)} ({', '.join(f'{part}: {count}' for part, count in parts.items())})"


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a number"


def _fitted(key: str, given: Tensor, own: Tensor) -> Tensor:
    """The given values in the type and on the device of the network's own tensor."""
    if own.is_meta:
        raise CheckpointError('a network on the device "meta" has no values to set; build it on another')
    types = WEIGHT_TYPES if own.is_floating_point() else COUNT_TYPES
    kind = str(given.dtype).removeprefix("torch.")
    if given.is_quantized:
        raise CheckpointError(f"{quoted(key)} is quantized ({kind}); give the weights from before quantization")
    if given.layout != torch.strided or given.is_meta:
        raise CheckpointError(f"{quoted(key)} has no dense values")
    if given.dtype not in types:
        wanted = "convert the file to float32" if types is WEIGHT_TYPES else "it counts batches, in int64"
        raise CheckpointError(f"{quoted(key)} is {kind}; {wanted}")
    fitted = given.detach().to(device=own.device, dtype=own.dtype)
    if bad := int((~fitted.isfinite()).sum()):
        values = f"{bad:,} of its {fitted.numel():,} values"
        raise CheckpointError(f"{quoted(key)} holds NaN or infinity, in {values}")
    return fitted
