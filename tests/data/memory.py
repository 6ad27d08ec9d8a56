"""Parts that lie in memory."""

from resatlas.data.catalog import resolve
from resatlas.data.dataset import ImageSet, Part


def in_memory(part: Part) -> ImageSet:
    """The part, which must be in memory."""
    assert isinstance(part, ImageSet)
    return part


def training_images(text: str) -> ImageSet:
    """The training part of a DATA text."""
    return in_memory(resolve(text).read().train)
