"""`resatlas study`: carry out the runs of a study file."""

import argparse
from collections import Counter
from pathlib import Path

from resatlas.cli.outcome import Outcome
from resatlas.cli.requirements import ALWAYS, Requirement, Requirements
from resatlas.cli.study_options import add_options, folder_of
from resatlas.errors import quoted, unknown
from resatlas.studies.sharing import blocks_of_text, parsed
from resatlas.studies.slurm import USUAL_JOBS
from resatlas.studies.status import study_status
from resatlas.studies.study import read_study
from resatlas.values.table import objects
from resatlas.values.terminal import aligned
from resatlas.values.text import counted

_CARRYING_OUT = Requirement(
    what="a study that is carried out", holds=lambda options: not options.status, otherwise="with --status"
)

_HERE = Requirement(
    what="a study that is carried out here",
    holds=lambda options: not options.status and options.on is None,
    otherwise="with --status or --on",
)
_ON_CLUSTER = Requirement(what="--on", holds=lambda options: options.on is not None, otherwise="without --on")
_ON_RAY = Requirement(what="--on ray", holds=lambda options: engine_of(options) == "ray", otherwise="without --on ray")
_ON_SLURM = Requirement(
    what="--on slurm", holds=lambda options: engine_of(options) == "slurm", otherwise="without --on slurm"
)

ENGINES = ("slurm", "ray")

OPTIONS: Requirements = {
    "--out": ALWAYS,
    "--status": ALWAYS,
    "--share": _HERE,
    "--blocks": _HERE,
    "--workers": _HERE,
    "--lang": _CARRYING_OUT,
    "--on": _CARRYING_OUT,
    "--jobs": _ON_CLUSTER,
    "--sbatch": _ON_SLURM,
    "--detach": _ON_SLURM,
    "--gpus": _ON_RAY,
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its options."""
    parser.add_argument(
        "file", type=Path, metavar="FILE", help="a study in TOML; for an example see studies/demo.toml of the package"
    )
    add_options(parser, name="<study>")
    parser.add_argument(
        "--share",
        type=parsed,
        metavar="I/N",
        help="carry out only the I-th of N shares of its runs, without a page; other jobs or machines that see the "
        "folder may carry out the others at the same time (default: all runs)",
    )
    parser.add_argument(
        "--blocks",
        type=blocks_of_text,
        metavar="SEEDS",
        help="carry out only the runs with these seeds, such as 0,2, without a page; for a study in several sittings "
        "or on machines that share no folder (default: all)",
    )
    parser.add_argument(
        "--status",
        action="store_true",
        help="only say how far its runs are, from their folders; on any machine that sees them (default: off)",
    )

    cluster = parser.add_argument_group("cluster")
    cluster.add_argument(
        "--on",
        type=_engine,
        metavar="ENGINE",
        help="submit the runs to slurm as one array job, or to ray or ray:HOST:PORT as tasks, and watch them (default: "
        "train here)",
    )
    cluster.add_argument(
        "--jobs",
        type=int,
        metavar="N",
        help=f"shares of the runs, each an element of the array or a task (default: {USUAL_JOBS} for slurm, as many as "
        "the cluster has places for with ray, or one a run if fewer are left)",
    )
    cluster.add_argument(
        "--sbatch",
        action="append",
        default=[],
        metavar="WORDS",
        help='further options of sbatch, as in --sbatch="--time=4:00:00 --cpus-per-task=4"; repeatable (default: none)',
    )
    cluster.add_argument(
        "--detach",
        action="store_true",
        help="end when the job is submitted; the same command attaches to it later (default: wait for its end)",
    )
    cluster.add_argument(
        "--gpus",
        type=float,
        default=0.0,
        metavar="F",
        help="with ray: the part of a GPU that each share occupies, such as 0.25 (default: 0)",
    )


def _engine(text: str) -> str:
    """The name of an engine, and for Ray its address.

    Raises: ArgumentTypeError
    """
    name, _, address = text.partition(":")
    if text in ENGINES or (name == "ray" and address):
        return text
    if name in ENGINES:
        takes = "no address" if name == "slurm" else "an address after the colon, HOST:PORT"
        raise argparse.ArgumentTypeError(f"{name} takes {takes}; got {quoted(text)}")
    raise argparse.ArgumentTypeError(unknown("engine", name, ENGINES, where="slurm, ray or ray:HOST:PORT"))


def engine_of(options: argparse.Namespace) -> str:
    """The name of the engine of a command; empty without one."""
    return (options.on or "").partition(":")[0]


def run(options: argparse.Namespace) -> Outcome:
    """Carry out the study, and print its answers; or its status."""
    study = read_study(options.file)
    if options.status:
        table = study_status(study, folder_of(study, options))
        states = Counter(str(row[1]) for row in table.rows)
        total = ", ".join(f"{count} {state}" for state, count in states.most_common())
        return Outcome(objects(table), f"{aligned(table)}\n{counted(len(table.rows), 'run')}: {total}")
    from resatlas.cli.studying import (  # statistics, pages
        carry_out_and_show,
        carry_out_on_ray_and_show,
        carry_out_on_slurm_and_show,
        carry_out_part,
    )

    match engine_of(options):
        case "slurm":
            return carry_out_on_slurm_and_show(study, options)
        case "ray":
            return carry_out_on_ray_and_show(study, options)
    part = options.share or options.blocks
    return carry_out_part(study, options) if part else carry_out_and_show(study, options)
