"""TOML files from strangers: read exactly, or refused in one line and at once."""

import json
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resatlas.errors import BlueprintError
from resatlas.values.toml import LARGEST, check_nesting, read_toml, toml_text
from tests.promptness import at_once

# Half of a file's size each, so that opening and closing fit.
HALF = LARGEST // 2 - 10

WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=40)


def written(folder: Path, text: str | bytes) -> Path:
    """A file of this content."""
    path = folder / "net.toml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def refusal(path: Path) -> str:
    """The message of a refused file, in one line and at once."""
    with at_once(), pytest.raises(BlueprintError) as error:
        read_toml(path)
    message = str(error.value)
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


def test_a_file_is_read_as_its_table(tmp_path: Path) -> None:
    """Tables, lists and numbers come back as written, with either end of line."""
    text = 'a = 1\r\n[b]\r\nc = [1.5, "x"] # [[[\r\n'
    assert read_toml(written(tmp_path, text)) == {"a": 1, "b": {"c": [1.5, "x"]}}


@pytest.mark.parametrize(("opening", "closing", "times"), [("[", "]", 16), ("{a = ", "}", 16), ("[{a = ", "}]", 8)])
def test_sixteen_levels_are_allowed_and_no_more(tmp_path: Path, opening: str, closing: str, times: int) -> None:
    """Lists, inline tables and both together, counted by their brackets."""
    assert list(read_toml(written(tmp_path, f"a = {opening * times}1{closing * times}\n"))) == ["a"]
    times += 1
    assert refusal(written(tmp_path, f"a = {opening * times}1{closing * times}\n")) == "nested more than 16 deep"


def test_sixteen_parts_of_a_key_are_allowed_and_no_more(tmp_path: Path) -> None:
    """Parts are counted in keys; numbers, texts and adjacent keys do not count."""
    assert list(read_toml(written(tmp_path, "a." * 15 + "a = [1.5, 2.5, '3.3.3']\n" + "b.c = 0.1\n"))) == ["a", "b"]
    assert refusal(written(tmp_path, "a." * 16 + "a = 1\n")) == "a dotted key of more than 16 parts"


@pytest.mark.parametrize(
    "text",
    [
        "a=" + "[" * HALF + "]" * HALF,
        "a=" + "[" * HALF,
        "a=" + "{a=" * (HALF // 2) + "1" + "}" * (HALF // 2),
        "[" * HALF + "a" + "]" * HALF,
    ],
    ids=["lists", "open lists", "inline tables", "headers"],
)
@pytest.mark.timeout(60)
def test_deep_brackets_are_refused_before_they_are_parsed(tmp_path: Path, text: str) -> None:
    """The deepest nesting that fits in a file is refused as too deep."""
    assert refusal(written(tmp_path, text)) == "nested more than 16 deep"


@pytest.mark.parametrize(
    "text",
    [
        "a." * HALF + "a=1",
        "a . " * (HALF // 2) + "a=1",
        "[" + "a." * HALF + "a]",
        "b={" + "a." * HALF + "a=1}",
        '"a".' * 5_000 + '"a"=1',
        "'a'." * 5_000 + "a=1",
        '[[a."a".' + "b.'b'." * 1_000 + "a]]",
    ],
    ids=["keys", "spaced keys", "headers", "inline keys", "quoted keys", "literal keys", "mixed keys"],
)
@pytest.mark.timeout(60)
def test_deep_dotted_keys_are_refused_before_they_are_parsed(tmp_path: Path, text: str) -> None:
    """A key of very many parts is refused as too deep, quoted or bare."""
    assert refusal(written(tmp_path, text)) == "a dotted key of more than 16 parts"


@pytest.mark.parametrize("text", ["[" * 10**6, "a={" * 10**6, "a." * 10**6], ids=["lists", "inline tables", "keys"])
@pytest.mark.timeout(60)
def test_a_million_levels_are_measured_at_once(text: str) -> None:
    """The measure itself needs neither stack nor time."""
    message = r"^net\.toml: (nested|a dotted key of) more than 16 (deep|parts)$"
    with at_once(), pytest.raises(BlueprintError, match=message):
        check_nesting(text, "net.toml")


@pytest.mark.parametrize(
    "text",
    [
        "x" * (LARGEST - 1),
        'a="' + '\\"' * HALF,
        'a="""' + "x" * HALF,
        "a='" + "[" * HALF,
        "a" + " " * HALF + "b",
        "#" * HALF,
    ],
    ids=["word", "escapes", "open text", "open literal", "spaces", "comment"],
)
@pytest.mark.timeout(60)
def test_no_text_of_the_largest_size_takes_long(tmp_path: Path, text: str) -> None:
    """Long words, open texts and escapes are read in one go; only the comment is TOML."""
    path = written(tmp_path, text)
    if text.startswith("#"):
        assert read_toml(path) == {}
    else:
        refusal(path)


@given(WORDS, WORDS.filter(lambda text: "'" not in text), WORDS)
@settings(max_examples=60, deadline=None)
def test_brackets_in_texts_and_comments_nest_nothing(basic: str, literal: str, comment: str) -> None:
    """Brackets in quotes or after a number sign are not nesting."""
    deep = "[" * 20 + "{" * 20 + "a." * 20
    quoted = json.dumps(basic + deep, ensure_ascii=False).replace("\x7f", "")
    check_nesting(f"a = {quoted} # {comment}{deep}\nb = '{literal}{deep}' # {comment}\nc = 1\n", "net.toml")


@pytest.mark.parametrize(
    "text",
    [
        '"""\n[[[["[[[[""[[[[[[[[[[\n\\"""[[["""',
        "'''\n[[[['[[[[''[[[[[[[[[[\n\\'''",
        '"\\\\"',
        "'\\'",
        '""',
        '"#"',
        '"""[[""""',
        "'''[['''''",
    ],
)
def test_quotes_end_where_toml_ends_them(tmp_path: Path, text: str) -> None:
    """Quotes in long texts, escaped quotes and backslashes are followed as the parser follows them."""
    assert list(read_toml(written(tmp_path, f"a = {text}\nb = [[1]]\n"))) == ["a", "b"]
    assert refusal(written(tmp_path, f"a = {text}\nb = {'[' * 17}{']' * 17}\n")) == "nested more than 16 deep"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a = 1\na = 2\n", "not valid TOML: Cannot overwrite a value"),
        ("[a]\n[a]\n", "not valid TOML: Cannot declare ('a',) twice (at line 2"),
        ("a = \n", "not valid TOML: Invalid value (at line 1"),
        ("a\n", "not valid TOML: Expected '=' after a key"),
        ('!!python/object/apply:os.system ["true"]\n', "not valid TOML: Invalid statement (at line 1"),
        ("a = !!python/object/apply:os.system\n", "not valid TOML: Invalid value (at line 1"),
        ("a = 1\0\n", "not valid TOML: "),
        (b"name = '\xff'\n", "not a text in UTF-8"),
        (b"\xff\xfea\0=\x001\0", "not a text in UTF-8"),
        ("a = " + "9" * 5_000, "not valid TOML: Exceeds the limit"),
        ("# " + "x" * LARGEST, "larger than the limit of 1,000,000 bytes"),
    ],
    ids=["key", "table", "value", "word", "object", "tag", "nul", "latin", "utf-16", "number", "large"],
)
def test_what_is_no_toml_is_told(tmp_path: Path, text: str | bytes, words: str) -> None:
    """Doubled keys, broken syntax, other encodings and sizes are named, as far as known with their place."""
    assert refusal(written(tmp_path, text)).startswith(words)


def test_a_file_that_cannot_be_opened_is_told(tmp_path: Path) -> None:
    """Missing files, folders and names that no file has."""
    assert refusal(tmp_path / "net.toml") == "no such file or directory"
    assert refusal(tmp_path) == "a folder, not a regular file"
    assert refusal(tmp_path / ("x" * 300)) == "file name too long"
    assert refusal(written(tmp_path, "") / "net.toml") == "not a directory"


TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)
PLAIN = st.one_of(TEXTS, st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False))
VALUES = st.recursive(PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3))


@given(st.dictionaries(TEXTS, VALUES, max_size=6))
@settings(max_examples=200, deadline=None)
def test_a_table_comes_back_as_it_was(table: dict[str, object]) -> None:
    """Any texts, control characters among them, numbers, truth values, lists and tables, under any keys."""
    assert tomllib.loads(toml_text(table)) == table
