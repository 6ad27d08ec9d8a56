"""One image file, read with suspicion: its pixels in 8-bit red, green and blue, or the reason why there are none."""

import re
import stat
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError

from resatlas.data.listing import shown
from resatlas.errors import DataError

FORMATS = ("JPEG", "PNG", "WEBP")
BYTES = 1 << 28  # of a file
PIXELS = 100_000_000  # of an image: 400 MB in Pillow
STRETCH = 50  # of the longer side over the shorter: a rule, a seam, a spectrum, but no photograph
ORIENTATION = 0x0112  # the tag of EXIF

Pixels = UInt8[np.ndarray, "3 h w"]


def decoded(file: Path) -> Pixels:
    """The pixels of a JPEG, PNG or WEBP file, whatever its name ends in, upright.

    Grey and palettes are spread to RGB, CMYK is converted without colour profiles, 16 bits give their higher byte,
    and what is transparent lies on black. Of several pictures in a JPEG (MPO) the first counts.

    Raises: DataError, which names the file and the reason, for anything that is not one whole image; MemoryError with
        the file.
    Differs: torchvision's ImageFolder leaves images as they lie in the file, drops transparency instead of showing
        it, clips 16-bit grey at 255, and takes the first frame of an animation, which is refused here.
    """
    try:
        return proportioned(pixels(content(file)))
    except DataError as error:
        raise DataError(f"{shown(file)} is no image that can be read: {error}") from None
    except MemoryError:
        raise MemoryError(f"the pixels of {shown(file)}") from None


def content(file: Path) -> bytes:
    """The bytes of a regular file.

    Raises: DataError with the reason alone.
    """
    try:
        found = file.stat()
        if stat.S_ISDIR(found.st_mode):
            raise DataError("a folder, not a file")
        if not stat.S_ISREG(found.st_mode):
            raise DataError("a device or a pipe, not a file")
        if found.st_size > BYTES:
            raise DataError(f"{found.st_size:,} bytes, where {BYTES:,} is the most")
        return file.read_bytes()
    except FileNotFoundError:
        raise DataError("a link to nothing" if file.is_symlink() else "no such file") from None
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        raise DataError(str(getattr(error, "strerror", error))) from None


def pixels(content: bytes) -> Pixels:
    """The pixels of an image file's bytes, as `decoded`.

    Raises: DataError with the reason alone.
    """
    try:
        with opened(content) as image:
            image.load()
            upright = turned(in_colour(image), orientation(image))
            return np.array(upright).transpose(2, 0, 1)  # channels last in memory, which is resized twice as fast
    except (DataError, MemoryError):
        raise
    except UnidentifiedImageError:
        raise DataError(beginning(content)) from None
    except Image.DecompressionBombError:
        raise DataError(f"more than {PIXELS:,} pixels") from None
    except Exception as error:  # damage makes Pillow raise nearly anything
        raise DataError(shown(str(error)) or type(error).__name__) from None


def proportioned(image: Pixels) -> Pixels:
    """The same image, which has the sides of a photograph.

    Raises: DataError with the reason alone.
    """
    short, long = sorted(image.shape[1:])
    if short < 2:
        raise DataError(f"{image.shape[2]:,} x {image.shape[1]:,} pixels, where a photograph has 2 a side or more")
    if long > STRETCH * short:
        raise DataError(f"{image.shape[2]:,} x {image.shape[1]:,} pixels, one side over {STRETCH} times the other")
    return image


def opened(content: bytes) -> Image.Image:
    """The image, known by its header and not decoded yet.

    Raises: DataError if it is animated or too large, and whatever Pillow raises.
    """
    with warnings_as_errors():
        image = Image.open(BytesIO(content), formats=FORMATS)
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format in ("PNG", "WEBP"):
        raise DataError(f"an animation of {frames:,} frames, where one image is wanted")
    if image.width * image.height > PIXELS:
        raise DataError(f"{image.width:,} x {image.height:,} pixels, where {PIXELS:,} is the most")
    return image


def in_colour(image: Image.Image) -> Image.Image:
    """The image in 8-bit red, green and blue, laid on black where it is transparent."""
    if image.mode == "I;16":
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if not image.has_transparency_data:
        return image.convert("RGB")
    black = Image.new("RGBA", image.size, (0, 0, 0, 255))
    return Image.alpha_composite(black, image.convert("RGBA")).convert("RGB")


def orientation(image: Image.Image) -> int:
    """How EXIF says that the image was held, 1 to 8; 1 is upright, and what an absent or damaged EXIF says."""
    try:
        with warnings_as_errors():
            found = image.getexif().get(ORIENTATION)
    except Exception:  # damage makes Pillow raise nearly anything
        return 1
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def turned(image: Image.Image, orientation: int) -> Image.Image:
    """The image turned and mirrored as its orientation wants it."""
    return image.transpose(TURNS[orientation]) if orientation in TURNS else image


@contextmanager
def warnings_as_errors() -> Iterator[None]:
    """Pillow's warnings raised, but those on many pixels, which are counted here, and on metadata of TIFF's form.

    Some images of ImageNet have damaged EXIF and whole pixels. One thread at a time, since filters are the process's.
    """
    with FILTERS, warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        warnings.filterwarnings("ignore", module=r"PIL\.(Tiff|Jpeg)ImagePlugin")
        yield


def beginning(content: bytes) -> str:
    """What a file that Pillow does not know begins as."""
    if not content:
        return "an empty file"
    start = content[:256].lstrip()
    kind = next((kind for pattern, kind in BEGINNINGS.items() if re.match(pattern, start, re.DOTALL)), "something else")
    return f"{kind}, no whole JPEG, PNG or WEBP"


FILTERS = threading.Lock()

TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

BEGINNINGS = {
    rb"\xff\xd8\xff": "a JPEG damaged in its first bytes",
    rb"\x89PNG": "a PNG damaged in its first bytes",
    rb"RIFF....WEBP": "a WEBP damaged in its first bytes",
    rb"GIF8": "a GIF",
    rb"BM": "a BMP",
    rb"II\*\0|MM\0\*": "a TIFF",
    rb"....ftyp(avif|avis)": "an AVIF",
    rb"....ftyp(hei|hev|mif|msf)": "a HEIC",
    rb"%PDF": "a PDF",
    rb"(\xef\xbb\xbf)?\s*<": "a web page or a drawing",
    rb"version https://git-lfs": "a pointer of Git LFS without its file",
}
