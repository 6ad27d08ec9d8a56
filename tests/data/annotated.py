"""Small data sets with annotations, for tests."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.data.pictures import picture

CATEGORIES = ({"id": 0, "name": "cat"}, {"id": 7, "name": "dog"}, {"id": 90, "name": "owl"})
"""With a gap, and with the id 0."""


def write_images(folder: Path, *names: str, size: tuple[int, int] = (20, 30)) -> None:
    """Pictures of this height and width."""
    folder.mkdir(parents=True, exist_ok=True)
    for k, name in enumerate(names):
        picture(k, size=size).save(folder / name)


def annotation(number: int = 1, image: object = 1, category: object = 0, **other: Any) -> dict[str, Any]:  # noqa: ANN401
    """An annotation of COCO with a box of 10 x 8 pixels."""
    known = {"id": number, "image_id": image, "category_id": category, "bbox": [4, 5, 10, 8], "area": 80, "iscrowd": 0}
    return {**known, "segmentation": [[4, 5, 14, 5, 14, 13, 4, 13]], **other}


def image(number: object, name: str, width: object = 30, height: object = 20) -> dict[str, Any]:
    """An image of COCO."""
    return {"id": number, "file_name": name, "width": width, "height": height}


def write_coco(
    root: Path,
    annotations: Sequence[object] = (),
    *,
    images: Sequence[object] = (),
    categories: Sequence[object] = CATEGORIES,
    part: str = "val2017",
) -> Path:
    """A part in COCO's layout, its images written; without images, two of 30 x 20 pixels with the ids 1 and 2."""
    entries = images or (image(1, "a.png"), image(2, "b.png"))
    write_images(root / part, "a.png", "b.png")
    (root / "annotations").mkdir(exist_ok=True)
    lists = {"images": entries, "annotations": annotations, "categories": categories}
    (root / "annotations" / f"instances_{part}.json").write_text(json.dumps({"info": {"year": 2017}, **lists}))
    return root


def voc_object(name: str = "cat", box: Sequence[object] = (5, 6, 14, 13), *, difficult: int = 0) -> str:
    """An object of VOC."""
    corners = "".join(
        f"<{corner}>{number}</{corner}>" for corner, number in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
    )
    return f"<object><name>{name}</name><difficult>{difficult}</difficult><bndbox>{corners}</bndbox></object>"


def write_voc(root: Path, part: str, objects: Mapping[str, str], *, size: tuple[object, object] = (30, 20)) -> Path:
    """A part in VOC's layout, its images written: the XML of the objects of each image."""
    for folder in ("Annotations", "ImageSets/Main", "JPEGImages"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "ImageSets" / "Main" / f"{part}.txt").write_text("".join(f"{name}\n" for name in objects))
    write_images(root / "JPEGImages", *(f"{name}.jpg" for name in objects))
    for name, inside in objects.items():
        sizes = f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>"
        text = f"<annotation><filename>{name}.jpg</filename>{sizes}{inside}</annotation>"
        (root / "Annotations" / f"{name}.xml").write_text(text)
    return root
