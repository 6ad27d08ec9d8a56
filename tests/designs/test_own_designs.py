"""Networks of one's own need no entry in the catalogue: Python takes values where it takes a DESIGN text."""

import json
import logging
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import resatlas
from resatlas.arch.ops import Shape
from resatlas.cli.main import main
from resatlas.designs import catalog
from resatlas.designs.catalog import resolve
from resatlas.designs.plugins import GROUP
from resatlas.designs.resnet import ResNet
from resatlas.errors import DesignError, UnknownName, UsageError
from resatlas.page.chart import look_of
from resatlas.recipes.catalog import NAMED as RECIPES
from resatlas.runs.experiment import Experiment, from_json, to_json
from resatlas.values.notes import forget
from tests.designs import toy
from tests.designs.toy import ToyNet

TOY = ToyNet(depth=8, base=4)


def test_a_design_a_blueprint_and_a_plan_are_one_network() -> None:
    """Each gives the same plan, and one of another number of classes."""
    plan = resatlas.plan(TOY)
    assert resatlas.plan(TOY.blueprint()) == resatlas.plan(plan) == plan
    assert resatlas.plan(plan, classes=3) == resatlas.plan(TOY, classes=3) == resatlas.plan(TOY.blueprint(), classes=3)
    image = Shape(1, 16, 16)
    assert resatlas.plan(TOY, image=image) == resatlas.plan(TOY.blueprint(), image=image)


def test_they_are_built() -> None:
    """Without a line in the catalogue, with the sizes that the plan gives."""
    networks = [resatlas.build(design, seed=0) for design in (TOY, TOY.blueprint(), resatlas.plan(TOY))]
    for network in networks:
        assert sum(weight.numel() for weight in network.parameters()) == resatlas.cost(network.plan).parameters
        assert network.plan == networks[0].plan


def test_a_design_of_the_catalogue_has_a_text() -> None:
    """The entry of a design is that of the text with its knobs, which is its name."""
    design = ResNet(depth=20, shortcut="B", base=8)
    assert resolve(design) == resolve("resnet:depth=20,shortcut=B,base=8")


def test_a_plan_has_one_image() -> None:
    """Another is refused, with the way to it."""
    with pytest.raises(DesignError, match=r"a plan has a fixed image, here \(3, 32, 32\); expand its"):
        resatlas.plan(resatlas.plan(TOY), image=Shape(1, 8, 8))


def test_an_experiment_keeps_the_blueprint() -> None:
    """It is restored from JSON without the code; a design of the catalogue is stored as its text."""
    experiment = Experiment.of(TOY, data="digits")
    back = from_json(json.loads(json.dumps(to_json(experiment))))
    assert back == experiment
    assert back.entry.blueprint == TOY.blueprint()
    assert (back.design, back.entry.family, back.entry.depth) == ("toy:depth=8,base=4", "toy", 8)
    known = Experiment.of(ResNet(depth=20), data="digits")
    assert known == Experiment(design="resnet:depth=20", data="digits")
    assert "own" not in to_json(known)
    assert Experiment.of(TOY.blueprint(), data="digits").run_name.startswith("digits-blueprint-")


def test_a_run_needs_the_code_no_more(tmp_path: Path) -> None:
    """A design without a text is trained, resumed, tested and reported from what the run keeps."""
    recipe = replace(RECIPES["quick"], epochs=1)
    experiment = Experiment.of(TOY, data="digits:size=8", recipe=recipe)
    results = resatlas.train(experiment, tmp_path / "run")
    assert (results["design"], results["family"]) == ("toy:depth=8,base=4", "toy")
    begun = from_json(json.loads((tmp_path / "run" / "experiment.json").read_text(encoding="utf-8")))
    with pytest.raises(UnknownName):
        resolve(begun.design)
    assert resatlas.train(begun, tmp_path / "run", resume="auto") == results
    assert main(["evaluate", str(tmp_path / "run"), "--quiet"]) == 0
    assert main(["report", str(tmp_path / "run"), "--out", str(tmp_path / "page.html"), "--quiet"]) == 0


NETS = """
from resatlas.designs.tasks import TASKS
from tests.designs.toy import FAMILY, ToyNet

design = ToyNet(depth=8, base=4)
blueprint = design.blueprint()
number = 3


def make():
    return ToyNet(depth=14)


def fails():
    raise ValueError("not today")
"""


@pytest.fixture
def nets(tmp_path: Path) -> Path:
    """A file with a user's networks."""
    file = tmp_path / "my_nets.py"
    file.write_text(NETS, encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("name", "depth"),
    [("FAMILY:depth=8,base=4", 8), ("design", 8), ("design:base=8", 8), ("blueprint", None), ("make", 14)],
)
def test_a_name_in_a_file_is_a_design(
    nets: Path, name: str, depth: int | None, capsys: pytest.CaptureFixture[str]
) -> None:
    """A family with its knobs, a design, a blueprint, or a function that gives one."""
    assert main(["describe", f"{nets}:{name}", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["name"] == f"{nets}:{name}"
    assert len(said["units"]) == (6 if name == "make" else 3)
    assert depth is None or said["depth"] == depth


def test_a_family_in_a_file_is_searched(nets: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`solve` writes its members as the DESIGN texts that the other verbs take."""
    assert (
        main(["solve", f"{nets}:FAMILY", "--parameters", "20k", "--set", "base=8", "--tolerance", "50%", "--json"]) == 0
    )
    [nearest, *_] = json.loads(capsys.readouterr().out)
    assert main(["describe", nearest["name"], "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["parameters"] == nearest["parameters"]
    for words, message in (
        (f"{nets}:design", "expected a Family or a Blueprint; got ToyNet"),
        (f"{nets}:FAMILY:base=8", "knobs of a family are fixed by --set here, as in --set base=8"),
    ):
        assert main(["solve", words, "--parameters", "20k"]) == 2
        assert message in capsys.readouterr().err


def test_a_file_needs_a_name_in_it(nets: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The file alone is answered with the form that is missing."""
    assert main(["describe", str(nets)]) == 2
    assert "expected FILE.py:NAME, a name in the file; got" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nothing", 'my_nets.py: no design "nothing"; '),
        ("number", "expected a Family, a design or a Blueprint; got int"),
        ("fails", "my_nets.py: fails() fails: ValueError: not today"),
        ("blueprint:base=4", 'a blueprint has no knobs; "base=4" cannot be set'),
        ("FAMILY", 'needs the knob "depth"'),
    ],
)
def test_what_a_file_lacks_is_told(nets: Path, name: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """In one line, as a mistake of usage."""
    assert main(["describe", f"{nets}:{name}"]) == 2
    assert words in capsys.readouterr().err


def test_a_file_is_executed_where_a_command_names_it_alone(nets: Path, tmp_path: Path) -> None:
    """A run of it is trained and read without the file; a text in a run never executes one."""
    out = tmp_path / "run"
    words = ["train", f"{nets}:design", "--data", "digits:size=8", "--epochs", "1", "--out", str(out), "--quiet"]
    assert main(words) == 0
    nets.write_text("raise SystemExit('executed')", encoding="utf-8")
    assert main(["evaluate", str(out), "--quiet"]) == 0
    assert main(["report", str(out), "--out", str(tmp_path / "page.html"), "--quiet"]) == 0
    with pytest.raises(UsageError, match="is code, which is executed only if it is the DESIGN of a command line"):
        resolve(f"{nets}:design")


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two installed packages: one with a family, and one that fails."""
    points = {"good": "tests.designs.toy:FAMILY", "broken": "no_such_package:FAMILY", "odd": "tests.designs.toy:ToyNet"}
    folder = tmp_path / "toys-1.0.dist-info"
    folder.mkdir()
    lines = "\n".join(f"{name} = {value}" for name, value in points.items())
    (folder / "entry_points.txt").write_text(f"[{GROUP}]\n{lines}\n", encoding="utf-8")
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: toys\nVersion: 1.0\n", encoding="utf-8")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    return tmp_path


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """Nothing is remembered of what is installed."""

    def clear() -> None:
        for known in (catalog.installed, catalog._spelling, catalog.own_design_named):
            known.cache_clear()
        forget()

    clear()
    yield
    clear()


@pytest.mark.usefixtures("plugins")
def test_an_installed_family_is_found(caplog: pytest.LogCaptureFixture) -> None:
    """Under its names; what is broken is named once and left out."""
    with caplog.at_level(logging.WARNING, logger="resatlas"):
        assert resolve("toy-8").design == ToyNet(depth=8)
        assert resolve("toy:depth=8,base=4").design == TOY
        assert resatlas.list_designs("toy") == ["toy-8", "toy-14"]
    notes = [record.getMessage() for record in caplog.records]
    assert notes == [
        'the family "broken" of toys (no_such_package:FAMILY) is skipped: '
        "ModuleNotFoundError: No module named 'no_such_package'",
        'the family "odd" of toys (tests.designs.toy:ToyNet) is skipped: expected a Family, got a type',
    ]
    experiment = Experiment(design="toy-8", data="digits")
    assert experiment.own is not None
    assert experiment.own.blueprint == ToyNet(depth=8).blueprint()


@pytest.mark.usefixtures("plugins")
def test_names_of_the_catalogue_import_no_plugin(capsys: pytest.CaptureFixture[str]) -> None:
    """Neither they nor help execute what others installed."""
    resolve("resnet-20")
    resolve("wide-resnet:depth=16")
    assert Experiment(design="wrn-28-10", data="digits").own is None
    with pytest.raises(SystemExit):
        main(["describe", "--help"])
    for words in (
        ("describe", "resnet-20"),
        ("eject", "dmrnet-14"),
        ("solve", "resnet", "--parameters", "270k", "--set", "depth=20"),
    ):
        assert main(words) == 0
    assert look_of("resnet") != look_of("wide-resnet")
    capsys.readouterr()
    assert catalog.installed.cache_info().currsize == 0


@pytest.mark.usefixtures("plugins")
def test_a_family_takes_no_name_that_is_taken(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The existing family is kept."""
    monkeypatch.setattr(ToyNet, "family", "resnet")
    with caplog.at_level(logging.WARNING, logger="resatlas"):
        assert toy.FAMILY.name not in catalog.installed()
    assert "a family resnet exists already" in caplog.text
