"""The papers, and which of them a network uses: those that its parts come from, and the one that it stands in."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from resatlas.arch.blueprint import Blueprint
from resatlas.arch.ops import Dropout, Norm, Relu, Scale
from resatlas.arch.streams import Single
from resatlas.arch.widths import PerStage
from resatlas.designs.catalog import Entry


@dataclass(frozen=True, kw_only=True)
class Paper:
    """What a reference needs: the version in the proceedings, with its number on arXiv."""

    key: str
    title: str
    authors: tuple[str, ...]
    booktitle: str
    year: int
    arxiv: str


def papers_of(entry: Entry) -> tuple[Paper, ...]:
    """Exactly the papers that a network uses, in the order in which they appeared."""
    own = type(entry.design).__module__.rpartition(".")[2]
    return tuple(paper for file, paper in PAPERS.items() if file == own or PARTS[file](entry.blueprint))


def bibtex(paper: Paper) -> str:
    """The reference as BibTeX, in ASCII."""
    fields = {
        "title": paper.title,
        "author": " and ".join(paper.authors).replace("á", r"{\'a}"),
        "booktitle": paper.booktitle,
        "year": paper.year,
        "eprint": paper.arxiv,
        "archiveprefix": "arXiv",
    }
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items()]
    return "\n".join([f"@inproceedings{{{paper.key},", *lines, "}"])


_CVPR = "IEEE Conference on Computer Vision and Pattern Recognition (CVPR)"

PAPERS: Mapping[str, Paper] = {
    "resnet": Paper(
        key="he2016deep",
        title="Deep Residual Learning for Image Recognition",
        authors=("Kaiming He", "Xiangyu Zhang", "Shaoqing Ren", "Jian Sun"),
        booktitle=_CVPR,
        year=2016,
        arxiv="1512.03385",
    ),
    "preact_resnet": Paper(
        key="he2016identity",
        title="Identity Mappings in Deep Residual Networks",
        authors=("Kaiming He", "Xiangyu Zhang", "Shaoqing Ren", "Jian Sun"),
        booktitle="European Conference on Computer Vision (ECCV)",
        year=2016,
        arxiv="1603.05027",
    ),
    "wide_resnet": Paper(
        key="zagoruyko2016wide",
        title="Wide Residual Networks",
        authors=("Sergey Zagoruyko", "Nikos Komodakis"),
        booktitle="British Machine Vision Conference (BMVC)",
        year=2016,
        arxiv="1605.07146",
    ),
    "pyramidnet": Paper(
        key="han2017pyramidal",
        title="Deep Pyramidal Residual Networks",
        authors=("Dongyoon Han", "Jiwhan Kim", "Junmo Kim"),
        booktitle=_CVPR,
        year=2017,
        arxiv="1610.02915",
    ),
    "resnext": Paper(
        key="xie2017aggregated",
        title="Aggregated Residual Transformations for Deep Neural Networks",
        authors=("Saining Xie", "Ross Girshick", "Piotr Dollár", "Zhuowen Tu", "Kaiming He"),
        booktitle=_CVPR,
        year=2017,
        arxiv="1611.05431",
    ),
    "dmrnet": Paper(
        key="zhao2018mergeandrun",
        title="Deep Convolutional Neural Networks with Merge-and-Run Mappings",
        authors=(
            *("Liming Zhao", "Mingjie Li", "Depu Meng", "Xi Li"),
            *("Zhaoxiang Zhang", "Yueting Zhuang", "Zhuowen Tu", "Jingdong Wang"),
        ),
        booktitle="International Joint Conference on Artificial Intelligence (IJCAI)",
        year=2018,
        arxiv="1611.07718",
    ),
}
"""The papers by the file of their designs, in the order of their numbers on arXiv.

Differs: on arXiv the last one is by Liming Zhao, Jingdong Wang, Xi Li, Zhuowen Tu and Wenjun Zeng.
"""


def _resnet(_blueprint: Blueprint) -> bool:
    """Every network here: stages of units with shortcuts, or their plain twins."""
    return True


def _identity_mappings(blueprint: Blueprint) -> bool:
    """Ops before the first convolution, another end than a relu, a changed shortcut, or units of one convolution."""
    unit, order = blueprint.residual, blueprint.residual.order
    changed = order.shortcut or unit.gate or Scale in _kinds(order.merged)
    return bool(order.first or changed or order.after_sum != (Relu(),) or len(unit.convs) == 1)


def _wide(blueprint: Blueprint) -> bool:
    """Dropout between the convolutions, or stages of undivided convolutions wider than the stem."""
    unit, widths = blueprint.residual, blueprint.widths
    divided = unit.bodies > 1 or any(conv.groups > 1 for conv in unit.convs)
    wider = isinstance(widths, PerStage) and widths.widths[0] * unit.convs[0].width > blueprint.stem.width
    return Dropout in _kinds(unit.order.between) or (wider and not divided)


def _pyramidal(blueprint: Blueprint) -> bool:
    """Widths that grow unit by unit, or a pre-activated unit without its first relu or with a norm behind."""
    order = blueprint.residual.order
    reordered = Norm in _kinds(order.first) and (Relu not in _kinds(order.first) or Norm in _kinds(order.last))
    return reordered or not isinstance(blueprint.widths, PerStage)


def _aggregated(blueprint: Blueprint) -> bool:
    """Convolutions in groups, or parallel bodies that are normalised once they are one tensor."""
    unit = blueprint.residual
    return any(conv.groups > 1 for conv in unit.convs) or (unit.bodies > 1 and Norm in _kinds(unit.order.merged))


def _merge_and_run(blueprint: Blueprint) -> bool:
    """Several streams, or parallel bodies that are each normalised under one shortcut."""
    unit = blueprint.residual
    parallel = unit.bodies > 1 and Norm not in _kinds(unit.order.merged)
    return parallel or not isinstance(blueprint.streams, Single)


def _kinds(rules: tuple[object, ...]) -> set[type]:
    return {type(rule) for rule in rules}


PARTS: Mapping[str, Callable[[Blueprint], bool]] = {
    "resnet": _resnet,
    "preact_resnet": _identity_mappings,
    "wide_resnet": _wide,
    "pyramidnet": _pyramidal,
    "resnext": _aggregated,
    "dmrnet": _merge_and_run,
}
"""Whether a blueprint has parts of a paper, by the same files."""
