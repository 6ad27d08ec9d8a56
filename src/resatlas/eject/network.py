"""The text of a whole network: its stem, stages and head, and where its weights start."""

from resatlas.arch.ops import Convolution, Norm
from resatlas.arch.plan import Plan, layers
from resatlas.eject.layers import chain_call
from resatlas.eject.printing import Call, function, indented, module_class, paragraph
from resatlas.eject.table import Table
from resatlas.eject.units import DEPTH

STAGE = '''def stage(rows: list[Row]) -> {container}:
    """The units of one stage."""
    return {container}(*(Unit(row) for row in rows for _ in range(row.units)))'''


def constants(plan: Plan, table: Table) -> str:
    """The numbers of the network that have a name."""
    lines = [
        f"CHANNELS = {plan.image.channels}  # of an image",
        *([f"CLASSES = {plan.classes}"] if plan.classes else []),
        *([f"STREAMS = {len(table.units[0].streams)}  # K"] if table.several_streams else []),
    ]
    return "\n".join(lines)


def ends(plan: Plan) -> list[str]:
    """Functions for the stem and the head where each stream has its own."""
    calls = (("stem", plan.stems, _stem(plan)), ("head", plan.heads, _head(plan)))
    return [
        function(Call(name), "nn.Sequential", f"The {name} of one stream.", call.after("return ", depth=4))
        for name, count, call in calls
        if count > 1
    ]


def _stem(plan: Plan) -> Call:
    return chain_call(plan.stem, "CHANNELS")


def _head(plan: Plan) -> Call:
    return chain_call(plan.head, str(plan.head[0].input.channels))


def network_class(plan: Plan, table: Table, name: str) -> str:
    """The network."""
    own = "self.{0}s = nn.ModuleList({0}() for _ in range(STREAMS))"
    container = "InOrder" if table.several_streams else "nn.Sequential"
    shared = table.several_streams and plan.stems == 1
    init = [
        *(["self.streams = STREAMS"] if shared else []),
        *(_stem(plan).after("self.stem = ", depth=DEPTH) if plan.stems == 1 else [own.format("stem")]),
        f"self.stages = {container}(*map(stage, STAGES))",
        *(_head(plan).after("self.head = ", depth=DEPTH) if plan.heads == 1 else [own.format("head")]),
        "initialise(self)",
    ]
    given = "logits" if plan.classes else "features"
    body = _forward_streams(plan, table, given) if table.several_streams else _forward(given)
    stage = STAGE.format(container=container)
    classed = module_class(
        name,
        [f"images -> {given}.", f"Shape: (n, {', '.join(map(str, plan.image))}) -> (n, {plan.head[-1].output[0]})."],
        init=init,
        forward="images: torch.Tensor) -> torch.Tensor",
        body=body,
    )
    return f"{stage}\n\n\n{classed}"


def _forward(given: str) -> list[str]:
    return [f"{given}: torch.Tensor = self.head(self.stages(self.stem(images)))", f"return {given}"]


def _forward_streams(plan: Plan, table: Table, given: str) -> list[str]:
    start = "[self.stem(images)] * self.streams" if plan.stems == 1 else "[stem(images) for stem in self.stems]"
    lines = [f"streams: list[torch.Tensor] = {start}", "streams = self.stages(streams)"]
    if plan.heads > 1:
        loop = ["for k, head in enumerate(self.heads):", f"    {given}.append(head(streams[k]))"]
        return [*lines, f"{given}: list[torch.Tensor] = []", *loop, f"return added({given}) / len({given})"]
    maps = "streams[0]" if table.units[-1].outcomes == 1 else "torch.cat(streams, dim=1)"
    return [*lines, f"{given}: torch.Tensor = self.head({maps})", f"return {given}"]


def initialise(plan: Plan) -> str:
    """The function that sets the weights by the authors' rule."""
    ops = {layer.op for _, layer in layers(plan)}
    convs = {op for op in ops if isinstance(op, Convolution)}
    norms = any(isinstance(op, Norm) for op in ops)
    inputs = "inputs of a group" if any(op.groups > 1 for op in convs) else "inputs"
    started = [f"convolutions at N(0, 2 / (kernel^2 * {'outputs' if plan.initial.fan == 'out' else inputs}))"]
    left = ["the shifts of normalisations at 0"] if norms else []
    normal = Call("nn.init.kaiming_normal_", ("module.weight", f'mode="fan_{plan.initial.fan}"', 'nonlinearity="relu"'))
    lines = ["if isinstance(module, nn.Conv2d):", *indented(normal.after("", depth=12))]
    for bias in {op.bias for op in convs} - {None}:
        started.append(f"the bias of gates at {bias}")
        lines += ["    if module.bias is not None:", f"        nn.init.constant_(module.bias, {bias})"]
    if plan.initial.scale == "uniform" and norms:
        started.append("the scales of normalisations at U(0, 1)")
        lines += ["elif isinstance(module, nn.BatchNorm2d):", "    nn.init.uniform_(module.weight)"]
    elif norms:
        left.append("their scales at 1")
    if plan.classes:
        started.append("the classifier's bias at 0")
        lines += ["elif isinstance(module, nn.Linear):", "    nn.init.zeros_(module.bias)"]
        left.append("the classifier at U(+-1/sqrt(inputs))")
    torchs = f"; torch has set {_listed(left)}" if left else ""
    doc = paragraph(f"It sets {_listed(started)}{torchs}.", depth=4)
    return function(
        Call("initialise", ("network: nn.Module",)),
        "None",
        f"Start the weights where the authors do.\n\n{doc}",
        ["for module in network.modules():", *indented(lines)],
    )


def _listed(things: list[str]) -> str:
    *others, last = things
    return f"{', '.join(others)} and {last}" if others else last
