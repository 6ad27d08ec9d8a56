"""What other libraries ask of a network: its image, its ends, its stages, and how images are prepared for it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from resatlas.arch.ops import Convolution, Linear
from resatlas.arch.plan import Plan, layers
from resatlas.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """How images are prepared, as timm says it: resized, the centre cropped, (x - mean)/std of pixels from 0 to 1.

    `mean` and `std` are a number a channel, or one for all. The default leaves pixels as they are.
    """

    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    crop_share: float = 1.0


class Refusing(Mapping[str, Any]):
    """Settings without a mean and a deviation: asked for these, they refuse with the reason, as a UsageError."""

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
    """A network in the words of timm's `pretrained_cfg`; `Refusing` where these cannot say how images are prepared."""
    if isinstance(preparation, str):
        return Refusing(pretrained_cfg(plan, Preparation()), preparation)
    channels = plan.image.channels
    return {
        "url": "",
        "num_classes": plan.classes,
        "input_size": tuple(plan.image),
        "fixed_input_size": False,
        "mean": _for_all(preparation.mean, channels),
        "std": _for_all(preparation.std, channels),
        "interpolation": "bilinear",
        "crop_pct": preparation.crop_share,
        "crop_mode": "center",
        "first_conv": _only([path for path, layer in layers(plan) if _begins(path, layer.op)]),
        "classifier": _only([path for path, layer in layers(plan) if isinstance(layer.op, Linear)]),
    }


def feature_info(plan: Plan) -> list[dict[str, Any]]:
    """The maps behind each stage in the words of timm's `feature_info`."""
    lasts = [stage[-1] for stage in plan.stages]
    return [
        {
            "num_chs": unit.output.channels * unit.outcomes,
            "reduction": round(plan.image.height / unit.output.height),
            "module": f"stages.{s}",
        }
        for s, unit in enumerate(lasts)
    ]


def _for_all(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    return values * channels if len(values) == 1 else values


def _begins(path: str, op: object) -> bool:
    return path.startswith("stem") and isinstance(op, Convolution)


def _only(paths: list[str]) -> str | tuple[str, ...] | None:
    """The one path, several, or none."""
    return paths[0] if len(paths) == 1 else tuple(paths) or None
