"""What an ejected file calls its network, and which sections of which papers it names."""

from typing import NamedTuple

from resatlas.designs.catalog import Entry
from resatlas.designs.citations import PAPERS
from resatlas.designs.dmrnet import DilNet, DmrNet, FusedNet, IjcaiResNet
from resatlas.designs.preact_resnet import PreActResNet
from resatlas.designs.pyramidnet import PyramidNet
from resatlas.designs.resnet import Plain, ResNet
from resatlas.designs.resnext import ResNeXt
from resatlas.designs.wide_resnet import WideResNet


def _reference(key: str) -> str:
    """He et al., "Deep Residual Learning for Image Recognition", arXiv:1512.03385."""
    paper = PAPERS[key]
    families = [author.rpartition(" ")[2] for author in paper.authors]
    authors = f"{families[0]} et al." if len(families) > 2 else " and ".join(families)
    return f'{authors}, "{paper.title}", arXiv:{paper.arxiv}'


RESNET = _reference("resnet")
PREACT = _reference("preact_resnet")
WIDE = _reference("wide_resnet")
RESNEXT = _reference("resnext")
PYRAMID = _reference("pyramidnet")
DMRNET = _reference("dmrnet")


class Origin(NamedTuple):
    """The name of a network's class, and a sentence for each of its papers."""

    network: str
    sources: tuple[str, ...]


def origin(entry: Entry) -> Origin:
    """Where the network of an entry comes from; a cross has no paper of its own."""
    match entry.design:
        case ResNet() as design:
            return Origin("ResNet", _resnet(design))
        case Plain(setting=setting):
            return Origin("PlainNet", (f"{RESNET}: the plain networks of {_setting(setting)}.",))
        case PreActResNet() as design:
            return Origin("PreActResNet", _preact(design))
        case WideResNet() as design:
            return Origin("WideResNet", _wide(design))
        case ResNeXt(form=form, setting=setting):
            where = "sections 3 and 4, Table 1" if setting == "imagenet" else "sections 3 to 5"
            return Origin("ResNeXt", (f"{RESNEXT}: {where}, the block of Fig. 3({form}).",))
        case PyramidNet(variant=variant):
            return Origin("PyramidNet", (f"{PYRAMID}: section 3, the unit ({variant}).",))
        case DmrNet() as design:
            return Origin("DMRNet", _dmrnet(design))
        case DilNet():
            return Origin("DILNet", (f"{DMRNET}: section 3, the inception-like blocks.",))
        case FusedNet(blocks=blocks):
            return Origin("ResNet", (f"{DMRNET}: Fig. 6, a plain network cut into {blocks} residual units.",))
        case IjcaiResNet():
            return Origin("ResNet", (f"{DMRNET}: the ResNet that its IJCAI version compares with.",))
        case _:
            return Origin("Network", ())


def _setting(setting: str) -> str:
    return "section 4.2" if setting == "cifar" else "section 3.3 and Table 1"


def _resnet(design: ResNet) -> tuple[str, ...]:
    option = design.shortcut or ("A" if design.setting == "cifar" and design.unit != "bottleneck" else "B")
    lines = [f"{RESNET}: {_setting(design.setting)}, shortcuts of option {option[0]} (section 4.1)."]
    if design.unit == "single":
        lines.append(f"{PREACT}: Table 3, skips of one layer.")
    if design.order != "post-activation":
        lines.append(f"{PREACT}: Table 2, {design.order}.")
    if design.modified != "none":
        lines.append(f"{PREACT}: Table 1, the shortcut modified by {design.modified}.")
    return tuple(lines)


def _preact(design: PreActResNet) -> tuple[str, ...]:
    lines = [f"{PREACT}: full pre-activation, section 4 and the appendix."]
    if design.unit == "single":
        lines.append(f"{PREACT}: Table 3, skips of one layer.")
    if design.wiring == "fb" or (design.wiring is None and design.setting == "imagenet"):
        lines.append("fb.resnet.torch, models/preresnet.lua, for what the shortcuts read.")
    return tuple(lines)


def _wide(design: WideResNet) -> tuple[str, ...]:
    if design.setting == "imagenet":
        return (f"{WIDE}: section 3, the networks for ImageNet; authors' pretrained/wide-resnet.lua.",)
    kernels = design.kernels if design.deepening == 2 else "3" * design.deepening
    dropped = " with dropout (section 2.4)" if design.dropout else ""
    return (f"{WIDE}: Table 1, blocks B({','.join(kernels)}) of section 2.1{dropped}.",)


def _dmrnet(design: DmrNet) -> tuple[str, ...]:
    compared = ", Table 5" if design.skip == "identity" or design.ends == "separate" else ""
    return (f"{DMRNET}: section 3{compared}; {_VERSIONS[design.version]}.",)


_VERSIONS = {
    "cifar": "authors' network/cross.py",
    "v2": "authors' first network/imagenet/symbol_cross.py",
    "ijcai": "the IJCAI version's network/imagenet/symbol_cross.py",
}
