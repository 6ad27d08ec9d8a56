"""Build the site: python -m docs.site.build [FOLDER], by default build.

FOLDER/pages has the pages as Sphinx reads them, in the layout of the repository, so that one link works in both places:
those of the repository, and below generated/ those that the package writes about itself. FOLDER/pages-zh_CN has the
same with the Chinese README first. FOLDER/site is the site, and site/zh_CN the Chinese one, with the translations of
locale/ (`catalogues.py`). The notebook is executed once, for both. The design page is in the site if Pyodide is at hand
or npm can fetch it; if not, its place says why.
"""

import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

from docs.site import formats, papers, reference
from docs.site.design import CACHE, write_design
from docs.site.languages import CHINESE, ENGLISH, LANGUAGES, Language
from docs.site.pyodide import NoRuntimeError, runtime

from resatlas.designs.catalog import resolve
from resatlas.page.drawing import drawing
from resatlas.page.picture import write_picture

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

GENERATED = {
    "papers": papers.papers_page,
    "mistakes": papers.mistakes_page,
    "counting": papers.counting_page,
    "verbs": reference.verbs_page,
    "names": reference.names_page,
    "exit-codes": reference.exit_codes_page,
    "json-keys": formats.keys_page,
}
"""The pages that the package writes about itself."""

_LINK = re.compile(r"(?<=\]\()(?!https?:|#)(?P<path>[^)#\s]+)")
_BLOCK = re.compile(r"^```sh\n.*?^```$", re.DOTALL | re.MULTILINE)
_DRAWN = re.compile(r"^resatlas describe (?P<design>\S+) --draw (?P<file>\S+\.svg)", re.MULTILINE)


def pages_of_repository() -> Iterator[Path]:
    """The pages, relative to the root of the repository."""
    for pattern in ("*.md", "docs/*.md", "docs/*/*.md", "benchmarks/*.md", "benchmarks/*/*.md", "tests/faults/*.md"):
        yield from (file.relative_to(ROOT) for file in sorted(ROOT.glob(pattern)) if file.parent != HERE)


def lay_out(pages: Path, language: Language = LANGUAGES[ENGLISH]) -> None:
    """Write every page but that of the design page, the files that they link to, and the pictures of their commands."""
    for page in pages_of_repository():
        text = (ROOT / page).read_text(encoding="utf-8")
        for match in _LINK.finditer(text):
            _bring(Path(os.path.normpath(page.parent / match["path"])), pages)
        text = _LINK.sub(lambda match, page=page: _as_page(match["path"], page.parent, language), text)
        if str(page) == language.front:
            text = f"{text}\n{_contents(language)}"
        elif page.parent == Path("docs"):
            text = _BLOCK.sub(lambda match, page=page: _with_pictures(match[0], pages / page.parent), text)
        if not re.search("^# ", text, re.MULTILINE):
            text = f"# {page.stem.capitalize()}\n\n{text}"
        _write(pages / _as_page(str(page), Path(), language), text)
    for name, text in generated_pages().items():
        _write(pages / "generated" / f"{name}.md", text)


def _contents(language: Language) -> str:
    """The parts of the site; the README that is not its first page is one of its pages."""
    text = (HERE / "contents.md").read_text(encoding="utf-8")
    for english, caption in language.captions.items():
        text = text.replace(f":caption: {english}\n", f":caption: {caption}\n")
    for other in LANGUAGES.values():
        text = text.replace(f"\n{other.front.removesuffix('.md')}\n", "\n{other}\n")
    [other] = (kind.front.removesuffix(".md") for kind in LANGUAGES.values() if kind is not language)
    return text.replace("{other}", other)


@cache
def generated_pages() -> Mapping[str, str]:
    """The pages of `GENERATED`, written once."""
    return {name: written() for name, written in GENERATED.items()}


ABOUT_DESIGN = (
    "# Design a network\n\nTurn the knobs of any family, or of a cross of the papers, and see the network unit by "
    "unit, with every number, the printed sizes beside ours, and the command, the TOML, the PyTorch file and the "
    "BibTeX to copy. On a machine with the package, `resatlas design` opens the same page.\n\n"
)
WITH_DESIGN = '<a href="design.html">Open the design page</a>: one file, which works offline.\n'
WITHOUT_DESIGN = "This site was built without the page itself, since Pyodide was not at hand.\n"


def _write_design(file: Path) -> bool:
    """Write the design page, if Pyodide is at hand; returns whether it was."""
    try:
        write_design(file, runtime(CACHE))
    except NoRuntimeError as error:
        print(f"the site has no design page: {error}", file=sys.stderr)
        return False
    return True


def _as_page(link: str, folder: Path, language: Language) -> str:
    """The link of a page in the site: the README is its first page, and a folder has a page that lists it."""
    target = Path(os.path.normpath(folder / link))
    if str(target) == language.front:
        return link.replace(language.front, "index.md")
    return f"{link.rstrip('/')}/index.md" if (ROOT / target).is_dir() else link


def _bring(target: Path, pages: Path) -> None:
    """Copy what a page links to, if it is no page itself."""
    if (ROOT / target).is_dir():
        files = sorted(file.name for file in (ROOT / target).iterdir() if file.is_file())
        for name in files:
            _bring(target / name, pages)
        inside = [name for name in files if name.endswith(".md")]
        lines = [*([] if inside else ["---", "orphan: true", "---", ""]), f"# {target}", ""]
        lines += [f"- [{name}]({name})" for name in files]
        lines += ["", "```{toctree}", ":hidden:", "", *inside, "```", ""]
        _write(pages / target / "index.md", "\n".join(lines))
    elif target.suffix != ".md" or (ROOT / target) in ROOT.glob("src/**/*.md"):
        (pages / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / target, pages / target)


def _with_pictures(block: str, folder: Path) -> str:
    """A block of commands, and below it the pictures that `describe --draw` writes."""
    pictures = []
    for match in _DRAWN.finditer(block):
        entry = resolve(match["design"])
        write_picture(folder / "drawn" / match["file"], drawing(entry.plan(), title=entry.name))
        pictures.append(f"\n\n![{entry.name}, unit by unit](drawn/{match['file']})")
    return block + "".join(pictures)


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


def build(folder: Path) -> int:
    """Lay out the pages and build the site in each language; a warning of Sphinx is an error. Returns the exit code."""
    for name in ("pages", f"pages-{CHINESE}", "site", "executed", "locale"):
        shutil.rmtree(folder / name, ignore_errors=True)
    shutil.copytree(HERE / "locale", folder / "locale")  # where Sphinx puts the compiled catalogues beside them
    os.environ.setdefault("IPYTHONDIR", str(folder / "ipython"))  # not the settings of whoever builds
    design = folder / "pages" / "generated" / "design.html"
    ending = WITH_DESIGN if _write_design(design) else WITHOUT_DESIGN
    for name, language in LANGUAGES.items():
        pages = folder / ("pages" if name == ENGLISH else f"pages-{name}")
        lay_out(pages, language)
        _write(pages / "generated" / "design-page.md", ABOUT_DESIGN + ending)
        code = _run_sphinx(name, pages, folder / "site" / language.place, folder)
        if code:
            return code
    if design.exists():
        shutil.copy2(design, folder / "site" / "generated" / design.name)
    return 0


def _run_sphinx(language: str, pages: Path, site: Path, folder: Path) -> int:
    """Build one language of the site; returns the exit code."""
    from sphinx.cmd.build import build_main

    options = ["-W", "--keep-going", "-q", "-E", "-c", str(HERE), "-d", str(folder / "read" / language)]
    settings = {
        "language": language,
        "locale_dirs": str(folder / "locale"),
        "nb_execution_cache_path": str(folder / "executed"),
    }
    words = [word for name, value in settings.items() for word in ("-D", f"{name}={value}")]
    return build_main([*options, *words, str(pages), str(site)])


if __name__ == "__main__":
    goal = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "build"
    code = build(goal)
    print(f"{goal / 'site' / 'index.html'}" if code == 0 else "no site: see the warnings", file=sys.stderr)
    sys.exit(code)
