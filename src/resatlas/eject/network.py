"""The text of a whole network: stem, stages, head, and initial weights."""

from resatlas.arch.ops import Convolution, Norm
from resatlas.arch.plan import Plan, layers
from resatlas.eject.layers import chain_call
from resatlas.eject.printing import Call, function, indented, module_class, paragraph
from resatlas.eject.table import UnitTable
from resatlas.eject.units import DEPTH

_STAGE = '''def stage(rows: list[Row]) -> {container}:
    """The units of one stage."""
    return {container}(*(Unit(row) for row in rows for _ in range(row.units)))'''


def constants(plan: Plan, table: UnitTable) -> str:
    """The constants of the network."""
    lines = [
        f"CHANNELS = {plan.image.channels}  # of an image",
        *([f"CLASSES = {plan.classes}"] if plan.classes else []),
        *([f"STREAMS = {len(table.units[0].streams)}  # K"] if table.several_streams else []),
    ]
    return "\n".join(lines)


def end_functions(plan: Plan) -> list[str]:
    """Functions for the stem and the head, if each stream has its own."""
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


def network_class(plan: Plan, table: UnitTable, name: str) -> str:
    """The class of the network, and the function of its stages."""
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
    result = "logits" if plan.classes else "features"
    body = _forward_streams(plan, table, result) if table.several_streams else _forward(result)
    stage = _STAGE.format(container=container)
    network = module_class(
        name,
        [f"images -> {result}.", f"Shape: (n, {', '.join(map(str, plan.image))}) -> (n, {plan.head[-1].output[0]})."],
        init=init,
        forward="images: torch.Tensor) -> torch.Tensor",
        body=body,
    )
    return f"{stage}\n\n\n{network}"


def _forward(result: str) -> list[str]:
    return [f"{result}: torch.Tensor = self.head(self.stages(self.stem(images)))", f"return {result}"]


def _forward_streams(plan: Plan, table: UnitTable, result: str) -> list[str]:
    start = "[self.stem(images)] * self.streams" if plan.stems == 1 else "[stem(images) for stem in self.stems]"
    lines = [f"streams: list[torch.Tensor] = {start}", "streams = self.stages(streams)"]
    if plan.heads > 1:
        loop = ["for k, head in enumerate(self.heads):", f"    {result}.append(head(streams[k]))"]
        return [*lines, f"{result}: list[torch.Tensor] = []", *loop, f"return added({result}) / len({result})"]
    maps = "streams[0]" if table.units[-1].outcomes == 1 else "torch.cat(streams, dim=1)"
    return [*lines, f"{result}: torch.Tensor = self.head({maps})", f"return {result}"]


def initialise(plan: Plan) -> str:
    """The function that initialises the weights by the authors' rule."""
    ops = {layer.op for _, layer in layers(plan)}
    convs = {op for op in ops if isinstance(op, Convolution)}
    norms = any(isinstance(op, Norm) for op in ops)
    inputs = "inputs of a group" if any(op.groups > 1 for op in convs) else "inputs"
    set_here = [f"convolutions to N(0, 2 / (kernel^2 * {'outputs' if plan.initial.fan == 'out' else inputs}))"]
    defaults = ["shifts of normalisations 0"] if norms else []
    normal = Call("nn.init.kaiming_normal_", ("module.weight", f'mode="fan_{plan.initial.fan}"', 'nonlinearity="relu"'))
    lines = ["if isinstance(module, nn.Conv2d):", *indented(normal.after("", depth=12))]
    biases = _biases(plan)
    for part, bias in list(biases.items())[:1]:
        set_here.append(f"the bias of {part} to {bias}")
        lines += ["    if module.bias is not None:", f"        nn.init.constant_(module.bias, {bias})"]
    after: list[str] = []
    for part, bias in list(biases.items())[1:]:
        set_here.append(f"that of {part} to {bias}")
        after += ["for path, module in network.named_modules():", '    if path.endswith("gate.conv"):']
        after += [f'        nn.init.constant_(module.get_parameter("bias"), {bias})']
    if plan.initial.scale == "uniform" and norms:
        set_here.append("the scales of normalisations to U(0, 1)")
        lines += ["elif isinstance(module, nn.BatchNorm2d):", "    nn.init.uniform_(module.weight)"]
    elif norms:
        defaults.append("their scales 1")
    if plan.classes:
        set_here.append("the bias of the classifier to 0")
        lines += ["elif isinstance(module, nn.Linear):", "    nn.init.zeros_(module.bias)"]
        defaults.append("the weights of the classifier U(+-1/sqrt(inputs))")
    kept = f" The defaults of torch are kept: {_listed(defaults)}." if defaults else ""
    doc = paragraph(f"It sets {_listed(set_here)}.{kept}", depth=4)
    return function(
        Call("initialise", ("network: nn.Module",)),
        "None",
        f"Initialise the weights by the authors' rule.\n\n{doc}",
        ["for module in network.modules():", *indented(lines), *after],
    )


def _biases(plan: Plan) -> dict[str, float]:
    """The initial biases of attention and of gates, where units have them."""
    streams = [unit.streams[0] for _, unit in plan.units]
    chains = {
        "attention": [stream.attention for stream in streams if stream.attention],
        "gates": [stream.gate for stream in streams if stream.gate],
    }
    ops = {part: found[0][0].op for part, found in chains.items() if found}
    return {part: op.bias for part, op in ops.items() if isinstance(op, Convolution) and op.bias is not None}


def _listed(parts: list[str]) -> str:
    *others, last = parts
    return f"{', '.join(others)} and {last}" if others else last
