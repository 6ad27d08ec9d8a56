"""Wall-clock seconds of trainings: a cost that is shown with its spread over seeds and not used in any verdict.

They depend on the load of the machine, so that an equal or unequal number of seconds says nothing about a design.
"""

from collections.abc import Iterable, Iterator, Sequence

from resatlas.comparing.questions import Group
from resatlas.comparing.words import presentable
from resatlas.values.language import known, said, with_and

_MACHINE = ("processor", "number of cores", "OMP_NUM_THREADS", "version of torch")
"""The entries of each of a group's `machines`, in this order."""


def remark() -> str:
    """What seconds are, for the notes of a comparison."""
    return said(
        "Seconds are wall-clock times of training and depend on the load of the machine: a cost, not used in the "
        "verdicts."
    )


def seconds_in_words(group: Group) -> str:
    """Median over the seeds, with the minimum and the maximum where they differ: 12.3 (11.9 to 14.0)."""
    low, high = (f"{seconds:,.1f}" for seconds in group.seconds_spread)
    if low == high:
        return f"{group.seconds:,.1f}"
    return said("{median:,.1f} ({low} to {high})", median=group.seconds, low=low, high=high)


def why_left_out(first: Group, second: Group) -> str:
    """The reason why seconds are not used in the verdict on two groups."""
    if reason := incomparable((first, second)):
        return f"not used in the verdict: {reason}"
    return f"not used in the verdict: wall-clock times, {seconds_in_words(first)} against {seconds_in_words(second)} s"


def incomparable(groups: Sequence[Group]) -> str:
    """Why the seconds of groups cannot be compared; empty if they can."""
    differences = machine_differences(groups)
    reasons = [said("measured with {differences}", differences=differences)] if differences else []
    return said("; ").join([*reasons, *_pauses(groups)])


def _pauses(groups: Iterable[Group]) -> Iterator[str]:
    """Trainings whose process was suspended for a time, which is in their seconds."""
    for group in groups:
        for run in group.runs:
            if paused := sum(epoch.paused_seconds or 0.0 for epoch in run.timing):
                yield said(
                    "{design} with seed {seed} was paused for {paused:,.0f} s",
                    design=group.label,
                    seed=run.experiment.seed,
                    paused=paused,
                )


def machine_differences(groups: Iterable[Group]) -> str:
    """The differences, with values, between the machines on which groups were trained; empty if there are none."""
    machines = {machine for group in groups for machine in group.machines}
    if len(machines) < 2:
        return ""
    if any(len(machine) != len(_MACHINE) for machine in machines):
        return said("different machines (one not recorded)")
    values = dict(zip(_MACHINE, map(sorted, map(set, zip(*machines, strict=True))), strict=True))
    different = with_and(_with_values(name, several) for name, several in values.items() if len(several) > 1)
    return said("different {entries}", entries=different)


def _with_values(name: str, values: Sequence[str]) -> str:
    return said("{name} ({values})", name=known(name), values=" / ".join(map(presentable, values)))
