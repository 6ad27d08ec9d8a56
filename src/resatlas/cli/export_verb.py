"""`resatlas export`: a trained network for other programs, checked against the network."""

import argparse
from pathlib import Path
from typing import Any, get_args

from resatlas.cli.epoch_option import epoch_option
from resatlas.cli.offline import RUN_HELP, access, offline_option
from resatlas.cli.outcome import Outcome
from resatlas.cli.requirements import ALWAYS, Requirement, Requirements
from resatlas.exporting.found_description import FoundParity, summary
from resatlas.exporting.page.runtime import PACKAGE, VERSION
from resatlas.exporting.targets import TARGETS, Dynamic, InputKind, Precision
from resatlas.studies.shipping import export
from resatlas.values.codec import decode
from resatlas.values.text import plain

_INT8 = Requirement(
    what="--precision int8",
    holds=lambda options: options.precision == "int8",
    otherwise="without --precision int8",
)

_PAGE = Requirement(
    what="--to page",
    holds=lambda options: options.to == "page",
    otherwise="without --to page",
)

OPTIONS: Requirements = {
    "--to": ALWAYS,
    "--out": ALWAYS,
    "--precision": ALWAYS,
    "--dynamic": ALWAYS,
    "--input": ALWAYS,
    "--data": ALWAYS,
    "--of": ALWAYS,
    "--offline": ALWAYS,
    "--calibrate": _INT8,
    "--most-loss": _INT8,
    "--runtime": _PAGE,
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its options."""
    span = max(map(len, TARGETS))
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = "\n".join(["formats:", *(f"  {name.ljust(span)}  {to.words}" for name, to in TARGETS.items())])
    parser.add_argument("what", type=Path, metavar="RUN|FOLDER|WORD", help=RUN_HELP)
    parser.add_argument("--to", default="onnx", metavar="FORMAT", help="format, see below (default: onnx)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="new or empty folder to write")
    parser.add_argument(
        "--precision",
        choices=get_args(Precision),
        default="fp32",
        help="weights stored in 32 or 16 bits and computed in 32, or stored and computed in 8 bits (default: fp32)",
    )
    parser.add_argument(
        "--dynamic",
        choices=get_args(Dynamic),
        help="free sizes of the input: none (one image at a time), batch, or size: batch, height and width "
        "(default: batch, or none where a format takes one image at a time)",
    )
    parser.add_argument(
        "--input",
        choices=get_args(InputKind),
        default="pixels",
        help="input of the graph: pixels from 0 to 255, normalised inside the graph, or normalised images "
        "(default: pixels)",
    )
    parser.add_argument(
        "--data",
        metavar="DATA",
        help="images for the checks and for int8, with the same classes (default: the data of the training)",
    )
    parser.add_argument(
        "--calibrate",
        type=int,
        default=256,
        metavar="N",
        help="training images from which the ranges of int8 are determined (default: 256)",
    )
    parser.add_argument(
        "--most-loss",
        type=float,
        default=1.0,
        metavar="POINTS",
        help="largest accepted upper bound of the additional error of int8, in percentage points (default: 1.0)",
    )
    parser.add_argument(
        "--runtime",
        type=Path,
        metavar="DIR",
        help=f"folder of the npm package {PACKAGE} {VERSION}, which then computes the page; needed above 200 million "
        "multiply-adds per image (default: the page's own script)",
    )
    epoch_option(parser)
    offline_option(parser)


def run(options: argparse.Namespace) -> Outcome:
    """The export.json of the new folder, and a summary of its checks."""
    description = export(
        options.what,
        options.out,
        to=options.to,
        precision=options.precision,
        dynamic=options.dynamic,
        input=options.input,
        calibrate=options.calibrate,
        most_loss=options.most_loss,
        runtime=options.runtime,
        data=options.data,
        of=options.of,
        access=access(options),
    )
    lines = _lines_found if "finds" in description else _lines
    return Outcome(description, "\n".join(lines(description, options.out)))


def _lines_found(description: dict[str, Any], out: Path) -> list[str]:
    """Of a detector or a segmenter."""
    parity = decode(FoundParity, description["parity"], where="parity")
    lines = [
        f"{out}: {description['file']}, {description['bytes']:,} bytes, sha256 {description['sha256']}",
        summary(parity),
    ]
    return [*map(plain, lines), f"try it: python {plain(str(out))}/predict.py IMAGE"]


def _lines(description: dict[str, Any], out: Path) -> list[str]:
    parity, int8 = description["parity"], description["int8"]
    lines = [
        f"{out}: {description['file']}, {description['bytes']:,} bytes, sha256 {description['sha256']}",
        f"logits differ from float64 by at most {parity['export']:.2g} on {parity['images']} images, "
        f"{parity['source']} (torch's float32: {parity['torch_fp32']:.2g}, accepted: {parity['bound']:.2g}); "
        f"the best class differs for {parity['top1_differs']}",
    ]
    if int8:
        lines.append(
            f"int8: error {int8['error_percent']['int8']:.2f} % (fp32: {int8['error_percent']['fp32']:.2f} %) on "
            f"{int8['images']:,} test images; {int8['lost']} answers lost, {int8['won']} won: {int8['points']:+.2f} "
            f"points, 95 % interval {int8['low']:+.2f} to {int8['high']:+.2f}"
        )
    model = plain(str(out / description["file"]))
    shown = (
        f"open {model} in a browser"
        if description["format"] == "page"
        else f"python {plain(str(out))}/predict.py IMAGE"
    )
    return [*map(plain, lines), f"try it: {shown}"]
