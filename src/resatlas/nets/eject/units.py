"""The text of a residual unit: its layers, and what they make of x."""

import re
from collections.abc import Callable, Sequence

from resatlas.arch.ops import Conv, Convolution
from resatlas.arch.plan import Chain, Stream
from resatlas.nets.eject.conditions import IDENTITY, assigned, telling
from resatlas.nets.eject.layers import applied, formula, plain, random
from resatlas.nets.eject.padding import padding_call
from resatlas.nets.eject.subject import Subject, share_of_width
from resatlas.nets.eject.writing import LINE, Call, factor, function, indented, module_class

SHAPE = "Shape: (n, inputs, h, w) -> (n, width, h/stride, w/stride)."
UNROLLED = 4


def body_function(subject: Subject) -> str:
    """The function that makes one of several bodies."""
    lines = _with_inner(subject, _body(subject, "return "))
    return function(
        "body(inputs: int, width: int, stride: int) -> nn.Sequential", "One of the bodies of a unit.", lines
    )


def unit_class(subject: Subject) -> str:
    """The unit of a network of one stream."""
    after = subject.units[0].after_sum

    def end(residual: str, shortcut: str | None) -> str:
        total = f"{shortcut} + {residual}" if shortcut else residual
        return applied(after, total) if plain(after) else f"self.after_sum({total})"

    init = layer_lines(subject)
    if not plain(after):
        init += Call("chain", tuple(subject.spelling.chain(after, "width"))).after("self.after_sum = ")
    return module_class(
        "Unit",
        [f"x -> {_outcome(subject)}.", SHAPE],
        parameters=parameters(init),
        init=init,
        forward="x: Tensor) -> Tensor",
        body=forward_lines(subject, end),
    )


def _outcome(subject: Subject) -> str:
    """What a unit of one stream gives, as a paper would write it."""
    total, comma, where = equation(subject).partition(" with ")
    return f"{formula(subject.units[0].after_sum, total)}{comma}{where}"


def parameters(init: Sequence[str]) -> str:
    """What a unit's __init__ takes: its shape, and its place where that matters."""
    words = " ".join(init)
    flags = [f"{flag}: bool" for flag in ("opening", "last") if re.search(rf"\b{flag}\b", words)]
    return ", ".join(["inputs: int", "width: int", "stride: int", *(["*", *flags] if flags else [])])


def equation(subject: Subject) -> str:
    """shortcut(x) + body(x), as a paper would write it."""
    streams = subject.streams
    first, merged = max((stream.first for stream in streams), key=len), streams[0].merged
    activated = formula(first, "x")
    residual = f"body({activated})"
    if subject.bodies > 1:
        between = ["..."] if subject.bodies > 2 else []
        terms = [f"body_1({activated})", *between, f"body_{subject.bodies}({activated})"]
        residual = f"concat({', '.join(terms)})" if streams[0].merge == "concat" else " + ".join(terms)
    if merged:
        residual = formula(merged, residual)
    if subject.omitted == "True":
        return residual
    shared = telling(subject.units, preactivated(subject))
    read = {"True": activated, "False": "x"}.get(shared, f"x or {activated}")
    moves = any(subject.split_shortcut(stream)[0] for stream in streams) or read != "x"
    shortcut = formula(subject.suffix, f"shortcut({read})" if moves else read)
    gate = next((stream for stream in streams if stream.gate), None)
    if gate is None:
        return f"{shortcut} + {residual}"
    return f"(1 - g) * s + {'g * ' if gate.gated == 'both' else ''}{residual} with s = {shortcut} and g = gate(s)"


def preactivated(subject: Subject) -> list[bool | None]:
    """Whether the shortcut of each unit reads what `first` gives; None where that is x, or nothing reads it."""
    return [
        stream.reads == "pre-activated" if stream.first and stream.shortcut is not None else None
        for stream in subject.streams
    ]


def layer_lines(subject: Subject) -> list[str]:
    """The lines of __init__ that make the layers of one stream."""
    units, streams, spelling = subject.units, subject.streams, subject.spelling
    lines = []
    if not _plain_first(subject):
        firsts = [Call("chain", tuple(spelling.chain(s.first, "inputs"))) if s.first else IDENTITY for s in streams]
        lines += assigned("first", units, firsts)
    if subject.bodies > 1:
        lines.append("self.bodies = nn.ModuleList(body(inputs, width, stride) for _ in range(BODIES))")
    else:
        lines += _body(subject, "self.body = ")
    if not plain(streams[0].merged):
        lines += Call("chain", tuple(_merged(subject))).after("self.merged = ")
    shared = telling(units, preactivated(subject))
    if shared not in ("True", "False"):
        lines.append(f"self.preactivated = {shared}  # what the shortcut reads")
    if subject.omitted not in ("True", "False"):
        lines.append(f"self.resized = {subject.omitted}  # then there is no shortcut")
    lines += assigned("shortcut", units, _shortcuts(subject))
    gates = [
        Call("chain", tuple(spelling.chain(s.gate, "width", [("width", "1")]))) if s.gate else IDENTITY for s in streams
    ]
    lines += assigned("gate", units, gates)
    return _with_inner(subject, lines)


def _with_inner(subject: Subject, lines: list[str]) -> list[str]:
    if not re.search(r"\binner\b", " ".join(lines)):
        return lines
    return [f"inner = {share_of_width(subject.shares[0])}", *lines]


def _plain_first(subject: Subject) -> bool:
    """Whether what stands before the bodies is the same everywhere and needs no layer."""
    return all(
        plain(stream.first) and bool(stream.first) == bool(subject.streams[-1].first) for stream in subject.streams
    )


def _body(subject: Subject, start: str) -> list[str]:
    convs = subject.blueprint.residual.convs
    sizes = [(subject.width(conv.width), "stride" if conv.strided else "1") for conv in convs]
    items = tuple(subject.spelling.chain(subject.streams[0].bodies[0], "inputs", sizes))
    loop = _loop(subject, items)
    return [*loop, f"{start}nn.Sequential(layers)"] if loop else Call("chain", items).after(start)


def _loop(subject: Subject, items: tuple[str, ...]) -> list[str] | None:
    """The body as a loop over its convolutions, which gives `layers`; None if they are few or not alike."""
    convs = subject.blueprint.residual.convs
    alike = len({(conv.kernel, conv.width, conv.groups) for conv in convs}) == 1 and convs[0].strided
    if len(convs) <= UNROLLED or not alike:
        return None
    layers = [item.split("=", 1) for item in items]
    places = [index for index, (role, _) in enumerate(layers) if role.startswith("conv")]
    if any(not role.endswith("1") for role, _ in layers[: places[1]]):
        return None  # two operations of one kind between convolutions
    between, behind = layers[1 : places[1]], layers[places[-1] + 1 :]
    count = str(len(convs))
    return [
        f"layers: OrderedDict[str, nn.Module] = OrderedDict({items[0]})",
        "for n in range(1, CONVS):",
        *indented(f'layers[f"{role[:-1]}{{n}}"] = {module}' for role, module in between),
        *indented([f'layers[f"conv{{n + 1}}"] = {layers[places[-1]][1]}']),
        *(
            f'layers[f"{role.removesuffix(count)}{{CONVS}}"] = {module}'
            if role.endswith(count)
            else f'layers["{role}"] = {module}'
            for role, module in behind
        ),
    ]


def _merged(subject: Subject) -> list[str]:
    """What stands behind the bodies once they are one tensor."""
    last = subject.width(subject.blueprint.residual.convs[-1].width)
    given = f"BODIES * {last}" if subject.streams[0].merge == "concat" and subject.bodies > 1 else last
    convs = [
        (subject.width(rule.width), "1") for rule in subject.blueprint.residual.order.merged if isinstance(rule, Conv)
    ]
    return list(subject.spelling.chain(subject.streams[0].merged, given, convs))


def _shortcuts(subject: Subject) -> list[Call | None]:
    """What brings x to the unit's shape, for each unit; None where nothing with weights depends on it."""
    calls = [_shortcut(subject, stream) for stream in subject.streams]
    weighty = any(call and call.function == "chain" for call in calls)
    return [call or (IDENTITY if weighty and subject.omitted != "True" else None) for call in calls]


def _shortcut(subject: Subject, stream: Stream) -> Call | None:
    if stream.shortcut is None:
        return None
    moved, behind = subject.split_shortcut(stream)
    inside = () if plain(behind) else behind
    if moved and isinstance(moved[0].op, Convolution):
        return Call("chain", tuple(subject.spelling.chain((*moved, *inside), "inputs", [("width", "stride")])))
    pad = padding_call(subject) if moved else IDENTITY
    if not inside:
        return pad
    padded = [f"pad={''.join(pad.after(''))}"] if moved else []
    return Call("chain", (*padded, *subject.spelling.chain(inside, "width")))


def forward_lines(subject: Subject, end: Callable[[str, str | None], str]) -> list[str]:
    """The lines of forward; `end` is what is returned of the residual and the shortcut, if there is one."""
    lines = []
    first = subject.streams[-1].first
    activated = "x" if not first and not _has(subject, "first") else _first(subject, first)
    shared = telling(subject.units, preactivated(subject))
    if activated != "x" and (shared != "False" or subject.bodies > 1):
        lines.append(f"activated = {activated}")
        activated = "activated"
    residual = _residual(subject, activated)
    if subject.omitted == "True":
        return [*lines, f"return {end(residual, None)}"]
    source = {"False": "x", "True": activated}.get(shared, f"{activated} if self.preactivated else x")
    shortcut = f"self.shortcut({source})" if _has(subject, "shortcut") else source
    shortcut = applied(subject.suffix, shortcut)
    if " if " in shortcut and not _has(subject, "shortcut"):
        shortcut = factor(shortcut)
    drawing = any(random(each.shortcut or ()) for each in subject.streams) and any(
        random(chain) for each in subject.streams for chain in (each.first, *each.bodies, each.merged)
    )
    if subject.omitted != "False" or drawing:  # what draws random numbers first stands first
        lines.append(f"residual = {residual}")
        residual = "residual"
    if subject.omitted != "False":
        lines += ["if self.resized:", f"    return {end('residual', None)}"]
    gate = next((stream for stream in subject.streams if stream.gate), None)
    if gate:
        lines += [f"shortcut = {shortcut}", "gate = self.gate(shortcut)"]
        shortcut = "(1 - gate) * shortcut"
        residual = f"gate * {factor(residual)}" if gate.gated == "both" else residual
    if len(end(residual, shortcut)) > LINE - 15:
        lines += [f"residual = {residual}", f"shortcut = {shortcut}"]
        residual, shortcut = "residual", "shortcut"
    return [*lines, f"return {end(residual, shortcut)}"]


def _first(subject: Subject, first: Chain) -> str:
    return applied(first, "x") if _plain_first(subject) else "self.first(x)"


def _residual(subject: Subject, x: str) -> str:
    """The merged bodies of an expression."""
    stream = subject.streams[0]
    residual = f"self.body({x})"
    if subject.bodies > 1:
        bodies = f"body({x}) for body in self.bodies"
        residual = f"torch.cat([{bodies}], dim=1)" if stream.merge == "concat" else f"reduce(torch.add, ({bodies}))"
    return applied(stream.merged, residual) if plain(stream.merged) else f"self.merged({residual})"


def _has(subject: Subject, part: str) -> bool:
    return any(re.match(rf"\s*self\.{part}\b", line) for line in layer_lines(subject))
