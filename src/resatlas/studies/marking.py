"""Boxes with their texts, and the classes of pixels, drawn on pictures."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

Colour = tuple[int, int, int]

_COLOURS: tuple[Colour, ...] = (
    *((255, 214, 0), (0, 200, 255), (255, 120, 180), (120, 230, 80), (255, 150, 40), (190, 160, 255)),
    *((0, 230, 190), (255, 90, 70), (90, 140, 255), (200, 190, 90), (230, 80, 255), (170, 170, 170)),
)


class Mark(NamedTuple):
    """A box x0, y0, x1, y1 in pixels, its colour, and the text in its corner at the left; no text: the box alone."""

    corners: tuple[float, float, float, float]
    colour: Colour
    text: str = ""
    corner: Literal["upper", "lower"] = "upper"


def colour_of(k: int) -> Colour:
    """The colour of the k-th class, from 0; colours repeat."""
    return _COLOURS[k % len(_COLOURS)]


def mark(picture: "Image", marks: Iterable[Mark]) -> None:
    """Draw boxes on a picture, the last one on top."""
    from PIL import ImageDraw

    pen: Any = ImageDraw.Draw(picture)
    thick = max(1, min(picture.size) // 200)
    for (x0, y0, x1, y1), colour, text, corner in marks:
        pen.rectangle((x0, y0, max(x1 - 1, x0), max(y1 - 1, y0)), outline=colour, width=thick)
        if text:
            left, up, right, down = pen.textbbox((x0, y0), text)
            lower = max(y1 - down, 0) if corner == "lower" else 0
            pen.rectangle((left, up + lower, right, down + lower), fill=colour)
            pen.text((x0, y0 + lower), text, fill=(0, 0, 0))


def covered(pixels: "NDArray[np.uint8]", classes: "NDArray[np.int64]") -> "NDArray[np.uint8]":
    """The pixels, half covered by the colours of their classes but 0.

    Shape: (h, w, 3), (h, w) -> (h, w, 3).
    """
    import numpy as np

    colours = np.array([(0, 0, 0), *(colour_of(k) for k in range(int(classes.max(initial=0))))], np.uint16)
    return np.where(classes[..., None] > 0, (pixels + colours[classes]) // 2, pixels).astype(np.uint8)
