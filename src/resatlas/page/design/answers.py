"""The functions that the page calls, in the browser or on a local server: JSON texts to JSON texts."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import Any, get_args

from resatlas import __version__
from resatlas.designs.catalog import alias_note, families, named
from resatlas.eject.source import source
from resatlas.errors import UsageError
from resatlas.nets.peak import Kept
from resatlas.page.design.copies import copies
from resatlas.page.design.forms import cross_form, family_form
from resatlas.page.design.network import as_json, charts, facts, image_text, numbers_of, tables, units, warnings
from resatlas.page.design.question import Question, Subject, as_cross, question_of, subject_of
from resatlas.values.text import plain
from resatlas.values.unforeseen import foreseen, show_traceback

Answer = dict[str, Any]


def start(_: Question) -> Answer:
    """What the page offers before any question: the names of the catalogue, the families, and this version."""
    return {"names": list(named()), "families": list(families()), "version": __version__}


def turn(question: Question) -> Answer:
    """Everything about the network of a question."""
    subject = subject_of(question)
    figures = numbers_of(subject)
    note = alias_note(question.text) if question.mode == "name" else None
    return {
        "name": subject.entry.name,
        "numbers": figures,
        "facts": facts(subject, figures),
        "warnings": [*filter(None, [note]), *warnings(subject)],
        "tables": [as_json(table) for table in tables(subject)],
        "charts": charts(subject),
        "copies": [copy._asdict() for copy in copies(subject)],
        "form": [asdict(group) for group in _form(subject)],
        "state": asdict(_state(question, subject)),
        "settings": _settings(subject),
    }


def cross(question: Question) -> Answer:
    """The answer for the same network as a cross, whose controls are the keys of its file."""
    subject = subject_of(question)
    same = {name: getattr(question, name) for name in ("batch", "recipe", "kept")}
    shape = {"image": image_text(subject.plan.image), "classes": str(subject.plan.classes)}
    return turn(replace(as_cross(subject.entry), **same, **shape))


def eject(question: Question) -> Answer:
    """The network as one readable file of PyTorch."""
    subject = subject_of(question)
    return {"source": source(subject.entry, image=subject.plan.image, classes=subject.plan.classes)}


def listing(question: Question) -> Answer:
    """The network unit by unit."""
    return {"table": as_json(units(subject_of(question)))}


FUNCTIONS: Mapping[str, Callable[[Question], Answer]] = {
    "start": start,
    "turn": turn,
    "cross": cross,
    "eject": eject,
    "units": listing,
}
"""The functions by the names with which the page calls them."""


def ask(name: str, text: str) -> str:
    """The answer of a function to a question, as JSON; an error is an answer with the sentence alone."""
    try:
        data = _object(text)
        if name not in FUNCTIONS or data is None:
            raise UsageError(f"the design page asks {', '.join(FUNCTIONS)}, with a question as an object")
        answer = FUNCTIONS[name](question_of(data))
    except Exception as error:
        show_traceback(error)
        answer = {"error": plain(str(foreseen(error, doing="the design page")))}
    return json.dumps(answer, ensure_ascii=False)


def _object(text: str) -> dict[str, Any] | None:
    """The object of a JSON text; None for any other text."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


def _form(subject: Subject) -> Any:  # noqa: ANN401 - groups of controls
    if subject.texts is not None:
        return cross_form(subject.texts)
    return family_form(subject.entry.design) if subject.entry.design else ()


def _state(question: Question, subject: Subject) -> Question:
    """The question that the controls of the answer ask."""
    mode, text = ("cross", subject.entry.name) if subject.texts is not None else ("family", subject.entry.family)
    knobs = {control.key: control.value for group in _form(subject) for control in group.controls}
    return replace(question, mode=mode, text=text, knobs=knobs, changed="")


def _settings(subject: Subject) -> Answer:
    """The settings of images and training: what they are, and their choices."""
    return {
        "image": image_text(subject.plan.image),
        "classes": str(subject.plan.classes),
        "batch": str(subject.batch),
        "recipe": subject.recipe.name,
        "recipes": list(subject.recipes),
        "kept": subject.kept,
        "stores": list(get_args(Kept)),
    }
