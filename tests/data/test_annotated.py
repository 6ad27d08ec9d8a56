"""A DATA text with objects: scenes with knobs, a folder by its layout, and what is neither."""

from pathlib import Path

import pytest

from resatlas.data.annotated import resolve_annotated
from resatlas.errors import DataError, UnknownName, UsageError
from tests.data.annotated import annotation, voc_object, write_coco, write_voc


def test_scenes_are_named_by_their_shortest_text() -> None:
    """Usual values of knobs are left out of the name."""
    assert resolve_annotated("scenes").name == resolve_annotated("scenes:size=96,train=800").name == "scenes"
    assert resolve_annotated("scenes:train=3,size=64").name == "scenes:size=64,train=3"
    with pytest.raises(UnknownName, match='did you mean "train"'):
        resolve_annotated("scenes:trian=3")
    with pytest.raises(UsageError, match="32 to 512"):
        resolve_annotated("scenes:size=8")


def test_a_folder_has_the_layout_of_its_files(tmp_path: Path) -> None:
    """COCO's with masks or without, VOC's without."""
    coco, voc = tmp_path / "coco", tmp_path / "voc"
    write_coco(coco, [annotation()])
    write_voc(voc, "val", {"a": voc_object()})
    assert "masks" not in resolve_annotated(str(coco)).read().test.target(0)
    assert "masks" in resolve_annotated(str(coco), masks="with masks").read().test.target(0)
    assert len(resolve_annotated(str(voc)).read().test) == 1
    with pytest.raises(UsageError, match="boxes alone"):
        resolve_annotated(str(voc), masks="with masks")
    with pytest.raises(UsageError, match="has no knobs"):
        resolve_annotated(f"{coco}:size=3")


def test_what_has_no_objects_is_refused(tmp_path: Path) -> None:
    """A folder of another layout is told both; a misspelt name gets the right one."""
    with pytest.raises(DataError, match="it needs annotations/instances_train"):
        resolve_annotated(str(tmp_path))
    with pytest.raises(DataError, match='did you mean "scenes"'):
        resolve_annotated("scene")
