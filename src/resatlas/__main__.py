"""`python -m resatlas` is `resatlas`."""

import sys
from typing import NoReturn

from resatlas.cli.main import main
from resatlas.runs.environment import processes, wait_asleep
from resatlas.training.watch import leave


def run() -> NoReturn:
    """What a shell starts, alone or as one of torchrun's processes."""
    if sys.argv[1:2] != ["bench"]:  # which times other libraries as their users run them
        wait_asleep()
    code = main()
    if processes() > 1:
        leave(code)
    raise SystemExit(code)


if __name__ == "__main__":
    run()
