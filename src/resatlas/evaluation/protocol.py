"""Test protocols by name: `centre`, `full-320`, `ten-crops:mean_of=logits`; without torch.

Numbers are pixels for a network of 224, as in the papers; for other sizes they scale with the size.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal, assert_never, cast

from resatlas.data.dataset import DataSet, ImageFiles, Mirror, Part
from resatlas.errors import RecipeError, UnknownName, UsageError, quoted, unknown
from resatlas.recipes.detection import Detect, Refined, Resized, Segment, Task
from resatlas.recipes.images import Centre, Flips, MeanOf, MultiScale, TenCrops, View
from resatlas.recipes.recipe import Recipe
from resatlas.recipes.text import USUAL
from resatlas.values.codec import decode, encode
from resatlas.values.knobs import key_values

REFINED = "refined"
"""The protocol for objects alone; its knobs are the fields of `Refined`."""

_RECIPE = "recipe"
"""The protocol text for all views of the recipe."""


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """A view and its shortest text."""

    name: str
    view: View


@dataclass(frozen=True, kw_only=True)
class ObjectProtocol:
    """A way of testing networks that find objects, and its shortest text."""

    name: str
    view: View | Refined


Kind = Literal["centre", "flips", "ten-crops", "multi-scale"]


def resolve(texts: Iterable[str], recipe: Recipe) -> tuple[Protocol, ...]:
    """The protocols of these texts, without repetition; without a text the first view of the recipe.

    Raises: UnknownName, UsageError.
    """
    views = [view for text in texts for view in (recipe.testing if text == _RECIPE else (view_of(text),))]
    return tuple(Protocol(name=name_of(view), view=view) for view in dict.fromkeys(views or recipe.testing[:1]))


def resolve_for_objects(texts: Iterable[str]) -> tuple[ObjectProtocol, ...]:
    """The protocols of these texts for networks that find objects, whose recipes all test whole images.

    Raises: as `resolve`.
    """
    views = dict.fromkeys([_object_view(text) for text in texts] or [Centre()])
    return tuple(
        ObjectProtocol(name=_refined_name(view) if isinstance(view, Refined) else name_of(view), view=view)
        for view in views
    )


def _object_view(text: str) -> View | Refined:
    """The view of a protocol text for objects.

    Raises: as `view_of`.
    """
    name, colon, rest = text.partition(":")
    if name != REFINED:
        return Centre() if text == _RECIPE else view_of(text)
    usual = encode(Refined())
    values = key_values(rest.split(","), of=REFINED, known=usual) if colon else {}
    try:
        return decode(Refined, {**usual, **{knob: _overlap(value, knob) for knob, value in values.items()}}, where=name)
    except RecipeError as error:
        raise UsageError(f"protocol {quoted(text)}: {error}") from None


def _overlap(text: str, knob: str) -> float:
    if not re.fullmatch(r"[0-9](\.[0-9]{1,4})?", text):
        raise UsageError(f"{knob} is an overlap from 0 to 1, such as 0.3; got {quoted(text)}")
    return float(text)


def _refined_name(view: Refined) -> str:
    """The shortest text of a refined view."""
    usual = encode(Refined())
    changed = ",".join(f"{knob}={value:g}" for knob, value in encode(view).items() if value != usual[knob])
    return f"{REFINED}:{changed}" if changed else REFINED


def view_of(text: str) -> View:
    """The view of a protocol text.

    Raises: UnknownName for an unknown protocol or knob; UsageError for a knob that is malformed or out of bounds.
    """
    name, colon, rest = text.partition(":")
    if full := re.fullmatch(r"full-([1-9][0-9]{0,3})", name):
        if colon:
            raise UsageError(f"{name} has no knobs; centre:shorter=…,crop=… has")
        return _checked("centre", {"shorter": full[1], "crop": full[1]}, text)
    if name not in KNOBS:
        raise UnknownName(unknown("protocol", name, (*KNOBS, "full-320", _RECIPE)))
    kind = cast("Kind", name)
    changed = key_values(rest.split(","), of=kind, known=KNOBS[kind]) if colon else {}
    return _checked(kind, {**KNOBS[kind], **changed}, text)


def name_of(view: View) -> str:
    """The shortest text of the view."""
    kind, values = _kind_and_knobs(view)
    if kind == "centre" and values["shorter"] == values["crop"] and "/" not in values["crop"]:
        return f"full-{values['crop']}"
    changed = ",".join(f"{knob}={value}" for knob, value in values.items() if value != KNOBS[kind][knob])
    return f"{kind}:{changed}" if changed else kind


def check(protocol: Protocol, data: DataSet, part: Part) -> None:
    """Refuse a view that does not fit the images of a data set.

    Raises: UsageError
    """
    view = protocol.view
    of_one_size = isinstance(view, Centre | Flips) and view.scale == 1
    if not isinstance(part, ImageFiles) and not of_one_size:
        raise UsageError(_needs_photographs(protocol, data))
    if isinstance(view, Flips | TenCrops) or (isinstance(view, MultiScale) and view.flips == "with"):
        _check_mirror(protocol, data.name, data.mirror, of="images")


def view_for_objects(
    protocol: ObjectProtocol, task: Task, *, data: str, mirror: Mirror
) -> Centre | Flips | MultiScale | Refined:
    """The view of a protocol for objects, which are found in whole images, in their mirror images, at several scales.

    `data` names the images, and `mirror` says whether mirrored objects keep their class there.
    Raises: UsageError for another view, for several looks at objects with masks, at mirror images of another class, or
        at scales of images that the detector resizes; for refined boxes of masks, or of classes of pixels.
    """
    view = protocol.view
    if isinstance(view, Refined):
        if isinstance(task, Segment) or (isinstance(task, Detect) and task.masks):
            what = "classes of pixels have no boxes" if isinstance(task, Segment) else "masks would be of other boxes"
            raise UsageError(f"{protocol.name} refines boxes alone: {what}; use centre")
        return view
    if view == Centre():
        return Centre()
    scaled = isinstance(view, MultiScale) and (view.places, view.mean_of) == ("pooled", "softmax")
    if view != Flips() and not scaled:
        raise UsageError(
            "objects are found in whole images, by centre or flips without knobs, by multi-scale:shorter=…,flips=…, or "
            f"by refined; got {protocol.name}"
        )
    if isinstance(task, Detect) and task.masks:
        kind = "mirror image" if view == Flips() else "image of another scale"
        raise UsageError(
            f"{protocol.name} cannot unite the masks of an object in an image and in its {kind}; use centre"
        )
    if scaled and isinstance(task, Detect) and isinstance(task.sides, Resized):
        raise UsageError("this detector resizes its images itself (task.sides=resized), so that scales change nothing")
    if view == Flips() or (isinstance(view, MultiScale) and view.flips == "with"):
        _check_mirror(protocol, data, mirror, of="objects")
    return view if isinstance(view, MultiScale) else Flips()


def _check_mirror(protocol: Protocol | ObjectProtocol, data: str, mirror: Mirror, *, of: str) -> None:
    if mirror == "forbidden":
        raise UsageError(f"{protocol.name} uses mirror images, and mirroring changes the class of {of} of {data}")


def _needs_photographs(protocol: Protocol, data: DataSet) -> str:
    words = ("centre",) if data.mirror == "forbidden" else ("centre", "flips")
    return (
        f"{protocol.name} needs photographs larger than the network's input; images of {data.name} are {data.image}, "
        f"the input size, and are tested whole: {' or '.join(words)}"
    )


def _checked(kind: Kind, values: Mapping[str, str], text: str) -> View:
    try:
        return _view(kind, values)
    except RecipeError as error:
        raise UsageError(f"protocol {quoted(text)}: {error} (shares; {USUAL} pixels are 1)") from None


def _view(kind: Kind, values: Mapping[str, str]) -> View:
    """The view of a kind with these knobs."""
    match kind:
        case "centre":
            shorter, scale = _centre(values)
            return Centre(shorter=shorter, scale=scale)
        case "flips":
            shorter, scale = _centre(values)
            return Flips(shorter=shorter, scale=scale, mean_of=_mean_of(values))
        case "ten-crops":
            return TenCrops(shorter=_share(values, "shorter"), mean_of=_mean_of(values))
        case "multi-scale":
            sides = tuple(_pixels(side, "shorter") / USUAL for side in values["shorter"].split("+"))
            places = _one_of(("pooled", "windows"), values, "places")
            flips = _one_of(("without", "with"), values, "flips")
            return MultiScale(shorter=sides, places=places, flips=flips, mean_of=_mean_of(values))
        case _:
            assert_never(kind)


def _kind_and_knobs(view: View) -> tuple[Kind, dict[str, str]]:
    """The kind of a view and all its knobs."""
    match view:
        case Centre(shorter=shorter, scale=scale):
            return "centre", _crops(shorter, scale)
        case Flips(shorter=shorter, scale=scale, mean_of=mean_of):
            return "flips", {**_crops(shorter, scale), "mean_of": mean_of}
        case TenCrops(shorter=shorter, mean_of=mean_of):
            return "ten-crops", {"shorter": str(shorter * USUAL), "mean_of": mean_of}
        case MultiScale(shorter=sides, places=places, flips=flips, mean_of=mean_of):
            shorter = "+".join(str(side * USUAL) for side in sides)
            return "multi-scale", {"shorter": shorter, "places": places, "flips": flips, "mean_of": mean_of}
        case _:
            assert_never(view)


def _crops(shorter: Fraction, scale: Fraction) -> dict[str, str]:
    return {"shorter": str(shorter * scale * USUAL), "crop": str(scale * USUAL)}


def _centre(values: Mapping[str, str]) -> tuple[Fraction, Fraction]:
    """(shorter side as a share of the crop, crop as a share of the network's size)."""
    scale = _share(values, "crop")
    return _share(values, "shorter") / scale, scale


def _share(values: Mapping[str, str], knob: str) -> Fraction:
    return _pixels(values[knob], knob) / USUAL


def _pixels(text: str, knob: str) -> Fraction:
    if not re.fullmatch(r"[1-9][0-9]{0,4}(/[1-9][0-9]{0,4})?", text):
        raise UsageError(f"{knob} is a number of pixels for a network of {USUAL}, such as 256; got {quoted(text)}")
    return Fraction(text)


def _mean_of(values: Mapping[str, str]) -> MeanOf:
    return _one_of(("softmax", "logits"), values, "mean_of")


def _one_of(words: tuple[str, ...], values: Mapping[str, str], knob: str) -> Any:  # noqa: ANN401 - as the caller's words
    if values[knob] not in words:
        raise UnknownName(unknown(f"value of {knob}", values[knob], words))
    return values[knob]


KNOBS: Mapping[Kind, Mapping[str, str]] = {
    "centre": {"shorter": "256", "crop": "224"},
    "flips": {"shorter": "256", "crop": "224", "mean_of": "softmax"},
    "ten-crops": {"shorter": "256", "mean_of": "softmax"},
    "multi-scale": {
        "shorter": "224+256+384+480+640",
        "places": "pooled",
        "flips": "without",
        "mean_of": "softmax",
    },
}
"""The knobs of each protocol, with their defaults."""
