"""Trace of a module: every operation with weights and every dropout, with its input."""

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
"""Settings of an operation that are not structure: the eps and momentum of a norm, the rate of a dropout."""

_TOLERANCE = 1e-7
"""Largest relative difference of tensors that count as equal; rounding in float64 leaves 1e-13 in deep networks."""

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
    """One operation: its path, its input, its tensors by name, and its settings.

    `settings` are part of the structure; `numbers` can be replaced by ours while the operation runs.
    """

    kind: Kind
    name: str
    input: Tensor
    padding: tuple[int, int]
    settings: Mapping[str, Any]
    numbers: Numbers
    tensors: Mapping[str, Tensor]

    @cached_property
    def size(self) -> float:
        """The mean absolute value of the input, a quick test that separates most unequal tensors."""
        return float(self.input.abs().mean())

    @property
    def padded(self) -> Tensor:
        """The input with its zero padding."""
        high, wide = self.padding
        return F.pad(self.input, (wide, wide, high, high)) if any(self.padding) else self.input

    def reads(self, other: "Call") -> bool:
        """Whether both operations have the same input, padding included."""
        if not math.isclose(self.size, other.size, rel_tol=_TOLERANCE):
            return self.padding != other.padding and nearly_equal(self.padded, other.padded)
        if self.padding == other.padding:
            return nearly_equal(self.input, other.input)
        return nearly_equal(self.padded, other.padded)

    def fits(self, other: "Call") -> bool:
        """Whether the weights of one, except a bias, can be those of the other."""
        return (self.kind, self.settings, self.shape) == (other.kind, other.settings, other.shape)

    @property
    def shape(self) -> torch.Size:
        """The shape of the weights; without weights, the number of input channels."""
        return self.tensors["weight"].shape if "weight" in self.tensors else self.input.shape[1:2]

    def __str__(self) -> str:
        words = [f"{key} {value}" for key, value in {**self.settings, **self.numbers}.items()]
        if self.kind in ("convolution", "linear"):
            return ", ".join([f"{self.kind} {'x'.join(map(str, self.shape))}", *words])
        return f"{self.kind} with {', '.join(words)}"


class Tracing(TorchFunctionMode):
    """While active, pass every call to `on_call` before it runs, and run it with the numbers that `on_call` returns.

    Dropout returns its input unchanged.
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
    ) -> Any:  # noqa: ANN401 - the function's result
        """Pass the call to `on_call`, then run it."""
        keywords = dict(kwargs or {})
        if func not in _PARAMETERS:
            return func(*args, **keywords)
        kind, names = _PARAMETERS[func]
        bound = {**dict(zip(names, args, strict=False)), **keywords}
        call = self._read(kind, {**_DEFAULTS[kind], **bound})
        if call is None:
            return func(*args, **keywords)
        numbers = self._on_call(call)
        if kind in DROPOUTS:
            return call.input if bound.get("inplace") else call.input.clone()
        self._last = call.name
        return func(**{**bound, **numbers}) if numbers else func(*args, **keywords)

    def _read(self, kind: Kind, bound: Mapping[str, Any]) -> Call | None:
        """The call; None for a dropout that drops nothing and for a fixed filter, which has no parameters."""
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
                numbers, name = {"rate": bound["p"]}, f"the dropout after {self._last}"
        if _is_classifier(kind, bound):
            flat = {key: tensor.flatten(1) if key == "weight" else tensor for key, tensor in tensors.items()}
            return Call("linear", name, bound["input"].flatten(1), padding, {}, {}, flat)
        return Call(kind, name, bound["input"], padding, settings, numbers, tensors)


def record_calls(module: nn.Module, images: Tensor) -> tuple[list[Call], Tensor]:
    """The calls of a module on some images, in order, and its output.

    The tensors of a call are copies made before it runs, since a norm changes its statistics.
    """
    recorded: list[Call] = []

    def keep(call: Call) -> None:
        tensors = {key: tensor.detach().clone() for key, tensor in call.tensors.items()}
        recorded.append(replace(call, input=call.input.detach(), tensors=tensors))

    with torch.no_grad(), Tracing(module, keep):
        output = module(images)
    return recorded, output


def nearly_equal(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors are equal up to rounding."""
    if one.shape != other.shape:
        return False
    scale = torch.maximum(one.abs().max(), other.abs().max()) if one.numel() else torch.tensor(0.0)
    return bool(((one - other).abs() <= _TOLERANCE * scale).all())


def _is_classifier(kind: Kind, bound: Mapping[str, Any]) -> bool:
    """Whether a convolution is a classifier: with a bias, over one pixel."""
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
