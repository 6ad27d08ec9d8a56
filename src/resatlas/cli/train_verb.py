"""`resatlas train`: one design on one data set, once or over several seeds."""

import argparse
import json
import os
from pathlib import Path
from typing import Any

from resatlas.arch.text import aligned
from resatlas.cli.launching import launch
from resatlas.cli.outcome import Outcome, plain
from resatlas.cli.progress import watcher
from resatlas.data import catalog as datasets
from resatlas.designs import catalog as designs
from resatlas.errors import UsageError
from resatlas.recipes import catalog as recipes
from resatlas.recipes.recipe import with_epochs
from resatlas.runs import experiment as experiments
from resatlas.runs.environment import processes
from resatlas.runs.experiment import Experiment, weights_in
from resatlas.studies.single import SAVE_EVERY, carry_out, prepare


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its options."""
    parser.add_argument("design", metavar="DESIGN", help="a name, a name:knob=value, a family:depth=…, or a TOML file")
    parser.add_argument(
        "--data", default="digits", metavar="DATA", help="digits (default), digits:size=16, cifar-10, …, or a folder"
    )
    parser.add_argument("--recipe", default="quick", metavar="R", help="how to train (default: quick)")
    parser.add_argument(
        "--epochs", type=int, metavar="N", help="epochs, in place of the recipe's; its schedule is scaled exactly"
    )
    parser.add_argument("--init-from", type=Path, metavar="FILE", help="weights of any source to start from")
    seeds = parser.add_mutually_exclusive_group()
    seeds.add_argument("--seed", type=int, default=0, metavar="N", help="seed of weights, order and draws (default: 0)")
    seeds.add_argument("--seeds", type=int, metavar="N", help="train seeds 0 to N - 1, each in a folder of its own")
    parser.add_argument("--out", type=Path, metavar="DIR", help="the run's folder (default: runs/<data>-<design>-…)")
    parser.add_argument(
        "--resume",
        nargs="?",
        const="auto",
        metavar="auto|PATH",
        help="go on from the newest valid checkpoint, or from this one",
    )
    parser.add_argument(
        "--save-every",
        type=float,
        default=SAVE_EVERY,
        metavar="SECONDS",
        help="0 saves after every epoch (default: 30)",
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="a field of the recipe, as in schedule.peak=0.2"
    )
    parser.add_argument(
        "--unreadable",
        choices=("error", "skip"),
        default="error",
        help="at an image that cannot be read: end (default), or train on another of its class and test without it",
    )
    parser.add_argument(
        "--processes", type=int, metavar="N", help="train in N processes on this machine, each with its part of a batch"
    )
    parser.add_argument(
        "--workers", type=int, metavar="N", help="processes that prepare photographs (default: one a core but one)"
    )
    parser.add_argument("--print-config", action="store_true", help="print the resolved experiment and stop")


def run(options: argparse.Namespace) -> Outcome:
    """Train, and the results of one run or the list of several."""
    if options.processes not in (None, 1) and processes() == 1:
        return _launched(options)
    experiments_ = [_experiment(options, seed) for seed in _seeds(options)]
    if options.print_config:
        data = [experiments.to_json(each) for each in experiments_]
        value: Any = data if options.seeds else data[0]
        return Outcome(value, json.dumps(value, indent=2, ensure_ascii=False))
    if not 0 <= options.save_every < float("inf"):
        raise UsageError(f"--save-every is a number of seconds from 0; {options.save_every} is not")
    prepared = [prepare(each, out=_folder(options, each), resume=options.resume) for each in experiments_]
    how = {"resume": options.resume, "save_every": options.save_every, "workers": _workers(options)}
    with watcher(quiet=options.quiet) as watching:
        results = [carry_out(each, watcher=watching, **how) for each in prepared]
    return Outcome(results if options.seeds else results[0], _closing(results, [each.folder for each in prepared]))


def _launched(options: argparse.Namespace) -> Outcome:
    """The same command in several processes, the first of which has said everything."""
    count = options.processes
    cores = os.cpu_count() or 1
    if not 1 <= count <= cores:
        raise UsageError(f"--processes lies between 1 and {cores}, one a core; {count} does not")
    options.json, options.quiet = False, True
    return Outcome(None, "", exit_code=launch(count, options.words))


def _seeds(options: argparse.Namespace) -> list[int]:
    if options.seeds is None:
        return [options.seed]
    if not 1 <= options.seeds <= 1000:
        raise UsageError(f"--seeds lies between 1 and 1000; {options.seeds} does not")
    return list(range(options.seeds))


def _experiment(options: argparse.Namespace, seed: int) -> Experiment:
    recipe = recipes.with_settings(recipes.resolve(options.recipe), options.set)
    if options.epochs is not None:
        recipe = with_epochs(recipe, options.epochs)
    designs.resolve(options.design)
    return Experiment(
        design=options.design,
        data=datasets.resolve(options.data).name,
        recipe=recipe,
        seed=seed,
        unreadable=options.unreadable,
        weights=options.init_from and weights_in(options.init_from),
    )


def _workers(options: argparse.Namespace) -> int:
    if options.workers is None:
        return max((os.cpu_count() or 1) - 1, 1)
    if not 1 <= options.workers <= 256:
        raise UsageError(f"--workers lies between 1 and 256; {options.workers} does not")
    return options.workers


def _folder(options: argparse.Namespace, experiment: Experiment) -> Path:
    if options.out is None:
        return Path("runs") / experiment.run_name
    out: Path = options.out
    if not options.seeds:
        return out
    if not out.name:
        raise UsageError(f"several seeds make folders side by side, named after --out; {out} has no name")
    return out.with_name(f"{out.name}-s{experiment.seed}")


def _closing(results: list[dict[str, Any]], folders: list[Path]) -> str:
    rows = [
        (
            plain(str(folder)),
            str(each["seed"]),
            f"{each['train']['loss']:.4f}",
            f"{each['validation']['error_percent']:.2f}" if "validation" in each else "-",
            f"{each['test']['error_percent']:.2f}",
            f"{each['images_per_second']:,.0f}",
            f"{each['seconds']:.1f}",
        )
        for each, folder in zip(results, folders, strict=True)
    ]
    head = ("run", "seed", "train loss", "validation error %", "test error %", "images/s", "seconds")
    return aligned(head, rows)
