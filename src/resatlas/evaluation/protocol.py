"""How a trained network is tested, by name: `centre`, `full-320`, `ten-crops:mean_of=logits`; free of torch.

Numbers are pixels for a network of 224, as in the papers; for others they mean the same shares of its size.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal, assert_never, cast

from resatlas.data.dataset import DataSet, ImageFiles, Part
from resatlas.errors import RecipeError, UnknownName, UsageError, quoted, unknown
from resatlas.recipes.images import Centre, Flips, MeanOf, MultiScale, TenCrops, View
from resatlas.recipes.recipe import Recipe
from resatlas.recipes.text import USUAL
from resatlas.values.knobs import key_values

RECIPE = "recipe"
"""The word for all views that a recipe names."""


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """A view of every image under the shortest text that means it."""

    name: str
    view: View


Kind = Literal["centre", "flips", "ten-crops", "multi-scale"]


def resolve(texts: Iterable[str], recipe: Recipe) -> tuple[Protocol, ...]:
    """The protocols that the texts mean, each once; without a text the first of the recipe.

    Raises: UnknownName, UsageError.
    """
    given = tuple(texts)
    views = [view for text in given for view in (recipe.testing if text == RECIPE else (view_of(text),))]
    return tuple(Protocol(name=name_of(view), view=view) for view in dict.fromkeys(views or recipe.testing[:1]))


def view_of(text: str) -> View:
    """The view that a protocol's text means.

    Raises: UnknownName for a word that is none of ours; UsageError for a knob that is malformed or out of bounds.
    """
    name, colon, rest = text.partition(":")
    if full := re.fullmatch(r"full-([1-9][0-9]{0,3})", name):
        if colon:
            raise UsageError(f"{name} has no knobs; centre:shorter=…,crop=… has")
        return _checked("centre", {"shorter": full[1], "crop": full[1]}, text)
    if name not in KNOBS:
        raise UnknownName(unknown("protocol", name, (*KNOBS, "full-320", RECIPE)))
    kind = cast("Kind", name)
    changed = key_values(rest.split(","), of=kind, known=KNOBS[kind]) if colon else {}
    return _checked(kind, {**KNOBS[kind], **changed}, text)


def name_of(view: View) -> str:
    """The shortest text that means the view."""
    kind, values = _told(view)
    if kind == "centre" and values["shorter"] == values["crop"] and "/" not in values["crop"]:
        return f"full-{values['crop']}"
    changed = ",".join(f"{knob}={value}" for knob, value in values.items() if value != KNOBS[kind][knob])
    return f"{kind}:{changed}" if changed else kind


def check(protocol: Protocol, data: DataSet, part: Part) -> None:
    """Refuse a view that the images of a data set do not have.

    Raises: UsageError
    """
    view = protocol.view
    if not isinstance(part, ImageFiles) and not isinstance(view, Centre | Flips):
        raise UsageError(_no_more(protocol, data))
    if not isinstance(part, ImageFiles) and isinstance(view, Centre | Flips) and view.scale != 1:
        raise UsageError(_no_more(protocol, data))
    mirrored = isinstance(view, Flips | TenCrops) or (isinstance(view, MultiScale) and view.flips == "with")
    if mirrored and data.mirror == "forbidden":
        raise UsageError(f"{protocol.name} shows mirror images, and mirrored images of {data.name} lose their class")


def _no_more(protocol: Protocol, data: DataSet) -> str:
    words = ("centre",) if data.mirror == "forbidden" else ("centre", "flips")
    return (
        f"{protocol.name} wants photographs that are larger than what the network takes; images of {data.name} are "
        f"{data.image}, as it takes them, and tested whole: {' or '.join(words)}"
    )


def _checked(kind: Kind, values: Mapping[str, str], text: str) -> View:
    try:
        return _read(kind, values)
    except RecipeError as error:
        raise UsageError(f"protocol {quoted(text)}: {error} (shares; {USUAL} pixels are 1)") from None


def _read(kind: Kind, values: Mapping[str, str]) -> View:
    """The view of a kind whose knobs have these values."""
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
            sides = tuple(_pixels(each, "shorter") / USUAL for each in values["shorter"].split("+"))
            places = _one_of(("pooled", "windows"), values, "places")
            flips = _one_of(("without", "with"), values, "flips")
            return MultiScale(shorter=sides, places=places, flips=flips, mean_of=_mean_of(values))
        case _:
            assert_never(kind)


def _told(view: View) -> tuple[Kind, dict[str, str]]:
    """The kind of a view and the values of all its knobs."""
    match view:
        case Centre(shorter=shorter, scale=scale):
            return "centre", _crops(shorter, scale)
        case Flips(shorter=shorter, scale=scale, mean_of=mean_of):
            return "flips", {**_crops(shorter, scale), "mean_of": mean_of}
        case TenCrops(shorter=shorter, mean_of=mean_of):
            return "ten-crops", {"shorter": str(shorter * USUAL), "mean_of": mean_of}
        case MultiScale(shorter=sides, places=places, flips=flips, mean_of=mean_of):
            shown = "+".join(str(each * USUAL) for each in sides)
            return "multi-scale", {"shorter": shown, "places": places, "flips": flips, "mean_of": mean_of}
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
        raise UsageError(f"{knob} is a number of pixels for a network of {USUAL}, as in 256; {quoted(text)} is not")
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
"""The knobs of each protocol, with their usual values."""
