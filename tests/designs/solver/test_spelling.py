"""Every design has a text, and the shortest name that the grammar has for it is that text."""

import pytest

from resatlas.designs.catalog import FAMILIES, named, resolve, same_network
from resatlas.designs.solver.spelling import spelled

SHORTER = {
    "resnet-18-B": "resnet-18",
    "resnet-34-B": "resnet-34",
    "wrn-28-2-B33": "wrn-28-2",
    "wrn-40-2-l2": "wrn-40-2",
}
"""Networks of the catalogue that have a shorter name."""


@pytest.mark.parametrize(
    "name", [name for name, entry in named().items() if type(entry.design) is FAMILIES[entry.family].design]
)
def test_the_catalogue_is_spelled_as_it_is(name: str) -> None:
    """A network of a family has the name under which the catalogue has it."""
    design = named()[name].design
    assert design is not None
    assert spelled(design) == SHORTER.get(name, name)


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("resnet:depth=50", "cifar-resnet-50"),
        ("resnet:depth=50,setting=imagenet", "resnet-50"),
        ("resnet:depth=20,unit=basic,shortcut=A,base=16", "resnet-20"),
        ("resnet:depth=20,shortcut=B,widen=2,base=12", "resnet-20-B-w2:base=12"),
        ("preact-resnet:depth=164,unit=basic", "preact-resnet-164:unit=basic"),
        ("preact-resnet:depth=20,order=pyramidal,wiring=fb", "preact-resnet-20-fb:order=pyramidal"),
        ("wide-resnet:depth=28,widen=3/2,dropout=0.3", "wrn-28-1.5-dropout"),
        ("wide-resnet:depth=28,widen=1/3,base=3", "wide-resnet:depth=28,widen=1/3,base=3"),
        ("resnext:depth=50,cardinality=8,width=14,setting=imagenet", "resnext-50-8x14d"),
        ("resnext:depth=101,cardinality=8,width=14", "cifar-resnext-101-8x14d"),
        ("pyramidnet:depth=110,alpha=48", "pyramidnet-110-a48"),
        ("pyramidnet:depth=110,alpha=48,multiple_of=8", "pyramidnet-110-a48:multiple_of=8"),
        ("pyramidnet:depth=200,alpha=300,unit=bottleneck", "cifar-pyramidnet-200-bottleneck-a300"),
        ("pyramidnet:depth=200,alpha=300,unit=bottleneck,setting=imagenet", "pyramidnet-200-bottleneck-a300"),
        ("dmrnet:depth=26,join=logits,ends=separate,streams=3", "dmrnet-26-k3-separate"),
        ("dilnet:depth=8,branches=4,widen=2", "dilnet-8-w2-k4"),
    ],
)
def test_members_are_spelled_in_short(text: str, short: str) -> None:
    """Idle knobs are left out, others stand in the name where the grammar has a word, else behind a colon."""
    design = resolve(text).design
    assert design is not None
    assert spelled(design) == short
    assert same_network(resolve(short), resolve(text))
