"""`--to torch-export`: a program that torch.export.load reads; torch keeps its own names of free sizes in it."""

import io
import warnings
from pathlib import Path

import torch

from resatlas.exporting.subject import Subject, program_of
from resatlas.exporting.targets import TARGETS, ExportOptions
from resatlas.inference.engines.sessions import Session
from resatlas.runs.files import write_bytes

FILE = TARGETS["torch-export"].file


def write(subject: Subject, options: ExportOptions, folder: Path) -> Session:
    """Write model.pt2."""
    content = io.BytesIO()
    with warnings.catch_warnings():  # of torch about its own copies of weights
        warnings.simplefilter("ignore")
        torch.export.save(program_of(subject, options), content)
        write_bytes(folder / FILE, content.getvalue())
        module = torch.export.load(folder / FILE).module()
    return lambda images: module(torch.from_numpy(images)).detach().numpy()
