"""`resatlas dissect`: analyse a trained network."""

import argparse
from pathlib import Path

from resatlas.analysis.probes import PROBES, result_text, result_to_json
from resatlas.cli.epoch_option import epoch_option
from resatlas.cli.offline import RUN_HELP, access, offline_option
from resatlas.cli.outcome import Outcome
from resatlas.cli.requirements import ALWAYS, Requirements
from resatlas.studies.dissection import dissect

OPTIONS: Requirements = {
    "--test-batch": ALWAYS,
    "--out": ALWAYS,
    "--beside": ALWAYS,
    "--images": ALWAYS,
    "--swap": ALWAYS,
    "--replay": ALWAYS,
    "--of": ALWAYS,
    "--offline": ALWAYS,
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its options."""
    width = max(map(len, PROBES))
    lines = [f"  {name.ljust(width)}  {probe.words}" for name, probe in PROBES.items()]
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = "\n".join(
        [
            "questions:",
            *lines,
            "",
            "All use validation images, or training images if a run has no validation set; explain uses test images.",
            "The result is also written to RUN/dissections/QUESTION.json, with --of best to QUESTION-best.json.",
            "A saved network or a word, which has no run, answers capacity, lesion, paths and similarity, on the",
            "images of its data set.",
        ]
    )
    parser.add_argument("run", type=Path, metavar="RUN|FOLDER|WORD", help=RUN_HELP)
    parser.add_argument("question", metavar="QUESTION", help="one of the questions below")
    parser.add_argument(
        "--beside", nargs="+", type=Path, default=[], metavar="RUN", help="further runs to compare with"
    )
    parser.add_argument("--images", type=int, metavar="N", help="number of images (default: depends on the question)")
    parser.add_argument(
        "--swap",
        action="append",
        type=_pair,
        default=[],
        metavar="UNIT,UNIT",
        help="lesion: swap two units of the same shape, as in stages.0.1,stages.0.2; repeatable",
    )
    parser.add_argument(
        "--test-batch",
        type=int,
        metavar="N",
        help="images per forward pass (default: as many as fitted into memory in training, at most 256)",
    )
    epoch_option(parser)
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for the result (default: the run's folder)")
    parser.add_argument(
        "--replay",
        action="store_true",
        help="flow: train again and measure after every epoch, not only at the checkpoints",
    )
    offline_option(parser)


def _pair(words: str) -> tuple[str, str]:
    """The paths of two units.

    Raises: ArgumentTypeError if there are not two.
    """
    paths = words.split(",")
    if len(paths) != 2:
        raise argparse.ArgumentTypeError(f'expected two units, as in stages.0.1,stages.0.2; got "{words[:60]}"')
    return paths[0], paths[1]


def run(options: argparse.Namespace) -> Outcome:
    """The result of the probe."""
    result = dissect(
        options.run,
        options.question,
        beside=options.beside,
        images=options.images,
        swaps=options.swap,
        replay=options.replay,
        out=options.out,
        test_batch=options.test_batch,
        of=options.of,
        access=access(options),
    )
    return Outcome(result_to_json(result), result_text(result))
