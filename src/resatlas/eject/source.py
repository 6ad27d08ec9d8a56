"""The whole file of an ejected network."""

import shlex
import string
from pathlib import Path

from resatlas.arch.cost import cost
from resatlas.arch.ops import Shape
from resatlas.arch.plan import Plan
from resatlas.designs.catalog import Entry
from resatlas.eject.layers import definitions
from resatlas.eject.network import constants, end_functions, initialise, network_class
from resatlas.eject.papers import origin
from resatlas.eject.printing import docstring, paragraph
from resatlas.eject.streams import IN_ORDER, adds, projector, streams_unit_class
from resatlas.eject.table import UnitTable, row_class, rows, unit_table
from resatlas.eject.units import ADDED, bodies_function, stream_class, unit_class

_IMPORTS = """from collections import OrderedDict
from typing import NamedTuple

import torch
from torch import nn"""


def source(entry: Entry, *, image: Shape | None = None, classes: int | None = None, design: str | None = None) -> str:
    """The Python file of a network, for the default images and classes or others; it imports only torch.

    The parameters have the paths of the plan as names. `design` is the DESIGN text of the entry, used in the command
    that the file contains; by default it is the entry's name.
    Raises: as `Entry.plan`; DesignError for units whose differences a table of units cannot express.
    """
    plan = entry.plan(image=image, classes=classes)
    table = unit_table(plan)
    name = origin(entry).network
    numbers = f"{row_class(table)}\n\n\n{constants(plan, table)}\n\n{rows(table)}"
    parts = [
        *definitions(plan),
        *_units(plan, table),
        *end_functions(plan),
        network_class(plan, table, name),
        initialise(plan),
        _main(name),
    ]
    doc = "\n".join(docstring(*_doc(entry, plan, design or entry.name)))
    return "\n\n\n".join([f"{doc}\n\n{_IMPORTS}", numbers, *parts]) + "\n"


def _units(plan: Plan, table: UnitTable) -> list[str]:
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
        f"{_docstring_safe(entry.name)}: {shape}, {cost(plan).parameters:,} parameters.",
        "\n".join(sources),
        paragraph(
            f"Written by {_command(design, entry, plan)}. Weights saved with that library load here with "
            "load_state_dict, since all parameters have the same names and shapes."
        ),
    ]


def _command(design: str, entry: Entry, plan: Plan) -> str:
    """The command that writes the file; an absolute path is shortened to its last name, since it is private.

    A docstring cannot contain double quotes or backslashes, so a file with these in its name is not named.
    """
    arguments = [Path(design).name if Path(design).is_absolute() else design]
    arguments += ["--classes", str(plan.classes)] if plan.classes != entry.classes else []
    arguments += ["--image", ",".join(map(str, plan.image))] if plan.image != entry.image else []
    text = shlex.join(arguments)
    if not text.isprintable() or set(text) & set('"\\`'):
        return f"`resatlas eject DESIGN`, where DESIGN is the file of {_docstring_safe(entry.name)}"
    return f"`resatlas eject {text}`"


def _docstring_safe(name: str) -> str:
    """A name without characters that could end a docstring."""
    allowed = set(string.ascii_letters + string.digits + " .,:;=+/()_-")
    return "".join(letter if letter in allowed else "_" for letter in name)[:60]


def _main(name: str) -> str:
    return f'''def main() -> None:
    """Build the network and print its number of parameters."""
    network = {name}()
    count = sum(parameter.numel() for parameter in network.parameters())
    print(f"{{count:,}} parameters")


if __name__ == "__main__":
    main()'''
