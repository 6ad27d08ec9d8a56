"""The design that a plan belongs to, which determines its papers."""

from dataclasses import replace

from resatlas.arch.plan import Plan
from resatlas.designs.catalog import Entry, named
from resatlas.errors import UsageError
from resatlas.runs.experiment import Experiment


def entry_of(experiment: Experiment, plan: Plan) -> Entry | None:
    """The entry of an experiment's design; None if it no longer gives the plan, for example if its file has changed."""
    try:
        entry = experiment.entry
    except UsageError:
        return None
    return entry if _gives_plan(entry, plan) else None


def entry_for(plan: Plan) -> Entry | None:
    """The first entry of the catalogue that gives a plan, with any images and classes."""
    units = tuple(map(len, plan.stages))
    candidates = (entry for entry in named().values() if entry.blueprint.units == units)
    return next((entry for entry in candidates if _gives_plan(entry, plan)), None)


def _gives_plan(entry: Entry, plan: Plan) -> bool:
    """Whether a plan is that of an entry, apart from the initial weights."""
    try:
        own = entry.plan(image=plan.image, classes=plan.classes)
    except UsageError:  # the images are too small for the entry
        return False
    return replace(own, initial=plan.initial) == plan
