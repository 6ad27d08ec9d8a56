"""Counts of what a training did differently from its recipe; `departures` in results.json."""

from collections.abc import Iterator
from dataclasses import dataclass

from resatlas.values.language import numbered, said
from resatlas.values.text import counted

AMENDED = "amended.json"
"""The file with the changes of a run after its start."""

UNREADABLE = "unreadable.json"
"""The file with the unreadable images of a run."""

_MOST_NAMED = 5
"""Classes that a sentence names."""


@dataclass(frozen=True, kw_only=True)
class Unread:
    """How many images of each part cannot be read."""

    train: int = 0
    validation: int = 0
    test: int = 0


@dataclass(frozen=True, kw_only=True)
class Untested:
    """The classes of which a part has no image."""

    validation: tuple[str, ...] = ()
    test: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Departures:
    """The counts.

    `substituted_images` counts how often another image of its class was shown in place of one that cannot be read.
    `left_over_images` are those of one epoch that no batch has, since the last batch would be smaller; they are others
    in every epoch. `skipped_steps` had a loss or gradient that was not finite; `overflows` are updates skipped in fp16.
    """

    unreadable_images: Unread = Unread()
    substituted_images: int = 0
    mended_images: int = 0
    left_over_images: int = 0
    classes_without_images: Untested = Untested()
    skipped_steps: int = 0
    overflows: int = 0


def sentences(departures: Departures) -> Iterator[str]:
    """A sentence for every count above 0."""
    if departures.unreadable_images.train:
        yield said(
            "{images} cannot be read; other images of the class replaced them {times} ({file})",
            images=counted(departures.unreadable_images.train, "training image"),
            times=numbered(departures.substituted_images, "once", "{count:,} times"),
            file=UNREADABLE,
        )
    elif departures.substituted_images:
        yield said(
            "images that cannot be read were substituted {times}", times=counted(departures.substituted_images, "time")
        )
    if count := departures.unreadable_images.validation:
        yield _not_tested(count, counted(count, "validation image"))
    if count := departures.unreadable_images.test:
        yield _not_tested(count, counted(count, "test image"))
    if departures.mended_images:
        yield said(
            "{images} became readable during the training ({file})",
            images=counted(departures.mended_images, "image"),
            file=AMENDED,
        )
    if departures.left_over_images:
        yield said(
            "each epoch leaves out {images}, different ones each time: they do not fill a batch",
            images=counted(departures.left_over_images, "image"),
        )
    for kind, classes in vars(departures.classes_without_images).items():
        if classes:
            names = said(", ").join(classes[:_MOST_NAMED])
            if (more := len(classes) - _MOST_NAMED) > 0:
                names = said("{names} and {count:,} more", names=names, count=more)
            lacking = {"classes": counted(len(classes), "class"), "names": names}
            yield {
                "validation": said("validation has no images of {classes}: {names}", **lacking),
                "test": said("test has no images of {classes}: {names}", **lacking),
            }[kind]
    if departures.skipped_steps:
        steps = counted(departures.skipped_steps, "step")
        yield said("{steps} skipped: the loss or a gradient was not finite", steps=steps)
    if departures.overflows:
        updates = counted(departures.overflows, "update")
        yield said("{updates} skipped: gradients overflowed in fp16", updates=updates)


def _not_tested(count: int, images: str) -> str:
    """The sentence on images that are left out of a test."""
    return numbered(
        count,
        "{images} cannot be read and is left out of the test ({file})",
        "{images} cannot be read and are left out of the test ({file})",
        images=images,
        file=UNREADABLE,
    )
