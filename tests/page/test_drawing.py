"""The drawing of a network agrees with its plan."""

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
    """The height of a block in channels."""
    return round(block["y2"] - block["y"], 2)


@pytest.mark.parametrize("design", DRAWN)
def test_the_size_of_a_block_is_its_channels_and_convolutions(design: str) -> None:
    """Blocks are in the order of the units, between stem and head; their costs add up to that of the network."""
    plan, spec = plan_of(design), drawn(design)
    units = list(plan.units)
    unit_blocks = columns(spec)
    assert [column[0]["path"].split(",")[0] for column in unit_blocks] == [path for path, _ in units]
    for column, (_, unit) in zip(unit_blocks, units, strict=True):
        assert {height(block) for block in column} == {unit.output.channels}
        assert {block["stride"] for block in column} == {unit.stride}
    spans = [column[0]["x2"] - column[0]["x"] for column in unit_blocks]
    free = {round(span - _convolutions(unit), 2) for span, (_, unit) in zip(spans, units, strict=True)}
    assert len(free) == 1  # the space between two units
    ends = [block for block in spec["datasets"]["blocks"] if block not in blocks(spec)]
    assert [end["path"].split(".")[0].rstrip("s") for end in ends] == ["stem"] * plan.stems + ["head"] * plan.heads
    parts = [*(column[0] for column in unit_blocks), *ends]
    assert sum(part["parameters"] for part in parts) == cost(plan).parameters
    assert sum(part["multiply_adds"] for part in parts) == cost(plan).multiply_adds


def _convolutions(unit: Unit) -> int:
    return sum(layer.role.startswith("conv") for layer in unit.streams[0].bodies[0])


@pytest.mark.parametrize("design", DRAWN)
def test_blocks_do_not_overlap(design: str) -> None:
    """Units are side by side, blocks of one unit above one another, and all of them are inside the drawing."""
    spec = drawn(design)
    all_columns = [list(group) for _, group in groupby(spec["datasets"]["blocks"], key=lambda block: block["x"])]
    for left, right in pairwise(all_columns):
        assert left[0]["x2"] <= right[0]["x"]
    for column in all_columns:
        for above, below in pairwise(column):
            assert above["y"] > below["y2"]
    low, high = spec["layer"][2]["encoding"]["y"]["scale"]["domain"]
    assert all(low <= block["y"] < block["y2"] <= high for column in all_columns for block in column)


@pytest.mark.parametrize("design", DRAWN)
def test_a_drawing_is_valid_vega_lite(design: str) -> None:
    """The drawing is valid under the schema."""
    assert alt.Chart.from_dict(drawn(design))


def test_heights_of_a_pyramid_increase() -> None:
    """Every unit of a PyramidNet is at least as high as the one before, up to four times the stem."""
    heights = [height(column[0]) for column in columns(drawn("pyramidnet-110-a48"))]
    assert heights == sorted(heights)
    assert len(set(heights)) > 45
    assert (heights[0], heights[-1]) == (17, 64)


def test_inner_widths_of_bottlenecks() -> None:
    """A wide ResNet-50 is twice as wide inside as a ResNet-50 and as wide outside; basic units have one width."""
    inner_widths = {
        design: next((block["inner2"] - block["inner"], height(block)) for block in blocks(drawn(design)))
        for design in ("resnet-50", "wrn-50-2", "resnext-29-8x64d")
    }
    assert inner_widths == {"resnet-50": (64, 256), "wrn-50-2": (128, 256), "resnext-29-8x64d": (512, 256)}
    assert not any("inner" in block for block in blocks(drawn("resnet-20")))
    assert "inner" not in drawn("resnet-20")["description"]


@pytest.mark.parametrize(("design", "lanes"), [("dmrnet-20", 2), ("dmrnet-26-k3", 3), ("dmrnet-14-k6", 6)])
def test_streams_are_lanes_that_meet_in_every_unit(design: str, lanes: int) -> None:
    """There is a block per stream, a line from each lane to the point of the mean, and one back to each lane."""
    spec = drawn(design)
    across = [wire for wire in spec["datasets"]["wires"] if wire["way"] == "across"]
    points = spec["datasets"]["hubs"]
    assert all(len(column) == lanes for column in columns(spec))
    assert len(points) == len(columns(spec))
    for point in points[:-1]:
        coming = {wire["y"] for wire in across if wire["x2"] == point["x"]} - {0}
        going = {wire["y2"] for wire in across if wire["x"] == point["x"]} - {0}
        assert len(coming) == lanes - lanes % 2  # the middle lane passes through the point
        assert coming == going
    last = [wire for wire in across if wire["x"] <= points[-1]["x"] < wire["x2"]]
    assert [wire["y2"] for wire in last] == [0]  # merged: one tensor
    assert f"{lanes} streams" in spec["description"]


def test_other_skips_are_other_lines() -> None:
    """Identity has no crossing lines, swapped streams cross without a point, a projector is named."""
    crossings = {}
    for skip in ("identity", "swap", "projector"):
        data = drawn(f"dmrnet-56-{skip}")["datasets"]
        across = [wire for wire in data["wires"] if wire["way"] == "across"]
        crossings[skip] = len(across), {point["what"].split(":")[1] for point in data["hubs"]}
        assert all((wire["y"] > 0) != (wire["y2"] > 0) for wire in across if skip == "swap" and wire["y2"])
    assert crossings["identity"] == (0, set())
    assert crossings["swap"] == (54, set())
    assert crossings["projector"][1] == {" a random projector of the streams' shortcuts"}


def test_shortcuts_are_arcs_over_their_units() -> None:
    """Up, along and down, higher than the block, in its colour; a plain network has none, two bodies leave a line."""
    spec = drawn("resnet-20")
    arcs = [spec["datasets"]["arcs"][k : k + 3] for k in range(0, 27, 3)]
    for (up, along, down), block in zip(arcs, blocks(spec), strict=True):
        assert up["y"] == down["y2"] == 0 < block["y2"] < along["y"] == along["y2"]
        assert up["x"] < block["x"] == along["x"] < along["x2"] == block["x2"] < down["x2"]
        assert {part["shortcut"] for part in (up, along, down)} == {block["shortcut"]}
    assert [len(drawn(design)["datasets"]["arcs"]) for design in ("plain-20", "dilnet-26", "dmrnet-20")] == [0, 0, 0]
    assert len(drawn("dmrnet-56-identity")["datasets"]["arcs"]) == 2 * 3 * 27
    tops = drawn("resnet-1202")["datasets"]["arcs"]  # 200 identities in the first stage, 199 in the others
    assert [(top["shortcut"], round(top["x2"] - top["x"])) for top in tops] == [
        ("identity", 400),
        ("zero-padded", 2),
        ("identity", 398),
        ("zero-padded", 2),
        ("identity", 398),
    ]


def test_arcs_stay_in_the_drawing() -> None:
    """Also over blocks whose inner convolutions are wider than the unit, in streams that share nothing."""
    for design in (*DRAWN, "dmrnet-56-identity"):
        spec = drawn(design)
        low, high = spec["layer"][2]["encoding"]["y"]["scale"]["domain"]
        assert all(low < arc[end] < high for arc in spec["datasets"]["arcs"] for end in ("y", "y2"))


@pytest.mark.parametrize("skip", ["mean", "swap", "projector"])
def test_one_stream_has_no_crossing_lines(skip: str) -> None:
    """A single stream adds its own shortcut under every rule, without crossing lines and without a legend for them."""
    spec = drawn(f"dmrnet-14:streams=1,skip={skip}")
    assert not spec["datasets"]["hubs"]
    assert {wire["way"] for wire in spec["datasets"]["wires"]} == {"along"}
    assert "crossing" not in spec["description"]


def test_separate_ends_are_drawn_separately() -> None:
    """There are a stem and a classifier per stream, and at the end the point of the mean."""
    spec = drawn("dmrnet-56-separate")
    ends = [block for block in spec["datasets"]["blocks"] if block["shortcut"] == "stem or head"]
    assert [end["path"] for end in ends] == ["stems.0", "stems.1", "heads.0", "heads.1"]
    assert {end["y"] + end["y2"] > 0 for end in ends} == {True, False}
    assert spec["datasets"]["hubs"][-1]["what"] == "mean of the logits"


def test_two_bodies_are_two_blocks_in_one_lane() -> None:
    """The bodies are above and below the shortcut in every unit."""
    spec = drawn("dilnet-26")
    assert all(len(column) == 2 for column in columns(spec))
    level = [wire for wire in spec["datasets"]["wires"] if wire["y"] == wire["y2"] == 0]
    assert len(level) == 1  # the shortcuts of all units
    assert (level[0]["x"], level[0]["x2"]) == (0, max(wire["x2"] for wire in spec["datasets"]["wires"]))
    assert "2 bodies per unit" in spec["description"]


@pytest.mark.parametrize(
    ("design", "kinds"),
    [
        ("resnet-20", ["identity", "zero-padded", "stem or head"]),
        ("resnet-20-B", ["identity", "projected", "stem or head"]),
        ("plain-20", ["no shortcut", "stem or head"]),
        ("dmrnet-50-ijcai", ["identity", "no shortcut", "stem or head"]),
        ("resnet-110-shortcut-scale-0.5-0.5", ["scaled", "stem or head"]),
        ("resnet-110-shortcut-exclusive-gate-b-6", ["gated", "stem or head"]),
        ("resnet-110-shortcut-dropout-0.5", ["dropout", "stem or head"]),
    ],
)
def test_shortcuts_have_colours(design: str, kinds: list[str]) -> None:
    """The legend has the kinds of shortcuts in the drawing, and no others."""
    spec = drawn(design)
    scale = spec["layer"][2]["encoding"]["color"]["scale"]
    assert scale == {"domain": kinds, "range": [KINDS[kind] for kind in kinds]}
    assert {block["shortcut"] for block in spec["datasets"]["blocks"]} == set(kinds)
    assert len(set(KINDS.values())) == len(KINDS)


def test_tooltips_describe_a_unit() -> None:
    """A tooltip has path, channels, feature map, stride, shortcut, operations, parameters and multiply-adds."""
    spec = drawn("pyramidnet-110-a48")
    titles = {row["field"]: row["title"] for row in spec["layer"][2]["encoding"]["tooltip"]}
    block = next(block for block in blocks(spec) if block["stride"] == 2)
    assert {titles[field]: block[field] for field in titles} == {
        "path": "stages.1.0",
        "channels": "32 → 33",
        "feature map": "32×32 → 16×16",
        "stride": 2,
        "shortcut": "subsampled, zero-padded",
        "operations": "first(norm) conv3/2:33 norm relu conv3:33 norm + avgpool2/2 zeros:33(x)",
        "parameters": 19_501,
        "multiply-adds": 4_942_080,
    }
    merged = blocks(drawn("dmrnet-20"))[1]
    assert (merged["path"], merged["adds"]) == ("stages.0.0, stream 2 of 2", "identity: mean")


def test_feature_map_sizes_are_labelled() -> None:
    """The size is above the units, the channels are below, and a rule marks each change of size."""
    spec = drawn("resnet-50")
    maps = spec["datasets"]["maps"]
    assert [(size["map"], size["channels"]) for size in maps] == [
        ("56×56", "256"),
        ("28×28", "512"),
        ("14×14", "1024"),
        ("7×7", "2048"),
    ]
    assert [round(size["x"] - maps[0]["x"]) for size in maps] == [0, 3 * 3, 7 * 3, 13 * 3]
    (axis,) = [layer["encoding"]["x"]["axis"] for layer in spec["layer"][:1]]
    assert axis["values"] == [size["middle"] for size in maps]
    assert [part.split("'")[1] for part in axis["labelExpr"].split("? ")[1:]] == [size["map"] for size in maps]


def test_a_very_deep_network_is_drawn() -> None:
    """600 units are drawn without seams, in a specification of less than 200 kB."""
    spec = drawn("resnet-1202")
    assert len(columns(spec)) == 600
    assert "600 units, 19.4 M parameters, 2.83 G multiply-adds; block: unit; height: channels" in spec["description"]
    assert len(json.dumps(spec, separators=(",", ":"))) < 200_000
    assert all(left[0]["x2"] > right[0]["x"] for left, right in pairwise(columns(spec)))


def test_markup_in_a_title_is_text() -> None:
    """Markup in a title is text and not part of an expression; a folder is shortened."""
    spec = drawing(plan_of("resnet-20"), title="</script><script>alert(1)</script>\x1b[2J of /home/someone/net.toml")
    assert title_of(spec) == "</script><script>alert(1)</script>?[2J of /home/someone/net.toml"
    assert "alert" not in json.dumps(spec["layer"])
    assert drawing(plan_of("resnet-20"), title="/home/someone/net.toml")["title"]["text"] == ".../net.toml"


def test_equal_plans_have_equal_drawings() -> None:
    """A plan that is read from JSON has the same drawing as the original."""
    plan = plan_of("dmrnet-26-k3")
    assert drawing(from_json(to_json(plan)), title="x") == drawing(plan, title="x")


def test_a_network_without_classifier_has_a_head() -> None:
    """The last block of the drawing is the global pooling."""
    spec = drawing(plan_of("resnet-20", classes=0), title="features")
    assert spec["datasets"]["blocks"][-1]["operations"] == "global pool"
    assert height(spec["datasets"]["blocks"][-1]) == 64
