"""The data sets with objects: the meaning of a DATA text for a detector.

The modules that read folders need numpy and Pillow: they are imported for folders alone.
"""

import inspect
from dataclasses import replace
from pathlib import Path

from resatlas.data.boxes import DetectionData, Masks
from resatlas.data.catalog import NAMED, OBJECTS, knobs, resolve, separated
from resatlas.data.dataset import DataSet
from resatlas.data.listing import is_directory, printable
from resatlas.errors import DataError, UsageError, unknown


def has_objects(text: str) -> bool:
    """Whether a DATA text means images with objects: such a data set, a folder of a layout that has them."""
    name = separated(text)[0]
    if name in OBJECTS or name in NAMED or name == "":
        return name in OBJECTS
    if not is_directory(Path(name)):
        return False
    from resatlas.data.coco import is_coco
    from resatlas.data.segments import is_segmented
    from resatlas.data.voc import is_voc
    from resatlas.data.voc_segments import is_voc_segmented

    return any(has_layout(Path(name)) for has_layout in (is_coco, is_voc, is_voc_segmented, is_segmented))


def resolve_any(text: str, *, masks: Masks = "boxes alone") -> DataSet | DetectionData:
    """The data set of a DATA text, with one label per image or with objects.

    Raises: as `catalog.resolve` and `resolve_annotated`.
    """
    return resolve_annotated(text, masks=masks) if has_objects(text) else resolve(text)


def resolve_annotated(text: str, *, masks: Masks = "boxes alone") -> DetectionData:
    """The data set of a DATA text such as `scenes:train=2000`, or of a folder in COCO's or VOC's layout, or with masks.

    Raises: UnknownName for an unknown knob; UsageError if a knob is malformed, out of bounds or of a folder, or if
        masks are wanted of VOC's boxes; DataError if the folder has none of these layouts.
    """
    first, colon, rest = text.partition(":")
    if first in OBJECTS:
        usual = {knob: parameter.default for knob, parameter in inspect.signature(OBJECTS[first]).parameters.items()}
        values = knobs(first, rest, usual) if colon else {}
        changed = ",".join(f"{knob}={values[knob]}" for knob in usual if values.get(knob, usual[knob]) != usual[knob])
        return replace(OBJECTS[first](**values), name=f"{first}:{changed}" if changed else first)
    name, colon, rest = separated(text)
    if colon:
        raise UsageError(f"{printable(name)} has no knobs; {rest!r} cannot be set")
    root = Path(name)
    if not is_directory(root):
        raise DataError(unknown("data set with objects", printable(name), OBJECTS))
    from resatlas.data.coco import coco, is_coco
    from resatlas.data.segments import is_segmented, segmented
    from resatlas.data.voc import is_voc, voc
    from resatlas.data.voc_segments import is_voc_segmented, voc_segmented

    if is_coco(root):
        return coco(root, masks=masks)
    if is_voc_segmented(root) and (masks == "with masks" or not is_voc(root)):
        return voc_segmented(root)
    if is_voc(root):
        if masks == "with masks":
            raise UsageError(
                f"{printable(root)} has VOC's boxes alone; add SegmentationClass and ImageSets/Segmentation for "
                "classes of pixels, or convert it to COCO's layout for masks of objects"
            )
        return voc(root)
    if is_segmented(root):
        return segmented(root)
    raise DataError(
        f"{printable(root)} has no objects: it needs annotations/instances_train*.json and instances_val*.json as in "
        "COCO; Annotations, JPEGImages and ImageSets/Main as in VOC, or SegmentationClass, "
        "JPEGImages and ImageSets/Segmentation; or images, masks and classes.txt"
    )
