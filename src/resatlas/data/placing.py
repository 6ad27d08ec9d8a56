"""Tensors on the device of a training."""

import torch
from torch import Tensor

CPU = torch.device("cpu")

RESIDENT_SHARE = 0.25
"""The share of a GPU's free memory that the images of a training may take; larger sets stay in main memory."""


def placed(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor on a device; for a GPU it is copied from pinned memory, so that the processor does not wait for it."""
    if tensor.device == device:
        return tensor
    if device.type == "cuda":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


def fits(nbytes: int, device: torch.device) -> bool:
    """Whether so many bytes may stay on a device for a whole training."""
    return device.type != "cuda" or nbytes <= RESIDENT_SHARE * torch.cuda.mem_get_info(device)[0]
