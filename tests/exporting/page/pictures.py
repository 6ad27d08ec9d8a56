"""Image files of every kind that a browser and our readers both take, and files that both refuse."""

import struct
import zlib
from collections.abc import Iterator
from io import BytesIO

import numpy as np
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="8"/></x:xmpmeta>'
ORIENTATION = 0x0112


def smooth(height: int, width: int, channels: int = 3) -> np.ndarray:
    """Waves with some noise: a picture that JPEG keeps and that every turn changes."""
    y, x = np.mgrid[0:height, 0:width]
    waves = np.stack([127 + 100 * np.sin(x / 7 + k) + 27 * np.cos(y / (5 + k)) for k in range(channels)], axis=-1)
    noise = np.random.default_rng(0).normal(0, 12, waves.shape)
    return np.clip(waves + noise, 0, 255).astype(np.uint8)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    """The bytes of a file."""
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


RGB = Image.fromarray(smooth(61, 83))
PHOTO = Image.fromarray(smooth(213, 320))
VALUES = np.random.default_rng(1).integers(0, 65536, (61, 83, 4), dtype=np.uint16)
RGBA = RGB.copy()
RGBA.putalpha(Image.fromarray((VALUES[..., 3] >> 8).astype(np.uint8)))


def whole() -> Iterator[tuple[str, bytes]]:
    """Names and bytes of files whose pixels are equal in the browser and in Pillow."""
    grey, palette = RGB.convert("L"), RGB.quantize(64)
    yield "png", saved(RGB, "PNG")
    yield "png grey", saved(grey, "PNG")
    yield "png grey and alpha", saved(Image.merge("LA", [grey, RGBA.getchannel("A")]), "PNG")
    yield "png alpha", saved(RGBA, "PNG")
    yield "png palette", saved(palette, "PNG")
    yield "png palette with alpha", saved(palette, "PNG", transparency=bytes(range(0, 256, 4)))
    yield "png one bit", saved(RGB.convert("1"), "PNG")
    yield "png one transparent colour", saved(RGB, "PNG", transparency=tuple(map(int, np.asarray(RGB)[3, 4])))
    yield "png 16 bits grey", saved(Image.fromarray(VALUES[..., 0]), "PNG")
    yield "png 16 bits", png_of_16_bits(VALUES[..., :3])
    yield "png 16 bits alpha", png_of_16_bits(VALUES)
    yield "png gamma", with_chunk(saved(RGB, "PNG"), b"gAMA", struct.pack(">I", 100_000))
    yield "png profile", saved(RGB, "PNG", icc_profile=swapped_profile())
    yield "jpeg profile", saved(RGB, "JPEG", icc_profile=swapped_profile())
    for quality, subsampling in ((30, 0), (75, 1), (75, 2), (95, 2)):
        yield f"jpeg {quality} {subsampling}", saved(PHOTO, "JPEG", quality=quality, subsampling=subsampling)
    yield "jpeg progressive", saved(PHOTO, "JPEG", progressive=True)
    yield "jpeg grey", saved(grey, "JPEG")
    yield "jpeg of several", saved(RGB, "MPO", save_all=True, append_images=[PHOTO])
    yield "webp", saved(PHOTO, "WEBP", quality=70)
    yield "webp lossless", saved(RGB, "WEBP", lossless=True)
    yield "webp alpha", saved(RGBA, "WEBP", lossless=True, exact=True)
    yield "webp lossy alpha", saved(RGBA, "WEBP", quality=60)
    yield "bmp", saved(RGB, "BMP")
    yield "bmp grey", saved(grey, "BMP")
    for held in (*range(1, 10), 0):
        exif = Image.Exif()
        exif[ORIENTATION] = held
        yield f"jpeg held {held}", saved(RGB, "JPEG", exif=exif)
        yield f"png held {held}", saved(RGB, "PNG", exif=exif)
        yield f"webp held {held}", saved(RGB, "WEBP", lossless=True, exif=exif)
    yield "jpeg held by XMP", saved(RGB, "JPEG", xmp=XMP)
    yield "webp held by XMP", saved(RGB, "WEBP", lossless=True, xmp=XMP)
    words = PngInfo()
    words.add_itxt("XML:com.adobe.xmp", XMP.decode())
    yield "png held by XMP", saved(RGB, "PNG", pnginfo=words)


def refused() -> Iterator[tuple[str, bytes, str]]:
    """Names and bytes of files that both refuse, with words of the page's reason."""
    frames = [Image.fromarray(smooth(20, 20 + k)).resize((20, 20)) for k in range(3)]
    moving = {"save_all": True, "append_images": frames[1:]}
    yield "animated webp", saved(frames[0], "WEBP", **moving), "an animation of 3 frames"
    yield "animated png", saved(frames[0], "PNG", **moving), "an animation of 3 frames"
    yield "gif", saved(RGB.quantize(8), "GIF"), "a GIF, not a JPEG, PNG, WEBP or BMP"
    yield "tiff", saved(RGB, "TIFF"), "a TIFF"
    yield "svg", b'<svg xmlns="http://www.w3.org/2000/svg"/>', "a web page or a drawing"
    yield "text", b"hello", "something else"
    yield "empty", b"", "an empty file"
    yield "one pixel", saved(RGB.crop((0, 0, 1, 1)), "PNG"), "where a photograph has 2 a side"
    yield "a rule", saved(Image.fromarray(smooth(2, 200)), "PNG"), "one side over 50 times the other"
    for kind in ("PNG", "JPEG", "WEBP", "BMP"):
        content = saved(PHOTO, kind)
        yield f"half a {kind}", content[: len(content) // 2], "not complete"


def png_of_16_bits(values: np.ndarray) -> bytes:
    """A PNG with 16 bits a value, which Pillow does not write for colours."""
    height, width, channels = values.shape
    lines = b"".join(b"\0" + line.astype(">u2").tobytes() for line in values)
    head = struct.pack(">IIBBBBB", width, height, 16, 2 if channels == 3 else 6, 0, 0, 0)
    parts = (chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(lines)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def with_chunk(png: bytes, kind: bytes, content: bytes) -> bytes:
    """The PNG with one more chunk after its head."""
    return png[:33] + chunk(kind, content) + png[33:]


def swapped_profile() -> bytes:
    """A profile whose red and green are swapped: a reader that applies it shows other colours."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile.replace(b"rXYZ", b"\0\0\0\0").replace(b"gXYZ", b"rXYZ").replace(b"\0\0\0\0", b"gXYZ", 1)
