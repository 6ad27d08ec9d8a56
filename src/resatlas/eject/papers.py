"""What an ejected file calls its network, and which sections of which papers it names."""

from typing import NamedTuple

from resatlas.designs.catalog import Entry, families, family_of


class Origin(NamedTuple):
    """The name of a network's class, and a sentence for each of its papers."""

    network: str
    sources: tuple[str, ...]


def origin(entry: Entry) -> Origin:
    """Where the network of an entry comes from; a cross has no paper of its own."""
    own = family_of(entry.design) if entry.design else None
    if own is None:
        return Origin("Network", ())
    return Origin(families()[entry.family].label, own.sources(entry.design))
