"""A file is one whole image, or is refused with its name and the reason."""

import io
import os
import re
import resource
import struct
import subprocess
import sys
import threading
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from resatlas.data import photograph
from resatlas.data.photograph import decoded, pixels
from resatlas.errors import DataError, UsageError
from tests.data.pictures import picture, write
from tests.promptness import at_once

NOISE = np.asarray(picture())


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    """The bytes of the image's file."""
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk of a PNG file."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, *, depth: int, colour: int, rows: bytes, before: bytes = b"") -> bytes:
    """A PNG file, written by hand; colour is 0 for grey, 2 for RGB, 4 and 6 for the same with alpha."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = chunk(b"IHDR", header) + before + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def refusal(file: Path) -> str:
    """The reason for which a file is refused, in one line that begins with its name."""
    with pytest.raises(DataError) as error:
        decoded(file)
    message = str(error.value)
    assert len(message.splitlines()) == 1
    named, _, reason = message.partition(" cannot be read as an image: ")
    assert file.name in named or "\\" in named
    return reason


def upright(image: np.ndarray, orientation: int) -> np.ndarray:
    """The image (h, w, 3) as it looked when it was taken; each orientation of EXIF as a turn or mirror of arrays."""
    across = image.swapaxes(0, 1)
    turns = (image[::-1, ::-1], image[::-1], across, np.rot90(image, -1), across[::-1, ::-1], np.rot90(image))
    return (image, image[:, ::-1], *turns)[orientation - 1]


def channels_first(image: np.ndarray) -> list[list[list[int]]]:
    """(h, w, 3) as decoded images are."""
    return image.transpose(2, 0, 1).tolist()


@pytest.mark.parametrize("ending", ["png", "webp"])
def test_pixels_come_channels_first_as_they_are(tmp_path: Path, ending: str) -> None:
    """What is stored without loss is found again, in memory of its own that can be written, channels last."""
    file = tmp_path / f"image.{ending}"
    picture().save(file, lossless=True)
    image = decoded(file)
    assert image.tolist() == channels_first(NOISE)
    assert image.transpose(1, 2, 0).flags.c_contiguous
    assert image.flags.writeable


def test_a_jpeg_is_pillow_s(tmp_path: Path) -> None:
    """Lossy images equal those of Pillow's decoder, for any name of the file."""
    file = tmp_path / "image.png"
    file.write_bytes(saved(picture(), "JPEG"))
    assert decoded(file).tolist() == channels_first(np.asarray(Image.open(file)))


@pytest.mark.parametrize(
    ("mode", "expected"), [("L", (0, 128, 255)), ("1", (0, 255, 255)), ("LA", (0, 64, 255)), ("P", (0, 128, 255))]
)
def test_grey_is_spread_to_three_channels(mode: str, expected: tuple[int, ...]) -> None:
    """Three grey pixels, the middle one half transparent where the mode knows it."""
    grey = Image.fromarray(np.array([[0, 128, 255]], np.uint8))
    if mode == "LA":
        grey.putalpha(Image.fromarray(np.array([[255, 128, 255]], np.uint8)))
    image = pixels(saved(grey.convert(mode, dither=Image.Dither.NONE), "PNG"))
    assert image.tolist() == [[list(expected)]] * 3


@pytest.mark.parametrize("colour", [0, 2])
def test_sixteen_bits_give_their_higher_byte(colour: int) -> None:
    """Grey and colour of 16 bits are scaled equally, and 8 bits spread to 16 are restored exactly."""
    values = (0, 255, 256, 1000, 32767, 257 * 77, 65535)
    spread = [value for value in values for _ in range(3 if colour == 2 else 1)]
    content = png(7, 1, depth=16, colour=colour, rows=b"\0" + struct.pack(f">{len(spread)}H", *spread))
    assert pixels(content).tolist() == [[[0, 0, 1, 3, 127, 77, 255]]] * 3


@pytest.mark.parametrize("colour", [4, 6])
def test_sixteen_bits_may_have_alpha(colour: int) -> None:
    """Grey and colour of 16 bits lie on black where they are transparent."""
    grey = 1 if colour == 4 else 3
    values = [40000] * grey + [65535] + [40000] * grey + [0]
    content = png(2, 1, depth=16, colour=colour, rows=b"\0" + struct.pack(f">{len(values)}H", *values))
    assert pixels(content).tolist() == [[[156, 0]]] * 3


def test_what_is_transparent_lies_on_black() -> None:
    """Alpha weighs the colour: opaque, half and not at all."""
    rgba = np.array([[[200, 100, 50, 255], [200, 100, 50, 128], [200, 100, 50, 0]]], np.uint8)
    assert pixels(saved(Image.fromarray(rgba), "PNG")).tolist() == [[[200, 100, 0]], [[100, 50, 0]], [[50, 25, 0]]]


def test_a_palette_may_have_alpha() -> None:
    """Each entry of a palette brings its own transparency."""
    image = Image.fromarray(np.array([[0, 1, 2]], np.uint8)).convert("P")
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    content = saved(image, "PNG", transparency=bytes([255, 0, 51]))
    assert pixels(content).tolist() == [[[255, 0, 0]], [[0, 0, 0]], [[0, 0, 51]]]


def test_a_colour_may_stand_for_transparency() -> None:
    """A PNG without alpha may name one colour that is not drawn."""
    rows = b"\0" + bytes([9, 8, 7, 200, 100, 50])
    content = png(2, 1, depth=8, colour=2, rows=rows, before=chunk(b"tRNS", struct.pack(">3H", 200, 100, 50)))
    assert pixels(content).tolist() == [[[9, 0]], [[8, 0]], [[7, 0]]]


def test_cmyk_is_converted_without_profiles() -> None:
    """Each ink takes its share of the light: (255 - ink)·(255 - black)/255."""
    inks = np.zeros((8, 8, 4), np.uint8)
    inks[:] = (255, 0, 102, 51)
    image = pixels(saved(Image.fromarray(inks, "CMYK"), "JPEG", quality=100)).astype(int)
    assert np.abs(image - np.array([0, 204, 122])[:, None, None]).max() <= 3


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_says_how_an_image_was_held(kind: str, orientation: int) -> None:
    """All eight orientations of EXIF, against rotations and mirrors of the array."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {}
    plain, held = saved(picture(), kind, **options), saved(picture(), kind, exif=exif, **options)
    assert pixels(held).tolist() == channels_first(upright(pixels(plain).transpose(1, 2, 0), orientation))


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0nonsense", b"Exif\0\0MM\0*\0\0\0\x08\0\x05\x01", b"Exif\0\0II*\0\xff\xff\xff\xff"]
)
def test_a_damaged_exif_turns_nothing(exif: bytes) -> None:
    """Whole pixels under damaged EXIF are read as they lie in the file."""
    assert pixels(saved(picture(), "JPEG", exif=exif)).tolist() == pixels(saved(picture(), "JPEG")).tolist()


@pytest.mark.parametrize(("tag", "kind", "value"), [(0x0112, 3, 9), (0x0112, 3, 0), (0x0112, 2, 6)])
def test_an_orientation_that_is_none_turns_nothing(tag: int, kind: int, value: int) -> None:
    """A number outside 1 to 8, or a text, is passed over."""
    entry = struct.pack(">HHIHH", tag, kind, 1, value, 0)
    exif = b"Exif\0\0MM\0*\0\0\0\x08" + struct.pack(">H", 1) + entry + bytes(4)
    assert pixels(saved(picture(), "JPEG", exif=exif)).tolist() == pixels(saved(picture(), "JPEG")).tolist()


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_an_animation_is_refused(tmp_path: Path, kind: str) -> None:
    """Which frame would be the image is not said, so none is."""
    file = tmp_path / "moving.png"
    file.write_bytes(saved(picture(), kind, save_all=True, append_images=[picture(1), picture(2)]))
    assert refusal(file) == "an animation of 3 frames, where one image is wanted"


def test_a_gif_is_refused_by_its_name(tmp_path: Path) -> None:
    """An animated GIF is distinguished from other kinds of files."""
    file = tmp_path / "moving.jpg"
    file.write_bytes(saved(picture(), "GIF", save_all=True, append_images=[picture(1)]))
    assert refusal(file) == "a GIF, not a complete JPEG, PNG, WEBP or BMP"


def test_the_first_picture_of_several_in_a_jpeg_counts() -> None:
    """Cameras store a second picture after the first, which is the one that programs show."""
    content = saved(picture(), "MPO", save_all=True, append_images=[picture(1)])
    assert pixels(content).tolist() == pixels(saved(picture(), "JPEG")).tolist()
    damaged = content.replace(b"MPF\0II*\0", b"MPF\0II*\1")
    assert damaged != content
    assert pixels(damaged).tolist() == pixels(content).tolist()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "an empty file"),
        (b"<!DOCTYPE html><html>not found</html>", "a web page or a drawing, not a complete JPEG, PNG, WEBP or BMP"),
        (b"\xef\xbb\xbf\n <svg/>", "a web page or a drawing, not a complete"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "a pointer of Git LFS without its file"),
        (b"\0\0\0\x1cftypavif", "an AVIF, not a complete"),
        (b"hello", "something else, not a complete JPEG, PNG, WEBP or BMP"),
        (b"\xff\xd8\xff", "a JPEG damaged in its first bytes"),
        (b"\x89PNG\r\n\x1a\n", "a PNG damaged in its first bytes"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "could not create decoder object"),
        (b"RIFF\x10\0\0\0WEBP", "a WEBP damaged in its first bytes"),
        (b"BM", "a BMP damaged in its first bytes, not a complete"),
        (saved(picture(), "TIFF"), "a TIFF, not a complete"),
        (saved(picture(), "PPM"), "something else, not a complete"),
    ],
)
def test_what_is_no_image_is_told_what_it_is(tmp_path: Path, content: bytes, reason: str) -> None:
    """Empty files, web pages, pointers and other formats under an image's name are named."""
    file = tmp_path / "image.jpg"
    file.write_bytes(content)
    assert refusal(file).startswith(reason)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
@pytest.mark.parametrize("tenths", range(1, 10))
def test_a_jpeg_that_breaks_off_is_refused(options: dict[str, bool], tenths: int) -> None:
    """A JPEG truncated at any tenth of its length is refused."""
    content = saved(picture(size=(64, 64)), "JPEG", **options)
    with pytest.raises(DataError, match=r"[Tt]runcated|damaged"):
        pixels(content[: len(content) * tenths // 10])


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_the_last_bytes_are_missed(kind: str) -> None:
    """An image without the end of its pixels is refused, and so is a JPEG without its last byte."""
    content = saved(picture(size=(64, 64)), kind)
    with pytest.raises(DataError):
        pixels(content[:-1] if kind == "JPEG" else content[:-30])


def answer(content: bytes) -> str:
    """The number of channels, or the error."""
    try:
        return str(len(pixels(content)))
    except DataError as error:
        return str(error)


@given(cut=st.integers(0, 700), flips=st.lists(st.tuples(st.integers(0, 700), st.integers(1, 255)), max_size=6))
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_no_damage_raises_anything_else(cut: int, flips: list[tuple[int, int]]) -> None:
    """For any changed bytes, the result is an image of three channels or a data error in one line."""
    exif = Image.Exif()
    exif[0x0112] = 6
    for whole in (saved(picture(), kind, exif=exif) for kind in ("JPEG", "PNG", "WEBP")):
        content = bytearray(whole)
        for place, change in flips:
            content[place % len(content)] ^= change
        assert len(answer(bytes(content[: len(content) - cut % 50])).splitlines()) == 1


@pytest.mark.parametrize("name", ["Ωmega ñ 猫.png", "two\nlines.png", "tab\there.png", os.fsdecode(b"latin-\xe9.png")])
def test_any_name_is_read(tmp_path: Path, name: str) -> None:
    """Unicode, control characters and bytes that are no text are names like others."""
    assert decoded(write(tmp_path / name)).shape == (3, 6, 9)


def test_a_refusal_stays_on_its_line(tmp_path: Path) -> None:
    """Newlines, escapes and stray bytes in a name are written as escapes."""
    for name, words in (("a\nb\x1b[31m.jpg", r"a\nb\x1b[31m.jpg"), (os.fsdecode(b"\xe9.jpg"), r"\udce9.jpg")):
        file = tmp_path / name
        file.write_bytes(b"")
        with pytest.raises(DataError, match=re.escape(f"{words} cannot be read as an image: an empty file")):
            decoded(file)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    """Folders, pipes, links to nothing or to themselves, absent names and impossible ones."""
    (tmp_path / "folder.jpg").mkdir()
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "broken.jpg").symlink_to(tmp_path / "nowhere")
    (tmp_path / "loop.jpg").symlink_to(tmp_path / "loop.jpg")
    assert refusal(tmp_path / "folder.jpg") == "a folder, not a regular file"
    assert refusal(tmp_path / "pipe.jpg") == "a pipe, not a regular file"
    assert refusal(tmp_path / "broken.jpg") == "a link to nothing"
    assert refusal(tmp_path / "loop.jpg") == "Too many levels of symbolic links"
    assert refusal(tmp_path / "absent.jpg") == "no such file"
    assert refusal(tmp_path / "broken.jpg" / "below.jpg") == "no such file"
    assert refusal(tmp_path / "nu\0ll.jpg") == "invalid path (null character)"
    assert refusal(Path("/dev/zero")) == "a device, not a regular file"


def test_a_file_without_permission_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What may not be opened is refused with the system's words."""
    file = write(tmp_path / "image.png")
    if os.geteuid() == 0:  # root may open everything

        def forbidden(file: Path, _: int) -> int:
            raise PermissionError(13, "Permission denied", str(file))

        monkeypatch.setattr(os, "open", forbidden)
    file.chmod(0)
    assert refusal(file) == "Permission denied"


@pytest.mark.parametrize(
    ("size", "reason"),
    [
        ((1, 4000), "4,000 x 1 pixels, where a photograph has 2 a side or more"),
        ((1, 1), "1 x 1 pixels, where a photograph has 2 a side or more"),
        ((2, 101), "101 x 2 pixels, one side over 50 times the other"),
        ((101, 2), "2 x 101 pixels, one side over 50 times the other"),
    ],
)
def test_a_line_is_no_photograph(tmp_path: Path, size: tuple[int, int], reason: str) -> None:
    """Sides below 2 pixels or of a ratio beyond 50 are refused."""
    picture(size=size).save(tmp_path / "line.png")
    assert refusal(tmp_path / "line.png") == reason


@pytest.mark.parametrize("size", [(2, 100), (100, 2), (2, 2)])
def test_a_strip_is_a_photograph(tmp_path: Path, size: tuple[int, int]) -> None:
    """The ratio of sides is at most 50."""
    picture(size=size).save(tmp_path / "strip.png")
    assert decoded(tmp_path / "strip.png").shape == (3, *size)


def test_too_many_bytes_are_not_read(tmp_path: Path) -> None:
    """A file of holes is refused by its size."""
    file = tmp_path / "large.jpg"
    with file.open("wb") as stream:
        stream.truncate(photograph.BYTES + 1)
    assert refusal(file) == "268,435,457 bytes, where 268,435,456 is the most"


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_pixels_are_counted_before_they_are_decoded(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One pixel more than the limit is refused by the header, for every limit."""
    monkeypatch.setattr(photograph, "PIXELS", 53)
    with pytest.raises(DataError, match=r"9 x 6 pixels, where 53 is the most \(RESATLAS_MOST_PIXELS\)"):
        pixels(saved(picture(), kind))
    monkeypatch.setenv("RESATLAS_MOST_PIXELS", "54")
    assert pixels(saved(picture(), kind)).shape == (3, 6, 9)


@pytest.mark.parametrize("text", ["0", "-1", "1e6", "many"])
def test_a_limit_that_is_no_number_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """It is not the image's fault."""
    monkeypatch.setenv("RESATLAS_MOST_PIXELS", text)
    with pytest.raises(UsageError, match=f'RESATLAS_MOST_PIXELS is a number of pixels from 1, .*; got "{text}"'):
        pixels(saved(picture(), "PNG"))


def bomb(file: Path, side: int, depth: int) -> Path:
    """A small file of a black square."""
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(bytes(1 + side * depth // 8)) for _ in range(side)) + packer.flush()
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, depth, 0, 0, 0, 0))
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", packed) + chunk(b"IEND", b""))
    assert file.stat().st_size < 200_000
    return file


@pytest.mark.parametrize(("side", "depth"), [(10_000, 1), (12_000, 8), (20_000, 1)])
def test_a_bomb_is_refused_at_once(tmp_path: Path, side: int, depth: int) -> None:
    """A small file of 100 to 400 megapixels costs neither time nor memory."""
    file = bomb(tmp_path / "bomb.png", side, depth)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with at_once():
        assert "pixels" in refusal(file)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000  # KiB


DECODING = """
import resource, sys
from pathlib import Path
from resatlas.data.photograph import decoded
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert decoded(Path(sys.argv[1])).shape == (3, 8192, 8192)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_the_largest_image_takes_half_a_gigabyte_at_most(tmp_path: Path) -> None:
    """8 kB of 67 megapixels take a byte a pixel while they are decoded and three as they are."""
    file = bomb(tmp_path / "bomb.png", 8192, 1)
    ended = subprocess.run([sys.executable, "-c", DECODING, file], capture_output=True, text=True, check=True)
    assert int(ended.stdout) < 350_000  # KiB


def test_a_larger_image_may_be_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond Pillow's own limit too, which stays as it was for other users of Pillow."""
    limit = Image.MAX_IMAGE_PIXELS
    file = bomb(tmp_path / "bomb.png", 20_000, 1)
    monkeypatch.setenv("RESATLAS_MOST_PIXELS", "400000000")
    with photograph.opened(file.read_bytes()) as image:
        assert image.size == (20_000, 20_000)
    assert limit == Image.MAX_IMAGE_PIXELS


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGB", "RGBA", "LA", "CMYK", "I;16"])
def test_strips_are_converted_as_the_whole(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In every mode, and with a transparent colour or a palette."""
    plain = picture(size=(7, 9))
    image = plain.convert("L").convert(mode) if mode == "I;16" else plain.convert(mode)
    kind = "JPEG" if mode == "CMYK" else "PNG"
    content = saved(image, kind, transparency=3) if mode in ("L", "P") else saved(image, kind)
    whole = pixels(content)
    monkeypatch.setattr(photograph, "STRIP", 18)
    assert pixels(content).tolist() == whole.tolist()


def test_a_flat_jpeg_of_many_pixels_is_refused() -> None:
    """A JPEG's header counts too, at both limits of Pillow."""
    content = bytearray(saved(picture(), "JPEG"))
    frame = content.index(b"\xff\xc0") + 5
    for height, width, words in ((8193, 8192, "8,192 x 8,193 pixels"), (65_000, 65_000, "65,000 x 65,000 pixels")):
        content[frame : frame + 4] = struct.pack(">HH", height, width)
        with pytest.raises(DataError, match=words):
            pixels(bytes(content))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_large_profile_changes_nothing(kind: str) -> None:
    """Two megabytes of it, in any format."""
    profile = np.random.default_rng(0).bytes(2 << 20)
    plain, profiled = saved(picture(), kind), saved(picture(), kind, icc_profile=profile)
    assert len(profiled) > 2 << 20
    assert pixels(profiled).tolist() == pixels(plain).tolist()


@pytest.mark.parametrize("kind", [b"zTXt", b"iCCP", b"tEXt", b"iTXt"])
def test_a_text_or_profile_that_unpacks_to_much_is_passed_over(kind: bytes) -> None:
    """Text that takes 1,000 times its room, a profile likewise, damage or many of them: the pixels are what is read."""
    large = chunk(kind, b"k\0\0" + zlib.compress(bytes(1 << 26), 9))
    damaged = chunk(kind, b"k")[:-1] + b"?"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for words in (large, damaged, 80 * chunk(kind, b"k\0\0" + zlib.compress(bytes(1 << 20), 9))):
        assert pixels(png(2, 1, depth=8, colour=0, rows=b"\0\7\7", before=words)).tolist() == [[[7, 7]]] * 3
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB


def test_a_turn_in_a_text_counts() -> None:
    """Orientation in XMP, a text of a PNG."""
    xmp = b'<x xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="3"/>'
    text = chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp)
    assert pixels(png(2, 1, depth=8, colour=0, rows=b"\0\7\x09", before=text)).tolist() == [[[9, 7]]] * 3


def test_a_bitmap_is_read() -> None:
    """Windows has BMP, whose pixels lie as they are."""
    assert pixels(saved(picture(), "BMP")).tolist() == channels_first(NOISE)


def test_filters_of_warnings_stay_as_they_were(tmp_path: Path) -> None:
    """Four threads that read images leave the process's filters alone."""
    file = write(tmp_path / "image.png")
    before = list(warnings.filters)
    threads = [threading.Thread(target=lambda: [decoded(file) for _ in range(50)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(warnings.filters) == before
