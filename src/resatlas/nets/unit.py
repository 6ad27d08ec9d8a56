"""Residual units of one stream and of several."""

from collections.abc import Callable, Sequence
from typing import Literal, assert_never

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, cat, nn

from resatlas.arch import plan
from resatlas.nets.layers import chain
from resatlas.nets.peak import Kept
from resatlas.nets.recomputing import run_layers
from resatlas.nets.shaking import shaken_bodies, shaken_residual
from resatlas.nets.streams import (
    InputForm,
    Interface,
    Maps,
    OutputMaps,
    StreamsModule,
    added,
    mixed,
)
from resatlas.recipes.regularisers import Shake, ShakeDrop, ShakeShake


class Unit(nn.Module):
    """x -> after_sum(shortcut(x or first(x)) + merged(h·attention(mean of h))), h = merge(body(first(x)), …).

    Without attention its factor is 1. It is also used as one of several streams, whose terms are added by
    `StreamsUnit`: see `divide`. `kept` says which maps a training stores: see `nets.peak.Kept`. `drop_rate` is the
    probability that it drops its residual for an image in training: see `nets.network.set_stochastic_depth`; `shake` is
    how its residual is weighted at random there, and `survival` the probability that a shake-drop leaves it as it is:
    see `nets.network.set_shake`.

    Shape: (n, c, h, w) -> (n, width, h/stride, w/stride).
    """

    def __init__(self, stream: plan.Stream, after_sum: plan.Chain) -> None:
        super().__init__()
        self.merge = stream.merge
        self.reads = stream.reads
        self.first = chain(stream.first)
        if len(stream.bodies) == 1:
            self.body = chain(stream.bodies[0])
        else:
            self.bodies = nn.ModuleList(map(chain, stream.bodies))
        self.attention = chain(stream.attention) if stream.attention else None
        self.merged = chain(stream.merged)
        self.shortcut = None if stream.shortcut is None else chain(stream.shortcut)
        self.gate = chain(stream.gate) if stream.gate else None
        self.gated = stream.gated
        self.after_sum = chain(after_sum)
        self.drop_rate = 0.0
        self.kept: Kept = "all"
        self.shake: Shake | None = None
        self.survival = 1.0

    def forward(self, x: Maps) -> OutputMaps:
        """The maps after the unit."""
        residual, shortcut = self.divide(x)
        return self.after_sum(residual if shortcut is None else residual + shortcut)

    def divide(self, x: Maps) -> tuple[OutputMaps, OutputMaps | None]:
        """The residual and the shortcut of x, gated but not added; the shortcut is None if there is none."""
        activated, residual = self._before_attention(x)
        if self.attention is not None:
            residual = residual * self.attention(residual.mean(dim=(2, 3), keepdim=True))
        residual = self.merged(residual)
        if self.shortcut is None:
            return residual, None
        if self.drop_rate and self.training:
            residual = residual * _kept_images(residual, self.drop_rate)
        if isinstance(self.shake, ShakeDrop) and self.training:
            residual = shaken_residual(residual, self.shake, self.survival)
        shortcut = self.shortcut(activated if self.reads == "pre-activated" else x)
        if self.gate is None:
            return residual, shortcut
        gate = self.gate(shortcut)
        return gate * residual if self.gated == "both" else residual, (1 - gate) * shortcut

    def _before_attention(self, x: Maps) -> tuple[Tensor, Tensor]:
        """The maps that the bodies read, or x where nothing else reads them, and the output of the bodies."""
        if self.kept == "convolutions" and hasattr(self, "body") and self.reads != "pre-activated":
            return x, run_layers([*self.first, *self.body], x)
        activated = self.first(x)
        return activated, self._bodies(activated)

    def _bodies(self, x: Maps) -> OutputMaps:
        if hasattr(self, "body"):
            return run_layers(list(self.body), x) if self.kept == "convolutions" else self.body(x)
        match self.merge:
            case "sum":
                outputs = [body(x) for body in self.bodies]
                if isinstance(self.shake, ShakeShake) and self.training:
                    outputs = shaken_bodies(outputs, self.shake)
                return added(outputs)
            case "concat":
                return cat([body(x) for body in self.bodies], dim=1)
            case "slices" | "cascade":
                return cat(sliced_bodies(self.merge, list(self.bodies), x), dim=1)
            case _:
                assert_never(self.merge)


def sliced_bodies(
    merge: Literal["slices", "cascade"], bodies: Sequence[Callable[[Tensor], Tensor]], x: Maps
) -> list[Tensor]:
    """The output of each body, which reads its slice of x; see `arch.plan.Merge`."""
    first, *middle, last = bodies
    slices = x.chunk(len(bodies), dim=1)
    outputs = [first(slices[0])]
    for k, body in enumerate(middle, 1):  # torch.fx cannot loop over chunks
        outputs.append(body(slices[k] + outputs[-1] if merge == "cascade" else slices[k]))
    return [*outputs, last(slices[len(bodies) - 1])]


class StreamsUnit(StreamsModule):
    """(x_1, …, x_K) -> after_sum(H_k(x_k) + t_k) for each k; or all of them joined to one tensor.

    t = M·s for the shortcuts s: see `arch.streams.Mixing`. The joins are those of `arch.streams.Join`.

    Shape: K x (n, c, h, w) -> K x (n, width, h/stride, w/stride), or one such tensor from a joining unit. One tensor
        (n, K·c, h, w), or (n, c, h, w) if all streams share one input, -> (n, K·width, h/stride, w/stride).
    Source: DMRNet (arXiv:1611.07718), section 3.
    """

    def __init__(self, unit: plan.Unit, form: InputForm = "concatenated") -> None:
        super().__init__()
        self.form: InputForm = form
        self.mixing = unit.mixing_after_projector
        self.joined = unit.joined
        self.streams = nn.ModuleList(Unit(stream, () if unit.joined else unit.after_sum) for stream in unit.streams)
        projects = unit.mixing.channels == "projected" and unit.streams[0].shortcut is not None
        self.projector = Projector(len(unit.streams), unit.output.channels) if projects else None
        self.after_sum = chain(unit.after_sum if unit.joined else ())

    @property
    def interface(self) -> Interface:
        """The inputs are all streams; the outputs are all streams, or the one that they are joined to."""
        return Interface(len(self.streams), self.form, 1 if self.joined else len(self.streams))

    def run_streams(self, streams: tuple[Maps, ...]) -> tuple[OutputMaps, ...]:
        """The streams after the unit."""
        units = [unit for unit in self.streams if isinstance(unit, Unit)]
        divided = [unit.divide(x) for unit, x in zip(units, streams, strict=True)]
        residuals = [residual for residual, _ in divided]
        shortcuts = [shortcut for _, shortcut in divided if shortcut is not None]
        if self.projector is not None:
            shortcuts = self.projector(shortcuts)
        terms = mixed(self.mixing, shortcuts) if shortcuts else []
        if self.joined:
            return (self.after_sum(added([*residuals, *terms])),)
        sums = map(added, zip(residuals, terms, strict=True)) if terms else residuals
        return tuple(unit.after_sum(x) for unit, x in zip(units, sums, strict=True))


class Projector(nn.Module):
    """(s_1, …, s_K) -> P·(s_1, …, s_K), P = Q·Qᵀ of rank `width`, Q random with orthonormal columns.

    P depends on K and the width alone, so that units of one width have the same P, and P·P = P.

    Shape: K x (n, width, h, w) -> K x (n, width, h, w).
    """

    matrix: Tensor

    def __init__(self, streams: int, width: int) -> None:
        super().__init__()
        self.streams = streams
        self.register_buffer("matrix", torch.empty(streams * width, streams * width))

    def reset(self) -> None:
        """Compute the matrix; its seed depends on the shape alone."""
        size = len(self.matrix)
        generator = torch.Generator().manual_seed(size * 65 + self.streams)
        basis, _ = torch.linalg.qr(torch.randn(size, size // self.streams, generator=generator, dtype=torch.float64))
        self.matrix.copy_(basis @ basis.T)

    def forward(self, shortcuts: Sequence[Tensor]) -> list[Tensor]:
        """The shortcuts after the projection of all their channels."""
        together = cat(tuple(shortcuts), dim=1)
        parts = F.conv2d(together, self.matrix[:, :, None, None]).chunk(self.streams, dim=1)
        return [parts[k] for k in range(self.streams)]  # torch.fx cannot trace list(parts)


def _kept_images(residual: OutputMaps, drop_rate: float) -> Float[Tensor, "n 1 1 1"]:
    """0 for each image whose residual is dropped, 1/(1 - drop_rate) for the others."""
    kept = residual.new_empty(len(residual), 1, 1, 1).bernoulli_(1 - drop_rate)
    return kept / (1 - drop_rate)


def unit_module(unit: plan.Unit, form: InputForm = "concatenated") -> Unit | StreamsUnit:
    """The module of a unit; `form` is the meaning of one input tensor for several streams."""
    return Unit(unit.streams[0], unit.after_sum) if unit.skip == "own" else StreamsUnit(unit, form)
