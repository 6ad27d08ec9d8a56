"""`resatlas describe`: a network unit by unit."""

import argparse

from resatlas.arch.cost import cost, unit_cost
from resatlas.arch.ops import Linear, Shape
from resatlas.arch.paths import mean_lengths
from resatlas.arch.plan import layers
from resatlas.arch.text import render
from resatlas.cli.outcome import Outcome
from resatlas.designs.catalog import Entry, resolve
from resatlas.designs.published import verdicts


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its options."""
    parser.add_argument("design", metavar="DESIGN", help="a name, a name:knob=value, a family:depth=…, or a TOML file")
    parser.add_argument("--classes", type=int, metavar="N", help="number of classes; 0 leaves out the classifier")
    parser.add_argument("--image", type=image_shape, metavar="C,H,W", help="shape of an image, as in 3,32,32")


def image_shape(text: str) -> Shape:
    """The shape written C,H,W."""
    words = text.split(",")
    if len(words) != 3 or not all(word.strip().isdecimal() and len(word) < 8 for word in words):
        raise argparse.ArgumentTypeError(f'"{text[:40]}" is not channels, height and width, as in 3,32,32')
    return Shape(*map(int, words))


def run(options: argparse.Namespace) -> Outcome:
    """The plan as text, or its numbers as JSON."""
    entry = resolve(options.design)
    plan = entry.plan(image=options.image, classes=options.classes)
    total = cost(plan)
    lengths = mean_lengths(plan)
    convs = lengths.longest - sum(isinstance(layer.op, Linear) for _, layer in layers(plan))
    depth = lengths.longest if entry.depth is None else entry.depth
    data = {
        "name": entry.name,
        "family": entry.family,
        "depth": depth,
        "convs_on_longest_path": convs,
        "parameters": total.parameters,
        "multiply_adds": total.multiply_adds,
        "activations": total.activations,
        "image": list(plan.image),
        "classes": plan.classes,
        "mean_path_length": float(lengths.mean),
        "weighted_mean_path_length": float(lengths.weighted_mean),
        "units": [
            {
                "path": path,
                "width": unit.output.channels,
                "stride": unit.stride,
                "parameters": unit_cost(unit).parameters,
                "multiply_adds": unit_cost(unit).multiply_adds,
            }
            for path, unit in plan.units
        ],
    }
    paths = f"mean path length {float(lengths.mean):.2f}"
    if lengths.mean != lengths.weighted_mean:
        paths += f" (whole paths, as the paper counts), {float(lengths.weighted_mean):.2f} weighted"
    head = (
        f"{entry.name}: {entry.family}, depth {depth} as labelled, {convs} convolutions on the longest path, {paths}; "
        f"image {plan.image}, {plan.classes} classes"
    )
    return Outcome(data, "\n".join([head, "", render(plan), "", *_figures(entry)]))


def _figures(entry: Entry) -> list[str]:
    """What the papers printed for this network, for its usual images."""
    lines = [
        f"printed {verdict.quantity.replace('_', '-')}: {verdict.printed}; ours {verdict.ours:,}: "
        f"{verdict.verdict} ({verdict.convention})  {verdict.source}"
        for verdict in verdicts(entry)
        if verdict.verdict != "none"
    ]
    return lines or ["no printed size is known for this network"]
