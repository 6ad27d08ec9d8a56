"""Which design a plan is of, and so which papers it uses."""

from dataclasses import replace

from resatlas.arch.plan import Plan
from resatlas.designs.catalog import Entry, named
from resatlas.errors import UsageError
from resatlas.runs.experiment import Experiment


def resolved(experiment: Experiment, plan: Plan) -> Entry | None:
    """The entry of an experiment's design, if it still means the plan; a file may have changed or be gone."""
    try:
        entry = experiment.entry
    except UsageError:
        return None
    return entry if fits(entry, plan) else None


def recognised(plan: Plan) -> Entry | None:
    """The first entry of the catalogue whose network a plan is, for whatever images and classes."""
    units = tuple(map(len, plan.stages))
    alike = (entry for entry in named().values() if entry.blueprint.units == units)
    return next((entry for entry in alike if fits(entry, plan)), None)


def fits(entry: Entry, plan: Plan) -> bool:
    """Whether a plan is an entry's network, wherever its weights start."""
    try:
        own = entry.plan(image=plan.image, classes=plan.classes)
    except UsageError:  # the plan's images are too small for it
        return False
    return replace(own, initial=plan.initial) == plan
