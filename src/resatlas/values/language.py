"""The language of sentences for a reader: English templates, or what the catalogue of another language has for them.

A catalogue is a file beside this module, read at the first sentence in its language. Its `sentences` are templates of
the program by their English ones; a plural stands for both numbers. Its `words` are texts of closed lists and of files:
heads of tables, verdicts, kinds of shortcuts, names and titles in the results of probes.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, reduce
from pathlib import Path
from typing import Literal, NamedTuple, get_args

Language = Literal["en", "zh"]

LANGUAGES: tuple[Language, ...] = get_args(Language)

_TAGS: Mapping[Language, str] = {"en": "en", "zh": "zh-CN"}
"""The languages as HTML names them."""

_LANGUAGE: ContextVar[Language] = ContextVar("language", default="en")

_MARKS = "\u3000-\u303f\uff00-\uffef"
"""Marks of Chinese, which have no space beside them."""

CHINESE = "\u4e00-\u9fff"
"""Letters of Chinese, which have no space between them."""


class Catalogue(NamedTuple):
    """The translations of a language; `patterns` are those of its words that have placeholders."""

    sentences: Mapping[str, str]
    words: Mapping[str, str]
    patterns: tuple[tuple[re.Pattern[str], str], ...]


@contextmanager
def in_language(language: Language) -> Iterator[None]:
    """Sentences are in this language until the end of the block."""
    before = _LANGUAGE.set(language)
    try:
        yield
    finally:
        _LANGUAGE.reset(before)


def language_tag() -> str:
    """The language as the `lang` of an HTML page."""
    return _TAGS[_LANGUAGE.get()]


def said(template: str, /, **values: object) -> str:
    """The template with its values; in English where the catalogue does not have it."""
    language = _LANGUAGE.get()
    if language == "en":
        return template.format(**values)
    return _joined(catalogue(language).sentences.get(in_one_line(template), template).format(**values))


def numbered(count: int, one: str, many: str, /, **values: object) -> str:
    """The template `one` for a count of 1, else `many`; both may have the placeholder {count}."""
    english = _LANGUAGE.get() == "en" and count == 1
    return said(one if english else many, count=count, **values)


def known(text: str) -> str:
    """A text of a closed list or of a file; unchanged where the catalogue does not have it.

    What stands in the place of a placeholder is looked up, too.
    """
    language = _LANGUAGE.get()
    if language == "en":
        return text
    words = catalogue(language)
    if text in words.words:
        return words.words[text]
    for pattern, template in words.patterns:
        if found := pattern.fullmatch(text):
            return _joined(template.format(**{name: known(part) for name, part in found.groupdict().items()}))
    return text


def with_and(words: Iterable[str]) -> str:
    """Return one or more words as "a, b and c"."""
    *most, last = words
    return said("{words} and {last}", words=said(", ").join(most), last=last) if most else last


def clauses(parts: Iterable[str]) -> str:
    """Return one or more clauses as "a, b, c"."""
    return reduce(lambda clause, following: said("{clause}, {following}", clause=clause, following=following), parts)


def clauses_with_and(parts: Iterable[str]) -> str:
    """Return one or more clauses as "a, b and c"."""
    *most, last = parts
    return said("{clauses} and {last}", clauses=clauses(most), last=last) if most else last


def in_sequence(sentences: Iterable[str]) -> str:
    """The sentences one after the other, with a space between them where the language has one."""
    text = " ".join(sentences)
    return text if _LANGUAGE.get() == "en" else _joined(text)


@cache
def catalogue(language: Language) -> Catalogue:
    """The catalogue of a language other than English."""
    import tomllib
    from string import Formatter

    data = tomllib.loads((Path(__file__).parent / f"{language}.toml").read_text(encoding="utf-8"))
    patterns = (
        (re.compile("".join(map(_part, Formatter().parse(text)))), translation)
        for text, translation in data["words"].items()
        if "{" in text
    )
    return Catalogue(data["sentences"], data["words"], tuple(patterns))


def in_one_line(template: str) -> str:
    """The template as the catalogue has it: spaces and line breaks are single spaces, with none at the ends."""
    return " ".join(template.split())


def _part(parsed: tuple[str, str | None, str | None, str | None]) -> str:
    """A literal text with the placeholder after it, as a regular expression."""
    literal, name, _, _ = parsed
    return re.escape(literal) + (f"(?P<{name}>.+?)" if name else "")


def _joined(text: str) -> str:
    """The text without spaces between Chinese letters and beside Chinese marks."""
    return re.sub(f"(?<=[{CHINESE}]) +(?=[{CHINESE}])|(?<=[{_MARKS}]) +| +(?=[{_MARKS}])", "", text)
