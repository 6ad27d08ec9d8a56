"""Settings of a network in the format of timm: image, first and last layers, stages, and preparation of images."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, Literal

from resatlas.arch.levels import plan_levels
from resatlas.arch.ops import Convolution, GlobalPool, Linear
from resatlas.arch.plan import Plan, layers
from resatlas.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """Preparation of images: resize, crop the centre, then (x - mean)/std for pixels x from 0 to 1, as in timm.

    `mean` and `std` have one number per channel, or one for all. The default does not change the pixels.
    `interpolation` is that of the resize.
    """

    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    crop_share: float = 1.0
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"


class PartialSettings(Mapping[str, Any]):
    """Settings without mean and std; access to these raises UsageError with the reason."""

    def __init__(self, settings: Mapping[str, Any], reason: str) -> None:
        self._settings = settings
        self._reason = reason

    def __getitem__(self, key: str) -> Any:  # noqa: ANN401 - settings are of any type
        if key in ("mean", "std"):
            raise UsageError(self._reason)
        return self._settings[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._settings)

    def __len__(self) -> int:
        return len(self._settings)


def pretrained_cfg(plan: Plan, preparation: Preparation | str) -> Mapping[str, Any]:
    """The `pretrained_cfg` of timm; `PartialSettings` if timm cannot express how images are prepared."""
    if isinstance(preparation, str):
        return PartialSettings(pretrained_cfg(plan, Preparation()), preparation)
    channels = plan.image.channels
    return {
        "url": "",
        "num_classes": plan.classes,
        "input_size": tuple(plan.image),
        "fixed_input_size": False,
        "mean": _per_channel(preparation.mean, channels),
        "std": _per_channel(preparation.std, channels),
        "interpolation": preparation.interpolation,
        "crop_pct": preparation.crop_share,
        "crop_mode": "center",
        "first_conv": _only([path for path, layer in layers(plan) if _is_first_conv(path, layer.op)]),
        "classifier": _only([path for path, layer in layers(plan) if isinstance(layer.op, Linear)]),
    }


def feature_info(plan: Plan) -> list[dict[str, Any]]:
    """The `feature_info` of timm, with one entry per stage.

    The module of the last entry is the last one before the global pool, such as head.relu of a pre-activated network.
    If each stream has its own head, it is the stage, since timm collects the output of one module.
    """
    modules = [f"stages.{level.stage}" for level in plan_levels(plan)]
    before = [layer.role for layer in takewhile(lambda layer: layer.op != GlobalPool(), plan.head)]
    if before and plan.heads == 1:
        modules[-1] = f"head.{before[-1]}"
    return [
        {"num_chs": level.channels, "reduction": level.stride, "module": module}
        for level, module in zip(plan_levels(plan), modules, strict=True)
    ]


def _per_channel(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    return values * channels if len(values) == 1 else values


def _is_first_conv(path: str, op: object) -> bool:
    return path.startswith("stem") and isinstance(op, Convolution)


def _only(paths: list[str]) -> str | tuple[str, ...] | None:
    """A single path as a text, several as a tuple; None if there are none."""
    return paths[0] if len(paths) == 1 else tuple(paths) or None
