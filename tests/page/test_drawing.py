"""A network's drawing says what its plan says."""

import json
from itertools import groupby, pairwise
from typing import Any

import altair as alt
import pytest

from resatlas.arch.cost import cost
from resatlas.arch.plan import Plan, Unit, from_json, to_json
from resatlas.designs.catalog import resolve
from resatlas.page.chart import title_of
from resatlas.page.drawing import KINDS, drawing
from resatlas.page.figure import Spec

DRAWN = (
    "resnet-20",
    "plain-20",
    "preact-resnet-164",
    "wrn-28-10",
    "wrn-50-2",
    "resnext-29-8x64d",
    "resnext-50-32x4d-noshortcut",
    "pyramidnet-110-a48",
    "pyramidnet-164-bottleneck-a48",
    "dmrnet-20",
    "dmrnet-26-k3",
    "dmrnet-56-separate",
    "dmrnet-50-ijcai",
    "dilnet-26",
    "fuse3-56",
)


def plan_of(design: str, classes: int | None = None) -> Plan:
    """The plan of a design."""
    return resolve(design).plan(image=None, classes=classes)


def drawn(design: str) -> Spec:
    """The drawing of a design."""
    return drawing(plan_of(design), title=design)


def blocks(spec: Spec) -> list[dict[str, Any]]:
    """The blocks of units, in order."""
    return [block for block in spec["datasets"]["blocks"] if block["shortcut"] != "stem or head"]


def columns(spec: Spec) -> list[list[dict[str, Any]]]:
    """The blocks of each unit."""
    return [list(group) for _, group in groupby(blocks(spec), key=lambda block: block["x"])]


def height(block: dict[str, Any]) -> float:
    """Of a block, in channels."""
    return round(block["y2"] - block["y"], 2)


@pytest.mark.parametrize("design", DRAWN)
def test_a_block_is_as_high_as_its_channels_and_as_long_as_its_convolutions(design: str) -> None:
    """Unit by unit, in order, between stem and head; what the blocks cost adds up to the network's cost."""
    plan, spec = plan_of(design), drawn(design)
    units = list(plan.units)
    shown = columns(spec)
    assert [column[0]["path"].split(",")[0] for column in shown] == [path for path, _ in units]
    for column, (_, unit) in zip(shown, units, strict=True):
        assert {height(block) for block in column} == {unit.output.channels}
        assert {block["stride"] for block in column} == {unit.stride}
    spans = [column[0]["x2"] - column[0]["x"] for column in shown]
    free = {round(span - _convolutions(unit), 2) for span, (_, unit) in zip(spans, units, strict=True)}
    assert len(free) == 1  # what is left white between two units
    ends = [block for block in spec["datasets"]["blocks"] if block not in blocks(spec)]
    assert [end["path"].split(".")[0].rstrip("s") for end in ends] == ["stem"] * plan.stems + ["head"] * plan.heads
    parts = [*(column[0] for column in shown), *ends]
    assert sum(part["parameters"] for part in parts) == cost(plan).parameters
    assert sum(part["multiply_adds"] for part in parts) == cost(plan).multiply_adds


def _convolutions(unit: Unit) -> int:
    return sum(layer.role.startswith("conv") for layer in unit.streams[0].bodies[0])


@pytest.mark.parametrize("design", DRAWN)
def test_nothing_lies_on_anything(design: str) -> None:
    """Units stand side by side and blocks of one unit above one another, all of them on the sheet."""
    spec = drawn(design)
    every = [list(group) for _, group in groupby(spec["datasets"]["blocks"], key=lambda block: block["x"])]
    for left, right in pairwise(every):
        assert left[0]["x2"] <= right[0]["x"]
    for column in every:
        for above, below in pairwise(column):
            assert above["y"] > below["y2"]
    low, high = spec["layer"][2]["encoding"]["y"]["scale"]["domain"]
    assert all(low <= block["y"] < block["y2"] <= high for column in every for block in column)


@pytest.mark.parametrize("design", DRAWN)
def test_a_drawing_is_of_vega_lite(design: str) -> None:
    """The schema knows all of it."""
    assert alt.Chart.from_dict(drawn(design))


def test_a_pyramid_looks_like_one() -> None:
    """Every unit of an additive pyramid is at least as high as the one before, the last four times the stem."""
    heights = [height(column[0]) for column in columns(drawn("pyramidnet-110-a48"))]
    assert heights == sorted(heights)
    assert len(set(heights)) > 45
    assert (heights[0], heights[-1]) == (17, 64)


def test_a_bottleneck_has_a_waist() -> None:
    """A wide ResNet-50 is twice as wide inside as a ResNet-50 and as wide outside; basic units have one width."""
    waists = {
        design: next((block["inner2"] - block["inner"], height(block)) for block in blocks(drawn(design)))
        for design in ("resnet-50", "wrn-50-2", "resnext-29-8x64d")
    }
    assert waists == {"resnet-50": (64, 256), "wrn-50-2": (128, 256), "resnext-29-8x64d": (512, 256)}
    assert not any("inner" in block for block in blocks(drawn("resnet-20")))
    assert "inner" not in drawn("resnet-20")["description"]


@pytest.mark.parametrize(("design", "lanes"), [("dmrnet-20", 2), ("dmrnet-26-k3", 3), ("dmrnet-14-k6", 6)])
def test_streams_are_lanes_that_meet_in_every_unit(design: str, lanes: int) -> None:
    """A block a stream; from each lane a line to the point of the mean, and from there one back to each."""
    spec = drawn(design)
    across = [wire for wire in spec["datasets"]["wires"] if wire["way"] == "across"]
    points = spec["datasets"]["hubs"]
    assert all(len(column) == lanes for column in columns(spec))
    assert len(points) == len(columns(spec))
    for point in points[:-1]:
        coming = {wire["y"] for wire in across if wire["x2"] == point["x"]} - {0}
        going = {wire["y2"] for wire in across if wire["x"] == point["x"]} - {0}
        assert len(coming) == lanes - lanes % 2  # a middle lane runs through the point
        assert coming == going
    last = [wire for wire in across if wire["x"] <= points[-1]["x"] < wire["x2"]]
    assert [wire["y2"] for wire in last] == [0]  # merged: one tensor
    assert f"{lanes} streams" in spec["description"]


def test_other_skips_are_other_lines() -> None:
    """Streams of their own have no crossing lines, swapped ones cross without a point, projected ones say so."""
    found = {}
    for skip in ("identity", "swap", "projector"):
        data = drawn(f"dmrnet-56-{skip}")["datasets"]
        across = [wire for wire in data["wires"] if wire["way"] == "across"]
        found[skip] = len(across), {point["what"].split(":")[1] for point in data["hubs"]}
        assert all((wire["y"] > 0) != (wire["y2"] > 0) for wire in across if skip == "swap" and wire["y2"])
    assert found["identity"] == (0, set())
    assert found["swap"] == (54, set())
    assert found["projector"][1] == {" a random projector of the streams' shortcuts"}


@pytest.mark.parametrize("skip", ["mean", "swap", "projector"])
def test_one_stream_of_several_rules_meets_nothing(skip: str) -> None:
    """A stream alone adds its own shortcut, whatever the rule: no crossing lines, none in the legend."""
    spec = drawn(f"dmrnet-14:streams=1,skip={skip}")
    assert not spec["datasets"]["hubs"]
    assert {wire["way"] for wire in spec["datasets"]["wires"]} == {"along"}
    assert "crossing" not in spec["description"]


def test_separate_ends_are_drawn_apart() -> None:
    """A stem and a classifier a stream, and at the end the point of the mean."""
    spec = drawn("dmrnet-56-separate")
    ends = [block for block in spec["datasets"]["blocks"] if block["shortcut"] == "stem or head"]
    assert [end["path"] for end in ends] == ["stems.0", "stems.1", "heads.0", "heads.1"]
    assert {end["y"] + end["y2"] > 0 for end in ends} == {True, False}
    assert spec["datasets"]["hubs"][-1]["what"] == "mean of the logits"


def test_two_bodies_are_two_blocks_in_one_lane() -> None:
    """They part and meet again within every unit, around the shortcut."""
    spec = drawn("dilnet-26")
    assert all(len(column) == 2 for column in columns(spec))
    level = [wire for wire in spec["datasets"]["wires"] if wire["y"] == wire["y2"] == 0]
    assert len(level) == 1  # the shortcuts, one after the other
    assert (level[0]["x"], level[0]["x2"]) == (0, max(wire["x2"] for wire in spec["datasets"]["wires"]))
    assert "2 bodies a unit" in spec["description"]


@pytest.mark.parametrize(
    ("design", "kinds"),
    [
        ("resnet-20", ["identity", "zero-padded", "stem or head"]),
        ("resnet-20-B", ["identity", "projected", "stem or head"]),
        ("plain-20", ["no shortcut", "stem or head"]),
        ("dmrnet-50-ijcai", ["identity", "no shortcut", "stem or head"]),
        ("resnet-110-shortcut-scale-0.5-0.5", ["scaled", "stem or head"]),
        ("resnet-110-shortcut-exclusive-gate-b-6", ["gated", "stem or head"]),
        ("resnet-110-shortcut-dropout-0.5", ["dropped out", "stem or head"]),
    ],
)
def test_shortcuts_have_their_colours(design: str, kinds: list[str]) -> None:
    """The legend names those that occur, and no others."""
    spec = drawn(design)
    scale = spec["layer"][2]["encoding"]["color"]["scale"]
    assert scale == {"domain": kinds, "range": [KINDS[kind] for kind in kinds]}
    assert {block["shortcut"] for block in spec["datasets"]["blocks"]} == set(kinds)
    assert len(set(KINDS.values())) == len(KINDS)


def test_hovering_tells_everything() -> None:
    """Path, channels, map, stride, shortcut, operations, parameters and multiply-adds."""
    spec = drawn("pyramidnet-110-a48")
    told = {each["field"]: each["title"] for each in spec["layer"][2]["encoding"]["tooltip"]}
    block = next(block for block in blocks(spec) if block["stride"] == 2)
    assert {told[field]: block[field] for field in told} == {
        "path": "stages.1.0",
        "channels": "32 → 33",
        "map": "32×32 → 16×16",
        "stride": 2,
        "shortcut": "subsampled, zero-padded",
        "operations": "first(norm) conv3/2:33 norm relu conv3:33 norm + avgpool2/2 zeros:33(x)",
        "parameters": 19_501,
        "multiply-adds": 4_942_080,
    }
    merged = blocks(drawn("dmrnet-20"))[1]
    assert (merged["path"], merged["adds"]) == ("stages.0.0, stream 2 of 2", "identity: mean")


def test_maps_are_named_where_they_begin() -> None:
    """The size of the map above the units that give it, their channels below; a rule where it changes."""
    spec = drawn("resnet-50")
    maps = spec["datasets"]["maps"]
    assert [(each["map"], each["channels"]) for each in maps] == [
        ("56×56", "256"),
        ("28×28", "512"),
        ("14×14", "1024"),
        ("7×7", "2048"),
    ]
    assert [round(each["x"] - maps[0]["x"]) for each in maps] == [0, 3 * 3, 7 * 3, 13 * 3]
    (axis,) = [layer["encoding"]["x"]["axis"] for layer in spec["layer"][:1]]
    assert axis["values"] == [each["middle"] for each in maps]
    assert [part.split("'")[1] for part in axis["labelExpr"].split("? ")[1:]] == [each["map"] for each in maps]


def test_a_very_deep_network_is_drawn_as_well() -> None:
    """600 units stand without seams, in a specification of less than 200 kB."""
    spec = drawn("resnet-1202")
    assert len(columns(spec)) == 600
    assert "600 units, 19.4 M parameters, 2.83 G multiply-adds; block: unit, height: channels" in spec["description"]
    assert len(json.dumps(spec, separators=(",", ":"))) < 200_000
    assert all(left[0]["x2"] > right[0]["x"] for left, right in pairwise(columns(spec)))


def test_words_stay_words() -> None:
    """A title with markup or a folder is text of the chart, and nothing of it is an expression."""
    spec = drawing(plan_of("resnet-20"), title="</script><script>alert(1)</script>\x1b[2J of /home/someone/net.toml")
    assert title_of(spec) == "</script><script>alert(1)</script>?[2J of /home/someone/net.toml"
    assert "alert" not in json.dumps(spec["layer"])
    assert drawing(plan_of("resnet-20"), title="/home/someone/net.toml")["title"]["text"] == ".../net.toml"


def test_equal_plans_have_equal_drawings() -> None:
    """A plan that was read from a run's file is drawn as the one that was written."""
    plan = plan_of("dmrnet-26-k3")
    assert drawing(from_json(to_json(plan)), title="x") == drawing(plan, title="x")


def test_a_network_without_classifier_has_a_head() -> None:
    """Its last block is the features."""
    spec = drawing(plan_of("resnet-20", classes=0), title="features")
    assert spec["datasets"]["blocks"][-1]["operations"] == "global pool"
    assert height(spec["datasets"]["blocks"][-1]) == 64
