"""The network to export with all that its files describe, and the module that becomes the graph."""

import copy
import hashlib
from dataclasses import dataclass
from typing import assert_never

import torch
from jaxtyping import Float, UInt8
from safetensors.torch import save
from torch import Tensor, nn

from resatlas.data.normalisation import Affine, Normaliser, Whitening, normalised
from resatlas.errors import UsageError
from resatlas.exporting.images import ExportImages
from resatlas.exporting.preprocessing import Preprocessing
from resatlas.exporting.targets import ExportOptions, InputKind
from resatlas.inference.engines.graph import traced
from resatlas.inference.network import for_inference
from resatlas.nets.network import Network


@dataclass(frozen=True, kw_only=True, eq=False)
class Subject:
    """A trained network, its classes and the preparation of its images; `images` are those of its data, if at hand.

    `name` is the name of its folder, and `note` says why there are no images. `epoch` is that of the training after
    which it has these weights, None if unknown, and `licence` that of the weights, "" if nobody states one.
    """

    name: str
    network: Network
    preprocessing: Preprocessing
    classes: tuple[str, ...]
    images: ExportImages | None
    note: str = ""
    epoch: int | None = None
    licence: str = ""

    @property
    def weights_sha256(self) -> str:
        """The sha256 of the network's weights as a safetensors file without metadata."""
        tensors = {path: tensor.detach().contiguous() for path, tensor in self.network.state_dict().items()}
        return hashlib.sha256(save(tensors)).hexdigest()


class Classifier(nn.Module):
    """images -> network(normalised images); `kind` says whether the images are pixels from 0 to 255.

    Shape: (n, c, h, w) of uint8 for pixels, of float otherwise -> (n, classes).
    """

    def __init__(self, network: nn.Module, normaliser: Normaliser, kind: InputKind, dtype: torch.dtype) -> None:
        super().__init__()
        self.network = network
        self.kind = kind
        self.dtype = dtype
        tensors = {name: tensor.to(dtype) for name, tensor in vars(normaliser).items()}
        self._make = type(normaliser)
        for name, tensor in tensors.items():
            self.register_buffer(name, tensor, persistent=False)
        self._names = tuple(tensors)

    def forward(self, images: UInt8[Tensor, "n c h w"] | Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        """One logit per class."""
        if self.kind == "normalised":
            return self.network(images.to(self.dtype))
        normaliser = self._make(**{name: self.get_buffer(name) for name in self._names})
        return self.network(normalised(images.to(self.dtype) / 255, normaliser))


def exact(subject: Subject, options: ExportOptions) -> Classifier:
    """The classifier in float64, whose rounding is negligible."""
    return _classifier(subject, options, torch.float64)


def single(subject: Subject, options: ExportOptions) -> Classifier:
    """The classifier in float32, as torch computes it."""
    return _classifier(subject, options, torch.float32)


def _classifier(subject: Subject, options: ExportOptions, dtype: torch.dtype) -> Classifier:
    """The network as trained; for fp16 the folded network with rounded weights, whose rounding is not under test."""
    network: nn.Module
    if options.precision == "fp16":
        wide = "fp64" if dtype == torch.float64 else "fp32"
        network = for_inference(subject.network, precision=wide, kernels="torch", stored="fp16")
    else:
        network = copy.deepcopy(subject.network).to(dtype)
    return Classifier(network, subject.preprocessing.normaliser, "pixels", dtype).eval()


def program_of(subject: Subject, options: ExportOptions) -> torch.export.ExportedProgram:
    """The graph of the folded network, with the normalisation inside if the input are pixels.

    Raises: UsageError if the normalisation fixes a size that is to be free.
    """
    stored = "fp16" if options.precision == "fp16" else "own"
    return _program(for_inference(subject.network, kernels="torch", stored=stored), subject, options)


def unfolded_program_of(subject: Subject, options: ExportOptions) -> torch.export.ExportedProgram:
    """The graph of the network itself, for programs that fold normalisations on their own."""
    return _program(copy.deepcopy(subject.network).to(memory_format=torch.contiguous_format), subject, options)


def _program(network: nn.Module, subject: Subject, options: ExportOptions) -> torch.export.ExportedProgram:
    module = Classifier(network, subject.preprocessing.normaliser, options.input, torch.float32)
    count = 1 if options.free == "none" else 2
    dtype = torch.uint8 if options.input == "pixels" else torch.float32
    example = torch.zeros(count, *subject.network.plan.image, dtype=dtype)
    return traced(module, example, free=options.free)


def check_representable(subject: Subject, options: ExportOptions) -> None:
    """Refuse options that the normalisation or the network does not allow.

    Raises: UsageError
    """
    if not subject.classes:
        raise UsageError(f"{subject.name} has no classifier; only networks with classes are exported")
    if (resizing := subject.preprocessing.interpolation) != "bilinear":
        raise UsageError(f"{subject.name} needs {resizing} resizing of its images; exports resize bilinearly")
    kind = _kind(subject.preprocessing.normaliser)
    if kind and options.input == "normalised":
        raise UsageError(f"images of this network are normalised with {kind}; use --input pixels, which includes it")
    if kind and options.free == "size":
        raise UsageError(f"images of this network are normalised with {kind}, which fits one size; use --dynamic batch")


def _kind(normaliser: Normaliser) -> str:
    """A normalisation that is more than a mean and a standard deviation per channel, in words; else nothing."""
    match normaliser:
        case Affine(mean=mean, std=std):
            return "" if mean[0].numel() == std[0].numel() == 1 else "one number per pixel (a mean image)"
        case Whitening():
            return "a whitening matrix"
        case _:
            assert_never(normaliser)
