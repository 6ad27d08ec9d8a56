"""Whatever stands in the files of a run, a reader ends with an exit code of ours, and never with a traceback."""

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from resatlas.cli.main import main
from tests.comparing.folders import EQUAL, seal, write_runs

CODES = {0, 1, 2, 3, 4}
FILES = ("experiment.json", "env.json", "results.json", "status.json", "metrics.jsonl", "timing.jsonl", "SEAL.json")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two designs, each trained twice."""
    folder = tmp_path_factory.mktemp("foreign") / "runs"
    write_runs(folder, [(EQUAL[0][0], 2), (EQUAL[3][0], 2)])
    return folder


def first(folder: Path) -> Path:
    """The first of the runs."""
    return min(folder.glob("*/results.json")).parent


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("results.json", []),
        ("results.json", {}),
        ("env.json", []),
        ("env.json", {"packages": []}),
        ("env.json", {"command": 7}),
        ("experiment.json", {"images": 0}),
        ("experiment.json", {"classes": None}),
        ("experiment.json", {"departures": 3}),
        ("experiment.json", {"note": 3}),
        ("metrics.jsonl", None),
        ("metrics.jsonl", {"spoch": 1}),
        ("timing.jsonl", {"epoch": 1, "seconds": "long"}),
        ("status.json", []),
        ("status.json", {"pid": "me"}),
        ("SEAL.json", []),
        ("SEAL.json", {"schema": 1, "files": {"results.json": 3}, "checkpoint": {}}),
    ],
    ids=str,
)
def test_foreign_values_are_answered_in_a_line(
    runs: Path, tmp_path: Path, file: str, change: object, capsys: pytest.CaptureFixture[str]
) -> None:
    """The file is named; the run is sealed as it is, so that it is decoded."""
    shutil.copytree(runs, tmp_path / "runs")
    target = first(tmp_path / "runs") / file
    if change is None:
        target.unlink()
    elif file.endswith(".jsonl"):
        target.write_text(json.dumps(change) + "\n")
    else:
        before = json.loads(target.read_text())
        keep = isinstance(change, dict) and change and file != "SEAL.json"
        target.write_text(json.dumps({**before, **change} if keep and isinstance(change, dict) else change))
    if file != "SEAL.json":
        seal(target.parent)
    for words in (
        ["compare", str(tmp_path / "runs")],
        ["report", str(target.parent), "--out", str(tmp_path / "p.html")],
    ):
        code = main([*words, "--quiet"])
        said = capsys.readouterr().err
        assert (code, said.count("\n")) in {(0, 0), (2, 1)}, said
        assert code == 0 or file in said
        assert change is None or code == 2


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_value_anywhere_is_a_traceback(runs: Path, tmp_path: Path, data: st.DataObject) -> None:
    """Any value of any file replaced by any other, or removed."""
    folder = tmp_path / "mutated"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(runs, folder)
    file = first(folder) / data.draw(st.sampled_from(FILES))
    lines = file.read_text().split("\n") if file.suffix == ".jsonl" else [file.read_text()]
    value = json.loads(lines[0])
    lines[0] = json.dumps(mutated(value, data))
    file.write_text("\n".join(lines))
    if file.name != "SEAL.json":
        seal(file.parent)
    assert main(["compare", str(folder), "--quiet"]) in CODES


def mutated(value: Any, data: st.DataObject) -> Any:  # noqa: ANN401 - any JSON
    """The value with one of its parts, at any depth, replaced or removed."""
    whole = copy.deepcopy(value)
    place: Any = whole
    while place and type(place) in (dict, list):
        keys: list[Any] = sorted(place) if type(place) is dict else list(range(len(place)))
        key = data.draw(st.sampled_from(keys))
        if type(place[key]) in (dict, list) and place[key] and data.draw(st.booleans()):
            place = place[key]
            continue
        if data.draw(st.booleans()):
            del place[key]
        else:
            place[key] = data.draw(JSON)
        return whole
    return data.draw(JSON)
