"""COCO's layout: ids are the user's, masks come in three forms, and what is refused is named."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from resatlas.data.boxes import AnnotatedImages
from resatlas.data.coco import coco
from resatlas.data.identity import annotated_digests, changed_annotations, digest_of_objects
from resatlas.data.masks import encoded
from resatlas.errors import DataError
from tests.data.annotated import CATEGORIES, annotation, image, write_coco, write_images
from tests.data.pictures import picture


def read(root: Path, *, masks: bool = False) -> AnnotatedImages:
    """The part to test on."""
    return coco(root, masks="with masks" if masks else "boxes alone").read().test


def test_objects_keep_the_users_ids(tmp_path: Path) -> None:
    """Category ids with a gap and 0 become labels from 1; ids of images are texts or numbers; images may be empty."""
    write_coco(
        tmp_path,
        [annotation(5, "b", 90, bbox=[0, 1, 2.5, 3]), annotation(9, 1, 0), annotation(6, "b", 7, iscrowd=1)],
        images=[image(1, "a.png"), image("b", "b.png"), image(3, "a.png")],
    )
    part = read(tmp_path)
    assert (part.ids, [category.id for category in part.categories]) == ((1, "b", 3), [0, 7, 90])
    assert part.objects.ids == (9, 5, 6)
    assert [part.target(k)["labels"].tolist() for k in range(3)] == [[1], [3, 2], []]
    assert part.target(1)["boxes"].tolist() == [[0, 1, 2.5, 4], [4, 5, 14, 13]]
    assert part.target(1)["ignore"].tolist() == [False, True]
    assert part.target(2)["boxes"].shape == (0, 4)


def test_a_sample_has_the_pixels_of_its_file(tmp_path: Path) -> None:
    """Red, green and blue as in the file, rows first."""
    part = read(write_coco(tmp_path, [annotation()]))
    pixels, target = part.sample(0)
    assert (pixels.numpy() == np.asarray(picture(0, size=(20, 30)))).all()
    assert target["boxes"].dtype == torch.float32
    assert "masks" not in target


def test_the_three_forms_of_a_mask_are_one(tmp_path: Path) -> None:
    """Polygons, runs and compressed runs of the same pixels; two polygons are united; masks are cut to their image."""
    mask = np.zeros((20, 30), np.uint8)
    mask[5:13, 4:14] = 1
    runs = encoded(mask)
    forms = [
        [[4, 5, 14, 5, 14, 13, 4, 13]],
        [[4, 5, 9, 5, 9, 13, 4, 13], [9, 5, 14, 5, 14, 13, 9, 13]],
        {"size": [20, 30], "counts": runs.counts.tolist()},
        {"size": [20, 30], "counts": runs.compressed()},
    ]
    write_coco(tmp_path, [annotation(k, segmentation=form) for k, form in enumerate(forms)])
    masks = read(tmp_path, masks=True).target(0)["masks"].numpy()
    assert (masks == mask).all()
    assert len(masks) == 4


def test_parts_and_their_folders(tmp_path: Path) -> None:
    """Train and val; with test too, val is for validation; images may lie in `images`."""
    write_coco(tmp_path, [annotation()], part="train2017")
    with pytest.raises(DataError, match="needs instances_train"):
        coco(tmp_path)
    write_coco(tmp_path, part="val2017")
    parts = coco(tmp_path).read()
    assert (len(parts.train.objects.ids), len(parts.test.objects.ids), parts.validation) == (1, 0, None)
    write_coco(tmp_path, part="test")
    assert coco(tmp_path).read().validation is not None
    (tmp_path / "images").mkdir()
    (tmp_path / "train2017").rename(tmp_path / "images" / "train2017")
    assert coco(tmp_path).read().train.root == tmp_path / "images" / "train2017"
    write_coco(tmp_path, part="val2014")
    with pytest.raises(DataError, match=r"val2014.json and .*val2017.json, two files for one part"):
        coco(tmp_path)


def test_only_a_test_part_is_for_testing(tmp_path: Path) -> None:
    """Without a train file the training part has no images, but the categories."""
    parts = coco(write_coco(tmp_path, [annotation()])).read()
    assert (len(parts.train), len(parts.test)) == (0, 2)
    assert parts.train.categories == parts.test.categories


def test_categories_of_the_parts_are_the_same(tmp_path: Path) -> None:
    """A part with other categories would count other classes."""
    write_coco(tmp_path, part="train")
    write_coco(tmp_path, part="val", categories=[*CATEGORIES[:2], {"id": 90, "name": "eagle"}])
    with pytest.raises(DataError, match='differ in "eagle" with id 90, "owl" with id 90'):
        coco(tmp_path).read()


@pytest.mark.parametrize("orientation", [6, 8])
def test_the_annotated_size_decides_whether_a_photograph_is_turned(tmp_path: Path, orientation: int) -> None:
    """Annotated upright it is turned, annotated as stored it is not, with any other size it is refused."""
    stored = picture(3, size=(20, 30))
    exif = stored.getexif()
    exif[0x0112] = orientation
    turned = np.rot90(np.asarray(stored), -1 if orientation == 6 else 1)
    for width, height, pixels in ((30, 20, np.asarray(stored)), (20, 30, turned)):
        write_coco(tmp_path, images=[image(1, "turned.png", width, height)])
        stored.save(tmp_path / "val2017" / "turned.png", exif=exif)
        assert (read(tmp_path).sample(0).image.numpy() == pixels).all()
    write_coco(tmp_path, images=[image(1, "turned.png", 21, 30)])
    with pytest.raises(DataError, match="30 x 20 pixels, or 20 x 30 upright, its annotation says 21 x 30"):
        read(tmp_path).sample(0)


def test_boxes_for_training_are_cut_and_have_an_area(tmp_path: Path) -> None:
    """Boxes partly outside are cut, those without area are left out, both with a note; the test keeps them all."""
    boxes = [[-3, 5, 10, 8], [4, 5, 0, 8], [40, 5, 3, 3], [4, 5, 10, -1], [25, 10, 5.2, 10]]
    parts = coco(write_coco(tmp_path, [annotation(k, bbox=box, area=1) for k, box in enumerate(boxes)])).read()
    assert parts.test.target(0)["boxes"].tolist() == [[0, 5, 7, 13], [25, 10, 30, 20]]
    assert len(parts.test.objects.ids) == 5
    left_out, cut = parts.notes
    assert left_out.startswith("3 annotations left out of training, such as ")
    assert cut.startswith("1 annotation cut to the image in training, such as ")


def test_a_part_that_cannot_be_used_names_the_first_fault(tmp_path: Path) -> None:
    """The file, the annotation, the remedy, how many more there are, and the command that lists them."""
    write_coco(tmp_path, [annotation(3, image=8), annotation(4, category=1)])
    with pytest.raises(DataError) as error:
        read(tmp_path)
    assert str(error.value) == (
        f"{tmp_path}/annotations/instances_val2017.json: annotation 3: no image has the id 8; correct it, or remove "
        f"the annotation and 1 more (resatlas data check {tmp_path} lists every fault)"
    )


def test_the_digest_is_that_of_what_is_said(tmp_path: Path) -> None:
    """Spaces and the order of keys change nothing; a box, a name or a crowd does."""
    write_coco(tmp_path, [annotation()])
    first = digest_of_objects(read(tmp_path))
    file = tmp_path / "annotations" / "instances_val2017.json"
    file.write_text(json.dumps(dict(reversed(json.loads(file.read_text()).items())), indent=3))
    assert digest_of_objects(read(tmp_path)) == first
    others = [annotation(bbox=[4, 5, 10, 8.5]), annotation(iscrowd=1), annotation(category=7), annotation(image=2)]
    digests = {digest_of_objects(read(write_coco(tmp_path, [other]))) for other in others}
    assert len({first, *digests}) == 5


def test_images_of_a_folder_are_files(tmp_path: Path) -> None:
    """What looks at the content of images gets their files."""
    part = read(write_coco(tmp_path))
    files = part.files()
    assert files is not None
    assert [files.path(k) for k in range(2)] == [tmp_path / "val2017" / name for name in ("a.png", "b.png")]
    write_images(tmp_path / "val2017", "a.png", size=(21, 30))
    with pytest.raises(DataError, match="30 x 21 pixels, its annotation says 30 x 20"):
        part.sample(0)


def test_labels_are_those_of_the_first_part(tmp_path: Path) -> None:
    """Files list the same categories in orders of their own: a label means one category in all parts."""
    write_coco(tmp_path, [annotation(1, category=0), annotation(2, category=90)], part="train2017")
    objects = [annotation(1, category=90), annotation(2, category=7), annotation(3, image=2, category=0)]
    write_coco(tmp_path, objects, categories=CATEGORIES[::-1])
    data = coco(tmp_path)
    parts = data.read()
    names = [category.name for category in data.categories]
    assert names == ["cat", "dog", "owl"]
    assert data.categories == parts.train.categories == parts.test.categories
    assert [names[label - 1] for label in parts.train.objects.labels] == ["cat", "owl"]
    assert [names[label - 1] for label in parts.test.objects.labels] == ["owl", "dog", "cat"]


def test_categories_of_one_name_have_their_ids(tmp_path: Path) -> None:
    """Exports of annotation tools have a category for all objects with the name of one kind: results keep both."""
    twice = [{"id": 0, "name": "fish"}, {"id": 1, "name": "fish"}, {"id": 2, "name": "owl"}]
    data = coco(write_coco(tmp_path, [annotation(1, category=1)], categories=twice))
    assert data.classes == ("fish (id 0)", "fish (id 1)", "owl")
    assert [category.name for category in data.categories] == ["fish", "fish", "owl"]
    [note] = data.read().notes
    assert 'category 2 of the list: its name "fish" is that of the category 0 too; both get their ids' in note


def test_masks_have_a_digest_of_their_own(tmp_path: Path) -> None:
    """Read with masks or without, the objects are the same; a moved corner is another mask alone."""
    write_coco(tmp_path, [annotation()])
    alone, masked = (annotated_digests("test", read(tmp_path, masks=masks)) for masks in (False, True))
    assert alone["test objects"] == masked["test objects"]
    assert (set(alone), set(masked)) == ({"test objects"}, {"test objects", "test masks"})
    assert not list(changed_annotations(alone, masked))
    assert not list(changed_annotations(masked, alone))
    write_coco(tmp_path, [annotation(segmentation=[[4, 5, 14, 5, 14, 13, 5, 13]])])
    other = annotated_digests("test", read(tmp_path, masks=True))
    assert list(changed_annotations(masked, other)) == [("test", "masks")]
