"""Trained networks that classify images, by what names them: RUN, FOLDER of a saved network, or WORD.

`predictor_of` is the one place where verbs and functions that need only the network, the preparation of its images and
its classes find them. A path that exists is a folder; anything else that looks like a word is one.
"""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from resatlas.arch.plan import Plan
from resatlas.data.catalog import NAMED, separated
from resatlas.data.catalog import resolve as data_set
from resatlas.data.dataset import DataSet
from resatlas.errors import CheckpointError, FolderError, UsageError
from resatlas.exporting.config import CONFIG
from resatlas.exporting.found_config import is_found, read_found_config
from resatlas.exporting.reading import is_export
from resatlas.recipes.task_text import noun
from resatlas.runs.decoding import read_finished, runs_below
from resatlas.runs.names import FIRST
from resatlas.runs.record import Epoch
from resatlas.studies.checks import check_plan
from resatlas.values.progress import Progress, silent
from resatlas.weights.obtaining import Access, obtain
from resatlas.weights.words import Word, is_word, own_words, resolve, table

if TYPE_CHECKING:  # a wrong folder is reported before torch is imported
    from resatlas.exporting.preprocessing import Preprocessing
    from resatlas.nets.network import Network

Kind = Literal["run", "saved", "word"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Predictor:
    """A network, the preprocessing of its images, and the names of its classes.

    name: what named it; design: its DESIGN text, "" if unknown; data: the DATA text of its own data, "" if unknown;
    published: its published result in words; epoch: the epoch of its training after which it has these weights, None
    if unknown; licence: of the weights, "" if nobody states one.
    """

    name: str
    network: "Network"
    preprocessing: "Preprocessing"
    classes: tuple[str, ...]
    design: str = ""
    data: str = ""
    published: str = ""
    epoch: int | None = None
    licence: str = ""

    @property
    def plan(self) -> Plan:
        """The plan of the network."""
        return self.network.plan


def kind_of(where: str | Path) -> Kind:
    """What a RUN, FOLDER or WORD is.

    Raises: FolderError if it is none of these.
    """
    folder = Path(where)
    if (folder / FIRST).is_file():
        return "run"
    if (folder / CONFIG).is_file():
        return "saved"
    if is_word(where):
        return "word"
    if is_export(folder):
        raise FolderError(f"{folder} is an export: resatlas serve runs it, and the predict.py in it classifies files")
    reason = f"it has neither {FIRST} nor {CONFIG}" if folder.exists() else "it does not exist"
    words = "words for published weights: resatlas weights list"
    raise FolderError(f"{folder} is neither a run folder nor a saved network: {reason}{runs_below(folder)} ({words})")


def has_no_run(where: str | Path) -> bool:
    """Whether this is a saved network or a word; anything else should be a run."""
    folder = Path(where)
    return not (folder / FIRST).is_file() and ((folder / CONFIG).is_file() or is_word(where))


def predictor_of(
    where: str | Path, *, of: Epoch = "last", access: Access = "online", progress: Progress = silent
) -> Predictor:
    """The predictor of a finished run, with the weights of an epoch, of the folder of a saved network, or of a word.

    Raises: FolderError if it is none of these; UsageError for the best epoch of anything but a run; UnknownName for a
        word that nobody publishes; CheckpointError if the weights are damaged, missing or cannot be downloaded, or if
        there is no record of the preparation.
    """
    kind = kind_of(where)
    if of == "best" and kind != "run":
        raise UsageError(f"{where} has the weights of one epoch; leave out --of best")
    match kind:
        case "run":
            return _of_run(Path(where), of)
        case "saved":
            return _of_saved(Path(where), str(where))
        case "word":
            word = resolve(str(where))
            folder = own_words().get(word)
            return _of_saved(folder, word) if folder else _of_word(table()[word], access, progress)


def knows(predictor: Predictor, data: DataSet) -> bool:
    """Whether a word's classes are those of the data in their order, under other names: ImageNet's ids and words."""
    own = datasets_name(predictor.data) == "imagenet" == datasets_name(data.name)
    return own and len(data.classes) == len(predictor.classes)


def datasets_name(text: str) -> str:
    """The name of a data set without its knobs."""
    return separated(text)[0]


def own_data(predictor: Predictor) -> DataSet:
    """The data set that the weights were trained on.

    Raises: UsageError if it is none of those known here.
    """
    if not predictor.data or separated(predictor.data)[0] not in NAMED:
        raise UsageError(
            f"the images of {predictor.name} are not those of a known data set; evaluate takes --data DATA"
        )
    return data_set(predictor.data)


def _of_run(folder: Path, of: Epoch) -> Predictor:
    run = read_finished(folder)
    from resatlas.exporting.preprocessing import Preprocessing
    from resatlas.exporting.provenance import without_folders
    from resatlas.training.splits import normaliser_of
    from resatlas.training.starting import best_epoch, trained

    check_plan(run)
    normaliser = normaliser_of(run)
    if normaliser is None:
        raise CheckpointError(f"{folder} has no record of its normalisation, so it cannot classify single images")
    preprocessing = Preprocessing(image=run.plan.image, view=run.experiment.recipe.view, normaliser=normaliser)
    network = trained(run, run.experiment, of).eval()
    return Predictor(
        name=str(folder),
        network=network,
        preprocessing=preprocessing,
        classes=run.classes,
        design=without_folders(run.experiment.design),
        data=run.experiment.data,
        epoch=best_epoch(run).epoch if of == "best" else run.outcome.epochs,
    )


def _of_saved(folder: Path, name: str) -> Predictor:
    from resatlas.exporting.config import read_config
    from resatlas.exporting.loading import network_in
    from resatlas.exporting.preprocessing import read_preprocessing

    if is_found(folder):
        task = read_found_config(folder).task
        raise UsageError(
            f"{name} finds {noun(task)}, not one label per image; resatlas evaluate, predict and export take it"
        )
    config = read_config(folder)
    names = config.class_names or _numbered(config.classes)
    training = config.training
    tested = training.test if training else None
    return Predictor(
        name=name,
        network=network_in(folder),
        preprocessing=read_preprocessing(folder),
        classes=names,
        design=config.design or "",
        data=training.data if training else "",
        published=f"{tested.error_percent:g} % error on {tested.images:,} test images" if tested else "",
        epoch=training.epochs if training else None,
        licence=config.licence or "",
    )


def _of_word(word: Word, access: Access, progress: Progress) -> Predictor:
    """The network of a word; its file is verified at every call."""
    file = obtain(word.word, access=access, progress=progress)
    import torch

    from resatlas.data.normalisation import Affine
    from resatlas.exporting.preprocessing import Preprocessing
    from resatlas.nets.network import build
    from resatlas.recipes.images import Centre
    from resatlas.weights.building import preparation_of
    from resatlas.weights.conversion import load_weights

    network = build(word.plan(), seed=0)
    load_weights(network, file, source=word.source)
    network.preparation = preparation_of(word)
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (word.mean, word.std))
    preprocessing = Preprocessing(
        image=network.plan.image,
        view=Centre(shorter=Fraction(word.shorter, word.image)),
        normaliser=Affine(mean=mean, std=std),
        interpolation=word.interpolation,
    )
    return Predictor(
        name=word.word,
        network=network.eval(),
        preprocessing=preprocessing,
        classes=class_names(word),
        design=word.design,
        data=word.data if word.data in NAMED else "",
        published=word.published,
        licence=word.licence,
    )


def class_names(word: Word) -> tuple[str, ...]:
    """The names of a word's classes, in the order of the outputs.

    ImageNet's are those of torchvision, in words; its data set here has WordNet ids in the same order.
    """
    if word.data == "imagenet":
        from torchvision.models import ResNet18_Weights

        return tuple(ResNet18_Weights.IMAGENET1K_V1.meta["categories"])
    names = data_set(word.data).classes if word.data in NAMED else ()
    return names if len(names) == word.classes else _numbered(word.classes)


def _numbered(classes: int) -> tuple[str, ...]:
    return tuple(f"class {k}" for k in range(classes))
