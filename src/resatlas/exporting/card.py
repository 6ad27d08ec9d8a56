"""The model card of a saved network (README.md): the network, its errors and their uncertainty, and its training."""

from collections.abc import Iterable, Sequence

from resatlas.designs.citations import Paper, bibtex
from resatlas.exporting.config import Config, Figures, Training
from resatlas.exporting.metadata import metadata
from resatlas.runs.experiment import TrainedWeights
from resatlas.values.markdown import as_text, table
from resatlas.values.table import Column, Table, numbers, words
from resatlas.values.text import counted

_COLUMNS = (
    *words("part"),
    Column("error", "%", ".2f"),
    *numbers("misclassified", "images"),
    Column("loss", "1", ".4f"),
)

_MAX_NAMES = 100
"""The number of class names in the card; config.json has all of them."""

_LICENCES = {"fashion-mnist": "MIT", "synthetic": "not needed, they are generated"}
"""Licences of images, by data set. Source: LICENSE of github.com/zalandoresearch/fashion-mnist."""


def card(config: Config, papers: Sequence[Paper]) -> str:
    """The card of a saved network; `papers` are those whose parts the network has."""
    title = _title(config)
    parts = [metadata(config, title=title), f"# {as_text(title)}", _kind(config)]
    if config.training:
        parts += [*_figures(config.training), *_history(config.training), _limits(config, config.training)]
    else:
        parts += ["## Results\n\nUnknown: the network was saved without a run, so its training is unknown."]
    parts += [_use(config), _licence(config), *_references(papers)]
    return "\n\n".join(parts) + "\n"


def _title(config: Config) -> str:
    name = config.design or "A residual network"
    return f"{name} on {config.training.data}" if config.training else name


def _kind(config: Config) -> str:
    c, h, w = config.image
    family = f" of the family {as_text(config.family)}" if config.family else ""
    task = f"distinguishes {config.classes:,} classes" if config.classes else "computes features"
    size = f"{config.parameters:,} parameters, {config.multiply_adds:,} multiply-adds per image"
    summary = f"A residual network{family} that {task} in images of {c} x {h} x {w}: {size}."
    return "\n\n".join([summary, *_classes(config.class_names or ())])


def _classes(names: Sequence[str]) -> Iterable[str]:
    if names:
        more = f" and {len(names) - _MAX_NAMES:,} more, listed in `config.json`" if len(names) > _MAX_NAMES else ""
        yield f"Classes, in the order of the outputs: {', '.join(map(as_text, names[:_MAX_NAMES]))}{more}."


def _figures(training: Training) -> Iterable[str]:
    parts = {"test": training.test, "validation": training.validation, "training": training.train}
    yield "## Results"
    rows = tuple(
        (part, figures.error_percent, figures.wrong, figures.images, figures.loss)
        for part, figures in parts.items()
        if figures
    )
    yield table(Table(columns=_COLUMNS, rows=rows))
    if training.test is None:
        yield (
            f"The weights are those of one run with seed {training.seed} after epoch {training.epochs}, which was "
            "chosen for its validation error; so that error is on average lower than the error on new images. The "
            "weights were not tested. The training results are means over that epoch, while the weights changed."
        )
        return
    low, high = wilson(training.test)
    yield (
        f"These are the results of one run with seed {training.seed}, after its last epoch; no test image was used "
        "before. The training results are means over the last epoch, while the weights changed. A run with another "
        "seed has another error; one run cannot show by how much, so there is no interval over seeds."
    )
    yield (
        f"For this network, {training.test.wrong:,} misclassified of {training.test.images:,} test images give a 95 % "
        f"confidence interval (Wilson) of {low:.2f} to {high:.2f} % for the error. The interval covers the random "
        "choice of the test images and no other uncertainty."
    )


def wilson(figures: Figures) -> tuple[float, float]:
    """The 95 % confidence interval of Wilson for an error, in percent."""
    from scipy.stats import binomtest

    interval = binomtest(figures.wrong, figures.images).proportion_ci(confidence_level=0.95, method="wilson")
    return 100 * float(interval.low), 100 * float(interval.high)


def _history(training: Training) -> Iterable[str]:
    yield f"## Data\n\n{as_text(training.data)}: {training.train.images:,} training images."
    if training.note:
        yield f"Note: {as_text(training.note.rstrip('.'))}."
    recipe = f"Recipe {as_text(training.recipe)}, {counted(training.epochs, 'epoch')}, seed {training.seed}"
    yield f"## Training\n\n{recipe}. Initial weights: {_start(training.begun_from)}."
    if training.departures:
        yield "Differences from the recipe:\n\n" + _listed(map(as_text, training.departures))


def _start(weights: TrainedWeights | None) -> str:
    if weights is None:
        return "random"
    file = f"{as_text(weights.file)} (sha256 {as_text(weights.sha256)})"
    kind = "averaged weights of " if weights.which == "ema" else ""
    return f"{kind}{file}, whose training data is unknown and may contain the test images"


def _limits(config: Config, training: Training) -> str:
    tested = f"{training.test.images:,} images of {as_text(training.data)}" if training.test else ""
    lines = (
        f"It was tested on {tested} only, not on images of other sources, sizes, noise or shifts."
        if tested
        else "It was not tested.",
        f"An image of none of the {config.classes:,} classes is still assigned to one of them.",
        "The calibration of its probabilities was not measured.",
        "Whether some groups of people or things are misclassified more often was not examined.",
    )
    return f"## Limits of the test\n\n{_listed(lines)}"


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
    code = "```python\n" + "\n".join(lines) + "\n```"
    return f"## Use\n\n{code}\n\nWritten by {as_text(config.library)}; its files contain only numbers and text."


def _licence(config: Config) -> str:
    lines = [
        "Code of resatlas, which builds the network: Apache-2.0.",
        "Weights: unknown; if you publish them, state their licence here and in the first lines of this file.",
    ]
    if config.training:
        name = config.training.data.partition(":")[0]
        lines.append(f"Images: {_LICENCES.get(name, 'unknown; see their source')}.")
    return f"## Licences\n\n{_listed(lines)}"


def _listed(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _references(papers: Sequence[Paper]) -> Iterable[str]:
    yield "## Papers"
    if papers:
        yield "The network has parts of these papers:\n\n```bibtex\n" + "\n\n".join(map(bibtex, papers)) + "\n```"
    else:
        yield "Unknown: the network is not in the catalogue, and its design is not available."
