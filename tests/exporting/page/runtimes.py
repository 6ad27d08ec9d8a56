"""Runtimes for the tests of pages: the package of npm where it is at hand, and one of a few lines."""

import hashlib
import os
from pathlib import Path

import pytest

from resatlas.exporting.page import runtime
from resatlas.exporting.page.runtime import SCRIPT, WASM, Runtime

FOLDER = os.environ.get("RESATLAS_ONNXRUNTIME_WEB", "")
"""The folder of onnxruntime-web; `.ci/run` fetches it where npm is installed."""

needs_runtime = pytest.mark.skipif(
    not FOLDER, reason=f"RESATLAS_ONNXRUNTIME_WEB does not name the folder of {runtime.PACKAGE} {runtime.VERSION}"
)

_SCRIPT = """/*!
 * ONNX Runtime Web v1.30.0
 */
const env = { wasm: {} };
class Tensor { constructor(type, data, dims) { Object.assign(this, { type, data, dims }); } }
const InferenceSession = { create: async (model) => { CREATED } };
export{InferenceSession as InferenceSession,Tensor as Tensor,env as env,env as default};
//# sourceMappingURL=ort.wasm.bundle.min.mjs.map
"""

WEBASSEMBLY = b"\0asm\1\0\0\0"


def small_runtime(created: str) -> Runtime:
    """A runtime whose sessions are made by some JavaScript."""
    return Runtime(version=runtime.VERSION, script=_SCRIPT.replace("CREATED", created), wasm=WEBASSEMBLY)


def written(folder: Path, files: Runtime, monkeypatch: pytest.MonkeyPatch | None = None) -> Path:
    """The folder with the files of a runtime, which pass for those of the package if `monkeypatch` is given."""
    folder.mkdir(parents=True)
    for name, content in ((SCRIPT, files.script.encode()), (WASM, files.wasm)):
        (folder / name).write_bytes(content)
    if monkeypatch is not None:
        monkeypatch.setattr(runtime, "SHA256", {path.name: _sha256(path) for path in folder.iterdir()})
    return folder


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
