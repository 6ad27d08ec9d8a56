"""`resatlas bench`: how fast it is, against the peers."""

import argparse
from pathlib import Path

from resatlas.bench.benchmarks import BENCHMARKS, Options, run_benchmark
from resatlas.bench.rows import check_out, objects, text, write
from resatlas.cli.display import meter
from resatlas.cli.outcome import Outcome
from resatlas.cli.together import ALWAYS, Together

OPTIONS: Together = {
    "--question": ALWAYS,
    "--against": ALWAYS,
    "--compiled": ALWAYS,
    "--batch": ALWAYS,
    "--norm-group": ALWAYS,
    "--rounds": ALWAYS,
    "--out": ALWAYS,
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
        "designs", nargs="*", metavar="DESIGN", help="what is measured (default: some nets of each paper)"
    )
    parser.add_argument(
        "--question", default="training", metavar="QUESTION", help="one of those below (default: training)"
    )
    parser.add_argument("--against", metavar="PEER", help="the library that competes, one of those below")
    parser.add_argument(
        "--compiled", action="store_true", help="let the peer compete compiled as well, which may take minutes a net"
    )
    parser.add_argument("--batch", type=int, metavar="N", help="images of a batch, over all processes")
    parser.add_argument(
        "--norm-group", type=int, metavar="N", help="images that share statistics of norms (default: a process's)"
    )
    parser.add_argument("--rounds", type=int, metavar="N", help="how often each contender is timed")
    parser.add_argument("--out", type=Path, metavar="NAME", help="also write NAME.md and NAME.json")


def run(options: argparse.Namespace) -> Outcome:
    """What was measured: its rows as JSON, all of it as text."""
    if options.out is not None:
        check_out(options.out)
    chosen = Options(
        designs=tuple(options.designs),
        against=options.against,
        forms=("eager", "compiled") if options.compiled else ("eager",),
        batch=options.batch,
        norm_group=options.norm_group,
        rounds=options.rounds,
    )
    with meter("calls", quiet=options.quiet) as on_advance:
        result = run_benchmark(options.question, chosen, on_advance=on_advance)
    if options.out is not None:
        write(result, options.out)
    return Outcome(objects(result.rows), text(result))
