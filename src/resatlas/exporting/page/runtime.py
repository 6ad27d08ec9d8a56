"""The files of onnxruntime-web that a page can carry, read from the user's folder. Needs no torch."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from resatlas.errors import FolderError, UsageError
from resatlas.values.reading import content

PACKAGE = "onnxruntime-web"
VERSION = "1.30.0"
"""The version that the tests open in Chromium."""

OBTAIN = f"npm pack {PACKAGE}@{VERSION} && tar xzf {PACKAGE}-{VERSION}.tgz, then --runtime package"
"""The commands that make such a folder."""

SCRIPT, WASM = "ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"

SHA256: Mapping[str, str] = {
    SCRIPT: "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
    WASM: "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}
"""Of the files in the package of npm, 2026-11."""

_BANNER = re.compile(r"ONNX Runtime Web v(\S+)")
_EXPORTS = re.compile(r"export\{([^{}]*)\};?\s*(?://# sourceMappingURL=\S+\s*)?\Z")
_EXPORT = re.compile(r"([\w$]+) as (\w+)\Z")


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """The script and the WebAssembly of a version of onnxruntime-web."""

    version: str
    script: str
    wasm: bytes


def read_runtime(folder: Path) -> Runtime:
    """The runtime in an unpacked package of npm, or in its folder dist.

    Raises: FolderError if files are missing or are not those of the package; UsageError for another version.
    """
    if not folder.is_dir():
        what = "a file, not a folder" if folder.exists() else "not there"
        raise FolderError(f"--runtime {folder} is {what}; it is the folder of {PACKAGE} {VERSION}: {OBTAIN}")
    place = folder / "dist" if (folder / "dist").is_dir() else folder
    script, wasm = (_content(folder, place, name) for name in (SCRIPT, WASM))
    text = script.decode("utf-8", errors="replace")
    banner = _BANNER.search(text[:1000])
    if banner and banner[1] != VERSION:
        raise UsageError(f"{folder} has {PACKAGE} {banner[1]}; pages are tested with {VERSION}: {OBTAIN}")
    for name, read in ((SCRIPT, script), (WASM, wasm)):
        if hashlib.sha256(read).hexdigest() != SHA256[name]:
            raise FolderError(f"{place / name} is damaged, or not that of {PACKAGE} {VERSION}: {OBTAIN}")
    return Runtime(version=VERSION, script=text, wasm=wasm)


def _content(folder: Path, place: Path, name: str) -> bytes:
    try:
        return content(place / name)
    except FileNotFoundError:
        inner = next((path.parent.parent for path in sorted(folder.glob(f"*/dist/{SCRIPT}"))), None)
        near = f"; did you mean {inner}?" if inner else f": {OBTAIN}"
        raise FolderError(
            f"--runtime {folder} has no {name}, which the folder dist of {PACKAGE} {VERSION} has{near}"
        ) from None
    except OSError as error:
        raise FolderError(
            f"{place / name} cannot be read: {(error.strerror or 'the system refuses').lower()}"
        ) from None


def as_global(script: str) -> str:
    """The module with its exports as the global `ort`, since a page can import nothing.

    Raises: FolderError if the text does not end with its exports.
    """
    exports = _EXPORTS.search(script)
    pairs = [_EXPORT.match(part.strip()) for part in exports[1].split(",")] if exports else [None]
    if exports is None or not all(pairs):
        raise FolderError(f"the exports of {SCRIPT} cannot be read; pages are tested with {PACKAGE} {VERSION}")
    table = ",".join(f"{pair[2]}:{pair[1]}" for pair in pairs if pair)
    return f"{script[: exports.start()]}globalThis.ort={{{table}}};\n"
