"""Whether an exported network computes what the network computes: a bound from float64, not a tolerance."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from resatlas.data.normalisation import normalised, unit
from resatlas.errors import ExportError
from resatlas.exporting.description import Parity
from resatlas.exporting.images import Pixels
from resatlas.exporting.subject import Subject, exact, single
from resatlas.exporting.targets import Dynamic, ExportOptions
from resatlas.inference.engines.sessions import Session

_TIMES = 4
"""How many times the rounding error of torch's float32 an export may have: it sums in another order."""

_SHARE = 1e-6
"""The share of the largest logit that an export may differ by in addition: about 8 units in the last place."""

_BATCHES = (1, 2, 7)
LARGER = ((0, 0), (5, 2), (1, 8))
"""Pixels by which height and width grow in the check of free sizes: odd ones too, which down-sampling rounds."""


@dataclass(frozen=True, eq=False)
class _Logits:
    """Logits of the same images in float64, in float32 by torch, and by the export."""

    exact: Float[Tensor, "n k"]
    single: Float[Tensor, "n k"]
    export: Float[Tensor, "n k"]


def parity(subject: Subject, options: ExportOptions, session: Session, pixels: Pixels, *, source: str) -> Parity:
    """The largest differences over all batches.

    Raises: ExportError if the export differs by more than the bound, or prefers another class by more than that.
    """
    reference, float32 = exact(subject, options), single(subject, options)
    logits = [
        _logits(batch, reference, float32, lambda batch: logits_of(session, batch, subject, options))
        for batch in _batches(pixels, options.free)
    ]
    exacts = torch.cat([part.exact for part in logits])
    largest = float(exacts.abs().max())
    own = _difference(torch.cat([part.single for part in logits]), exacts)
    exported = torch.cat([part.export for part in logits])
    difference = _difference(exported, exacts)
    bound = _TIMES * own + _SHARE * largest
    if not difference <= bound:  # also if it is not a number
        raise ExportError(
            f"the export differs from the network: its logits by up to {difference:.3g} from float64, where torch's "
            f"float32 differs by {own:.3g} and at most {bound:.3g} is accepted; nothing was written"
        )
    differs = exported.argmax(dim=1) != exacts.argmax(dim=1)
    if exacts.shape[1] > 1:
        best = exacts.topk(2, dim=1).values
        if bool((differs & (best[:, 0] - best[:, 1] > bound)).any()):
            raise ExportError("the export prefers another class where the margin is above the bound; nothing written")
    return Parity(
        images=len(pixels),
        source=source,
        largest_logit=largest,
        torch_fp32=own,
        export=difference,
        bound=bound,
        top1_differs=int(differs.sum()),
    )


def logits_of(session: Session, pixels: Pixels, subject: Subject, options: ExportOptions) -> Float[Tensor, "n k"]:
    """The logits of an export for pixels, which are normalised here if the graph does not do it."""
    images = pixels if options.input == "pixels" else normalised(unit(pixels), subject.preprocessing.normaliser)
    parts = images.split(1) if options.free == "none" else [images]
    return torch.cat([torch.from_numpy(session(part.contiguous().numpy())) for part in parts])


def _logits(batch: Pixels, reference: nn.Module, float32: nn.Module, export: Callable[[Pixels], Tensor]) -> _Logits:
    with torch.inference_mode():
        return _Logits(reference(batch), float32(batch), export(batch))


def _batches(pixels: Pixels, dynamic: Dynamic) -> Iterator[Pixels]:
    """The images in batches of 1, 2, 7 and the rest; with free sizes also 7 of them in three sizes."""
    if dynamic == "none":
        yield from pixels.split(1)
        return
    begin = 0
    for count in (*_BATCHES, len(pixels)):
        if begin < len(pixels):
            yield pixels[begin : begin + count]
        begin += count
    if dynamic == "size":
        yield from (grown(pixels[: _BATCHES[-1]], *more) for more in LARGER)


def grown(pixels: Pixels, down: int, right: int) -> UInt8[Tensor, "n c h2 w2"]:
    """The images continued by their first rows and columns."""
    taller = torch.cat([pixels, pixels[:, :, :down]], dim=2)
    return torch.cat([taller, taller[:, :, :, :right]], dim=3)


def _difference(logits: Float[Tensor, "n k"], exacts: Float[Tensor, "n k"]) -> float:
    """The largest difference; infinity if a logit is not finite."""
    difference = float((logits.double() - exacts).abs().max())
    return difference if math.isfinite(difference) else math.inf
