"""The model card of a saved network (README.md): the network, its errors and their uncertainty, and its training."""

from collections.abc import Iterable, Sequence
from typing import assert_never

from resatlas.designs.citations import Paper, bibtex
from resatlas.exporting.config import Config
from resatlas.exporting.facts import all_of, class_list, licences, limits, results, summary, title_of
from resatlas.exporting.metadata import metadata
from resatlas.values.blocks import Block, Bullets, Heading, Paragraph
from resatlas.values.markdown import as_text, table
from resatlas.values.table import Table

UNSTATED = "unknown; if you publish them, state their licence here and in the first lines of this file"


def card(config: Config, papers: Sequence[Paper]) -> str:
    """The card of a saved network; `papers` are those whose parts the network has."""
    title = title_of(config)
    about = all_of(
        [summary(config.plan, as_text, family=config.family)],
        class_list(config.class_names or (), as_text, rest="`config.json`"),
        results(config.training, as_text),
        limits(config, config.training, as_text) if config.training else (),
    )
    legal = licences(config.training, weights=config.licence or UNSTATED)
    return document(metadata(config, title=title), title, about, _use(config), legal, papers)


def document(
    front: str, title: str, about: Iterable[Block], use: str, legal: Iterable[Block], papers: Sequence[Paper]
) -> str:
    """A card of these parts; names in the blocks are escaped already."""
    parts = [front, f"# {as_text(title)}", *map(_markdown, about), use, *map(_markdown, legal), *_references(papers)]
    return "\n\n".join(parts) + "\n"


def _markdown(block: Block) -> str:
    """A block whose names are escaped already."""
    match block:
        case Heading(words):
            return f"## {words}"
        case Paragraph(words):
            return words
        case Bullets(title, lines):
            return "\n\n".join(filter(None, [title, _listed(lines)]))
        case Table():
            return table(block)
        case _:
            assert_never(block)


def _use(config: Config) -> str:
    c, h, w = config.image
    lines = [
        "import torch",
        "import resatlas",
        "",
        'network = resatlas.from_pretrained(".")  # the path of this folder',
    ]
    if config.normalisation:
        lines += [
            'prepare = resatlas.preprocessing(".")',
            f"pixels = torch.zeros({c}, {h}, {w}, dtype=torch.uint8)  # an image: channels, height, width",
            "with torch.inference_mode():",
            "    print(network(prepare(pixels)[None]).softmax(dim=1))",
        ]
    else:
        lines += [
            f"images = torch.zeros(1, {c}, {h}, {w})  # normalised as in the training, which is unknown here",
            "with torch.inference_mode():",
            "    print(network(images))",
        ]
    return use_of(lines, library=config.library)


def use_of(lines: Iterable[str], *, library: str) -> str:
    """How the network is used, as lines of Python."""
    code = "```python\n" + "\n".join(lines) + "\n```"
    return f"## Use\n\n{code}\n\nWritten by {as_text(library)}; its files contain only numbers and text."


def _listed(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _references(papers: Sequence[Paper]) -> Iterable[str]:
    yield "## Papers"
    if papers:
        yield "The network has parts of these papers:\n\n```bibtex\n" + "\n\n".join(map(bibtex, papers)) + "\n```"
    else:
        yield "Unknown: the network is not in the catalogue, and its design is not available."
