"""`resatlas serve`: an HTTP server that classifies images with a trained network."""

import argparse
import re
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from resatlas.cli.display import say
from resatlas.cli.epoch_option import epoch_option
from resatlas.cli.offline import RUN_HELP, access, offline_option
from resatlas.cli.outcome import Outcome
from resatlas.cli.requirements import ALWAYS, Requirements
from resatlas.errors import UsageError
from resatlas.inference.engines.packages import Engine, check_engine
from resatlas.values.text import counted

if TYPE_CHECKING:  # wrong arguments are reported before torch is imported
    from resatlas.serving.classifier import Classifier, Reader
    from resatlas.serving.limits import Limits

OPTIONS: Requirements = dict.fromkeys(
    (
        "--host",
        "--port",
        "--engine",
        "--precision",
        "--threads",
        "--max-body",
        "--max-pixels",
        "--queue",
        "--batch",
        "--connections",
        "--answer-seconds",
        "--of",
        "--offline",
    ),
    ALWAYS,
)

_PACKAGES = ("starlette", "uvicorn", "prometheus_client")
_UNITS = {"": 1, "k": 1_000, "M": 1_000_000, "G": 1_000_000_000}
_MOST_THREADS = 1_024
_OWN = ("127.0.0.1", "localhost", "::1")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare its options."""
    parser.add_argument("run", type=Path, metavar="RUN|FOLDER|EXPORT|WORD", help=f"{RUN_HELP}; or a folder of export")
    _where(parser.add_argument_group("address"))
    _how(parser.add_argument_group("computation"))
    _limits(parser.add_argument_group("limits"))


def _where(group: "argparse._ArgumentGroup") -> None:
    group.add_argument(
        "--host", default="127.0.0.1", metavar="ADDRESS", help="address to listen on (default: 127.0.0.1, this machine)"
    )
    group.add_argument(
        "--port", type=int, default=8000, metavar="N", help="port to listen on; 0: any free one (default: 8000)"
    )


def _how(group: "argparse._ArgumentGroup") -> None:
    group.add_argument(
        "--engine",
        choices=get_args(Engine),
        help="library that computes: torch, onnxruntime or openvino (default: torch, or that of an export's format)",
    )
    group.add_argument(
        "--precision",
        choices=("fp32", "bf16"),
        help="arithmetic precision (default: fp32, as predict; an export has its own)",
    )
    group.add_argument(
        "--threads", type=int, metavar="N", help="threads of a forward pass (default: by the size of the network)"
    )
    epoch_option(group)
    offline_option(group)
    group.add_argument(
        "--batch", type=int, default=16, metavar="N", help="images of one forward pass at most (default: 16)"
    )


def _limits(group: "argparse._ArgumentGroup") -> None:
    group.add_argument(
        "--max-body", type=_size, default="10M", metavar="BYTES", help="largest request body (default: 10M)"
    )
    group.add_argument(
        "--max-pixels", type=_size, default="25M", metavar="N", help="largest number of pixels (default: 25M)"
    )
    group.add_argument(
        "--queue", type=int, default=64, metavar="N", help="images in work or waiting; more get 503 (default: 64)"
    )
    group.add_argument(
        "--connections", type=int, default=256, metavar="N", help="open connections; more get 503 (default: 256)"
    )
    group.add_argument(
        "--answer-seconds",
        type=float,
        default=10.0,
        metavar="SECONDS",
        help="seconds for a body to arrive, then for its answer (default: 10)",
    )


def run(options: argparse.Namespace) -> Outcome:
    """Serve until a signal; the number of answered requests."""
    _check_packages()
    from resatlas.serving.limits import Limits

    limits = Limits(
        max_body=options.max_body,
        max_pixels=options.max_pixels,
        queue=options.queue,
        batch=options.batch,
        connections=options.connections,
        answer_seconds=options.answer_seconds,
    )
    if options.threads is not None and not 1 <= options.threads <= _MOST_THREADS:
        raise UsageError(f"--threads must be between 1 and {_MOST_THREADS:,}; got {options.threads:,}")
    from resatlas.serving.server import allow_files, bound, serve
    from resatlas.serving.service import Service

    allow_files(limits)
    with bound(options.host, options.port) as listener:
        port = listener.getsockname()[1]
        classifier = _classifier(options, limits)
        service = Service(classifier, limits)
        design = classifier.description.get("design") or options.run.name

        def on_ready() -> None:
            if not options.quiet:
                for line in _lines(options.host, port, str(design)):
                    say(line)

        serve(service, listener, on_ready=on_ready)
    answered = service.metrics.answered
    return Outcome({"answered": answered}, f"stopped after {counted(answered, 'answered request')}")


def _lines(host: str, port: int, design: str) -> list[str]:
    """What is printed once the server is ready."""
    shown = f"[{host}]" if ":" in host else host
    lines = [f"{design} on http://{shown}:{port}/ (stop with Ctrl-C)"]
    if host not in _OWN:
        lines.append("other machines can reach it; it has no login and no encryption: put it behind a proxy")
    return lines


def _check_packages() -> None:
    missing = [name.replace("_", "-") for name in _PACKAGES if find_spec(name) is None]
    if missing:
        raise UsageError(f"resatlas serve needs {', '.join(missing)}: pip install 'resatlas[serve]'")


def _classifier(options: argparse.Namespace, limits: "Limits") -> "Classifier":
    """The network of RUN behind the engine, with the preparation of `resatlas predict`.

    Raises: FolderError, CheckpointError; UsageError if the network does not take the pixels of image files.
    """
    from resatlas.exporting.reading import is_export

    if is_export(options.run):
        return _of_export(options, limits)
    from resatlas.studies.predictors import predictor_of

    engine, precision = check_engine(options.engine or "torch"), options.precision or "fp32"
    predictor = predictor_of(options.run, of=options.of, access=access(options))
    import torch

    from resatlas import __version__
    from resatlas.arch.cost import cost
    from resatlas.exporting.preprocessing import network_input
    from resatlas.serving.classifier import Classifier, logits_by
    from resatlas.training.threads import computing, threads_for

    plan, preprocessing = predictor.network.plan, predictor.preprocessing
    network_input(torch.zeros(3, *plan.image[1:], dtype=torch.uint8), preprocessing)

    read = _reader(limits)
    total = cost(plan)
    threads = options.threads or threads_for(plan, images=limits.batch)
    with computing(threads):
        logits = logits_by(engine, predictor.network, precision)
    return Classifier(
        image=plan.image,
        prepare=lambda content: network_input(read(content), preprocessing),
        logits=logits,
        classes=predictor.classes,
        threads=threads,
        description={
            "design": predictor.design,
            "image": plan.image._asdict(),
            "classes": list(predictor.classes),
            "parameters": total.parameters,
            "multiply_adds": total.multiply_adds,
            "engine": engine,
            "precision": precision,
            "resatlas": __version__,
        },
    )


def _of_export(options: argparse.Namespace, limits: "Limits") -> "Classifier":
    """The written model of an export, which has an engine, a precision and an epoch of its own.

    Raises: UsageError for an option that only a network has; FolderError, CheckpointError.
    """
    for name in ("engine", "precision"):
        if getattr(options, name) is not None:
            raise UsageError(f"{options.run} is an export, whose format decides: leave out --{name}")
    if options.of != "last":
        raise UsageError(f"{options.run} is an export, which has the weights of one epoch; leave out --of best")
    from resatlas.serving.exported import exported_classifier
    from resatlas.values.cores import cores

    return exported_classifier(options.run, _reader(limits), threads=options.threads or cores())


def _reader(limits: "Limits") -> "Reader":
    """The reader of image files within the limits."""
    import torch

    from resatlas.serving.image_file import image_pixels

    return lambda content: torch.from_numpy(image_pixels(content, most=limits.max_pixels))


def _size(text: str) -> int:
    """10M = 10,000,000.

    Raises: ArgumentTypeError
    """
    match = re.fullmatch(r"([0-9]{1,12}(?:\.[0-9]{1,6})?)([kMG]?)", text)
    if not match:
        raise argparse.ArgumentTypeError(f'expected a size such as 10M, 500k or 2000000; got "{text[:40]}"')
    return round(float(match[1]) * _UNITS[match[2]])
