"""Units compiled one kind at a time: the same keys, shared code, tests as without it.

What compiles runs in a process of its own, without the shape checks of the tests, which cannot be compiled. Machine
code is not made, which takes a minute: the compiler's last stage is left out.
"""

import json
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from resatlas.arch.ops import Shape
from resatlas.errors import UsageError
from resatlas.nets.network import build
from resatlas.training import session
from resatlas.training.compiling import check_compiler, compiling, uncompiled
from tests.training.small import EXPERIMENT, carried_out, different, last_checkpoint, tensors

DESIGNS = {
    "shallow": "resnet:depth=14,base=4",
    "deep": "resnet:depth=26,base=4",
    "pyramid": "pyramidnet:depth=38,base=4,alpha=12",
}


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a process found out."""
    folder = tmp_path_factory.mktemp("compiled")
    done = subprocess.run(
        [sys.executable, "-m", __name__, str(folder)], capture_output=True, text=True, check=False, timeout=200
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def find_out(folder: Path) -> dict[str, Any]:
    """All of it."""
    return {name: compiled(design) for name, design in DESIGNS.items()} | {"different": trained(folder)}


def compiled(design: str) -> dict[str, Any]:
    """What happens to a network that is compiled."""
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    made = torch._dynamo.utils.counters["stats"]
    network = build(design, image=Shape(1, 8, 8), classes=4, seed=0)
    keys, images = list(network.state_dict()), torch.randn(4, 1, 8, 8)
    plain = network(images)
    with compiling(network, "units", backend="eager"):
        found: dict[str, Any] = {"same": bool(network(images).equal(plain)), "whole": made["unique_graphs"]}
        network(images[:3])
        found["left over"] = made["unique_graphs"]
        found["keys"] = list(network.state_dict()) == keys
        with uncompiled("units"):
            network.eval()(images)
    network.train()(images[:2])
    found["afterwards"] = made["unique_graphs"]
    return found


def trained(folder: Path) -> list[str]:
    """Where a compiled training differs from the usual one, whose operations are the same."""
    session.compiling = partial(compiling, backend="eager")  # type: ignore[assignment]
    run = carried_out(folder / "run", replace(EXPERIMENT, compiled="units"))
    assert run.beginning().experiment.compiled == "units"
    return different(tensors(last_checkpoint(run)), tensors(last_checkpoint(carried_out(folder / "plain"))))


def test_units_of_one_kind_share_their_code(facts: dict[str, Any]) -> None:
    """A deeper net compiles as often as a shallow one: once for each of the five kinds of unit, for each batch size."""
    for name in ("shallow", "deep"):
        assert (facts[name]["whole"], facts[name]["left over"]) == (5, 10)


def test_every_unit_is_compiled_however_many_kinds_there_are(facts: dict[str, Any]) -> None:
    """A pyramid of eighteen widths: torch's limit of eight does not hold here."""
    assert (facts["pyramid"]["whole"], facts["pyramid"]["left over"]) == (18, 36)


@pytest.mark.parametrize("name", DESIGNS)
def test_what_is_compiled_is_the_same_network(facts: dict[str, Any], name: str) -> None:
    """The same answers under the same keys; tests, and what comes after the training, compile nothing."""
    assert facts[name]["same"]
    assert facts[name]["keys"]
    assert facts[name]["afterwards"] == facts[name]["left over"]


def test_a_compiled_training_is_any_training(facts: dict[str, Any]) -> None:
    """With the same operations it ends in the same bits, running statistics among them."""
    assert facts["different"] == []


def test_it_belongs_to_the_experiment(tmp_path: Path) -> None:
    """It changes last bits, so that a run goes on as it began: asked otherwise it is another experiment."""
    carried_out(tmp_path / "run")
    with pytest.raises(UsageError, match="holds another experiment"):
        carried_out(tmp_path / "run", replace(EXPERIMENT, compiled="units"), resume="auto")


def test_a_missing_compiler_is_told_in_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is begun, with how to get it; without compilation none is needed."""
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(UsageError, match=r"needs a C\+\+ compiler; no-such-compiler is missing: apt-get install g\+\+"):
        carried_out(tmp_path / "run", replace(EXPERIMENT, compiled="units"))
    assert not (tmp_path / "run").exists()
    check_compiler("nothing")


if __name__ == "__main__":
    print(json.dumps(find_out(Path(sys.argv[1]))))
