"""Pages that onnxruntime-web computes: the folder of the user, and what is written."""

import gzip
import os
import re
from base64 import b64decode, b64encode
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from resatlas.errors import FolderError, UsageError
from resatlas.exporting.export_folder import write_export
from resatlas.exporting.page.document import write_page
from resatlas.exporting.page.encoding import Precision
from resatlas.exporting.page.plain_engine import PlainEngine
from resatlas.exporting.page.runtime import SCRIPT, WASM, as_global, read_runtime
from resatlas.exporting.page.runtime_engine import RuntimeEngine
from resatlas.exporting.targets import ExportOptions
from tests.exporting.page.networks import mean_image
from tests.exporting.page.runtimes import WEBASSEMBLY, small_runtime, written
from tests.exporting.subjects import needs, subject

COMMAND = "npm pack onnxruntime-web@1.30.0 && tar xzf onnxruntime-web-1.30.0.tgz, then --runtime package"
SMALL = small_runtime("return null;")


def test_the_package_and_its_dist_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As npm unpacks it, or the inner folder alone."""
    dist = written(tmp_path / "package" / "dist", SMALL, monkeypatch)
    assert read_runtime(dist) == read_runtime(dist.parent) == SMALL


@pytest.mark.parametrize("missing", [SCRIPT, WASM])
def test_a_missing_file_is_named(missing: str, tmp_path: Path) -> None:
    """With the commands that make the folder."""
    folder = written(tmp_path / "package" / "dist", SMALL)
    (folder / missing).unlink()
    line = refused(folder.parent)
    assert f"has no {missing}, which the folder dist of onnxruntime-web 1.30.0 has: {COMMAND}" in line


def test_the_folder_around_it_is_not_meant(tmp_path: Path) -> None:
    """The refusal names the folder inside."""
    written(tmp_path / "node_modules" / "onnxruntime-web" / "dist", SMALL)
    assert f"did you mean {tmp_path / 'node_modules' / 'onnxruntime-web'}?" in refused(tmp_path / "node_modules")


def test_no_folder_is_refused(tmp_path: Path) -> None:
    """A file, such as the archive, and nothing."""
    (tmp_path / "x.tgz").write_bytes(b"")
    assert "is a file, not a folder; it is the folder of onnxruntime-web" in refused(tmp_path / "x.tgz")
    assert f"is not there; it is the folder of onnxruntime-web 1.30.0: {COMMAND}" in refused(tmp_path / "nothing")


def test_another_version_is_refused(tmp_path: Path) -> None:
    """It is named, with the one that is tested."""
    other = replace(SMALL, script=SMALL.script.replace("1.30.0", "1.31.0-dev.2"))
    line = refused(written(tmp_path / "dist", other))
    assert f"has onnxruntime-web 1.31.0-dev.2; pages are tested with 1.30.0: {COMMAND}" in line


@pytest.mark.parametrize("name", [SCRIPT, WASM])
def test_a_changed_file_is_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One more byte, which a page would run."""
    folder = written(tmp_path / "dist", SMALL, monkeypatch)
    with (folder / name).open("ab") as file:
        file.write(b"\n")
    assert f"{folder / name} is damaged, or not that of onnxruntime-web 1.30.0: {COMMAND}" == refused(folder)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    """Only regular files are read."""
    folder = written(tmp_path / "dist", SMALL)
    (folder / WASM).unlink()
    os.mkfifo(folder / WASM)
    assert f"{folder / WASM} cannot be read: a pipe, not a regular file" == refused(folder)


def refused(folder: Path) -> str:
    """The line that refuses a folder, whose exit code is 2."""
    with pytest.raises(UsageError) as caught:
        read_runtime(folder)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_exports_become_a_global() -> None:
    """A page can import nothing, and asks for no map of the sources."""
    text = as_global(SMALL.script)
    assert text.endswith("globalThis.ort={InferenceSession:InferenceSession,Tensor:Tensor,env:env,default:env};\n")
    assert "sourceMappingURL" not in text
    for script in ("let a;", "export{a};", "export{a as b};\nlater();"):
        with pytest.raises(FolderError, match="exports"):
            as_global(script)


@needs("onnx", "onnxscript", "onnxruntime")
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_the_page_carries_the_model_of_the_export(precision: Precision, tmp_path: Path) -> None:
    """Its bytes are those of --to onnx for one normalised image, and its runtime is what was read."""
    small = subject("dmrnet:depth=8,base=2")
    options = ExportOptions(to="onnx", precision=precision, dynamic="none", input="normalised")
    write_export(small, options, tmp_path / "onnx")
    for name in ("a.html", "b.html"):
        facts = write_page(
            small.network,
            tmp_path / name,
            classes=small.classes,
            preparation=small.preprocessing,
            title="small",
            precision=precision,
            engine=RuntimeEngine(SMALL),
        )
    text = facts.file.read_text(encoding="utf-8")
    assert (tmp_path / "a.html").read_text(encoding="utf-8") == text
    assert b64decode(held(text, "weights")) == (tmp_path / "onnx" / "model.onnx").read_bytes()
    assert gzip.decompress(b64decode(held(text, "runtime"))) == WEBASSEMBLY
    assert 0 < facts.difference < (1e-5 if precision == "fp32" else 1e-2) * max(1, facts.largest_logit)


def held(text: str, name: str) -> str:
    """The content of a text element."""
    [content] = re.findall(rf'<script id="{name}" type="text/plain">([^<]*)</script>', text)
    return content


@needs("onnx", "onnxscript", "onnxruntime")
def test_the_policy_admits_webassembly_and_two_scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No request, no evaluated text; the scripts run in the order of their digests, the runtime first."""
    folder = written(tmp_path / "dist", SMALL, monkeypatch)
    facts = write_export(subject("resnet:depth=8,base=2"), ExportOptions(to="page", runtime=folder), tmp_path / "out")
    text = (tmp_path / "out" / "classify.html").read_text(encoding="utf-8")
    [policy] = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    scripts = re.findall(r'<script type="module">(.*?)</script>', text, re.DOTALL)
    digests = " ".join(f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'" for script in scripts)
    assert policy.startswith(f"default-src 'none'; script-src {digests} 'wasm-unsafe-eval'; style-src 'sha256-")
    assert not re.search(r"'unsafe|https?:|data:|blob:|\*", policy)
    assert scripts[0] == as_global(SMALL.script)
    assert not re.search(r"(src|href)=", text)
    assert facts.versions["onnxruntime-web"] == "1.30.0"
    assert facts.parity.export <= facts.parity.bound


@needs("onnx", "onnxscript", "onnxruntime")
def test_a_mean_image_stays_in_the_page(tmp_path: Path) -> None:
    """As with the page's own script, the page normalises, so no normalisation is refused."""
    small = subject("resnet:depth=8,base=2")
    known = mean_image(small.network.plan.image)
    facts = write_page(
        small.network,
        tmp_path / "a.html",
        classes=small.classes,
        preparation=known,
        title="x",
        engine=RuntimeEngine(SMALL),
    )
    assert held(facts.file.read_text(encoding="utf-8"), "normalisation")


@needs("onnx", "onnxscript", "onnxruntime")
def test_a_network_above_the_limit_needs_it(tmp_path: Path) -> None:
    """The refusal names the option and the command; with it there is no limit."""
    small = subject("resnet:depth=8,base=2")
    known = {"classes": small.classes, "preparation": small.preprocessing, "title": "x"}
    with pytest.raises(UsageError, match="Larger ones need --runtime DIR") as caught:
        write_page(small.network, tmp_path / "a.html", **known, engine=PlainEngine(most_multiply_adds=1000))  # type: ignore[arg-type]
    assert str(caught.value).endswith(COMMAND)
    write_page(small.network, tmp_path / "a.html", **known, engine=RuntimeEngine(SMALL))  # type: ignore[arg-type]


def test_other_formats_take_none() -> None:
    """Their files do not contain what computes them."""
    with pytest.raises(UsageError, match="--to onnx takes no --runtime; only --to page contains what computes it"):
        ExportOptions(to="onnx", runtime=Path("package"))
