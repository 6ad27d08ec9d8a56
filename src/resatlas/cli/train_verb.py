"""`resatlas train`: train a design on a data set, with one seed or several."""

import argparse
import json
from pathlib import Path
from typing import Any, get_args

from resatlas.cli import launching
from resatlas.cli.designs import DESIGN_HELP, design_named
from resatlas.cli.device_option import device_option
from resatlas.cli.display import meter
from resatlas.cli.launching import SEVERAL, rank_timeout, run_in_processes, workers
from resatlas.cli.offline import access, offline_option
from resatlas.cli.outcome import Outcome
from resatlas.cli.progress import watcher
from resatlas.cli.recipe_options import RECIPE_OPTIONS, recipe_of, recipe_options
from resatlas.cli.recipe_options import hint as hint
from resatlas.cli.requirements import ALWAYS, Requirement, Requirements
from resatlas.designs.catalog import own_design
from resatlas.errors import UnknownName, UsageError, unknown
from resatlas.evaluation.portions import check_test_batch
from resatlas.nets.peak import RECOMPUTING
from resatlas.runs import experiment as experiments
from resatlas.runs.departures import Departures, sentences
from resatlas.runs.environment import leading, processes
from resatlas.runs.experiment import Experiment, weights_in
from resatlas.runs.names import TRACE
from resatlas.runs.record import Keep
from resatlas.studies.own_images import any_data
from resatlas.studies.single import carry_out, prepare
from resatlas.training.execution import PROFILE_AFTER, Execution, Log
from resatlas.training.logs import logs_here
from resatlas.training.skipping import CAP
from resatlas.values.codec import decode
from resatlas.values.table import Column, Table, numbers, words
from resatlas.values.terminal import aligned
from resatlas.values.text import plain
from resatlas.values.weights import Which
from resatlas.weights.obtaining import file_of
from resatlas.weights.words import is_word

_ONE_RUN = Requirement(
    what="a single run (several take --resume auto)",
    holds=lambda options: options.seeds is None or options.resume in (None, "auto"),
    otherwise="with --seeds and the path of a checkpoint",
)

_A_START = Requirement(
    what="--init-from WORD|FILE", holds=lambda options: options.init_from is not None, otherwise="without --init-from"
)

OPTIONS: Requirements = {
    "--verify": ALWAYS,
    "--test-batch": ALWAYS,
    **RECIPE_OPTIONS,
    "--init-from": ALWAYS,
    "--weights": _A_START,
    "--offline": _A_START,
    "--seed": ALWAYS,
    "--seeds": ALWAYS,
    "--out": ALWAYS,
    "--resume": _ONE_RUN,
    "--save-every": ALWAYS,
    "--keep": ALWAYS,
    "--unreadable": ALWAYS,
    "--nonfinite": ALWAYS,
    "--processes": ALWAYS,
    "--workers": ALWAYS,
    "--rank-timeout": SEVERAL,
    "--device": ALWAYS,
    "--checkpoint-activations": ALWAYS,
    "--compile": ALWAYS,
    "--deterministic": ALWAYS,
    "--log": ALWAYS,
    "--profile": ALWAYS,
    "--print-config": ALWAYS,
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its options."""
    parser.add_argument("design", metavar="DESIGN", help=DESIGN_HELP)
    _experiment_options(parser.add_argument_group("experiment (changes the result)"))
    _run_options(parser.add_argument_group("run (folder and checkpoints)"))
    launching.arguments(parser, does="train")
    _execution_options(parser.add_argument_group("execution (same results up to rounding)"))


def _experiment_options(group: argparse._ArgumentGroup) -> None:
    recipe_options(group)
    group.add_argument(
        "--init-from",
        type=Path,
        metavar="WORD|FILE",
        help="start from published weights, as in torchvision/resnet50@V2 (all: resatlas weights list), or from a file "
        "of resatlas, torchvision, timm or pytorchcv (default: random weights)",
    )
    offline_option(group)
    group.add_argument(
        "--weights",
        choices=get_args(Which),
        help="which weights to take from an --init-from file that contains both: raw, or ema, their average "
        "(default: raw)",
    )
    group.add_argument(
        "--unreadable",
        choices=("error", "skip"),
        default="error",
        help="what to do with an unreadable image: error stops before the training; skip trains on another image of "
        "its class and tests without it (default: error)",
    )
    group.add_argument(
        "--nonfinite",
        choices=("stop", "skip"),
        default="stop",
        help=f"what to do at a NaN or infinite loss or gradient: stop, or skip the step, {CAP} (default: stop)",
    )
    seeds = group.add_mutually_exclusive_group()
    seeds.add_argument(
        "--seed", type=int, default=0, metavar="N", help="seed of weights, order and augmentation (default: 0)"
    )
    seeds.add_argument(
        "--seeds", type=int, metavar="N", help="train with seeds 0 to N - 1, each in its own folder (default: --seed)"
    )


def _run_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--out", type=Path, metavar="DIR", help="folder of the run (default: runs/<data>-<design>-<recipe>-s<seed>)"
    )
    group.add_argument(
        "--resume",
        nargs="?",
        const="auto",
        metavar="auto|PATH",
        help="continue a run from its newest valid checkpoint, or from the checkpoint PATH (default: start a new run)",
    )
    group.add_argument(
        "--save-every",
        type=float,
        default=Execution.save_every,
        metavar="SECONDS",
        help="time between checkpoints, which are saved inside epochs too; 0 saves at the end of every epoch and not "
        f"inside (default: {Execution.save_every:g})",
    )
    group.add_argument(
        "--keep",
        choices=get_args(Keep),
        metavar="last|best,last",
        help="checkpoints to keep: the newest, or also that of the epoch of least validation error, for --of best of "
        "other verbs; results are those of the last epoch (default: last)",
    )
    group.add_argument(
        "--print-config", action="store_true", help="print the resolved experiment and exit (default: train it)"
    )


def _execution_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--verify",
        choices=("none", "tested", "all"),
        help="image files to decode before the first epoch: none, tested (validation and test) or all (default: "
        "tested; all with --unreadable skip)",
    )
    group.add_argument(
        "--test-batch",
        type=int,
        metavar="N",
        help="images per forward pass of a test (default: as many as the training has memory for, at most 256)",
    )
    device_option(group)
    group.add_argument(
        "--checkpoint-activations",
        choices=RECOMPUTING,
        help="save memory: keep only the activations after convolutions and sums, between units, or between segments "
        "of about sqrt(n) of n units, and recompute the others (default: keep all)",
    )
    group.add_argument(
        "--compile",
        choices=("units",),
        help="compile each kind of unit with torch.compile; needs a C++ compiler (default: no compilation)",
    )
    group.add_argument(
        "--deterministic",
        action="store_true",
        help="same bits for the same seed, machine and number of threads; fails at operations that cannot be "
        "deterministic (default: off)",
    )
    group.add_argument(
        "--log",
        metavar="NAMES",
        help="also log to tensorboard, wandb, both (with a comma) or none (default: tensorboard if it is installed)",
    )
    group.add_argument(
        "--profile",
        type=int,
        metavar="STEPS",
        help=f"write a trace of so many steps, after the first {PROFILE_AFTER}, to {TRACE} in the run, for Perfetto "
        "(default: no trace)",
    )


def run(options: argparse.Namespace) -> Outcome:
    """Train; the results of one run, or a list of those of several."""
    if options.init_from is not None:
        options.init_from = _weights_file(options)  # before other processes start, so that only one downloads
    if options.processes not in (None, 1) and processes() == 1:
        return run_in_processes(options)
    to_train = [_experiment(options, seed) for seed in _seeds(options)]
    if options.print_config:
        data = [experiments.to_json(experiment) for experiment in to_train]
        value: Any = data if options.seeds else data[0]
        return Outcome(value, json.dumps(value, indent=2, ensure_ascii=False))
    execution = _execution(options)
    if not 0 <= options.save_every < float("inf"):
        raise UsageError(f"--save-every must be a number of seconds, 0 or more; got {options.save_every}")
    logs_here(execution.logs)
    if options.test_batch is not None:
        check_test_batch(options.test_batch)
    runs = [prepare(experiment, out=_folder(options, experiment), execution=execution) for experiment in to_train]
    with watcher(quiet=options.quiet) as reporter:
        results = [carry_out(prepared, watcher=reporter) for prepared in runs]
    text = _table(results, [prepared.folder for prepared in runs])
    return Outcome(results if options.seeds else results[0], text)


def _seeds(options: argparse.Namespace) -> list[int]:
    if options.seeds is None:
        return [options.seed]
    if not 1 <= options.seeds <= 1000:
        raise UsageError(f"--seeds must be between 1 and 1000; got {options.seeds}")
    return list(range(options.seeds))


def _experiment(options: argparse.Namespace, seed: int) -> Experiment:
    data = any_data(options.data)
    entry = design_named(options.design)
    return Experiment(
        design=options.design,
        own=own_design(entry) if ".py:" in options.design else None,
        data=data.name,
        recipe=recipe_of(options, data),
        seed=seed,
        compiled=options.compile or "nothing",
        unreadable=options.unreadable,
        nonfinite=options.nonfinite,
        weights=options.init_from and weights_in(options.init_from, which=options.weights or "raw"),
    )


def _weights_file(options: argparse.Namespace) -> Path:
    """The file of --init-from, verified and downloaded if it is a word.

    Raises: CheckpointError, also if the network of the word computes another function than the design.
    """
    weights: Path = options.init_from
    if not is_word(weights):
        return weights
    from resatlas.weights.building import word_of
    from resatlas.weights.conversion import check_writer

    if word := word_of(weights):
        check_writer(design_named(options.design).plan(), word.plan())
    with meter("bytes", quiet=options.quiet or not leading()) as progress:
        return file_of(weights, access=access(options), progress=progress)


def _execution(options: argparse.Namespace) -> Execution:
    return Execution(
        device=options.device,
        kept=options.checkpoint_activations or "all",
        deterministic=options.deterministic,
        logs=None if options.log is None else _logs(options.log),
        rank_timeout=rank_timeout(options),
        resume=options.resume,
        save_every=options.save_every,
        keep=options.keep,
        workers=workers(options),
        verify=options.verify,
        test_batch=options.test_batch,
        profile=options.profile,
    )


def _logs(text: str) -> tuple[Log, ...]:
    """The logs named in a text, each once.

    Raises: UnknownName
    """
    known: tuple[Log, ...] = get_args(Log)
    words = text.split(",")
    for word in words:
        if word not in (*known, "none") or (word == "none" and len(words) > 1):
            raise UnknownName(unknown("log", word, (*known, "none")))
    return tuple(log for log in known if log in words)


def _folder(options: argparse.Namespace, experiment: Experiment) -> Path:
    if options.out is None:
        return experiments.default_folder(experiment)
    out: Path = options.out
    if not options.seeds:
        return out
    if not out.name:
        raise UsageError(f"with --seeds, --out needs a name, to which -s0, -s1, … are added; got {out}")
    return out.with_name(f"{out.name}-s{experiment.seed}")


def _table(results: list[dict[str, Any]], folders: list[Path]) -> str:
    """A table with one line for each run, then its departures from what a user expects."""
    rows = tuple(
        (
            str(folder),
            str(result["seed"]),
            result["train"]["loss"],
            result["validation"]["error_percent"] if "validation" in result else None,
            result["test"]["error_percent"],
            result["images_per_second"],
            result["seconds"],
        )
        for result, folder in zip(results, folders, strict=True)
    )
    columns = (
        *(*words("run"), *numbers("seed"), Column("train loss", "1", ".4f")),
        *(Column("validation error", "%", ".2f"), Column("test error", "%", ".2f")),
        *(Column("images/s", "1", ",.0f"), Column("seconds", "1", ".1f")),
    )
    several = len(results) > 1
    lines = [
        plain(f"{folder}: {line}" if several else line)
        for result, folder in zip(results, folders, strict=True)
        for line in (
            *_best(result),
            *_found(result),
            *sentences(decode(Departures, result.get("departures", {}), where="departures")),
        )
    ]
    return "\n".join([aligned(Table(columns=columns, rows=rows)), *lines])


def _found(result: dict[str, Any]) -> list[str]:
    """A sentence about what is found of objects in the test images."""
    names = {"ap": "AP", "ap50": "AP50", "ap75": "AP75", "mask_ap": "AP of masks", "mean_iou": "mean IoU"}
    test = result["test"]
    figures = [f"{words} {test[name]:.2f} %" for name, words in names.items() if test.get(name) is not None]
    return (
        [f"{', '.join(figures)} on {test['images']:,} test images; the error is {test['measure']}"] if figures else []
    )


def _best(result: dict[str, Any]) -> list[str]:
    """A sentence about the best epoch, if its checkpoint is kept."""
    if "best" not in result:
        return []
    best = result["best"]
    return [
        f"least validation error {best['validation_error_percent']:.2f} % after epoch {best['epoch']} of "
        f"{result['epochs']}, kept in {best['checkpoint']}; the test error is that of the last epoch"
    ]
