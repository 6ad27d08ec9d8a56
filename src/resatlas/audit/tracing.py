"""What a module runs: every operation with weights, and every dropout, with the tensor that it reads."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

Kind = Literal[
    "convolution", "norm", "linear", "dropout", "dropout of channels", "alpha dropout", "alpha dropout of channels"
]

DROPOUTS: frozenset[Kind] = frozenset({"dropout", "dropout of channels", "alpha dropout", "alpha dropout of channels"})

Numbers = Mapping[str, float]
"""What an operation is set to beside its structure: the eps and momentum of a norm, the rate of a dropout."""

TOLERANCE = 1e-7
"""Largest difference of equal tensors, as a share of their largest value: float64 leaves 1e-13 in deep networks."""

_DROPS = ("input", "p", "training", "inplace")

_PARAMETERS: Mapping[Any, tuple[Kind, tuple[str, ...]]] = {
    torch.conv2d: ("convolution", ("input", "weight", "bias", "stride", "padding", "dilation", "groups")),
    F.batch_norm: (
        "norm",
        ("input", "running_mean", "running_var", "weight", "bias", "training", "momentum", "eps"),
    ),
    F.linear: ("linear", ("input", "weight", "bias")),
    F.dropout: ("dropout", _DROPS),
    F.dropout2d: ("dropout of channels", _DROPS),
    F.alpha_dropout: ("alpha dropout", _DROPS),
    F.feature_alpha_dropout: ("alpha dropout of channels", _DROPS),
}
_DEFAULTS: Mapping[Kind, Mapping[str, Any]] = {
    "convolution": {"bias": None, "stride": 1, "padding": 0, "dilation": 1, "groups": 1},
    "norm": {"weight": None, "bias": None, "training": False, "momentum": 0.1, "eps": 1e-5},
    "linear": {"bias": None},
    "dropout": {"p": 0.5, "training": True},
    "dropout of channels": {"p": 0.5, "training": True},
    "alpha dropout": {"p": 0.5, "training": False},
    "alpha dropout of channels": {"p": 0.5, "training": False},
}


@dataclass(frozen=True)
class Call:
    """One operation: where it stands, what it reads, its tensors by name, and what it is set to.

    `settings` say which operation it is; `numbers` can be replaced by ours while it runs.
    """

    kind: Kind
    name: str
    given: Tensor
    padding: tuple[int, int]
    settings: Mapping[str, Any]
    numbers: Numbers
    tensors: Mapping[str, Tensor]

    @cached_property
    def size(self) -> float:
        """The mean size of what it reads, which settles at once that most unequal tensors are unequal."""
        return float(self.given.abs().mean())

    @property
    def padded(self) -> Tensor:
        """What the operation reads, with its zeros around."""
        high, wide = self.padding
        return F.pad(self.given, (wide, wide, high, high)) if any(self.padding) else self.given

    def reads(self, other: "Call") -> bool:
        """Whether both read the same values."""
        if not math.isclose(self.size, other.size, rel_tol=TOLERANCE):
            return self.padding != other.padding and same(self.padded, other.padded)
        if self.padding == other.padding:
            return same(self.given, other.given)
        return same(self.padded, other.padded)

    def fits(self, other: "Call") -> bool:
        """Whether the weights of one can be those of the other, a bias apart."""
        return (self.kind, self.settings, self.shape) == (other.kind, other.settings, other.shape)

    @property
    def shape(self) -> torch.Size:
        """The shape of its weights; of one that has none, the channels that it reads."""
        return self.tensors["weight"].shape if "weight" in self.tensors else self.given.shape[1:2]

    def __str__(self) -> str:
        words = [f"{key} {value}" for key, value in {**self.settings, **self.numbers}.items()]
        if self.kind in ("convolution", "linear"):
            return ", ".join([f"{self.kind} {'x'.join(map(str, self.shape))}", *words])
        return f"{self.kind} with {', '.join(words)}"


class Tracing(TorchFunctionMode):
    """While active, every call is handed to `on_call` before it runs, with the numbers that `on_call` returns.

    Dropout gives its input unchanged.
    """

    def __init__(self, module: nn.Module, on_call: Callable[[Call], Numbers | None]) -> None:
        super().__init__()
        self._names = {
            id(tensor): name.rpartition(".")[0] for name, tensor in module.named_parameters(remove_duplicate=False)
        }
        self._on_call = on_call
        self._last = "the images"

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,  # noqa: ANN401 - torch's signature
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - what the function gives
        """Hand the call over, then make it."""
        given = dict(kwargs or {})
        if func not in _PARAMETERS:
            return func(*args, **given)
        kind, names = _PARAMETERS[func]
        bound = {**dict(zip(names, args, strict=False)), **given}
        call = self._read(kind, {**_DEFAULTS[kind], **bound})
        if call is None:
            return func(*args, **given)
        numbers = self._on_call(call)
        if kind in DROPOUTS:
            return call.given if bound.get("inplace") else call.given.clone()
        self._last = call.name
        return func(**{**bound, **numbers}) if numbers else func(*args, **given)

    def _read(self, kind: Kind, bound: Mapping[str, Any]) -> Call | None:
        """The call; None of a dropout that drops nothing and of a fixed filter, which learns nothing."""
        tensors = {
            key: bound[key]
            for key in ("weight", "bias", "running_mean", "running_var")
            if isinstance(bound.get(key), Tensor)
        }
        name = self._names.get(id(tensors.get("weight")), f"a {kind} without parameters of its own")
        if kind in ("convolution", "linear") and id(bound["weight"]) not in self._names:
            return None
        settings: dict[str, Any] = {}
        numbers: dict[str, float] = {}
        padding = (0, 0)
        match kind:
            case "convolution":
                padding = _padding(bound)
                settings = {"stride": _pair(bound["stride"]), "groups": bound["groups"]}
                if _pair(bound["dilation"]) != (1, 1):
                    settings["dilation"] = _pair(bound["dilation"])
            case "norm":
                numbers = {"eps": bound["eps"], "momentum": bound["momentum"]}
            case "linear":
                pass
            case _:
                if not bound["training"] or not bound["p"]:
                    return None
                numbers, name = {"rate": bound["p"]}, f"the dropout behind {self._last}"
        if _classifies(kind, bound):
            flat = {key: tensor.flatten(1) if key == "weight" else tensor for key, tensor in tensors.items()}
            return Call("linear", name, bound["input"].flatten(1), padding, {}, {}, flat)
        return Call(kind, name, bound["input"], padding, settings, numbers, tensors)


def calls(module: nn.Module, images: Tensor) -> tuple[list[Call], Tensor]:
    """What a module runs on some images, in order, and what it gives; tensors of a call are copies from before it."""
    found: list[Call] = []

    def keep(call: Call) -> None:
        tensors = {key: tensor.detach().clone() for key, tensor in call.tensors.items()}
        found.append(replace(call, given=call.given.detach(), tensors=tensors))

    with torch.no_grad(), Tracing(module, keep):
        given = module(images)
    return found, given


def same(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors are equal but for rounding."""
    if one.shape != other.shape:
        return False
    scale = torch.maximum(one.abs().max(), other.abs().max()) if one.numel() else torch.tensor(0.0)
    return bool(((one - other).abs() <= TOLERANCE * scale).all())


def _classifies(kind: Kind, bound: Mapping[str, Any]) -> bool:
    """Whether a convolution is a classifier: 1x1, with a bias, over one pixel."""
    return kind == "convolution" and bound["bias"] is not None and {*bound["input"].shape[2:]} == {1}


def _pair(value: Any) -> tuple[int, int]:  # noqa: ANN401 - torch takes one number or two
    return (value, value) if isinstance(value, int) else (value[0], value[-1])


def _padding(bound: Mapping[str, Any]) -> tuple[int, int]:
    if bound["padding"] == "valid":
        return 0, 0
    if bound["padding"] == "same":
        high, wide = bound["weight"].shape[2:]
        return high // 2, wide // 2
    return _pair(bound["padding"])
