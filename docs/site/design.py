"""Write the design page as one file that opens from disk: python -m docs.site.design OUT.html.

The file has Pyodide and the part of the package that needs no torch in it. It asks nothing of any server.
"""

import gzip
import io
import json
import sys
import zipfile
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

from docs.site.pyodide import VERSION, NoRuntimeError, Runtime, runtime

import resatlas
from resatlas.page.design.document import Transport, design_page
from resatlas.page.design.question import Question
from resatlas.page.page import write_text_page

HERE = Path(__file__).parent
CACHE = HERE.parents[1] / "build" / "pyodide"
"""Where the archive of Pyodide is kept; `make clean` removes it."""

ENTRY = "resatlas.page.design.answers"

_TIME = (1980, 1, 1, 0, 0, 0)  # of all files in the archive, so that equal packages give equal bytes


def modules() -> Iterator[Path]:
    """The files of the package that the page needs, relative to its root: what the answers import, and their tables."""
    import grimp

    graph = grimp.build_graph("resatlas", exclude_type_checking_imports=True, cache_dir=None)
    root = Path(resatlas.__file__).parents[1]
    folders = set()
    for name in sorted({ENTRY, *graph.find_upstream_modules(ENTRY)}):
        place = root.joinpath(*name.split("."))
        file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
        yield file.relative_to(root)
        folders |= {folder for folder in file.parents if folder.is_relative_to(root / "resatlas")}
    for folder in sorted(folders):
        yield from ((folder / name).relative_to(root) for name in sorted(path.name for path in folder.glob("*.csv")))
        if (folder / "__init__.py").exists():
            yield (folder / "__init__.py").relative_to(root)


def package() -> bytes:
    """The files as a zip archive."""
    root, buffer = Path(resatlas.__file__).parents[1], io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for file in dict.fromkeys(modules()):
            archive.writestr(zipfile.ZipInfo(file.as_posix(), _TIME), (root / file).read_bytes(), zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def transport(python: Runtime) -> Transport:
    """Python in the page, with the package."""
    lock = json.loads(python.files["pyodide-lock.json"])
    return Transport(
        script=(HERE / "runtime.js").read_text(encoding="utf-8"),
        connects="'none'",
        where=f"in this page, which works offline (Pyodide {VERSION})",
        runs=("'wasm-unsafe-eval'", "blob:"),
        texts=(
            ("runtime-loader", _packed(python.files["pyodide.mjs"])),
            ("runtime-module", _packed(python.files["pyodide.asm.mjs"])),
            ("runtime-wasm", _packed(python.files["pyodide.asm.wasm"])),
            ("runtime-library", _text(python.files["python_stdlib.zip"])),
            ("runtime-lock", _text(json.dumps({"info": lock["info"], "packages": {}}).encode())),
            ("package", _text(package())),
        ),
    )


def write_design(out: Path, python: Runtime) -> None:
    """Write the page in one atomic step; equal packages give equal bytes."""
    write_text_page(out, design_page(transport(python), first=Question()))


def _packed(content: bytes) -> str:
    return _text(gzip.compress(content, mtime=0))


def _text(content: bytes) -> str:
    return b64encode(content).decode("ascii")


def main(words: list[str]) -> int:
    """Write the page where the first word says; returns the exit code."""
    if len(words) != 1 or not words[0].endswith(".html"):
        print("usage: python -m docs.site.design OUT.html", file=sys.stderr)
        return 2
    out = Path(words[0])
    try:
        write_design(out, runtime(CACHE))
    except NoRuntimeError as error:
        print(f"no design page: {error}", file=sys.stderr)
        return 1
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
