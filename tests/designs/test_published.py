"""Every published figure belongs to a network of ours, or is named with the reason why to none."""

from collections import Counter
from decimal import Decimal

import pytest

from resatlas.designs.catalog import named, resolve
from resatlas.designs.published import (
    ELSEWHERE,
    Published,
    backbone_of,
    design_of,
    elsewhere,
    published,
    published_as_backbone,
    published_of,
)
from resatlas.errors import UnknownName

FIGURES = published()


def test_every_row_is_accounted_for() -> None:
    """324 figures have a design that can be built, each shown beside it; 200 are named as belonging to none."""
    designs = {figure: design for figure in FIGURES if (design := design_of(figure))}
    assert (len(FIGURES), len(designs)) == (524, 324)
    shown = {design: published_of(resolve(design)) for design in set(designs.values())}
    assert all(figure in shown[design] for figure, design in designs.items())


def test_what_belongs_to_none_has_a_reason() -> None:
    """So many figures for each reason, and none of their names is a design after all."""
    others = [figure for figure in FIGURES if design_of(figure) is None]
    assert Counter(elsewhere(figure.name) for figure in others) == {
        "several networks together": 11,
        "a detector, perhaps on one of the networks": 116,
        "a segmenter, perhaps on one of the networks": 8,
        "a localiser, perhaps on one of the networks": 10,
        "a network without full description": 9,
        "a network of another paper": 43,
        "a training of another paper": 3,
    }
    assert {elsewhere(figure.name) for figure in others} == set(ELSEWHERE.values())
    for name in {figure.name for figure in others}:
        with pytest.raises(UnknownName):
            resolve(name)


def test_detectors_stand_on_networks_of_ours() -> None:
    """115 figures of detectors, segmenters and localisers are shown beside their networks, never as errors."""
    owners = {figure: owner for figure in FIGURES if (owner := backbone_of(figure))}
    assert len(owners) == 115
    assert not {figure for figure in owners if design_of(figure)}
    shown = {owner: published_as_backbone(resolve(owner)) for owner in set(owners.values())}
    assert all(figure in shown[owner] for figure, owner in owners.items())
    assert not any(figure in published_of(resolve(owner)) for figure, owner in owners.items())
    errors = {"top-1 error", "top-5 error", "test error"}
    assert not {figure.metric for figure in owners} & errors


@pytest.mark.parametrize(
    ("name", "backbone"),
    [
        ("faster-rcnn-resnet-101", "resnet-101"),
        ("faster-rcnn-resnet-101+++", "resnet-101"),
        ("faster-rcnn-resnet-101+refine+context", "resnet-101"),
        ("mask-rcnn-resnext-101-64x4d", "resnext-101-64x4d"),
        ("mask-rcnn-resnext-101", None),
        ("imagenet-wrn-34-2-multipath-locnet", "imagenet-wrn-34-2"),
        ("multipathnet-resnet-18", "resnet-18"),
        ("loc-resnet-101-rpn+rcnn", "resnet-101"),
        ("loc-vgg", None),
        ("faster-rcnn-vgg-16", None),
        ("mnc-resnet-101-ensemble", None),
        ("faster-rcnn-resnet-ensemble-3", None),
        ("fcn-resnet-50-v1.5", "resnet-50-v1.5"),
    ],
)
def test_the_backbone_is_in_the_name(name: str, backbone: str | None) -> None:
    """What stands before and after it is the detector; other papers' networks and ensembles have none of ours."""
    assert {backbone_of(figure) for figure in FIGURES if figure.name == name} == {backbone}


@pytest.mark.parametrize(
    ("name", "dataset", "design"),
    [
        ("resnet-110", "CIFAR-10", "resnet-110"),
        ("resnet-110-order-original", "CIFAR-10", "resnet-110"),
        ("resnet-110-shortcut-original", "CIFAR-10", "resnet-110"),
        ("resnet-164-order-original", "CIFAR-10", "resnet-164-bottleneck"),
        ("resnet-110-order-full-preact", "CIFAR-10", "preact-resnet-110"),
        ("resnet-164-order-full-preact", "CIFAR-10", "preact-resnet-164"),
        ("resnet-110-order-bn-after-add", "CIFAR-10", "resnet:depth=110,order=bn-after-add"),
        ("resnet-164-order-relu-before-add", "CIFAR-10", "resnet-164-bottleneck:order=relu-before-add"),
        ("resnet-110-order-relu-only-preact", "CIFAR-10", "resnet-110:order=relu-only-preact"),
        ("resnet-101-order-bn-after-add", "ImageNet-val", "resnet-101:order=bn-after-add"),
        ("resnet-110-shortcut-conv1x1", "CIFAR-10", "resnet-110-C"),
        ("resnet-110-shortcut-scale-0.5-0.5", "CIFAR-10", "resnet-110:modified=scale-0.5-0.5"),
        ("resnet-110-shortcut-exclusive-gate-b-6", "CIFAR-10", "resnet-110:modified=exclusive-gate-b-6"),
        ("resnet-110-shortcut-shortcut-gate-b0", "CIFAR-10", "resnet-110:modified=shortcut-gate-b0"),
        ("preact-resnet-110-1-layer-skip", "CIFAR-10", "preact-resnet-110:unit=single"),
        ("wrn-16-4-dropout", "CIFAR-100", "wrn-16-4:dropout=0.3"),
        ("wrn-16-4-dropout", "SVHN", "wrn-16-4:dropout=0.4"),
        ("wrn-40-8", "CIFAR-10", "wrn-40-8"),
        ("resnext-50-32x4d-noshortcut", "ImageNet-val", "resnext-50-32x4d:shortcut=absent"),
        ("pyramidnet-110-a48-unit-d", "CIFAR-10", "pyramidnet-110-a48"),
        ("resnet-101-mxnet-rerun", "ImageNet-val", "resnet-101"),
    ],
)
def test_names_of_the_record_are_networks(name: str, dataset: str, design: str) -> None:
    """A name with its suffix is the network whose knob the suffix sets; dropout is another one on SVHN."""
    figures = [figure for figure in FIGURES if (figure.name, figure.dataset) == (name, dataset)]
    assert figures
    assert set(figures) <= set(published_of(resolve(design)))


def values(design: str, dataset: str) -> list[str]:
    """The figures of a design on one data set, as they are shown."""
    return [str(figure) for figure in published_of(resolve(design)) if figure.dataset == dataset]


def test_dropout_is_another_network() -> None:
    """The figures with dropout stand beside the network that has it, by the rate of their data set."""
    assert values("wrn-16-4", "CIFAR-10") == ["5.02"]
    assert values("wrn-16-4:dropout=0.3", "CIFAR-10") == ["5.24"]
    assert (values("wrn-16-4:dropout=0.3", "SVHN"), values("wrn-16-4:dropout=0.4", "SVHN")) == ([], ["1.64"])


def test_one_network_has_the_figures_of_all_its_names() -> None:
    """What was published of a ResNeXt of one path was published of the ResNet that it is."""
    assert published_of(named()["resnext-50-1x64d"]) == published_of(named()["resnet-50-v1.5"])
    assert {"24.01", "23.9"} <= set(values("resnet-50-v1.5", "ImageNet-val"))
    assert values("imagenet-wrn-18-1", "ImageNet-val") == values("resnet-18-B", "ImageNet-val") == ["30.4", "10.93"]


def test_a_figure_quoted_for_the_wrong_network_stands_beside_the_right_one() -> None:
    """Wide ResNet quotes errors on CIFAR-100 for 110 and 1202 layers that are those of 164 and 1001."""
    assert values("resnet-110", "CIFAR-100") == values("resnet-1202", "CIFAR-100") == []
    assert values("resnet-164-bottleneck", "CIFAR-100") == ["25.16", "25.16"]
    assert values("resnet-1001-bottleneck", "CIFAR-100") == ["27.82", "27.82"]


def test_a_network_without_figures_has_none() -> None:
    """Nothing is borrowed from a neighbour of the same depth."""
    assert published_of(resolve("resnet-110-B")) == published_of(resolve("wrn-16-4:dropout=0.2")) == ()


def test_figures_keep_their_digits() -> None:
    """A published zero is a digit, and a spread follows its mean."""
    assert values("wrn-28-10", "CIFAR-10")[:2] == ["4.17", "4.00"]
    [mean] = [figure for figure in FIGURES if figure.name == "resnet-110" and figure.spread]
    assert mean == Published(
        name="resnet-110",
        dataset="CIFAR-10",
        metric="test error",
        value=Decimal("6.61"),
        spread=Decimal("0.16"),
        protocol="mean of 5",
        source="[paper Table 6] ResNet",
    )
    assert str(mean) == "6.61 ± 0.16"
