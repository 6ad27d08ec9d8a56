"""Files are opened, written, replaced and removed in few modules, each listed here with its reason."""

import ast
from collections.abc import Iterator
from pathlib import Path

import resatlas

SOURCES = Path(resatlas.__file__).parent

METHODS = {
    "open", "read_text", "read_bytes", "write_text", "write_bytes", "unlink", "rename", "rmdir", "touch", "symlink_to",
    "hardlink_to", "rmtree", "save_file", "safe_open", "load_file", "copyfileobj", "copytree", "remove", "replace",
    "fdopen", "SummaryWriter",
}  # fmt: skip
"""Names of functions and methods that open, write, replace or remove files."""

OURS = {"write_text", "write_bytes", "remove"}
"""Of these, functions of runs/files."""

PACKAGE = "a file of the package itself"
LIBRARY = "the library opens by name what was found regular before"
DRAFT = "in a folder of a random name that this process has just made"
DATA = "data sets, whose room has its own rules"

ALLOWED = {
    "values/reading.py": "the one reader",
    "runs/files.py": "the one writer",
    "runs/environment.py": "/proc/cpuinfo, a file of the system",
    "runs/lock.py": "a folder's handle, for its lock; its own signature, for the heartbeat",
    "values/machine.py": "/proc, files of the system",
    "values/cores.py": "/proc and /sys, files of the system",
    "values/groups.py": "/proc and /sys, files of the system",
    "values/room.py": "/proc and /sys, files of the system",
    "training/checkpoint.py": DRAFT,
    "training/profiling.py": "a trace in a temporary folder, since torch writes it by its name",
    "training/logs.py": "TensorBoard writes by itself, in a folder that was made anew",
    "exporting/stored_weights.py": LIBRARY,
    "studies/ray_tasks.py": "the output of a share, in a process of Ray",
    "exporting/export_folder.py": "the program of predict.py, a file of the package itself, into a draft",
    "exporting/found_export.py": "the programs of predict.py, files of the package itself, into a draft",
    "exporting/quantising.py": "in a temporary folder, since its library reads and writes files by name",
    "exporting/standalone.py": "the program beside an exported network, which stands without the package",
    "exporting/standalone_found.py": "the program beside an exported network, which stands without the package",
    "bench/foreign.py": "/proc, files of the system",
    "bench/gpu_sections.py": "runs that the benchmark trains, in a temporary folder",
    "values/language.py": PACKAGE,
    "serving/service.py": PACKAGE,
    "exporting/page/engine.py": PACKAGE,
    "page/design/document.py": PACKAGE,
    "data/batch.py": "anonymous memory, which no folder names",
    "weights/weight_files.py": LIBRARY,
    "weights/conversion.py": DRAFT,
    "audit/foreign.py": "the answer of a process that audits, in a temporary folder",
    "designs/published.py": PACKAGE,
    "designs/printed.py": PACKAGE,
    "data/imagenet.py": PACKAGE,
    "data/verifying.py": "its memory of images in the user's cache, a draft of a random name",
    "cli/main.py": "/dev/null in the place of a closed output",
    "cli/audit_verb.py": "the answer of a process that audits, in a temporary folder",
    **dict.fromkeys(
        (
            "data/archives.py", "data/fetching.py", "data/idx.py", "data/photograph.py",
        ),
        DATA,
    ),
    "values/downloading.py": "a download in a locked folder, verified before it gets its name",
    "weights/obtaining.py": "a download in a locked folder, verified before it gets its name",
    "weights/words.py": PACKAGE,
}  # fmt: skip


def opening(tree: ast.AST) -> Iterator[ast.Call]:
    """The calls of a module that open, write, replace or remove files, without those of runs/files."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Name) and node.func.id in METHODS - OURS - {"replace"}:
            yield node
        if isinstance(node.func, ast.Attribute) and node.func.attr in METHODS and _of_files(node, node.func):
            yield node


def _of_files(call: ast.Call, function: ast.Attribute) -> bool:
    """Whether a method of this name is one of files; lists and texts have some too."""
    if function.attr == "remove":
        return isinstance(function.value, ast.Name) and function.value.id == "os"
    return function.attr != "replace" or (len(call.args) == 1 and not call.keywords)


def test_files_are_opened_in_known_places() -> None:
    """A new module that opens files uses values/reading or runs/files, or is listed here with a reason."""
    users = {
        str(file.relative_to(SOURCES)): [node.lineno for node in opening(ast.parse(file.read_text(encoding="utf-8")))]
        for file in sorted(SOURCES.rglob("*.py"))
    }
    assert {name: lines for name, lines in users.items() if lines and name not in ALLOWED} == {}
    assert [name for name in ALLOWED if not users.get(name)] == [], "these need no exception any more"


WRITERS = {"write_text", "write_bytes", "write_json", "write_csv", "append_line"}

BESIDE_RUNS = {
    "runs/files.py": "passes on what it was given",
    "page/page.py": "a page, where its user wants it",
    "page/picture.py": "a figure, where its user wants it",
    "exporting/saving.py": DRAFT,
    "exporting/found_saving.py": DRAFT,
    "exporting/provenance.py": DRAFT,
    "exporting/export_folder.py": DRAFT,
    "exporting/found_export.py": DRAFT,
    "exporting/executorch_target.py": DRAFT,
    "exporting/onnx_target.py": DRAFT,
    "exporting/torch_export_target.py": DRAFT,
    "exporting/page/document.py": "a page, where its user wants it",
    "cli/solve_verb.py": "a blueprint, where its user wants it",
    "bench/rows.py": "tables of a benchmark, where its user wants them",
}


def test_what_is_written_in_a_run_stays_in_it() -> None:
    """Every writing call names the folder that it stays in, except for files outside of runs."""
    loose = {}
    for file in sorted(SOURCES.rglob("*.py")):
        calls = [
            node.lineno
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in WRITERS
            and "within" not in {word.arg for word in node.keywords}
        ]
        if calls:
            loose[str(file.relative_to(SOURCES))] = calls
    assert {name: lines for name, lines in loose.items() if name not in BESIDE_RUNS} == {}
