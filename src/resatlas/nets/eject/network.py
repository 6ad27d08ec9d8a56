"""The text of a whole network: its constants, its stem, stages and head, and where its weights start."""

from textwrap import fill

from resatlas.arch.ops import Convolution
from resatlas.arch.plan import unit_layers
from resatlas.arch.widths import PerStage
from resatlas.nets.eject.subject import Subject
from resatlas.nets.eject.units import UNROLLED, layer_lines, parameters
from resatlas.nets.eject.widths import width_constants
from resatlas.nets.eject.writing import LINE, Call, docstring, function, indented, module_class, number

STAGE = '''def stage(inputs: int, width: int, units: int, stride: int) -> nn.Sequential:
    """Units of one width; the first of them takes the stride."""
    return nn.Sequential(Unit(inputs, width, stride), *(Unit(width, width, 1) for _ in range(units - 1)))'''


def constants(subject: Subject) -> str:
    """The numbers of the network by name."""
    plan, blueprint = subject.plan, subject.blueprint
    sides = ", ".join(f"{stage[0].output.height}x{stage[0].output.width}" for stage in plan.stages)
    lines = [
        f"CHANNELS = {plan.image.channels}  # of an image",
        *([f"CLASSES = {plan.classes}"] if plan.classes else []),
        f"STEM = {blueprint.stem.width}  # channels that the stem puts out",
        f"UNITS = {blueprint.units}  # residual units of each stage",
        *width_constants(subject),
        f"STRIDES = {tuple(stage[0].stride for stage in plan.stages)}  # of each stage, for maps of {sides}",
    ]
    if len(subject.spelling.groups) == 1:
        lines.append(_groups(subject, subject.spelling.groups[0]))
    if subject.bodies > 1:
        lines.append(f"BODIES = {subject.bodies}  # side by side in a unit")
    if len(blueprint.residual.convs) > UNROLLED:
        lines.append(f"CONVS = {len(blueprint.residual.convs)}  # of a unit, one after another")
    if subject.several_streams:
        lines.append(f"STREAMS = {len(subject.units[0].streams)}  # K")
    if blueprint.residual.gate and subject.omitted != "True":
        lines.append(f"GATE_BIAS = {blueprint.residual.gate.bias}  # where the bias of a gate starts")
    if len(subject.spelling.epsilons) == 1 and subject.spelling.epsilons != (1e-5,):
        lines.append(f"EPS = {number(subject.spelling.epsilons[0])}  # of every normalisation")
    return "\n".join(lines)


def _groups(subject: Subject, groups: int) -> str:
    grouped = [
        layer for _, layer in unit_layers(subject.units[0]) if isinstance(layer.op, Convolution) and layer.op.groups > 1
    ]
    channels = grouped[0].output.channels // groups
    return f"GROUPS = {groups}  # of {channels} channels each in the first unit"


def initialise(subject: Subject) -> str:
    """The function that sets the weights by the authors' rule."""
    initial = subject.blueprint.initial
    inputs = "inputs of a group" if subject.spelling.groups else "inputs"
    fan = {"in": inputs, "out": "outputs"}[initial.fan]
    set_here = [f"convolutions at N(0, 2 / (kernel^2 * {fan}))"]
    lines = [
        "if isinstance(module, nn.Conv2d):",
        f'    nn.init.kaiming_normal_(module.weight, mode="fan_{initial.fan}", nonlinearity="relu")',
    ]
    if any(stream.gate for stream in subject.streams):
        set_here.append("the bias of gates at GATE_BIAS")
        lines += ["    if module.bias is not None:", "        nn.init.constant_(module.bias, GATE_BIAS)"]
    left = ["the shifts of normalisations at 0"]
    if initial.scale == "uniform" and subject.spelling.epsilons:
        set_here.append("the scales of normalisations at U(0, 1)")
        lines += ["elif isinstance(module, nn.BatchNorm2d):", "    nn.init.uniform_(module.weight)"]
    else:
        left.append("their scales at 1")
    if subject.plan.classes:
        set_here.append("the classifier's bias at 0")
        lines += ["elif isinstance(module, nn.Linear):", "    nn.init.zeros_(module.bias)"]
        left.append("the classifier at U(+-1/sqrt(inputs))")
    said = f"It sets {_listed(set_here)}; torch has set {_listed(left)}."
    doc = docstring("Start the weights where the authors do.", fill(said, LINE - 8))
    body = [*doc, "for module in network.modules():", *indented(lines)]
    return "\n".join(["def initialise(network: nn.Module) -> None:", *indented(body)])


def _listed(things: list[str]) -> str:
    *others, last = things
    return f"{', '.join(others)} and {last}" if others else last


def has_stage_function(subject: Subject) -> bool:
    """Whether stages differ in numbers alone: no unit has a place of its own, and widths go by stages."""
    return isinstance(subject.blueprint.widths, PerStage) and not unit_flags(subject)


def unit_flags(subject: Subject) -> str:
    """What units are told of their place."""
    flags = []
    if "opening" in parameters(layer_lines(subject)):
        flags.append("opening=k == 1")
    if subject.joins and len(subject.units) > 1:
        flags.append("last=k == sum(UNITS)")
    return ", ".join(flags)


def ends(subject: Subject) -> list[str]:
    """Functions for the stem and the head where each stream has its own."""
    texts = []
    for name, count, items in (
        ("stem", subject.plan.stems, stem(subject)),
        ("head", subject.plan.heads, head(subject)),
    ):
        if count > 1:
            doc = f"The {name} of one stream."
            texts.append(function(f"{name}() -> nn.Sequential", doc, Call("chain", items).after("return ")))
    return texts


def stem(subject: Subject) -> tuple[str, ...]:
    """The layers of the stem."""
    strides = [str(layer.op.stride) for layer in subject.plan.stem if isinstance(layer.op, Convolution)]
    return tuple(subject.spelling.chain(subject.plan.stem, "CHANNELS", [("STEM", strides[0])]))


def head(subject: Subject) -> tuple[str, ...]:
    """The layers of the head."""
    several = subject.plan.heads == 1 and subject.units[-1].outcomes > 1
    last = "WIDTHS[-1]" if isinstance(subject.blueprint.widths, PerStage) else "width(N)"
    return tuple(subject.spelling.chain(subject.plan.head, f"STREAMS * {last}" if several else last))


def network_class(subject: Subject, name: str) -> str:
    """The network."""
    plan = subject.plan
    init = []
    init += Call("chain", stem(subject)).after("self.stem = ") if plan.stems == 1 else [_several("stem")]
    init += _stages(subject)
    init += Call("chain", head(subject)).after("self.head = ") if plan.heads == 1 else [_several("head")]
    gives = "logits" if plan.classes else "features"
    c, h, w = plan.image
    return module_class(
        name,
        [f"images -> {gives}.", f"Shape: (n, {c}, {h}, {w}) -> (n, {plan.head[-1].output.channels})."],
        parameters="",
        init=[*init, "initialise(self)"],
        forward="images: Tensor) -> Tensor",
        body=_forward(subject),
    )


def _several(name: str) -> str:
    return f"self.{name}s = nn.ModuleList({name}() for _ in range(STREAMS))"


def _stages(subject: Subject) -> list[str]:
    if has_stage_function(subject):
        return ["self.stages = nn.Sequential(*map(stage, (STEM, *WIDTHS), WIDTHS, UNITS, STRIDES))"]
    by_stage = isinstance(subject.blueprint.widths, PerStage)
    flags = unit_flags(subject)
    out = "width" if by_stage else "width(k)"
    lists = "WIDTHS, UNITS, STRIDES" if by_stage else "UNITS, STRIDES"
    names = "width, units, stride" if by_stage else "units, stride"
    return [
        "self.stages = nn.Sequential()",
        "inputs, k = STEM, 0",
        f"for {names} in zip({lists}, strict=True):",
        "    stage = nn.Sequential()",
        "    for step in (stride, *[1] * (units - 1)):",
        "        k += 1",
        f"        stage.append(Unit(inputs, {out}, step{', ' + flags if flags else ''}))",
        f"        inputs = {out}",
        "    self.stages.append(stage)",
    ]


def _forward(subject: Subject) -> list[str]:
    plan = subject.plan
    if not subject.several_streams:
        return ["return self.head(self.stages(self.stem(images)))"]
    start = "[self.stem(images)] * STREAMS" if plan.stems == 1 else "[stem(images) for stem in self.stems]"
    if plan.heads > 1:
        return [
            f"streams = self.stages({start})",
            "logits = [head(x) for head, x in zip(self.heads, streams, strict=True)]",
            "return reduce(torch.add, logits) / STREAMS",
        ]
    if subject.units[-1].outcomes == 1:
        return [f"(x,) = self.stages({start})", "return self.head(x)"]
    return [f"streams = self.stages({start})", "return self.head(torch.cat(streams, dim=1))"]
