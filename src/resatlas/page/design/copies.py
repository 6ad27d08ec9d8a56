"""What the page offers to copy: DESIGN text, commands, Python, TOML, BibTeX."""

import re
import shlex
from collections.abc import Iterator
from typing import Literal, NamedTuple

from resatlas.arch.blueprint_table import blueprint_text
from resatlas.designs.citations import bibtex, papers_of
from resatlas.errors import BlueprintError
from resatlas.page.design.network import image_text
from resatlas.page.design.question import Subject, file_of

Name = Literal["design", "describe", "train", "python", "toml", "bibtex"]


class Copy(NamedTuple):
    """A text to copy with its title and a sentence about it."""

    name: Name
    title: str
    text: str
    about: str


def copies(subject: Subject) -> Iterator[Copy]:
    """The texts, in the order of the page; those of a cross begin with its file."""
    design, own = _design(subject), subject.texts is not None
    toml = _toml(subject)
    if own:
        yield Copy("toml", "TOML", toml.text, f"the file {design}, which the commands below read")
    else:
        yield Copy("design", "DESIGN", design, "the name that every verb and resatlas.plan take")
    yield Copy("describe", "Describe", shlex.join(["resatlas", "describe", design, *_options(subject)]), "every number")
    yield Copy("train", "Train", _train(subject, design), "on the bundled digits, in minutes on a processor")
    yield Copy("python", "Python", _python(subject, design), "needs torch")
    if not own:
        yield toml
    papers = papers_of(subject.entry)
    cited = "\n\n".join(map(bibtex, papers))
    yield Copy("bibtex", "BibTeX", cited, "the papers whose parts the network has" if papers else "no paper is used")


def _design(subject: Subject) -> str:
    """The DESIGN text: the name of a cross's file is made of its name."""
    if subject.texts is None:
        return subject.entry.name
    return f"{file_stem(subject.entry.name)}.toml"


def file_stem(name: str) -> str:
    """The name of a file: letters, digits and dashes."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-.") or "network"


def _options(subject: Subject) -> list[str]:
    """The options for other images and classes than the design's; a cross has them in its file."""
    plan, entry = subject.plan, subject.entry
    if subject.texts is not None:
        return []
    options = [] if plan.classes == entry.classes else ["--classes", str(plan.classes)]
    return options if plan.image == entry.image else [*options, "--image", image_text(plan.image)]


def _train(subject: Subject, design: str) -> str:
    side = min(subject.plan.image.height, 32)
    return shlex.join(["resatlas", "train", design, "--data", f"digits:size={side}", "--recipe", "quick"])


def _python(subject: Subject, design: str) -> str:
    plan, entry = subject.plan, subject.entry
    arguments = [repr(design).replace("'", '"')]
    if subject.texts is None:
        arguments += [] if plan.classes == entry.classes else [f"classes={plan.classes}"]
        arguments += [] if plan.image == entry.image else [f"image=Shape{tuple(plan.image)}"]
    shape = ", ".join(map(str, plan.image))
    shaped = "from resatlas.arch.ops import Shape\n" if "Shape" in arguments[-1] else ""
    return (
        f"import resatlas\nimport torch\n{shaped}\nnetwork = resatlas.build({', '.join(arguments)}).eval()\n"
        f"print(network(torch.zeros(1, {shape})).shape)"
    )


def _toml(subject: Subject) -> Copy:
    about = "the blueprint, to change part by part"
    try:
        return Copy("toml", "TOML", blueprint_text(file_of(subject.entry, subject.plan)), about)
    except BlueprintError as error:
        return Copy("toml", "TOML", "", str(error))
