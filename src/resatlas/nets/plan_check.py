"""Check that a plan still describes its network; other tools prune, replace and rewrite modules."""

from collections.abc import Iterator, Mapping

from torch import Tensor, nn

from resatlas.errors import DesignError

_FREE = ("training", "momentum", "inplace", "kept", "drop_rate")
"""Settings that do not change the function in evaluation mode."""

_PLAIN = (bool, int, float, str, tuple)

_NORMS = (nn.BatchNorm2d, nn.SyncBatchNorm)


def check_plan(network: nn.Module, built: nn.Module) -> None:
    """Refuse a network whose modules, settings or shapes differ from those built from its plan.

    Values of weights are not compared. Hooks that change the output of a module are not detected.
    Raises: DesignError
    """
    difference = next(_differences(network, built), None)
    if difference:
        raise DesignError(f"the plan no longer describes this network: {difference}")


def _differences(network: nn.Module, built: nn.Module) -> Iterator[str]:
    own, expected = dict(network.named_modules()), dict(built.named_modules())
    for path, module in expected.items():
        if path in own and not _same_function(own[path], module):
            yield f"{path} is {_text(own[path])}, but {_text(module)} in the plan{_hint(own[path], module)}"
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
            yield f"{path} has shape {tuple(own[path].shape)}, but {tuple(tensor.shape)} in the plan"


def _same_function(module: nn.Module, built: nn.Module) -> bool:
    """Whether two modules have the same code and the same settings."""
    both_norms = isinstance(module, _NORMS) and isinstance(built, _NORMS)
    same_code = type(module).forward is type(built).forward or both_norms
    return same_code and "forward" not in vars(module) and _settings(built).items() <= vars(module).items()


def _settings(module: nn.Module) -> dict[str, object]:
    """The attributes of a module that determine its function."""
    return {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_") and name not in _FREE and isinstance(value, _PLAIN)
    }


def _text(module: nn.Module) -> str:
    arguments = module.extra_repr()
    return f"{type(module).__name__}({arguments})" if arguments else type(module).__name__


def _hint(module: nn.Module, built: nn.Module) -> str:
    """How to replace a classifier together with the plan."""
    if isinstance(module, nn.Linear) and isinstance(built, nn.Linear) and module.in_features == built.in_features:
        return f"; network.reset_classifier({module.out_features}) changes both"
    return ""
