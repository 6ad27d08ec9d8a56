"""Bring the catalogues of locale/ up to date with the pages: python -m docs.site.catalogues.

A catalogue (.po) has each paragraph, heading and cell of a page with its translation. After a change of a page this
command adds what is new, marks what has changed as fuzzy, and says how much is left to translate; then translate it
there and remove the marks. A test fails while anything is missing, fuzzy or left over.
"""

import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po
from docs.site.build import ABOUT_DESIGN, HERE, WITH_DESIGN, WITHOUT_DESIGN, lay_out
from docs.site.languages import CHINESE, LANGUAGES, TRANSLATED

LOCALE = HERE / "locale"

_WIDTH = 120


def extract(pages: Path, folder: Path) -> Path:
    """Write what there is to translate on the pages as templates (.pot); returns their folder.

    The page of the design page has both of its endings in them.
    """
    from sphinx.cmd.build import build_main

    source = folder / "translated"
    for page in TRANSLATED:
        file = source / f"{page}.md"
        file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(pages / f"{page}.md", file)
    (source / "generated" / "design-page.md").write_text(
        f"{ABOUT_DESIGN}{WITH_DESIGN}\n{WITHOUT_DESIGN}", encoding="utf-8"
    )
    (source / "index.md").write_text("\n".join(["```{toctree}", *TRANSLATED, "```", ""]), encoding="utf-8")
    templates = folder / "templates"
    words = ["-b", "gettext", "-Q", "-c", str(HERE), "-D", "nb_execution_mode=off", str(source), str(templates)]
    if build_main(words):
        raise RuntimeError("the texts of the pages cannot be extracted")
    (templates / "index.pot").unlink(missing_ok=True)
    return templates


def catalogues(folder: Path, ending: str) -> Mapping[str, Catalog]:
    """The catalogues of a folder by the names of their pages."""
    found = {}
    for file in sorted(folder.rglob(f"*{ending}")):
        with file.open("rb") as stream:
            found[file.relative_to(folder).with_suffix("").as_posix()] = read_po(stream)
    return found


def ids(catalogue: Catalog) -> set[str]:
    """What a catalogue has to translate."""
    return {str(message.id) for message in catalogue if message.id}


def unfinished(known: Mapping[str, Catalog]) -> Iterator[str]:
    """A line for each message that is fuzzy or has no translation."""
    for page, catalogue in known.items():
        for message in catalogue:
            if message.id and (message.fuzzy or not message.string):
                yield f"{page}: {'fuzzy' if message.fuzzy else 'untranslated'}: {message.id}"


def translations(language: str) -> Path:
    """The folder of a language's catalogues."""
    return LOCALE / language / "LC_MESSAGES"


def update(languages: Iterable[str]) -> None:
    """Bring the catalogues of the languages up to date."""
    from sphinx_intl.basic import update as merge

    with TemporaryDirectory() as folder:
        pages = Path(folder) / "pages"
        lay_out(pages, LANGUAGES[CHINESE])
        (pages / "generated" / "design-page.md").touch()
        templates = extract(pages, Path(folder))
        merge(str(LOCALE), str(templates), tuple(languages), line_width=_WIDTH, ignore_obsolete=True, jobs=1)


if __name__ == "__main__":
    update([CHINESE])
    left = list(unfinished(catalogues(translations(CHINESE), ".po")))
    print(*left, f"{len(left)} left to translate", sep="\n")
    sys.exit(bool(left))
