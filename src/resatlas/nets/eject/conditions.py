"""What a unit can see of itself, and the simplest condition on it that tells some units from the others."""

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations

from resatlas.arch.plan import Unit
from resatlas.errors import DesignError
from resatlas.nets.eject.writing import Call, indented

Test = Callable[[int, Unit], bool]

TESTS: Mapping[str, tuple[str, Test]] = {
    "inputs != width": ("inputs == width", lambda _, unit: unit.input.channels != unit.output.channels),
    "stride > 1": ("stride == 1", lambda _, unit: unit.stride > 1),
    "opening": ("not opening", lambda number, _: number == 0),
}
"""Conditions on a unit, with their opposites; `opening` is the first unit of the network."""

IDENTITY = Call("nn.Identity")


def telling(units: Sequence[Unit], wanted: Sequence[bool | None]) -> str:
    """The condition that holds for the units that are wanted and for none that is not; None does not matter.

    Raises: DesignError if nothing that a unit sees of itself tells them apart.
    """
    condition = _told(units, wanted)
    if condition is None:
        raise DesignError("the units of this network differ by more than a short file can say; it cannot be ejected")
    return condition


def _told(units: Sequence[Unit], wanted: Sequence[bool | None]) -> str | None:
    if False not in wanted:
        return "True"
    if True not in wanted:
        return "False"
    for size in range(1, len(TESTS) + 1):
        for names in combinations(TESTS, size):
            held = [any(TESTS[name][1](number, unit) for name in names) for number, unit in enumerate(units)]
            told = {(yes, want) for yes, want in zip(held, wanted, strict=True) if want is not None}
            if told <= {(True, True), (False, False)}:
                return " or ".join(names)
            if told <= {(True, False), (False, True)}:
                return " and ".join(TESTS[name][0] for name in names)
    return None


def assigned(target: str, units: Sequence[Unit], choices: Sequence[Call | None]) -> list[str]:
    """Lines that give `target` what each unit chooses, by conditions; None does not matter.

    Raises: as `telling`.
    """
    options = sorted(dict.fromkeys(choice for choice in choices if choice), key=lambda call: call == IDENTITY)
    if options in ([], [IDENTITY]):
        return []
    cases, otherwise = _cases(units, choices, options)
    if not cases:
        return otherwise.after(f"self.{target} = ")
    if len(cases) == 1:
        condition, call = cases[0]
        line = f"self.{target} = {' '.join(call.after(''))} if {condition} else {' '.join(otherwise.after(''))}"
        if len(call.after("")) == 1 and len(line) <= 100:
            return [line]
    lines = [f"self.{target}: nn.Module = nn.Identity()"] if otherwise == IDENTITY else []
    for word, (condition, call) in zip(("if", *["elif"] * len(cases)), cases, strict=False):
        lines += [f"{word} {condition}:", *indented(call.after(f"self.{target} = "))]
    return lines if otherwise == IDENTITY else [*lines, "else:", *indented(otherwise.after(f"self.{target} = "))]


def _cases(
    units: Sequence[Unit], choices: Sequence[Call | None], options: Sequence[Call]
) -> tuple[list[tuple[str, Call]], Call]:
    """Conditions in an order in which each needs to tell its units from those behind it only, and what is left."""
    cases = []
    rest, open_choices = list(options), list(choices)
    while len(rest) > 1:
        conditions = (
            (_told(units, [None if each is None else each == call for each in open_choices]), call)
            for call in rest[:-1]
        )
        case = next(((condition, call) for condition, call in conditions if condition), None)
        if case is None:
            raise DesignError("the shortcuts of this network differ by more than a short file can say")
        cases.append(case)
        rest.remove(case[1])
        open_choices = [None if each == case[1] else each for each in open_choices]
    return cases, rest[0]
