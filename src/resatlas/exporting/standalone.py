"""Classify image files with the exported network in this folder.

    python predict.py photo.png other.jpg

It needs numpy, Pillow and the engine of the format (onnxruntime, openvino, torch or executorch); nothing of resatlas.
"""

import json
import math
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

FOLDER = Path(__file__).resolve().parent
LONG = 4  # of an image with sides of a ratio beyond this, only the part near the crop is resized
SUPPORT = 2  # pixels beyond a crop that its edges are interpolated from


def read_image(file: str | Path, channels: int) -> np.ndarray:
    """The pixels of an image file, upright, in shape (height, width, channels); transparency lies on black."""
    with Image.open(file) as opened:
        image: Image.Image = ImageOps.exif_transpose(opened)
    if image.mode == "I;16":
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        image = Image.alpha_composite(black, image.convert("RGBA"))
    pixels = np.asarray(image.convert("RGB"))
    if channels == 3:
        return pixels
    red, green, blue = np.moveaxis(pixels.astype(np.int32), 2, 0)
    return ((299 * red + 587 * green + 114 * blue + 500) // 1000).astype(np.uint8)[:, :, None]


def crop_centre(pixels: np.ndarray, size: tuple[int, int], shorter: int) -> np.ndarray:
    """The centre of an image whose shorter side is resized to `shorter`; an image of that size is taken whole."""
    h, w = pixels.shape[:2]
    if (h, w) == size:
        return pixels
    if size[0] != size[1]:
        sys.exit(f"the network needs images of {size[0]} x {size[1]} pixels; this one has {h} x {w}")
    side = size[0]
    height, width = shorter * h // min(h, w), shorter * w // min(h, w)
    top, left = round((height - side) / 2), round((width - side) / 2)
    if h > LONG * w:
        first, last, height, top = strip(h, height, top, side)
        pixels = pixels[first:last]
    if w > LONG * h:
        first, last, width, left = strip(w, width, left, side)
        pixels = pixels[:, first:last]
    narrow = resize_rows(pixels.transpose(1, 0, 2), width).transpose(1, 0, 2)
    return resize_rows(narrow, height)[top : top + side, left : left + side]


def strip(length: int, resized: int, start: int, side: int) -> tuple[int, int, int, int]:
    """(first, last, resized, start) of the part of a long side that the crop shows."""
    share = length / resized
    margin = SUPPORT * max(share, 1)
    first = max(math.floor(start * share - margin), 0)
    last = min(math.ceil((start + side) * share + margin), length)
    shorter = max(round((last - first) / share), side)
    return first, last, shorter, min(max(start - round(first / share), 0), shorter - side)


def resize_rows(pixels: np.ndarray, count: int) -> np.ndarray:
    """`count` rows instead of those of an image: means under a triangle, bilinear interpolation with antialiasing.

    Weights are whole numbers of at most 15 bits, so that every pixel is the one that torch computes.
    """
    if len(pixels) == count:
        return pixels
    scale = len(pixels) / count
    reach = max(scale, 1.0)
    centres = scale * (np.arange(count) + 0.5)
    first = np.maximum((centres - reach + 0.5).astype(int), 0)
    last = np.minimum((centres + reach + 0.5).astype(int), len(pixels))
    places = first[:, None] + np.arange((last - first).max())
    weights = np.maximum(1 - np.abs((places - centres[:, None] + 0.5) * (1 / reach)), 0)
    weights[places >= last[:, None]] = 0
    weights /= weights.sum(axis=1, keepdims=True)
    bits = next(bits for bits in range(22) if int(0.5 + weights.max() * 2 ** (bits + 1)) >= 1 << 15)
    whole = (weights * 2**bits + 0.5).astype(np.int32)
    rows = pixels.astype(np.int32)
    total = np.full((count, *pixels.shape[1:]), 1 << bits >> 1, np.int32)
    for k in range(places.shape[1]):
        total += whole[:, k, None, None] * rows[np.minimum(places[:, k], len(pixels) - 1)]
    return np.clip(total >> bits, 0, 255).astype(np.uint8)


def prepare(file: str | Path, export: dict[str, Any]) -> np.ndarray:
    """The input of the network for one file: pixels, or normalised images if the graph expects them."""
    how = export["prepare"]
    pixels = crop_centre(read_image(file, how["channels"]), tuple(how["size"]), how["shorter"])
    images = np.ascontiguousarray(np.moveaxis(pixels, 2, 0)[None])  # (1, channels, height, width)
    if export["input"]["kind"] == "pixels":
        return images
    mean, std = (np.array(how[name], np.float32)[:, None, None] for name in ("mean", "std"))
    return (images.astype(np.float32) / np.float32(255) - mean) / std


def load_network(export: dict[str, Any]) -> Callable[[np.ndarray], np.ndarray]:
    """A function from images to logits."""
    file = str(FOLDER / export["file"])
    if export["format"] == "onnx":
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # else it reports to its maker since version 1.29
        import onnxruntime

        session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
        return lambda images: np.asarray(session.run(None, {"images": images})[0])
    if export["format"] == "openvino":
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type] - else its import reports to its maker
        import openvino

        network = openvino.Core().compile_model(file, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        return lambda images: network({"images": images})[0]
    import torch

    if export["format"] == "executorch":
        from executorch.runtime import Runtime  # type: ignore[import-not-found]

        method = Runtime.get().load_program(file).load_method("forward")
        return lambda images: method.execute([torch.from_numpy(images)])[0].numpy()
    module = torch.export.load(file).module()
    return lambda images: module(torch.from_numpy(images)).detach().numpy()


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities: exp(x) / sum of exp(x)."""
    powers = np.exp(logits - logits.max())
    return powers / powers.sum()


def main(files: list[str]) -> None:
    """Print the five most probable classes of each file."""
    export = json.loads((FOLDER / "export.json").read_text(encoding="utf-8"))
    network = load_network(export)
    for file in files:
        probabilities = softmax(network(prepare(file, export))[0].astype(np.float64))
        print(file)
        for k in np.argsort(-probabilities, kind="stable")[:5]:
            print(f"  {probabilities[k]:.4f}  {export['classes'][k]}")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1:])
