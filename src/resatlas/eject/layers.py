"""The layers of a network as Python text: modules of torch, and definitions of those that torch does not have."""

from collections.abc import Callable, Iterator
from typing import assert_never

from resatlas.arch.ops import (
    AvgPool,
    ChannelConvolution,
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
    SlidingMean,
    Subsample,
    ZeroChannels,
)
from resatlas.arch.plan import Chain, Layer, Plan, layers
from resatlas.eject.printing import Call, function, module_class
from resatlas.errors import DesignError

IDENTITY = Call("nn.Identity")

DILATED = "a dilated network cannot be ejected as a table of units; export it to onnx, torch-export or a page"


def own_stride(layer: Layer) -> str:
    """The stride of a convolution outside the units."""
    return str(layer.op.stride) if isinstance(layer.op, Convolution) else "1"


def own_groups(layer: Layer, _width: str) -> str:
    """The number of groups of a convolution."""
    return str(layer.op.groups) if isinstance(layer.op, Convolution) else "1"


def chain_call(
    chain: Chain,
    inputs: str,
    width: Callable[[int], str] = str,
    stride: Callable[[Layer], str] = own_stride,
    groups: Callable[[Layer, str], str] = own_groups,
) -> Call:
    """The module of a chain. `inputs` is the text of its input channels; the functions are for convolutions.

    A single operation without weights is not wrapped in a chain, since no key of the weights contains its name.
    """
    items = tuple(_items(chain, inputs, width, stride, groups))
    if not items:
        return IDENTITY
    if len(items) == 1 and not has_weights(chain):
        return items[0][1]
    return Call("chain", tuple(f"{role}={module}" for role, module in items))


def has_weights(chain: Chain) -> bool:
    """Whether a chain has weights, so that keys contain its name."""
    return any(isinstance(layer.op, Convolution | ChannelConvolution | Norm | Linear) for layer in chain)


def _items(
    chain: Chain,
    inputs: str,
    width: Callable[[int], str],
    stride: Callable[[Layer], str],
    groups: Callable[[Layer, str], str],
) -> Iterator[tuple[str, Call]]:
    """The name and the module of each layer; subsampling and padding with zeros are one module."""
    padded = False
    for layer in chain:
        match layer.op:
            case AvgPool() | Subsample() | ZeroChannels():
                if not padded:
                    name, module, inputs = _resizing(chain, layer.op, inputs)
                    yield name, module
                padded = True
            case Convolution():
                outputs = width(layer.output.channels)
                yield layer.role, _convolution(layer.op, inputs, outputs, stride(layer), groups(layer, outputs))
                inputs = outputs
            case ChannelConvolution():
                yield layer.role, Call("ChannelConvolution", (inputs,))
            case GlobalPool():
                yield layer.role, Call("nn.AdaptiveAvgPool2d", ("1",))
                yield "flatten", Call("nn.Flatten")
            case Norm():
                yield layer.role, _norm(layer.op, inputs)
            case Relu() | Sigmoid():
                yield layer.role, Call("nn.ReLU" if layer.op == Relu() else "nn.Sigmoid")
            case Scale(factor=factor):
                yield layer.role, Call("Scale", (str(float(factor)),))
            case Dropout(rate=rate):
                yield layer.role, Call("nn.Dropout", (str(rate),))
            case MaxPool(kernel=kernel, stride=step):
                yield layer.role, Call("nn.MaxPool2d", (str(kernel), f"stride={step}", f"padding={kernel // 2}"))
            case Linear():
                yield layer.role, Call("nn.Linear", (inputs, "CLASSES"))
            case SlidingMean():
                raise DesignError(DILATED)
            case _:
                assert_never(layer.op)


def _resizing(chain: Chain, first: Op, inputs: str) -> tuple[str, Call, str]:
    """The name and the module of what changes the shape in a chain besides convolutions, and its output channels."""
    if isinstance(first, Subsample) and first.shift is not None:
        return "subsample", Call("Shifted", ("row.stride", str(first.shift))), f"2 * {inputs}"
    if any(isinstance(layer.op, Convolution) for layer in chain):
        return "pool", Call("nn.AvgPool2d", ("row.stride", "ceil_mode=True")), inputs
    return "pad", Call("ZeroPadding", ("row",)), "row.width"


def _norm(op: Norm, inputs: str) -> Call:
    return Call("nn.BatchNorm2d", (inputs, *((f"eps={op.eps!r}",) if op.eps != Norm().eps else ())))


def _convolution(op: Convolution, inputs: str, outputs: str, stride: str, groups: str) -> Call:
    if op.dilation > 1:
        raise DesignError(DILATED)
    sizes = (inputs, outputs, str(op.kernel))
    if op.bias is not None:
        return Call("nn.Conv2d", sizes)
    strided = (f"stride={stride}",) if stride != "1" else ()
    return Call("conv", (*sizes, *strided, *((f"groups={groups}",) if groups != "1" else ())))


def definitions(plan: Plan) -> list[str]:
    """The definitions of functions and modules that the layers of a network need."""
    ops = {layer.op for _, layer in layers(plan)}
    texts = [_CHAIN, _conv_function(ops)]
    if any(isinstance(op, Scale) for op in ops):
        texts.append(_SCALE)
    if any(isinstance(op, ChannelConvolution) for op in ops):
        texts.append(_CHANNEL_CONVOLUTION)
    if any(isinstance(op, Subsample) and op.shift is not None for op in ops):
        texts.append(_SHIFTED)
    padding = set(_padding(plan))
    if padding:
        texts.append(_zero_padding(padding))
    return texts


def _padding(plan: Plan) -> Iterator[Op]:
    """The operations of shortcuts without a projection that change the shape."""
    for _, unit in plan.units:
        for stream in unit.streams:
            ops = [layer.op for layer in stream.shortcut or ()]
            if not any(isinstance(op, Convolution) for op in ops):
                yield from (op for op in ops if isinstance(op, AvgPool | Subsample | ZeroChannels))


def _conv_function(ops: set[Op]) -> str:
    """The function that creates convolutions, with the options that this network uses."""
    convs = [op for op in ops if isinstance(op, Convolution)]
    options = [name for name in ("stride", "groups") if any(getattr(op, name) > 1 for op in convs)]
    sizes = ("inputs", "width", "kernel")
    signature = Call("conv", (*(f"{size}: int" for size in sizes), *(f"{option}: int = 1" for option in options)))
    arguments = (*sizes, *(f"{option}={option}" for option in options), "padding=kernel // 2", "bias=False")
    doc = "A convolution without bias; only its stride changes the size of the maps."
    return function(signature, "nn.Conv2d", doc, Call("nn.Conv2d", arguments).after("return ", depth=4))


def _zero_padding(ops: set[Op]) -> str:
    """The module that changes x to the output shape of a unit without weights.

    Raises: DesignError if the units of a network do so in different ways.
    """
    pools, places = {type(op) for op in ops} & {AvgPool, Subsample}, {op for op in ops if isinstance(op, ZeroChannels)}
    if len(pools) > 1 or len(places) > 1:
        raise DesignError("units of this network pad with zeros in different ways; an ejected file supports only one")
    x = "x"
    init = ["self.stride = row.stride"] if pools else []
    body: list[str] = []
    if Subsample in pools:
        x = "every stride-th pixel of x"
        body = [f"{'x =' if places else 'return'} x[:, :, :: self.stride, :: self.stride]"]
    if AvgPool in pools:
        x = "the mean of each stride x stride window of x"
        body = ["if self.stride > 1:", "    x = nn.functional.avg_pool2d(x, self.stride, ceil_mode=True)"]
        body += [] if places else ["return x"]
    doc = f"x -> {x}."
    if places:
        init.append("self.zeros = row.width - row.inputs")
    if ZeroChannels("end") in places:
        doc = f"x -> [x, 0]: {x}, then channels of zeros."
        body.append("return nn.functional.pad(x, (0, 0, 0, 0, 0, self.zeros))")
    if ZeroChannels("sides") in places:
        doc = f"x -> [0, x, 0]: {x} between channels of zeros."
        body.append("before = self.zeros // 2")
        body.append("return nn.functional.pad(x, (0, 0, 0, 0, before, self.zeros - before))")
    return module_class(
        "ZeroPadding",
        [doc, "Shape: (n, inputs, h, w) -> (n, width, h/stride, w/stride)."],
        parameters="row: Row",
        init=init,
        forward="x: torch.Tensor) -> torch.Tensor",
        body=body,
    )


_CHAIN = '''def chain(**layers: nn.Module) -> nn.Sequential:
    """A sequence of named layers."""
    return nn.Sequential(OrderedDict(layers))'''

_SCALE = '''class Scale(nn.Module):
    """x -> factor * x."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.factor'''

_SHIFTED = '''class Shifted(nn.Module):
    """Every stride-th pixel of x, and of x moved down and to the right by `shift`.

    Shape: (n, c, h, w) -> (n, 2 * c, h/stride, w/stride).
    """

    def __init__(self, stride: int, shift: int) -> None:
        super().__init__()
        self.stride = stride
        self.shift = shift

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        moved = nn.functional.pad(x, (self.shift, -self.shift) * 2)
        maps = torch.cat([x, moved], dim=1)
        return maps[:, :, :: self.stride, :: self.stride]'''

_CHANNEL_CONVOLUTION = '''class ChannelConvolution(nn.Conv1d):
    """A convolution along the channels of one pixel, of (log2(c) + 1) / 2 weights, rounded down and made odd.

    Shape: (n, c, 1, 1) -> (n, c, 1, 1).
    """

    def __init__(self, channels: int) -> None:
        kernel = max(channels.bit_length() // 2 | 1, 3)
        super().__init__(1, 1, kernel, padding=kernel // 2, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        means: torch.Tensor = super().forward(x.flatten(1)[:, None])
        return means.mT[..., None]'''
