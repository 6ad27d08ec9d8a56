"""The whole file of an ejected network."""

import shlex
import string
from pathlib import Path

from resatlas.arch.cost import cost
from resatlas.arch.ops import Shape
from resatlas.arch.plan import Plan
from resatlas.designs.catalog import Entry
from resatlas.eject.layers import definitions
from resatlas.eject.network import constants, ends, initialise, network_class
from resatlas.eject.papers import origin
from resatlas.eject.printing import docstring, paragraph
from resatlas.eject.streams import IN_ORDER, adds, projector, streams_unit_class
from resatlas.eject.table import Table, row_class, rows, unit_table
from resatlas.eject.units import ADDED, bodies_function, stream_class, unit_class

IMPORTS = """from collections import OrderedDict
from typing import NamedTuple

import torch
from torch import nn"""


def source(entry: Entry, *, image: Shape | None = None, classes: int | None = None, design: str | None = None) -> str:
    """The Python file of a network for its usual images and classes or for others; it imports torch alone.

    Its parameters have the paths of the plan as names. `design` is the text that the entry was resolved from, with
    which the file says how it is written again; by default the entry's name.
    Raises: as `Entry.plan`; DesignError for units that differ in what a table of units does not say.
    """
    plan = entry.plan(image=image, classes=classes)
    table = unit_table(plan)
    name = origin(entry).network
    numbers = f"{row_class(table)}\n\n\n{constants(plan, table)}\n\n{rows(table)}"
    parts = [
        *definitions(plan),
        *_units(plan, table),
        *ends(plan),
        network_class(plan, table, name),
        initialise(plan),
        _main(name),
    ]
    doc = "\n".join(docstring(*_doc(entry, plan, design or entry.name)))
    return "\n\n\n".join([f"{doc}\n\n{IMPORTS}", numbers, *parts]) + "\n"


def _units(plan: Plan, table: Table) -> list[str]:
    bodies = len(table.stream.bodies)
    added = plan.heads > 1 or (table.several_streams and adds(table)) or (bodies > 1 and table.stream.merge == "sum")
    texts = [*([ADDED] if added else []), *([bodies_function(table)] if bodies > 1 else [])]
    if not table.several_streams:
        return [*texts, unit_class(table)]
    return [*texts, *projector(table), stream_class(table), streams_unit_class(table), IN_ORDER]


def _doc(entry: Entry, plan: Plan, design: str) -> list[str]:
    sources = [paragraph(f"Source: {text}", hanging="    ") for text in origin(entry).sources]
    shape = f"(n, {', '.join(map(str, plan.image))}) -> (n, {plan.head[-1].output.channels})"
    return [
        f"{shown(entry.name)}: {shape}, {cost(plan).parameters:,} parameters.",
        "\n".join(sources),
        paragraph(
            f"Written by {_command(design, entry, plan)}; weights that were saved there load here with "
            "load_state_dict, since every parameter has the same name and shape."
        ),
    ]


def _command(design: str, entry: Entry, plan: Plan) -> str:
    """The command that writes the file again; an absolute path is cut to its last name, as it is nobody else's.

    A docstring can hold no double quotes and no backslashes, so a file with these in its name is not named.
    """
    words = [Path(design).name if Path(design).is_absolute() else design]
    words += ["--classes", str(plan.classes)] if plan.classes != entry.classes else []
    words += ["--image", ",".join(map(str, plan.image))] if plan.image != entry.image else []
    text = shlex.join(words)
    if not text.isprintable() or set(text) & set('"\\`'):
        return f"`resatlas eject DESIGN`, where DESIGN is the file of {shown(entry.name)}"
    return f"`resatlas eject {text}`"


def shown(name: str) -> str:
    """A name with nothing in it that could end a docstring."""
    allowed = set(string.ascii_letters + string.digits + " .,:;=+/()_-")
    return "".join(letter if letter in allowed else "_" for letter in name)[:60]


def _main(name: str) -> str:
    return f'''def main() -> None:
    """Build the network and print how many parameters it has."""
    network = {name}()
    count = sum(parameter.numel() for parameter in network.parameters())
    print(f"{{count:,}} parameters")


if __name__ == "__main__":
    main()'''
