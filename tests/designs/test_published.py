"""Our counts beside every figure that the papers and their authors printed."""

from dataclasses import replace
from decimal import ROUND_DOWN

import pytest

from resatlas.arch.ops import Linear
from resatlas.arch.paths import path_lengths
from resatlas.arch.plan import layers
from resatlas.arch.widths import unit_widths
from resatlas.designs import published
from resatlas.designs.catalog import named
from resatlas.designs.published import QUANTITIES, Printed, Verdict, printed, verdicts

FOREIGN = {"vgg-16", "vgg-19"}
"""Printed beside the papers' networks for their multiply-adds; none of ours."""

SIZES = [figure for figure in printed() if figure.quantity in QUANTITIES and figure.name not in FOREIGN]


def test_every_printed_size_has_its_network() -> None:
    """No figure stands beside a name that the catalogue does not have."""
    assert len(SIZES) == 85
    assert {figure.name for figure in SIZES} <= set(named())


@pytest.mark.parametrize("name", list(dict.fromkeys(figure.name for figure in SIZES)))
def test_verdicts_are_the_recorded_ones(name: str) -> None:
    """Whether our rule gives the figure, another one does, or none; and which other one."""
    figures = [
        figure for quantity in QUANTITIES for figure in SIZES if (figure.name, figure.quantity) == (name, quantity)
    ]
    ours = [each for each in verdicts(named()[name]) if each.printed]
    assert [each.verdict for each in ours] == [figure.agrees for figure in figures]
    assert all(each.stands for each in ours)
    assert [each.convention for each in ours if each.verdict != "yes"] == [
        figure.convention for figure in figures if figure.agrees != "yes"
    ]


def depths(name: str) -> dict[str, int]:
    """The depth of a network by each rule of counting that the papers have."""
    plan = named()[name].plan()
    longest = path_lengths(plan).longest
    classifier = sum(isinstance(layer.op, Linear) for _, layer in layers(plan))
    projections = sum(path.endswith("shortcut.conv") for path, _ in layers(plan))
    return {
        "conv+fc without projections": longest,
        "convs with projections without fc": longest - classifier + projections,
        "convs with projections and fc": longest + projections,
    }


DEPTHS = [
    figure
    for figure in printed()
    if (figure.quantity, figure.unit) == ("depth", "layers") and figure.convention.startswith("conv")
]


@pytest.mark.parametrize("figure", DEPTHS, ids=lambda each: each.name)
def test_printed_depths_are_layers_of_the_longest_path(figure: Printed) -> None:
    """The printed depth is ours by the rule that is named beside it; where it is the usual rule, also the label."""
    assert depths(figure.name)[figure.convention] == int(figure.printed)
    assert figure.agrees != "yes" or named()[figure.name].depth == int(figure.printed)


@pytest.mark.parametrize(
    "figure", [each for each in printed() if each.unit.startswith("channels (unit ")], ids=lambda each: each.unit
)
def test_printed_widths_of_units(figure: Printed) -> None:
    """The inner width of a numbered unit."""
    number = int(figure.unit.removeprefix("channels (unit ").removesuffix(" inner)"))
    blueprint = named()[figure.name].blueprint
    outputs = [width for stage in unit_widths(blueprint.widths, blueprint.units) for width in stage]
    assert outputs[number - 1] == 4 * int(figure.printed)


def figure_of(text: str, unit: str) -> Printed:
    """A figure as printed."""
    return Printed(
        name="x",
        classes=10,
        quantity="parameters",
        printed=text,
        unit=unit,
        convention="all weights",
        agrees="yes",
        source="",
    )


@pytest.mark.parametrize(
    ("text", "unit", "number", "agrees"),
    [
        ("1.7", "M", 1_749_999, True),
        ("1.7", "M", 1_750_000, False),
        ("1.7", "M", 1_650_000, True),
        ("1.7", "M", 1_649_999, False),
        ("56", "M", 55_841_754, True),
        ("0.3494", "M", 349_402, True),
        ("86.0", "M", 86_036_008, True),
        ("86.0", "M", 86_050_000, False),
        ("8949210", "", 8_949_210, True),
        ("8949210", "", 8_949_211, False),
        ("70", "k (one 56x56 block)", 69_632, True),
        ("0.22", "G (one 56x56 block)", 218_365_952, True),
    ],
)
def test_a_figure_is_met_by_its_printed_digits(text: str, unit: str, number: int, agrees: bool) -> None:
    """Halves go up, and a printed zero is a digit."""
    assert figure_of(text, unit).means(number) is agrees


def test_cutting_off_is_another_rule() -> None:
    """3.858 is 3.9 rounded and 3.8 cut off."""
    figure = figure_of("3.8", "G")
    assert not figure.means(3_858_000_000)
    assert figure.means(3_858_000_000, ROUND_DOWN)


def test_a_network_without_figures_has_none() -> None:
    """Both quantities are counted, and nothing is claimed of them."""
    assert list(verdicts(named()["resnet-20-B"])) == [
        Verdict(
            name="resnet-20-B",
            quantity=quantity,
            ours=ours,
            printed="",
            convention="",
            verdict="none",
            recorded="none",
            source="",
        )
        for quantity, ours in (("parameters", 272_474), ("multiply_adds", 40_813_184))
    ]


def test_a_verdict_that_changed_does_not_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another record than today's verdict is told as such."""
    [figure] = [each for each in printed() if each.name == "resnet-20" and each.quantity == "parameters"]
    changed = {"resnet-20": (replace(figure, agrees="no"),)}
    monkeypatch.setattr(published, "printed_of", changed.__getitem__)
    assert [each.stands for each in verdicts(named()["resnet-20"]) if each.printed] == [False]
