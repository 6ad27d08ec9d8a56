"""The papers that a network uses: those of its parts, and the one that describes it."""

from resatlas.designs.catalog import Entry, families, family_of
from resatlas.designs.family import Paper


def papers() -> tuple[Paper, ...]:
    """The papers of all families, in the order of their numbers on arXiv."""
    known = {family.paper.key: family.paper for family in families().values()}
    return tuple(sorted(known.values(), key=lambda paper: paper.arxiv))


def papers_of(entry: Entry) -> tuple[Paper, ...]:
    """The papers that a network uses, in the order of their publication."""
    family = family_of(entry.design) if entry.design else None
    own = family.paper if family else None
    return tuple(paper for paper in papers() if paper is own or paper.used_in(entry.blueprint))


def bibtex(paper: Paper) -> str:
    """The reference as BibTeX, in ASCII."""
    fields = {
        "title": paper.title,
        "author": " and ".join(paper.authors).replace("á", r"{\'a}"),
        "journal" if paper.kind == "article" else "booktitle": paper.booktitle,
        "year": paper.year,
        "eprint": paper.arxiv,
        "archiveprefix": "arXiv",
    }
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items()]
    return "\n".join([f"@{paper.kind}{{{paper.key},", *lines, "}"])
