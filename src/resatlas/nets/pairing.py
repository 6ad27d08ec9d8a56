"""One run of a foreign module beside ours: each of its operations finds the one of ours that reads the same."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resatlas.nets.calls import Call, Listening, calls, same
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
    def __init__(self, difference: Difference) -> None:
        super().__init__(difference.at)
        self.difference = difference


def paired(foreign: nn.Module, expected: Sequence[Call], ours: Network, images: Tensor, logits: Tensor) -> "Pairing":
    """The pairing that came farthest; where a choice between equals led to a difference the other way is tried."""
    best = Pairing(foreign, expected, ours, images, ())
    best.run(logits)
    turns = best.next_turns()
    for _ in range(MOST_TURNS):
        if best.difference is None or not turns:
            break
        other = Pairing(foreign, expected, ours, images, turns)
        other.run(logits)
        if other.difference is None or other.paired > best.paired:
            best = other
        turns = other.next_turns()
    return best


class Pairing:
    """One run of a foreign module beside the calls of ours."""

    def __init__(
        self, foreign: nn.Module, expected: Sequence[Call], ours: Network, images: Tensor, turns: Sequence[int]
    ) -> None:
        self.foreign, self.ours, self.images = foreign, ours, images
        self.free = list(expected)
        self.names: dict[str, str] = {}
        self.remarks: list[str] = []
        self.biased: list[str] = []
        self.difference: Difference | None = None
        self.paired = 0
        self._turns = list(turns)
        self._taken: list[tuple[int, int]] = []  # at each choice: the one taken, and how many there were

    def run(self, logits: Tensor) -> None:
        """Run the module and compare: every operation, the logits, what evaluation gives, and the gradient."""
        self.foreign.train()
        try:
            with torch.no_grad(), Listening(self.foreign, self._heard):
                given = self.foreign(self.images).flatten(1)
            self._all_heard()
            self._equal("the logits", given, logits)
            self._behaviour()
            self._no_biases()
        except _Parted as parted:
            self.difference = parted.difference
        except Exception as error:
            self.difference = Difference(at="the run", foreign=f"{type(error).__name__}: {error}", ours="runs")

    def next_turns(self) -> list[int]:
        """The choices to try next: the last one that has another way; none if all were tried."""
        while self._taken:
            taken, ways = self._taken.pop()
            if taken + 1 < ways:
                return [each for each, _ in self._taken] + [taken + 1]
        return []

    def _heard(self, call: Call) -> None:
        if call.name in self.names and call.kind != "dropout":
            raise _Parted(Difference(at=call.name, foreign="runs the same weights twice", ours="runs no weights twice"))
        readers = [each for each in self.free if each.kind == call.kind and each.reads(call)]
        fitting = [each for each in readers if each.fits(call)]
        if not fitting:
            raise _Parted(self._part(call, readers))
        partner = fitting[self._choose(fitting)]
        self.free.remove(partner)
        self.names[call.name] = partner.name
        self.paired += 1
        self._copy(partner, call)

    def _choose(self, fitting: Sequence[Call]) -> int:
        """The first; where others stand elsewhere in the unit, the one whose turn it is."""
        places = list(dict.fromkeys(_place(each.name) for each in fitting))
        if len(places) == 1:
            return 0
        turn = self._turns[len(self._taken)] if len(self._taken) < len(self._turns) else 0
        self._taken.append((turn, len(places)))
        return next(index for index, each in enumerate(fitting) if _place(each.name) == places[turn])

    def _copy(self, ours: Call, call: Call) -> None:
        if call.kind == "norm" and call.tensors.keys() != ours.tensors.keys():
            missing = sorted(ours.tensors.keys() - call.tensors.keys())
            raise _Parted(Difference(at=call.name, foreign=f"a norm without {missing[0]}", ours=f"{ours.name} has it"))
        for key, tensor in call.tensors.items():
            if key in ours.tensors:
                tensor.copy_(ours.tensors[key])
            else:  # a bias that ours has not
                tensor.zero_()
                self.biased.append(call.name)
        if "bias" in ours.tensors and "bias" not in call.tensors:
            raise _Parted(Difference(at=call.name, foreign=f"a {call.kind} without bias", ours=f"{ours.name} has one"))

    def _part(self, call: Call, readers: Sequence[Call]) -> Difference:
        if readers:
            return Difference(at=call.name, foreign=str(call), ours=f"{readers[0]} in {readers[0].name}")
        landmarks = self._landmarks()
        reads = (
            _known(call.given, landmarks)
            or f"reads {'x'.join(map(str, call.given.shape))} values that ours has nowhere"
        )
        alike = [each for each in self.free if each.fits(call)] or [
            each for each in self.free if each.kind == call.kind
        ]
        if not alike:
            return Difference(at=call.name, foreign=f"{call}, {reads}", ours=f"no further {call.kind}")
        return Difference(
            at=call.name,
            foreign=f"{call}, {reads}",
            ours=f"{alike[0].name}, {alike[0]}, {_known(alike[0].given, landmarks) or 'reads another tensor'}",
        )

    def _landmarks(self) -> Mapping[str, Tensor]:
        state = {key: tensor.clone() for key, tensor in self.ours.state_dict().items()}
        with torch.no_grad(), Listening(self.ours, lambda _: None):
            found = self.ours.trace(self.images)
        self.ours.load_state_dict(state)
        return {IMAGES: self.images, **dict(sorted(found.items(), key=lambda each: each[0].count(".")))}

    def _all_heard(self) -> None:
        if self.free:
            left = self.free[0]
            raise _Parted(
                Difference(at="the end", foreign=f"never runs {left}", ours=f"{left.name} of {len(self.free)} more")
            )

    def _behaviour(self) -> None:
        """Running statistics after the one step, and gradients: evaluation and training from here on are the same."""
        calls(self.ours, self.images)  # the step that the foreign norms have taken
        evaluated, gradients = zip(*(self._gradients(module) for module in (self.foreign, self.ours)), strict=True)
        self._equal("the logits in evaluation mode", *evaluated)
        theirs, ours = gradients
        learnt = {name for name, parameter in self.foreign.named_parameters() if parameter.requires_grad}
        paired = {
            f"{name}.{leaf}": f"{path}.{leaf}" for name, path in self.names.items() for leaf in ("weight", "bias")
        }
        for name, path in {**paired, IMAGES: IMAGES}.items():
            if path not in ours:
                continue
            if name in theirs:
                self._equal(f"the gradient of {name}", theirs[name].flatten(), ours[path].flatten())
            elif name in learnt or name == IMAGES:
                raise _Parted(Difference(at=f"the gradient of {name}", foreign="none", ours=f"one for {path}"))
        for name in learnt - paired.keys():
            if name in theirs:
                what = f"a parameter of shape {tuple(theirs[name].shape)}, which the logits depend on"
                raise _Parted(Difference(at=name, foreign=what, ours="no such parameter"))
        idle = [name for name, _ in self.foreign.named_parameters() if name not in {*theirs, *paired}]
        if idle:
            self.remarks.append(f"{len(idle)} parameters are never used, {idle[0]} the first")

    def _gradients(self, module: nn.Module) -> tuple[Tensor, dict[str, Tensor]]:
        """The logits in evaluation mode, and the gradient of the images and of each parameter that they depend on."""
        images = self.images.clone().requires_grad_()
        logits = module.eval()(images).flatten(1)
        leaves = {name: each for name, each in module.named_parameters() if each.requires_grad} | {IMAGES: images}
        found = torch.autograd.grad(logits.square().sum(), list(leaves.values()), allow_unused=True)
        return logits, {name: each for name, each in zip(leaves, found, strict=True) if each is not None}

    def _no_biases(self) -> None:
        if self.biased:
            more = f" and {len(self.biased) - 1} more" if len(self.biased) > 1 else ""
            ours = "no bias: it does nothing before a norm, but is a parameter that the paper's network has not"
            raise _Parted(Difference(at=f"{self.biased[0]}{more}", foreign="a convolution with bias", ours=ours))

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
        raise _Parted(Difference(at=what, foreign=told or f"other values{shapes}", ours=f"shape {tuple(ours.shape)}"))


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
