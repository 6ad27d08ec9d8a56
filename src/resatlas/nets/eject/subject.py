"""A network as its file sees it: the blueprint's rules, the plan's numbers, and the words that stand for both."""

from dataclasses import dataclass
from fractions import Fraction

from resatlas.arch.blueprint import Blueprint
from resatlas.arch.ops import Conv
from resatlas.arch.plan import Chain, Plan, Stream, Unit
from resatlas.nets.eject.conditions import telling
from resatlas.nets.eject.layers import Spelling, plain


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What is ejected."""

    blueprint: Blueprint
    plan: Plan
    spelling: Spelling
    units: tuple[Unit, ...]

    @property
    def streams(self) -> tuple[Stream, ...]:
        """The first stream of every unit; the others are alike."""
        return tuple(unit.streams[0] for unit in self.units)

    @property
    def bodies(self) -> int:
        """How many bodies a unit has side by side, in each stream."""
        return self.blueprint.residual.bodies

    @property
    def several_streams(self) -> bool:
        """Whether units take and give a list of tensors."""
        return self.units[0].skip != "own"

    @property
    def joins(self) -> bool:
        """Whether the last unit makes one tensor of the streams."""
        return self.units[-1].joined

    @property
    def projects(self) -> bool:
        """Whether a fixed matrix mixes the shortcuts of the streams."""
        return self.units[0].skip == "projector" and self.omitted != "True"

    @property
    def shares(self) -> list[Fraction]:
        """The shares of the unit's width that its convolutions have, but for the whole."""
        convs = (*self.blueprint.residual.convs, *self.blueprint.residual.order.merged)
        return sorted({conv.width for conv in convs if isinstance(conv, Conv)} - {Fraction(1)})

    def width(self, share: Fraction) -> str:
        """The text of a share of the unit's width."""
        if share == 1:
            return "width"
        return "inner" if len(self.shares) == 1 else share_of_width(share)

    @property
    def omitted(self) -> str:
        """The condition under which a unit has no shortcut."""
        return telling(self.units, [stream.shortcut is None for stream in self.streams])

    def split_shortcut(self, stream: Stream) -> tuple[Chain, Chain]:
        """What brings x to the unit's shape, and what every shortcut has behind that."""
        chain = stream.shortcut or ()
        end = len(chain) - len(self.blueprint.residual.order.shortcut) if chain else 0
        return chain[:end], chain[end:]

    @property
    def suffix(self) -> Chain:
        """The functions behind every shortcut; empty if they have weights and stand in the shortcut itself."""
        longest = max((self.split_shortcut(stream)[1] for stream in self.streams), key=len)
        return longest if plain(longest) else ()


def share_of_width(share: Fraction) -> str:
    """`width // 4`, `2 * width` or `width * 5 // 16`."""
    if share.denominator == 1:
        return f"{share.numerator} * width"
    return (
        f"width // {share.denominator}" if share.numerator == 1 else f"width * {share.numerator} // {share.denominator}"
    )
