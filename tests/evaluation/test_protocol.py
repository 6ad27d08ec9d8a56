"""Protocols are named in few words, and every view of a recipe has such a name."""

import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from resatlas.arch.ops import Shape
from resatlas.data.dataset import DataSet, ImageFiles, ImageSet, Mirror, Part, Parts
from resatlas.errors import UsageError
from resatlas.evaluation.protocol import (
    KNOBS,
    ObjectProtocol,
    Protocol,
    check,
    name_of,
    resolve,
    resolve_for_objects,
    view_for_objects,
    view_of,
)
from resatlas.recipes.catalog import NAMED
from resatlas.recipes.detection import Detect, Masks, Segment, Task
from resatlas.recipes.images import Centre, Flips, MultiScale, TenCrops, View
from resatlas.recipes.schedule import shares

LARGE = Centre(shorter=Fraction(1), scale=Fraction(320, 224))

WORDS: tuple[tuple[str, View], ...] = (
    ("centre", Centre()),
    ("full-320", LARGE),
    ("full-224", Centre(shorter=Fraction(1))),
    ("centre:shorter=280", Centre(shorter=Fraction(280, 224))),
    ("centre:shorter=384,crop=320", Centre(shorter=Fraction(384, 320), scale=Fraction(320, 224))),
    ("flips", Flips()),
    ("flips:mean_of=logits", Flips(mean_of="logits")),
    ("ten-crops", TenCrops()),
    ("ten-crops:mean_of=logits", TenCrops(mean_of="logits")),
    ("ten-crops:shorter=1232/5", TenCrops(shorter=Fraction(11, 10))),
    ("multi-scale", MultiScale(shorter=shares(224, 256, 384, 480, 640, of=224))),
    ("multi-scale:shorter=224+256,places=windows", MultiScale(shorter=shares(224, 256, of=224), places="windows")),
    ("multi-scale:shorter=224,flips=with", MultiScale(shorter=(Fraction(1),), flips="with")),
)


@pytest.mark.parametrize(("text", "view"), WORDS, ids=[text for text, _ in WORDS])
def test_words_and_views_mean_each_other(text: str, view: View) -> None:
    """The text means the view, and no shorter text does."""
    assert view_of(text) == view
    assert name_of(view) == text


def test_every_view_of_a_recipe_has_a_name() -> None:
    """Recipe after recipe; the usual protocols are among them."""
    found = {name_of(view): view for recipe in NAMED.values() for view in recipe.testing}
    assert {name: view_of(name) for name in found} == found
    assert set(found) >= {"centre", "full-320", "ten-crops", "ten-crops:mean_of=logits", "multi-scale"}


def test_a_recipe_s_first_view_is_the_default() -> None:
    """Without words the first, by `recipe` all of them; what is said twice is done once."""
    recipe = NAMED["resnet-imagenet"]
    assert [each.name for each in resolve((), recipe)] == ["centre"]
    assert [each.view for each in resolve(("recipe",), recipe)] == list(recipe.testing)
    assert [each.name for each in resolve(("ten-crops", "recipe", "centre:crop=224"), recipe)] == [
        *("ten-crops", "centre", "multi-scale"),
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("tencrops", 'no protocol "tencrops"; did you mean "ten-crops"?'),
        ("center", 'no protocol "center"; did you mean "centre"?'),
        ("", 'no protocol ""'),
        ("recipes", 'did you mean "recipe"?'),
        ("full", 'did you mean "full-320"?'),
        ("full-0", "no protocol"),
        ("full-320:crop=3", "full-320 has no knobs"),
        ("full-100", "a centre view has shares from 1 to 16"),
        ("centre:shroter=256", 'no knob of centre "shroter"; did you mean "shorter"?'),
        ("centre:mean_of=logits", 'no knob of centre "mean_of"'),
        ("centre:shorter=256,shorter=300", 'knob "shorter" of centre is given twice'),
        ("centre:shorter=200", "a centre view has shares from 1 to 16"),
        ("centre:shorter=big", 'shorter is a number of pixels for a network of 224, such as 256; got "big"'),
        ("centre:shorter", 'a knob is written key=value; got "shorter" (centre: shorter, crop)'),
        ("centre:shorter=-1", "shorter is a number of pixels"),
        ("centre:shorter=1/0", "shorter is a number of pixels"),
        ("centre:", 'a knob is written key=value; got "" (centre: shorter, crop)'),
        ("ten-crops:mean_of=softmx", 'no value of mean_of "softmx"; did you mean "softmax"?'),
        ("ten-crops:shorter=224", "need a shorter side of more than 1, up to 16 crops; got 1"),
        ("multi-scale:shorter=224+224", "each once"),
        ("multi-scale:shorter=224,256", 'a knob is written key=value; got "256" (multi-scale: '),
        ("multi-scale:shorter=99999", "a share from 1 to 16"),
        ("multi-scale:places=window", 'did you mean "windows"?'),
    ],
)
def test_wrong_words_get_the_right_one(text: str, words: str) -> None:
    """In one sentence, as a usage error."""
    with pytest.raises(UsageError) as refused:
        view_of(text)
    assert words in str(refused.value)


def test_refined_boxes_are_a_protocol_of_objects() -> None:
    """With its knobs in the shortest text; wrong ones are refused with what is right."""
    texts = ("refined:nms=0.3", "refined:votes=0.75", "recipe", "flips")
    assert [one.name for one in resolve_for_objects(texts)] == ["refined", "refined:votes=0.75", "centre", "flips"]
    assert resolve_for_objects(())[0].view == Centre()
    for text, words in (
        ("refined:nm=0.3", 'did you mean "nms"?'),
        ("refined:nms=half", "nms is an overlap from 0 to 1, such as 0.3"),
        ("refined:nms=2", 'protocol "refined:nms=2": nms must be in [0, 1]; got 2.0'),
    ):
        with pytest.raises(UsageError, match=re.escape(words)):
            resolve_for_objects([text])


def some(part: Part, mirror: str) -> DataSet:
    """A data set of the part."""
    return DataSet(
        name="some",
        image=part.shape,
        classes=("a", "b"),
        mirror=mirror,  # type: ignore[arg-type]
        note="",
        read=lambda: Parts(train=part, test=part),
    )


ZERO = np.zeros(1, np.int64)
IN_MEMORY = ImageSet(images=np.zeros((1, 3, 32, 32), np.uint8), labels=ZERO, ids=ZERO)
IN_FILES = ImageFiles(root=Path(), files=("a.png",), labels=ZERO, ids=ZERO, size=32)


@pytest.mark.parametrize("name", [*KNOBS, "full-320", "flips:crop=320,shorter=320", "multi-scale:flips=with"])
def test_images_in_memory_are_tested_whole(name: str) -> None:
    """As the papers do: nothing is cut from them or made of them that is larger."""
    protocol = Protocol(name=name, view=view_of(name))
    check(protocol, some(IN_FILES, "allowed"), IN_FILES)
    if name in ("centre", "flips"):
        check(protocol, some(IN_MEMORY, "allowed"), IN_MEMORY)
    else:
        with pytest.raises(UsageError, match=r"images of some are 3x32x32, .* tested whole: centre or flips"):
            check(protocol, some(IN_MEMORY, "allowed"), IN_MEMORY)


@pytest.mark.parametrize("name", ["flips", "ten-crops", "multi-scale:flips=with"])
@pytest.mark.parametrize("part", [IN_MEMORY, IN_FILES], ids=["memory", "files"])
def test_no_image_is_mirrored_that_would_lose_its_class(name: str, part: Part) -> None:
    """Where a mirrored image means something else."""
    with pytest.raises(UsageError):
        check(Protocol(name=name, view=view_of(name)), some(part, "forbidden"), part)
    assert Shape(3, 32, 32) == part.shape


@pytest.mark.parametrize("view", [Centre(), Flips()])
@pytest.mark.parametrize("task", [Detect(), Segment()])
def test_objects_are_found_in_whole_images_and_in_their_mirror_images(task: Task, view: View) -> None:
    """Where mirroring keeps the class of an object."""
    protocol = ObjectProtocol(name=name_of(view), view=view)
    assert view_for_objects(protocol, task, data="photographs", mirror="allowed") == view


@pytest.mark.parametrize(
    ("text", "task", "mirror", "sentence"),
    [
        ("ten-crops", Detect(), "allowed", "by centre or flips without knobs, .*got ten-crops"),
        (
            "flips:mean_of=logits",
            Segment(),
            "allowed",
            "by centre or flips without knobs, .*got flips:mean_of=logits",
        ),
        ("full-320", Detect(), "allowed", "by centre or flips without knobs, .*got full-320"),
        ("flips", Detect(masks=Masks()), "allowed", "cannot unite the masks of an object .*; use centre"),
        ("flips", Detect(), "forbidden", "mirroring changes the class of objects of scenes"),
    ],
)
def test_views_without_a_meaning_for_objects_are_refused(text: str, task: Task, mirror: Mirror, sentence: str) -> None:
    """Before any image is read."""
    with pytest.raises(UsageError, match=sentence):
        view_for_objects(ObjectProtocol(name=text, view=view_of(text)), task, data="scenes", mirror=mirror)
