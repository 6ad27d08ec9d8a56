"""Conversion of weights between the three equivalent forms of a ResNeXt unit, which stack them differently."""

import re
from collections.abc import Mapping

from torch import Tensor, cat

from resatlas.designs.resnext import Form
from resatlas.errors import CheckpointError

_WHOLE = re.compile(r"(?P<unit>stages\.\d+\.\d+)\.body\.(?P<layer>conv|norm)(?P<number>[123])\.(?P<leaf>\w+)")
_BRANCH = re.compile(
    r"(?P<unit>stages\.\d+\.\d+)\.bodies\.(?P<k>\d+)\.(?P<layer>conv|norm)(?P<number>[123])\.(?P<leaf>\w+)"
)
_MERGED = re.compile(r"(?P<unit>stages\.\d+\.\d+)\.merged\.(?P<layer>conv|norm)\.(?P<leaf>\w+)")


def convert_form(weights: Mapping[str, Tensor], *, to: Form) -> dict[str, Tensor]:
    """Convert the weights of a ResNeXt to form a, b or c of the same function.

    W1 is stacked along outputs, W2 along groups, W3 along inputs; the norm after the sum occurs once in each form.
    Raises: CheckpointError if they are not the weights of a ResNeXt.
    Source: ResNeXt paper (arXiv:1611.05431), section 3.3 and Fig. 3.
    """
    whole = _grouped(weights)
    return whole if to == "c" else _split(whole, last="bodies" if to == "a" else "merged")


def _grouped(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Convert any form to form c."""
    parts: dict[str, dict[int, Tensor]] = {}
    whole: dict[str, Tensor] = {}
    for path, weight in weights.items():
        if match := _BRANCH.fullmatch(path):
            key = f"{match['unit']}.body.{match['layer']}{match['number']}.{match['leaf']}"
            parts.setdefault(key, {})[int(match["k"])] = weight
        elif match := _MERGED.fullmatch(path):
            whole[f"{match['unit']}.body.{match['layer']}3.{match['leaf']}"] = weight
        else:
            whole[path] = weight
    for path, branches in parts.items():
        ordered = [branches[k] for k in sorted(branches)]
        whole[path] = cat(ordered, dim=_axis(path)) if ordered[0].dim() else ordered[0]
    if not any(_WHOLE.fullmatch(path) and ".conv3." in path for path in whole):
        raise CheckpointError("these are not the weights of a ResNeXt: no unit has a body of three convolutions")
    return whole


def _split(whole: Mapping[str, Tensor], *, last: str) -> dict[str, Tensor]:
    """Convert form c to form a (last convolutions in the bodies) or form b (one last convolution after the bodies)."""
    weights: dict[str, Tensor] = {}
    for path, weight in whole.items():
        match = _WHOLE.fullmatch(path)
        if match is None:
            weights[path] = weight
        elif match["number"] == "3" and (match["layer"] == "norm" or last == "merged"):
            weights[f"{match['unit']}.merged.{match['layer']}.{match['leaf']}"] = weight
        else:
            grouped = whole[f"{match['unit']}.body.conv2.weight"]
            paths = grouped.shape[0] // grouped.shape[1]
            chunks = weight.chunk(paths, _axis(path)) if weight.dim() else (weight,) * paths
            bodies = [f"bodies.{k}" for k in range(paths)] if paths > 1 else ["body"]
            leaf = f"{match['layer']}{match['number']}.{match['leaf']}"
            weights.update(
                {f"{match['unit']}.{body}.{leaf}": part.clone() for body, part in zip(bodies, chunks, strict=True)}
            )
    return weights


def _axis(path: str) -> int:
    """The axis of the branches: inputs for the last convolution, outputs for all layers before it."""
    return 1 if ".conv3." in path else 0
