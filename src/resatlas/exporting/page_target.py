"""`--to page`: one HTML file that computes the network in a browser."""

from pathlib import Path

import torch

from resatlas.data.normalisation import normalised, unit
from resatlas.exporting.page.document import PLAIN, write_page
from resatlas.exporting.page.runtime import read_runtime
from resatlas.exporting.page.runtime_engine import RuntimeEngine
from resatlas.exporting.subject import Subject
from resatlas.exporting.targets import TARGETS, ExportOptions
from resatlas.inference.engines.sessions import Session

FILE = TARGETS["page"].file


def write(subject: Subject, options: ExportOptions, folder: Path) -> Session:
    """Write classify.html; the session carries out what the page contains."""
    page = write_page(
        subject.network,
        folder / FILE,
        classes=subject.classes,
        preparation=subject.preprocessing,
        title=subject.name,
        engine=PLAIN if options.runtime is None else RuntimeEngine(read_runtime(options.runtime)),
    )
    normaliser = subject.preprocessing.normaliser
    return lambda images: page.session(normalised(unit(torch.from_numpy(images)), normaliser).numpy())
