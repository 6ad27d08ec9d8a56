"""Names follow a grammar: all valid members of a family resolve, and other names get the nearest name."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import get_args, get_origin, get_type_hints

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from resatlas.arch.cost import cost_by_path
from resatlas.arch.ops import Shape
from resatlas.designs.catalog import FAMILIES, matching, named, resolve
from resatlas.designs.dmrnet import DilNet, DmrNet, FusedNet, IjcaiResNet
from resatlas.designs.preact_resnet import PreActResNet
from resatlas.designs.pyramidnet import PyramidNet
from resatlas.designs.resnet import Plain, ResNet
from resatlas.designs.resnext import ResNeXt
from resatlas.designs.tasks import IMAGENET_UNITS, Design
from resatlas.designs.wide_resnet import WideResNet
from resatlas.errors import BlueprintError, DesignError, UnknownName, UsageError

NEEDED: dict[str, str] = {"pyramidnet": ",alpha=48"}
"""What a family needs beside its depth."""


def claims(name: str) -> list[Design]:
    """What each grammar makes of a name, where it makes anything; families of one file share theirs."""
    readers = dict.fromkeys(family.grammar.read for family in FAMILIES.values())
    grammars = [next(f.grammar for f in FAMILIES.values() if f.grammar.read is reader) for reader in readers]
    return [design for grammar in grammars if (design := grammar.design(name))]


@pytest.mark.parametrize(
    ("text", "design"),
    [
        ("resnet-20", ResNet(depth=20)),
        ("resnet-1202", ResNet(depth=1202)),
        ("resnet-20-B", ResNet(depth=20, shortcut="B")),
        ("plain-20", Plain(depth=20)),
        ("plain-34", Plain(depth=34, setting="imagenet")),
        ("resnet-18-B", ResNet(depth=18, setting="imagenet", shortcut="B")),
        ("resnet-34-C", ResNet(depth=34, setting="imagenet", shortcut="C")),
        ("resnet-50", ResNet(depth=50, setting="imagenet")),
        ("resnet-101", ResNet(depth=101, setting="imagenet")),
        ("resnet-152", ResNet(depth=152, setting="imagenet")),
        ("resnet-200", ResNet(depth=200, setting="imagenet")),
        ("resnet-50-v1.5", ResNet(depth=50, setting="imagenet", stride="3x3")),
        ("preact-resnet-110", PreActResNet(depth=110)),
        ("preact-resnet-164", PreActResNet(depth=164, unit="bottleneck")),
        ("preact-resnet-1001", PreActResNet(depth=1001, unit="bottleneck")),
        ("preact-resnet-200", PreActResNet(depth=200, setting="imagenet")),
        ("resnet-164-bottleneck", ResNet(depth=164, unit="bottleneck")),
        ("wrn-28-10", WideResNet(depth=28, widen=Fraction(10))),
        ("wrn-40-2-B131", WideResNet(depth=40, widen=Fraction(2), kernels="131")),
        ("wrn-40-2-l3", WideResNet(depth=40, widen=Fraction(2), deepening=3)),
        ("imagenet-wrn-18-1.5", WideResNet(depth=18, widen=Fraction(3, 2), setting="imagenet")),
        ("imagenet-wrn-34-2", WideResNet(depth=34, widen=Fraction(2), setting="imagenet")),
        ("wrn-50-2", WideResNet(depth=50, widen=Fraction(2), setting="imagenet")),
        ("resnext-29-8x64d", ResNeXt(depth=29, cardinality=8, width=64)),
        ("resnext-50-32x4d", ResNeXt(depth=50, setting="imagenet")),
        ("pyramidnet-110-a48", PyramidNet(depth=110, alpha=Fraction(48))),
        ("pyramidnet-110-m8", PyramidNet(depth=110, alpha=Fraction(8), growth="multiplicative")),
        ("pyramidnet-164-bottleneck-a270", PyramidNet(depth=164, alpha=Fraction(270), unit="bottleneck")),
        (
            "pyramidnet-200-bottleneck-a300",
            PyramidNet(depth=200, alpha=Fraction(300), unit="bottleneck", setting="imagenet"),
        ),
        (
            "pyramidnet-200-bottleneck-a450",
            PyramidNet(depth=200, alpha=Fraction(450), unit="bottleneck", setting="imagenet", dropout=0.5),
        ),
        ("resnet-110-bn-after-add", ResNet(depth=110, order="bn-after-add")),
        ("resnet-164-bottleneck-relu-only-preact", ResNet(depth=164, unit="bottleneck", order="relu-only-preact")),
        ("resnet-110-shortcut-scale-0.5-0.5", ResNet(depth=110, modified="scale-0.5-0.5")),
        ("resnet-110-shortcut-exclusive-gate-b-7", ResNet(depth=110, modified="exclusive-gate-b-7")),
        ("resnet-110-shortcut-shortcut-gate-b-6", ResNet(depth=110, modified="shortcut-gate-b-6")),
        ("resnet-110-shortcut-dropout-0.5", ResNet(depth=110, modified="dropout-0.5")),
        ("resnet-110-1-layer-skip", ResNet(depth=110, unit="single")),
        ("preact-resnet-110-1-layer-skip", PreActResNet(depth=110, unit="single")),
        ("preact-resnet-110-B-projected", PreActResNet(depth=110, shortcut="B", wiring="projected")),
        ("wrn-28-10-dropout", WideResNet(depth=28, widen=Fraction(10), dropout=0.3)),
        ("resnext-50-32x4d-noshortcut", ResNeXt(depth=50, setting="imagenet", shortcut="absent")),
        ("pyramidnet-110-a48-unit-b", PyramidNet(depth=110, alpha=Fraction(48), variant="b")),
        ("pyramidnet-110-a48-projection", PyramidNet(depth=110, alpha=Fraction(48), shortcut="projection")),
        ("dmrnet-56-swap", DmrNet(depth=56, skip="swap")),
        ("dmrnet-56-identity-separate", DmrNet(depth=56, skip="identity", ends="separate")),
        ("fuse3-110", FusedNet(depth=110)),
        ("fuse6-38", FusedNet(depth=38, blocks=6)),
        ("dmrnet-56", DmrNet(depth=56)),
        ("dmrnet-32-w4", DmrNet(depth=32, widen=4)),
        ("dmrnet-26-k3", DmrNet(depth=26, streams=3)),
        ("dmrnet-44-v2", DmrNet(depth=44, version="v2")),
        ("dmrnet-50-ijcai", DmrNet(depth=50, version="ijcai")),
        ("resnet-98-ijcai", IjcaiResNet()),
        ("dilnet-26", DilNet(depth=26)),
        ("cifar-resnet-50-B", ResNet(depth=50, shortcut="B")),
        ("cifar-plain-50", Plain(depth=50)),
    ],
)
def test_the_papers_names_resolve(text: str, design: Design) -> None:
    """A name of the catalogue is the paper's network, usual knobs said or not."""
    assert text in named()
    entry = resolve(text)
    assert entry.name == text
    assert entry.family == design.family
    assert entry.depth == design.depth
    assert entry.blueprint == design.blueprint()
    assert entry.design is not None
    assert entry.design.setting == design.setting


@pytest.mark.parametrize(
    ("text", "design"),
    [
        ("wrn-28-3", WideResNet(depth=28, widen=Fraction(3))),
        ("wrn-16-0.5", WideResNet(depth=16, widen=Fraction(1, 2))),
        ("wrn-34-10", WideResNet(depth=34, widen=Fraction(10))),
        ("imagenet-wrn-50-3", WideResNet(depth=50, widen=Fraction(3), setting="imagenet")),
        ("resnet-26", ResNet(depth=26)),
        ("resnet-8-w2", ResNet(depth=8, widen=2)),
        ("resnet-20-C", ResNet(depth=20, shortcut="C")),
        ("resnet-50-A", ResNet(depth=50, setting="imagenet", shortcut="A")),
        ("cifar-resnet-50", ResNet(depth=50)),
        ("resnet-29-bottleneck-v1.5", ResNet(depth=29, unit="bottleneck", stride="3x3")),
        ("plain-11-bottleneck", Plain(depth=11, unit="bottleneck")),
        ("resnet-101-bottleneck", ResNet(depth=101, unit="bottleneck")),
        ("preact-resnet-200-bottleneck", PreActResNet(depth=200, unit="bottleneck")),
        ("preact-resnet-20", PreActResNet(depth=20)),
        ("preact-resnet-29-bottleneck", PreActResNet(depth=29, unit="bottleneck")),
        ("resnext-38-16x8d", ResNeXt(depth=38, cardinality=16, width=8)),
        ("resnext-200-32x4d", ResNeXt(depth=200, setting="imagenet")),
        ("pyramidnet-56-a30", PyramidNet(depth=56, alpha=Fraction(30))),
        ("pyramidnet-56-m4.25", PyramidNet(depth=56, alpha=Fraction(17, 4), growth="multiplicative")),
        ("pyramidnet-29-bottleneck-a7.5", PyramidNet(depth=29, alpha=Fraction(15, 2), unit="bottleneck")),
        (
            "imagenet-pyramidnet-18-a60",
            PyramidNet(depth=18, alpha=Fraction(60), setting="imagenet"),
        ),
        ("cifar-pyramidnet-200-bottleneck-a300", PyramidNet(depth=200, alpha=Fraction(300), unit="bottleneck")),
        ("resnet-20-A", ResNet(depth=20, shortcut="A")),
        ("resnet-20-A-sides", ResNet(depth=20, shortcut="A-sides")),
        ("resnet-20-1-layer-skip", ResNet(depth=20, unit="single")),
        ("resnet-20-1-layer-skip-B", ResNet(depth=20, unit="single", shortcut="B")),
        ("plain-20-1-layer-skip", Plain(depth=20, unit="single")),
        ("resnet-20-bn-after-add", ResNet(depth=20, order="bn-after-add")),
        ("resnet-20-relu-before-add", ResNet(depth=20, order="relu-before-add")),
        ("resnet-20-B-w2-relu-only-preact", ResNet(depth=20, shortcut="B", widen=2, order="relu-only-preact")),
        ("resnet-20-post-activation", ResNet(depth=20)),
        ("resnet-29-bottleneck-bn-after-add", ResNet(depth=29, unit="bottleneck", order="bn-after-add")),
        ("resnet-50-relu-before-add", ResNet(depth=50, setting="imagenet", order="relu-before-add")),
        ("resnet-20-shortcut-none", ResNet(depth=20)),
        ("resnet-20-shortcut-scale-0.25-1", ResNet(depth=20, modified="scale-0.25-1")),
        ("resnet-20-shortcut-exclusive-gate-b-6.5", ResNet(depth=20, modified="exclusive-gate-b-6.5")),
        ("resnet-20-shortcut-shortcut-gate-b1", ResNet(depth=20, modified="shortcut-gate-b1")),
        ("resnet-20-shortcut-dropout-0.1", ResNet(depth=20, modified="dropout-0.1")),
        ("resnet-20-shortcut-conv1x1", ResNet(depth=20, shortcut="C")),
        (
            "resnet-20-bn-after-add-shortcut-dropout-0.1",
            ResNet(depth=20, order="bn-after-add", modified="dropout-0.1"),
        ),
        ("preact-resnet-20-fb", PreActResNet(depth=20, wiring="fb")),
        ("preact-resnet-20-B-projected", PreActResNet(depth=20, shortcut="B", wiring="projected")),
        ("preact-resnet-50-projected", PreActResNet(depth=50, setting="imagenet", wiring="projected")),
        ("preact-resnet-20-1-layer-skip", PreActResNet(depth=20, unit="single")),
        ("wrn-16-2-dropout", WideResNet(depth=16, widen=Fraction(2), dropout=0.3)),
        ("wrn-16-2-B131-dropout", WideResNet(depth=16, widen=Fraction(2), kernels="131", dropout=0.3)),
        ("wrn-40-2-l4-dropout", WideResNet(depth=40, widen=Fraction(2), deepening=4, dropout=0.3)),
        ("resnext-29-32x4d-form-a", ResNeXt(depth=29, form="a")),
        ("resnext-29-32x4d-form-b-noshortcut", ResNeXt(depth=29, form="b", shortcut="absent")),
        ("resnext-101-64x4d-noshortcut", ResNeXt(depth=101, cardinality=64, setting="imagenet", shortcut="absent")),
        ("pyramidnet-56-a30-unit-a", PyramidNet(depth=56, alpha=Fraction(30), variant="a")),
        (
            "pyramidnet-29-bottleneck-m4-unit-c-projection",
            PyramidNet(
                depth=29,
                alpha=Fraction(4),
                growth="multiplicative",
                unit="bottleneck",
                variant="c",
                shortcut="projection",
            ),
        ),
        (
            "pyramidnet-56-a30-projection-strided",
            PyramidNet(depth=56, alpha=Fraction(30), shortcut="projection-strided"),
        ),
        ("dmrnet-14-identity", DmrNet(depth=14, skip="identity")),
        ("dmrnet-14-k3-swap-concat", DmrNet(depth=14, streams=3, skip="swap", join="concat")),
        ("dmrnet-14-projector-separate", DmrNet(depth=14, skip="projector", ends="separate")),
        ("dmrnet-44-v2-sum", DmrNet(depth=44, version="v2", join="sum")),
        ("dmrnet-50-ijcai-identity", DmrNet(depth=50, version="ijcai", skip="identity")),
        ("fuse3-26", FusedNet(depth=26)),
        ("fuse6-26", FusedNet(depth=26, blocks=6)),
        ("dmrnet-26-w2-k3", DmrNet(depth=26, widen=2, streams=3)),
        ("dilnet-8-w2-k4", DilNet(depth=8, widen=2, branches=4)),
    ],
)
def test_members_that_no_paper_names_resolve(text: str, design: Design) -> None:
    """Any valid member of a family has a name."""
    assert text not in named()
    entry = resolve(text)
    assert entry.name == text
    assert entry.design == design


@pytest.mark.parametrize("name", named())
def test_the_grammar_gives_the_catalogue(name: str) -> None:
    """A name of the catalogue means what the grammar says, but for the pyramids of the ImageNet table."""
    design = named()[name].design
    if isinstance(design, PyramidNet) and design.setting == "imagenet":
        [claim] = claims(f"imagenet-{name}")
        assert replace(design, dropout=0.0) == claim
    else:
        assert claims(name) == [design]


@given(n=st.integers(1, 200), k=st.integers(1, 12))
@settings(max_examples=60, deadline=None)
def test_a_name_has_one_meaning(n: int, k: int) -> None:
    """Names of similar families are distinguished, and a depth of the ImageNet table is the ImageNet one."""
    deep = 6 * n + 2
    setting = "imagenet" if deep in IMAGENET_UNITS else "cifar"
    assert claims(f"resnet-{deep}") == [ResNet(depth=deep, setting=setting)]
    assert claims(f"preact-resnet-{deep}") == [PreActResNet(depth=deep, setting=setting)]
    assert claims(f"plain-{deep}") == [Plain(depth=deep, setting=setting)]
    assert claims(f"cifar-resnet-{deep}") == [ResNet(depth=deep)]
    assert claims(f"wrn-{6 * n + 4}-{k}") == [WideResNet(depth=6 * n + 4, widen=Fraction(k))]
    assert claims(f"dmrnet-{deep}-k{k}") == [DmrNet(depth=deep, streams=k)]
    assert claims(f"dilnet-{deep}-k{k}") == [DilNet(depth=deep, branches=k)]
    assert claims(f"pyramidnet-{deep}-a{k}") == [PyramidNet(depth=deep, alpha=Fraction(k))]
    assert claims(f"fuse3-{deep}") == [FusedNet(depth=deep)]
    assert claims(f"fuse6-{deep}") == [FusedNet(depth=deep, blocks=6)]
    assert claims(f"resnet-{deep}-1-layer-skip") == [ResNet(depth=deep, unit="single")]
    nines = 9 * n + 2
    where = "imagenet" if nines in IMAGENET_UNITS else "cifar"
    assert claims(f"resnext-{nines}-{k}x4d") == [ResNeXt(depth=nines, cardinality=k, setting=where)]


@pytest.mark.parametrize(("alias", "name"), [("resnet-18", "resnet-18-B"), ("resnet-34", "resnet-34-B")])
def test_a_bare_name_is_an_alias(alias: str, name: str) -> None:
    """The alias is the same network, and the catalogue lists it once."""
    assert alias not in named()
    assert resolve(alias).blueprint == resolve(name).blueprint


@pytest.mark.parametrize(
    ("text", "design"),
    [
        ("wrn-28-10:dropout=0.3", WideResNet(depth=28, widen=Fraction(10), dropout=0.3)),
        ("wrn-28-10:widen=3/2,dropout=0.3", WideResNet(depth=28, widen=Fraction(3, 2), dropout=0.3)),
        ("wrn-28-10:widen=1.5", WideResNet(depth=28, widen=Fraction(3, 2))),
        ("resnet-20:base=4", ResNet(depth=20, base=4)),
        ("resnet-20:base=none", ResNet(depth=20)),
        ("resnet-20:shortcut=none", ResNet(depth=20)),
        ("resnet-34:shortcut=C", ResNet(depth=34, setting="imagenet", shortcut="C")),
        ("resnet-98-ijcai:base=16", IjcaiResNet(base=16)),
        ("resnext-29-32x4d:form=b", ResNeXt(depth=29, form="b")),
        ("dmrnet-26:join=concat,base=8", DmrNet(depth=26, join="concat", base=8)),
        ("pyramidnet-110-a48:multiple_of=8", PyramidNet(depth=110, alpha=Fraction(48), multiple_of=8)),
        (
            "resnet-20:order=bn-after-add,modified=scale-0.5-1",
            ResNet(depth=20, order="bn-after-add", modified="scale-0.5-1"),
        ),
        ("preact-resnet-20:order=last-norm", PreActResNet(depth=20, order="last-norm")),
        ("fuse3-26:base=8", FusedNet(depth=26, base=8)),
        ("dmrnet-14:join=logits", DmrNet(depth=14, join="logits")),
        ("dmrnet-14:ends=separate,skip=swap", DmrNet(depth=14, ends="separate", skip="swap")),
        ("resnet:depth=20", ResNet(depth=20)),
        ("plain:depth=20,base=4", Plain(depth=20, base=4)),
        ("preact-resnet:depth=20", PreActResNet(depth=20)),
        ("wide-resnet:depth=28,widen=10", WideResNet(depth=28, widen=Fraction(10))),
        (
            "resnext:depth=29,cardinality=4,width=16,base=16",
            ResNeXt(depth=29, cardinality=4, width=16, base=16),
        ),
        ("pyramidnet:depth=20,alpha=48", PyramidNet(depth=20, alpha=Fraction(48))),
        (
            "pyramidnet:depth=20,alpha=4.75,growth=multiplicative",
            PyramidNet(depth=20, alpha=Fraction(19, 4), growth="multiplicative"),
        ),
        ("dmrnet:depth=14,streams=3", DmrNet(depth=14, streams=3)),
        ("dilnet:depth=14,branches=3", DilNet(depth=14, branches=3)),
    ],
)
def test_knobs_change_a_name_or_a_family(text: str, design: Design) -> None:
    """Behind the colon stand knobs, over those of the name or the family's usual ones."""
    entry = resolve(text)
    assert entry.name == text
    assert entry.design == design


@pytest.mark.parametrize(
    ("usual", "other"),
    [
        ("wrn-16-2", "wrn-16-2-dropout"),
        ("resnet-20", "resnet-20-shortcut-dropout-0.5"),
        ("resnet-20", "resnet-20-shortcut-scale-0.5-0.5"),
        ("resnet-20", "resnet-20-A-sides"),
        ("preact-resnet-20", "preact-resnet-20-fb"),
        ("dmrnet-14", "dmrnet-14-swap"),
        ("dmrnet-14", "dmrnet-14-identity-sum"),
        ("resnet-20-C", "resnet-20-shortcut-conv1x1"),
    ],
)
def test_what_learns_nothing_shifts_no_weights(usual: str, other: str) -> None:
    """Dropout, factors, zeros, wiring and skips leave the paths and the costs of the weights as they are."""
    usual_costs, other_costs = (cost_by_path(resolve(text).plan()) for text in (usual, other))
    assert list(usual_costs.items()) == list(other_costs.items())


@pytest.mark.parametrize("family", FAMILIES)
def test_no_choice_takes_a_word_that_is_none_of_its_own(family: str) -> None:
    """Every knob that chooses between words refuses any other, none included where it must be given."""
    choices = {
        knob: kind for knob, kind in get_type_hints(FAMILIES[family].design).items() if get_origin(kind) is not None
    }
    for knob, kind in choices.items():
        if type(None) not in get_args(kind) and knob != "family":
            with pytest.raises(BlueprintError):
                resolve(f"{family}:depth=20{NEEDED.get(family, '')},{knob}=none")


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("wrn2810", UnknownName, 'no design "wrn2810"; did you mean "wrn-28-10"?'),
        ("resnet", BlueprintError, 'family resnet needs the knob "depth", as in resnet:depth=…'),
        ("pyramidnet:depth=20", BlueprintError, 'family pyramidnet needs the knob "alpha", as in pyramidnet:alpha=…'),
        ("", UnknownName, 'no design ""; there are'),
        ("nothing-at-all", UnknownName, 'no design "nothing-at-all"; there are'),
        ("RES-20", UnknownName, 'no design "RES-20"; '),
        ("resnet-20 ", UnknownName, 'no design "resnet-20"; '),
        ("resnet-20-", UnknownName, 'no design "resnet-20-"; did you mean "resnet-20"'),
        ("resnet--20", UnknownName, 'no design "resnet--20"; did you mean "resnet-20"'),
        ("resnet-2e1", UnknownName, 'no design "resnet-2e1"; '),
        ("resnet-99999999999", UnknownName, 'no design "resnet-99999999999"; '),
        ("plain-20-B", UnknownName, 'no design "plain-20-B"; did you mean "plain-20"'),
        ("dilnet-26-v2", UnknownName, 'no design "dilnet-26-v2"; did you mean "dilnet-26"'),
        ("wrn-28-10-B22", UnknownName, 'no design "wrn-28-10-B22"; '),
        ("resnet-٢٠", UnknownName, 'no design "resnet-٢٠"; '),
        ("resnet-20:", BlueprintError, 'a knob is written key=value; got ""'),
        ("resnet-20:,", BlueprintError, 'a knob is written key=value; got "" (resnet-20: depth, setting, '),
        ("resnet-20:base", BlueprintError, 'a knob is written key=value; got "base" (resnet-20: depth, setting, '),
        ("resnet-20:base=", BlueprintError, 'a knob is written key=value; got "base=" (resnet-20: depth, '),
        ("resnet-20:=4", UnknownName, 'no knob of resnet-20 ""; there are depth, setting, '),
        ("resnet-20:base=4,", BlueprintError, 'a knob is written key=value; got "" (resnet-20: depth, setting, '),
        ("resnet-20:base=4,base=4", BlueprintError, 'knob "base" of resnet-20 is given twice'),
        ("resnet-20:bsae=4", UnknownName, 'no knob of resnet-20 "bsae"; did you mean "base"?'),
        ("resnet-20:family=plain", UnknownName, 'no knob of resnet-20 "family"; there are depth, setting, '),
        ("resnet-20:__class__=x", UnknownName, 'no knob of resnet-20 "__class__"; there are depth, setting, '),
        ("resnet-20:base=4.5", BlueprintError, 'resnet-20: base needs a whole number; got "4.5"'),
        ("resnet-20:base=true", BlueprintError, 'resnet-20: base needs a whole number; got "true"'),
        ("resnet:depth=1e9", BlueprintError, 'resnet: depth needs a whole number; got "1e9"'),
        ("resnet:depth=none", BlueprintError, 'resnet: depth needs a whole number; got "none"'),
        ("resnet-20:shortcut=D", BlueprintError, 'resnet-20: shortcut: no value "D"; there are A, A-sides, B, C'),
        (
            "resnet-20:unit=botleneck",
            BlueprintError,
            'resnet-20: unit: no value "botleneck"; did you mean "bottleneck"',
        ),
        (
            "wrn-28-10:widen=x",
            BlueprintError,
            'wrn-28-10: widen: expected a fraction such as "1/4" or 0.25, got "x"',
        ),
        (
            "wrn-28-10:widen=1/0",
            BlueprintError,
            'wrn-28-10: widen: expected a fraction such as "1/4" or 0.25, got "1/0"',
        ),
        ("wrn-28-10:dropout=x", BlueprintError, 'wrn-28-10: dropout needs a number; got "x"'),
        ("wrn-28-10:dropout=nan", DesignError, "a dropout rate must be in [0, 1); got nan"),
        ("wrn-28-10:dropout=inf", DesignError, "a dropout rate must be in [0, 1); got inf"),
        ("wrn-28-10:dropout=-0.1", DesignError, "a dropout rate must be in [0, 1); got -0.1"),
        ("wrn-28-10:kernels=22", DesignError, 'kernels are a word of 1s and 3s, such as 33 or 131; got "22"'),
        (
            "wrn-40-2-B131:deepening=3",
            DesignError,
            "kernels and deepening both set the convolutions of a unit; give one",
        ),
        ("wrn-50-2:dropout=0.3", DesignError, "a wide ResNet for ImageNet has no dropout, kernels or deepening"),
        ("wrn-28-0.1", UsageError, "widths are whole numbers of channels; base times widen gives 8/5"),
        ("wrn-28-0", UsageError, "a wide ResNet has widen between 0 and 1024; got 0"),
        ("wrn-28-9999", UsageError, "a wide ResNet has widen between 0 and 1024; got 9999"),
        ("resnet-20-w0", UsageError, "a unit is 1 to 65,536 channels wide; got 0"),
        ("resnet-20:base=-16", UsageError, "a unit is 1 to 65,536 channels wide; got -16"),
        ("resnet-20:base=99999", UsageError, "a unit is 1 to 65,536 channels wide; got 99,999"),
        ("resnext-29-32x4d:base=8", UsageError, "a group of this ResNeXt has base·width/64 channels, a whole number; "),
        ("resnext-29-0x4d", UsageError, ""),
        (
            "resnet-20:stride=3x3",
            DesignError,
            "only a bottleneck can have its stride on the 3x3 in the middle; this unit is basic",
        ),
        (
            "preact-resnet-20-1-layer-skip-v1.5",
            DesignError,
            "only a bottleneck can have its stride on the 3x3 in the middle; this unit is single",
        ),
        (
            "resnet:depth=18,setting=imagenet,unit=single",
            DesignError,
            "a ResNet for ImageNet has basic units or bottlenecks; single ones are for CIFAR",
        ),
        ("plain-20-bn-after-add", UnknownName, 'no design "plain-20-bn-after-add"; did you mean '),
        ("plain-20-shortcut-dropout-0.5", UnknownName, 'no design "plain-20-shortcut-dropout-0.5"; '),
        ("plain-20-A-sides", UnknownName, 'no design "plain-20-A-sides"; '),
        ("plain-20:order=bn-after-add", UnknownName, 'no knob of plain-20 "order"; there are depth, setting, '),
        ("resnet-20-pre-activation", UnknownName, 'no design "resnet-20-pre-activation"; '),
        (
            "resnet-20:order=pre-activation",
            BlueprintError,
            'resnet-20: order: no value "pre-activation"; did you mean "post-activation"',
        ),
        (
            "preact-resnet-20:order=post-activation",
            BlueprintError,
            'preact-resnet-20: order: no value "post-activation"; did you mean "pre-activation"',
        ),
        ("resnet-20-shortcut-nonsense", DesignError, "a shortcut is modified by scale-0.5-0.5, exclusive-gate-b-6, "),
        ("resnet-20-shortcut-scale-0.5", DesignError, "a shortcut is modified by scale-0.5-0.5, exclusive-gate-b-6, "),
        ("resnet-20-shortcut-", UnknownName, 'no design "resnet-20-shortcut-"; '),
        (
            "resnet-20:modified=scale-0-1",
            DesignError,
            "a constant factor must be in (0, 1024]; got 0 (for 0, use an absent shortcut)",
        ),
        ("resnet-20:modified=scale-0.5", DesignError, "a shortcut is modified by scale-0.5-0.5, exclusive-gate-b-6, "),
        ("resnet-20-shortcut-exclusive-gate-b-99", DesignError, "a gate's bias starts between -64 and 64; got -99.0"),
        ("resnet-20-shortcut-dropout-0.5-bn-after-add", DesignError, "a shortcut is modified by "),
        ("preact-resnet-20-C", UnknownName, 'no design "preact-resnet-20-C"; '),
        ("preact-resnet-20-fb-projected", UnknownName, 'no design "preact-resnet-20-fb-projected"; '),
        (
            "preact-resnet-20:wiring=paper2",
            BlueprintError,
            'preact-resnet-20: wiring: no value "paper2"; did you mean "',
        ),
        ("wrn-16-2-dropout-B131", UnknownName, 'no design "wrn-16-2-dropout-B131"; '),
        ("wrn-50-2-dropout", DesignError, "a wide ResNet for ImageNet has no dropout, kernels or deepening"),
        ("resnext-29-32x4d-form-d", UnknownName, 'no design "resnext-29-32x4d-form-d"; '),
        ("resnext-29-32x4d:shortcut=A", BlueprintError, 'resnext-29-32x4d: shortcut: no value "A"; '),
        ("resnext-29-32x4d-noshortcut-form-a", UnknownName, 'no design "resnext-29-32x4d-noshortcut-form-a"; '),
        ("pyramidnet-110-a48-unit-e", UnknownName, 'no design "pyramidnet-110-a48-unit-e"; did you mean '),
        ("pyramidnet-110-a48-projection-unit-a", UnknownName, 'no design "pyramidnet-110-a48-projection-unit-a"; '),
        ("dmrnet:ends=separate,join=sum", BlueprintError, 'family dmrnet needs the knob "depth", as in dmrnet:depth=…'),
        (
            "dmrnet:depth=14,ends=separate,join=sum",
            DesignError,
            "separate ends join in the logits; join sum needs shared ends",
        ),
        ("dmrnet-14-merge-separate", DesignError, "separate ends join in the logits; join merge needs shared ends"),
        ("dmrnet-14-shuffle", UnknownName, 'no design "dmrnet-14-shuffle"; '),
        ("dmrnet-14-sum-swap", UnknownName, 'no design "dmrnet-14-sum-swap"; '),
        ("dilnet-14-identity", UnknownName, 'no design "dilnet-14-identity"; '),
        ("fuse3-20-k2", UnknownName, 'no design "fuse3-20-k2"; did you mean "fuse3-20"'),
        ("fuse4-20", UnknownName, 'no design "fuse4-20"; did you mean '),
        ("fuse3-20:blocks=4", BlueprintError, "fuse3-20: blocks: "),
        ("fuse6-21", UsageError, "a fused network has depth 6n + 2; 21 is not (nearest: 20, 26)"),
        ("fuse3-4004", UsageError, "a fused network has at most depth 3998; got 4004"),
        ("fuse3-3998", DesignError, "a unit has 1 to 512 convolutions; got 1332"),
        ("pyramidnet-110-m0.5", UsageError, "a multiplicative pyramid widens by a factor alpha of 1 to 4096; got 1/2"),
        ("pyramidnet-110-a99999", UsageError, "a unit is 1 to 65,536 channels wide; "),
        ("dmrnet-26-k0", UsageError, "merge-and-run has 1 to 64 streams; got 0"),
        ("dmrnet-26-k100", UsageError, "merge-and-run has 1 to 64 streams; got 100"),
        ("dilnet-26-k0", UsageError, "a unit has 1 to 256 bodies; got 0"),
    ],
)
def test_what_is_no_design_is_told(text: str, error: type[UsageError], words: str) -> None:
    """One line: what was given, what is allowed, and the nearest right name."""
    with pytest.raises(error) as refusal:
        resolve(text).plan()
    message = str(refusal.value)
    assert message.startswith(words)
    assert "\n" not in message


@pytest.mark.parametrize("text", ["resnet-20:a\nb", "resnet-20:a\nb=3", "resnet-20:base=4\n\n", "x\ny"])
def test_a_name_of_several_lines_is_refused_in_one(text: str) -> None:
    """For any name, the message is one line."""
    with pytest.raises(UsageError) as refusal:
        resolve(text)
    assert "\n" not in str(refusal.value)


@given(
    st.text(max_size=30) | st.sampled_from(sorted(named())).flatmap(lambda name: st.text(max_size=9).map(name.__add__))
)
@example("a/\0")
@settings(max_examples=40, deadline=None)
def test_any_text_is_a_design_or_is_refused(text: str) -> None:
    """No text, near a name or far from any, ends in another error than ours."""
    try:
        entry = resolve(text)
    except UsageError:
        return
    assert entry.name == text


def test_a_file_is_a_design(tmp_path: Path) -> None:
    """A TOML file resolves to its blueprint, image and classes, without a paper's depth."""
    path = tmp_path / "net.toml"
    path.write_text(
        'schema = 1\nname = "mine"\nimage = [1, 8, 8]\nclasses = 3\nunits = [1]\n[stem]\nwidth = 8\n'
        '[widths]\nrule = "doubling"\nstart = 8\n'
    )
    entry = resolve(str(path))
    assert (entry.name, entry.family, entry.depth, entry.design) == ("mine", "blueprint", None, None)
    assert (entry.plan().image, entry.plan().classes) == (Shape(1, 8, 8), 3)


def test_patterns_match_names_and_families() -> None:
    """A shell pattern picks names, a family's name picks the family."""
    assert [entry.name for entry in matching("wrn-22-*")] == ["wrn-22-8", "wrn-22-10", "wrn-22-2-B313"]
    assert {entry.family for entry in matching("dilnet")} == {"dilnet"}
    assert [entry.name for entry in matching()] == list(named())
    with pytest.raises(UnknownName, match=r'^no design matching "wrn-22"; did you mean .*"wrn-22-8"'):
        list(matching("wrn-22"))
