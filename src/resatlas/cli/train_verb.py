"""`resatlas train`: one design on one data set, once or over several seeds."""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from resatlas.cli import launching
from resatlas.cli.designs import design_named
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

SETTINGS: Mapping[str, str] = {"--lr": "schedule.peak", "--batch": "batch", "--precision": "precision"}
"""Fields of a recipe that have an option of their own."""

AS_ELSEWHERE: Mapping[str, str] = {
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
"""Fields of a recipe by the names that they have in other programs."""

ONE_RUN = Requirement(
    what="a single run (--resume auto goes with several)",
    holds=lambda options: options.seeds is None or options.resume in (None, "auto"),
    otherwise="with --seeds and the path of a checkpoint",
)

A_START = Requirement(
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
    "--weights": A_START,
    "--seed": ALWAYS,
    "--seeds": ALWAYS,
    "--out": ALWAYS,
    "--resume": ONE_RUN,
    "--save-every": ALWAYS,
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
    parser.add_argument("design", metavar="DESIGN", help="a name, a name:knob=value, a family:depth=…, or a TOML file")
    _experiment_options(parser.add_argument_group("experiment (what is trained, on what, and how)"))
    _run_options(parser.add_argument_group("run (its folder, and how it resumes)"))
    launching.arguments(parser, does="train")
    _execution_options(parser.add_argument_group("execution (same results up to rounding)"))


def _experiment_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--data", default="digits", metavar="DATA", help="digits (default), digits:size=16, cifar-10, …, or a folder"
    )
    group.add_argument("--recipe", default="quick", metavar="R", help="how to train (default: quick)")
    group.add_argument(
        "--epochs", type=int, metavar="N", help="epochs (default: the recipe's); the schedule is scaled exactly"
    )
    group.add_argument("--lr", metavar="X", help="peak learning rate, schedule.peak (default: the recipe's)")
    group.add_argument("--batch", metavar="N", help="batch size (default: the recipe's)")
    group.add_argument("--init-from", type=Path, metavar="FILE", help="weights of any source to start from")
    group.add_argument(
        "--weights",
        choices=get_args(Which),
        help="of an --init-from file that holds both: the raw weights (default) or their average, ema",
    )
    group.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="a field of the recipe, as in schedule.peak=0.2"
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
        help="unreadable image: stop (default), or train on another image of its class and test without it",
    )
    group.add_argument(
        "--nonfinite",
        choices=("stop", "skip"),
        default="stop",
        help=f"NaN or infinite loss or gradient: stop (default), or skip the step, {CAP}",
    )
    seeds = group.add_mutually_exclusive_group()
    seeds.add_argument("--seed", type=int, default=0, metavar="N", help="seed of weights, order and draws (default: 0)")
    seeds.add_argument("--seeds", type=int, metavar="N", help="train seeds 0 to N - 1, each in a folder of its own")


def _run_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--out", type=Path, metavar="DIR", help="the run's folder (default: runs/<data>-<design>-…)")
    group.add_argument(
        "--resume",
        nargs="?",
        const="auto",
        metavar="auto|PATH",
        help="continue from the newest valid checkpoint, or from this one",
    )
    group.add_argument(
        "--save-every",
        type=float,
        default=Execution.save_every,
        metavar="SECONDS",
        help="0 saves after every epoch (default: 30)",
    )
    group.add_argument("--print-config", action="store_true", help="print the resolved experiment and stop")


def _execution_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--verify",
        choices=("none", "tested", "all"),
        help="image files decoded before the first epoch: those of validation and test (default), all (default with "
        "--unreadable skip) or none",
    )
    group.add_argument(
        "--test-batch",
        type=int,
        metavar="N",
        help="images that a test shows at once (default: as many as training has memory for, 256 at most)",
    )
    group.add_argument("--device", choices=get_args(Device), help="default: the GPU where there is one")
    group.add_argument(
        "--checkpoint-activations",
        choices=("units", "segments"),
        help="keep only the maps between units, or between runs of about sqrt(n) of n units; compute the others twice",
    )
    group.add_argument(
        "--compile", choices=("units",), help="by torch.compile, one kind of unit at a time; needs a C++ compiler"
    )
    group.add_argument(
        "--deterministic",
        action="store_true",
        help="the same bits from the same seed, machine and number of threads; refuses operations that cannot",
    )
    group.add_argument(
        "--log",
        metavar="NAMES",
        help="tensorboard, wandb, both with a comma, or none (default: tensorboard where it is installed)",
    )


def run(options: argparse.Namespace) -> Outcome:
    """Train, and the results of one run or the list of several."""
    if options.processes not in (None, 1) and processes() == 1:
        return run_in_processes(options)
    experiments_ = [_experiment(options, seed) for seed in _seeds(options)]
    if options.print_config:
        data = [experiments.to_json(each) for each in experiments_]
        value: Any = data if options.seeds else data[0]
        return Outcome(value, json.dumps(value, indent=2, ensure_ascii=False))
    execution = _execution(options)
    if not 0 <= options.save_every < float("inf"):
        raise UsageError(f"--save-every is a number of seconds from 0; {options.save_every} is not")
    logs_here(execution.logs)
    if options.test_batch is not None:
        check_test_batch(options.test_batch)
    prepared = [prepare(each, out=_folder(options, each), execution=execution) for each in experiments_]
    with watcher(quiet=options.quiet) as watching:
        results = [carry_out(each, watcher=watching) for each in prepared]
    return Outcome(results if options.seeds else results[0], _closing(results, [each.folder for each in prepared]))


def _seeds(options: argparse.Namespace) -> list[int]:
    if options.seeds is None:
        return [options.seed]
    if not 1 <= options.seeds <= 1000:
        raise UsageError(f"--seeds lies between 1 and 1000; {options.seeds} does not")
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
    """The settings that have an option of their own.

    Raises: RecipeError for one that --set gives, too.
    """
    values = {name: getattr(options, name.removeprefix("--")) for name in SETTINGS}
    given = {setting.partition("=")[0] for setting in options.set}
    for name, key in SETTINGS.items():
        if values[name] is not None and key in given:
            raise RecipeError(f"{name} is --set {key}=…; give one of the two")
    return [f"{key}={values[name]}" for name, key in SETTINGS.items() if values[name] is not None]


def elsewhere(word: str, options: argparse.Namespace) -> str:
    """How a field of the recipe is set whose name is given as an option, or nothing if it is no such name."""
    recipe = recipes.NAMED.get(options.recipe, recipes.NAMED["quick"])
    name = word.lstrip("-").replace("-", "_")
    key = AS_ELSEWHERE.get(name, name)
    for option, own in SETTINGS.items():
        if own == key:
            return f'did you mean "{option}"?'
    keys = fields_named(recipe, key)
    return f"it is a field of the recipe: {' or '.join(f'--set {each}=…' for each in keys)}" if keys else ""


def _execution(options: argparse.Namespace) -> Execution:
    return Execution(
        device=options.device,
        kept=options.checkpoint_activations or "all",
        deterministic=options.deterministic,
        logs=None if options.log is None else _logs(options.log),
        rank_timeout=rank_timeout(options),
        resume=options.resume,
        save_every=options.save_every,
        workers=workers(options),
        verify=options.verify,
        test_batch=options.test_batch,
    )


def _logs(text: str) -> tuple[Log, ...]:
    """The logs that a text names, each once.

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
        raise UsageError(f"several seeds make folders side by side, named after --out; {out} has no name")
    return out.with_name(f"{out.name}-s{experiment.seed}")


def _closing(results: list[dict[str, Any]], folders: list[Path]) -> str:
    rows = tuple(
        (
            str(folder),
            str(each["seed"]),
            each["train"]["loss"],
            each["validation"]["error_percent"] if "validation" in each else None,
            each["test"]["error_percent"],
            each["images_per_second"],
            each["seconds"],
        )
        for each, folder in zip(results, folders, strict=True)
    )
    columns = (
        *(*words("run"), *numbers("seed"), Column("train loss", "1", ".4f")),
        *(Column("validation error", "%", ".2f"), Column("test error", "%", ".2f")),
        *(Column("images/s", "1", ",.0f"), Column("seconds", "1", ".1f")),
    )
    several = len(results) > 1
    lines = [
        plain(f"{folder}: {line}" if several else line)
        for each, folder in zip(results, folders, strict=True)
        for line in sentences(decode(Departures, each.get("departures", {}), where="departures"))
    ]
    return "\n".join([aligned(Table(columns=columns, rows=rows)), *lines])
