"""Wrong networks, as in public repositories, and right ones, written with plain torch.

The docstring of each says what is wrong; `designs.mistakes` names the repositories.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """A convolution without bias."""
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)


class Plus(nn.Module):
    """x -> end(body(x) + shortcut(x))."""

    def __init__(self, body: nn.Module, shortcut: nn.Module | None, end: nn.Module) -> None:
        super().__init__()
        self.shortcut = shortcut or nn.Identity()  # registered first, so that the order of execution differs from ours
        self.body = body
        self.end = end

    def forward(self, x: Tensor) -> Tensor:
        """The sum."""
        shortcut = self.shortcut(x)
        return self.end(self.body(x) + shortcut)


def small(
    body: nn.Module, features: int, stem: nn.Module, classes: int = 10, end: nn.Module | None = None
) -> nn.Module:
    """A whole network for small images."""
    tail = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(features, classes)]
    return nn.Sequential(stem, body, end or nn.Identity(), *tail)


def post_units(units: int, projection: bool) -> tuple[nn.Sequential, int]:
    """Post-activated basic units of 16, 32 and 64 channels."""
    layers: list[nn.Module] = []
    inputs = 16
    for width, first in ((16, 1), (32, 2), (64, 2)):
        for stride in [first] + [1] * (units - 1):
            body = nn.Sequential(
                conv(inputs, width, stride=stride), nn.BatchNorm2d(width), nn.ReLU(inplace=True),
                conv(width, width), nn.BatchNorm2d(width),
            )  # fmt: skip
            shortcut: nn.Module | None = None
            if stride != 1 or inputs != width:
                shortcut = nn.Sequential(conv(inputs, width, 1, stride), nn.BatchNorm2d(width))
                if not projection:
                    shortcut = Padded(width, stride)
            layers.append(Plus(body, shortcut, nn.ReLU(inplace=True)))
            inputs = width
    return nn.Sequential(*layers), inputs


class Padded(nn.Module):
    """Every stride-th pixel, padded with zeros to `width` channels, half of them in front."""

    def __init__(self, width: int, stride: int, front: float = 0.5) -> None:
        super().__init__()
        self.width, self.stride, self.front = width, stride, front

    def forward(self, x: Tensor) -> Tensor:
        """The padded pixels."""
        extra = self.width - x.shape[1]
        before = int(extra * self.front)
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, before, extra - before))


def resnet_20_b() -> nn.Module:
    """Right as a ResNet-20 with projections."""
    body, features = post_units(3, projection=True)
    return small(body, features, nn.Sequential(conv(3, 16), nn.BatchNorm2d(16), nn.ReLU()))


def resnet_20_sides() -> nn.Module:
    """Right, with zeros on both sides."""
    body, features = post_units(3, projection=False)
    return small(body, features, nn.Sequential(conv(3, 16), nn.BatchNorm2d(16), nn.ReLU()))


def resnet_20_without_middle_relus() -> nn.Module:
    """No relu between the convolutions of any unit."""
    network = resnet_20_sides()
    for path, module in list(network.named_modules()):
        if path.endswith("body.2"):
            network.get_submodule(path.rpartition(".")[0]).register_module("2", nn.Identity())
            assert isinstance(module, nn.ReLU)
    return network


def resnet_20_without_last_relu() -> nn.Module:
    """No relu after the last sum."""
    network = resnet_20_sides()
    network.get_submodule("1.8").end = nn.Identity()
    return network


def resnet_20_without_one_shortcut() -> nn.Module:
    """The fifth unit has no shortcut."""
    network = resnet_20_sides()
    network.get_submodule("1.4").shortcut = Nothing()
    return network


class Nothing(nn.Module):
    """x -> 0."""

    def forward(self, x: Tensor) -> Tensor:
        """Zeros."""
        return torch.zeros_like(x)


def resnet_20_of_the_largest() -> nn.Module:
    """A global maximum instead of the mean."""
    network = resnet_20_sides()
    network.register_module("3", nn.AdaptiveMaxPool2d(1))
    return network


def resnet_20_with_eps(eps: float, where: str) -> nn.Module:
    """Another eps in the norms below a path."""
    network = resnet_20_sides()
    for path, module in network.named_modules():
        if isinstance(module, nn.BatchNorm2d) and path.startswith(where):
            module.eps = eps
    return network


def resnet_20_with_eps_everywhere() -> nn.Module:
    """Eps 1e-4 in every norm."""
    return resnet_20_with_eps(1e-4, "")


def resnet_20_with_eps_in_the_last_stage() -> nn.Module:
    """Eps 1e-3 in the norms of the last stage."""
    return nn.Sequential(resnet_20_with_eps(1e-3, "1.6"), nn.Identity())


class PreUnit(nn.Module):
    """A pre-activated unit with its mistakes as options."""

    def __init__(self, inputs: int, width: int, stride: int, *, raw: bool, bias: bool = False) -> None:
        super().__init__()
        self.raw, self.shares = raw, False
        self.drop: nn.Module = nn.Identity()
        self.drop_early: nn.Module = nn.Identity()
        self.bn1, self.conv1 = nn.BatchNorm2d(inputs), nn.Conv2d(inputs, width, 3, stride, 1, bias=bias)
        self.bn2, self.conv2 = nn.BatchNorm2d(width), nn.Conv2d(width, width, 3, 1, 1, bias=bias)
        self.project = nn.Conv2d(inputs, width, 1, stride, bias=bias) if inputs != width or stride != 1 else None

    def forward(self, x: Tensor) -> Tensor:
        """The sum."""
        active = F.relu(self.bn1(x))
        inner = self.conv2(self.drop(F.relu(self.bn2(self.drop_early(self.conv1(active))))))
        read = x if self.raw else active
        shortcut = self.project(read) if self.project is not None else active if self.shares else x
        return inner + shortcut


def pre_units(units: int, widths: tuple[int, int, int], *, raw: bool, bias: bool = False) -> nn.Sequential:
    """Pre-activated basic units behind a stem of 16."""
    layers: list[nn.Module] = []
    inputs = 16
    for stage, width in enumerate(widths):
        for index in range(units):
            layers.append(PreUnit(inputs, width, 2 if stage and not index else 1, raw=raw, bias=bias))
            inputs = width
    return nn.Sequential(*layers)


def preact_without_last_norm() -> nn.Module:
    """No norm and relu before the pool."""
    return small(pre_units(3, (16, 32, 64), raw=False), 64, conv(3, 16))


def wrn_raw_projection() -> nn.Module:
    """The projection of a wide ResNet reads x, not relu(norm(x))."""
    end = nn.Sequential(nn.BatchNorm2d(128), nn.ReLU())
    return small(pre_units(2, (32, 64, 128), raw=True), 128, conv(3, 16), end=end)


def wrn_biased() -> nn.Module:
    """A wide ResNet whose convolutions have biases."""
    end = nn.Sequential(nn.BatchNorm2d(128), nn.ReLU())
    return small(pre_units(2, (32, 64, 128), raw=False, bias=True), 128, conv(3, 16), end=end)


def wrn_right() -> nn.Module:
    """A right wide ResNet, WRN-16-2."""
    end = nn.Sequential(nn.BatchNorm2d(128), nn.ReLU())
    return small(pre_units(2, (32, 64, 128), raw=False), 128, conv(3, 16), end=end)


def wrn_shared() -> nn.Module:
    """Every shortcut of a wide ResNet reads relu(norm(x)), not only the projections."""
    network = wrn_right()
    for unit in network.modules():
        if isinstance(unit, PreUnit):
            unit.shares = True
    return network


def wrn_dropping(drop: nn.Module, *, early: bool = False) -> nn.Module:
    """A wide ResNet with dropout in its units, after the inner relu or, if early, after the first convolution."""
    network = wrn_right()
    for unit in network.modules():
        if isinstance(unit, PreUnit):
            unit.register_module("drop_early" if early else "drop", drop)
    return network


class Centred(nn.Module):
    """A network that changes its images in place."""

    def __init__(self) -> None:
        super().__init__()
        self.network = wrn_right()

    def forward(self, x: Tensor) -> Tensor:
        """The logits of the images minus 0.5."""
        return self.network(x.sub_(0.5))


def resnext(*, tied: bool, first_grouped: bool, kernel: int) -> nn.Module:
    """ResNeXt-29 2x16d with base 16: 2·C·d output channels, a grouped first 1x1, or neither."""
    cardinality, base = 2, 16
    layers: list[nn.Module] = []
    inputs = base
    for stage in range(3):
        inner = 2 * 4 * 2**stage
        outputs = 2 * inner if tied else 4 * base * 2**stage
        for index in range(3):
            stride = 2 if stage and not index else 1
            body = nn.Sequential(
                conv(inputs, inner, 1, groups=cardinality if first_grouped else 1), nn.BatchNorm2d(inner), nn.ReLU(),
                conv(inner, inner, 3, stride, groups=cardinality), nn.BatchNorm2d(inner), nn.ReLU(),
                conv(inner, outputs, 1), nn.BatchNorm2d(outputs),
            )  # fmt: skip
            shortcut = None
            if stride != 1 or inputs != outputs:
                shortcut = nn.Sequential(conv(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs))
            layers.append(Plus(body, shortcut, nn.ReLU()))
            inputs = outputs
    stem = nn.Sequential(conv(3, base, kernel), nn.BatchNorm2d(base), nn.ReLU())
    return small(nn.Sequential(*layers), inputs, stem)


def resnext_tied() -> nn.Module:
    """2·C·d output channels and a 1x1 stem."""
    return resnext(tied=True, first_grouped=False, kernel=1)


def resnext_first_grouped() -> nn.Module:
    """The first 1x1 is grouped, too."""
    return resnext(tied=False, first_grouped=True, kernel=3)


def resnext_right() -> nn.Module:
    """The right network."""
    return resnext(tied=False, first_grouped=False, kernel=3)


class Pyramid(nn.Module):
    """PyramidNet-20 with alpha 12, in one module that calls functions: widths rounded or floored, a relu or none."""

    def __init__(self, *, floored: bool = False, stem_relu: bool = False, sum_relu: bool = False) -> None:
        super().__init__()
        self.stem, self.stem_bn = conv(3, 16), nn.BatchNorm2d(16)
        self.stem_relu, self.sum_relu = stem_relu, sum_relu
        self.units = nn.ModuleList()
        inputs, exact = 16, 16.0
        for index in range(9):
            exact += 12 / 9
            width = int(exact + 1e-9) if floored else int(exact + 0.5)
            stride = 2 if index in (3, 6) else 1
            self.units.append(
                nn.ModuleList([
                    nn.BatchNorm2d(inputs), conv(inputs, width, stride=stride), nn.BatchNorm2d(width),
                    conv(width, width), nn.BatchNorm2d(width),
                ])
            )  # fmt: skip
            inputs = width
        self.last, self.fc = nn.BatchNorm2d(inputs), nn.Linear(inputs, 10)

    def forward(self, x: Tensor) -> Tensor:
        """The logits."""
        x = self.stem_bn(self.stem(x))
        x = F.relu(x) if self.stem_relu else x
        for index, unit in enumerate(self.units):
            norm, first, middle, second, last = unit.children()
            inner = last(second(F.relu(middle(first(norm(x))))))
            shortcut = F.avg_pool2d(x, 2) if index in (3, 6) else x
            zeros = torch.zeros_like(inner[:, : inner.shape[1] - shortcut.shape[1]])
            x = inner + torch.cat([shortcut, zeros], dim=1)
            x = F.relu(x) if self.sum_relu else x
        return self.fc(F.relu(self.last(x)).mean(dim=(2, 3)))


def pyramid_right() -> nn.Module:
    """The right network."""
    return Pyramid()


def pyramid_floored() -> nn.Module:
    """Widths rounded down."""
    return Pyramid(floored=True)


def pyramid_stem_relu() -> nn.Module:
    """A relu in the stem."""
    return Pyramid(stem_relu=True)


def pyramid_sum_relu() -> nn.Module:
    """A relu after every sum."""
    return Pyramid(sum_relu=True)


class NeedsWords(nn.Module):
    """A network whose constructor needs an argument."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.depth = depth


def half_used() -> nn.Module:
    """A right WRN-16-2 with an unused layer."""
    network = wrn_right()
    network.register_module("forgotten", nn.Module())
    network.get_submodule("forgotten").register_parameter("weight", nn.Parameter(torch.zeros(7)))
    network.forward = lambda x: nn.Sequential(*list(network.children())[:-1])(x)  # type: ignore[method-assign]
    return network


def with_softmax() -> nn.Module:
    """A right WRN-16-2 with a softmax at the end."""
    return nn.Sequential(wrn_right(), nn.LogSoftmax(1))


def with_momentum() -> nn.Module:
    """A right WRN-16-2 with another momentum in its norms."""
    network = wrn_right()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.9
    return network


class Scaled(nn.Module):
    """A right WRN-16-2 whose logits are multiplied by a parameter with the initial value 1."""

    def __init__(self) -> None:
        super().__init__()
        self.network, self.scale = wrn_right(), nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        """The scaled logits."""
        return self.scale * self.network(x)


def frozen() -> nn.Module:
    """A right WRN-16-2 whose first unit passes no gradient."""
    network = wrn_right()
    unit = network.get_submodule("1.0")
    forward = unit.forward
    unit.forward = lambda x: forward(x).detach()  # type: ignore[method-assign]
    return network
