"""Find objects, or the classes of pixels, in image files with the exported network in this folder.

    python predict.py photo.png other.jpg

It needs numpy, Pillow and onnxruntime; nothing of resatlas.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from resatlas.exporting.standalone import read_image

FOLDER = Path(__file__).resolve().parent


def prepare(file: str | Path, export: dict[str, Any]) -> np.ndarray:
    """The input of the network for one file: pixels, or normalised images if the graph expects them."""
    _, channels, height, width = export["input"]["shape"]
    pixels = read_image(file, channels)
    if "height" not in export["input"]["free"] and pixels.shape[:2] != (height, width):
        sys.exit(f"the network needs images of {height} x {width} pixels; {file} has other sides")
    images = np.ascontiguousarray(np.moveaxis(pixels, 2, 0)[None])  # (1, channels, height, width)
    if export["input"]["kind"] == "pixels":
        return images
    mean, std = (np.array(export[name], np.float32)[:, None, None] for name in ("mean", "std"))
    return (images.astype(np.float32) / np.float32(255) - mean) / std


def main(files: list[str]) -> None:
    """Print the objects of each file, the best first, or the share of the pixels of each class."""
    export = json.loads((FOLDER / "export.json").read_text(encoding="utf-8"))
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # else it reports to its maker since version 1.29
    import onnxruntime

    session = onnxruntime.InferenceSession(str(FOLDER / export["file"]), providers=["CPUExecutionProvider"])
    for file in files:
        arrays = map(np.asarray, session.run(None, {"images": prepare(file, export)}))
        outputs = dict(zip(export["outputs"], arrays, strict=True))
        print(file)
        if "logits" in outputs:
            values, counts = np.unique(outputs["logits"][0].argmax(axis=0), return_counts=True)
            for k in np.argsort(-counts, kind="stable"):
                print(f"  {counts[k] / counts.sum():.4f}  {export['classes'][values[k]]}")
            continue
        for box, label, score in zip(outputs["boxes"], outputs["labels"], outputs["scores"], strict=True):
            print(f"  {score:.4f}  {export['classes'][label - 1]}  {' '.join(f'{side:.1f}' for side in box)}")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1:])
