"""Audit of other people's code: execute a file, call a class or function in it, and audit the module it returns.

This runs in a separate process, `python -m resatlas.audit.foreign`, so that the file cannot affect ours. The process
reads a request as JSON from its arguments and writes the verdict as JSON to the file that the request names.
"""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from types import ModuleType

from torch import nn

from resatlas.arch.ops import Shape
from resatlas.audit.comparison import audit
from resatlas.designs.catalog import resolve
from resatlas.errors import UsageError, unknown
from resatlas.values.code_files import FAULTS, executed, fault_text
from resatlas.values.unforeseen import foreseen, show_traceback


def _module_of(file: Path, name: str) -> nn.Module:
    """Execute the file and call the class or function of that name without arguments; returns the module.

    Raises: UsageError if the file fails, has no such name, or the call needs arguments or does not return a module.
    """
    code = executed(file, name="audited")
    if not hasattr(code, name):
        raise UsageError(f"{file.name}: {unknown('class or function', name, _callables(code))}")
    try:
        module = getattr(code, name)()
    except FAULTS as error:
        raise UsageError(
            f"{file.name}: {name}() fails: {fault_text(error)}; audit a function without arguments that returns the "
            f"network, such as def network(): return {name}(…)"
        ) from None
    if not isinstance(module, nn.Module):
        raise UsageError(f"{file.name}: {name}() returns a {type(module).__name__}; a torch.nn.Module is expected")
    return module


def _callables(code: ModuleType) -> list[str]:
    return [name for name, value in vars(code).items() if callable(value) and not name.startswith("_")]


def main(arguments: list[str]) -> None:
    """Audit what the request names and write the verdict."""
    request = json.loads(arguments[0])
    file, name = Path(request["file"]), request["name"]
    try:
        entry = resolve(request["design"])
        image = Shape(*request["image"]) if request["image"] else None
        answer = asdict(audit(_module_of(file, name), entry, image=image, classes=request["classes"]))
    except Exception as error:
        show_traceback(error)
        fault = foreseen(error, doing=f"auditing {file.name}:{name}", saving="a smaller --image")
        answer = {"error": str(fault), "kind": type(fault).__name__}
    except (SystemExit, KeyboardInterrupt) as error:
        answer = {"error": f"{file.name}: {name} exits the program: {fault_text(error)}"}
    Path(request["answer"]).write_text(json.dumps(answer), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
