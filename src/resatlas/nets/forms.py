"""The three forms of a ResNeXt unit are one function: their weights are the same numbers, stacked otherwise."""

import re
from collections.abc import Mapping

from torch import Tensor, cat

from resatlas.designs.resnext import Form
from resatlas.errors import CheckpointError

_WHOLE = re.compile(r"(?P<unit>stages\.\d+\.\d+)\.body\.(?P<layer>conv|norm)(?P<number>[123])\.(?P<leaf>\w+)")
_PARTED = re.compile(
    r"(?P<unit>stages\.\d+\.\d+)\.bodies\.(?P<k>\d+)\.(?P<layer>conv|norm)(?P<number>[123])\.(?P<leaf>\w+)"
)
_MERGED = re.compile(r"(?P<unit>stages\.\d+\.\d+)\.merged\.(?P<layer>conv|norm)\.(?P<leaf>\w+)")


def convert_form(weights: Mapping[str, Tensor], *, to: Form) -> dict[str, Tensor]:
    """The weights of a ResNeXt in any form as those of the same function in form a, b or c.

    W1 is stacked along outputs, W2 along groups, W3 along inputs; the norm behind the sum stands once in each form.
    Raises: CheckpointError if they are not the weights of a ResNeXt.
    Source: ResNeXt paper (arXiv:1611.05431), section 3.3 and Fig. 3.
    """
    whole = _grouped(weights)
    return whole if to == "c" else _parted(whole, last="bodies" if to == "a" else "merged")


def _grouped(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Form c of any form."""
    parts: dict[str, dict[int, Tensor]] = {}
    whole: dict[str, Tensor] = {}
    for path, weight in weights.items():
        if at := _PARTED.fullmatch(path):
            key = f"{at['unit']}.body.{at['layer']}{at['number']}.{at['leaf']}"
            parts.setdefault(key, {})[int(at["k"])] = weight
        elif at := _MERGED.fullmatch(path):
            whole[f"{at['unit']}.body.{at['layer']}3.{at['leaf']}"] = weight
        else:
            whole[path] = weight
    for path, some in parts.items():
        ordered = [some[k] for k in sorted(some)]
        whole[path] = cat(ordered, dim=_along(path)) if ordered[0].dim() else ordered[0]
    if not any(_WHOLE.fullmatch(path) and ".conv3." in path for path in whole):
        raise CheckpointError("these are not the weights of a ResNeXt: no unit has a body of three convolutions")
    return whole


def _parted(whole: Mapping[str, Tensor], *, last: str) -> dict[str, Tensor]:
    """Form a, whose last convolutions stand in the bodies, or form b, whose last convolution is merged."""
    found: dict[str, Tensor] = {}
    for path, weight in whole.items():
        at = _WHOLE.fullmatch(path)
        if at is None:
            found[path] = weight
        elif at["number"] == "3" and (at["layer"] == "norm" or last == "merged"):
            found[f"{at['unit']}.merged.{at['layer']}.{at['leaf']}"] = weight
        else:
            grouped = whole[f"{at['unit']}.body.conv2.weight"]
            paths = grouped.shape[0] // grouped.shape[1]
            some = weight.chunk(paths, _along(path)) if weight.dim() else (weight,) * paths
            bodies = [f"bodies.{k}" for k in range(paths)] if paths > 1 else ["body"]
            leaf = f"{at['layer']}{at['number']}.{at['leaf']}"
            found.update({f"{at['unit']}.{body}.{leaf}": part.clone() for body, part in zip(bodies, some, strict=True)})
    return found


def _along(path: str) -> int:
    """Inputs for the last convolution, outputs for everything before it."""
    return 1 if ".conv3." in path else 0
