"""The model card of a saved detector or segmenter: what it finds and how, its AP or mean IoU, and its training."""

from collections.abc import Iterator, Sequence

from resatlas.designs.citations import Paper
from resatlas.exporting.card import UNSTATED, document, use_of
from resatlas.exporting.facts import Mark, all_of, class_list, history, licences
from resatlas.exporting.found_config import FoundConfig, FoundTraining, Measures
from resatlas.exporting.metadata import found_metadata
from resatlas.recipes.detection import Segment
from resatlas.recipes.task_reading import reading
from resatlas.recipes.task_text import noun, task_facts
from resatlas.values.blocks import Block, Bullets, Heading, Paragraph
from resatlas.values.markdown import as_text
from resatlas.values.table import Column, Table, words


def found_card(config: FoundConfig, papers: Sequence[Paper]) -> str:
    """The card of a saved detector or segmenter; `papers` are those whose parts its network has."""
    title = title_of(config)
    legal = licences(config.training, weights=config.network.licence or UNSTATED)
    return document(
        found_metadata(config, title=title),
        title,
        about(config, as_text, rest="`config.json`"),
        _use(config),
        legal,
        papers,
    )


def title_of(config: FoundConfig) -> str:
    """The design and its data, as far as known."""
    name = config.network.design or "A residual network"
    return f"{name} on {config.training.data}" if config.training else name


def about(config: FoundConfig, mark: Mark, *, rest: str) -> tuple[Block, ...]:
    """What is known about it: what it finds, its classes, its results and their limits; `rest` as in `class_list`."""
    return all_of(
        [_summary(config, mark)],
        class_list(config.class_names, mark, rest=rest),
        _task(config),
        _results(config, mark),
        _limits(config.training, mark) if config.training else (),
    )


def _summary(config: FoundConfig, mark: Mark) -> Paragraph:
    c, h, w = config.network.image
    kind = f" of the family {mark(config.network.family)}" if config.network.family else ""
    return Paragraph(
        f"A residual network{kind} that finds {noun(config.task)} of {len(config.class_names):,} classes in images of "
        f"any size, usually of {c} x {h} x {w}: {config.parameters:,} parameters with its heads, "
        f"{config.multiply_adds:,} multiply-adds per image without them."
    )


def _task(config: FoundConfig) -> Iterator[Block]:
    yield Heading("How it finds")
    yield from map(Paragraph, reading(config.task))
    facts = ((name, fact) for name, fact in task_facts(config.task) if name != "finds")
    yield Bullets("", tuple(f"{name}: {fact}" if name else fact for name, fact in facts))


def _results(config: FoundConfig, mark: Mark) -> Iterator[Block]:
    training = config.training
    yield Heading("Results")
    if training is None:
        yield Paragraph("Unknown: it was saved without a run, so its training is unknown.")
        return
    parts = {name: part for name in ("test", "validation") if (part := getattr(training, name))}
    if parts:
        yield _whole(parts)
    if training.test:
        yield _classes(training.test)
    yield Paragraph(
        f"Every image was looked at once, as it is (protocol centre), by one run with seed {training.seed} after its "
        "last epoch; no test image was used before. A run with another seed has other results; one run cannot show by "
        "how much."
        if training.test
        else f"The weights are those of one run with seed {training.seed} after epoch {training.epochs}, which was "
        "chosen for its validation error; so that error is on average lower than the error on new images. The weights "
        "were not tested."
    )
    yield from history(training, mark)


def _whole(parts: dict[str, Measures]) -> Table:
    """A row for each result, in percent, with a column for each part; - where nothing is to be found."""
    names = dict.fromkeys(name for part in parts.values() for name in part.values)
    rows = tuple((name, *(_percent(own.values.get(name)) for own in parts.values())) for name in names)
    columns = (Column(f"{part}, {own.images:,} images", "%") for part, own in parts.items())
    return Table(columns=(*words("result"), *columns), rows=rows)


def _classes(test: Measures) -> Table:
    """A row for each class; a table escapes its cells itself."""
    names = list(dict.fromkeys(name for own in test.classes.values() for name in own))
    rows = tuple((label, *(_percent(own.get(name)) for name in names)) for label, own in test.classes.items())
    return Table(columns=(*words("class"), *(Column(name, "%") for name in names)), rows=rows)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _limits(training: FoundTraining, mark: Mark) -> Iterator[Block]:
    """What the test does not show."""
    yield Heading("Limits of the test")
    tested = f"{training.test.images:,} images of {mark(training.data)}" if training.test else ""
    yield Bullets(
        "",
        (
            f"It was tested on {tested} only, not on images of other sources, sizes, noise or shifts."
            if tested
            else "It was not tested.",
            "Objects of other classes are not found, or found as one of these classes.",
            "The calibration of its scores was not measured.",
            "Whether some groups of people or things are missed more often was not examined.",
        ),
    )


def _use(config: FoundConfig) -> str:
    c, h, w = config.network.image
    name = "segmenter" if isinstance(config.task, Segment) else "detector"
    lines = [
        "import torch",
        "import resatlas",
        "",
        f'{name} = resatlas.from_pretrained(".")  # the path of this folder',
        'prepare = resatlas.preprocessing(".")',
        'names = resatlas.read_found_config(".").class_names',
        f"pixels = torch.zeros({c}, {h}, {w}, dtype=torch.uint8)  # an image of any size: channels, height, width",
        "with torch.inference_mode():",
    ]
    if isinstance(config.task, Segment):
        lines += [
            "    classes = segmenter(prepare(pixels)[None]).argmax(dim=1)  # of each pixel, from 0 on",
            "    print([names[k] for k in classes.unique()])",
        ]
    else:
        lines += [
            "    [found] = detector([prepare(pixels)])  # boxes x0, y0, x1, y1 in pixels; labels from 1 on; scores",
            '    print([names[label - 1] for label in found["labels"]])',
        ]
    return use_of(lines, library=config.network.library)
