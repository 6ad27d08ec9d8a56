"""The DESIGN argument of a verb: a text of the catalogue, or a name in a Python file."""

from pathlib import Path

from resatlas.designs.catalog import Entry, entry_of_value, resolve
from resatlas.designs.family import Family
from resatlas.errors import UsageError, unknown
from resatlas.values.code_files import FAULTS, executed, fault_text


def design_named(text: str) -> Entry:
    """The entry of a DESIGN argument, as `resolve`; of my_nets.py:NAME the file is EXECUTED with the user's rights.

    NAME is a `Family`, with its knobs behind another colon, a design, a `Blueprint`, or a function that gives one.
    Raises: as `resolve`; UsageError if the file fails or has no such name.
    """
    path, code, rest = text.partition(".py:")
    if not code:
        return resolve(text)
    file, (name, _, knobs) = Path(f"{path}.py"), rest.partition(":")
    module = executed(file, name="own_designs")
    if not hasattr(module, name):
        names = [own for own in vars(module) if not own.startswith("_")]
        raise UsageError(f"{file.name}: {unknown('design', name, names)}")
    value = getattr(module, name)
    if callable(value) and not isinstance(value, type | Family):
        try:
            value = value()
        except FAULTS as error:
            raise UsageError(f"{file.name}: {name}() fails: {fault_text(error)}") from None
    return entry_of_value(value, name=text, knobs=knobs.split(",") if knobs else ())
