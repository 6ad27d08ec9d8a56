"""`python -m resatlas` is `resatlas`."""

import sys
from typing import NoReturn


def run() -> NoReturn:
    """What a shell starts, alone or as one of torchrun's processes."""
    try:
        from resatlas.cli.main import main
        from resatlas.runs.environment import processes, wait_asleep
        from resatlas.training.watch import leave
    except KeyboardInterrupt:  # `main` reports all later ones
        print("Stopped: by Ctrl-C", file=sys.stderr)
        raise SystemExit(75) from None
    if sys.argv[1:2] != ["bench"]:  # which times other libraries as their users run them
        wait_asleep()
    code = main()
    if processes() > 1:
        leave(code)
    raise SystemExit(code)


if __name__ == "__main__":
    run()
