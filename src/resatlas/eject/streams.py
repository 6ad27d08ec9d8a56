"""The text of units of several streams, which map a list of tensors to a list of tensors."""

from resatlas.eject.layers import IDENTITY
from resatlas.eject.printing import Call, indented, module_class
from resatlas.eject.table import UnitTable
from resatlas.eject.units import SHAPE, assigned, separate_after_sum

IN_ORDER = '''class InOrder(nn.Sequential):
    """A sequence of modules that map a list of tensors to a list of tensors."""

    def forward(self, streams: list[torch.Tensor]) -> list[torch.Tensor]:
        for module in self:
            streams = module(streams)
        return streams'''

_PROJECTOR = '''class Projector(nn.Module):
    """(s_1, ..., s_K) -> P * (s_1, ..., s_K): a fixed random projection of all channels.

    P = Q * Q^T; Q has orthonormal columns, as many as a stream has channels. P depends
    only on K and the width.
    """

    matrix: torch.Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        size = STREAMS * width
        generator = torch.Generator().manual_seed(65 * size + STREAMS)
        columns = torch.randn(size, width, generator=generator, dtype=torch.float64)
        basis, _ = torch.linalg.qr(columns)
        self.register_buffer("matrix", (basis @ basis.T).float())

    def forward(self, shortcuts: list[torch.Tensor]) -> list[torch.Tensor]:
        maps = torch.cat(shortcuts, dim=1)
        mixed = nn.functional.conv2d(maps, self.matrix[:, :, None, None])
        return list(mixed.chunk(len(shortcuts), dim=1))'''

_MEAN = "added(shortcuts) / len(shortcuts)"

_TERMS = {
    "identity": "the shortcut of stream k",
    "mean": "the mean of the shortcuts of all streams",
    "swap": "the shortcut of stream k + 1; for the last stream, that of the first",
    "projector": "part k of a fixed projection of all shortcuts",
}
"""The term that stream k adds to its residual."""


def streams_unit_class(table: UnitTable) -> str:
    """The class of a unit of several streams."""
    init = ["self.streams = nn.ModuleList(Stream(row) for _ in range(STREAMS))"]
    ends = {
        word: IDENTITY if word == "none" and separate_after_sum(table) else table.after_sum for word in table.join.words
    }
    init += assigned("after_sum", ends, by="join")
    if _projects(table):
        projector = Call("Projector", ("row.width",))
        projectors = {word: None if word == "none" else projector for word in table.shortcut.modules}
        init += assigned("projector", projectors, by="shortcut")
    if table.join.varies:
        init.append("self.join = row.join")
    return module_class(
        "Unit",
        [*_doc(table), SHAPE.replace("Shape: ", "Shape: K times ")],
        parameters="row: Row",
        init=init,
        forward="streams: list[torch.Tensor]) -> list[torch.Tensor]",
        body=[*_terms(table), *_ends(table)],
    )


def _projects(table: UnitTable) -> bool:
    return table.units[0].skip == "projector" and not table.plain


def projector(table: UnitTable) -> list[str]:
    """The class of the fixed projection, if the network has one."""
    return [_PROJECTOR] if _projects(table) else []


def adds(table: UnitTable) -> bool:
    """Whether the unit sums a list of tensors."""
    return table.units[-1].joined or (table.units[0].skip == "mean" and not table.plain)


def _doc(table: UnitTable) -> list[str]:
    total = "body(x_k)" if table.plain else "body(x_k) + t_k"
    output = total if table.after_sum == IDENTITY else f"after_sum({total})"
    lines = [f"For each of K streams: x_k -> {output}."]
    if not table.plain:
        lines.append(f"t_k is {_TERMS[table.units[0].skip]}.")
    if table.units[-1].joined:
        term = {"merge": " + the mean of the shortcuts", "sum": " + that of all shortcuts"}[table.units[-1].join or ""]
        lines.append(f"The last unit adds all streams: the sum of all residuals{'' if table.plain else term}.")
    return [lines[0], "\n".join(lines[1:])]


def _terms(table: UnitTable) -> list[str]:
    """The lines of forward that compute the residuals and the shortcuts of all streams."""
    lines = ["residuals: list[torch.Tensor] = []", "shortcuts: list[torch.Tensor] = []"]
    loop = "for k, stream in enumerate(self.streams):"
    if table.plain:
        return [lines[0], loop, "    residuals.append(stream(streams[k]))"]
    both = ["residual, shortcut = stream(streams[k])", "residuals.append(residual)", "shortcuts.append(shortcut)"]
    lines += [loop, *indented(both)]
    project = "shortcuts = self.projector(shortcuts)"
    if _projects(table):
        optional = "none" in table.shortcut.modules
        lines += ["if self.projector is not None:", f"    {project}"] if optional else [project]
    return lines


def _ends(table: UnitTable) -> list[str]:
    """The lines of forward that compute the output: one joined tensor, or one tensor per stream."""
    if not table.units[-1].joined:
        return _separate(table)
    if not table.join.varies:
        return _joined(table)
    return [f'if self.join == "{table.units[-1].join}":', *indented(_joined(table)), *_separate(table)]


def _joined(table: UnitTable) -> list[str]:
    more = f"residuals.append({_MEAN})" if table.units[-1].join == "merge" else "residuals.extend(shortcuts)"
    total = "added(residuals)"
    result = total if table.after_sum == IDENTITY else f"self.after_sum({total})"
    return [*([] if table.plain else [more]), f"return [{result}]"]


def _separate(table: UnitTable) -> list[str]:
    skip = table.units[0].skip
    lines: list[str] = []
    term = " + shortcuts[k]"
    if table.plain:
        term = ""
    elif skip == "mean":
        lines, term = [f"mean = {_MEAN}"], " + mean"
    elif skip == "swap":
        lines = ["shortcuts = shortcuts[1:] + shortcuts[:1]"]
    if separate_after_sum(table):
        loop = "for k, stream in enumerate(self.streams):"
        ended = f"outputs.append(stream.after_sum(residuals[k]{term}))  # type: ignore[operator]"
        return [*lines, "outputs: list[torch.Tensor] = []", loop, f"    {ended}", "return outputs"]
    sums = f"[residuals[k]{term} for k in range(len(residuals))]" if term else "residuals"
    if table.after_sum == IDENTITY:
        return [*lines, f"return {sums}"]
    return [*lines, f"sums = {sums}", "return [self.after_sum(x) for x in sums]"]
