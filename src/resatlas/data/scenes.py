"""Handwritten digits scattered over an image, with exact boxes and masks: objects to detect without a download."""

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from resatlas.data.box_arrays import box_of
from resatlas.data.boxes import AnnotatedImages, AnnotatedParts, Annotations, Category, DetectionData, grouped
from resatlas.data.digits import LEARN, TEST, VALIDATE, of_sheets
from resatlas.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from resatlas.data.dataset import ImageSet

VALIDATION_SCENES, TEST_SCENES = 200, 400

MOST_DIGITS = 6
MOST_CORNERS = 3
"""Corners of digits in a scene at most: they have no label."""

SMALLEST, LARGEST = (1, 8), (3, 8)
"""The sides of a digit's square, as shares of the side of the scene."""

GRAIN = 12  # grey levels that noise changes a pixel at most
GROUND = (88, 168)  # the grey levels of the ground, whatever the scene
CONTRAST = (48, 84)  # grey levels between ground and ink, lighter or darker

_TRIES = 8  # places that are tried for a digit, which is left out if each would hide too much of another
_HIDDEN = 4  # a digit may hide a quarter of the square of an earlier one, at most
_WORDS = 256  # of a scene, before those of its grain

CATEGORIES = tuple(Category(digit, str(digit)) for digit in range(10))
"""Ids are the digits themselves, 0 included."""


def scenes(size: int = 96, train: int = 800) -> DetectionData:
    """Scenes of `size` pixels a side with 0 to 6 digits: `train` to learn from, 200 held back, 400 to test on.

    A digit is lighter or darker than the ground and 1/8 to 3/8 of the scene's side; later ones hide a part of earlier
    ones. Corners of other digits have no label. Every pixel has grain. Boxes and masks are those of the visible pixels.
    The digits of the three parts are of other sheets, as in `largest`. A scene depends on part, size and its index
    alone; only whole numbers enter, so that every machine draws the same bytes.

    Raises: UsageError if the size is outside 32…512, or `train` outside 1…20000.
    """
    if not 32 <= size <= 512:
        raise UsageError(f"scenes have 32 to 512 pixels per side; got {size}")
    if not 1 <= train <= 20_000:
        raise UsageError(f"scenes have 1 to 20,000 images for training; got {train:,}")
    return DetectionData(
        name="scenes",
        channels=1,
        categories=CATEGORIES,
        mirror="forbidden",
        note="scenes made of scikit-learn's handwritten digits, the sheets of the test scenes apart from those of the "
        "training scenes: all objects are small in COCO's sense, and AP says nothing about photographs",
        read=partial(read_scenes, size, train),
    )


def read_scenes(size: int, train: int) -> AnnotatedParts:
    """The three parts, the same at every call; ids number the scenes through each part."""
    return AnnotatedParts(
        train=scene_part(0, LEARN, train, size),
        validation=scene_part(1, VALIDATE, VALIDATION_SCENES, size),
        test=scene_part(2, TEST, TEST_SCENES, size),
    )


def scene_part(part: int, sheets: range, count: int, size: int) -> AnnotatedImages:
    """The first `count` scenes of a part, made of the digits of these sheets."""
    import numpy as np

    from resatlas.data.masks import encoded

    digits = of_sheets(sheets)
    drawn = [scene(digits, part, size, index) for index in range(count)]
    masks = tuple(encoded(mask) for one in drawn for mask in one.masks)
    images = [k for k, one in enumerate(drawn) for _ in one.labels]
    boxes = np.array([box_of(mask) for one in drawn for mask in one.masks], np.float64).reshape(-1, 4)
    return AnnotatedImages(
        categories=CATEGORIES,
        ids=tuple(range(count)),
        names=tuple(f"scene {k}" for k in range(count)),
        sizes=np.full((count, 2), size, np.int64),
        objects=Annotations(
            starts=grouped(images, count),
            boxes=boxes,
            labels=np.array([label for one in drawn for label in one.labels], np.int64),
            ignore=np.zeros(len(masks), np.bool_),
            areas=np.array([mask.area for mask in masks], np.float64),
            ids=tuple(range(1, len(masks) + 1)),
            masks=masks,
        ),
        read=partial(_image, np.stack([one.image for one in drawn])),
    )


def _image(images: "NDArray[np.uint8]", k: int) -> "NDArray[np.uint8]":
    return images[k]


class Scene(NamedTuple):
    """One image, and of each digit its label and its visible pixels.

    Shape: image (size, size, 1); each mask (size, size).
    """

    image: "NDArray[np.uint8]"
    labels: tuple[int, ...]
    masks: "tuple[NDArray[np.uint8], ...]"


class Place(NamedTuple):
    """A square of the image: its corner and its side."""

    top: int
    left: int
    side: int

    def overlap(self, other: "Place") -> int:
        """The pixels that two squares share."""
        down = min(self.top + self.side, other.top + other.side) - max(self.top, other.top)
        across = min(self.left + self.side, other.left + other.side) - max(self.left, other.left)
        return max(down, 0) * max(across, 0)


def scene(digits: "ImageSet", part: int, size: int, index: int) -> Scene:
    """The scene of this index: its random words are those of Philox with the key (part, size, index)."""
    import numpy as np

    words = np.random.Philox(key=part | size << 8 | index << 64)
    draw = Draw(words)
    canvas = np.full((size, size), draw.between(*GROUND), np.int64)
    ground, owner = int(canvas[0, 0]), np.zeros((size, size), np.int64)
    for _ in range(draw.below(MOST_CORNERS + 1)):
        ink = corner(glyph_of(digits, draw.below(len(digits))), draw.below(4))
        _lay(canvas, enlarged(ink, (place := draw.place(size)).side), place, ground + draw.contrast())
    places: list[Place] = []
    labels: list[int] = []
    for _ in range(draw.below(MOST_DIGITS + 1)):
        which, contrast = draw.below(len(digits)), draw.contrast()
        place = next((place for place in draw.places(size) if _leaves_visible(place, places)), None)
        if place is None:
            continue
        places.append(place)
        labels.append(int(digits.labels[which]) + 1)
        inked = _lay(canvas, enlarged(glyph_of(digits, which), place.side), place, ground + contrast)
        owner[place.top : place.top + place.side, place.left : place.left + place.side][inked] = len(places)
    image = np.clip(canvas + _grain(words, size), 0, 255).astype(np.uint8)
    masks = [(owner == k).astype(np.uint8) for k in range(1, len(places) + 1)]
    seen = [k for k, mask in enumerate(masks) if mask.any()]  # all but what several others hide together
    return Scene(image[:, :, None], tuple(labels[k] for k in seen), tuple(masks[k] for k in seen))


class Draw:
    """Whole numbers from the first random words of a scene, each word used once."""

    def __init__(self, words: "np.random.Philox") -> None:
        self._words: Iterator[int] = iter(int(word) for word in words.random_raw(_WORDS))

    def below(self, count: int) -> int:
        """A number from 0 to count - 1."""
        return (next(self._words) >> 32) * count >> 32

    def between(self, least: int, most: int) -> int:
        """A number from least to most."""
        return least + self.below(most - least + 1)

    def contrast(self) -> int:
        """Grey levels from the ground to the ink, lighter or darker."""
        levels = self.between(*CONTRAST)
        return levels if self.below(2) else -levels

    def place(self, size: int) -> Place:
        """A square within a scene."""
        side = self.between(*(size * share[0] // share[1] for share in (SMALLEST, LARGEST)))
        return Place(self.below(size - side + 1), self.below(size - side + 1), side)

    def places(self, size: int) -> Iterator[Place]:
        """Squares to choose from; their number does not depend on how many are looked at."""
        yield from [self.place(size) for _ in range(_TRIES)]


def _leaves_visible(place: Place, earlier: list[Place]) -> bool:
    return all(_HIDDEN * place.overlap(other) <= other.side**2 for other in earlier)


def glyph_of(digits: "ImageSet", which: int) -> "NDArray[np.int64]":
    """A digit with its ink from 0 to 16.

    Shape: (8, 8).
    """
    import numpy as np

    return (digits.images[which, 0].astype(np.int64) * 16 + 127) // 255


def corner(glyph: "NDArray[np.int64]", which: int) -> "NDArray[np.int64]":
    """One quarter of a glyph, the rest without ink.

    Shape: (8, 8) -> (8, 8).
    """
    import numpy as np

    rest = np.zeros_like(glyph)
    rows, columns = (slice(4 * k, 4 * k + 4) for k in divmod(which, 2))
    rest[rows, columns] = glyph[rows, columns]
    return rest


def enlarged(glyph: "NDArray[np.int64]", side: int) -> "tuple[NDArray[np.int64], int]":
    """(ink, full ink): the glyph with `side` pixels, bilinear between pixel centres, a quarter of ink or less cut off.

    Ink i of full ink f becomes 2i - f/2, kept within 0 to f: what has any is part of the digit, and what has none is
    ground. Without that, faint rims would widen every box.

    Shape: (8, 8) -> (side, side).
    """
    import numpy as np

    whole = 2 * side
    centres = np.clip((2 * np.arange(side) + 1) * 8 - side, 0, 7 * whole)
    low, share = np.minimum(centres // whole, 6), centres - np.minimum(centres // whole, 6) * whole
    rows = glyph[low] * (whole - share)[:, None] + glyph[low + 1] * share[:, None]
    ink = rows[:, low] * (whole - share) + rows[:, low + 1] * share
    full = 16 * whole * whole
    return np.clip(4 * ink - full, 0, 2 * full), 2 * full


def _lay(
    canvas: "NDArray[np.int64]", ink: "tuple[NDArray[np.int64], int]", place: Place, level: int
) -> "NDArray[np.bool_]":
    """Draw ink of a grey level over a square of the canvas, and return where there is any."""
    share, full = ink
    below = canvas[place.top : place.top + place.side, place.left : place.left + place.side]
    below[:] = (below * (full - share) + level * share + full // 2) // full
    return share > 0


def _grain(words: "np.random.Philox", size: int) -> "NDArray[np.int64]":
    """Noise from -GRAIN to GRAIN, one byte of the next random words a pixel, lowest byte first.

    Shape: (size, size).
    """
    import numpy as np

    raw = np.asarray(words.random_raw((size * size + 7) // 8)).astype("<u8")
    noise = raw.view(np.uint8)[: size * size].astype(np.int64) * (2 * GRAIN + 1) // 256 - GRAIN
    return noise.reshape(size, size)
