"""`python -m resatlas` is `resatlas`."""

from resatlas.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
