"""The precision of a training: convolutions and products use it, everything else uses float32.

Weights, gradients, updates, statistics of norms and the loss are float32 at every precision. Every test is float32 too,
so it does not depend on the precision of the training. fp16 has a small range of exponents, so its loss is scaled up;
where a gradient overflows, the scale is halved and the update is skipped.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import assert_never

import torch

from resatlas.errors import NonFiniteError
from resatlas.recipes.recipe import Precision
from resatlas.runs.environment import bf16_instructions

FIRST_SCALE = 2.0**16
"""Source: torch.amp.GradScaler, which also halves at an overflow and doubles after 2,000 steps without one."""

LEAST_SCALE = 2.0**-10
"""The least scale: a gradient that still overflows here has another cause than the scale."""


def automatic_precision(device: torch.device) -> tuple[Precision, str]:
    """The precision that `auto` selects on a device, and the reason: what the hardware supports."""
    if device.type == "cuda":
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return "bf16", "the GPU multiplies in bfloat16"
        return "fp16", "the GPU does not multiply in bfloat16"
    flags = bf16_instructions()
    if flags:
        return "bf16", f"the processor has {flags[0]}"
    return "fp32", "the processor does not multiply in bfloat16"


def autocast(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """Context of the forward pass of a training step."""
    match precision:
        case "fp32":
            return nullcontext()
        case "bf16":
            return torch.autocast(device.type, dtype=torch.bfloat16)
        case "fp16":
            return torch.autocast(device.type, dtype=torch.float16)
        case _:
            assert_never(precision)


def scaler(precision: Precision | None, device: torch.device) -> torch.amp.GradScaler:
    """The scaler of the loss: enabled in fp16 only."""
    return torch.amp.GradScaler(device.type, init_scale=FIRST_SCALE, enabled=precision == "fp16")


def unscaled(scaler: torch.amp.GradScaler, optimizer: torch.optim.Optimizer) -> torch.Tensor:
    """Unscale the gradients; a number on the device, more than 0 if one of them overflows. 0 if nothing is scaled.

    Gradients are the same in all processes that train together, and so is the number.
    """
    if not scaler.is_enabled():
        return torch.zeros((), device=optimizer.param_groups[0]["params"][0].device)
    scaler.unscale_(optimizer)
    found = scaler._found_inf_per_device(optimizer)  # noqa: SLF001 - torch has no public way to read it later
    return torch.stack(list(found.values())).sum()


def overflowed(scaler: torch.amp.GradScaler, *, infinite: bool, finite_loss: bool) -> bool:
    """Whether this step overflows, after `unscaled`; the scale is then halved. It reads the scale in that case only.

    A loss that is not finite is no overflow, and leaves the scale as it is.
    Raises: NonFiniteError at an overflow with the least scale.
    """
    if not scaler.is_enabled():
        return False
    if not finite_loss:
        scaler.update(scaler.get_scale())
        return False
    before = scaler.get_scale() if infinite else FIRST_SCALE
    scaler.update()
    if infinite and before <= LEAST_SCALE:
        raise NonFiniteError(
            f"a gradient overflows fp16 at every scale of the loss down to {before:g}; a lower schedule.peak or "
            "precision=bf16 may help"
        )
    return infinite
