"""The DESIGN argument of a verb: a name of the catalogue, or a name in a Python file."""

from pathlib import Path

from resatlas.arch.blueprint import Blueprint
from resatlas.designs.catalog import Entry, entry_of_value, family_called, resolve
from resatlas.designs.family import Family
from resatlas.errors import UsageError, quoted, unknown
from resatlas.values.code_files import FAULTS, executed, fault_text

DESIGN_HELP = (
    "a name, a name:knob=value, a family:depth=…, a TOML file, or FILE.py:NAME for a network of your own (executes the "
    "file)"
)
CLASSES_HELP = "number of classes; 0 leaves out the classifier (default: the design's)"
IMAGE_HELP = "shape of an image, as in 3,32,32 (default: the design's)"


def design_named(text: str) -> Entry:
    """The entry of a DESIGN argument, as `resolve`; for FILE.py:NAME the file is EXECUTED with the user's rights.

    NAME is a `Family` (with knobs after another colon), a design, a `Blueprint`, or a function that returns one.
    Raises: as `resolve`; UsageError if the file fails or has no such name.
    """
    if text.endswith(".py"):
        raise UsageError(f"expected FILE.py:NAME, a name in the file; got {quoted(text)}")
    if ".py:" not in text:
        return resolve(text)
    value, knobs = _value_named(text)
    return entry_of_value(value, name=text, knobs=knobs.split(",") if knobs else ())


def family_or_blueprint(text: str) -> Family | Entry:
    """A family by its name, or a blueprint by its TOML file; for FILE.py:NAME, either, and the file is EXECUTED.

    Raises: UnknownName for another name; UsageError if the file fails, has no such name or has neither there;
        BlueprintError.
    """
    if text.endswith(".toml"):
        return resolve(text)
    if text.endswith(".py"):
        raise UsageError(f"expected FILE.py:NAME, a name in the file; got {quoted(text)}")
    if ".py:" not in text:
        return family_called(text)
    value, knobs = _value_named(text)
    if knobs:
        raise UsageError(f"knobs of a family are fixed by --set here, as in --set {knobs.partition(',')[0]}")
    if isinstance(value, Blueprint):
        return entry_of_value(value, name=text)
    if not isinstance(value, Family):
        raise UsageError(f"{text}: expected a Family or a Blueprint; got {type(value).__name__}")
    return value


def _value_named(text: str) -> tuple[object, str]:
    """The value at FILE.py:NAME, of a function what it returns, and the knobs after another colon."""
    path, _, rest = text.partition(".py:")
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
    return value, knobs
