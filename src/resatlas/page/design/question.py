"""A question of the page, and the network that it is about."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, cast, get_args

from resatlas.arch.blueprint_file import SCHEMA, NamedBlueprint, blueprint_of
from resatlas.arch.blueprint_table import blueprint_table
from resatlas.arch.ops import Shape
from resatlas.arch.plan import Plan
from resatlas.designs.catalog import Entry, entry_of_value, family_called, family_named, named, resolve
from resatlas.designs.family import Family
from resatlas.designs.solver.spelling import spelled
from resatlas.designs.tasks import Design, image_shape
from resatlas.errors import UsageError, quoted
from resatlas.nets.peak import Kept
from resatlas.page.design.forms import completed, cross_table, cross_texts
from resatlas.recipes import catalog as recipes
from resatlas.recipes.recipe import Recipe
from resatlas.training.footprint import Footprint, Load, footprint
from resatlas.values.codec import decode, decode_text
from resatlas.values.fields import needed_knobs

Mode = Literal["name", "family", "cross"]
"""A question says a DESIGN text, the knobs of a family, or the keys of a blueprint's file."""

FIRST_RECIPE = "quick"

_LONGEST = 400
_MOST_BATCH = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Question:
    """What the controls of the page hold, as texts; an empty text is the default.

    `text` is the DESIGN text, the name of a family, or that of a cross; `changed` is the control that was turned last.
    """

    mode: Mode = "name"
    text: str = "resnet-20"
    knobs: dict[str, str] = field(default_factory=dict)
    changed: str = ""
    image: str = ""
    classes: str = ""
    batch: str = ""
    recipe: str = ""
    kept: str = ""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """The network that a question is about, with the plan for its images, and how it would be trained.

    `texts` are those of the controls of a cross, None for a member of a family.
    """

    entry: Entry
    plan: Plan
    texts: Mapping[str, str] | None
    recipe: Recipe
    recipes: tuple[str, ...]
    batch: int
    kept: Kept

    @cached_property
    def memory(self) -> Footprint:
        """What one process needs that trains it, in fp32 on a processor."""
        return footprint(self.plan, self.recipe, Load(batch=self.batch, kept=self.kept))

    @property
    def is_usual(self) -> bool:
        """Whether images and classes are those of the design."""
        return (self.plan.image, self.plan.classes) == (self.entry.image, self.entry.classes)


def question_of(data: Mapping[str, Any]) -> Question:
    """The question in JSON values.

    Raises: BlueprintError for an unknown key or a value of another kind; UsageError for a long text.
    """
    question = decode(Question, data, where="question")
    texts = (question.text, question.changed, question.image, question.classes, *question.knobs.values())
    if any(len(text) > _LONGEST for text in texts):
        raise UsageError(f"a control of the design page holds up to {_LONGEST} letters")
    return question


def subject_of(question: Question) -> Subject:
    """The network of a question.

    Raises: UsageError with the package's own sentence about what is wrong.
    """
    texts: Mapping[str, str] | None = None
    match question.mode:
        case "name":
            entry, texts = _entry_of_name(question.text)
        case "family":
            entry = _member(family_called(question.text), question.knobs)
        case "cross":
            texts = completed(question.knobs, question.changed)
            entry = _cross(question, texts)
    image = image_shape(question.image) if question.image.strip() else None
    classes = decode_text(int, question.classes.strip(), where="classes") if question.classes.strip() else None
    plan = entry.plan(image=image, classes=classes)
    offered = recipes_of(entry)
    recipe = recipes.resolve(question.recipe if question.recipe in offered else offered[0])
    return Subject(
        entry=entry,
        plan=plan,
        texts=texts,
        recipe=recipe,
        recipes=offered,
        batch=_batch(question.batch, recipe),
        kept=_kept(question.kept),
    )


def recipes_of(entry: Entry) -> tuple[str, ...]:
    """The recipes that the page offers: the quick one, and those of the design's authors."""
    own = family_called(entry.family).recipes if entry.design else ()
    return (FIRST_RECIPE, *own)


def _entry_of_name(text: str) -> tuple[Entry, Mapping[str, str] | None]:
    """The entry of a DESIGN text; files are not read, since the page has none."""
    text = text.strip()
    if ".py:" in text or text.endswith((".toml", ".py")) or "/" in text:
        raise UsageError(f"the page takes names and knobs, not files; got {quoted(text)} (resatlas design FILE)")
    family = None if ":" in text else family_named(text)
    return (_first(family) if family else resolve(text)), None


def _first(family: Family) -> Entry:
    """The first network of a family in the catalogue.

    Raises: UsageError if it has none.
    """
    known = next((entry for entry in named().values() if entry.family == family.name), None)
    if known is not None:
        return known
    if not family.named:
        needed = ",".join(f"{knob}=…" for knob in needed_knobs(family.design))
        raise UsageError(f"no network of {family.name} has a name; give its knobs, as in {family.name}:{needed}")
    return resolve(next(iter(family.named)))


def _member(family: Family, knobs: Mapping[str, str]) -> Entry:
    """The member of a family with these knobs, under its shortest name; without knobs the first of the catalogue."""
    if not knobs:
        return _first(family)
    words = [f"{key}={text.strip()}" for key, text in knobs.items() if text.strip()]
    entry = entry_of_value(family, name=family.name, knobs=words)
    return replace(entry, name=spelled(cast("Design", entry.design)))


def _cross(question: Question, texts: Mapping[str, str]) -> Entry:
    table = {"schema": SCHEMA, "name": question.text.strip() or "my network", **cross_table(texts)}
    return entry_of_file(blueprint_of(table, where="blueprint"))


def entry_of_file(file: NamedBlueprint) -> Entry:
    """The entry of a blueprint's file."""
    return Entry(
        name=file.name,
        family="blueprint",
        depth=None,
        blueprint=file.blueprint,
        image=file.image,
        classes=file.classes,
    )


def file_of(entry: Entry, plan: Plan | None = None) -> NamedBlueprint:
    """The blueprint of an entry as a file, for its usual images and classes or those of a plan."""
    image, classes = (plan.image, plan.classes) if plan else (entry.image, entry.classes)
    return NamedBlueprint(name=entry.name, image=Shape(*image), classes=classes, blueprint=entry.blueprint)


def as_cross(entry: Entry) -> Question:
    """The question whose controls are the keys of the network's file.

    Raises: BlueprintError if a file has no words for it.
    """
    table = blueprint_table(file_of(entry))
    same = {"image": ",".join(map(str, entry.image)), "classes": str(entry.classes)}
    return Question(mode="cross", text=entry.name, knobs=cross_texts(table), **same)


def _batch(text: str, recipe: Recipe) -> int:
    if not text.strip():
        return recipe.batch
    batch = decode_text(int, text.strip(), where="batch")
    if not 1 <= batch <= _MOST_BATCH:
        raise UsageError(f"a batch has 1 to {_MOST_BATCH:,} images; got {batch:,}")
    return batch


def _kept(text: str) -> Kept:
    if text in get_args(Kept):
        return cast("Kept", text)
    if text.strip():
        raise UsageError(f"maps are stored by one of {', '.join(get_args(Kept))}; got {quoted(text)}")
    return "all"
