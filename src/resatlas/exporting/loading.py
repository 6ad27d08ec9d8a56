"""Loading of saved networks: checks before anything is built, and weights from safetensors only."""

from pathlib import Path
from typing import Any

import torch

from resatlas.arch.cost import cost
from resatlas.errors import CheckpointError, quoted
from resatlas.exporting.config import CONFIG, WEIGHTS, Config, file_in, read_config
from resatlas.exporting.found_config import is_found
from resatlas.exporting.preprocessing import preparation_of
from resatlas.exporting.seals import check_sealed
from resatlas.exporting.stored_weights import Shapes, check_shapes, shapes_of
from resatlas.nets.network import Network, build
from resatlas.weights.conversion import load_weights


def from_pretrained(folder: str | Path) -> Network | Any:  # noqa: ANN401 - so that users need not tell them apart
    """The network in a folder of `save_pretrained`, with its weights, in evaluation mode.

    If a run that finds objects was saved, it is the `Detector`, or the `Segmenter` of a run on classes of pixels.
    Nothing outside the folder is read, and its files cannot run code.
    Raises: FolderError if the folder is not a saved network; CheckpointError if it is damaged or was changed.
    """
    if is_found(folder):
        from resatlas.exporting.found_loading import found_in  # torchvision is slow to import

        return found_in(folder)
    return network_in(folder)


def network_in(folder: str | Path) -> Network:
    """The network in the folder of a saved classifier, or of a network without classes, in evaluation mode.

    Raises: as `from_pretrained`; CheckpointError also if it finds objects.
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
    check_shapes(_shapes_of(config), file)
    total = cost(config.plan)
    if (total.parameters, total.multiply_adds) != (config.parameters, config.multiply_adds):
        raise CheckpointError(
            f"{file.with_name(CONFIG)}: its plan has {total.parameters:,} parameters and {total.multiply_adds:,} "
            f"multiply-adds, but the config has {config.parameters:,} and {config.multiply_adds:,}"
        )


def _shapes_of(config: Config) -> Shapes:
    """The shapes of all weights of a plan, after a forward pass on the device "meta"."""
    plan = config.plan
    try:
        network = build(plan, device="meta").eval()
        logits = network(torch.empty(1, *plan.image, device="meta"))
    except Exception as error:  # a foreign plan can be wrong in any way
        raise CheckpointError(f"{CONFIG}: no network can be built from its plan: {quoted(str(error))}") from None
    if plan.classes and tuple(logits.shape) != (1, plan.classes):
        raise CheckpointError(
            f"{CONFIG}: its plan gives {tuple(logits.shape)[1:]} values, not {plan.classes:,} classes"
        )
    return shapes_of(network)
