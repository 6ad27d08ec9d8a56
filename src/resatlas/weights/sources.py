"""Sources of weights: the names of their tensors and the traits of their code.

A dialect describes the weights of one class of a source. Its names are pairs of templates of a module's path, ours and
theirs: {s} is the number of a stage, {u} of a unit, {n} of a layer, as we count them; a capital letter means the number
plus 1; {last} is the number of convolutions in a body. The first pair that matches applies, in either direction.

Sources: torchvision/models/resnet.py; timm/models/resnet.py and resnetv2.py; pytorchcv/models/resnet.py,
preresnet.py, resnext.py, pyramidnet.py and their namesakes for CIFAR.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

from resatlas.arch.ops import Convolution
from resatlas.arch.plan import Plan
from resatlas.errors import UnknownName, unknown
from resatlas.weights.semantics import Traits, differing_traits, traits

Names = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """Names, traits and the classifier's shape of one class of a source; without names, they are our own."""

    names: Names
    traits: Traits
    classifier: Literal["linear", "conv1x1"] = "linear"


def dialect_for(plan: Plan, source: str, keys: Iterable[str] = ()) -> Dialect:
    """The dialect of a source that fits a plan; if none fits, the one that knows the most keys, then the nearest.

    Raises: UnknownName with the nearest source.
    """
    own, names = traits(plan), tuple(keys)
    return min(dialects_of(source), key=lambda dialect: _distance(dialect, plan, own, names))


def dialects_of(source: str) -> tuple[Dialect, ...]:
    """The dialects of a source.

    Raises: UnknownName with the nearest source.
    """
    if source not in SOURCES:
        raise UnknownName(unknown("source of weights", source, SOURCES))
    return SOURCES[source]


def sources_of_names(keys: Iterable[str], plan: Plan) -> list[str]:
    """The sources that know more than half of the keys."""
    names = tuple(keys)
    return [
        source
        for source, dialects in SOURCES.items()
        if any(_count_known(dialect, plan, names) > len(names) / 2 for dialect in dialects if dialect.names)
    ]


def _count_known(dialect: Dialect, plan: Plan, keys: tuple[str, ...]) -> int:
    return sum(path_of(key, dialect, plan) is not None for key in keys)


def _distance(dialect: Dialect, plan: Plan, own: Traits, keys: tuple[str, ...]) -> tuple[int, int]:
    """(0, 0) if the dialect fits the plan; else the number of unknown keys, then that of differing traits."""
    differences = len(differing_traits(own, dialect.traits))
    unknown_keys = len(keys) - _count_known(dialect, plan, keys) if differences else 0
    return unknown_keys, differences


def key_of(path: str, dialect: Dialect, plan: Plan) -> str | None:
    """The source's key for one of our tensors: stages.1.0.body.conv2.weight -> layer2.0.conv2.weight."""
    return _renamed(path, tuple(dialect.names.items()), plan)


def shape_of(path: str, shape: tuple[int, ...], dialect: Dialect) -> tuple[int, ...]:
    """The shape of one of our tensors at the source."""
    return (*shape, 1, 1) if dialect.classifier == "conv1x1" and path == "head.linear.weight" else shape


def path_of(key: str, dialect: Dialect, plan: Plan) -> str | None:
    """Our path for a key of the source, whether or not the plan has it."""
    return _renamed(key, tuple((theirs, ours) for ours, theirs in dialect.names.items()), plan)


def _renamed(tensor: str, pairs: tuple[tuple[str, str], ...], plan: Plan) -> str | None:
    if not pairs:
        return tensor
    module, _, leaf = tensor.rpartition(".")
    last = sum(isinstance(layer.op, Convolution) for layer in plan.stages[-1][-1].streams[0].bodies[0])
    for template, target in pairs:
        match = _pattern(template.replace("{last}", str(last))).fullmatch(module)
        if match:
            numbers = {name.lower(): int(digits) - name.isupper() for name, digits in match.groupdict().items()}
            plus_one = {name.upper(): number + 1 for name, number in numbers.items()}
            return f"{target.format(**numbers, **plus_one, last=last)}.{leaf}"
    return None


@cache
def _pattern(template: str) -> re.Pattern[str]:
    """The pattern of a template, with a group for each number."""
    seen: set[str] = set()

    def group(match: re.Match[str]) -> str:
        name = match[1]
        known = name in seen
        seen.add(name)
        return rf"(?P={name})" if known else rf"(?P<{name}>\d{{1,5}})"

    return re.compile(re.sub(r"\\\{(\w)\\\}", group, re.escape(template)), re.ASCII)


_TORCHVISION: Names = {
    "stem.conv": "conv1",
    "stem.norm": "bn1",
    "stages.{s}.{u}.body.conv{n}": "layer{S}.{u}.conv{n}",
    "stages.{s}.{u}.body.norm{n}": "layer{S}.{u}.bn{n}",
    "stages.{s}.{u}.shortcut.conv": "layer{S}.{u}.downsample.0",
    "stages.{s}.{u}.shortcut.norm": "layer{S}.{u}.downsample.1",
    "head.linear": "fc",
}

_TIMM_DEEP_STEM: Names = {
    **{f"stem.conv{'' if n == 1 else n}": f"conv1.{3 * n - 3}" for n in (1, 2, 3)},
    **{f"stem.norm{'' if n == 1 else n}": f"conv1.{3 * n - 2}" for n in (1, 2)},
    "stem.norm3": "bn1",
}
_TIMM_POOLED: Names = {
    "stages.{s}.{u}.shortcut.conv": "layer{S}.{u}.downsample.1",
    "stages.{s}.{u}.shortcut.norm": "layer{S}.{u}.downsample.2",
}

_TIMM_SE: Names = {
    "stages.{s}.{u}.attention.conv": "layer{S}.{u}.se.fc1",
    "stages.{s}.{u}.attention.conv2": "layer{S}.{u}.se.fc2",
}
_TIMM_SLICES: Names = {
    f"stages.{{s}}.{{u}}.{ours}": f"layer{{S}}.{{u}}.{theirs}"
    for part, layer in (("conv", "conv"), ("norm", "bn"))
    for ours, theirs in (
        (f"first.{part}", f"{layer}1"),
        (f"bodies.{{n}}.{part}1", f"{layer}s.{{n}}"),
        (f"merged.{part}", f"{layer}3"),
    )
}
_TIMM_ECA: Names = {"stages.{s}.{u}.attention.conv": "layer{S}.{u}.se.conv"}
_CV_SE: Names = {
    "stages.{s}.{u}.attention.conv": "features.stage{S}.unit{U}.se.conv1",
    "stages.{s}.{u}.attention.conv2": "features.stage{S}.unit{U}.se.conv2",
}

_TIMM_V2: Names = {
    "stem.conv": "stem.conv",
    "stages.{s}.{u}.first.norm": "stages.{s}.blocks.{u}.norm1",
    "stages.{s}.{u}.body.conv{n}": "stages.{s}.blocks.{u}.conv{n}",
    "stages.{s}.{u}.body.norm{n}": "stages.{s}.blocks.{u}.norm{N}",
    "stages.{s}.{u}.shortcut.conv": "stages.{s}.blocks.{u}.downsample.conv",
    "head.norm": "norm",
    "head.linear": "head.fc",
}


def _of_regnet(*of_unit: tuple[str, str]) -> Names:
    """The names of torchvision's RegNets; the tensors of a unit are given with their names there."""
    shortcut = (("shortcut.conv", "proj.0"), ("shortcut.norm", "proj.1"))
    units = {
        f"stages.{{s}}.{{u}}.{ours}": f"trunk_output.block{{S}}.block{{S}}-{{u}}.{theirs}"
        for ours, theirs in (*of_unit, *shortcut)
    }
    return {"stem.conv": "stem.0", "stem.norm": "stem.1", **units, "head.linear": "fc"}


_REGNET_FIRST = (
    *(("body.conv1", "f.a.0"), ("body.norm1", "f.a.1")),
    *(("body.conv2", "f.b.0"), ("body.norm2", "f.b.1")),
)
_REGNET_X_NAMES = _of_regnet(*_REGNET_FIRST, ("body.conv3", "f.c.0"), ("body.norm3", "f.c.1"))
_REGNET_Y_NAMES = _of_regnet(
    *_REGNET_FIRST,
    *(("attention.conv", "f.se.fc1"), ("attention.conv2", "f.se.fc2")),
    *(("merged.conv", "f.c.0"), ("merged.norm", "f.c.1")),
)
"""Attention stands before the last convolution, which is therefore not part of the body here."""

_CV_STEM: Names = {"stem.conv": "features.init_block.conv", "stem.norm": "features.init_block.bn"}
_CV_STEM_BARE: Names = {"stem.conv": "features.init_block"}
_CV_STEM_NESTED: Names = {"stem.conv": "features.init_block.conv.conv", "stem.norm": "features.init_block.conv.bn"}

_CV_POST: Names = {
    "stages.{s}.{u}.body.conv{n}": "features.stage{S}.unit{U}.body.conv{n}.conv",
    "stages.{s}.{u}.body.norm{n}": "features.stage{S}.unit{U}.body.conv{n}.bn",
    "stages.{s}.{u}.shortcut.conv": "features.stage{S}.unit{U}.identity_conv.conv",
    "stages.{s}.{u}.shortcut.norm": "features.stage{S}.unit{U}.identity_conv.bn",
    "head.linear": "output",
}
_CV_PRE: Names = {
    "stages.{s}.{u}.first.norm": "features.stage{S}.unit{U}.body.conv1.bn",
    "stages.{s}.{u}.body.norm{last}": "features.stage{S}.unit{U}.bn",
    "stages.{s}.{u}.body.norm{n}": "features.stage{S}.unit{U}.body.conv{N}.bn",
    "stages.{s}.{u}.body.conv{n}": "features.stage{S}.unit{U}.body.conv{n}.conv",
    "stages.{s}.{u}.shortcut.conv": "features.stage{S}.unit{U}.identity_conv",
    "head.norm": "features.post_activ.bn",
    "head.linear": "output",
}
"""Pre-activated and pyramidal units; only the latter have a norm after their last convolution."""


_SHARED: Traits = {
    "streams": ("one stream",),
    "basic": ("on the first 3x3",),
    "bottleneck": ("on the 3x3",),
    "halving": ("where each later stage begins",),
    "eps": ("1e-05",),
}
_POST: Traits = {
    **_SHARED,
    "opening": ("nothing",),
    "order": ("post-activation",),
    "shortcut": ("x", "conv1x1-norm of x"),
    "head": ("pool",),
}
_PRE: Traits = {
    **_SHARED,
    "opening": ("norm-relu",),
    "order": ("pre-activation",),
    "shortcut": ("x", "conv1x1 of norm-relu of x"),
    "head": ("norm-relu-pool",),
}
_PYRAMIDAL: Traits = {
    **_SHARED,
    "opening": ("norm",),
    "order": ("pyramidal",),
    "shortcut": ("x", "zeros of x", "avgpool2x2 of x", "avgpool2x2-zeros of x"),
    "head": ("norm-relu-pool",),
}
_IMAGENET: Traits = {"stem": ("conv7x7/2-norm-relu-maxpool3x3/2",)}
_EITHER: Traits = {"bottleneck": ("on the first 1x1", "on the 3x3")}
"""pytorchcv's resnet50 and resnet50b differ in this alone, and their files do not say which of them they hold."""

_DEEP_STEM: Traits = {"stem": (f"conv3x3/2-norm-relu-{'-'.join(['conv3x3-norm-relu'] * 2)}-maxpool3x3/2",)}
_POOLED: Traits = {"shortcut": (*_POST["shortcut"], "avgpool2x2-conv1x1-norm of x")}

_EXCITED: Traits = {"order": ("post-activation with attention of conv1x1+bias-relu-conv1x1+bias-sigmoid",)}

_SLICES: Traits = {
    "streams": (
        "bodies joined by cascade",
        "bodies joined by slices",
        *(f"1 streams of {n} bodies" for n in range(2, 257)),
    ),
    "opening": ("conv1x1-norm-relu",),
    "basic": ("on the 3x3",),
    "order": ("(conv1x1-norm-relu)-(conv-())-(norm-relu)-(conv1x1-norm)-sum-(relu)",),
}

_CHANNEL_ATTENTION: Traits = {"order": ("post-activation with attention of channelconv-sigmoid",)}

_REGNET_X: Traits = {**_POST, "stem": ("conv3x3/2-norm-relu",), "halving": ("where every stage begins",)}
_REGNET_Y: Traits = {
    **_REGNET_X,
    "basic": ("on the 3x3",),
    "order": (
        "(nothing)-(conv-(norm-relu))-(norm-relu)-(conv1x1-norm)-sum-(relu)"
        " with attention of conv1x1+bias-relu-conv1x1+bias-sigmoid",
    ),
}

_RESNET = Dialect(names=_TORCHVISION, traits={**_POST, **_IMAGENET})

SOURCES: Mapping[str, tuple[Dialect, ...]] = {
    "torchvision": (
        _RESNET,
        Dialect(names=_REGNET_X_NAMES, traits=_REGNET_X),
        Dialect(names=_REGNET_Y_NAMES, traits=_REGNET_Y),
    ),
    "timm": (
        _RESNET,
        Dialect(names={**_TORCHVISION, **_TIMM_DEEP_STEM}, traits={**_POST, **_DEEP_STEM}),
        Dialect(names={**_TORCHVISION, **_TIMM_DEEP_STEM, **_TIMM_POOLED}, traits={**_POST, **_DEEP_STEM, **_POOLED}),
        Dialect(names={**_TORCHVISION, **_TIMM_SE}, traits={**_POST, **_IMAGENET, **_EXCITED}),
        Dialect(
            names={**_TORCHVISION, **_TIMM_DEEP_STEM, **_TIMM_POOLED, **_TIMM_ECA},
            traits={**_POST, **_DEEP_STEM, **_POOLED, **_CHANNEL_ATTENTION},
        ),
        Dialect(names={**_TORCHVISION, **_TIMM_ECA}, traits={**_POST, **_IMAGENET, **_CHANNEL_ATTENTION}),
        Dialect(names={**_TIMM_SLICES, **_TORCHVISION}, traits={**_POST, **_IMAGENET, **_SLICES}),
        Dialect(names=_TIMM_V2, traits={**_PRE, "stem": ("conv7x7/2-maxpool3x3/2",)}, classifier="conv1x1"),
    ),
    "pytorchcv": (
        Dialect(names={**_CV_STEM, **_CV_POST}, traits={**_POST, "stem": ("conv3x3-norm-relu",)}),
        Dialect(names={**_CV_STEM_NESTED, **_CV_POST}, traits={**_POST, **_IMAGENET, **_EITHER}),
        Dialect(names={**_CV_STEM, **_CV_POST, **_CV_SE}, traits={**_POST, "stem": ("conv3x3-norm-relu",), **_EXCITED}),
        Dialect(names={**_CV_STEM_BARE, **_CV_PRE}, traits={**_PRE, "stem": ("conv3x3",)}),
        Dialect(names={**_CV_STEM, **_CV_PRE}, traits={**_PRE, **_IMAGENET, **_EITHER}),
        Dialect(names={**_CV_STEM, **_CV_PRE}, traits={**_PYRAMIDAL, "stem": ("conv3x3-norm",)}),
        Dialect(names={**_CV_STEM, **_CV_PRE}, traits={**_PYRAMIDAL, **_IMAGENET}),
    ),
    "resatlas": (Dialect(names={}, traits={}),),
}
