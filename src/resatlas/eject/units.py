"""The text of a residual unit of one stream, and of one of several streams."""

from collections.abc import Mapping

from resatlas.arch.plan import sliced
from resatlas.eject.layers import IDENTITY, has_weights
from resatlas.eject.printing import Call, function, indented, module_class
from resatlas.eject.table import UnitTable

SHAPE = "Shape: (n, inputs, h, w) -> (n, width, h/stride, w/stride)."
DEPTH = 8  # indentation of a line in a method

ADDED = '''def added(maps: list[torch.Tensor]) -> torch.Tensor:
    """x_1 + ... + x_K, summed from left to right."""
    total = maps[0]
    for x in maps[1:]:
        total = total + x
    return total'''


def bodies_function(table: UnitTable) -> str:
    """The function that creates one of several bodies."""
    body = [*table.inner_widths(table.stream.bodies), *table.body.after("return ", depth=4)]
    return function(Call("body", ("row: Row",)), "nn.Sequential", "One of the bodies of a unit.", body)


def unit_class(table: UnitTable) -> str:
    """The class of a unit of one stream."""
    total = "residual" if table.plain else "shortcut + residual"
    ends = [f"return {total}"]
    if table.after_sum != IDENTITY:
        ends = [f"maps: torch.Tensor = self.after_sum({total})", "return maps"]
    return module_class(
        "Unit",
        [*_formula(table), SHAPE],
        parameters="row: Row",
        init=[*_layers(table), *assigned("after_sum", {"": table.after_sum})],
        forward="x: torch.Tensor) -> torch.Tensor",
        body=[*_terms(table), *ends],
    )


def stream_class(table: UnitTable) -> str:
    """The class of one of several streams; the unit adds its two terms."""
    returns, value = "tuple[torch.Tensor, torch.Tensor]", "residual, shortcut"
    doc = "x -> (residual, shortcut), which the unit adds."
    if table.plain:
        returns, value, doc = "torch.Tensor", "residual", "x -> residual."
    ends = {word: table.after_sum if word == "none" else IDENTITY for word in table.join.words}
    return module_class(
        "Stream",
        [f"One stream of a unit: {doc}", SHAPE],
        parameters="row: Row",
        init=[*_layers(table), *(assigned("after_sum", ends, by="join") if separate_after_sum(table) else [])],
        forward=f"x: torch.Tensor) -> {returns}",
        body=[*_terms(table), f"return {value}"],
    )


def separate_after_sum(table: UnitTable) -> bool:
    """Whether each stream has its own layers after the sum, which is so if these have weights."""
    return table.several_streams and has_weights(table.units[0].after_sum)


def _formula(table: UnitTable) -> list[str]:
    """The unit as a formula of its layers, and the definitions of the symbols."""
    first = "x" if table.first.absent else "first(x)"
    count = len(table.stream.bodies)
    symbols: list[str] = []
    bodies = [f"body_1({first})", *(["..."] if count > 2 else []), f"body_{count}({first})"]
    if count == 1:
        residual = f"body({first})"
    elif sliced(table.stream):
        residual = f"concat(y_1, ..., y_{count})"
        symbols.append(f"y_k = body_k(slice k of {first}{' [+ y_(k-1)]' if table.merge.varies else ''})")
    else:
        residual = f"concat({', '.join(bodies)})" if table.stream.merge == "concat" else " + ".join(bodies)
    if table.attention != IDENTITY:
        symbols.append(f"h = {residual}")
        residual = "h * attention(mean of h)"
    residual = residual if table.merged == IDENTITY else f"merged({residual})"
    shortcut = f"shortcut({'x or first(x)' if table.reads.varies else _READ[table.reads.words[0]]})"
    total = f"{shortcut} + {residual}"
    if table.plain:
        total = residual
    elif table.gate != IDENTITY:
        total = f"(1 - g) * s + {'g * ' if table.stream.gated == 'both' else ''}{residual}"
        symbols += [f"s = {shortcut}", "g = gate(s)"]
    words = f"{' and '.join(symbols)}." if symbols else ""
    return [f"x -> {total if table.after_sum == IDENTITY else f'after_sum({total})'}.", words]


_READ = {"x": "x", "first": "first(x)"}


def assigned(target: str, options: Mapping[str, Call | None], *, by: str = "") -> list[str]:
    """The lines of __init__ that set `target` to the module for the row's word in column `by`, or to None."""
    calls = list(dict.fromkeys(options.values()))
    if len(calls) == 1 and calls[0] is not None:
        return [] if calls[0] == IDENTITY else calls[0].after(f"self.{target} = ", depth=DEPTH)
    default = None if None in calls else IDENTITY
    kind = "nn.Module | None = None" if default is None else "nn.Module = nn.Identity()"
    lines = [f"self.{target}: {kind}"]
    rest = {word: call for word, call in options.items() if call is not None and call != default}
    for number, (word, call) in enumerate(rest.items()):
        assignment = call.after(f"self.{target} = ", depth=DEPTH + 4)
        lines += [f'{"elif" if number else "if"} row.{by} == "{word}":', *indented(assignment)]
    return lines


def _layers(table: UnitTable) -> list[str]:
    """The lines of __init__ that create the layers of one stream."""
    several = len(table.stream.bodies) > 1
    slices = sliced(table.stream)
    inside = [table.stream.first] if slices else [] if several else table.stream.bodies
    lines = table.inner_widths([*inside, table.stream.merged])
    lines += assigned("first", table.first.modules, by="first")
    if several:
        count = len(table.stream.bodies) - slices
        lines.append(f"self.bodies = nn.ModuleList(body(row) for _ in range({count}))")
        lines += assigned("last", table.merge.modules, by="merge") if slices else []
        lines += ['self.cascades = row.merge == "cascade"'] if table.merge.varies else []
    else:
        lines += table.body.after("self.body = ", depth=DEPTH)
    lines += assigned("attention", {"": table.attention})
    lines += assigned("merged", {"": table.merged})
    if table.plain:
        return lines
    if table.reads.varies:
        lines.append("self.reads = row.reads")
    modules = {word: None if word == "none" else call for word, call in table.shortcut.modules.items()}
    lines += assigned("shortcut", modules, by="shortcut") or ["self.shortcut = nn.Identity()"]
    gates = {word: IDENTITY if word == "none" else table.gate for word in table.shortcut.modules}
    return [*lines, *assigned("gate", gates, by="shortcut")]


def _slices(table: UnitTable, x: str, residual: str) -> list[str]:
    """The lines of forward in which each body reads its slice."""
    appended = ["outputs.append(body(part))"]
    if table.merge.varies:
        source = "source = part + outputs[-1] if outputs and self.cascades else part"
        appended = [source, "outputs.append(body(source))"]
    return [
        f"*parts, last = {x}.chunk({len(table.stream.bodies)}, dim=1)",
        "outputs: list[torch.Tensor] = []",
        "for body, part in zip(self.bodies, parts, strict=True):",
        *indented(appended),
        "outputs.append(self.last(last))",
        f"{residual}: torch.Tensor = torch.cat(outputs, dim=1)",
    ]


def _terms(table: UnitTable) -> list[str]:
    """The lines of forward that compute the residual and the shortcut of one stream."""
    x = "x" if table.first.absent else "activated"
    lines = [] if table.first.absent else ["activated: torch.Tensor = self.first(x)"]
    residual = "residual" if table.merged == IDENTITY else "combined"
    if sliced(table.stream):
        lines += _slices(table, x, residual)
    elif len(table.stream.bodies) == 1:
        lines.append(f"{residual}: torch.Tensor = self.body({x})")
    else:
        lines.append(f"outputs: list[torch.Tensor] = [body({x}) for body in self.bodies]")
        merge = "torch.cat(outputs, dim=1)" if table.stream.merge == "concat" else "added(outputs)"
        lines.append(f"{residual}: torch.Tensor = {merge}")
    if table.attention != IDENTITY:
        lines.append(f"weight: torch.Tensor = self.attention({residual}.mean(dim=(2, 3), keepdim=True))")
        lines.append(f"{residual} = {residual} * weight")
    if table.merged != IDENTITY:
        lines.append("residual: torch.Tensor = self.merged(combined)")
    if table.plain:
        return lines
    read = {"x": "x", "first": "activated"}[table.reads.words[0]]
    if table.reads.varies:
        lines.append('source = activated if self.reads == "first" else x')
        read = "source"
    gates: list[str] = []
    if table.gate != IDENTITY:
        gated = ["residual = gate * residual"] if table.stream.gated == "both" else []
        gates = ["gate: torch.Tensor = self.gate(shortcut)", *gated, "shortcut = (1 - gate) * shortcut"]
    if "none" not in table.shortcut.modules:
        return [*lines, f"shortcut: torch.Tensor = self.shortcut({read})", *gates]
    return [
        *lines,
        "shortcut: torch.Tensor = torch.zeros_like(residual)",
        "if self.shortcut is not None:",
        *indented([f"shortcut = self.shortcut({read})", *gates]),
    ]
