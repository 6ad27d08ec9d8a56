"""Python files named on a command line; they are executed with the rights of the user."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from resatlas.errors import UsageError, quoted

FAULTS = (Exception, SystemExit, KeyboardInterrupt)
"""What executed code can raise, including exits."""


def executed(file: Path, *, name: str) -> ModuleType:
    """Execute a file as a module of this name; it can import files in its folder.

    Raises: UsageError if it is missing, not Python, or fails.
    """
    spec = importlib.util.spec_from_file_location(name, file)
    if not file.exists():
        raise UsageError(f"{quoted(str(file))} does not exist")
    if spec is None or spec.loader is None or not file.is_file():
        raise UsageError(f"{quoted(str(file))} is not a Python file")
    sys.path.insert(0, str(file.parent))
    code = importlib.util.module_from_spec(spec)
    sys.modules[name] = code
    try:
        spec.loader.exec_module(code)
    except FAULTS as error:
        raise UsageError(f"{file.name} fails while it is executed: {fault_text(error)}") from None
    return code


def fault_text(error: BaseException) -> str:
    """The class and the message of an error in one line."""
    words = " ".join(str(error).split())[:200]
    return f"{type(error).__name__}: {words}" if words else type(error).__name__
