"""Other engines behind a module of torch: the same logits, and refusals in one line."""

import os
import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import resatlas
from resatlas.arch.ops import Shape
from resatlas.cli.main import main
from resatlas.errors import UsageError
from resatlas.inference.engines import packages
from resatlas.inference.engines.network import run_by
from resatlas.inference.engines.packages import Engine, check_engine
from resatlas.runs.store import Run
from resatlas.studies.predicting import predict
from resatlas.studies.subject import EvaluationOptions
from tests.data.pictures import write
from tests.exporting.subjects import needs
from tests.training.small import carried_out

OTHERS: tuple[Engine, ...] = ("onnxruntime", "openvino")

pytestmark = needs("onnx", "onnxscript", "onnxruntime", "openvino")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run of the smallest experiment."""
    return carried_out(tmp_path_factory.mktemp("engines") / "run")


@pytest.mark.parametrize("engine", OTHERS)
def test_an_engine_gives_the_logits_of_torch(engine: Engine) -> None:
    """For any number and size of images, up to rounding."""
    network = resatlas.build("pyramidnet:depth=8,alpha=5,base=3", image=Shape(3, 8, 8), classes=4, seed=0).eval()
    other = run_by(engine, network, free="size")
    for shape in ((1, 3, 8, 8), (5, 3, 8, 8), (2, 3, 11, 9)):
        images = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        with torch.inference_mode():
            torch.testing.assert_close(other(images), network(images), atol=1e-5, rtol=1e-5)


INTERRUPTED = """
import os, signal, sys
from onnx import TensorProto, helper
from resatlas.inference.engines.sessions import openvino_has_bf16, openvino_session

signal.signal(signal.SIGINT, signal.default_int_handler)  # else it may be ignored, as in the background of a shell
ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("images", "logits")]
graph = helper.make_graph([helper.make_node("Relu", ["images"], ["logits"])], "relu", ends[:1], ends[1:])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10).SerializeToString()
first = openvino_session(model, threads=1)
second = openvino_session(model, threads=1)
del first
del second
openvino_has_bf16()
os.kill(os.getpid(), signal.SIGINT)
"""


def test_sessions_of_openvino_leave_ctrl_c_alone() -> None:
    """Two sessions, the first of which ends first: then a signal reaches Python's handler."""
    ended = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, check=False)
    assert ended.stderr.strip().splitlines()[-1:] == ["KeyboardInterrupt"]
    assert ended.returncode == -signal.SIGINT


@pytest.mark.parametrize("engine", OTHERS)
def test_predict_and_evaluate_agree_with_torch(engine: Engine, run: Run, tmp_path: Path) -> None:
    """The same classes, probabilities and errors; the files of predictions do not replace each other."""
    image = write(tmp_path / "image.png")
    [ours], [theirs] = (predict(run.folder, [image], engine=name) for name in ("torch", engine))
    assert [name for name, _ in theirs.classes] == [name for name, _ in ours.classes]
    assert [p for _, p in theirs.classes] == pytest.approx([p for _, p in ours.classes], abs=1e-5)
    options = EvaluationOptions(out=tmp_path / "out", probabilities="every")
    [torchs] = resatlas.evaluate([run.folder], options)
    [others] = resatlas.evaluate([run.folder], replace(options, engine=engine))
    assert others.values == pytest.approx(torchs.values, abs=1e-4)
    assert others.file != torchs.file
    assert engine in others.file.name


def test_a_missing_engine_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """With the command that installs it, before the run is read."""

    def not_installed(package: str) -> None:
        del package

    monkeypatch.setattr(packages, "installed_version", not_installed)
    with pytest.raises(UsageError, match=r"--engine openvino needs .* pip install resatlas\[export,openvino\]"):
        check_engine("openvino")
    assert main(["predict", "nowhere", "x.png", "--engine", "onnxruntime"]) == 2
    assert capsys.readouterr().err == (
        "UsageError: --engine onnxruntime needs onnx and onnxscript and onnxruntime, not installed: "
        "pip install resatlas[export]\n"
    )


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("--device cuda --engine openvino", "--engine openvino computes on the CPU; leave out --device cuda"),
        ("--engine openvino --protocol multi-scale:places=windows", "which only --engine torch gives"),
    ],
)
def test_what_an_engine_cannot_do_is_refused(
    words: str, reason: str, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before any image is read."""
    assert main(["evaluate", str(run.folder), *words.split()]) == 2
    assert reason in capsys.readouterr().err


IMPORTING = """
import sys
from resatlas.inference.engines import packages

def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo"):
        raise SystemExit(f"forbidden: {event} {arguments}")

sys.addaudithook(refuse)
print(getattr(packages, sys.argv[1])().__name__)
"""


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_an_engine_reports_nothing_to_its_maker(name: str, tmp_path: Path) -> None:
    """No file that identifies the machine, and no connection from Python; under CI both would be silent anyway."""
    environment = {key: value for key, value in os.environ.items() if key not in ("CI", "ORT_DISABLE_TELEMETRY")}
    words = [sys.executable, "-c", IMPORTING, name]
    environment |= {"HOME": str(tmp_path), "TMPDIR": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
    assert (done.returncode, done.stdout) == (0, f"{name}\n"), done.stderr
    assert list(tmp_path.rglob("*")) == []


def test_engines_are_imported_in_one_room() -> None:
    """So that none is imported with its telemetry; predict.py stands alone and does the same by itself."""
    sources = Path(resatlas.__file__).parent
    importing = re.compile(r"^\s*(?:import|from) (?:onnxruntime|openvino)\b(?!\.quantization)", re.MULTILINE)
    found = {path.name for path in sources.rglob("*.py") if importing.search(path.read_text(encoding="utf-8"))}
    assert found == {"standalone.py", "standalone_found.py"}
