"""The text of shortcuts without weights: fewer pixels, and channels of zeros."""

from resatlas.arch.ops import AvgPool, Subsample, ZeroChannels
from resatlas.arch.plan import Chain
from resatlas.nets.eject.subject import Subject
from resatlas.nets.eject.writing import Call, module_class


def padded(subject: Subject) -> list[Chain]:
    """The parts of shortcuts that drop pixels or add channels without a weight."""
    moved = [subject.split_shortcut(stream)[0] for stream in subject.streams]
    return [chain for chain in moved if chain and isinstance(chain[0].op, AvgPool | Subsample | ZeroChannels)]


def padding_call(subject: Subject) -> Call:
    """How a unit makes its own."""
    return Call("ZeroPadding", tuple(_parameters(padded(subject))))


def padding_class(subject: Subject) -> str:
    """The module that brings x to a unit's shape by zeros."""
    chains = padded(subject)
    ops = {type(layer.op): layer.op for chain in chains for layer in chain}
    zeros = ops.get(ZeroChannels)
    names = _parameters(chains)
    init = ["self.stride = stride"] if "stride" in names else []
    body: list[str] = []
    x = "x"
    if Subsample in ops:
        x = "every stride-th pixel of x"
        body.append("x = x[:, :, :: self.stride, :: self.stride]")
    if AvgPool in ops:
        x = "the mean of each stride x stride window of x"
        pool = "x = F.avg_pool2d(x, self.stride, ceil_mode=True)"
        always = all(isinstance(chain[0].op, AvgPool) for chain in chains)
        body += [pool] if always else ["if self.stride > 1:", f"    {pool}"]
    if isinstance(zeros, ZeroChannels):
        init.append("self.zeros = width - inputs")
        doc = f"[x, 0]: {x}, then channels of zeros." if zeros.place == "end" else f"[0, x, 0]: {x} between zeros."
        if not all(isinstance(chain[-1].op, ZeroChannels) for chain in chains):
            body += ["if self.zeros == 0:", "    return x"]
        body += PADS[zeros.place]
    else:
        doc = f"{x[0].upper()}{x[1:]}."
        body.append("return x")
    given, out = ("inputs", "width") if zeros else ("c", "c")
    sides = "h/stride, w/stride" if "stride" in names else "h, w"
    return module_class(
        "ZeroPadding",
        [doc, f"Shape: (n, {given}, h, w) -> (n, {out}, {sides})."],
        parameters=", ".join(f"{name}: int" for name in names),
        init=init,
        forward="x: Tensor) -> Tensor",
        body=body,
    )


PADS = {
    "end": ["return F.pad(x, (0, 0, 0, 0, 0, self.zeros))"],
    "sides": ["before = self.zeros // 2", "return F.pad(x, (0, 0, 0, 0, before, self.zeros - before))"],
}


def _parameters(chains: list[Chain]) -> list[str]:
    ops = {type(layer.op) for chain in chains for layer in chain}
    return [*(["inputs", "width"] if ZeroChannels in ops else []), *(["stride"] if ops & {AvgPool, Subsample} else [])]
