"""Slips that no blueprint can say: what is changed in a built network, or in where it starts."""

from collections.abc import Callable, Iterator
from typing import TypeVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resatlas.nets.layers import ChannelConvolution1d, GlobalPool2d, ShiftedModule, SubsampleModule, ZeroChannelsModule
from resatlas.nets.network import Network
from resatlas.nets.unit import StreamsUnit, Unit

Slip = Callable[[Network], None]
"""What is done to a network; its first line says what goes wrong."""

M = TypeVar("M", bound=nn.Module)


def every(network: nn.Module, kind: type[M]) -> Iterator[M]:
    """The modules of a kind."""
    return (module for module in network.modules() if isinstance(module, kind))


def runs(module: nn.Module, forward: Callable[[Tensor], Tensor]) -> None:
    """Let the module run another function."""
    module.forward = forward  # type: ignore[method-assign]


def runs_streams(unit: StreamsUnit, run_streams: Callable[[tuple[Tensor, ...]], tuple[Tensor, ...]]) -> None:
    """Let the unit run another function of its streams."""
    unit.run_streams = run_streams  # type: ignore[method-assign]


def turned(module: nn.Module, turn: Callable[[Tensor], Tensor]) -> None:
    """Let the module give something else made of what it gives."""
    forward = module.forward
    runs(module, lambda x: turn(forward(x)))


def zeros_in_front(network: Network) -> None:
    """Zeros in front of the channels."""
    for pad in every(network, ZeroChannelsModule):
        pad.before, pad.after = pad.after, pad.before


def other_pixels(network: Network) -> None:
    """The shortcut takes odd pixels, not even ones."""
    for module in every(network, SubsampleModule):
        runs(module, lambda x: x[:, :, 1::2, 1::2])


def padded_on_one_side(network: Network) -> None:
    """Strided convolutions padded behind only, as TensorFlow pads."""
    for conv in every(network, nn.Conv2d):
        if conv.stride == (2, 2) and conv.kernel_size == (3, 3):
            conv.padding = (0, 0)
            runs(conv, lambda x, conv=conv: F.conv2d(F.pad(x, (0, 1, 0, 1)), conv.weight, stride=2))


def unpadded_pool(network: Network) -> None:
    """The stem's pool without padding, rounding up, as in Caffe."""
    for pool in every(network, nn.MaxPool2d):
        pool.padding, pool.ceil_mode = 0, True


def zeros_not_averaged(network: Network) -> None:
    """The mean of the last slice without the zeros beyond the edge."""
    for pool in every(network, nn.AvgPool2d):
        pool.count_include_pad = False


def slices_backwards(network: Network) -> None:
    """Slices concatenated backwards."""
    for unit in every(network, Unit):
        forward, count = unit._bodies, len(unit.bodies)
        unit._bodies = lambda x, forward=forward, count=count: torch.cat(forward(x).chunk(count, 1)[::-1], 1)  # type: ignore[method-assign]


def halves_exchanged(network: Network) -> None:
    """The first half of a shifted projection reads what the second should."""
    for module in every(network, ShiftedModule):
        turned(module, lambda x: torch.cat(x.chunk(2, dim=1)[::-1], dim=1))


def pixels_around(network: Network) -> None:
    """A shifted projection reads pixels of the opposite edge in place of zeros."""
    for module in every(network, ShiftedModule):
        step = module.stride
        runs(module, lambda x, step=step: torch.cat([x, x.roll((1, 1), (2, 3))], dim=1)[:, :, ::step, ::step])


def channels_around(network: Network) -> None:
    """Attention beyond the last channel reads the first."""
    for module in every(network, ChannelConvolution1d):
        module.padding_mode, module._reversed_padding_repeated_twice = "circular", [module.kernel_size[0] // 2] * 2


def channels_backwards(network: Network) -> None:
    """Attention reads channels in the opposite order."""
    for module in every(network, ChannelConvolution1d):
        forward = module.forward
        runs(module, lambda x, forward=forward: forward(x.flip(1)))


def attention_twice(network: Network) -> None:
    """The body is weighted twice."""
    for unit in every(network, Unit):
        if unit.attention is not None:
            turned(unit.attention, torch.square)


def largest_not_mean(network: Network) -> None:
    """The largest value in place of the mean in the global pool."""
    for pool in every(network, GlobalPool2d):
        runs(pool, lambda x: x.amax(dim=(2, 3)))


def leaky(network: Network) -> None:
    """A leaky relu."""
    for relu in every(network, nn.ReLU):
        runs(relu, lambda x: F.leaky_relu(x, 0.01))


def other_momentum(network: Network) -> None:
    """Momentum 0.9 in PyTorch's sense."""
    for norm in every(network, nn.BatchNorm2d):
        norm.momentum = 0.9


def no_statistics(network: Network) -> None:
    """Batch statistics in evaluation too."""
    for norm in every(network, nn.BatchNorm2d):
        runs(norm, lambda x, norm=norm: F.batch_norm(x, None, None, norm.weight, norm.bias, training=True))


def one_norm_a_path(network: Network) -> None:
    """A norm in every path before the sum."""
    for unit in every(network, Unit):
        for body in cast("Iterator[nn.Module]", unit.bodies.children()):
            norm = nn.BatchNorm2d(unit.merged.get_submodule("norm").num_features).double()  # type: ignore[arg-type]
            body.add_module("norm3", norm)


def bodies_backwards(network: Network) -> None:
    """Paths concatenated backwards."""
    for unit in every(network, Unit):
        bodies = list(unit.bodies.children())
        runs(unit, lambda x, unit=unit, bodies=bodies: _unit(unit, x, bodies[::-1]))


def _unit(unit: Unit, x: Tensor, bodies: list[nn.Module]) -> Tensor:
    residual = unit.merged(torch.cat([body(x) for body in bodies], dim=1))
    return unit.after_sum(residual + cast("nn.Module", unit.shortcut)(x))


def untrained_shortcut(network: Network) -> None:
    """The shortcut passes no gradient."""
    for unit in every(network, Unit):
        shortcut = unit.shortcut
        if shortcut is not None:
            turned(shortcut, Tensor.detach)


def gate_turned(network: Network) -> None:
    """Gate and 1 - gate exchanged."""
    for unit in every(network, Unit):
        turned(cast("nn.Module", unit.gate), lambda gate: 1 - gate)


def streams_read_the_first(network: Network) -> None:
    """All streams read the first."""
    for unit in every(network, StreamsUnit):
        runs_streams(unit, lambda streams, unit=unit: StreamsUnit.run_streams(unit, (streams[0],) * len(streams)))


def one_projection_for_all(network: Network) -> None:
    """One projection for all streams."""
    for unit in every(network, StreamsUnit):
        first, *others = every(unit, Unit)
        for other in others:
            other.shortcut = first.shortcut


def activated_before_the_mean(network: Network) -> None:
    """A relu on the shortcuts before their mean."""
    for unit in every(network, StreamsUnit):
        for stream in every(unit, Unit):
            turned(cast("nn.Module", stream.shortcut), F.relu)


def always_dropping(network: Network) -> None:
    """Dropout in evaluation too."""
    for dropout in every(network, nn.Dropout):
        runs(dropout, lambda x, dropout=dropout: F.dropout(x, dropout.p, training=True))


def whole_channels_dropped(network: Network) -> None:
    """Dropout of whole channels."""
    for dropout in every(network, nn.Dropout):
        runs(dropout, lambda x, dropout=dropout: F.dropout2d(x, dropout.p, training=dropout.training))


def never_rescaled(network: Network) -> None:
    """Dropout that does not rescale."""
    for dropout in every(network, nn.Dropout):
        runs(dropout, lambda x, dropout=dropout: F.dropout(x, dropout.p, dropout.training) * (1 - dropout.p))


def biased(network: Network) -> None:
    """Convolutions with biases."""
    for conv in every(network, nn.Conv2d):
        conv.bias = nn.Parameter(torch.zeros(conv.out_channels, dtype=conv.weight.dtype))


def silent_last_norms(network: Network) -> None:
    """Last norms scale by 0."""
    for path, module in network.named_modules():
        if path.endswith("body.norm2"):
            nn.init.zeros_(cast("nn.BatchNorm2d", module).weight)


def by_inputs(network: Network) -> None:
    """Fan of the inputs in place of the outputs."""
    for conv in every(network, nn.Conv2d):
        nn.init.kaiming_normal_(conv.weight, mode="fan_in", nonlinearity="relu")


def by_outputs(network: Network) -> None:
    """Fan of the outputs in place of the inputs."""
    for conv in every(network, nn.Conv2d):
        nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")


def by_outputs_of_a_group(network: Network) -> None:
    """Fan of the outputs of one group."""
    for conv in every(network, nn.Conv2d):
        fan = conv.kernel_size[0] ** 2 * conv.out_channels // conv.groups
        nn.init.normal_(conv.weight, std=(2 / fan) ** 0.5)


def torch_defaults(network: Network) -> None:
    """PyTorch's defaults."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.reset_parameters()


def scales_of_one(network: Network) -> None:
    """Scales of 1 in place of U(0, 1)."""
    for norm in every(network, nn.BatchNorm2d):
        nn.init.ones_(norm.weight)


def closed_gates(network: Network) -> None:
    """Gates half open in place of their bias."""
    for unit in every(network, Unit):
        for conv in every(cast("nn.Module", unit.gate), nn.Conv2d):
            nn.init.zeros_(cast("Tensor", conv.bias))


RESNET = "resnet:depth=14,base=4,shortcut=A"
FORM_A = "resnext:depth=20,cardinality=4,width=16,base=8,form=a,shortcut=B"
FORM_B = "resnext:depth=20,cardinality=4,width=16,base=8,form=b,shortcut=B"
RESNEXT = "resnext:depth=20,cardinality=4,width=16,base=8,form=c,shortcut=B"
WIDE = "wrn-16-2:base=4,dropout=0.3"
GATED = "resnet:depth=14,base=4,shortcut=B,modified=exclusive-gate-b-1"
STREAMS = "dmrnet:depth=14,base=4,streams=2,join=merge,skip=mean"
CHANNELS = "eca-resnet:depth=14,base=4,setting=cifar"
SLICES = "res2net:depth=20,width=4,scale=4,setting=cifar,base=8"
SHAKEN = "shake-shake:depth=14,width=16,base=4"
IMAGENET = "resnet:depth=18,setting=imagenet,shortcut=C,base=16"

SLIPS: tuple[tuple[str, Slip], ...] = (
    *(
        (RESNET, slip)
        for slip in (
            zeros_in_front,
            other_pixels,
            padded_on_one_side,
            largest_not_mean,
            leaky,
            no_statistics,
            untrained_shortcut,
        )
    ),
    *((IMAGENET, slip) for slip in (unpadded_pool,)),
    *((WIDE, slip) for slip in (other_momentum, biased, always_dropping, whole_channels_dropped, never_rescaled)),
    *((FORM_A, slip) for slip in (one_norm_a_path,)),
    *((FORM_B, slip) for slip in (bodies_backwards,)),
    *((GATED, slip) for slip in (gate_turned,)),
    *((CHANNELS, slip) for slip in (channels_around, channels_backwards, attention_twice)),
    *((SLICES, slip) for slip in (zeros_not_averaged, slices_backwards)),
    *((SHAKEN, slip) for slip in (halves_exchanged, pixels_around)),
    *((STREAMS, slip) for slip in (streams_read_the_first, one_projection_for_all, activated_before_the_mean)),
)
"""Each base with what goes wrong in it: what its networks compute or learn."""

STARTS: tuple[tuple[str, Slip], ...] = (
    *((RESNET, slip) for slip in (silent_last_norms, by_inputs, torch_defaults)),
    *((WIDE, slip) for slip in (by_outputs, scales_of_one)),
    *((RESNEXT, slip) for slip in (by_outputs_of_a_group,)),
    *((GATED, slip) for slip in (closed_gates,)),
)
"""Each base with where its weights wrongly start."""
