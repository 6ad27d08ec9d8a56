"""Small files that ask for much: pixels, memory, or decoders that are not ours."""

import struct
import zlib
from io import BytesIO

from PIL import Image

from tests.serving.running import png

_BLOCK = b"\0" * (1 << 20)


def chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def zeros(count: int) -> bytes:
    """So many zero bytes, deflated without holding them."""
    deflate = zlib.compressobj(9)
    parts = [deflate.compress(_BLOCK[: min(len(_BLOCK), count - k)]) for k in range(0, count, len(_BLOCK))]
    return b"".join([*parts, deflate.flush()])


def bits(side: int) -> bytes:
    """A black PNG of one bit a pixel."""
    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    rows = zeros(side * (1 + (side + 7) // 8))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def with_chunk(kind: bytes, content: bytes) -> bytes:
    """A small PNG with another chunk before its pixels."""
    whole, ihdr = png(), 8 + 25
    return whole[:ihdr] + chunk(kind, content) + whole[ihdr:]


def thin_jpeg() -> bytes:
    """A JPEG of 65,500 x 1 pixels."""
    file = BytesIO()
    Image.new("L", (65_500, 1)).save(file, "JPEG")
    return file.getvalue()


def animated(kind: str) -> bytes:
    """An animation of two frames."""
    file = BytesIO()
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(file, kind, save_all=True, append_images=frames[1:])
    return file.getvalue()


def declaring(kind: str, side: int) -> bytes:
    """A file whose header declares a large square, without its pixels."""
    match kind:
        case "JPEG":
            frame = struct.pack(">HBHHB", 11, 8, side, side, 1) + b"\x01\x11\x00"
            return b"\xff\xd8\xff\xc0" + frame + b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00" + b"\0" * 99
        case "BMP":
            info = struct.pack("<IiiHHIIiiII", 40, side, side, 1, 24, 0, 0, 0, 0, 0, 0)
            return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + info + b"\0" * 99
        case _:
            raise ValueError(kind)


def black_webp(side: int) -> bytes:
    """A whole lossless WEBP in 28 bytes, of five codes of one symbol each, so that a pixel takes no bit.

    Source: the specification of WebP's lossless bitstream, sections 3 (header) and 6.2.2 (simple codes).
    """
    fields = [(side - 1, 14), (side - 1, 14), (0, 4), (0, 3), *[(1, 4)] * 5]
    number, place = 0, 0
    for value, width in fields:
        number |= value << place
        place += width
    data = b"\x2f" + number.to_bytes((place + 7) // 8, "little")
    data += b"\0" * (len(data) % 2)
    body = b"WEBPVP8L" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


REFUSED: dict[str, bytes] = {
    "400 MP of one bit": bits(20_000),
    "144 MP of one bit": bits(12_000),
    "a JPEG of 65,500 x 1": thin_jpeg(),
    "a JPEG that declares 4,295 MP": declaring("JPEG", 65_535),
    "a WEBP of 268 MP": black_webp(16_383),
    "a BMP that declares 2,500 MP": declaring("BMP", 50_000),
    "an animated PNG": animated("PNG"),
    "an animated WEBP": animated("WEBP"),
    "a GIF": animated("GIF"),
    "SVG": b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'><script>alert(1)</script></svg>",
    "PSD": b"8BPS\0\x01" + b"\0" * 6 + struct.pack(">HIIHH", 3, 30_000, 30_000, 8, 3) + b"\0" * 99,
    "FITS": b"SIMPLE  =                    T".ljust(2_880),
    "TIFF": b"II*\0\x08\0\0\0" + b"\0" * 99,
    "PDF": b"%PDF-1.7\n",
    "empty": b"",
    "text": b"an image\n" * 99,
    "two images": png(1) + png(2),
    "many scans": b"\xff\xd8" + b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00" * 1_000,
}
"""Bodies that are answered with 4xx."""

ANSWERED: dict[str, bytes] = {
    "a text of 200 MB": with_chunk(b"zTXt", b"x\0\0" + zeros(200_000_000)),
    "an international text of 200 MB": with_chunk(b"iTXt", b"x\0\x01\0\0\0" + zeros(200_000_000)),
    "a profile of 200 MB": with_chunk(b"iCCP", b"x\0\0" + zeros(200_000_000)),
    "a profile of 900 kB": with_chunk(b"iCCP", b"x\0\0" + zeros(900_000)),
}
"""Bodies whose pixels are those of `png()`: texts and profiles change nothing."""
