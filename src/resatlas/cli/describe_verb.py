"""`resatlas describe`: print a network unit by unit, or a recipe."""

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from resatlas.arch.cost import unit_costs
from resatlas.arch.levels import Level, plan_levels
from resatlas.arch.ops import Shape
from resatlas.arch.plan import Plan
from resatlas.arch.text import render
from resatlas.cli.conventions import conventions_data, conventions_text, with_twin
from resatlas.cli.designs import CLASSES_HELP, DESIGN_HELP, IMAGE_HELP, design_named
from resatlas.cli.display import fitted
from resatlas.cli.family_text import describe_family
from resatlas.cli.figures import backbone_table, printed_line, published_data
from resatlas.cli.outcome import Outcome
from resatlas.cli.requirements import A_DESIGN, ALWAYS, Requirements
from resatlas.designs import tasks
from resatlas.designs.catalog import Entry, family_named
from resatlas.designs.counting import numbers_of
from resatlas.designs.family import Family
from resatlas.designs.published import published_as_backbone, published_of, published_table
from resatlas.designs.verdicts import verdicts
from resatlas.errors import FolderError, UsageError
from resatlas.values.codec import encode
from resatlas.values.fields import needed_knobs

OPTIONS: Requirements = {
    "--classes": A_DESIGN,
    "--image": A_DESIGN,
    "--conventions": A_DESIGN,
    "--draw": A_DESIGN,
    "--recipe": ALWAYS,
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its options."""
    parser.add_argument(
        "design", nargs="?", metavar="DESIGN", help=f"{DESIGN_HELP}; a family alone, as in resnet, shows its knobs"
    )
    parser.add_argument("--classes", type=int, metavar="N", help=CLASSES_HELP)
    parser.add_argument("--image", type=image_shape, metavar="C,H,W", help=IMAGE_HELP)
    parser.add_argument(
        "--conventions",
        action="store_true",
        help="print the multiply-adds as papers, torchvision and other counters report them (default: the units)",
    )
    parser.add_argument(
        "--recipe", metavar="NAME", help="print a recipe, after the network if there is a DESIGN (default: no recipe)"
    )
    parser.add_argument(
        "--draw",
        type=Path,
        metavar="FILE",
        help="also draw the network into this .svg or .png file (default: no drawing)",
    )


def image_shape(text: str) -> Shape:
    """The shape written C,H,W, as an option of argparse."""
    try:
        return tasks.image_shape(text)
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def run(options: argparse.Namespace) -> Outcome:
    """A network, a recipe, or one after the other."""
    if options.recipe is None:
        if options.design is None:
            raise UsageError("describe needs a DESIGN, as in resnet-20, or --recipe NAME (resatlas describe --help)")
        return _network(options)
    from resatlas.recipes import catalog  # a network alone is described without them
    from resatlas.recipes import text as recipe_text

    recipe = catalog.resolve(options.recipe)
    data, text = encode(recipe), recipe_text.render(recipe)
    if options.design is None:
        return Outcome(data, text)
    network = _network(options)
    return Outcome({**network.data, "recipe": data}, f"{network.text}\n\n{text}")


def _network(options: argparse.Namespace) -> Outcome:
    """The plan as text or its numbers as JSON, with the printed sizes and the published results; or a family."""
    if family := _family_alone(options.design):
        return _family(family, options)
    entry = design_named(options.design)
    plan = entry.plan(image=options.image, classes=options.classes)
    levels = plan_levels(plan)
    data = _data(entry, plan, levels)
    head = _head(data)
    if options.draw is not None:
        _draw(options.draw, plan, entry.name)
        data["drawing"] = str(options.draw)
        head = f"{head}\ndrawn in {options.draw}"
    if options.conventions:
        networks = with_twin(entry, image=options.image, classes=options.classes)
        data["conventions"] = conventions_data(networks)
        return Outcome(data, f"{head}\n\n{conventions_text(networks)}")
    return Outcome(data, "\n\n".join([f"{head}\n{_fields(plan, levels)}", render(plan), *_figures(entry)]))


def _family_alone(text: str) -> Family | None:
    """The family that a DESIGN is the name of, unless its knobs all have defaults."""
    family = None if ":" in text else family_named(text)
    return family if family and needed_knobs(family.design) else None


def _family(family: Family, options: argparse.Namespace) -> Outcome:
    """A family; the options of a network are refused.

    Raises: UsageError
    """
    if options.conventions or any(value is not None for value in (options.draw, options.image, options.classes)):
        raise UsageError(f"{family.name} is a family; describe draws and counts a network, as in {family.name}:depth=…")
    return describe_family(family)


def _draw(file: Path, plan: Plan, title: str) -> None:
    if file.is_dir():
        raise FolderError(f"{file} is a folder; name a file in it, as in {file / 'network.svg'}")
    from resatlas.page.drawing import drawing
    from resatlas.page.picture import write_picture

    write_picture(file, drawing(plan, title=title))


def _data(entry: Entry, plan: Plan, levels: Iterable[Level]) -> dict[str, Any]:
    return {
        "name": entry.name,
        "family": entry.family,
        **numbers_of(entry, plan),
        "image": list(plan.image),
        "classes": plan.classes,
        "units": [
            {
                "path": path,
                "width": unit.output.channels,
                "stride": unit.stride,
                "parameters": price.parameters,
                "multiply_adds": price.multiply_adds,
            }
            for path, unit, price in unit_costs(plan)
        ],
        "levels": [encode(level) for level in levels],
        "published": published_data(published_of(entry)),
        "published_as_backbone": published_data(published_as_backbone(entry)),
    }


def _head(data: dict[str, Any]) -> str:
    paths = f"mean path length {data['mean_path_length']:.2f}"
    if data["mean_path_length"] != data["weighted_mean_path_length"]:
        paths += f" (whole paths, as the paper counts), {data['weighted_mean_path_length']:.2f} weighted"
    return (
        f"{data['name']}: {data['family']}, depth {data['depth']} as labelled, {data['convs_on_longest_path']} "
        f"convolutions on the longest path, {paths}; image {Shape(*data['image'])}, {data['classes']} classes"
    )


def _fields(plan: Plan, levels: Iterable[Level]) -> str:
    """The receptive field after each stage, in a sentence."""
    sides = ", ".join(str(level.receptive_field) for level in levels)
    means = any(stream.attention for _, unit in plan.units for stream in unit.streams)
    return f"receptive field after each stage: {sides} pixels" + (" and, by attention, means of all" if means else "")


def _figures(entry: Entry) -> Iterator[str]:
    """The printed sizes of a network for its usual images, then the published results."""
    lines = [printed_line(verdict) for verdict in verdicts(entry) if verdict.printed]
    figures = published_of(entry)
    yield "\n".join(lines) or "no printed size is known for this network"
    yield fitted(published_table(figures)) if figures else "no published result is known for this network"
    if on_it := published_as_backbone(entry):
        yield backbone_table(on_it)
