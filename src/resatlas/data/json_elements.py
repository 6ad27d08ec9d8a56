"""Large JSON files read one element at a time: a table of lists, such as COCO's, is never in memory as a whole."""

import codecs
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from resatlas.data.listing import printable
from resatlas.errors import DataError, quoted
from resatlas.values.reading import opened

CHUNK = 1 << 20  # bytes read at a time

MOST = 1 << 24
"""Characters of one element at most: COCO's longest annotation has 30,000."""

_MARGIN = 64  # characters behind a fault that is one whatever follows; an escape has 12 at most
_SPACE = " \t\n\r"


def read_lists(file: Path, takers: Mapping[str, Callable[[object], None]]) -> dict[str, object]:
    """Hand every element of the named lists of a JSON object to its taker, in the file's order; all its keys.

    Each key is returned with its value if that is a number or a text, else with None. Other lists are skipped.

    Raises: DataError, with the file and the place, if it cannot be read or is not a JSON object, if a named value is
        not a list, if a key stands twice, or for elements that are nested too deeply or are too long.
    """
    keys: dict[str, object] = {}
    try:
        with opened(file) as source:
            for key, value in _Text(source).values(takers):
                if key in keys:
                    raise DataError(f"the key {quoted(key)} stands in it twice; put what both say under one")
                keys[key] = value
    except OSError as error:
        raise DataError(f"{printable(file)} cannot be read: {error.strerror or error}") from None
    except DataError as error:
        raise DataError(f"{printable(file)} cannot be read as JSON: {error}") from None
    return keys


class _Text:
    """The text of a file from a place on, of which only the part at hand is in memory."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._values = json.JSONDecoder()
        self._text = ""
        self._place = 0
        self._before = 0  # characters that are no longer in memory
        self._ended = False

    def values(self, takers: Mapping[str, Callable[[object], None]]) -> Iterator[tuple[str, object]]:
        """The keys of the object that the text is, each after its list was taken, with their numbers and texts."""
        if self._next() != "{":
            raise DataError("it is not an object with lists, such as images, annotations and categories")
        self._place += 1
        if self._next() == "}":
            return
        while True:
            key = self._value()
            if not isinstance(key, str):
                raise self._unexpected("a key in double quotes")
            self._expect(":")
            value: object = None
            if self._next() == "[":
                self._list(takers.get(key))
            elif key in takers:
                raise self._unexpected(f"a list under {quoted(key)}")
            else:
                value = self._value()
            yield key, value if isinstance(value, str | int | float) else None
            if self._next() == "}":
                self._place += 1
                break
            self._expect(",")
        if rest := self._next():
            raise DataError(f"{quoted(rest)} follows its end, at character {self._before + self._place:,}")

    def _list(self, take: Callable[[object], None] | None) -> None:
        self._place += 1
        if self._next() == "]":
            self._place += 1
            return
        while True:
            element = self._value()
            if take is not None:
                take(element)
            if self._next() == "]":
                self._place += 1
                return
            self._expect(",")

    def _value(self) -> object:
        """The value at the place, which is its end afterwards."""
        self._next()
        while True:
            try:
                value, end = self._values.raw_decode(self._text, self._place)
                if end + 2 < len(self._text) or self._ended:  # after 1, the next chunk may begin within .5 or e-5
                    self._place = end
                    return value
            except json.JSONDecodeError as error:
                final = error.pos + max(CHUNK, _MARGIN) < len(self._text) and not error.msg.startswith("Unterminated")
                if self._ended or final:
                    raise DataError(f"{error.msg.lower()}, at character {self._before + error.pos:,}") from None
            except RecursionError:
                raise DataError(
                    f"lists within lists too deep to be annotations, at character {self._before + self._place:,}"
                ) from None
            except ValueError:  # a number of thousands of digits
                raise DataError(f"a number too long, at character {self._before + self._place:,}") from None
            if len(self._text) - self._place > MOST:
                raise DataError(f"one element of over {MOST:,} characters, at character {self._before + self._place:,}")
            self._more(len(self._text) - self._place)

    def _next(self) -> str:
        """The next character that is not a space, at whose place the text is afterwards; "" at the end."""
        while True:
            while self._place < len(self._text):
                if self._text[self._place] not in _SPACE:
                    return self._text[self._place]
                self._place += 1
            if self._ended:
                return ""
            self._more(0)

    def _expect(self, sign: str) -> None:
        if self._next() != sign:
            raise self._unexpected(sign)
        self._place += 1

    def _unexpected(self, wanted: str) -> DataError:
        found = self._next()
        got = quoted(found) if found else "the end of the file"
        return DataError(f"{wanted} is expected at character {self._before + self._place:,}; got {got}")

    def _more(self, least: int) -> None:
        """Forget what is before the place, and read on: at least a chunk."""
        data = self._source.read(max(CHUNK, least))
        self._ended = not data
        try:
            read = self._decoder.decode(data, final=self._ended)
        except UnicodeDecodeError as error:
            raise DataError(f"it is not text in UTF-8: {error.reason}") from None
        self._before += self._place
        self._text, self._place = self._text[self._place :] + read, 0
