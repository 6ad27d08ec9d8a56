"""Parse words of the form key=value: knobs of designs, data sets and protocols, settings of recipes."""

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
    """The value of each key as text, in the order of the words.

    Errors call a key a `what` `of` something, and give an `example`. If `known` is empty, any key is accepted.
    Raises: UnknownName for an unknown key, with the nearest one; `error` for a word of another form or a repeated key.
    """
    values: dict[str, str] = {}
    for word in words:
        key, _, value = word.partition("=")
        if not value:
            form = f", as in {example}" if example else ""
            keys = f" ({of}: {', '.join(known)})" if known else ""
            raise error(f"a {what} is written key=value{form}; got {quoted(word)}{keys}")
        if known and key not in known:
            raise UnknownName(unknown(f"{what} of {of}", key, known))
        if key in values:
            raise error(f"{what} {quoted(key)}{f' of {of}' if of else ''} is given twice")
        values[key] = value
    return values
