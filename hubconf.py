"""What torch.hub finds here: `design`, a network to be trained, and `pretrained`, one that was saved.

torch.hub.load("path/of/this/repository", "design", "resnet-20", source="local")
"""

import sys as _sys
from pathlib import Path as _Path

dependencies = ["torch", "torchvision", "numpy", "jaxtyping", "safetensors"]

_SOURCE = str(_Path(__file__).resolve().parent / "src")
if _SOURCE not in _sys.path:
    _sys.path.insert(0, _SOURCE)  # torch.hub copies the repository and installs nothing


def design(name, *, classes=None, image=None, seed=None, pretrained=False):  # noqa: ANN001, ANN201 - torch.hub shows it
    """A network of the catalogue, or of its grammar, with the weights that its authors start from.

    name: "resnet-20", "wrn-28-10:dropout=0.3", "wide-resnet:depth=28,widen=10"; `resatlas list` shows the catalogue.
    classes: number of classes, by default the paper's; 0 leaves out the classifier.
    image: (channels, height, width), by default the paper's.
    seed: of the weights; by default those of torch.manual_seed.
    pretrained: no weights are published yet, so True is refused; "pretrained" loads those of a folder.
    """
    from resatlas.arch.ops import Shape
    from resatlas.errors import UsageError
    from resatlas.nets.network import build

    if pretrained:
        raise UsageError(
            f"no weights of {name} are published yet; load a saved folder: resatlas.from_pretrained(folder)"
        )
    return build(name, classes=classes, image=Shape(*image) if image else None, seed=seed)


def pretrained(folder):  # noqa: ANN001, ANN201
    """The network of a folder that resatlas.save_pretrained wrote, with its weights, in evaluation mode.

    folder: its path; nothing is downloaded.
    """
    from resatlas.exporting.loading import from_pretrained

    return from_pretrained(folder)
