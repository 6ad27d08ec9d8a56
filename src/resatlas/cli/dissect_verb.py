"""`resatlas dissect`: what is inside a trained network."""

import argparse
from pathlib import Path

from resatlas.analysis.answer import text, to_json
from resatlas.analysis.questions import QUESTIONS
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
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its options."""
    span = max(map(len, QUESTIONS))
    lines = [f"  {name.ljust(span)}  {question.words}" for name, question in QUESTIONS.items()]
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = "\n".join(
        [
            "questions:",
            *lines,
            "",
            "Put on validation images, or training images where a run has none; explain shows test images.",
            "The answer is written to RUN/dissections/QUESTION.json too.",
        ]
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="the folder of a finished run")
    parser.add_argument("question", metavar="QUESTION", help="one of those below")
    parser.add_argument(
        "--beside", nargs="+", type=Path, default=[], metavar="RUN", help="further runs to compare with"
    )
    parser.add_argument("--images", type=int, metavar="N", help="how many images; by default what the question needs")
    parser.add_argument(
        "--swap",
        action="append",
        type=pair,
        default=[],
        metavar="UNIT,UNIT",
        help="lesion: let two units of one shape change places, as in stages.0.1,stages.0.2; repeatable",
    )
    parser.add_argument(
        "--test-batch",
        type=int,
        metavar="N",
        help="images shown at once (default: as many as training had memory for, 256 at most)",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder of the answer (default: the run's)")
    parser.add_argument(
        "--replay", action="store_true", help="flow: train once more, and look after every epoch, not at the ends alone"
    )


def pair(words: str) -> tuple[str, str]:
    """Two paths of units."""
    found = words.split(",")
    if len(found) != 2:
        raise argparse.ArgumentTypeError(f'"{words[:60]}" is not two units, as in stages.0.1,stages.0.2')
    return found[0], found[1]


def run(options: argparse.Namespace) -> Outcome:
    """The answer as facts and tables."""
    found = dissect(
        options.run,
        options.question,
        beside=options.beside,
        images=options.images,
        swaps=options.swap,
        replay=options.replay,
        out=options.out,
        test_batch=options.test_batch,
    )
    return Outcome(to_json(found), text(found))
