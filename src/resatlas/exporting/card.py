"""The README.md of a saved network: what it is, how well it does and of that how much is known, in plain words."""

from collections.abc import Iterable, Sequence

from resatlas.designs.citations import Paper, bibtex
from resatlas.exporting.config import Config, Figures, Training
from resatlas.exporting.metadata import metadata
from resatlas.runs.experiment import TrainedWeights
from resatlas.values.markdown import as_text, table
from resatlas.values.table import Column, Table, numbers, words

COLUMNS = (*words("images"), Column("error", "%", ".2f"), *numbers("wrong", "of"), Column("loss", "1", ".4f"))

MOST_NAMES = 100
"""Class names that are written out; config.json has them all."""

LICENCES = {"fashion-mnist": "MIT", "synthetic": "none is needed, they are made on the spot"}
"""Of the images, by the data set. Source: LICENSE of github.com/zalandoresearch/fashion-mnist."""


def card(config: Config, papers: Sequence[Paper]) -> str:
    """The card of a saved network, which uses these papers."""
    title = _title(config)
    parts = [metadata(config, title=title), f"# {as_text(title)}", _kind(config)]
    if config.training:
        parts += [*_figures(config.training), *_history(config.training), _limits(config, config.training)]
    else:
        parts += ["## Figures\n\nNone: the network was saved without its run, and how it was trained is unknown."]
    parts += [_use(config), _licence(config), *_references(papers)]
    return "\n\n".join(parts) + "\n"


def _title(config: Config) -> str:
    name = config.design or "A residual network"
    return f"{name} on {config.training.data}" if config.training else name


def _kind(config: Config) -> str:
    c, h, w = config.image
    family = f" of the family {as_text(config.family)}" if config.family else ""
    gives = f"tells {config.classes:,} classes apart" if config.classes else "gives features"
    size = f"{config.parameters:,} parameters, {config.multiply_adds:,} multiply-adds an image"
    what = f"A residual network{family} that {gives} in images of {c} x {h} x {w}: {size}."
    return "\n\n".join([what, *_classes(config.class_names or ())])


def _classes(names: Sequence[str]) -> Iterable[str]:
    if names:
        more = f" and {len(names) - MOST_NAMES:,} more, which `config.json` has" if len(names) > MOST_NAMES else ""
        yield f"Classes, in the order of its outputs: {', '.join(map(as_text, names[:MOST_NAMES]))}{more}."


def _figures(training: Training) -> Iterable[str]:
    parts = {"test": training.test, "validation": training.validation, "training": training.train}
    low, high = wilson(training.test)
    yield "## Figures"
    rows = tuple((part, each.error_percent, each.wrong, each.images, each.loss) for part, each in parts.items() if each)
    yield table(Table(columns=COLUMNS, rows=rows))
    yield (
        f"These are of one run, seed {training.seed}, after the last of its epochs; until then no test image was used. "
        "Those of training are means over the last epoch, as it went. Another seed gives another network, and one run "
        "does not tell how far its error would be from this one: there is no interval over seeds."
    )
    yield (
        f"Of this very network, on images drawn like the test images: {training.test.wrong:,} wrong of "
        f"{training.test.images:,} give a 95 % interval (Wilson) of {low:.2f} to {high:.2f} % for its error. It counts "
        "the chance in the draw of the images, and nothing else that is said here."
    )


def wilson(figures: Figures) -> tuple[float, float]:
    """The 95 % interval of Wilson for an error, in percent."""
    from scipy.stats import binomtest

    found = binomtest(figures.wrong, figures.images).proportion_ci(confidence_level=0.95, method="wilson")
    return 100 * float(found.low), 100 * float(found.high)


def _history(training: Training) -> Iterable[str]:
    yield f"## Data\n\n{as_text(training.data)}: {training.train.images:,} images to learn from."
    if training.note:
        yield f"To be known of the figures: {as_text(training.note.rstrip('.'))}."
    recipe = f"By the recipe {as_text(training.recipe)}, {training.epochs:,} epochs, seed {training.seed}"
    yield f"## Training\n\n{recipe}, from {_start(training.begun_from)}."
    if training.departures:
        yield "Otherwise than the recipe says, or left out:\n\n" + _listed(map(as_text, training.departures))


def _start(weights: TrainedWeights | None) -> str:
    if weights is None:
        return "random weights"
    file = f"{as_text(weights.file)} (sha256 {as_text(weights.sha256)})"
    whose = "the average of the trained weights" if weights.which == "ema" else "the trained weights"
    return f"{whose} {file}; what those were trained on is unknown, and the test images may be among it"


def _limits(config: Config, training: Training) -> str:
    seen = f"{training.test.images:,} images of {as_text(training.data)} alone"
    lines = (
        f"It was tested on {seen}: on no other source, size, noise or shift of images.",
        f"Images of other classes than its {config.classes:,} are assigned one of them.",
        "Its probabilities were not compared with how often it is right.",
        "Whether its errors fall on some people or things more than on others was not looked at.",
    )
    return f"## What it was not tested on\n\n{_listed(lines)}"


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
            f"images = torch.zeros(1, {c}, {h}, {w})  # normalised as it was trained, which is not known here",
            "with torch.inference_mode():",
            "    print(network(images))",
        ]
    code = "```python\n" + "\n".join(lines) + "\n```"
    return f"## Use\n\n{code}\n\nWritten by {as_text(config.library)}; its files hold numbers and text alone."


def _licence(config: Config) -> str:
    lines = [
        "Code that builds the network: Apache-2.0.",
        "Weights: unknown; whoever passes them on says, here and above.",
    ]
    if config.training:
        name = config.training.data.partition(":")[0]
        lines.append(f"Images: {LICENCES.get(name, 'unknown; ask where they come from')}.")
    return f"## Licences\n\n{_listed(lines)}"


def _listed(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _references(papers: Sequence[Paper]) -> Iterable[str]:
    yield "## Papers"
    if papers:
        yield "Those whose parts the network has:\n\n```bibtex\n" + "\n\n".join(map(bibtex, papers)) + "\n```"
    else:
        yield "Unknown: the network is none of the catalogue, and no description of it was at hand."
