"""Whether a network is still what its plan says: other tools prune, replace and rewrite modules."""

from collections.abc import Iterator, Mapping

from torch import Tensor, nn

from resatlas.errors import DesignError

_FREE = ("training", "momentum", "inplace", "kept", "loses")
"""What may differ without another function in evaluation."""

_PLAIN = (bool, int, float, str, tuple)

_NORMS = (nn.BatchNorm2d, nn.SyncBatchNorm)


def check_described(network: nn.Module, built: nn.Module) -> None:
    """Refuse a network that is not what was built from its plan: other modules, settings or shapes.

    Values are free: a weight of zeros is a weight. Whether hooks change what a module gives is not seen.
    Raises: DesignError
    """
    difference = next(_differences(network, built), None)
    if difference:
        raise DesignError(f"the plan no longer describes this network: {difference}")


def _differences(network: nn.Module, built: nn.Module) -> Iterator[str]:
    own, expected = dict(network.named_modules()), dict(built.named_modules())
    for path, module in expected.items():
        if path in own and not _alike(own[path], module):
            yield f"{path} is {_shown(own[path])}, in the plan {_shown(module)}{_hint(own[path], module)}"
    yield from _keys("module", own, expected)
    for kind, tensors, others in (
        ("parameter", dict(network.named_parameters()), dict(built.named_parameters())),
        ("buffer", dict(network.named_buffers()), dict(built.named_buffers())),
    ):
        yield from _keys(kind, tensors, others)
        yield from _shapes(tensors, others)


def _keys(kind: str, own: Mapping[str, object], expected: Mapping[str, object]) -> Iterator[str]:
    yield from (f"it has the {kind} {path}, which the plan does not have" for path in own if path not in expected)
    yield from (f"it lacks the {kind} {path}" for path in expected if path not in own)


def _shapes(own: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> Iterator[str]:
    for path, tensor in expected.items():
        if own[path].shape != tensor.shape:
            yield f"{path} is of shape {tuple(own[path].shape)}, in the plan {tuple(tensor.shape)}"


def _alike(module: nn.Module, built: nn.Module) -> bool:
    """Whether a module computes what another does: the same code, with the same settings."""
    same = type(module).forward is type(built).forward or all(isinstance(each, _NORMS) for each in (module, built))
    return same and "forward" not in vars(module) and _settings(built).items() <= vars(module).items()


def _settings(module: nn.Module) -> dict[str, object]:
    """The numbers and words that a module computes by."""
    return {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_") and name not in _FREE and isinstance(value, _PLAIN)
    }


def _shown(module: nn.Module) -> str:
    inside = module.extra_repr()
    return f"{type(module).__name__}({inside})" if inside else type(module).__name__


def _hint(module: nn.Module, built: nn.Module) -> str:
    """How a classifier of other classes is set so that the plan knows it."""
    if isinstance(module, nn.Linear) and isinstance(built, nn.Linear) and module.in_features == built.in_features:
        return f"; network.reset_classifier({module.out_features}) changes both"
    return ""
