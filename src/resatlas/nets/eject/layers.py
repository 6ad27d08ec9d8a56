"""The operations of a network as the text of torch modules and functions."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import assert_never

from resatlas.arch.ops import (
    AvgPool,
    Convolution,
    Dropout,
    GlobalPool,
    Linear,
    MaxPool,
    Norm,
    Op,
    Relu,
    Scale,
    Sigmoid,
    Subsample,
    ZeroChannels,
)
from resatlas.arch.plan import Chain, Plan, layers
from resatlas.nets.eject.writing import factor, function, number


@dataclass(frozen=True, slots=True)
class Spelling:
    """How a network writes its operations: what all of them share is a name or goes without saying."""

    kernels: tuple[int, ...]
    groups: tuple[int, ...]
    epsilons: tuple[float, ...]

    def chain(self, chain: Chain, given: str, convs: Iterable[tuple[str, str]] = ()) -> Iterator[str]:
        """role=module, …: `given` are the channels that come in, `convs` the width and stride of each convolution."""
        widths = iter(convs)
        for layer in chain:
            out, stride = next(widths) if isinstance(layer.op, Convolution) else (given, "1")
            yield f"{layer.role}={self.module(layer.op, given, out, stride)}"
            if isinstance(layer.op, GlobalPool):
                yield "flatten=nn.Flatten()"
            given = out

    def module(self, op: Op, given: str, out: str, stride: str) -> str:
        """The module of one operation."""
        match op:
            case Convolution():
                return self._conv(op, given, out, stride)
            case Norm(eps=eps):
                name = "EPS" if len(self.epsilons) == 1 else number(eps)
                return f"nn.BatchNorm2d({out})" if eps == Norm().eps else f"nn.BatchNorm2d({out}, eps={name})"
            case Relu():
                return "nn.ReLU()"
            case Sigmoid():
                return "nn.Sigmoid()"
            case Scale(factor=share):
                return f"Scale({float(share)})"
            case Dropout(rate=rate):
                return f"nn.Dropout({rate})"
            case MaxPool(kernel=kernel, stride=step):
                return f"nn.MaxPool2d({kernel}, stride={step}, padding={kernel // 2})"
            case GlobalPool():
                return "nn.AdaptiveAvgPool2d(1)"
            case Linear():
                return f"nn.Linear({given}, CLASSES)"
            case AvgPool() | Subsample() | ZeroChannels():
                raise TypeError(f"{op} is part of a shortcut of zeros")
            case _:
                assert_never(op)

    def _conv(self, op: Convolution, given: str, out: str, stride: str) -> str:
        if op.bias is not None:
            return f"nn.Conv2d({given}, {out}, {op.kernel})"
        several = len(self.kernels) > 1
        arguments = [given, out]
        if several:
            arguments.append(f"kernel={op.kernel}")
        if stride != "1":
            arguments.append(f"stride={stride}")
        if op.groups > 1:
            arguments.append(f"groups={'GROUPS' if len(self.groups) == 1 else op.groups}")
        return f"{'conv' if several else f'conv{op.kernel}x{op.kernel}'}({', '.join(arguments)})"

    def conv_function(self) -> str:
        """The function that makes the convolutions, with the parameters that this network varies."""
        several = len(self.kernels) > 1
        kernel = "kernel" if several else str(self.kernels[0])
        name = "conv" if several else f"conv{kernel}x{kernel}"
        parameters = ["inputs: int", "width: int", *(["kernel: int"] if several else []), "stride: int = 1"]
        passed = ["inputs", "width", kernel, "stride=stride"]
        padding = "kernel // 2" if several else str(self.kernels[0] // 2)
        passed += [f"padding={padding}"] if padding != "0" else []
        if self.groups:
            parameters.append("groups: int = 1")
            passed.append("groups=groups")
        doc = "A convolution without bias that keeps the size of the map, but for its stride."
        body = f"return nn.Conv2d({', '.join([*passed, 'bias=False'])})"
        return function(f"{name}({', '.join(parameters)}) -> nn.Conv2d", doc, [body])


def spelling(plan: Plan) -> Spelling:
    """What the operations of a plan share."""
    ops = list(dict.fromkeys(layer.op for _, layer in layers(plan)))
    convs = [op for op in ops if isinstance(op, Convolution) and op.bias is None]
    return Spelling(
        kernels=tuple(sorted({conv.kernel for conv in convs})),
        groups=tuple(sorted({conv.groups for conv in convs} - {1})),
        epsilons=tuple(sorted({op.eps for op in ops if isinstance(op, Norm)})),
    )


def plain(chain: Chain) -> bool:
    """Whether functions do: nothing in the chain has a weight."""
    return all(isinstance(layer.op, Relu | Sigmoid | Scale | Dropout) for layer in chain)


def random(chain: Chain) -> bool:
    """Whether the chain draws random numbers while training."""
    return any(isinstance(layer.op, Dropout) for layer in chain)


def applied(chain: Chain, x: str) -> str:
    """The chain of an expression, by functions."""
    for layer in chain:
        match layer.op:
            case Relu():
                x = f"F.relu({x})"
            case Sigmoid():
                x = f"torch.sigmoid({x})"
            case Scale(factor=share):
                x = f"{float(share)} * {factor(x)}"
            case Dropout(rate=rate):
                x = f"F.dropout({x}, {rate}, self.training)"
            case _:
                raise TypeError(f"{layer.op} is no function")
    return x


def formula(chain: Chain, x: str) -> str:
    """The chain of an expression, as a paper would write it."""
    for layer in chain:
        x = f"{float(layer.op.factor):g} * {factor(x)}" if isinstance(layer.op, Scale) else f"{_word(layer.op)}({x})"
    return x


def _word(op: Op) -> str:
    return "conv" if isinstance(op, Convolution) else type(op).__name__.lower()


SCALE = '''class Scale(nn.Module):
    """x -> factor * x."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor'''
