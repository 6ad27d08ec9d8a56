"""`python -m resatlas` is `resatlas`."""

from typing import NoReturn

from resatlas.cli.main import main
from resatlas.runs.environment import processes
from resatlas.training.watch import leave


def run() -> NoReturn:
    """What a shell starts, alone or as one of torchrun's processes."""
    code = main()
    if processes() > 1:
        leave(code)
    raise SystemExit(code)


if __name__ == "__main__":
    run()
