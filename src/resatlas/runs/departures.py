"""Counts of what a training did differently from its recipe; `departures` in results.json."""

from collections.abc import Iterator
from dataclasses import dataclass

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
        times = f"{departures.substituted_images:,} times" if departures.substituted_images != 1 else "once"
        images = counted(departures.unreadable_images.train, "training image")
        yield f"{images} cannot be read; other images of the class replaced them {times} ({UNREADABLE})"
    elif departures.substituted_images:
        yield f"images that cannot be read were substituted {counted(departures.substituted_images, 'time')}"
    for kind, count in (
        ("validation", departures.unreadable_images.validation),
        ("test", departures.unreadable_images.test),
    ):
        if count:
            images = counted(count, f"{kind} image")
            yield f"{images} cannot be read and {'is' if count == 1 else 'are'} left out of the test ({UNREADABLE})"
    if departures.mended_images:
        yield f"{counted(departures.mended_images, 'image')} became readable during the training ({AMENDED})"
    if departures.left_over_images:
        yield (
            f"each epoch leaves out {counted(departures.left_over_images, 'image')}, different ones each time: they do "
            "not fill a batch"
        )
    for kind, classes in vars(departures.classes_without_images).items():
        if classes:
            more = f" and {len(classes) - _MOST_NAMED:,} more" if len(classes) > _MOST_NAMED else ""
            yield f"{kind} has no images of {counted(len(classes), 'class')}: {', '.join(classes[:_MOST_NAMED])}{more}"
    if departures.skipped_steps:
        yield f"{counted(departures.skipped_steps, 'step')} skipped: the loss or a gradient was not finite"
    if departures.overflows:
        yield f"{counted(departures.overflows, 'update')} skipped: gradients overflowed in fp16"
