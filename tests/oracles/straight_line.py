"""The forward pass of each family as one straight line, written from the papers alone.

A net here is a function of its weights: `weights` is a state dict whose keys are roles (`stem.conv.weight`,
`stages.1.0.body.norm2.running_mean`, `stages.0.3.streams.1.shortcut.conv.weight`), `images` is (n, c, h, w), the logits
are (n, classes). Widths stand in the weights; wiring, kernels, strides and the number of units stand here.
`mode` says whether batch norm takes its statistics from the batch (train) or from the weights (eval).

Notation: c3(s) is a 3x3 convolution with the unit's stride, c1 a 1x1 one; all are bias-free and keep the map's size.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import repeat
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Mode = Literal["train", "eval"]
UnitKind = Literal["basic", "bottleneck", "single"]
Shortcut = Literal["A", "A-sides", "B", "C", "plain"]
StridePlace = Literal["first", "3x3"]
Stem = Literal["cifar", "imagenet"]
PostOrder = Literal["original", "BN after add", "ReLU before add", "ReLU-only pre-activation"]
PreOrder = Literal["a", "b", "c", "d"]
Wiring = Literal["paper", "fb", "projected"]
Change = Literal["project", "cut"]
Skip = Literal["mean", "identity", "swap", "projector"]
Join = Literal["merge", "sum", "concat", "logits"]

Factor = Tensor | float
EVEN, ONES = repeat((0.5, 0.5)), repeat((1.0, 1.0))
"""What bodies are multiplied by where nothing is drawn: forward, and their gradients."""

KERNELS: Mapping[UnitKind, tuple[int, ...]] = {"basic": (3, 3), "bottleneck": (1, 3, 1), "single": (3,)}


@dataclass(frozen=True, kw_only=True)
class Layers:
    """The layers below one path of a net, applied by role.

    Source: batch norm's eps is 1e-5, for merge-and-run nets and their twins 2e-5.
    """

    weights: Mapping[str, Tensor]
    mode: Mode
    eps: float = 1e-5
    path: str = ""

    def at(self, role: str) -> "Layers":
        """Layers one level down."""
        return replace(self, path=f"{self.path}{role}.")

    def conv(self, role: str, x: Tensor, *, kernel: int, stride: int = 1, groups: int = 1) -> Tensor:
        """Bias-free convolution, padded by kernel//2."""
        weight = self.weights[f"{self.path}{role}.weight"]
        assert weight.shape[2:] == (kernel, kernel), f"{self.path}{role} is no {kernel}x{kernel} convolution"
        return F.conv2d(x, weight, stride=stride, padding=kernel // 2, groups=groups)

    def norm(self, role: str, x: Tensor) -> Tensor:
        """Batch norm with the statistics of the batch (train) or of the weights (eval)."""
        gamma, beta = (self.weights[f"{self.path}{role}.{name}"] for name in ("weight", "bias"))
        if self.mode == "train":
            return F.batch_norm(x, None, None, gamma, beta, training=True, eps=self.eps)
        mean, variance = (self.weights[f"{self.path}{role}.{name}"] for name in ("running_mean", "running_var"))
        return F.batch_norm(x, mean, variance, gamma, beta, training=False, eps=self.eps)

    def norm_relu(self, role: str, x: Tensor) -> Tensor:
        """BN-ReLU."""
        return F.relu(self.norm(role, x))

    def gate(self, x: Tensor) -> Tensor:
        """Sigmoid(c1(x) + b)."""
        weight, bias = (self.weights[f"{self.path}gate.conv.{name}"] for name in ("weight", "bias"))
        return torch.sigmoid(F.conv2d(x, weight, bias))

    def excited(self, x: Tensor) -> Tensor:
        """Scale x per channel by sigmoid(fc(ReLU(fc(global average of x)))), the fc kept as c1 with biases."""
        means = x.mean(dim=(2, 3))
        for name, activate in (("conv", F.relu), ("conv2", torch.sigmoid)):
            weight, bias = (self.weights[f"{self.path}attention.{name}.{leaf}"] for leaf in ("weight", "bias"))
            means = activate(F.linear(means, weight.flatten(1), bias))
        return x * means[:, :, None, None]

    def attended(self, x: Tensor) -> Tensor:
        """Scale x per channel by sigmoid(w * global average of x), with w along the channels."""
        weight = self.weights[f"{self.path}attention.conv.weight"]
        means = F.conv1d(x.mean(dim=(2, 3))[:, None], weight, padding=weight.shape[2] // 2)
        return x * torch.sigmoid(means)[:, 0, :, None, None]

    def dropout(self, x: Tensor, rate: float) -> Tensor:
        """Dropout while training."""
        return F.dropout(x, rate, training=self.mode == "train")

    def classify(self, x: Tensor, head: str = "head") -> Tensor:
        """Global average pool - fc."""
        weight, bias = (self.weights[f"{head}.linear.{name}"] for name in ("weight", "bias"))
        return F.linear(x.mean(dim=(2, 3)), weight, bias)

    def units(self, blocks: tuple[int, ...]) -> Iterator[tuple["Layers", int]]:
        """Each unit with its stride: the first one of every stage but the first halves the map."""
        for stage, count in enumerate(blocks):
            for number in range(count):
                yield self.at(f"stages.{stage}.{number}"), 2 if stage > 0 and number == 0 else 1


def stages_of(depth: int, unit: UnitKind) -> tuple[int, int, int]:
    """3 stages of n units: depth 6n+2, of bottlenecks 9n+2, of single convolutions 3n+2."""
    n = (depth - 2) // (3 * len(KERNELS[unit]))
    return n, n, n


def cifar_stem(net: Layers, images: Tensor, stem: str = "stem") -> Tensor:
    """c3-BN-ReLU."""
    return net.norm_relu(f"{stem}.norm", net.conv(f"{stem}.conv", images, kernel=3))


def imagenet_stem(net: Layers, images: Tensor) -> Tensor:
    """c7(2)-BN-ReLU - max pool 3/2."""
    return halve(net.norm_relu("stem.norm", net.conv("stem.conv", images, kernel=7, stride=2)))


def halve(x: Tensor) -> Tensor:
    """Max pool 3x3, stride 2, pad 1."""
    return F.max_pool2d(x, 3, stride=2, padding=1)


def bare_body(
    body: Layers,
    x: Tensor,
    *,
    kernels: tuple[int, ...],
    stride: int,
    stride_place: StridePlace = "first",
    groups: int = 1,
    dropout: float = 0.0,
) -> Tensor:
    """Conv-BN-ReLU-…-conv without BN at its end; the stride on the first convolution or on the first 3x3.

    The 3x3 of a bottleneck may run in groups; dropout stands before every convolution but the first.
    """
    strided = 0 if stride_place == "first" else kernels.index(3)
    for number, kernel in enumerate(kernels):
        if number > 0:
            x = body.dropout(body.norm_relu(f"norm{number}", x), dropout)
        step = stride if number == strided else 1
        x = body.conv(f"conv{number + 1}", x, kernel=kernel, stride=step, groups=groups if kernel == 3 else 1)
    return x


def post_body(
    body: Layers,
    x: Tensor,
    *,
    kernels: tuple[int, ...],
    stride: int,
    stride_place: StridePlace = "first",
    groups: int = 1,
) -> Tensor:
    """c3-c3 (basic) or c1-c3-c1 (bottleneck), BN after each convolution."""
    x = bare_body(body, x, kernels=kernels, stride=stride, stride_place=stride_place, groups=groups)
    return body.norm(f"norm{len(kernels)}", x)


def projection(layers: Layers, x: Tensor, *, stride: int) -> Tensor:
    """c1(s)-BN."""
    return layers.norm("shortcut.norm", layers.conv("shortcut.conv", x, kernel=1, stride=stride))


def widened(x: Tensor, width: int) -> Tensor:
    """[x, 0]: zero channels appended at the end."""
    return F.pad(x, (0, 0, 0, 0, 0, width - x.shape[1]))


def widened_on_both_sides(x: Tensor, width: int) -> Tensor:
    """[0, x, 0]: half of the zero channels in front."""
    side = (width - x.shape[1]) // 2
    return F.pad(x, (0, 0, 0, 0, side, side))


def post_shortcut(layers: Layers, x: Tensor, *, body: Tensor, stride: int, shortcut: Shortcut) -> Tensor:
    """Term beside the body: nothing (plain), [x(s), 0] (A) or [0, x(s), 0], c1(s)-BN at new shapes (B), always (C)."""
    match shortcut:
        case "plain":
            return torch.zeros_like(body)
        case "A":
            return widened(x[:, :, ::stride, ::stride], body.shape[1])
        case "A-sides":
            return widened_on_both_sides(x[:, :, ::stride, ::stride], body.shape[1])
        case "B":
            return x if x.shape == body.shape else projection(layers, x, stride=stride)
        case "C":
            return projection(layers, x, stride=stride)


Sum = Callable[[Layers, Tensor, Tensor], Tensor]
"""What a unit makes of the shortcut's term s and of the body's H."""


def plain_sum(_layers: Layers, s: Tensor, h: Tensor) -> Tensor:
    """The sum s + H."""
    return s + h


def scaled(skip: float, branch: float) -> Sum:
    """skip·s + branch·H."""
    return lambda _layers, s, h: skip * s + branch * h


def exclusive_gate(layers: Layers, s: Tensor, h: Tensor) -> Tensor:
    """(1 - g)·s + g·H."""
    g = layers.gate(s)
    return (1 - g) * s + g * h


def shortcut_only_gate(layers: Layers, s: Tensor, h: Tensor) -> Tensor:
    """(1 - g)·s + H."""
    return (1 - layers.gate(s)) * s + h


def dropped_shortcut(rate: float) -> Sum:
    """dropout(s) + H."""
    return lambda layers, s, h: layers.dropout(s, rate) + h


def resnet_cifar(
    weights: Mapping[str, Tensor],
    images: Tensor,
    *,
    depth: int,
    shortcut: Shortcut,
    mode: Mode,
    unit: UnitKind = "basic",
    eps: float = 1e-5,
    order: PostOrder = "original",
    add: Sum = plain_sum,
) -> Tensor:
    """ReLU(shortcut(x) + body(x)) in 3 stages, or another order of the same operations.

    original: convBNReLU…convBN, add, ReLU. BN after add: convBNReLU…conv, add, BN, ReLU.
    ReLU before add: convBNReLU…convBNReLU, add. ReLU-only pre-activation: ReLU convBNReLU…convBN, add; one more ReLU
    after the last add.

    Source: ResNet paper, 4.2; post-activation twins of the pre-activation paper, its Tables 1 and 2; stride on the
    first convolution.
    Differs: eps is 2e-5 for the twins of the merge-and-run nets.
    """
    net = Layers(weights=weights, mode=mode, eps=eps)
    kernels = KERNELS[unit]
    x = cifar_stem(net, images)
    for layers, stride in net.units(stages_of(depth, unit)):
        body, last = layers.at("body"), f"norm{len(kernels)}"
        h = bare_body(body, F.relu(x) if order == "ReLU-only pre-activation" else x, kernels=kernels, stride=stride)
        s = post_shortcut(layers, x, body=h, stride=stride, shortcut=shortcut)
        match order:
            case "original":
                x = F.relu(add(layers, s, body.norm(last, h)))
            case "BN after add":
                x = layers.norm_relu("after_sum.norm", add(layers, s, h))
            case "ReLU before add":
                x = add(layers, s, body.norm_relu(last, h))
            case "ReLU-only pre-activation":
                x = add(layers, s, body.norm(last, h))
    return net.classify(F.relu(x) if order == "ReLU-only pre-activation" else x)


def resnet_imagenet(
    weights: Mapping[str, Tensor],
    images: Tensor,
    *,
    blocks: tuple[int, ...],
    unit: UnitKind,
    shortcut: Shortcut,
    stride_place: StridePlace,
    mode: Mode,
) -> Tensor:
    """ReLU(shortcut(x) + body(x)) in 4 stages.

    Source: ResNet paper, Table 1; stride place "first" as in the authors' Caffe models, "3x3" as in fb.resnet.torch
    and the Wide ResNets on ImageNet, which are this net with other widths.
    """
    net = Layers(weights=weights, mode=mode)
    x = imagenet_stem(net, images)
    for layers, stride in net.units(blocks):
        body = post_body(layers.at("body"), x, kernels=KERNELS[unit], stride=stride, stride_place=stride_place)
        x = F.relu(post_shortcut(layers, x, body=body, stride=stride, shortcut=shortcut) + body)
    return net.classify(x)


def tweaked_resnet(
    weights: Mapping[str, Tensor],
    images: Tensor,
    *,
    blocks: tuple[int, ...],
    unit: UnitKind,
    tweak: Literal["c", "d"],
    mode: Mode,
) -> Tensor:
    """A ResNet behind c3(2)-c3-c3, BN-ReLU after each, and a max pool; D projects by a mean of 2x2 and a c1 without s.

    Source: bag of tricks (arXiv:1812.01187), section 4, Fig. 2.
    """
    net = Layers(weights=weights, mode=mode)
    x = images
    for end, stride in (("", 2), ("2", 1), ("3", 1)):
        x = net.norm_relu(f"stem.norm{end}", net.conv(f"stem.conv{end}", x, kernel=3, stride=stride))
    x = halve(x)
    for layers, stride in net.units(blocks):
        body = post_body(layers.at("body"), x, kernels=KERNELS[unit], stride=stride, stride_place="3x3")
        if tweak == "d" and stride == 2:
            s = projection(layers, F.avg_pool2d(x, 2, stride=2), stride=1)
        else:
            s = post_shortcut(layers, x, body=body, stride=stride, shortcut="B")
        x = F.relu(s + body)
    return net.classify(x)


def se_resnet(
    weights: Mapping[str, Tensor],
    images: Tensor,
    *,
    blocks: tuple[int, ...],
    unit: UnitKind,
    stem: Stem,
    mode: Mode,
    groups: int = 1,
    stride_place: StridePlace = "first",
) -> Tensor:
    """ReLU(shortcut(x) + excited(body(x))), shortcuts of type B; in groups it is an SE-ResNeXt.

    Source: squeeze and excitation (arXiv:1709.01507), section 3, Fig. 3.
    """
    net = Layers(weights=weights, mode=mode)
    x = cifar_stem(net, images) if stem == "cifar" else imagenet_stem(net, images)
    for layers, stride in net.units(blocks):
        body = layers.excited(
            post_body(
                layers.at("body"), x, kernels=KERNELS[unit], stride=stride, stride_place=stride_place, groups=groups
            )
        )
        x = F.relu(post_shortcut(layers, x, body=body, stride=stride, shortcut="B") + body)
    return net.classify(x)


def eca_resnet(
    weights: Mapping[str, Tensor], images: Tensor, *, blocks: tuple[int, ...], unit: UnitKind, stem: Stem, mode: Mode
) -> Tensor:
    """ReLU(shortcut(x) + attended(body(x))), shortcuts of type B, strides on the 3x3.

    Source: ECA paper (arXiv:1910.03151), section 3, Fig. 2.
    """
    net = Layers(weights=weights, mode=mode)
    x = cifar_stem(net, images) if stem == "cifar" else imagenet_stem(net, images)
    for layers, stride in net.units(blocks):
        body = post_body(layers.at("body"), x, kernels=KERNELS[unit], stride=stride, stride_place="3x3")
        assert layers.weights[f"{layers.path}attention.conv.weight"].shape[2] == (5 if body.shape[1] >= 128 else 3)
        x = F.relu(post_shortcut(layers, x, body=body, stride=stride, shortcut="B") + layers.attended(body))
    return net.classify(x)


def regnet(
    weights: Mapping[str, Tensor], images: Tensor, *, blocks: tuple[int, ...], group: int, excited: bool, mode: Mode
) -> Tensor:
    """ReLU(shortcut(x) + body(x)): c1-c3(s)-c1 with groups of `group` channels, stem c3(2); every stage halves the map.

    In RegNetY the output of the c3's ReLU is weighted before the last c1. A c3 narrower than a group has one group.

    Source: RegNet paper (arXiv:2003.13678), section 3.2 and Fig. 4.
    """
    net = Layers(weights=weights, mode=mode)
    x = net.norm_relu("stem.norm", net.conv("stem.conv", images, kernel=3, stride=2))
    for number, (layers, later) in enumerate(net.units(blocks)):
        stride = 2 if number == 0 else later
        body = layers.at("body")
        h = body.norm_relu("norm1", body.conv("conv1", x, kernel=1))
        groups = max(h.shape[1] // group, 1)
        h = body.norm_relu("norm2", body.conv("conv2", h, kernel=3, stride=stride, groups=groups))
        if excited:
            h = layers.norm("merged.norm", layers.conv("merged.conv", layers.excited(h), kernel=1))
        else:
            h = body.norm("norm3", body.conv("conv3", h, kernel=1))
        x = F.relu(post_shortcut(layers, x, body=h, stride=stride, shortcut="B") + h)
    return net.classify(x)


def res2net(
    weights: Mapping[str, Tensor], images: Tensor, *, blocks: tuple[int, ...], stem: Stem, scale: int, mode: Mode
) -> Tensor:
    """ReLU(shortcut(x) + body(x)): c1, then the channels in `scale` slices, then c1 of all; BN behind each, ReLU too.

    Slice k of all but the last has a c3(s) of x_k + y_(k-1), in the first unit of a stage of x_k alone; there the last
    slice is the mean of 3x3 with the stride, over zeros too, and elsewhere itself.

    Source: Res2Net paper (arXiv:1904.01169), section 3.1; authors' res2net.py, units of the kinds stage and normal.
    """
    net = Layers(weights=weights, mode=mode)
    x = cifar_stem(net, images) if stem == "cifar" else imagenet_stem(net, images)
    firsts = {sum(blocks[:stage]) for stage in range(len(blocks))}
    for number, (layers, stride) in enumerate(net.units(blocks)):
        *parts, last = layers.norm_relu("first.norm", layers.conv("first.conv", x, kernel=1)).chunk(scale, dim=1)
        y: list[Tensor] = []
        for k, part in enumerate(parts):
            alone = number in firsts or k == 0
            body = layers.at(f"bodies.{k}")
            source = part if alone else part + y[k - 1]
            y.append(body.norm_relu("norm1", body.conv("conv1", source, kernel=3, stride=stride)))
        kept = F.avg_pool2d(F.pad(last, (1, 1, 1, 1)), 3, stride=stride) if number in firsts else last
        h = layers.norm("merged.norm", layers.conv("merged.conv", torch.cat([*y, kept], dim=1), kernel=1))
        x = F.relu(post_shortcut(layers, x, body=h, stride=stride, shortcut="B") + h)
    return net.classify(x)


def shifted_shortcut(layers: Layers, active: Tensor, *, stride: int) -> Tensor:
    """BN of [c1 of every stride-th pixel, c1 of every stride-th pixel of the map moved down and right by one pixel]."""
    one, other = layers.weights[f"{layers.path}shortcut.conv.weight"].chunk(2)
    moved = torch.zeros_like(active)
    moved[:, :, 1:, 1:] = active[:, :, :-1, :-1]
    flows = [F.conv2d(maps[:, :, ::stride, ::stride], c1) for maps, c1 in ((active, one), (moved, other))]
    return layers.norm("shortcut.norm", torch.cat(flows, dim=1))


def shaken(value: Tensor, forward: Factor, backward: Factor) -> Tensor:
    """forward·value, which a gradient g passes as backward·g."""
    return Shaken.apply(value, forward, backward)


class Shaken(torch.autograd.Function):
    """A product whose gradient has a factor of its own."""

    @staticmethod
    def forward(*args: Any, **_: Any) -> Any:  # noqa: ANN401 - torch's own signature
        """The product."""
        ctx, value, forward, ctx.factor = args
        return value * forward

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:  # noqa: ANN401 - torch's own signature
        """The product with the other factor."""
        return grad_outputs[0] * ctx.factor, None, None


def shake_shake(
    weights: Mapping[str, Tensor],
    images: Tensor,
    *,
    depth: int,
    mode: Mode,
    draws: Iterator[tuple[Factor, Factor]] = EVEN,
) -> Tensor:
    """Units shortcut + a·body_1(x) + (1 - a)·body_2(x), in gradients b and 1 - b; a body is ReLU-c3(s)-BN-ReLU-c3-BN.

    `draws` are a and b of each unit. A shortcut is x, or where the width changes the BN of two c1 of ReLU(x). The stem
    has a BN alone; a ReLU follows the last unit.

    Source: Shake-Shake paper (arXiv:1705.07485), section 2; author's shakeshake.lua and shakeshakeblock.lua.
    """
    net = Layers(weights=weights, mode=mode)
    x = net.norm("stem.norm", net.conv("stem.conv", images, kernel=3))
    for layers, stride in net.units(stages_of(depth, "basic")):
        a, b = next(draws)
        active = F.relu(x)
        one, other = (
            post_body(layers.at(f"bodies.{k}"), active, kernels=(3, 3), stride=stride, stride_place="first")
            for k in range(2)
        )
        resized = one.shape[1] != x.shape[1]
        shortcut = shifted_shortcut(layers, active, stride=stride) if resized else x
        x = shortcut + shaken(one, a, b) + shaken(other, 1 - a, 1 - b)
    return net.classify(F.relu(x))


def pre_activated(layers: Layers, x: Tensor, order: PreOrder) -> Tensor:
    """BN-ReLU (units a, c) or BN alone (b, d)."""
    return layers.norm_relu("first.norm", x) if order in ("a", "c") else layers.norm("first.norm", x)


def pre_body(
    body: Layers,
    active: Tensor,
    *,
    unit: UnitKind,
    stride: int,
    order: PreOrder = "a",
    stride_place: StridePlace = "first",
) -> Tensor:
    """Conv-BN-ReLU-…-conv fed by the unit's first operations, and a BN behind it in units c and d.

    Source: PyramidNet paper: (a) the pre-activation unit, (b) without its first ReLU, (c) with a last BN, (d) both.
    """
    make = post_body if order in ("c", "d") else bare_body
    return make(body, active, kernels=KERNELS[unit], stride=stride, stride_place=stride_place)


def bare_projection(layers: Layers, active: Tensor, *, stride: int) -> Tensor:
    """c1(s) without BN."""
    return layers.conv("shortcut.conv", active, kernel=1, stride=stride)


def preact_cifar(
    weights: Mapping[str, Tensor],
    images: Tensor,
    *,
    depth: int,
    unit: UnitKind,
    shortcut: Literal["A", "B"],
    mode: Mode,
    wiring: Wiring = "paper",
    order: PreOrder = "a",
) -> Tensor:
    """Units shortcut + body(BN-ReLU(x)), bare c3 before the first unit, BN-ReLU after the last.

    paper: the very first unit activates before the split, and so does every unit with a projection (a bare c1).
    fb: the first unit of every stage does. projected: the units with a projection alone.
    All other shortcuts start from the raw x.

    Source: pre-activation paper, appendix; authors' code, resnet-pre-act.lua; fb.resnet.torch, preresnet.lua.
    """
    net = Layers(weights=weights, mode=mode)
    blocks = stages_of(depth, unit)
    x = net.conv("stem.conv", images, kernel=3)
    for number, (layers, stride) in enumerate(net.units(blocks)):
        active = pre_activated(layers, x, order)
        body = pre_body(layers.at("body"), active, unit=unit, stride=stride, order=order)
        projects = shortcut == "B" and x.shape != body.shape
        shared = {
            "paper": number == 0 or projects,
            "fb": number % blocks[0] == 0,
            "projected": projects,
        }
        source = active if shared[wiring] else x
        if projects:
            x = bare_projection(layers, source, stride=stride) + body
        else:
            x = widened(source[:, :, ::stride, ::stride], body.shape[1]) + body
    return net.classify(net.norm_relu("head.norm", x))


def preact_imagenet(
    weights: Mapping[str, Tensor],
    images: Tensor,
    *,
    blocks: tuple[int, ...],
    unit: UnitKind,
    mode: Mode,
    wiring: Literal["fb", "projected"] = "fb",
) -> Tensor:
    """Units shortcut + body(BN-ReLU(x)) in 4 stages behind an activated stem, BN-ReLU after the last unit.

    fb: unit 1 of stage 1 has no activation of its own; unit 1 of the other stages activates before the split.
    projected: every unit has its own activation, shared wherever there is a projection.

    Source: fb.resnet.torch, models/preresnet.lua; osmr/imgclsmob; stride on the first c1 as in the authors'
    resnet-pre-act.lua.
    """
    net = Layers(weights=weights, mode=mode)
    x = imagenet_stem(net, images)
    for number, (layers, stride) in enumerate(net.units(blocks)):
        active = x if number == 0 and wiring == "fb" else layers.norm_relu("first.norm", x)
        body = pre_body(layers.at("body"), active, unit=unit, stride=stride)
        shared = stride == 2 if wiring == "fb" else x.shape != body.shape
        source = active if shared else x
        x = (source if x.shape == body.shape else bare_projection(layers, source, stride=stride)) + body
    return net.classify(net.norm_relu("head.norm", x))


def wide_resnet(
    weights: Mapping[str, Tensor],
    images: Tensor,
    *,
    depth: int,
    kernels: tuple[int, ...] = (3, 3),
    dropout: float = 0.0,
    mode: Mode,
) -> Tensor:
    """Units shortcut + body(BN-ReLU(x)), the body a chain of `kernels` with BN-ReLU and dropout between.

    N units per stage from depth = 6N+4 for every block type; with l convolutions 3x3 per unit, from depth = 3lN+4.
    A unit that changes the channels activates before the split and projects by a bare c1; others keep the raw x.

    Source: Wide ResNet paper, 2 and Tables 1-3; authors' code, models/wide-resnet.lua.
    """
    net = Layers(weights=weights, mode=mode)
    counted = len(kernels) if set(kernels) == {3} else 2
    n = (depth - 4) // (3 * counted)
    x = net.conv("stem.conv", images, kernel=3)
    for layers, stride in net.units((n, n, n)):
        active = layers.norm_relu("first.norm", x)
        body = bare_body(layers.at("body"), active, kernels=kernels, stride=stride, dropout=dropout)
        x = (x if x.shape == body.shape else bare_projection(layers, active, stride=stride)) + body
    return net.classify(net.norm_relu("head.norm", x))


def resnext(
    weights: Mapping[str, Tensor],
    images: Tensor,
    *,
    blocks: tuple[int, ...],
    groups: int,
    stem: Stem,
    mode: Mode,
    form: Literal["a", "b", "c"] = "c",
    shortcut: Literal["B", "plain"] = "B",
) -> Tensor:
    """ReLU(shortcut(x) + body(x)), the body in one of three forms, shortcuts of type B or none at all.

    a: sum of C bottlenecks, then BN. b: C chains c1-c3(s) side by side, then one c1-BN. c: c1 - c3(s) in groups - c1.

    Source: ResNeXt paper, 3-5, Table 1, Fig. 3; authors' code, models/resnext.lua.
    """
    net = Layers(weights=weights, mode=mode)
    x = cifar_stem(net, images) if stem == "cifar" else imagenet_stem(net, images)
    for layers, stride in net.units(blocks):
        paths = [layers.at(f"bodies.{k}") for k in range(groups)]
        match form:
            case "a":
                chains = [bare_body(path, x, kernels=(1, 3, 1), stride=stride, stride_place="3x3") for path in paths]
                body = layers.norm("merged.norm", torch.stack(chains).sum(dim=0))
            case "b":
                chains = [
                    F.relu(post_body(path, x, kernels=(1, 3), stride=stride, stride_place="3x3")) for path in paths
                ]
                body = layers.norm("merged.norm", layers.conv("merged.conv", torch.cat(chains, dim=1), kernel=1))
            case "c":
                body = post_body(
                    layers.at("body"), x, kernels=(1, 3, 1), stride=stride, stride_place="3x3", groups=groups
                )
        x = F.relu(post_shortcut(layers, x, body=body, stride=stride, shortcut=shortcut) + body)
    return net.classify(x)


def pyramidnet(
    weights: Mapping[str, Tensor],
    images: Tensor,
    *,
    blocks: tuple[int, ...],
    unit: UnitKind,
    stem: Stem,
    mode: Mode,
    order: PreOrder = "d",
    shortcut: Literal["zeros", "projection", "projection-strided"] = "zeros",
    factors: Iterator[tuple[Factor, Factor]] = ONES,
) -> Tensor:
    """[pool(x), 0] + body(BN(x)): no ReLU before the first convolution, BN after the last (unit d), bare sum.

    `factors` are those of the body in each unit and of its gradient: ShakeDrop's b + a - b·a (arXiv:1802.02375).

    projection: c1(s)-BN of x wherever the shape changes; projection-strided: where the map halves, zeros elsewhere.
    The CIFAR stem is c3-BN without ReLU; dropout before the fc is left out.

    Source: PyramidNet paper; authors' code, addpyramidnet.lua and PyramidNet.py.
    """
    net = Layers(weights=weights, mode=mode)
    if stem == "cifar":
        x = net.norm("stem.norm", net.conv("stem.conv", images, kernel=3))
    else:
        x = imagenet_stem(net, images)
    for layers, stride in net.units(blocks):
        active = pre_activated(layers, x, order)
        body = pre_body(layers.at("body"), active, unit=unit, stride=stride, order=order, stride_place="3x3")
        body = shaken(body, *next(factors))
        changed = {
            "zeros": False,
            "projection": x.shape != body.shape,
            "projection-strided": stride == 2,
        }
        if changed[shortcut]:
            x = projection(layers, x, stride=stride) + body
        else:
            pooled = F.avg_pool2d(x, 2, stride=2, ceil_mode=True) if stride == 2 else x
            x = widened(pooled, body.shape[1]) + body
    return net.classify(net.norm_relu("head.norm", x))


def added(
    layers: Layers, streams: list[Tensor], *, body: Tensor, stride: int, change: Change, skip: Skip
) -> list[Tensor]:
    """What each stream adds to its body, made of the streams' shortcuts s1, …, sK.

    mean: m = (s1 + … + sK)/K to all; identity: sk; swap: s(k+1), and s1 to the last; projector: a part of P·[s1 … sK].
    Where the shape changes the shortcuts are each stream's own projection, or nothing at all (cut).
    """
    count = len(streams)
    if streams[0].shape == body.shape:
        shortcuts = streams
    elif change == "cut":
        shortcuts = [torch.zeros_like(body)] * count
    else:
        shortcuts = [projection(layers.at(f"streams.{k}"), x, stride=stride) for k, x in enumerate(streams)]
    match skip:
        case "mean":
            return [torch.stack(shortcuts).mean(dim=0)] * count
        case "identity":
            return shortcuts
        case "swap":
            return [*shortcuts[1:], shortcuts[0]]
        case "projector":
            matrix = layers.weights[f"{layers.path}projector.matrix"]
            mixed = torch.einsum("ab,nbhw->nahw", matrix, torch.cat(shortcuts, dim=1))
            return list(mixed.chunk(count, dim=1))


def classified(net: Layers, terms: list[Tensor], bodies: list[Tensor], *, join: Join) -> Tensor:
    """The logits of the last block's terms t1, …, tK and bodies H1, …, HK.

    merge: fc of ReLU(mean of t + H1 + … + HK); sum: of ReLU((H1+t1) + … + (HK+tK)); concat: of all ReLU(Hk+tk) side by
    side; logits: the mean of one fc for each ReLU(Hk+tk).
    """
    ends = [body + term for body, term in zip(bodies, terms, strict=True)]
    match join:
        case "merge":
            return net.classify(F.relu(torch.stack(terms).mean(dim=0) + torch.stack(bodies).sum(dim=0)))
        case "sum":
            return net.classify(F.relu(torch.stack(ends).sum(dim=0)))
        case "concat":
            return net.classify(torch.cat([F.relu(end) for end in ends], dim=1))
        case "logits":
            return torch.stack([net.classify(F.relu(end), f"heads.{k}") for k, end in enumerate(ends)]).mean(dim=0)


def merge_and_run(
    net: Layers,
    inputs: list[Tensor],
    *,
    blocks: tuple[int, ...],
    join: Join,
    unit: UnitKind = "basic",
    change: Change = "project",
    skip: Skip = "mean",
) -> Tensor:
    """y_k = ReLU(H_k(x_k) + what the skip makes of the shortcuts) in every block, then the logits."""
    terms, bodies = inputs, inputs
    for layers, stride in net.units(blocks):
        bodies = [
            post_body(layers.at(f"streams.{k}.body"), x, kernels=KERNELS[unit], stride=stride, stride_place="3x3")
            for k, x in enumerate(inputs)
        ]
        terms = added(layers, inputs, body=bodies[0], stride=stride, change=change, skip=skip)
        inputs = [F.relu(body + term) for body, term in zip(bodies, terms, strict=True)]
    return classified(net, terms, bodies, join=join)


def dmrnet(
    weights: Mapping[str, Tensor],
    images: Tensor,
    *,
    blocks: tuple[int, ...],
    streams: int,
    join: Join,
    mode: Mode,
    skip: Skip = "mean",
    stems: Literal["shared", "separate"] = "shared",
) -> Tensor:
    """Merge-and-run net on CIFAR: stems c3-BN-ReLU, one for all streams or one each, projections c1(2)-BN per stream.

    Source: merge-and-run paper (arXiv:1611.07718), Table 5 for skips and ends; authors' code, network/cross.py.
    """
    net = Layers(weights=weights, mode=mode, eps=2e-5)
    if stems == "shared":
        inputs = [cifar_stem(net, images)] * streams
    else:
        inputs = [cifar_stem(net, images, f"stems.{k}") for k in range(streams)]
    return merge_and_run(net, inputs, blocks=blocks, join=join, skip=skip)


def dmrnet_imagenet(
    weights: Mapping[str, Tensor],
    images: Tensor,
    *,
    blocks: tuple[int, ...],
    version: Literal["v2", "ijcai"],
    mode: Mode,
) -> Tensor:
    """Two streams of bottlenecks with the stride on the c3.

    v2: stem c7(2)-BN-ReLU - max pool, projections wherever the shape changes, join sum.
    ijcai: stem c7(2) - max pool, no shortcut where the channels change, join concat.

    Source: merge-and-run paper, v2 Table 4 and IJCAI; authors' code, symbol_cross.py, first commit and later file.
    Differs: the first commit's max pool has pad 0; ours has the later file's pad 1, which gives maps of 56x56.
    """
    net = Layers(weights=weights, mode=mode, eps=2e-5)
    if version == "v2":
        x = imagenet_stem(net, images)
        return merge_and_run(net, [x, x], blocks=blocks, join="sum", unit="bottleneck")
    x = halve(net.conv("stem.conv", images, kernel=7, stride=2))
    return merge_and_run(net, [x, x], blocks=blocks, join="concat", unit="bottleneck", change="cut")


def dilnet(weights: Mapping[str, Tensor], images: Tensor, *, blocks: tuple[int, ...], mode: Mode) -> Tensor:
    """ReLU(shortcut(x) + H1(x) + H2(x)), one projection c1(2)-BN per transition.

    Source: merge-and-run paper (arXiv:1611.07718), inception-like net; authors' code.
    """
    net = Layers(weights=weights, mode=mode, eps=2e-5)
    x = cifar_stem(net, images)
    for layers, stride in net.units(blocks):
        first, second = (
            post_body(layers.at(f"bodies.{k}"), x, kernels=KERNELS["basic"], stride=stride) for k in (0, 1)
        )
        x = F.relu(post_shortcut(layers, x, body=first, stride=stride, shortcut="B") + first + second)
    return net.classify(x)


def fused(weights: Mapping[str, Tensor], images: Tensor, *, depth: int, blocks: Literal[3, 6], mode: Mode) -> Tensor:
    """A plain net of depth 2L+2 cut into 3 or 6 residual blocks of 2L/3 or L/3 convolutions, projections c1(2)-BN.

    Source: merge-and-run paper (arXiv:1611.07718), Fig. 6.
    """
    net = Layers(weights=weights, mode=mode, eps=2e-5)
    kernels = (3,) * ((depth - 2) // blocks)
    x = cifar_stem(net, images)
    for layers, stride in net.units((blocks // 3,) * 3):
        body = post_body(layers.at("body"), x, kernels=kernels, stride=stride)
        x = F.relu(post_shortcut(layers, x, body=body, stride=stride, shortcut="B") + body)
    return net.classify(x)
