"""The name of an ejected network, and the sections of papers that describe it."""

from typing import NamedTuple

from resatlas.designs.catalog import Entry, family_of


class Origin(NamedTuple):
    """The name of a network's class, and a sentence for each of its papers."""

    network: str
    sources: tuple[str, ...]


def origin(entry: Entry) -> Origin:
    """The origin of the network of an entry; a cross has no paper of its own."""
    own = family_of(entry.design) if entry.design else None
    if own is None:
        return Origin("Network", ())
    return Origin(own.label, own.sources(entry.design))
