"""The text of units of several streams."""

from typing import assert_never

from resatlas.arch.plan import Chain
from resatlas.nets.eject.conditions import telling
from resatlas.nets.eject.layers import applied, formula, plain
from resatlas.nets.eject.subject import Subject
from resatlas.nets.eject.units import SHAPE, forward_lines, layer_lines, parameters
from resatlas.nets.eject.writing import LINE, Call, indented, module_class

PROJECTOR = '''class Projector(nn.Module):
    """(s_1, ..., s_K) -> P * (s_1, ..., s_K): a fixed random projection of all channels of all streams.

    P = Q * Q^T, where Q has as many orthonormal columns as a stream has channels; it depends on K and the width alone.
    """

    matrix: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        size = STREAMS * width
        generator = torch.Generator().manual_seed(65 * size + STREAMS)
        basis, _ = torch.linalg.qr(torch.randn(size, width, generator=generator, dtype=torch.float64))
        self.register_buffer("matrix", (basis @ basis.T).float())

    def forward(self, shortcuts: Sequence[Tensor]) -> Sequence[Tensor]:
        mixed = F.conv2d(torch.cat(tuple(shortcuts), dim=1), self.matrix[:, :, None, None])
        return mixed.chunk(STREAMS, dim=1)'''


MEAN = "mean = reduce(torch.add, shortcuts) / STREAMS"


def stream_class(subject: Subject) -> str:
    """One stream of a unit, whose two terms are added outside."""
    init = layer_lines(subject)
    omitted = subject.omitted
    returns = {"True": "Tensor", "False": "tuple[Tensor, Tensor]"}.get(omitted, "tuple[Tensor, Tensor | None]")
    doc = "x -> body(x)." if omitted == "True" else "x -> (its residual, its shortcut), which the unit adds."
    return module_class(
        "Stream",
        [f"One stream of a unit: {doc}", SHAPE],
        parameters=parameters(init),
        init=init,
        forward=f"x: Tensor) -> {returns}",
        body=forward_lines(
            subject, lambda residual, shortcut: residual if omitted == "True" else f"{residual}, {shortcut}"
        ),
    )


def streams_unit_class(subject: Subject) -> str:
    """The unit of several streams."""
    inner = parameters(layer_lines(subject))
    passed = ", ".join(["inputs", "width", "stride", *(["opening=opening"] if "opening" in inner else [])])
    init = [f"self.streams = nn.ModuleList(Stream({passed}) for _ in range(STREAMS))", *_after_sum_lines(subject)]
    if subject.projects:
        kept = telling(subject.units, [stream.shortcut is not None for stream in subject.streams])
        projector = "self.projector = Projector(width)"
        init += [projector] if kept == "True" else [f"if {kept}:", f"    {projector}"]
    if subject.joins and len(subject.units) > 1:
        init.append("self.last = last")
    init = [line.replace("if self.last:", "if last:") for line in init]
    return module_class(
        "Unit",
        _doc(subject),
        parameters=parameters(init),
        init=init,
        forward="streams: Sequence[Tensor]) -> list[Tensor]",
        body=_forward(subject),
    )


def _doc(subject: Subject) -> list[str]:
    after = subject.units[0].after_sum
    k = {"own": "s_k", "identity": "s_k", "mean": "m", "swap": "s_(k+1)", "projector": "p_k"}[subject.units[0].skip]
    term = "" if subject.omitted == "True" else f" + {k}"
    said = {
        "own": "",
        "identity": "s_k = shortcut(x_k).",
        "mean": "m is the mean of the K shortcuts.",
        "swap": "s_(k+1) is the shortcut of the next stream, and s_1 for the last.",
        "projector": "p_k is its part of a fixed projection of all shortcuts.",
    }[subject.units[0].skip]
    lines = [f"Each of K streams: x_k -> {formula(after, f'body_k(x_k){term}')}."]
    if term:
        lines.append(said)
    if subject.joins:
        terms = {"merge": " + m" if term else "", "sum": " + s_1 + ... + s_K" if term else ""}[
            subject.units[-1].join or ""
        ]
        mean = " with the mean m of the shortcuts" if term and k != "m" and subject.units[-1].join == "merge" else ""
        lines.append(f"The last unit joins them: {formula(after, f'body_1(x_1) + ... + body_K(x_K){terms}')}{mean}.")
    return [lines[0], "\n".join(lines[1:]), SHAPE.replace("Shape: ", "Shape: K times ")]


def _after_sum_lines(subject: Subject) -> list[str]:
    """Layers behind the sum, of each stream, and of the unit itself where it joins them."""
    after = subject.units[0].after_sum
    if plain(after):
        return []
    call = Call("chain", tuple(subject.spelling.chain(after, "width")))
    each = ["for stream in self.streams:", *indented(call.after("stream.after_sum = "))]
    own = call.after("self.after_sum = ")
    if not subject.joins:
        return each
    return own if len(subject.units) == 1 else ["if last:", *indented(own), "else:", *indented(each)]


def _forward(subject: Subject) -> list[str]:
    lines = _terms(subject)
    *others, last = subject.units
    cases: list[tuple[str, list[str]]] = []
    if subject.joins:
        cases.append(("self.last", _joined(subject)))
    else:
        others.append(last)
    bare = [unit.streams[0].shortcut is None for unit in others]
    if any(bare):
        cases.append(("not shortcuts", _each(subject.units[0].after_sum, "residual", "residuals")))
    if not all(bare):
        cases.append(("", _added(subject)))
    for condition, body in cases[:-1]:
        lines += [f"if {condition}:", *indented(body)]
    return [*lines, *cases[-1][1]]


def _terms(subject: Subject) -> list[str]:
    """The residuals and the shortcuts of all streams."""
    each = "stream(x) for stream, x in zip(self.streams, streams, strict=True)"
    match subject.omitted:
        case "True":
            return [f"residuals = [{each}]"]
        case "False":
            lines = [f"divided = ({each})", "residuals, shortcuts = zip(*divided, strict=True)"]
        case _:
            lines = [
                f"divided = [{each}]",
                "residuals = [residual for residual, _ in divided]",
                "shortcuts = [shortcut for _, shortcut in divided if shortcut is not None]",
            ]
    if subject.units[0].skip == "mean" and subject.omitted == "False":
        lines.append(MEAN)
    if subject.units[0].skip == "projector":
        project = "shortcuts = self.projector(shortcuts)"
        lines += [project] if subject.omitted == "False" else ["if shortcuts:", f"    {project}"]
    return lines


def _joined(subject: Subject) -> list[str]:
    last = subject.units[-1]
    lines: list[str] = []
    terms = "residuals"
    if last.streams[0].shortcut is not None:
        terms = "(*residuals, *shortcuts)" if last.join == "sum" else "(*residuals, mean)"
        if last.join == "merge" and not (last.skip == "mean" and subject.omitted == "False"):
            lines.append(MEAN)
    total = f"reduce(torch.add, {terms})"
    after = applied(last.after_sum, total) if plain(last.after_sum) else f"self.after_sum({total})"
    return [*lines, f"return [{after}]"]


def _added(subject: Subject) -> list[str]:
    after = subject.units[0].after_sum
    skip = subject.units[0].skip
    match skip:
        case "mean":
            mean = [] if subject.omitted == "False" else [MEAN]
            return [*mean, *_each(after, "residual + mean", "residuals")]
        case "swap":
            swapped = "shortcuts = [*shortcuts[1:], shortcuts[0]]"
            return [swapped, *_each(after, "residual + shortcut", "residuals, shortcuts")]
        case "own" | "identity" | "projector":
            return _each(after, "residual + shortcut", "residuals, shortcuts")
        case _:
            assert_never(skip)


def _each(after: Chain, total: str, lists: str) -> list[str]:
    """The lines that return what is behind the sum of each stream."""
    names = "residual, shortcut" if "," in lists else "residual"
    source = f"zip({lists}, strict=True)" if "," in lists else lists
    if plain(after):
        value = applied(after, total)
    else:
        value, names, source = (
            f"stream.after_sum({total})",
            f"stream, {names}",
            f"zip(self.streams, {lists}, strict=True)",
        )
    if value == "residual":
        return ["return list(residuals)"]
    line = f"return [{value} for {names} in {source}]"
    return [line] if len(line) <= LINE - 12 else ["return [", f"    {value}", f"    for {names} in {source}", "]"]
