"""The forward pass of each family as one straight line, written from the papers alone.

A net here is a function of its weights: `weights` is a state dict whose keys are roles (`stem.conv.weight`,
`stages.1.0.body.norm2.running_mean`, `stages.0.3.streams.1.shortcut.conv.weight`), `images` is (n, c, h, w), the logits
are (n, classes). Widths stand in the weights; wiring, kernels, strides and the number of units stand here.
`mode` says whether batch norm takes its statistics from the batch (train) or from the weights (eval).

Notation: c3(s) is a 3x3 convolution with the unit's stride, c1 a 1x1 one; all are bias-free and keep the map's size.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Mode = Literal["train", "eval"]
UnitKind = Literal["basic", "bottleneck"]
Shortcut = Literal["A", "B", "C", "plain"]
StridePlace = Literal["first", "3x3"]
Stem = Literal["cifar", "imagenet"]
Join = Literal["merge", "sum", "concat"]

CONVS_PER_UNIT: Mapping[UnitKind, int] = {"basic": 2, "bottleneck": 3}


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

    def classify(self, x: Tensor) -> Tensor:
        """Global average pool - fc."""
        return F.linear(x.mean(dim=(2, 3)), self.weights["head.linear.weight"], self.weights["head.linear.bias"])

    def units(self, blocks: tuple[int, ...]) -> Iterator[tuple["Layers", int]]:
        """Each unit with its stride: the first one of every stage but the first halves the map."""
        for stage, count in enumerate(blocks):
            for number in range(count):
                yield self.at(f"stages.{stage}.{number}"), 2 if stage > 0 and number == 0 else 1


def cifar_stem(net: Layers, images: Tensor) -> Tensor:
    """c3-BN-ReLU."""
    return net.norm_relu("stem.norm", net.conv("stem.conv", images, kernel=3))


def imagenet_stem(net: Layers, images: Tensor) -> Tensor:
    """c7(2)-BN-ReLU - max pool 3/2."""
    return halve(net.norm_relu("stem.norm", net.conv("stem.conv", images, kernel=7, stride=2)))


def halve(x: Tensor) -> Tensor:
    """Max pool 3x3, stride 2, pad 1."""
    return F.max_pool2d(x, 3, stride=2, padding=1)


def basic_body(body: Layers, x: Tensor, *, stride: int) -> Tensor:
    """c3(s)-BN-ReLU-c3-BN."""
    x = body.norm_relu("norm1", body.conv("conv1", x, kernel=3, stride=stride))
    return body.norm("norm2", body.conv("conv2", x, kernel=3))


def bottleneck_body(body: Layers, x: Tensor, *, stride: int, stride_place: StridePlace, groups: int = 1) -> Tensor:
    """c1-BN-ReLU-c3-BN-ReLU-c1-BN, the stride on the first c1 or on the c3."""
    first, middle = (stride, 1) if stride_place == "first" else (1, stride)
    x = body.norm_relu("norm1", body.conv("conv1", x, kernel=1, stride=first))
    x = body.norm_relu("norm2", body.conv("conv2", x, kernel=3, stride=middle, groups=groups))
    return body.norm("norm3", body.conv("conv3", x, kernel=1))


def post_body(body: Layers, x: Tensor, *, unit: UnitKind, stride: int, stride_place: StridePlace) -> Tensor:
    """c3-c3 (basic) or c1-c3-c1 (bottleneck), BN after each convolution."""
    if unit == "basic":
        return basic_body(body, x, stride=stride)
    return bottleneck_body(body, x, stride=stride, stride_place=stride_place)


def projection(layers: Layers, x: Tensor, *, stride: int) -> Tensor:
    """c1(s)-BN."""
    return layers.norm("shortcut.norm", layers.conv("shortcut.conv", x, kernel=1, stride=stride))


def widened(x: Tensor, width: int) -> Tensor:
    """[x, 0]: zero channels appended at the end."""
    return F.pad(x, (0, 0, 0, 0, 0, width - x.shape[1]))


def post_shortcut(layers: Layers, x: Tensor, *, body: Tensor, stride: int, shortcut: Shortcut) -> Tensor:
    """Term beside the body: nothing (plain), [x(s), 0] (A), c1(s)-BN where the shape changes (B), always (C)."""
    match shortcut:
        case "plain":
            return torch.zeros_like(body)
        case "A":
            return widened(x[:, :, ::stride, ::stride], body.shape[1])
        case "B":
            return x if x.shape == body.shape else projection(layers, x, stride=stride)
        case "C":
            return projection(layers, x, stride=stride)


def resnet_cifar(
    weights: Mapping[str, Tensor],
    images: Tensor,
    *,
    depth: int,
    unit: UnitKind,
    shortcut: Shortcut,
    mode: Mode,
    eps: float = 1e-5,
) -> Tensor:
    """ReLU(shortcut(x) + body(x)), n units in each of 3 stages; depth 6n+2, with bottlenecks 9n+2.

    Source: ResNet paper, 4.2; post-activation twins of the pre-activation paper; stride on the first c1.
    Differs: eps is 2e-5 for the twins of the merge-and-run nets.
    """
    net = Layers(weights=weights, mode=mode, eps=eps)
    n = (depth - 2) // (3 * CONVS_PER_UNIT[unit])
    x = cifar_stem(net, images)
    for layers, stride in net.units((n, n, n)):
        body = post_body(layers.at("body"), x, unit=unit, stride=stride, stride_place="first")
        x = F.relu(post_shortcut(layers, x, body=body, stride=stride, shortcut=shortcut) + body)
    return net.classify(x)


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
        body = post_body(layers.at("body"), x, unit=unit, stride=stride, stride_place=stride_place)
        x = F.relu(post_shortcut(layers, x, body=body, stride=stride, shortcut=shortcut) + body)
    return net.classify(x)


def preact_body(body: Layers, active: Tensor, *, unit: UnitKind, stride: int) -> Tensor:
    """c3(s)-BN-ReLU-c3 or c1(s)-BN-ReLU-c3-BN-ReLU-c1, fed by the unit's first BN-ReLU."""
    if unit == "basic":
        x = body.norm_relu("norm1", body.conv("conv1", active, kernel=3, stride=stride))
        return body.conv("conv2", x, kernel=3)
    x = body.norm_relu("norm1", body.conv("conv1", active, kernel=1, stride=stride))
    x = body.norm_relu("norm2", body.conv("conv2", x, kernel=3))
    return body.conv("conv3", x, kernel=1)


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
) -> Tensor:
    """Units shortcut + body(BN-ReLU(x)), bare c3 before the first unit, BN-ReLU after the last.

    The very first unit activates before the split, and so does every unit with a projection (a bare c1);
    all other shortcuts start from the raw x.

    Source: pre-activation paper, appendix; authors' code, resnet-pre-act.lua.
    """
    net = Layers(weights=weights, mode=mode)
    n = (depth - 2) // (3 * CONVS_PER_UNIT[unit])
    x = net.conv("stem.conv", images, kernel=3)
    for number, (layers, stride) in enumerate(net.units((n, n, n))):
        active = layers.norm_relu("first.norm", x)
        body = preact_body(layers.at("body"), active, unit=unit, stride=stride)
        if shortcut == "B" and x.shape != body.shape:
            x = bare_projection(layers, active, stride=stride) + body
        else:
            source = active if number == 0 else x
            x = widened(source[:, :, ::stride, ::stride], body.shape[1]) + body
    return net.classify(net.norm_relu("head.norm", x))


def preact_imagenet(
    weights: Mapping[str, Tensor],
    images: Tensor,
    *,
    blocks: tuple[int, ...],
    unit: UnitKind,
    mode: Mode,
) -> Tensor:
    """Units shortcut + body(BN-ReLU(x)) in 4 stages, BN-ReLU after the last unit.

    The stem activates, so unit 1 of stage 1 does not; unit 1 of the other stages activates before the split.

    Source: fb.resnet.torch, models/preresnet.lua; stride on the first c1 as in the authors' resnet-pre-act.lua.
    """
    net = Layers(weights=weights, mode=mode)
    x = imagenet_stem(net, images)
    for number, (layers, stride) in enumerate(net.units(blocks)):
        active = x if number == 0 else layers.norm_relu("first.norm", x)
        source = active if stride == 2 else x
        body = preact_body(layers.at("body"), active, unit=unit, stride=stride)
        x = (source if x.shape == body.shape else bare_projection(layers, source, stride=stride)) + body
    return net.classify(net.norm_relu("head.norm", x))


def wide_resnet(
    weights: Mapping[str, Tensor],
    images: Tensor,
    *,
    depth: int,
    kernels: tuple[int, ...] = (3, 3),
    mode: Mode,
) -> Tensor:
    """Units shortcut + body(BN-ReLU(x)), the body a chain of `kernels` with BN-ReLU between, no dropout.

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
        body = layers.conv("body.conv1", active, kernel=kernels[0], stride=stride)
        for number, kernel in enumerate(kernels[1:], start=1):
            body = layers.norm_relu(f"body.norm{number}", body)
            body = layers.conv(f"body.conv{number + 1}", body, kernel=kernel)
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
) -> Tensor:
    """ReLU(shortcut(x) + body(x)), the body c1 - c3(s) in groups - c1, shortcuts of type B.

    Source: ResNeXt paper, 3-4, Table 1, form (c); authors' code, models/resnext.lua.
    """
    net = Layers(weights=weights, mode=mode)
    x = cifar_stem(net, images) if stem == "cifar" else imagenet_stem(net, images)
    for layers, stride in net.units(blocks):
        body = bottleneck_body(layers.at("body"), x, stride=stride, stride_place="3x3", groups=groups)
        x = F.relu(post_shortcut(layers, x, body=body, stride=stride, shortcut="B") + body)
    return net.classify(x)


def pyramidnet(
    weights: Mapping[str, Tensor],
    images: Tensor,
    *,
    blocks: tuple[int, ...],
    unit: UnitKind,
    stem: Stem,
    mode: Mode,
) -> Tensor:
    """[pool(x), 0] + body(BN(x)), unit (d): no ReLU before the first convolution, BN after the last, bare sum.

    The CIFAR stem is c3-BN without ReLU; dropout before the fc is left out.

    Source: PyramidNet authors' code, addpyramidnet.lua and PyramidNet.py.
    """
    net = Layers(weights=weights, mode=mode)
    if stem == "cifar":
        x = net.norm("stem.norm", net.conv("stem.conv", images, kernel=3))
    else:
        x = imagenet_stem(net, images)
    for layers, stride in net.units(blocks):
        normed = layers.norm("first.norm", x)
        body = post_body(layers.at("body"), normed, unit=unit, stride=stride, stride_place="3x3")
        pooled = F.avg_pool2d(x, 2, stride=2, ceil_mode=True) if stride == 2 else x
        x = widened(pooled, body.shape[1]) + body
    return net.classify(net.norm_relu("head.norm", x))


def mean_shortcut(
    layers: Layers, streams: list[Tensor], *, body: Tensor, stride: int, change: Literal["project", "cut"]
) -> Tensor:
    """m, the mean of the streams; where the shape changes, of their own projections, or no shortcut at all (cut)."""
    if streams[0].shape == body.shape:
        return torch.stack(streams).mean(dim=0)
    if change == "cut":
        return torch.zeros_like(body)
    projected = [projection(layers.at(f"streams.{k}"), x, stride=stride) for k, x in enumerate(streams)]
    return torch.stack(projected).mean(dim=0)


def joined(merged: Tensor, bodies: list[Tensor], *, join: Join) -> Tensor:
    """ReLU(m + H1 + … + HK), ReLU((H1+m) + … + (HK+m)), or the streams ReLU(Hk+m) side by side."""
    match join:
        case "merge":
            return F.relu(merged + torch.stack(bodies).sum(dim=0))
        case "sum":
            return F.relu(torch.stack([body + merged for body in bodies]).sum(dim=0))
        case "concat":
            return torch.cat([F.relu(body + merged) for body in bodies], dim=1)


def merge_and_run(
    net: Layers,
    x: Tensor,
    *,
    blocks: tuple[int, ...],
    streams: int,
    join: Join,
    unit: UnitKind,
    change: Literal["project", "cut"],
) -> Tensor:
    """y_k = ReLU(H_k(x_k) + m) in every block, all streams starting from x; the last block's bodies are joined."""
    inputs, features = [x] * streams, x
    for layers, stride in net.units(blocks):
        bodies = [
            post_body(layers.at(f"streams.{k}.body"), x_k, unit=unit, stride=stride, stride_place="3x3")
            for k, x_k in enumerate(inputs)
        ]
        merged = mean_shortcut(layers, inputs, body=bodies[0], stride=stride, change=change)
        inputs = [F.relu(body + merged) for body in bodies]
        features = joined(merged, bodies, join=join)
    return features


def dmrnet(
    weights: Mapping[str, Tensor],
    images: Tensor,
    *,
    blocks: tuple[int, ...],
    streams: int,
    join: Join,
    unit: UnitKind,
    mode: Mode,
) -> Tensor:
    """Merge-and-run net on CIFAR: stem c3-BN-ReLU shared by the streams, projections c1(2)-BN per stream.

    Source: merge-and-run paper (arXiv:1611.07718); authors' code, network/cross.py; bottlenecks as in its ImageNet net.
    """
    net = Layers(weights=weights, mode=mode, eps=2e-5)
    x = cifar_stem(net, images)
    x = merge_and_run(net, x, blocks=blocks, streams=streams, join=join, unit=unit, change="project")
    return net.classify(x)


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
        x = merge_and_run(net, x, blocks=blocks, streams=2, join="sum", unit="bottleneck", change="project")
    else:
        x = halve(net.conv("stem.conv", images, kernel=7, stride=2))
        x = merge_and_run(net, x, blocks=blocks, streams=2, join="concat", unit="bottleneck", change="cut")
    return net.classify(x)


def dilnet(weights: Mapping[str, Tensor], images: Tensor, *, blocks: tuple[int, ...], mode: Mode) -> Tensor:
    """ReLU(shortcut(x) + H1(x) + H2(x)), one projection c1(2)-BN per transition.

    Source: merge-and-run paper (arXiv:1611.07718), inception-like net; authors' code.
    """
    net = Layers(weights=weights, mode=mode, eps=2e-5)
    x = cifar_stem(net, images)
    for layers, stride in net.units(blocks):
        first = basic_body(layers.at("bodies.0"), x, stride=stride)
        second = basic_body(layers.at("bodies.1"), x, stride=stride)
        x = F.relu(post_shortcut(layers, x, body=first, stride=stride, shortcut="B") + first + second)
    return net.classify(x)
