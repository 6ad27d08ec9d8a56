"""Wall-clock seconds of trainings: a cost that is shown with its spread over seeds, and left out of every verdict.

They vary with whatever else the machine does, so an equal or unequal number of seconds says nothing of a design.
"""

from collections.abc import Iterable, Sequence

from resatlas.comparing.questions import Group
from resatlas.comparing.words import listed, presentable

MACHINE = ("processor", "number of cores", "OMP_NUM_THREADS", "version of torch")
"""What a group's `machines` tell of each of its runs, in this order."""

REMARK = "Seconds are wall-clock times of training, with whatever ran beside: a cost, left out of the verdicts."


def in_words(group: Group) -> str:
    """The median over the seeds, with the least and the greatest where they differ: 12.3 (11.9 to 14.0)."""
    low, high = (f"{each:,.1f}" for each in group.seconds_spread)
    return f"{group.seconds:,.1f}" + (f" ({low} to {high})" if low != high else "")


def left_out(first: Group, second: Group) -> str:
    """Why seconds have no part in the verdict on two groups."""
    if different := differences((first, second)):
        return f"left out of the verdict: taken with {different}"
    return f"left out of the verdict: wall-clock times, {in_words(first)} against {in_words(second)} s"


def differences(groups: Iterable[Group]) -> str:
    """What differs between the machines on which some groups were trained, with its values; empty if nothing does."""
    machines = {machine for group in groups for machine in group.machines}
    if len(machines) < 2:
        return ""
    if any(len(machine) != len(MACHINE) for machine in machines):
        return "different machines (one not recorded)"
    values = dict(zip(MACHINE, map(sorted, map(set, zip(*machines, strict=True))), strict=True))
    return f"different {listed(_named(name, found) for name, found in values.items() if len(found) > 1)}"


def _named(name: str, values: Sequence[str]) -> str:
    return f"{name} ({' / '.join(map(presentable, values))})"
