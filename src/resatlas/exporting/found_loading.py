"""Loading of saved detectors and segmenters, with the checks that classifiers have."""

from pathlib import Path
from typing import assert_never

import torch

from resatlas.arch.cost import cost
from resatlas.errors import CheckpointError, quoted
from resatlas.exporting.config import CONFIG, WEIGHTS, file_in
from resatlas.exporting.found_config import FoundConfig, read_found_config
from resatlas.exporting.seals import check_sealed
from resatlas.exporting.stored_weights import check_shapes, shapes_of
from resatlas.nets.detector import Detector
from resatlas.nets.network import build
from resatlas.nets.segmenter import Segmenter
from resatlas.recipes.detection import Detect, Segment
from resatlas.recipes.task_cost import multiply_adds
from resatlas.weights.weight_files import read_tensors


def found_in(folder: str | Path) -> Detector | Segmenter:
    """The detector or segmenter in a folder of `save_pretrained`, in evaluation mode.

    Raises: FolderError, CheckpointError as `from_pretrained`; CheckpointError also if it classifies images.
    """
    config, file = read_found_config(folder), file_in(Path(folder), WEIGHTS)
    check_sealed(file, config.network.weights_sha256)
    _check(config, file)
    module = _built(config, device="cpu")
    tensors = read_tensors(file)
    own = module.state_dict()
    for path, tensor in tensors.items():
        if tensor.is_floating_point() != own[path].is_floating_point() or not bool(tensor.isfinite().all()):
            raise CheckpointError(f"{file}: {quoted(path)} holds NaN or infinity, or numbers of another type")
    module.load_state_dict(tensors)
    layout = torch.channels_last if config.network.layout == "channels-last" else torch.contiguous_format
    return module.to(memory_format=layout).eval()


def _built(config: FoundConfig, *, device: str) -> Detector | Segmenter:
    """The module of a config with new weights."""
    with torch.device(device), torch.random.fork_rng(devices=()):
        network = build(config.network.plan, device=device)
        match config.task:
            case Detect():
                return Detector(network, config.task, classes=len(config.class_names))
            case Segment():
                return Segmenter(network, config.task, classes=len(config.class_names))
            case _:
                assert_never(config.task)


def _check(config: FoundConfig, file: Path) -> None:
    """Refuse a config that cannot be run, has other costs than it says, or does not match the weights.

    No memory is allocated for the weights before these checks.
    """
    try:
        module = _built(config, device="meta").eval()
        _run(module, torch.empty(1, *config.network.image, device="meta"))
        plan = config.network.plan
        total, work = cost(plan), multiply_adds(plan, config.task)
    except Exception as error:  # a foreign plan can be wrong in any way
        raise CheckpointError(f"{CONFIG}: no network can be built from it: {quoted(str(error))}") from None
    check_shapes(shapes_of(module), file)
    weights = sum(weight.numel() for weight in module.parameters())
    own, written = (
        (total.parameters, total.multiply_adds, weights, work),
        (config.network.parameters, config.network.multiply_adds, config.parameters, config.multiply_adds),
    )
    if own != written:
        raise CheckpointError(
            f"{file.with_name(CONFIG)}: its plan has {_numbers(own)} parameters and multiply-adds, without heads and "
            f"with them, but the config has {_numbers(written)}"
        )


def _run(module: Detector | Segmenter, images: torch.Tensor) -> None:
    """A pass without proposals, which the device "meta" cannot find: maps, their heads, and a region of them."""
    if isinstance(module, Segmenter):
        module(images)
        return
    maps = list(module.maps(images).values())
    module.rpn.head(maps)
    heads, pooled = module.roi_heads, module.task.head.pooled
    region = images.new_empty(1, maps[0].shape[1], pooled, pooled)
    heads.box_predictor(heads.box_head(region))
    if heads.mask_head is not None and heads.mask_predictor is not None:
        heads.mask_predictor(heads.mask_head(region))


def _numbers(values: tuple[int, ...]) -> str:
    return ", ".join(f"{value:,}" for value in values)
