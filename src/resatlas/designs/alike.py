"""Networks that are the same under several names."""

from resatlas.designs.catalog import Entry, named


def alike(one: Entry, other: Entry) -> bool:
    """Whether two entries are one network for the same images, whatever they are called."""
    return (one.blueprint, one.image) == (other.blueprint, other.image)


def names_of(entry: Entry) -> tuple[str, ...]:
    """Every name that the catalogue has for this very network, in its order."""
    return tuple(each.name for each in named().values() if alike(each, entry))
