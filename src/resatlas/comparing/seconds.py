"""Wall-clock seconds of trainings: a cost that is shown with its spread over seeds and not used in any verdict.

They depend on the load of the machine, so that an equal or unequal number of seconds says nothing about a design.
"""

from collections.abc import Iterable, Iterator, Sequence

from resatlas.comparing.questions import Group
from resatlas.comparing.words import presentable, with_and

_MACHINE = ("processor", "number of cores", "OMP_NUM_THREADS", "version of torch")
"""The entries of each of a group's `machines`, in this order."""

REMARK = (
    "Seconds are wall-clock times of training and depend on the load of the machine: a cost, not used in the verdicts."
)


def seconds_in_words(group: Group) -> str:
    """Median over the seeds, with the minimum and the maximum where they differ: 12.3 (11.9 to 14.0)."""
    low, high = (f"{seconds:,.1f}" for seconds in group.seconds_spread)
    return f"{group.seconds:,.1f}" + (f" ({low} to {high})" if low != high else "")


def why_left_out(first: Group, second: Group) -> str:
    """The reason why seconds are not used in the verdict on two groups."""
    if reason := incomparable((first, second)):
        return f"not used in the verdict: {reason}"
    return f"not used in the verdict: wall-clock times, {seconds_in_words(first)} against {seconds_in_words(second)} s"


def incomparable(groups: Sequence[Group]) -> str:
    """Why the seconds of groups cannot be compared; empty if they can."""
    reasons = [f"measured with {differences}"] if (differences := machine_differences(groups)) else []
    return "; ".join([*reasons, *_pauses(groups)])


def _pauses(groups: Iterable[Group]) -> Iterator[str]:
    """Trainings whose process was suspended for a time, which is in their seconds."""
    for group in groups:
        for run in group.runs:
            if paused := sum(epoch.paused_seconds or 0.0 for epoch in run.timing):
                yield f"{group.label} with seed {run.experiment.seed} was paused for {paused:,.0f} s"


def machine_differences(groups: Iterable[Group]) -> str:
    """The differences, with values, between the machines on which groups were trained; empty if there are none."""
    machines = {machine for group in groups for machine in group.machines}
    if len(machines) < 2:
        return ""
    if any(len(machine) != len(_MACHINE) for machine in machines):
        return "different machines (one not recorded)"
    values = dict(zip(_MACHINE, map(sorted, map(set, zip(*machines, strict=True))), strict=True))
    return f"different {with_and(_with_values(name, several) for name, several in values.items() if len(several) > 1)}"


def _with_values(name: str, values: Sequence[str]) -> str:
    return f"{name} ({' / '.join(map(presentable, values))})"
