"""One run of a foreign module beside ours: each of its operations finds the one of ours that reads the same."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resatlas.audit.tracing import DROPOUTS, Call, Numbers, Tracing, calls, same
from resatlas.nets.network import Network

IMAGES = "the images"

MOST_TURNS = 32
"""How often a pairing may be tried again where two of our operations read the same and fit the same."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Where the foreign module first parts from ours, and what stands there in each."""

    at: str
    foreign: str
    ours: str


class _Parted(Exception):
    """The structures part; what stands there is only described on request, which takes a run of ours."""

    def __init__(self, describe: Callable[[], Difference]) -> None:
        super().__init__()
        self.describe = describe


def _parted(at: str, foreign: str, ours: str) -> _Parted:
    return _Parted(lambda: Difference(at=at, foreign=foreign, ours=ours))


def paired(foreign: nn.Module, expected: Sequence[Call], ours: Network, images: Tensor, logits: Tensor) -> "Pairing":
    """The pairing that came farthest; where a choice between equals led to a difference the other way is tried."""
    best = Pairing(foreign, expected, ours, images, ())
    best.run(logits)
    turns = best.next_turns()
    for _ in range(MOST_TURNS):
        if not best.parted or not turns:
            break
        other = Pairing(foreign, expected, ours, images, turns)
        other.run(logits)
        if not other.parted or other.paired > best.paired:
            best = other
        turns = other.next_turns()
    return best


class Pairing:
    """One run of a foreign module beside the calls of ours.

    `asides` are differences beside the structure, with which the run continues as ours: what each is, and where.
    """

    def __init__(
        self, foreign: nn.Module, expected: Sequence[Call], ours: Network, images: Tensor, turns: Sequence[int]
    ) -> None:
        self.foreign, self.ours, self.images = foreign, ours, images
        self.free = list(expected)
        self.drops = any(call.kind in DROPOUTS for call in expected)
        self.partners: dict[str, Call] = {}
        self.remarks: list[str] = []
        self.asides: dict[str, list[Difference]] = {}
        self._describe: Callable[[], Difference] | None = None
        self.paired = 0
        self._turns = list(turns)
        self._taken: list[tuple[int, int]] = []  # at each choice: the one taken, and how many there were

    @property
    def parted(self) -> bool:
        """Whether the structures part."""
        return self._describe is not None

    def first_difference(self) -> Difference | None:
        """The first difference, be it of the structure or beside it."""
        aside = next((each for places in self.asides.values() for each in places), None)
        return aside or (self._describe() if self._describe else None)

    def run(self, logits: Tensor) -> None:
        """Run the module and compare: every operation, the logits, what evaluation gives, and the gradient."""
        self.foreign.train()
        try:
            with torch.no_grad(), Tracing(self.foreign, self._match):
                given = self.foreign(self.images.clone()).flatten(1)
            self._check_complete()
            self._equal("the logits", given, logits)
            self._behaviour()
        except _Parted as parted:
            self._describe = parted.describe
        except Exception as error:
            self._describe = _parted("the run", f"{type(error).__name__}: {error}", "runs").describe

    def next_turns(self) -> list[int]:
        """The choices to try next: the last one that has another way; none if all were tried."""
        while self._taken:
            taken, ways = self._taken.pop()
            if taken + 1 < ways:
                return [each for each, _ in self._taken] + [taken + 1]
        return []

    def _match(self, call: Call) -> Numbers | None:
        """Our numbers for a call, once ours that reads the same is found and its weights are copied over."""
        if call.kind in DROPOUTS:
            self._dropped(call)
            return None
        if call.name in self.partners:
            raise _parted(call.name, "runs the same weights twice", "runs no weights twice")
        readers = [own for own in self.free if own.kind == call.kind and own.reads(call)]
        fitting = [own for own in readers if own.fits(call)]
        if not fitting:
            raise _Parted(partial(self._part, call, readers))
        partner = fitting[self._choose(fitting)]
        self._pair(call, partner)
        self._copy(partner, call)
        for key, number in partner.numbers.items():
            if call.numbers[key] != number:
                self._aside(f"{key} {call.numbers[key]:g} in place of {number:g}", call, partner)
        return partner.numbers

    def _dropped(self, call: Call) -> None:
        """A dropout of another kind or rate than ours, or where ours has none at all, is an aside."""
        readers = [own for own in self.free if own.kind in DROPOUTS and own.reads(call)]
        if not readers and self.drops:
            raise _Parted(partial(self._part, call, []))
        if not readers:
            self._aside(f"{call} where ours has none", call, None)
            return
        partner = next((own for own in readers if str(own) == str(call)), readers[0])
        self._pair(call, partner)
        if str(partner) != str(call):
            self._aside(f"{call} in place of {partner}", call, partner)

    def _pair(self, call: Call, partner: Call) -> None:
        self.free.remove(partner)
        self.partners[call.name] = partner
        self.paired += 1

    def _aside(self, what: str, foreign: Call, ours: Call | None) -> None:
        told = f"{ours.name}, {ours}" if ours else f"no {foreign.kind}"
        self.asides.setdefault(what, []).append(Difference(at=foreign.name, foreign=str(foreign), ours=told))

    def _choose(self, fitting: Sequence[Call]) -> int:
        """The first; where others stand elsewhere in the unit, the one whose turn it is."""
        places = list(dict.fromkeys(_place(call.name) for call in fitting))
        if len(places) == 1:
            return 0
        turn = self._turns[len(self._taken)] if len(self._taken) < len(self._turns) else 0
        self._taken.append((turn, len(places)))
        return next(index for index, call in enumerate(fitting) if _place(call.name) == places[turn])

    def _copy(self, ours: Call, call: Call) -> None:
        if call.kind == "norm" and call.tensors.keys() != ours.tensors.keys():
            missing = sorted(ours.tensors.keys() - call.tensors.keys())
            raise _parted(call.name, f"a norm without {missing[0]}", f"{ours.name} has it")
        for key, tensor in call.tensors.items():
            if key in ours.tensors:
                tensor.copy_(ours.tensors[key])
            else:  # a bias that ours has not
                tensor.zero_()
                told = Difference(at=call.name, foreign=f"{call}, with a bias", ours=f"{ours.name}, {ours}, without")
                self.asides.setdefault(f"a bias in a {call.kind}", []).append(told)
        if "bias" in ours.tensors and "bias" not in call.tensors:
            raise _parted(call.name, f"a {call.kind} without bias", f"{ours.name} has one")

    def _part(self, call: Call, readers: Sequence[Call]) -> Difference:
        if readers:
            return Difference(at=call.name, foreign=str(call), ours=f"{readers[0]} in {readers[0].name}")
        landmarks = self._landmarks()
        reads = (
            _known(call.given, landmarks)
            or f"reads {'x'.join(map(str, call.given.shape))} values that ours has nowhere"
        )
        alike = [own for own in self.free if own.fits(call)] or [own for own in self.free if own.kind == call.kind]
        if not alike:
            return Difference(at=call.name, foreign=f"{call}, {reads}", ours=f"no further {call.kind}")
        return Difference(
            at=call.name,
            foreign=f"{call}, {reads}",
            ours=f"{alike[0].name}, {alike[0]}, {_known(alike[0].given, landmarks) or 'reads another tensor'}",
        )

    def _landmarks(self) -> Mapping[str, Tensor]:
        state = {key: tensor.clone() for key, tensor in self.ours.state_dict().items()}
        with torch.no_grad(), Tracing(self.ours, lambda _: None):
            found = self.ours.trace(self.images)
        self.ours.load_state_dict(state)
        return {IMAGES: self.images, **dict(sorted(found.items(), key=lambda each: each[0].count(".")))}

    def _check_complete(self) -> None:
        """Ours ran nothing else; only dropout may be missing altogether, which is an aside."""
        left = [call for call in self.free if call.kind not in DROPOUTS or self._drops_somewhere()]
        if left:
            raise _parted("the end", f"never runs {left[0]}", f"{left[0].name} of {len(left)} more")
        for call in self.free:
            at = f"{call.name} of ours"
            self.asides.setdefault(f"no {call}", []).append(Difference(at=at, foreign="no dropout", ours=str(call)))

    def _drops_somewhere(self) -> bool:
        return any(call.kind in DROPOUTS for call in self.partners.values())

    def _behaviour(self) -> None:
        """Running statistics after the one step, and gradients: evaluation and training from here on are the same."""
        _forget(self.ours)
        calls(self.ours, self.images)  # the step that the foreign norms have taken
        evaluated, gradients = zip(*(self._gradients(module) for module in (self.foreign, self.ours)), strict=True)
        self._equal("the logits in evaluation mode", *evaluated)
        theirs, expected = gradients
        learnt = {name for name, parameter in self.foreign.named_parameters() if parameter.requires_grad}
        paired = {
            f"{name}.{leaf}": f"{ours.name}.{leaf}"
            for name, ours in self.partners.items()
            for leaf in ("weight", "bias")
        }
        for name, path in {**paired, IMAGES: IMAGES}.items():
            if path not in expected:
                continue
            if name in theirs:
                self._equal(f"the gradient of {name}", theirs[name].flatten(), expected[path].flatten())
            elif name in learnt or name == IMAGES:
                raise _parted(f"the gradient of {name}", "none", f"one for {path}")
        for name in learnt - paired.keys():
            if name in theirs:
                what = f"a parameter of shape {tuple(theirs[name].shape)}, which the logits depend on"
                raise _parted(name, what, "no such parameter")
        idle = [name for name, _ in self.foreign.named_parameters() if name not in {*theirs, *paired}]
        if idle:
            self.remarks.append(f"{len(idle)} parameters are never used, {idle[0]} the first")

    def _gradients(self, module: nn.Module) -> tuple[Tensor, dict[str, Tensor]]:
        """The logits in evaluation mode, and the gradient of the images and of each parameter that they depend on."""
        images = self.images.clone().requires_grad_()
        with Tracing(module, self._evaluated) if module is self.foreign else nullcontext():
            logits = module.eval()(images.clone()).flatten(1)  # a copy, which may be changed in place
        leaves = {name: each for name, each in module.named_parameters() if each.requires_grad} | {IMAGES: images}
        found = torch.autograd.grad(logits.square().sum(), list(leaves.values()), allow_unused=True)
        return logits, {name: each for name, each in zip(leaves, found, strict=True) if each is not None}

    def _evaluated(self, call: Call) -> Numbers | None:
        """Our numbers for what was paired; dropout has no place here."""
        if call.kind in DROPOUTS:
            raise _parted(call.name, f"{call}, in evaluation mode too", "none in evaluation")
        return self.partners[call.name].numbers if call.name in self.partners else None

    def _equal(self, what: str, foreign: Tensor, ours: Tensor) -> None:
        if same(foreign, ours):
            return
        spelt = (
            {"log-softmax of ours": F.log_softmax(ours, 1), "softmax of ours": F.softmax(ours, 1)}
            if ours.dim() == 2
            else {}
        )
        told = next((words for words, tensor in spelt.items() if same(foreign, tensor)), "")
        shapes = "" if foreign.shape == ours.shape else f" of shape {tuple(foreign.shape)}"
        raise _parted(what, told or f"other values{shapes}", f"shape {tuple(ours.shape)}")


def _forget(network: Network) -> None:
    """Set what the norms have seen back to nothing."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()


def _place(name: str) -> str:
    """The path without what only counts equals: streams.1.body.conv1 and streams.0.body.conv1 are one place."""
    words = name.split(".")
    return ".".join(
        word
        for before, word in zip(["", *words], words, strict=False)
        if before not in ("streams", "bodies", "stems", "heads")
    )


def _known(tensor: Tensor, landmarks: Mapping[str, Tensor]) -> str:
    """'reads stages.0.2' if that is what the tensor is, 'reads relu of …' if its relu; else nothing."""
    for path, landmark in landmarks.items():
        if same(tensor, landmark):
            return f"reads {path}"
    for path, landmark in landmarks.items():
        if same(tensor, F.relu(landmark)):
            return f"reads relu of {path}"
    return ""
