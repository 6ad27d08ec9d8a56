"""Words that set something, each written key=value: knobs of designs, data sets and protocols, settings of recipes."""

from collections.abc import Collection, Iterable

from resatlas.errors import UnknownName, UsageError, quoted, unknown


def key_values(
    words: Iterable[str],
    *,
    what: str = "knob",
    of: str = "",
    known: Collection[str] = (),
    example: str = "",
    error: type[UsageError] = UsageError,
) -> dict[str, str]:
    """The text of each key, in the order of the words.

    `what` is set, and it is one `of` something, whose keys are `known`; without known keys any key is taken, and errors
    give an `example`.
    Raises: UnknownName for another key, with the nearest; the error for a word of another form and for a doubled key.
    """
    values: dict[str, str] = {}
    for word in words:
        key, _, value = word.partition("=")
        if not value:
            form = f", as in {example}" if example else ""
            keys = f" ({of}: {', '.join(known)})" if known else ""
            raise error(f"a {what} is written key=value{form}; {quoted(word)} is not{keys}")
        if known and key not in known:
            raise UnknownName(unknown(f"{what} of {of}", key, known))
        if key in values:
            raise error(f"{what} {quoted(key)}{f' of {of}' if of else ''} is given twice")
        values[key] = value
    return values
