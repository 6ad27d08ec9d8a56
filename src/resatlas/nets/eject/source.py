"""The whole file of an ejected network."""

import re
import shlex
from pathlib import Path
from textwrap import fill

from resatlas.arch.cost import cost
from resatlas.arch.ops import Shape
from resatlas.arch.plan import Plan
from resatlas.designs.catalog import Entry
from resatlas.nets.eject.layers import SCALE, spelling
from resatlas.nets.eject.network import STAGE, constants, ends, has_stage_function, initialise, network_class
from resatlas.nets.eject.padding import padded, padding_class
from resatlas.nets.eject.papers import origin
from resatlas.nets.eject.streams import PROJECTOR, stream_class, streams_unit_class
from resatlas.nets.eject.subject import Subject
from resatlas.nets.eject.units import body_function, unit_class
from resatlas.nets.eject.widths import width_function
from resatlas.nets.eject.writing import LINE, docstring

IMPORTS = (
    ("Sequence[", "from collections.abc import Sequence"),
    ("OrderedDict", "from collections import OrderedDict"),
    ("Fraction(", "from fractions import Fraction"),
    ("reduce(", "from functools import reduce"),
    ("floor(", "from math import floor"),
    ("torch.", "import torch"),
    ("F.", "import torch.nn.functional as F"),
)

CHAIN = '''def chain(**layers: nn.Module) -> nn.Sequential:
    """The layers one after another, each under its name."""
    return nn.Sequential(OrderedDict(layers))'''


def source(entry: Entry, *, image: Shape | None = None, classes: int | None = None, design: str | None = None) -> str:
    """The Python file of a network for its usual images and classes or for others; it imports torch alone.

    Its parameters have the paths of the plan as names. `design` is the text that the entry was resolved from, with
    which the file says how it is written again; by default the entry's name.
    Raises: as `Entry.plan`; DesignError for units that differ in what a short file cannot say.
    """
    plan = entry.plan(image=image, classes=classes)
    units = tuple(unit for _, unit in plan.units)
    subject = Subject(blueprint=entry.blueprint, plan=plan, spelling=spelling(plan), units=units)
    name = origin(entry).network
    parts = [*_definitions(subject), network_class(subject, name)]
    scale = [SCALE] if any(re.search(r"\bScale\(", part) for part in parts) else []
    body = "\n\n\n".join([constants(subject), CHAIN, *scale, *parts, initialise(subject), _main(name)])
    return "\n".join([*_doc(entry, subject, design or entry.name), "", *_imports(body), "", body, ""])


def _definitions(subject: Subject) -> list[str]:
    width = width_function(subject)
    return [
        subject.spelling.conv_function(),
        *([width] if width else []),
        *([padding_class(subject)] if padded(subject) else []),
        *([PROJECTOR] if subject.projects else []),
        *_units(subject),
        *([STAGE] if has_stage_function(subject) else []),
        *ends(subject),
    ]


def _units(subject: Subject) -> list[str]:
    bodies = [body_function(subject)] if subject.bodies > 1 else []
    if subject.several_streams:
        return [*bodies, stream_class(subject), streams_unit_class(subject)]
    return [*bodies, unit_class(subject)]


def _doc(entry: Entry, subject: Subject, design: str) -> list[str]:
    plan = subject.plan
    count = f"{cost(plan).parameters:,} parameters"
    c, h, w = plan.image
    name = shown(entry.name)
    return docstring(
        f"{name}: (n, {c}, {h}, {w}) -> (n, {plan.head[-1].output.channels}), {count}.",
        "\n".join(
            fill(f"Source: {each}", LINE - 4, subsequent_indent="    ", break_on_hyphens=False)
            for each in origin(entry).sources
        ),
        fill(
            f"Written by {_command(design, entry, plan)}; weights that were saved there load here with "
            "load_state_dict, since every parameter has the same name and shape.",
            LINE - 4,
            break_on_hyphens=False,
            break_long_words=False,
        ),
    )


def _command(design: str, entry: Entry, plan: Plan) -> str:
    """The command that writes the file again; an absolute path is cut to its last name, as it is nobody else's.

    A docstring can hold no double quotes and no backslashes, so a file with these in its name is not named.
    """
    given = Path(design).name if Path(design).is_absolute() else design
    text = shlex.join([given, *_options(entry, plan)])
    if not text.isprintable() or set(text) & set('"\\`'):
        return f"`resatlas eject DESIGN`, where DESIGN is the file of {shown(entry.name)}"
    return f"`resatlas eject {text}`"


def _options(entry: Entry, plan: Plan) -> list[str]:
    classes = ["--classes", str(plan.classes)] if plan.classes != entry.classes else []
    return classes + (["--image", ",".join(map(str, plan.image))] if plan.image != entry.image else [])


def shown(name: str) -> str:
    """A name with nothing in it that could end a docstring."""
    return re.sub(r"[^A-Za-z0-9 .,:;=+/()_-]", "_", name)[:60]


def _imports(body: str) -> list[str]:
    needed = {line for word, line in IMPORTS if re.search(rf"(?<![\w.]){re.escape(word)}", body)}
    own = sorted(line for line in needed if "torch" not in line)
    theirs = sorted((line for line in needed if "torch" in line), key=lambda line: line.split()[1])
    return [*own, "", *theirs, "from torch import Tensor, nn"]


def _main(name: str) -> str:
    return f'''def main() -> None:
    """Build the network and print how many parameters it has."""
    network = {name}()
    print(f"{{sum(parameter.numel() for parameter in network.parameters()):,}} parameters")


if __name__ == "__main__":
    main()'''
