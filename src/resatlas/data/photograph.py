"""Decoding of an untrusted image file: its pixels in 8-bit red, green and blue, or the reason for refusing it."""

import os
import re
import struct
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError

from resatlas.data.listing import printable
from resatlas.errors import DataError, UnreadableImage, UsageError, quoted
from resatlas.values import reading

_FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
"""Not TIFF, GIF and others: their decoders have had most of the flaws, or their files hold several images."""

BYTES = 1 << 28  # of a file

PIXELS = 1 << 26
"""Pixels of an image at most, 67 million, unless RESATLAS_MOST_PIXELS says another number: 470 MB in a reader.

Multi-scale testing with a shorter side of 640 at 224 is one of 2,926 for the largest networks, of 1,024 pixels, and
takes strips up to 4 times as long: 34 million. The largest photograph of ImageNet has 61 million, one of a phone 50.
"""

_MOST = "RESATLAS_MOST_PIXELS"
_STRETCH = 50  # of the longer side over the shorter: a rule, a seam, a spectrum, but no photograph
_ORIENTATION = 0x0112  # the tag of EXIF
STRIP = 1 << 20  # pixels that are converted at a time
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_WORDS = (b"iCCP", b"tEXt", b"zTXt", b"iTXt")  # profile and texts in a PNG

Pixels = UInt8[np.ndarray, "3 h w"]

Lie = Literal["upright", "stored"]
"""How the pixels of an image lie: as its EXIF says that it was held, or as the file has them."""


class Header(NamedTuple):
    """What the first bytes of an image say: its stored width and height, and how it was held, from 1 to 8."""

    width: int
    height: int
    orientation: int

    @property
    def upright(self) -> tuple[int, int]:
        """Width and height once it is turned."""
        return (self.height, self.width) if self.orientation >= 5 else (self.width, self.height)


def header(content: bytes) -> Header:
    """The header of an image file's bytes.

    Raises: DataError with the reason alone.
    """
    try:
        with opened(content) as image:
            return Header(image.width, image.height, orientation(image))
    except (DataError, UsageError, MemoryError):
        raise
    except UnidentifiedImageError:
        raise DataError(_beginning(content)) from None
    except Exception as error:  # damage makes Pillow raise nearly anything
        raise DataError(printable(str(error)) or type(error).__name__) from None


def decoded(file: Path) -> Pixels:
    """The pixels of a JPEG, PNG, WEBP or BMP file, whatever its name ends in, upright.

    Grey and palettes are spread to RGB, CMYK is converted without colour profiles, 16 bits give their higher byte,
    and what is transparent lies on black. Profiles and texts change nothing, whatever their size. Of several pictures
    in a JPEG (MPO) the first counts.

    Raises: DataError, which names the file and the reason, for anything that is not one whole image; MemoryError with
        the file.
    Differs: torchvision's ImageFolder leaves images as they lie in the file, drops transparency instead of showing
        it, clips 16-bit grey at 255, and takes the first frame of an animation, which is refused here.
    """
    try:
        return proportioned(pixels(content(file)))
    except DataError as error:
        raise UnreadableImage(f"{printable(file)} cannot be read as an image: {error}", file=str(file)) from None
    except MemoryError:
        raise MemoryError(f"the pixels of {printable(file)}") from None


def content(file: Path) -> bytes:
    """The bytes of a regular file.

    Raises: DataError with the reason alone.
    """
    try:
        with reading.opened(file) as source:
            size = os.fstat(source.fileno()).st_size
            if size > BYTES:
                raise DataError(f"{size:,} bytes, where {BYTES:,} is the most")
            return source.read(BYTES)
    except FileNotFoundError:
        raise DataError("a link to nothing" if file.is_symlink() else "no such file") from None
    except OSError as error:
        raise DataError(error.strerror or str(error)) from None


def pixels(content: bytes, *, most: int | None = None, lie: Lie = "upright") -> Pixels:
    """The pixels of an image file's bytes, as `decoded`; an image has `most` pixels, by default `most_pixels()`.

    Raises: DataError with the reason alone; MemoryError.
    """
    try:
        return _pixels(content, most, lie)
    except DataError:
        if (bare := _without_words(content)) == content:
            raise
    return _pixels(bare, most, lie)


def _pixels(content: bytes, most: int | None, lie: Lie) -> Pixels:
    try:
        with opened(content, most=most) as image:
            image.load()
            whole, held = in_colour(image), orientation(image) if lie == "upright" else 1
        return np.ascontiguousarray(turned(whole, held)).transpose(2, 0, 1)  # channels last in memory: resized faster
    except (DataError, UsageError, MemoryError):
        raise
    except UnidentifiedImageError:
        raise DataError(_beginning(content)) from None
    except Exception as error:  # damage makes Pillow raise nearly anything
        raise DataError(printable(str(error)) or type(error).__name__) from None


def lie_of(head: Header, *, width: int, height: int) -> Lie:
    """How an image has to lie to have the annotated size; upright where both ways have it.

    Raises: DataError, with the remedy, if it has that size neither way.
    """
    if head.upright == (width, height):
        return "upright"
    if (head.width, head.height) == (width, height):
        return "stored"
    either = f", or {head.upright[0]} x {head.upright[1]} upright" if head.upright != head[:2] else ""
    raise DataError(
        f"it has {head.width} x {head.height} pixels{either}, its annotation says {width} x {height}: correct "
        "width and height there, or use the image that was annotated"
    )


def _without_words(content: bytes) -> bytes:
    """A PNG without its profile and texts, which Pillow refuses if they are damaged or large; others as they are."""
    if not content.startswith(_SIGNATURE):
        return content
    kept, start = [_SIGNATURE], len(_SIGNATURE)
    while start + 12 <= len(content):
        size, kind = struct.unpack_from(">I4s", content, start)
        if kind not in _WORDS:
            kept.append(content[start : start + 12 + size])
        start += 12 + size
    return b"".join((*kept, content[start:]))


def has_depth_of_16(content: bytes) -> bool:
    """Whether a file is a PNG with 16 bits a value, of which the higher byte is read."""
    return content.startswith(_SIGNATURE) and content[24:25] == b"\x10"


def most_pixels() -> int:
    """Pixels that an image may have.

    Raises: UsageError if RESATLAS_MOST_PIXELS is not a number of pixels.
    """
    text = os.environ.get(_MOST) or str(PIXELS)
    if not re.fullmatch(r"[1-9][0-9]{0,11}", text):
        raise UsageError(f"{_MOST} is a number of pixels from 1, such as {PIXELS}; got {quoted(text)}")
    return int(text)


def proportioned(image: Pixels) -> Pixels:
    """The same image, which has the sides of a photograph.

    Raises: DataError with the reason alone.
    """
    short, long = sorted(image.shape[1:])
    if short < 2:
        raise DataError(f"{image.shape[2]:,} x {image.shape[1]:,} pixels, where a photograph has 2 a side or more")
    if long > _STRETCH * short:
        raise DataError(f"{image.shape[2]:,} x {image.shape[1]:,} pixels, one side over {_STRETCH} times the other")
    return image


def opened(content: bytes, *, most: int | None = None) -> Image.Image:
    """The image of `most` pixels, by default `most_pixels()`, known by its header and not decoded yet.

    Raises: DataError if it is animated or too large, and whatever Pillow raises.
    """
    with _warnings_as_errors():
        image = Image.open(BytesIO(content), formats=_FORMATS)
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format in ("PNG", "WEBP"):
        raise DataError(f"an animation of {frames:,} frames, where one image is wanted")
    allowed, setting = (most, "") if most else (most_pixels(), f" ({_MOST})")
    if image.width * image.height > allowed:
        raise DataError(f"{image.width:,} x {image.height:,} pixels, where {allowed:,} is the most{setting}")
    return image


def in_colour(image: Image.Image) -> UInt8[np.ndarray, "h w 3"]:
    """The image in 8-bit red, green and blue, laid on black where it is transparent.

    A strip is converted at a time: the whole would be in memory several times.
    """
    whole = np.empty((image.height, image.width, 3), np.uint8)
    rows = max(STRIP // image.width, 1)
    for top in range(0, image.height, rows):
        bottom = min(top + rows, image.height)
        strip = image if rows >= image.height else image.crop((0, top, image.width, bottom))
        whole[top:bottom] = np.asarray(_in_colour(strip))
    return whole


def _in_colour(image: Image.Image) -> Image.Image:
    if image.mode == "I;16":
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if not image.has_transparency_data:
        return image if image.mode == "RGB" else image.convert("RGB")
    black = Image.new("RGBA", image.size, (0, 0, 0, 255))
    return Image.alpha_composite(black, image.convert("RGBA")).convert("RGB")


def orientation(image: Image.Image) -> int:
    """How EXIF says that the image was held, 1 to 8; 1 is upright, and what an absent or damaged EXIF says."""
    try:
        with _warnings_as_errors():
            value = image.getexif().get(_ORIENTATION)
    except Exception:  # damage makes Pillow raise nearly anything
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def turned(image: UInt8[np.ndarray, "h w 3"], orientation: int) -> UInt8[np.ndarray, "h2 w2 3"]:
    """The image turned and mirrored as its orientation wants it."""
    across = image.transpose(1, 0, 2)
    match orientation:
        case 2:
            return image[:, ::-1]
        case 3:
            return image[::-1, ::-1]
        case 4:
            return image[::-1]
        case 5:
            return across
        case 6:
            return across[:, ::-1]
        case 7:
            return across[::-1, ::-1]
        case 8:
            return across[::-1]
        case _:
            return image


@contextmanager
def _warnings_as_errors() -> Iterator[None]:
    """Pillow's warnings raised, but those on metadata of TIFF's form; its own limit on pixels is left to `opened`.

    Some images of ImageNet have damaged EXIF and whole pixels. One thread at a time: both are the process's.
    """
    with _FILTERS, warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", module=r"PIL\.(Tiff|Jpeg)ImagePlugin")
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _beginning(content: bytes) -> str:
    """What a file that Pillow does not know begins as."""
    if not content:
        return "an empty file"
    start = content[:256].lstrip()
    kind = next(
        (kind for pattern, kind in _BEGINNINGS.items() if re.match(pattern, start, re.DOTALL)), "something else"
    )
    return f"{kind}, not a complete {_OF_OURS}"


_FILTERS = threading.Lock()

_OF_OURS = f"{', '.join(_FORMATS[:-1])} or {_FORMATS[-1]}"

_BEGINNINGS = {
    rb"\xff\xd8\xff": "a JPEG damaged in its first bytes",
    rb"\x89PNG": "a PNG damaged in its first bytes",
    rb"RIFF....WEBP": "a WEBP damaged in its first bytes",
    rb"GIF8": "a GIF",
    rb"BM": "a BMP damaged in its first bytes",
    rb"II\*\0|MM\0\*": "a TIFF",
    rb"....ftyp(avif|avis)": "an AVIF",
    rb"....ftyp(hei|hev|mif|msf)": "a HEIC",
    rb"%PDF": "a PDF",
    rb"(\xef\xbb\xbf)?\s*<": "a web page or a drawing",
    rb"version https://git-lfs": "a pointer of Git LFS without its file",
}
