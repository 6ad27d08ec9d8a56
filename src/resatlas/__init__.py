"""Residual Atlas: every residual image network of five papers, and their crosses, from one description.

    resatlas.list_designs("wrn-*")              names of the catalogue
    resatlas.plan("wrn-28-10", classes=100)     every number of a network
    resatlas.cost(plan).parameters
    resatlas.build("wrn-28-10", classes=100)    the network itself
    resatlas.for_inference(network)             the same answers, sooner
    resatlas.compare(["runs"], against="x")     what finished runs say about their designs
    resatlas.save_pretrained("runs/x", "x")     a finished run, or a network, as a folder
    resatlas.from_pretrained("x")               its network back

Nothing is imported before it is used: only what computes with a network needs torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # type checkers do not follow __getattr__; these are the names of _PUBLIC
    from resatlas.arch.cost import cost as cost
    from resatlas.arch.paths import path_lengths as path_lengths
    from resatlas.comparing.comparison import compare as compare
    from resatlas.designs.catalog import list_designs as list_designs
    from resatlas.designs.catalog import plan as plan
    from resatlas.exporting.config import read_config as read_config
    from resatlas.exporting.loading import from_pretrained as from_pretrained
    from resatlas.exporting.preprocessing import preprocessing as preprocessing
    from resatlas.exporting.saving import save_pretrained as save_pretrained
    from resatlas.inference.network import for_inference as for_inference
    from resatlas.nets.forms import convert_form as convert_form
    from resatlas.nets.network import build as build
    from resatlas.nets.preparation import Preparation as Preparation
    from resatlas.runs.experiment import Experiment as Experiment
    from resatlas.studies.dissection import dissect as dissect
    from resatlas.studies.predicting import predict as predict
    from resatlas.studies.single import train as train
    from resatlas.studies.testing import evaluate as evaluate
    from resatlas.weights.conversion import export_weights as export_weights
    from resatlas.weights.conversion import load_weights as load_weights

__version__ = "0.1.0"

_PUBLIC = {
    "list_designs": "resatlas.designs.catalog",
    "plan": "resatlas.designs.catalog",
    "build": "resatlas.nets.network",
    "for_inference": "resatlas.inference.network",
    "cost": "resatlas.arch.cost",
    "path_lengths": "resatlas.arch.paths",
    "load_weights": "resatlas.weights.conversion",
    "export_weights": "resatlas.weights.conversion",
    "convert_form": "resatlas.nets.forms",
    "Experiment": "resatlas.runs.experiment",
    "train": "resatlas.studies.single",
    "evaluate": "resatlas.studies.testing",
    "predict": "resatlas.studies.predicting",
    "dissect": "resatlas.studies.dissection",
    "compare": "resatlas.comparing.comparison",
    "save_pretrained": "resatlas.exporting.saving",
    "from_pretrained": "resatlas.exporting.loading",
    "Preparation": "resatlas.nets.preparation",
    "preprocessing": "resatlas.exporting.preprocessing",
    "read_config": "resatlas.exporting.config",
}

__all__ = [*_PUBLIC, "__version__"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - any public name
    if name not in _PUBLIC:
        raise AttributeError(f"module 'resatlas' has no attribute {name!r}; it has {', '.join(_PUBLIC)}")
    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
