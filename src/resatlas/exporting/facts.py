"""What is known about a saved network, as blocks: for its model card, and for the page of a report. Needs no torch."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from math import floor

from resatlas.arch.cost import cost
from resatlas.arch.ops import Shape
from resatlas.arch.plan import Plan
from resatlas.exporting.config import Affine, Config, Figures, Stored, Training
from resatlas.exporting.found_config import FoundTraining
from resatlas.recipes.images import Centre
from resatlas.runs.experiment import TrainedWeights
from resatlas.values.blocks import Block, Bullets, Heading, Paragraph
from resatlas.values.table import Column, Table, numbers, words
from resatlas.values.text import counted

Mark = Callable[[str], str]
"""Makes a name from the user's files safe for a document: short, printable, and escaped where the format needs it."""

_COLUMNS = (
    *words("part"),
    Column("error", "%", ".2f"),
    *numbers("misclassified", "images"),
    Column("loss", "1", ".4f"),
)

_MAX_NAMES = 100
"""The number of class names that are listed."""

_LICENCES = {"fashion-mnist": "MIT", "synthetic": "not needed, they are generated"}
"""Licences of images, by data set. Source: LICENSE of github.com/zalandoresearch/fashion-mnist."""


def title_of(config: Config) -> str:
    """The design and its data, as far as known."""
    name = config.design or "A residual network"
    return f"{name} on {config.training.data}" if config.training else name


def summary(plan: Plan, mark: Mark, *, family: str | None) -> Paragraph:
    """What a network does, for which images, and at which cost."""
    c, h, w = plan.image
    total = cost(plan)
    kind = f" of the family {mark(family)}" if family else ""
    task = f"distinguishes {plan.classes:,} classes" if plan.classes else "computes features"
    size = f"{total.parameters:,} parameters, {total.multiply_adds:,} multiply-adds per image"
    return Paragraph(f"A residual network{kind} that {task} in images of {c} x {h} x {w}: {size}.")


def class_list(names: Sequence[str], mark: Mark, *, rest: str) -> Iterator[Block]:
    """The first class names; `rest` is the place where all of them are."""
    if names:
        more = f" and {len(names) - _MAX_NAMES:,} more, listed in {rest}" if len(names) > _MAX_NAMES else ""
        yield Paragraph(f"Classes, in the order of the outputs: {', '.join(map(mark, names[:_MAX_NAMES]))}{more}.")


def from_files(image: Shape, shorter: int, *, interpolation: str) -> str:
    """How an image file becomes an image of the network; `shorter` is the shorter side after resizing, in pixels."""
    return (
        f"An image file is turned upright, its shorter side is resized to {shorter} pixels ({interpolation}, "
        f"antialiased), and its centre of {image.height} x {image.width} pixels is cropped; an image of that "
        "size is taken whole."
    )


def normalised_by(mean: Sequence[float], std: Sequence[float]) -> str:
    """The normalisation with one number per channel."""
    means, stds = (", ".join(f"{number:.6g}" for number in values) for values in (mean, std))
    return f"Pixels x from 0 to 255 become (x/255 - mean)/std: mean {means}, std {stds}."


def preparation(config: Config) -> Iterator[Block]:
    """How images are prepared, as far as known."""
    yield Heading("Preparation of images")
    if config.view is None or config.normalisation is None:
        yield Paragraph("Unknown: the network was saved without it.")
        return
    yield Paragraph(f"{_view(config.image, config.view)} {_normalisation(config.normalisation)}")


def _view(image: Shape, view: Centre) -> str:
    return from_files(image, floor(view.shorter * image.height + 0.5), interpolation="bilinear")


def _normalisation(normalisation: Affine | Stored) -> str:
    match normalisation:
        case Affine(mean=mean, std=std) if all(len(channel) == len(channel[0]) == 1 for channel in (*mean, *std)):
            return normalised_by(*(tuple(channel[0][0] for channel in values) for values in (mean, std)))
        case Affine():
            return "Then each pixel is normalised with its own mean, the mean image of the training, in config.json."
        case Stored(sha256=sha256):
            return f"Then they are normalised as normalisation.safetensors says (sha256 {sha256})."


def results(training: Training | None, mark: Mark) -> Iterator[Block]:
    """Errors and their uncertainty, data, training, and differences from the recipe."""
    yield Heading("Results")
    if training is None:
        yield Paragraph("Unknown: the network was saved without a run, so its training is unknown.")
        return
    yield from _figures(training)
    yield from history(training, mark)


def _figures(training: Training) -> Iterator[Block]:
    parts = {"test": training.test, "validation": training.validation, "training": training.train}
    rows = tuple(
        (part, figures.error_percent, figures.wrong, figures.images, figures.loss)
        for part, figures in parts.items()
        if figures
    )
    yield Table(columns=_COLUMNS, rows=rows)
    if training.test is None:
        yield Paragraph(
            f"The weights are those of one run with seed {training.seed} after epoch {training.epochs}, which was "
            "chosen for its validation error; so that error is on average lower than the error on new images. The "
            "weights were not tested. The training results are means over that epoch, while the weights changed."
        )
        return
    low, high = wilson(training.test)
    yield Paragraph(
        f"These are the results of one run with seed {training.seed}, after its last epoch; no test image was used "
        "before. The training results are means over the last epoch, while the weights changed. A run with another "
        "seed has another error; one run cannot show by how much, so there is no interval over seeds."
    )
    yield Paragraph(
        f"For this network, {training.test.wrong:,} misclassified of {training.test.images:,} test images give a 95 % "
        f"confidence interval (Wilson) of {low:.2f} to {high:.2f} % for the error. The interval covers the random "
        "choice of the test images and no other uncertainty."
    )


def wilson(figures: Figures) -> tuple[float, float]:
    """The 95 % confidence interval of Wilson for an error, in percent."""
    from scipy.stats import binomtest

    interval = binomtest(figures.wrong, figures.images).proportion_ci(confidence_level=0.95, method="wilson")
    return 100 * float(interval.low), 100 * float(interval.high)


def history(training: Training | FoundTraining, mark: Mark) -> Iterator[Block]:
    """The data of a training, its recipe and the differences from it."""
    yield Heading("Data")
    yield Paragraph(f"{mark(training.data)}: {training.train.images:,} training images.")
    if training.note:
        yield Paragraph(f"Note: {mark(training.note.rstrip('.'))}.")
    recipe = f"Recipe {mark(training.recipe)}, {counted(training.epochs, 'epoch')}, seed {training.seed}"
    yield Heading("Training")
    yield Paragraph(f"{recipe}. Initial weights: {_start(training.begun_from, mark)}.")
    if training.departures:
        yield Bullets("Differences from the recipe:", tuple(map(mark, training.departures)))


def _start(weights: TrainedWeights | None, mark: Mark) -> str:
    if weights is None:
        return "random"
    file = f"{mark(weights.file)} (sha256 {mark(weights.sha256)})"
    kind = "averaged weights of " if weights.which == "ema" else ""
    return f"{kind}{file}, whose training data is unknown and may contain the test images"


def limits(config: Config, training: Training, mark: Mark) -> Iterator[Block]:
    """What the test does not show."""
    tested = f"{training.test.images:,} images of {mark(training.data)}" if training.test else ""
    yield Heading("Limits of the test")
    yield Bullets(
        "",
        (
            f"It was tested on {tested} only, not on images of other sources, sizes, noise or shifts."
            if tested
            else "It was not tested.",
            f"An image of none of the {config.classes:,} classes is still assigned to one of them.",
            "The calibration of its probabilities was not measured.",
            "Whether some groups of people or things are misclassified more often was not examined.",
        ),
    )


def licences(training: Training | FoundTraining | None, *, weights: str) -> Iterator[Block]:
    """The licences of code, weights and images; `weights` says what is known about that of the weights."""
    lines = ["Code of resatlas, which builds the network: Apache-2.0.", f"Weights: {weights}."]
    if training:
        name = training.data.partition(":")[0]
        lines.append(f"Images: {_LICENCES.get(name, 'unknown; see their source')}.")
    yield Heading("Licences")
    yield Bullets("", tuple(lines))


def all_of(*parts: Iterable[Block]) -> tuple[Block, ...]:
    """The blocks of some parts, one after another."""
    return tuple(block for part in parts for block in part)
