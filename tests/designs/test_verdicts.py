"""Our counts beside every figure that the papers and their authors printed."""

from dataclasses import replace
from decimal import ROUND_DOWN
from typing import Any

import pytest

from resatlas.arch.plan import Plan
from resatlas.designs import verdicts as module
from resatlas.designs.catalog import Entry, named, resolve
from resatlas.designs.counting import counts
from resatlas.designs.printed import FOREIGN, Printed, Quantity, printed
from resatlas.designs.verdicts import Verdict, verdict_of, verdicts
from resatlas.errors import DesignError

OURS = [figure for figure in printed() if figure.name not in FOREIGN]


def test_every_printed_figure_has_its_network() -> None:
    """Every figure has a name of the catalogue, except for two networks of another paper."""
    assert len(printed()) == 288
    assert {figure.name for figure in printed()} - set(named()) == set(FOREIGN)


@pytest.mark.parametrize("name", list(dict.fromkeys(figure.name for figure in OURS)))
def test_verdicts_are_the_recorded_ones(name: str) -> None:
    """Whether our rule gives the figure, another one does, or none; and which other one."""
    for figure in (figure for figure in OURS if figure.name == name):
        verdict = verdict_of(name, named()[name].plan(classes=figure.classes), figure)
        assert (verdict.verdict, verdict.recorded) == (figure.agrees, figure.agrees), figure
        if figure.agrees == "partly":
            assert verdict.convention == figure.convention


def test_the_usual_depth_is_the_label() -> None:
    """Where our rule gives the printed depth of a whole network, that is also what its design calls its depth."""
    labels = [figure for figure in OURS if (figure.quantity, figure.unit, figure.agrees) == ("depth", "layers", "yes")]
    assert len(labels) == 81
    assert all(named()[figure.name].depth == int(figure.printed) for figure in labels)


def figure_at(name: str, **where: str) -> Printed:
    """The first figure printed for a network with these fields."""
    return next(
        figure
        for figure in printed()
        if figure.name == name and all(getattr(figure, key) == value for key, value in where.items())
    )


def plan(text: str) -> Plan:
    """The plan of a design for its usual images and classes."""
    return resolve(text).plan()


@pytest.mark.parametrize(
    ("figure", "wrong", "turned"),
    [
        (figure_at("resnet-20", quantity="parameters"), "resnet-20:base=18", "no"),
        (figure_at("resnet-50", quantity="multiply_adds"), "resnet-50-v1.5", "no"),
        (figure_at("resnext-50-1x64d", unit="k (one 56x56 block)"), "resnext-50-1x100d", "no"),
        (figure_at("resnet-20", quantity="depth"), "resnet-26", "no"),
        (figure_at("preact-resnet-1001", unit="layers", printed="1001"), "preact-resnet-992-bottleneck", "no"),
        (figure_at("wrn-28-10", quantity="depth"), "wrn-34-10", "no"),
        (figure_at("wrn-40-1", quantity="depth"), "wrn-40-2", "yes"),
        (figure_at("wrn-40-2-B131", quantity="depth"), "wrn-34-2-B131", "no"),
        (figure_at("resnet-101", unit="convs (conv1 to conv4_x)"), "resnet-152", "no"),
        (figure_at("resnet-200", printed="16"), "resnet-101", "no"),
        (figure_at("dmrnet-56", unit="layers (--depth flag)"), "dmrnet-56-k1", "yes"),
        (figure_at("resnet-20", unit="channels (stage 2)"), "resnet-20:base=18", "no"),
        (figure_at("preact-resnet-164", unit="channels (stage 1 inner)"), "preact-resnet-164:base=32", "no"),
        (figure_at("preact-resnet-164", unit="channels (stage 1 out)"), "preact-resnet-164:base=32", "no"),
        (figure_at("wrn-50-2", quantity="width"), "imagenet-wrn-34-2", "no"),
        (figure_at("resnext-50-32x4d", unit="channels (conv2 inner)"), "resnext-50-1x64d", "no"),
        (figure_at("resnext-50-32x4d", unit="channels (d per path; conv2)"), "resnext-50-32x8d", "no"),
        (figure_at("pyramidnet-200-bottleneck-a300", printed="69"), "imagenet-pyramidnet-200-bottleneck-a400", "no"),
        (figure_at("pyramidnet-200-bottleneck-a300", printed="355"), "imagenet-pyramidnet-200-bottleneck-a299", "no"),
    ],
    ids=lambda value: f"{value.quantity} {value.unit}" if isinstance(value, Printed) else value,
)
def test_another_network_turns_the_verdict(figure: Printed, wrong: str, turned: str) -> None:
    """A wrong count, depth or width is detected."""
    assert verdict_of(figure.name, plan(figure.name), figure).stands
    assert verdict_of(figure.name, plan(wrong), figure).verdict == turned != figure.agrees


@pytest.mark.parametrize("form", ["a", "b", "c"])
def test_widths_are_those_of_all_paths(form: str) -> None:
    """In each of its three forms a ResNeXt has 32 paths of 4 channels, 128 together, and 256 behind them."""
    drawn = plan(f"resnext-50-32x4d:form={form}")
    for unit in ("channels (conv2 inner)", "channels (conv2 out)", "channels (d per path; conv2)"):
        assert verdict_of("x", drawn, figure_at("resnext-50-32x4d", unit=unit)).verdict == "yes"


def solved(cardinality: int) -> int:
    """Width d of a path: C(256d + 9d² + 256d) = 69,632, its root rounded.

    Source: ResNeXt paper (arXiv:1611.05431), equation 4, at the cost of a ResNet's first bottleneck.
    """
    c = cardinality
    return round((-512 * c + ((512 * c) ** 2 + 36 * c * 69_632) ** 0.5) / (18 * c))


def test_widths_of_equal_complexity() -> None:
    """Every width that the paper derives from its equation is the solution for the network's own cardinality."""
    figures = [figure for figure in OURS if figure.quantity == "width" and figure.convention.endswith("eq. 4")]
    assert len(figures) == 10
    designs: list[Any] = [named()[figure.name].design for figure in figures]
    assert [int(figure.printed) for figure in figures] == [solved(design.cardinality) for design in designs]
    assert [design.width for design in designs] == [solved(design.cardinality) for design in designs]


@pytest.mark.parametrize(
    ("quantity", "unit"),
    [
        ("parameters", "k (one 28x28 block)"),
        ("multiply_adds", "G (stem)"),
        ("depth", "layers (of the tower)"),
        ("width", "channels (conv2 middle)"),
        ("width", "channels (stage)"),
    ],
)
def test_a_part_that_no_rule_knows_is_told(quantity: Quantity, unit: str) -> None:
    """A figure of an unknown part is an error, not a verdict."""
    figure = replace(figure_at("resnet-20"), quantity=quantity, unit=unit)
    with pytest.raises(
        DesignError, match=r'^resnet-20: no rule counts the (parameters|multiply_adds|depth|width) of "'
    ):
        list(counts(plan("resnet-20"), figure))


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
    """Both sizes are counted, and nothing is claimed of them, nor of depth and width."""
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


def test_one_network_has_the_figures_of_all_its_names() -> None:
    """A ResNeXt of one path is a ResNet with its stride on the 3x3: what was printed for one holds for the other."""

    def figures_of(name: str) -> set[tuple[str, str, str]]:
        return {(verdict.quantity, verdict.printed, verdict.verdict) for verdict in verdicts(named()[name])}

    assert figures_of("resnet-50-v1.5") == figures_of("resnext-50-1x64d")
    assert {("parameters", "25.6 M", "yes"), ("parameters", "25.5 M", "partly")} <= figures_of("resnet-50-v1.5")


def test_a_verdict_that_changed_does_not_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    """A record that differs from the verdict is detected."""
    figure = replace(figure_at("resnet-20", quantity="parameters"), agrees="no")

    def recorded(_entry: Entry) -> tuple[Printed, ...]:
        return (figure,)

    monkeypatch.setattr(module, "printed_of", recorded)
    assert [verdict.stands for verdict in verdicts(named()["resnet-20"]) if verdict.printed] == [False]
