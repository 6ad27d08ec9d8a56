"""`resatlas bench`: measure the speed of networks and of other libraries."""

import argparse
from pathlib import Path

from resatlas.bench.benchmarks import BENCHMARKS, Options, run_benchmark
from resatlas.bench.rows import check_out, objects, text, write
from resatlas.cli.display import meter, say
from resatlas.cli.outcome import Outcome
from resatlas.cli.requirements import ALWAYS, Requirements

OPTIONS: Requirements = {
    "--question": ALWAYS,
    "--against": ALWAYS,
    "--compiled": ALWAYS,
    "--engines": ALWAYS,
    "--batch": ALWAYS,
    "--norm-group": ALWAYS,
    "--rounds": ALWAYS,
    "--out": ALWAYS,
    "--strict": ALWAYS,
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its options."""
    span = max(map(len, BENCHMARKS))
    lines = [f"  {name.ljust(span)}  {benchmark.words}" for name, benchmark in BENCHMARKS.items()]
    peers = [
        f"  {name.ljust(span)}  {', '.join(benchmark.peers)}"
        for name, benchmark in BENCHMARKS.items()
        if benchmark.peers
    ]
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = "\n".join(["questions:", *lines, "", "peers:", *peers])
    parser.add_argument(
        "designs", nargs="*", metavar="DESIGN", help="designs to measure (default: some networks of each paper)"
    )
    parser.add_argument(
        "--question", default="training", metavar="QUESTION", help="what to measure, see below (default: training)"
    )
    parser.add_argument("--against", metavar="PEER", help="library to compare with, see below (default: none)")
    parser.add_argument(
        "--compiled",
        action="store_true",
        help="also measure the library's network under torch.compile, which takes minutes per network (default: off)",
    )
    parser.add_argument(
        "--engines",
        action="store_true",
        help="also measure our network and the library's under ONNX Runtime and OpenVINO, which export them "
        "(default: off)",
    )
    parser.add_argument(
        "--batch", type=int, metavar="N", help="images per batch, over all processes (default: the question's)"
    )
    parser.add_argument(
        "--norm-group", type=int, metavar="N", help="images per BN statistics (default: those of one process)"
    )
    parser.add_argument(
        "--rounds", type=int, metavar="N", help="how often each network is timed (default: the question's)"
    )
    parser.add_argument(
        "--out", type=Path, metavar="NAME", help="write the tables to NAME.md and NAME.json (default: only print them)"
    )
    parser.add_argument(
        "--strict",
        action="store_true",
        help="exit code 1 if rounds differ too much for figures to be quoted (default: off)",
    )


def run(options: argparse.Namespace) -> Outcome:
    """The measurements: rows as JSON, tables as text."""
    if options.out is not None:
        check_out(options.out)
    chosen = Options(
        designs=tuple(options.designs),
        against=options.against,
        forms=("eager", "compiled") if options.compiled else ("eager",),
        engines=("onnxruntime", "openvino") if options.engines else (),
        batch=options.batch,
        norm_group=options.norm_group,
        rounds=options.rounds,
    )
    with meter("calls", quiet=options.quiet) as on_advance:
        result = run_benchmark(options.question, chosen, on_advance=on_advance)
    if options.out is not None:
        write(result, options.out)
    if result.warning and options.json and not options.quiet:  # --json has the rows alone
        say(result.warning)
    return Outcome(objects(result.rows), text(result), exit_code=1 if options.strict and result.warning else 0)
