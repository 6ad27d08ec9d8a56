"""`resatlas train`: train a design on a data set, with one seed or several."""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from resatlas.cli import launching
from resatlas.cli.designs import DESIGN_HELP, design_named
from resatlas.cli.launching import SEVERAL, rank_timeout, run_in_processes, workers
from resatlas.cli.outcome import Outcome
from resatlas.cli.progress import watcher
from resatlas.cli.requirements import ALWAYS, Requirement, Requirements
from resatlas.designs.catalog import own_design
from resatlas.errors import RecipeError, UnknownName, UsageError, unknown
from resatlas.evaluation.portions import check_test_batch
from resatlas.recipes import catalog as recipes
from resatlas.recipes.recipe import PrecisionWanted, with_epochs
from resatlas.recipes.settings import fields_named, with_settings
from resatlas.runs import experiment as experiments
from resatlas.runs.departures import Departures, sentences
from resatlas.runs.environment import processes
from resatlas.runs.experiment import Experiment, weights_in
from resatlas.runs.record import Keep
from resatlas.studies.own_images import resolve_data
from resatlas.studies.single import carry_out, prepare
from resatlas.training.execution import Device, Execution, Log
from resatlas.training.logs import logs_here
from resatlas.training.skipping import CAP
from resatlas.values.codec import decode
from resatlas.values.table import Column, Table, numbers, words
from resatlas.values.terminal import aligned
from resatlas.values.text import plain
from resatlas.values.weights import Which

_SETTINGS: Mapping[str, str] = {"--lr": "schedule.peak", "--batch": "batch", "--precision": "precision"}
"""Fields of a recipe that have their own option."""

_SYNONYMS: Mapping[str, str] = {
    "learning_rate": "schedule.peak",
    "batch_size": "batch",
    "weight_decay": "decay",
    "wd": "decay",
    "label_smoothing": "loss.smoothing",
    "optim": "optimizer",
    "scheduler": "schedule",
    "grad_clip": "clip",
    "ema": "average",
    "drop_path": "stochastic_depth",
}
"""Fields of a recipe by their names in other programs."""

_ONE_RUN = Requirement(
    what="a single run (several take --resume auto)",
    holds=lambda options: options.seeds is None or options.resume in (None, "auto"),
    otherwise="with --seeds and the path of a checkpoint",
)

_A_START = Requirement(
    what="--init-from FILE", holds=lambda options: options.init_from is not None, otherwise="without --init-from"
)

OPTIONS: Requirements = {
    "--verify": ALWAYS,
    "--test-batch": ALWAYS,
    "--data": ALWAYS,
    "--recipe": ALWAYS,
    "--epochs": ALWAYS,
    "--lr": ALWAYS,
    "--batch": ALWAYS,
    "--init-from": ALWAYS,
    "--weights": _A_START,
    "--seed": ALWAYS,
    "--seeds": ALWAYS,
    "--out": ALWAYS,
    "--resume": _ONE_RUN,
    "--save-every": ALWAYS,
    "--keep": ALWAYS,
    "--set": ALWAYS,
    "--precision": ALWAYS,
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
    group.add_argument(
        "--data",
        default="digits",
        metavar="DATA",
        help="data set, as in digits:size=16 or cifar-10, or a folder of images (default: digits)",
    )
    group.add_argument(
        "--recipe", default="quick", metavar="NAME", help="how to train; all: resatlas list --recipes (default: quick)"
    )
    group.add_argument(
        "--epochs", type=int, metavar="N", help="epochs; the schedule is scaled to them (default: the recipe's)"
    )
    group.add_argument("--lr", metavar="X", help="peak learning rate, schedule.peak (default: the recipe's)")
    group.add_argument("--batch", metavar="N", help="batch size, over all processes (default: the recipe's)")
    group.add_argument(
        "--init-from",
        type=Path,
        metavar="FILE",
        help="start from the weights of a file of resatlas, torchvision, timm or pytorchcv (default: random weights)",
    )
    group.add_argument(
        "--weights",
        choices=get_args(Which),
        help="which weights to take from an --init-from file that contains both: raw, or ema, their average "
        "(default: raw)",
    )
    group.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="set a field of the recipe, as in schedule.peak=0.2; repeatable (default: the recipe's values)",
    )
    group.add_argument(
        "--precision",
        choices=get_args(PrecisionWanted),
        help="arithmetic precision; auto picks the fastest supported here (default: the recipe's, mostly fp32)",
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
        help="least time between checkpoints, which are saved at the ends of epochs; 0 saves after every epoch "
        f"(default: {Execution.save_every:g})",
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
    group.add_argument(
        "--device", choices=get_args(Device), help="device to compute on (default: a GPU if there is one)"
    )
    group.add_argument(
        "--checkpoint-activations",
        choices=("units", "segments"),
        help="save memory: keep only the activations between units, or between segments of about sqrt(n) of n units, "
        "and recompute the others (default: keep all)",
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


def run(options: argparse.Namespace) -> Outcome:
    """Train; the results of one run, or a list of those of several."""
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
    recipe = with_settings(recipes.resolve(options.recipe), [*options.set, *_named_settings(options)])
    if options.epochs is not None:
        recipe = with_epochs(recipe, options.epochs)
    entry = design_named(options.design)
    return Experiment(
        design=options.design,
        own=own_design(entry) if ".py:" in options.design else None,
        data=resolve_data(options.data).name,
        recipe=recipe,
        seed=seed,
        compiled=options.compile or "nothing",
        unreadable=options.unreadable,
        nonfinite=options.nonfinite,
        weights=options.init_from and weights_in(options.init_from, which=options.weights or "raw"),
    )


def _named_settings(options: argparse.Namespace) -> list[str]:
    """The settings of --lr, --batch and --precision.

    Raises: RecipeError for a setting that --set has too.
    """
    values = {name: getattr(options, name.removeprefix("--")) for name in _SETTINGS}
    keys = {setting.partition("=")[0] for setting in options.set}
    for name, key in _SETTINGS.items():
        if values[name] is not None and key in keys:
            raise RecipeError(f"{name} is --set {key}=…; use only one of the two")
    return [f"{key}={values[name]}" for name, key in _SETTINGS.items() if values[name] is not None]


def hint(word: str, options: argparse.Namespace) -> str:
    """How to set the field of a recipe whose name was used as an option; "" if there is no such field."""
    recipe = recipes.NAMED.get(options.recipe, recipes.NAMED["quick"])
    name = word.lstrip("-").replace("-", "_")
    key = _SYNONYMS.get(name, name)
    for option, field in _SETTINGS.items():
        if field == key:
            return f'did you mean "{option}"?'
    keys = fields_named(recipe, key)
    return f"it is a field of the recipe: {' or '.join(f'--set {field}=…' for field in keys)}" if keys else ""


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
            *sentences(decode(Departures, result.get("departures", {}), where="departures")),
        )
    ]
    return "\n".join([aligned(Table(columns=columns, rows=rows)), *lines])


def _best(result: dict[str, Any]) -> list[str]:
    """A sentence about the best epoch, if its checkpoint is kept."""
    if "best" not in result:
        return []
    best = result["best"]
    return [
        f"least validation error {best['validation_error_percent']:.2f} % after epoch {best['epoch']} of "
        f"{result['epochs']}, kept in {best['checkpoint']}; the test error is that of the last epoch"
    ]
