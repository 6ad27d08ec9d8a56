"""Loading of saved networks: checks before anything is built, and weights from safetensors only."""

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from resatlas.arch.cost import cost
from resatlas.arch.plan import Plan
from resatlas.errors import CheckpointError, quoted
from resatlas.exporting.config import CONFIG, WEIGHTS, Config, file_in, read_config
from resatlas.exporting.preprocessing import preparation_of
from resatlas.exporting.seals import check_sealed
from resatlas.nets.network import Network, build
from resatlas.values.reading import check_regular
from resatlas.weights.conversion import load_weights

Shapes = dict[str, tuple[int, ...]]


def from_pretrained(folder: str | Path) -> Network:
    """The network in a folder of `save_pretrained`, with its weights, in evaluation mode.

    Nothing outside the folder is read, and its files cannot run code.
    Raises: FolderError if the folder is not a saved network; CheckpointError if it is damaged or was changed.
    """
    config, file = read_config(folder), file_in(Path(folder), WEIGHTS)
    check_sealed(file, config.weights_sha256)
    _check(config, file)
    network = build(config.plan, seed=0)
    load_weights(network, file)
    network.preparation = preparation_of(config)
    layout = torch.channels_last if config.layout == "channels-last" else torch.contiguous_format
    return network.to(memory_format=layout).eval()


def _check(config: Config, file: Path) -> None:
    """Refuse a plan that cannot be run, has other costs than the config says, or does not match the weights.

    No memory is allocated for the weights before these checks.
    """
    expected, stored = _shapes_of(config.plan), _shapes_in(file)
    for path in (*expected, *stored):
        if expected.get(path) != stored.get(path):
            raise CheckpointError(
                f"{file} does not hold the weights of {CONFIG}'s network: {quoted(path)} is "
                f"{_shape_text(stored.get(path))}, not {_shape_text(expected.get(path))}"
            )
    total = cost(config.plan)
    if (total.parameters, total.multiply_adds) != (config.parameters, config.multiply_adds):
        raise CheckpointError(
            f"{file.with_name(CONFIG)}: its plan has {total.parameters:,} parameters and {total.multiply_adds:,} "
            f"multiply-adds, but the config has {config.parameters:,} and {config.multiply_adds:,}"
        )


def _shapes_of(plan: Plan) -> Shapes:
    """The shapes of all weights of a plan, after a forward pass on the device "meta"."""
    try:
        network = build(plan, device="meta").eval()
        logits = network(torch.empty(1, *plan.image, device="meta"))
    except Exception as error:  # a foreign plan can be wrong in any way
        raise CheckpointError(f"{CONFIG}: no network can be built from its plan: {quoted(str(error))}") from None
    if plan.classes and tuple(logits.shape) != (1, plan.classes):
        raise CheckpointError(
            f"{CONFIG}: its plan gives {tuple(logits.shape)[1:]} values, not {plan.classes:,} classes"
        )
    return {path: tuple(tensor.shape) for path, tensor in network.state_dict().items()}


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
