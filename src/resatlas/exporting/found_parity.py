"""Whether an exported detector or segmenter finds what the network finds: bounds from float64."""

import copy
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor, nn

from resatlas.data.normalisation import Affine, normalised
from resatlas.errors import ExportError
from resatlas.exporting.found_description import Differences, FoundParity, Unpaired
from resatlas.exporting.images import Pixels
from resatlas.nets.detector import Detector
from resatlas.nets.segmenter import Segmenter

Outputs = Sequence[Tensor]
"""Boxes, labels, scores and, if there are any, masks; or logits alone."""

_TIMES, _SHARE = 4, 1e-5
_NEAR = 0.5  # pixels between the corners of two boxes of one object
_ALIKE = 0.01  # of scores and of masks from 0 to 1
_RARE = 1000


def outputs_of(module: Detector | Segmenter, normaliser: Affine, dtype: torch.dtype) -> Callable[[Pixels], Outputs]:
    """What the module itself gives for the pixels of an image, in float32 or float64."""
    own = copy.deepcopy(module).to(dtype).eval()
    by = Affine(mean=normaliser.mean.to(dtype), std=normaliser.std.to(dtype))

    @torch.inference_mode()
    def run(pixels: Pixels) -> Outputs:
        images = normalised(pixels.to(dtype) / 255, by)
        if isinstance(own, Segmenter):
            return (_tensor(own(images)),)
        [found] = own(images)
        return tuple(found[name] for name in ("boxes", "labels", "scores", "masks") if name in found)

    return run


def _tensor(output: object) -> Tensor:
    assert isinstance(output, Tensor)  # noqa: S101 - without classes of pixels a segmenter returns logits
    return output


def found_parity(
    module: nn.Module,
    normaliser: Affine,
    export: Callable[[Pixels], Outputs],
    images: Iterable[Pixels],
    *,
    source: str,
) -> FoundParity:
    """The largest differences over all images, each of shape (1, c, h, w).

    Raises: ExportError if the export differs by more than a bound, or in more objects or pixels than accepted.
    """
    assert isinstance(module, Detector | Segmenter)  # noqa: S101 - as the caller makes it
    exact, single = (outputs_of(module, normaliser, dtype) for dtype in (torch.float64, torch.float32))
    compare = _of_objects if isinstance(module, Detector) else _of_pixels
    rows: list[tuple[_Row, _Row, dict[str, float]]] = []
    for pixels in images:
        reference = exact(pixels)
        own, exported = compare(reference, single(pixels)), compare(reference, export(pixels))
        rows.append((own, exported, _largest(reference, pixels)))
    names = dict.fromkeys(name for row in rows for name in row[2])
    differences = tuple(
        _differences(
            name,
            max(row[0][0].get(name, 0.0) for row in rows),
            max(row[1][0].get(name, 0.0) for row in rows),
            max(row[2][name] for row in rows),
        )
        for name in names
    )
    total, alone = sum(row[0][2] for row in rows), sum(row[0][1] for row in rows)
    unpaired = Unpaired(
        of=total,
        torch_fp32=alone,
        export=sum(row[1][1] for row in rows),
        accepted=_TIMES * alone + max(1, total // _RARE),
    )
    parity = FoundParity(images=len(rows), source=source, differences=differences, unpaired=unpaired)
    _check(parity)
    return parity


def _differences(of: str, own: float, export: float, largest: float) -> Differences:
    return Differences(of=of, torch_fp32=own, export=export, bound=_TIMES * own + _SHARE * largest)


def _check(parity: FoundParity) -> None:
    for own in parity.differences:
        if not own.export <= own.bound:  # also if it is not a number
            raise ExportError(
                f"the export differs from the network: its {own.of} by up to {own.export:.3g} from float64, where "
                f"torch's float32 differs by {own.torch_fp32:.3g} and at most {own.bound:.3g} is accepted; nothing was "
                "written"
            )
    rest = parity.unpaired
    if rest.export > rest.accepted:
        raise ExportError(
            f"the export differs from the network in {rest.export:,} of {rest.of:,} objects or pixels, where at most "
            f"{rest.accepted:,} are accepted; nothing was written"
        )


_Row = tuple[dict[str, float], int, int]
"""(largest differences of pairs by name, unpaired ones of both sides, all of the reference)."""


def _of_pixels(reference: Outputs, other: Outputs) -> _Row:
    [exact], [logits] = reference, other
    differing = exact.argmax(dim=1) != logits.argmax(dim=1)
    return {"logits": float((exact - logits.double()).abs().max())}, int(differing.sum()), differing.numel()


def _of_objects(reference: Outputs, other: Outputs) -> _Row:
    """Each object of the reference, the best first, is paired with the nearest free one of its class."""
    names = ("boxes", "scores", "masks")
    boxes, labels, *_ = reference
    largest = dict.fromkeys(names[: len(reference) - 1], 0.0)
    values = [(reference[k], other[k].double()) for k in (0, 2, 3)[: len(largest)]]
    free, pairs = torch.ones(len(other[0]), dtype=torch.bool), 0
    for k in range(len(boxes)):
        [places] = torch.where(free & (other[1] == labels[k]))
        if not len(places):
            continue
        place = int(places[(values[0][1][places] - boxes[k]).abs().amax(dim=1).argmin()])
        apart = [float((exact[k] - found[place]).abs().max()) for exact, found in values]
        if apart[0] <= _NEAR and max(apart[1:]) <= _ALIKE:
            free[place] = False
            pairs += 1
            largest = {name: max(largest[name], own) for name, own in zip(largest, apart, strict=True)}
    return largest, len(boxes) + len(other[0]) - 2 * pairs, len(boxes)


def _largest(reference: Outputs, pixels: Pixels) -> dict[str, float]:
    """The largest number that each kind can have, in an image of this size."""
    if len(reference) == 1:
        return {"logits": float(reference[0].abs().max())}
    kinds = {"boxes": float(max(pixels.shape[-2:])), "scores": 1.0, "masks": 1.0}
    return dict(list(kinds.items())[: len(reference) - 1])
