"""Pairing of the operations of a foreign module with those of our network that have the same input."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resatlas.audit.tracing import DROPOUTS, Call, Numbers, Tracing, nearly_equal, record_calls
from resatlas.nets.network import Network

_IMAGES = "the images"

_MAX_RETRIES = 32
"""How often a pairing is repeated with another choice between operations that have the same input and shape."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A place where the foreign module differs from our network, and the operation of each."""

    at: str
    foreign: str
    ours: str


class _StructureDiffers(Exception):
    """The structures differ. `describe` returns the difference, lazily, since that takes a run of our network."""

    def __init__(self, describe: Callable[[], Difference]) -> None:
        super().__init__()
        self.describe = describe


def _difference(at: str, foreign: str, ours: str) -> _StructureDiffers:
    return _StructureDiffers(lambda: Difference(at=at, foreign=foreign, ours=ours))


def best_pairing(
    foreign: nn.Module, expected: Sequence[Call], ours: Network, images: Tensor, logits: Tensor
) -> "Pairing":
    """The pairing with the most pairs; if a choice between equivalent operations failed, the others are tried."""
    best = Pairing(foreign, expected, ours, images, ())
    best.run(logits)
    choices = best.next_choices()
    for _ in range(_MAX_RETRIES):
        if not best.structure_differs or not choices:
            break
        other = Pairing(foreign, expected, ours, images, choices)
        other.run(logits)
        if not other.structure_differs or other.paired > best.paired:
            best = other
        choices = other.next_choices()
    return best


class Pairing:
    """One run of a foreign module, compared with the calls of our network.

    `minor` are differences that are not of structure, with the places of each; the run continues with our settings.
    `choices` say which of several equivalent operations is taken, one number per choice.
    """

    def __init__(
        self, foreign: nn.Module, expected: Sequence[Call], ours: Network, images: Tensor, choices: Sequence[int]
    ) -> None:
        self.foreign, self.ours, self.images = foreign, ours, images
        self.free = list(expected)
        self.drops = any(call.kind in DROPOUTS for call in expected)
        self.partners: dict[str, Call] = {}
        self.remarks: list[str] = []
        self.minor: dict[str, list[Difference]] = {}
        self._describe: Callable[[], Difference] | None = None
        self.paired = 0
        self._choices = list(choices)
        self._chosen: list[tuple[int, int]] = []  # for each choice: the index taken, and the number of options

    @property
    def structure_differs(self) -> bool:
        """Whether the structures differ."""
        return self._describe is not None

    def first_difference(self) -> Difference | None:
        """The first minor difference; without one, the difference of structure, if any."""
        minor = next((difference for places in self.minor.values() for difference in places), None)
        return minor or (self._describe() if self._describe else None)

    def run(self, logits: Tensor) -> None:
        """Run the module and compare every operation, the logits in training and evaluation mode, and the gradients."""
        self.foreign.train()
        try:
            with torch.no_grad(), Tracing(self.foreign, self._match):
                output = self.foreign(self.images.clone()).flatten(1)
            self._check_complete()
            self._check_equal("the logits", output, logits)
            self._check_evaluation_and_gradients()
        except _StructureDiffers as difference:
            self._describe = difference.describe
        except Exception as error:
            self._describe = _difference("the run", f"{type(error).__name__}: {error}", "runs").describe

    def next_choices(self) -> list[int]:
        """The choices to try next, with the last one changed that has another option; empty if all were tried."""
        while self._chosen:
            chosen, options = self._chosen.pop()
            if chosen + 1 < options:
                return [earlier for earlier, _ in self._chosen] + [chosen + 1]
        return []

    def _match(self, call: Call) -> Numbers | None:
        """Pair a call with ours of the same input, copy our weights into the module, and return our numbers."""
        if call.kind in DROPOUTS:
            self._match_dropout(call)
            return None
        if call.name in self.partners:
            raise _difference(call.name, "runs the same weights twice", "runs no weights twice")
        readers = [own for own in self.free if own.kind == call.kind and own.reads(call)]
        fitting = [own for own in readers if own.fits(call)]
        if not fitting:
            raise _StructureDiffers(partial(self._describe_difference, call, readers))
        partner = fitting[self._choose(fitting)]
        self._pair(call, partner)
        self._copy(partner, call)
        for key, number in partner.numbers.items():
            if call.numbers[key] != number:
                self._add_minor(f"{key} {call.numbers[key]:g} instead of {number:g}", call, partner)
        return partner.numbers

    def _match_dropout(self, call: Call) -> None:
        """Pair a dropout; another kind or rate, or a dropout although ours has none, is a minor difference."""
        readers = [own for own in self.free if own.kind in DROPOUTS and own.reads(call)]
        if not readers and self.drops:
            raise _StructureDiffers(partial(self._describe_difference, call, []))
        if not readers:
            self._add_minor(f"an additional {call}", call, None)
            return
        partner = next((own for own in readers if str(own) == str(call)), readers[0])
        self._pair(call, partner)
        if str(partner) != str(call):
            self._add_minor(f"{call} instead of {partner}", call, partner)

    def _pair(self, call: Call, partner: Call) -> None:
        self.free.remove(partner)
        self.partners[call.name] = partner
        self.paired += 1

    def _add_minor(self, what: str, foreign: Call, ours: Call | None) -> None:
        operation = f"{ours.name}, {ours}" if ours else f"no {foreign.kind}"
        self.minor.setdefault(what, []).append(Difference(at=foreign.name, foreign=str(foreign), ours=operation))

    def _choose(self, fitting: Sequence[Call]) -> int:
        """The index of the operation to take: 0, or, if they are at several places of a unit, given by `choices`."""
        places = list(dict.fromkeys(_place(call.name) for call in fitting))
        if len(places) == 1:
            return 0
        choice = self._choices[len(self._chosen)] if len(self._chosen) < len(self._choices) else 0
        self._chosen.append((choice, len(places)))
        return next(index for index, call in enumerate(fitting) if _place(call.name) == places[choice])

    def _copy(self, ours: Call, call: Call) -> None:
        if call.kind == "norm" and call.tensors.keys() != ours.tensors.keys():
            missing = sorted(ours.tensors.keys() - call.tensors.keys())
            raise _difference(call.name, f"a norm without {missing[0]}", f"{ours.name} has it")
        for key, tensor in call.tensors.items():
            if key in ours.tensors:
                tensor.copy_(ours.tensors[key])
            else:  # a bias that our network does not have
                tensor.zero_()
                bias = Difference(at=call.name, foreign=f"{call}, with a bias", ours=f"{ours.name}, {ours}, without")
                self.minor.setdefault(f"a bias in a {call.kind}", []).append(bias)
        if "bias" in ours.tensors and "bias" not in call.tensors:
            raise _difference(call.name, f"a {call.kind} without bias", f"{ours.name} has one")

    def _describe_difference(self, call: Call, readers: Sequence[Call]) -> Difference:
        if readers:
            return Difference(at=call.name, foreign=str(call), ours=f"{readers[0]} in {readers[0].name}")
        landmarks = self._landmarks()
        reads = (
            _source_of(call.input, landmarks)
            or f"reads a {'x'.join(map(str, call.input.shape))} tensor that ours does not have"
        )
        similar = [own for own in self.free if own.fits(call)] or [own for own in self.free if own.kind == call.kind]
        if not similar:
            return Difference(at=call.name, foreign=f"{call}, {reads}", ours=f"no further {call.kind}")
        source = _source_of(similar[0].input, landmarks) or "reads another tensor"
        ours = f"{similar[0].name}, {similar[0]}, {source}"
        return Difference(at=call.name, foreign=f"{call}, {reads}", ours=ours)

    def _landmarks(self) -> Mapping[str, Tensor]:
        """The tensors of our network by path, those of the outer modules first."""
        state = {key: tensor.clone() for key, tensor in self.ours.state_dict().items()}
        with torch.no_grad(), Tracing(self.ours, lambda _: None):
            tensors = self.ours.trace(self.images)
        self.ours.load_state_dict(state)
        return {_IMAGES: self.images, **dict(sorted(tensors.items(), key=lambda item: item[0].count(".")))}

    def _check_complete(self) -> None:
        """Check that all our operations are paired; a module without any dropout is a minor difference."""
        left = [call for call in self.free if call.kind not in DROPOUTS or self._has_dropout()]
        if left:
            raise _difference("the end", f"never runs {left[0]}", f"{left[0].name}, the first of {len(left)}")
        for call in self.free:
            at = f"{call.name} of ours"
            self.minor.setdefault(f"no {call}", []).append(Difference(at=at, foreign="no dropout", ours=str(call)))

    def _has_dropout(self) -> bool:
        return any(call.kind in DROPOUTS for call in self.partners.values())

    def _check_evaluation_and_gradients(self) -> None:
        """Compare the logits in evaluation mode, which depend on the running statistics, and the gradients."""
        _reset_statistics(self.ours)
        record_calls(self.ours, self.images)  # the foreign norms have seen one batch; ours must see one, too
        evaluated, gradients = zip(*(self._gradients(module) for module in (self.foreign, self.ours)), strict=True)
        self._check_equal("the logits in evaluation mode", *evaluated)
        theirs, expected = gradients
        learned = {name for name, parameter in self.foreign.named_parameters() if parameter.requires_grad}
        pairs = {
            f"{name}.{leaf}": f"{ours.name}.{leaf}"
            for name, ours in self.partners.items()
            for leaf in ("weight", "bias")
        }
        for name, path in {**pairs, _IMAGES: _IMAGES}.items():
            if path not in expected:
                continue
            if name in theirs:
                self._check_equal(f"the gradient of {name}", theirs[name].flatten(), expected[path].flatten())
            elif name in learned or name == _IMAGES:
                raise _difference(f"the gradient of {name}", "none", f"one for {path}")
        for name in learned - pairs.keys():
            if name in theirs:
                what = f"a parameter of shape {tuple(theirs[name].shape)}, which the logits depend on"
                raise _difference(name, what, "no such parameter")
        unused = [name for name, _ in self.foreign.named_parameters() if name not in {*theirs, *pairs}]
        if unused:
            self.remarks.append(f"{len(unused)} parameters are never used, the first is {unused[0]}")

    def _gradients(self, module: nn.Module) -> tuple[Tensor, dict[str, Tensor]]:
        """The logits in evaluation mode, and the gradient of the images and of each parameter that they depend on."""
        images = self.images.clone().requires_grad_()
        with Tracing(module, self._match_in_evaluation) if module is self.foreign else nullcontext():
            logits = module.eval()(images.clone()).flatten(1)  # a copy, since the module may change it in place
        parameters = {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}
        leaves = parameters | {_IMAGES: images}
        gradients = torch.autograd.grad(logits.square().sum(), list(leaves.values()), allow_unused=True)
        return logits, {name: value for name, value in zip(leaves, gradients, strict=True) if value is not None}

    def _match_in_evaluation(self, call: Call) -> Numbers | None:
        """Our numbers for a paired operation; dropout in evaluation mode is a difference."""
        if call.kind in DROPOUTS:
            raise _difference(call.name, f"{call}, in evaluation mode too", "none in evaluation")
        return self.partners[call.name].numbers if call.name in self.partners else None

    def _check_equal(self, what: str, foreign: Tensor, ours: Tensor) -> None:
        if nearly_equal(foreign, ours):
            return
        normalised = (
            {"log-softmax of ours": F.log_softmax(ours, 1), "softmax of ours": F.softmax(ours, 1)}
            if ours.dim() == 2
            else {}
        )
        name = next((name for name, tensor in normalised.items() if nearly_equal(foreign, tensor)), "")
        shapes = "" if foreign.shape == ours.shape else f" of shape {tuple(foreign.shape)}"
        raise _difference(what, name or f"other values{shapes}", f"values of shape {tuple(ours.shape)}")


def _reset_statistics(network: Network) -> None:
    """Reset the running statistics of all norms."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()


def _place(name: str) -> str:
    """The path without the numbers of equal parts: streams.1.body.conv1 and streams.0.body.conv1 are one place."""
    words = name.split(".")
    return ".".join(
        word
        for before, word in zip(["", *words], words, strict=False)
        if before not in ("streams", "bodies", "stems", "heads")
    )


def _source_of(tensor: Tensor, landmarks: Mapping[str, Tensor]) -> str:
    """'reads stages.0.2' if the tensor is the output of this module, 'reads relu of …' if its relu; else ''."""
    for path, landmark in landmarks.items():
        if nearly_equal(tensor, landmark):
            return f"reads {path}"
    for path, landmark in landmarks.items():
        if nearly_equal(tensor, F.relu(landmark)):
            return f"reads relu of {path}"
    return ""
