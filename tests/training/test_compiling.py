"""Units compiled one kind at a time: same keys, shared code, uncompiled tests.

Compilation runs in its own process, without the shape checks of jaxtyping, which do not compile. The backend "eager"
omits the generation of machine code, which would take a minute.
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
    """The facts that the process returns."""
    folder = tmp_path_factory.mktemp("compiled")
    done = subprocess.run(
        [sys.executable, "-m", __name__, str(folder)], capture_output=True, text=True, check=False, timeout=200
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def collect_facts(folder: Path) -> dict[str, Any]:
    """All facts."""
    return {name: compiled(design) for name, design in DESIGNS.items()} | {"different": trained(folder)}


def compiled(design: str) -> dict[str, Any]:
    """Facts about a compiled network."""
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    made = torch._dynamo.utils.counters["stats"]
    network = build(design, image=Shape(1, 8, 8), classes=4, seed=0)
    keys, images = list(network.state_dict()), torch.randn(4, 1, 8, 8)
    plain = network(images)
    with compiling(network, "units", backend="eager"):
        facts: dict[str, Any] = {"same": bool(network(images).equal(plain)), "whole": made["unique_graphs"]}
        network(images[:3])
        facts["left over"] = made["unique_graphs"]
        facts["keys"] = list(network.state_dict()) == keys
        with uncompiled("units"):
            network.eval()(images)
    network.train()(images[:2])
    facts["afterwards"] = made["unique_graphs"]
    return facts


def trained(folder: Path) -> list[str]:
    """The tensors that differ between a compiled training and the usual one with the same operations."""
    session.compiling = partial(compiling, backend="eager")  # type: ignore[assignment]
    run = carried_out(folder / "run", replace(EXPERIMENT, compiled="units"))
    assert run.beginning().experiment.compiled == "units"
    return different(tensors(last_checkpoint(run)), tensors(last_checkpoint(carried_out(folder / "plain"))))


def test_units_of_one_kind_share_their_code(facts: dict[str, Any]) -> None:
    """Deep and shallow networks compile equally often: once per kind of unit and batch size."""
    for name in ("shallow", "deep"):
        assert (facts[name]["whole"], facts[name]["left over"]) == (5, 10)


def test_every_unit_is_compiled_however_many_kinds_there_are(facts: dict[str, Any]) -> None:
    """A pyramid has eighteen widths, more than torch's default limit of eight."""
    assert (facts["pyramid"]["whole"], facts["pyramid"]["left over"]) == (18, 36)


@pytest.mark.parametrize("name", DESIGNS)
def test_a_compiled_network_is_the_same_network(facts: dict[str, Any], name: str) -> None:
    """Outputs and keys are equal; tests and later passes compile nothing."""
    assert facts[name]["same"]
    assert facts[name]["keys"]
    assert facts[name]["afterwards"] == facts[name]["left over"]


def test_a_compiled_training_is_bit_equal(facts: dict[str, Any]) -> None:
    """With the same operations all tensors are bit-equal, including running statistics."""
    assert facts["different"] == []


def test_it_belongs_to_the_experiment(tmp_path: Path) -> None:
    """Compilation changes last bits, so a run with another setting is another experiment."""
    carried_out(tmp_path / "run")
    with pytest.raises(UsageError, match="holds another experiment"):
        carried_out(tmp_path / "run", replace(EXPERIMENT, compiled="units"), resume="auto")


def test_a_missing_compiler_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The refusal comes before the run starts and says how to install it; without compilation none is needed."""
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(UsageError, match=r"needs a C\+\+ compiler; no-such-compiler is missing: apt-get install g\+\+"):
        carried_out(tmp_path / "run", replace(EXPERIMENT, compiled="units"))
    assert not (tmp_path / "run").exists()
    check_compiler("nothing")


if __name__ == "__main__":
    print(json.dumps(collect_facts(Path(sys.argv[1]))))
