"""A network with trained weights, by the word or the file of these weights."""

from pathlib import Path

import torch

from resatlas.arch.blueprint import Blueprint
from resatlas.arch.ops import Shape
from resatlas.arch.plan import Plan
from resatlas.designs.tasks import Design
from resatlas.nets import network as networks
from resatlas.nets.network import Network
from resatlas.nets.preparation import Preparation
from resatlas.values.notes import once
from resatlas.values.weights import Which
from resatlas.weights.conversion import check_writer
from resatlas.weights.initial_weights import start_from
from resatlas.weights.obtaining import Access, file_of
from resatlas.weights.words import Word, is_word, resolve, table


def build(
    design: str | Design | Blueprint | Plan,
    *,
    weights: str | Path | None = None,
    which: Which = "raw",
    image: Shape | None = None,
    classes: int | None = None,
    seed: int | None = None,
    device: str | torch.device | None = None,
    access: Access = "online",
) -> Network:
    """The network of a DESIGN text, a design, a blueprint or a plan: new, or with trained weights.

    weights: a WORD (resatlas weights list), whose file is downloaded unless `access` is "offline", or a file.
    which: the raw weights or their average, if a file contains both.
    image, classes: by default those of the word, else those of the design. For another number of classes than that of
        the weights, the classifier is initialised anew; for grey instead of coloured images or the reverse, the first
        convolution is changed as in `weights.initial_weights`. Both are logged.
    seed, device: as in `nets.network.build`.
    Raises: as `nets.network.build`; UnknownName and CheckpointError as `weights.obtaining.obtain` and
        `weights.initial_weights.start_from`, also if the word's network computes another function.
    """
    if weights is None:
        return networks.build(design, image=image, classes=classes, seed=seed, device=device)
    word = word_of(weights)
    if word is not None and not isinstance(design, Plan):
        image = image or Shape(3, word.image, word.image)
        classes = word.classes if classes is None else classes
    network = networks.build(design, image=image, classes=classes, seed=seed, device=device)
    if word is not None:
        check_writer(network.plan, word.plan())
    file = file_of(weights, access=access)
    loaded = start_from(network, file, source=word.source if word else None, which=which)
    if changes := "; ".join(loaded.changes(network.plan)):
        once(f"changes of {weights}", f"{weights}: {changes}")
    if word is not None:
        other = (
            f"{weights} prepares images of {loaded.channels} channels, this network takes {network.plan.image.channels}"
        )
        network.preparation = other if loaded.channels else preparation_of(word)
    return network


def word_of(weights: str | Path) -> Word | None:
    """The entry of a word of another source; None for a file, and for a network of the package, which has a config.

    Raises: UnknownName
    """
    return table().get(resolve(str(weights))) if is_word(weights) else None


def preparation_of(word: Word) -> Preparation:
    """The preparation of images for a word, as far as timm's settings have it."""
    return Preparation(
        mean=word.mean, std=word.std, crop_share=word.image / word.shorter, interpolation=word.interpolation
    )
