"""A DATA text is a name, or a name with knobs; anything else is answered with the nearest right thing."""

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resatlas.arch.ops import Shape
from resatlas.data.catalog import NAMED, resolve
from resatlas.errors import DataError, UnknownName, UsageError


@pytest.mark.parametrize("name", NAMED)
def test_every_name_resolves_to_itself(name: str) -> None:
    """A bare name gives a data set of that name, with classes, a shape and an honest note."""
    resolved = resolve(name)
    assert resolved.name == name
    assert len(resolved.classes) == len(set(resolved.classes)) >= 2
    assert min(resolved.image) >= 1
    assert resolved.note


def test_knobs_are_the_factory_s_parameters() -> None:
    """Each knob reaches its parameter."""
    resolved = resolve("synthetic:classes=3,size=16,images=40,channels=1")
    assert resolved.image == Shape(1, 16, 16)
    assert len(resolved.classes) == 3
    assert len(resolved.read().train) == 40


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("digits:size=8", "digits"),
        ("digits:size=016", "digits:size=16"),
        ("digits:split=images", "digits"),
        ("digits:split=sheets,size=16", "digits:size=16,split=sheets"),
        ("synthetic:classes=3,size=16,channels=3", "synthetic:size=16,classes=3"),
    ],
)
def test_the_name_is_the_shortest_text(text: str, name: str) -> None:
    """Knobs at their usual value are left out, and the others stand in the order of the signature."""
    assert resolve(text).name == name
    assert resolve(name) == resolve(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("digit", 'no data set "digit"; did you mean "digits"?'),
        ("Digits:size=16", 'no data set "Digits"; did you mean "digits"?'),
        ("", "there are cifar-10, cifar-100, digits, fashion-mnist, imagenet, largest, svhn, synthetic"),
        ("some.folder", 'no data set "some.folder"'),
        ("folder:of/images", 'no data set "folder"'),
        ("digits:sise=16", 'no knob of digits "sise"; did you mean "size"?'),
        ("digits:split=sheet", 'no split of digits "sheet"; did you mean "sheets"?'),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(text: str, words: str) -> None:
    """A name or knob that is not there gets the nearest that is."""
    with pytest.raises(UnknownName) as error:
        resolve(text)
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("digits:", 'a knob is written key=value; got "" (digits: size, split)'),
        ("digits:size=16,", 'a knob is written key=value; got "" (digits: size, split)'),
        ("digits:size", 'a knob is written key=value; got "size" (digits: size, split)'),
        ("digits:size=", 'got "size=" (digits: size, split)'),
        ("digits:size=1.5", 'as size=8; got "size=1.5"'),
        ("digits:size=16=16", 'got "size=16=16"'),
        ("digits:size= 16", 'got "size= 16"'),
        ("digits:size=1234567890", "up to 9 digits"),
        ("digits:size=16,size=16", 'knob "size" of digits is given twice'),
        ("digits:size=-8", "got -8"),
        ("fashion-mnist:size=32", 'fashion-mnist has no knobs; "size=32" cannot be set'),
    ],
)
def test_a_malformed_knob_is_refused_in_words(text: str, words: str) -> None:
    """A knob without a whole number, given twice or out of bounds is quoted with what is allowed."""
    with pytest.raises(UsageError) as error:
        resolve(text)
    assert words in str(error.value)


@pytest.mark.parametrize("text", ["some/folder", "some/folder:size=96", "/:size=96"])
def test_a_text_with_a_slash_is_a_folder(text: str) -> None:
    """A folder that is not there, or holds no data set, is missing data and no wrong name."""
    with pytest.raises(DataError, match=r"some/folder cannot be listed|^/ needs the folders train and val"):
        resolve(text)


def answer(text: str) -> str:
    """The name that the text resolves to, or the error's message."""
    try:
        return resolve(text).name
    except (UsageError, DataError) as error:
        return str(error)


@given(st.text(max_size=20), st.text(max_size=20))
@settings(deadline=None)  # folders are looked for
def test_no_text_breaks_the_catalogue(name: str, knobs: str) -> None:
    """Any text is answered in one line."""
    for text in (name, f"{name}:{knobs}", f"digits:{knobs}", f"digits:size={knobs}"):
        assert len(answer(text).splitlines()) == 1


def test_describing_a_data_set_loads_no_numbers() -> None:
    """Resolving every name imports neither torch nor scikit-learn nor numpy."""
    program = (
        "import sys; from resatlas.data.catalog import NAMED, resolve; [resolve(name) for name in NAMED]; "
        "sys.exit(', '.join({'torch', 'sklearn', 'numpy'} & set(sys.modules)) or 0)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
