"""`resatlas preflight`: what a training will need, before it starts."""

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import get_args

from resatlas.cli.designs import DESIGN_HELP, design_named
from resatlas.cli.device_option import device_option
from resatlas.cli.launching import workers, workers_option
from resatlas.cli.outcome import Outcome
from resatlas.cli.recipe_options import RECIPE_OPTIONS, recipe_of, recipe_options
from resatlas.cli.recipe_options import hint as hint
from resatlas.cli.requirements import ALWAYS, Requirements
from resatlas.designs.catalog import own_design
from resatlas.nets.peak import RECOMPUTING, Kept
from resatlas.runs.experiment import Experiment
from resatlas.runs.record import Keep
from resatlas.studies.own_images import any_data
from resatlas.studies.preflight import Preflight, preflight, to_json
from resatlas.values.text import counted, duration_text, plain, size_text

OPTIONS: Requirements = {
    **RECIPE_OPTIONS,
    "--out": ALWAYS,
    "--keep": ALWAYS,
    "--processes": ALWAYS,
    "--workers": ALWAYS,
    "--device": ALWAYS,
    "--checkpoint-activations": ALWAYS,
    "--measure": ALWAYS,
}

_STORED: Mapping[Kept, str] = {
    "all": "all",
    "convolutions": "after convolutions and sums",
    "units": "between units",
    "segments": "between segments",
}

_MOST_RATES = 6
"""Changes of the learning rate that are printed."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its options."""
    parser.add_argument("design", metavar="DESIGN", help=DESIGN_HELP)
    recipe_options(parser.add_argument_group("experiment, as in train"))
    group = parser.add_argument_group("execution, as in train")
    group.add_argument(
        "--out", type=Path, metavar="DIR", help="folder of the run, for its disk (default: that of train, in runs)"
    )
    group.add_argument(
        "--keep",
        choices=get_args(Keep),
        default="last",
        metavar="last|best,last",
        help="kept checkpoints (default: last)",
    )
    group.add_argument("--processes", type=int, default=1, metavar="N", help="processes that train (default: 1)")
    workers_option(group)
    device_option(group)
    group.add_argument(
        "--checkpoint-activations",
        choices=RECOMPUTING,
        help="keep only the activations after convolutions, between units or between segments (default: keep all)",
    )
    parser.add_argument(
        "--measure",
        action="store_true",
        help="take a few steps in a process of its own and time them (default: estimate from multiply-adds)",
    )


def run(options: argparse.Namespace) -> Outcome:
    """The needs of the training; exit code 1 if memory or disk do not suffice."""
    entry, data = design_named(options.design), any_data(options.data)
    experiment = Experiment(
        design=options.design,
        own=own_design(entry) if ".py:" in options.design else None,
        data=data.name,
        recipe=recipe_of(options, data),
    )
    result = preflight(
        experiment,
        out=options.out,
        processes=options.processes,
        device=options.device,
        kept=options.checkpoint_activations or "all",
        workers=workers(options),
        keep=options.keep,
        measure=options.measure,
    )
    return Outcome(to_json(result), text(result), exit_code=0 if result.fits else 1)


def text(result: Preflight) -> str:
    """The result for a terminal: the sentence, then the facts behind it."""
    facts = list(_facts(result))
    span = max(len(name) for name, _ in facts)
    return "\n".join([plain(result.sentence), "", *(plain(f"{name.ljust(span)}  {fact}") for name, fact in facts)])


def _facts(result: Preflight) -> Iterator[tuple[str, str]]:
    setting, course = result.setting, result.course
    yield "training", f"{result.design} on {result.data}, recipe {result.recipe}"
    yield (
        "execution",
        f"{result.precision} on {result.where}, {counted(setting.processes, 'process')}"
        + (f" of {counted(result.threads, 'thread')}" if result.where == "cpu" else "")
        + ("" if setting.kept == "all" else f", maps stored {_STORED[setting.kept]}"),
    )
    held = f", {course.held_back:,} held back" if course.held_back else ""
    yield "images", f"{course.images:,}{held}, batch {course.batch:,}, BN statistics over {course.norm_group:,}"
    yield (
        "steps",
        f"{counted(course.steps, 'step')}: {counted(course.epochs, 'epoch')} of {course.steps_per_epoch:,}",
    )
    yield "learning rate", _rates(result)
    yield "memory", _memory(result)
    yield "of one process", _parts(result)
    free = f", {size_text(result.disk_free)} free" if result.disk_free is not None else ""
    kept = f"checkpoints of {size_text(setting.checkpoint)} and {size_text(setting.results)} of results"
    yield "disk", f"{size_text(setting.disk)} for {kept}{free}"
    yield "time", _time(result)
    yield "loader", _loader(result)
    for shortage in result.shortages:
        yield "short" if shortage.fits else "does not fit", shortage.words
    for note in result.notes:
        yield "note", note


def _rates(result: Preflight) -> str:
    course = result.course
    rates = [f"{rate:.4g} from epoch {epochs:g}" for epochs, rate in course.rates]
    more = ", …" if len(rates) > _MOST_RATES else ""
    return f"up to {course.peak_rate:g}; {', '.join(rates[:_MOST_RATES])}{more}"


def _memory(result: Preflight) -> str:
    room = result.room
    of = f" of {size_text(room.most)}, {size_text(room.free)} free now" if room else ""
    measured = (
        f"; measured in one process: {size_text(result.measured_memory)}" if result.measured_memory is not None else ""
    )
    return f"{size_text(result.setting.needed)}{of}{measured}"


def _parts(result: Preflight) -> str:
    one = result.setting.footprint
    sizes = {field.name: getattr(one, field.name) for field in fields(one)}
    return ", ".join(f"{name} {size_text(size)}" for name, size in sizes.items() if size >= 1 << 20)


def _time(result: Preflight) -> str:
    pace = result.pace
    if pace is None or result.epoch_seconds is None or result.seconds is None:
        return "not known"
    return (
        f"{duration_text(result.epoch_seconds)} an epoch, {duration_text(result.seconds)} in all; a step "
        f"{pace.median:.3g} s ({pace.low:.3g} to {pace.high:.3g}), {pace.basis}"
    )


def _loader(result: Preflight) -> str:
    loader = result.loader
    seconds = "" if loader.seconds is None else f", {loader.seconds:.3g} s a batch"
    words = f"{loader.source}{seconds}, {loader.basis}"
    if loader.waits is None or loader.source != "files":
        return words
    verdict = "a step waits for its batch" if loader.waits else "a step does not wait"
    needed = f"; {counted(loader.needed, 'worker')} would keep up" if loader.waits and loader.needed else ""
    return f"{words}; {verdict} with {counted(loader.workers, 'worker')}{needed}"
