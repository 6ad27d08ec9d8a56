"""Residual Atlas: every residual image network of five papers, and their crosses, from one description.

    resatlas.list_designs("wrn-*")              names of the catalogue
    resatlas.plan("wrn-28-10", classes=100)     every number of a network
    resatlas.cost(plan).parameters
    resatlas.levels("wrn-28-10")                channels, stride, receptive field after each stage
    resatlas.dilated(plan, 3)                   the plan with dilation in place of the strides from stage 3 on
    resatlas.build("wrn-28-10", classes=100)    the network itself; weights="torchvision/resnet50@V2" loads trained ones
    resatlas.body(network)                      its stem and stages, for the feature pyramids of other libraries
    resatlas.detector(network, classes=20)      boxes, and masks, of objects; resatlas.segmenter for a class per pixel
    resatlas.for_inference(network)             the same answers, sooner
    resatlas.compare(["runs"], against="x")     what finished runs say about their designs
    resatlas.save_pretrained("runs/x", "x")     a finished run, or a network, as a folder
    resatlas.from_pretrained("x")               its network, detector or segmenter back
    resatlas.export("runs/x", "y", to="onnx")   the network for other programs, checked

Nothing is imported before it is used: only what computes with a network needs torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # type checkers do not follow __getattr__; these are the names of _PUBLIC
    from resatlas.arch.cost import cost as cost
    from resatlas.arch.dilation import dilated as dilated
    from resatlas.arch.paths import path_lengths as path_lengths
    from resatlas.comparing.comparison import compare as compare
    from resatlas.designs.catalog import list_designs as list_designs
    from resatlas.designs.catalog import plan as plan
    from resatlas.designs.levels import levels as levels
    from resatlas.exporting.config import read_config as read_config
    from resatlas.exporting.found_config import read_found_config as read_found_config
    from resatlas.exporting.loading import from_pretrained as from_pretrained
    from resatlas.exporting.preprocessing import preprocessing as preprocessing
    from resatlas.exporting.saving import save_pretrained as save_pretrained
    from resatlas.inference.network import for_inference as for_inference
    from resatlas.nets.body import body as body
    from resatlas.nets.detector import detector as detector
    from resatlas.nets.forms import convert_form as convert_form
    from resatlas.nets.preparation import Preparation as Preparation
    from resatlas.nets.segmenter import segmenter as segmenter
    from resatlas.runs.experiment import Experiment as Experiment
    from resatlas.studies.dissection import dissect as dissect
    from resatlas.studies.predicting import predict as predict
    from resatlas.studies.preflight import preflight as preflight
    from resatlas.studies.shipping import export as export
    from resatlas.studies.single import train as train
    from resatlas.studies.testing import evaluate as evaluate
    from resatlas.weights.building import build as build
    from resatlas.weights.conversion import export_weights as export_weights
    from resatlas.weights.conversion import load_weights as load_weights

__version__ = "0.2.0"

_PUBLIC = {
    "list_designs": "resatlas.designs.catalog",
    "plan": "resatlas.designs.catalog",
    "build": "resatlas.weights.building",
    "for_inference": "resatlas.inference.network",
    "cost": "resatlas.arch.cost",
    "path_lengths": "resatlas.arch.paths",
    "levels": "resatlas.designs.levels",
    "dilated": "resatlas.arch.dilation",
    "body": "resatlas.nets.body",
    "detector": "resatlas.nets.detector",
    "segmenter": "resatlas.nets.segmenter",
    "load_weights": "resatlas.weights.conversion",
    "export_weights": "resatlas.weights.conversion",
    "convert_form": "resatlas.nets.forms",
    "Experiment": "resatlas.runs.experiment",
    "preflight": "resatlas.studies.preflight",
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
    "read_found_config": "resatlas.exporting.found_config",
    "export": "resatlas.studies.shipping",
}

__all__ = [*_PUBLIC, "__version__"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - any public name
    if name not in _PUBLIC:
        raise AttributeError(f"module 'resatlas' has no attribute {name!r}; it has {', '.join(_PUBLIC)}")
    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
