"""`--to executorch`: a program for ExecuTorch, whose operations XNNPACK computes where it can."""

import warnings
from pathlib import Path

import torch

from resatlas.exporting.subject import Subject, unfolded_program_of
from resatlas.exporting.targets import TARGETS, ExportOptions
from resatlas.inference.engines.sessions import Session
from resatlas.runs.files import write_bytes

FILE = TARGETS["executorch"].file


def write(subject: Subject, options: ExportOptions, folder: Path) -> Session:
    """Write model.pte."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import (  # type: ignore[import-not-found] - an extra
            XnnpackPartitioner,
        )
        from executorch.exir import to_edge_transform_and_lower  # type: ignore[import-not-found] - an extra
        from executorch.runtime import Runtime  # type: ignore[import-not-found] - an extra

        program = to_edge_transform_and_lower(unfolded_program_of(subject, options), partitioner=[XnnpackPartitioner()])
        write_bytes(folder / FILE, bytes(program.to_executorch().buffer))
        method = Runtime.get().load_program(folder / FILE).load_method("forward")
    return lambda images: method.execute([torch.from_numpy(images)])[0].numpy().copy()
