"""Ejected files contain the same network as ours, bit for bit, and need only torch."""

import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from torch import Tensor, nn

from resatlas.arch.blueprint import Blueprint, Stem
from resatlas.arch.cost import cost
from resatlas.arch.ops import Shape
from resatlas.arch.parameters import Constant, Normal, Uniform, parameters
from resatlas.arch.residual import Residual, basic
from resatlas.arch.widths import PerStage
from resatlas.cli.main import main
from resatlas.designs.catalog import Entry, named, resolve
from resatlas.eject.source import source
from resatlas.eject.table import unit_table
from resatlas.errors import DesignError
from resatlas.nets.network import build
from tests.arch.strategies import blueprints, images

GOLDEN = Path(__file__).parents[1] / "golden" / "eject"

PRINTED = (
    "resnet-20",
    "resnet-50",
    "preact-resnet-18",
    "wrn-28-10-dropout",
    "resnext-50-32x4d",
    "resnext-29-32x4d-form-a",
    "pyramidnet-110-a48",
    "dmrnet-14",
    "dmrnet-50-ijcai",
    "dilnet-14",
    "res2net-50-26w-4s",
    "shake-shake-26-2x32d",
)

RESNETS = (
    *(f"resnet:depth=8,base=4,shortcut={option}" for option in ("A", "A-sides", "B", "C")),
    *(f"resnet:depth=8,base=4,order={order}" for order in ("bn-after-add", "relu-before-add", "relu-only-preact")),
    *("resnet:depth=8,base=4,unit=single", "resnet:depth=11,base=4,unit=bottleneck"),
    *("resnet:depth=11,base=4,unit=bottleneck,stride=3x3", "resnet:depth=18,setting=imagenet,base=4"),
    "se-resnet:depth=8,base=4,reduction=2",
    *(f"regnet:depth=6,variant={variant},w0=8,wa=4,wm=2,group=16,base=8" for variant in ("x", "y")),
    "eca-resnet:depth=8,base=4,setting=cifar",
    *("shake-shake:depth=8,width=16,base=4", "shake-shake:depth=8,width=16,base=16,bodies=3"),
    *("res2net:depth=20,width=3,scale=2,setting=cifar,base=8", "res2net:depth=11,width=2,scale=4,setting=cifar,base=4"),
    *(f"tweaked-resnet:depth=18,base=4,tweak={tweak}" for tweak in ("c", "d")),
    *(f"resnet:depth=8,base=4,modified={word}" for word in ("scale-0.5-0.5", "exclusive-gate-b-3", "shortcut-gate-b0")),
    *("resnet:depth=8,base=4,modified=dropout-0.5", "plain:depth=8,base=4", "fuse3-20:base=4", "fuse6-20:base=4"),
)
PREACTIVATED = (
    *(f"preact-resnet:depth=8,base=4,wiring={wiring}" for wiring in ("paper", "fb", "projected")),
    *(f"preact-resnet:depth=8,base=4,shortcut=B,wiring={wiring}" for wiring in ("paper", "fb", "projected")),
    *("preact-resnet:depth=18,setting=imagenet,base=4", "preact-resnet:depth=50,setting=imagenet,base=4"),
    *("preact-resnet:depth=11,base=4,unit=bottleneck", "preact-resnet:depth=8,base=4,unit=single"),
    *("wrn-10-2:base=4", "wrn-10-1:base=4", "wrn-16-2:base=4,dropout=0.3", "wrn-10-2-B131:base=4"),
    *("wrn-16-2-l1:base=4", "wrn-16-2-l4:base=4", "imagenet-wrn-18-1.5:base=4", "wrn-50-2:base=4"),
)
GROUPED = tuple(
    f"resnext:depth=11,cardinality=4,width=8,base=16,form={form}{more}"
    for form, more in (("a", ""), ("b", ""), ("c", ""), ("c", ",shortcut=absent"))
)
PYRAMIDS = (
    *("pyramidnet:depth=14,alpha=5", "pyramidnet:depth=14,alpha=20,unit=basic,dropout=0.5"),
    *(f"pyramidnet:depth=14,alpha=5,variant={variant}" for variant in "abc"),
    *("pyramidnet:depth=14,alpha=5,shortcut=projection", "pyramidnet:depth=14,alpha=5,shortcut=projection-strided"),
    *("pyramidnet:depth=20,alpha=47/2,multiple_of=4", "pyramidnet:depth=20,alpha=20,rounding=floor"),
    *("pyramidnet:depth=11,alpha=9,unit=bottleneck", "pyramidnet:depth=14,alpha=2.7,growth=multiplicative"),
    "pyramidnet:depth=14,alpha=3,growth=multiplicative,multiple_of=4,rounding=floor",
)
STREAMS = (
    *(f"dmrnet:depth=8,base=4,skip={skip},join={join}" for skip in ("mean", "swap") for join in ("merge", "sum")),
    *(f"dmrnet:depth=14,base=4,streams=3,skip={skip}" for skip in ("mean", "identity", "swap", "projector")),
    *("dmrnet:depth=8,base=4,join=concat", "dmrnet:depth=8,base=4,streams=1", "dmrnet:depth=8,base=4,ends=separate"),
    *("dmrnet-44-v2:base=4", "dmrnet-50-ijcai:base=4", "dilnet-8:base=4", "dilnet:depth=8,base=4,branches=3"),
    "resnet-98-ijcai:base=4",
)

CROSS = (
    """
schema = 1
name = 'a """
    + '"""'
    + r""" cross\'
units = [1, 2]
[stem]
width = 8
[widths]
rule = "additive"
start = 8
alpha = 16
multiple_of = 8
expansion = 4
[residual]
convs = "bottleneck"
groups = 4
order = "pre-activation"
bodies = 2
modified = "exclusive-gate-b-2"
[streams]
rule = "merge-and-run"
count = 2
join = "sum"
"""
)


def loaded(text: str) -> nn.Module:
    """The network of an ejected file."""
    names: dict[str, Any] = {"__name__": "ejected"}
    exec(compile(text, "ejected", "exec"), names)  # noqa: S102 - the text under test
    classes = [value for value in names.values() if isinstance(value, type) and value.__module__ == "ejected"]
    network = classes[-1]()
    assert isinstance(network, nn.Module)
    return network


def shapes(network: nn.Module) -> dict[str, torch.Size]:
    """The shape of every tensor, by key."""
    return {path: tensor.shape for path, tensor in network.state_dict().items()}


def output(network: nn.Module, images: Tensor, *, training: bool) -> Tensor:
    """The output of a network, with the same random numbers in every call; training changes its statistics."""
    torch.manual_seed(3)
    return network.train(training)(images).nan_to_num(7.0)


def assert_same(entry: Entry, *, image: Shape | None = None, classes: int = 5) -> None:
    """Check that keys and shapes are equal, and with our weights also outputs and running statistics."""
    plan = entry.plan(image=image, classes=classes)
    ours, theirs = build(plan, seed=1), loaded(source(entry, image=image, classes=classes))
    assert shapes(ours) == shapes(theirs)
    theirs.load_state_dict(ours.state_dict())
    batch = torch.randn(2, *plan.image)
    for training in (True, False):
        assert torch.equal(output(ours, batch, training=training), output(theirs, batch, training=training))
    after = theirs.state_dict()
    assert all(torch.equal(x.nan_to_num(7), after[path].nan_to_num(7)) for path, x in ours.state_dict().items())


@pytest.mark.parametrize("design", [*RESNETS, *PREACTIVATED, *GROUPED, *PYRAMIDS, *STREAMS])
def test_an_ejected_network_is_ours_to_the_bit(design: str) -> None:
    """Our weights load, and outputs are equal in training and in evaluation mode."""
    entry = resolve(design)
    side = 64 if entry.image.height > 32 else 16
    assert_same(entry, image=Shape(3, side, side))


def test_a_cross_is_ejected_to_the_bit(tmp_path: Path) -> None:
    """A blueprint from a file, with gates, bodies, groups, streams, maps of odd size, and quotes in its name."""
    (tmp_path / "cross.toml").write_text(CROSS)
    assert_same(resolve(str(tmp_path / "cross.toml")), image=Shape(1, 17, 13))


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(blueprint=blueprints(most_units=2), image=images())
def test_any_blueprint_is_ejected_to_the_bit(blueprint: Blueprint, image: Shape) -> None:
    """Random blueprints are ejected correctly."""
    entry = Entry(name="any", family="blueprint", depth=None, blueprint=blueprint, image=image, classes=3)
    if cost(entry.plan()).parameters < 300_000:
        assert_same(entry, classes=3)


@pytest.mark.parametrize("name", named())
def test_every_entry_is_ejected_with_our_keys(name: str) -> None:
    """The file of every entry builds a network with the keys and shapes of ours, and its text is clean."""
    entry = named()[name]
    text = source(entry)
    assert shapes(build(entry.plan(), device="meta")) == shapes(shape_only(text))
    assert_clean(text)


def test_a_projection_without_any_stride_is_ejected() -> None:
    """One stage at the stem's size, where the first unit is wider than the stem."""
    blueprint = Blueprint(stem=Stem(width=4), units=(2,), widths=PerStage((8,)), residual=Residual(convs=basic()))
    image = Shape(3, 8, 8)
    assert_same(
        Entry(name="any", family="blueprint", depth=None, blueprint=blueprint, image=image, classes=3), classes=3
    )


def shape_only(text: str) -> nn.Module:
    """The network of a file on the device "meta"; with a fixed projection, on the CPU."""
    with torch.device("cpu" if "Projector" in text else "meta"):
        return loaded(text)


def assert_clean(text: str) -> None:
    """Check that the text is ASCII, names resatlas only as its origin, and uses no internal terms."""
    assert text.isascii()
    assert len(re.findall("resatlas", text)) == 1
    assert "Written by `resatlas eject " in text
    assert not re.search(r"\b(plan|blueprint|role)\b", text)
    assert all(len(line) <= 120 for line in text.splitlines())


@pytest.mark.parametrize("name", PRINTED)
def test_ejected_files_read_as_their_golden_text(name: str, golden: Callable[[Path, str], None]) -> None:
    """One network per family is compared with its golden text."""
    golden(GOLDEN / f"{name}.py.txt", source(resolve(name)))


def test_ejected_files_satisfy_the_linter_and_the_formatter(tmp_path: Path) -> None:
    """All kinds of units pass ruff with the rules of this project; only forward needs no docstring."""
    designs = [*RESNETS, *PREACTIVATED, *GROUPED, *PYRAMIDS, *STREAMS, *PRINTED]
    for number, design in enumerate(designs):
        (tmp_path / f"ejected_{number}.py").write_text(source(resolve(design)))
    config = str(Path(__file__).parents[2] / "pyproject.toml")
    for words in (("format", "--check"), ("check", "--extend-ignore", "D102,INP001")):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *words, "--no-cache", "--config", config, str(tmp_path)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout


SCRIPTED = (
    *("resnet:depth=8,base=4", "preact-resnet:depth=8,base=4,shortcut=B,wiring=fb", GROUPED[0], GROUPED[1]),
    *(f"dmrnet:depth=8,base=4,streams=3,skip={skip}" for skip in ("mean", "identity", "swap", "projector")),
    *("dmrnet:depth=8,base=4,join=concat", "dmrnet:depth=8,base=4,ends=separate", "dmrnet-50-ijcai:base=4"),
    "resnet:depth=8,base=4,modified=exclusive-gate-b-3",
)


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is:FutureWarning")
@pytest.mark.parametrize("design", SCRIPTED)
def test_an_ejected_network_is_scripted(design: str, tmp_path: Path) -> None:
    """`torch.jit.script` gives the same outputs, also with several streams."""
    entry = resolve(design)
    side = 64 if entry.image.height > 32 else 16
    network = imported(tmp_path / "ejected.py", source(entry, image=Shape(3, side, side))).eval()
    images = torch.randn(2, 3, side, side)
    assert torch.equal(torch.jit.script(network)(images), network(images))


def imported(path: Path, text: str) -> nn.Module:
    """The network of a file on disk, since `torch.jit.script` reads the source."""
    path.write_text(text)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    try:
        spec.loader.exec_module(module)
    finally:
        del sys.modules[path.stem]
    network = [value for value in vars(module).values() if isinstance(value, type)][-1]()
    assert isinstance(network, nn.Module)
    return network


@pytest.mark.slow
@pytest.mark.parametrize("words", [("black", "--check"), ("mypy", "--strict", "--cache-dir", "cache")])
def test_ejected_files_satisfy_black_and_mypy(words: tuple[str, ...], tmp_path: Path) -> None:
    """All kinds of units and the golden files pass black and mypy."""
    missing = importlib.util.find_spec(words[0]) is None
    if missing and not os.environ.get("CI"):
        pytest.skip(f"{words[0]} is not installed")
    (tmp_path / "cross.toml").write_text(CROSS)
    designs = [*PRINTED, *SCRIPTED, *PREACTIVATED[:3], *PYRAMIDS[:3], "resnet:depth=8,order=bn-after-add"]
    designs += [str(tmp_path / "cross.toml"), "dmrnet:depth=8,skip=swap,join=sum"]
    for number, design in enumerate(designs):
        (tmp_path / f"ejected_{number}.py").write_text(source(resolve(design)))
    command = [sys.executable, "-m", *words, "."]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("design", ["resnet-20", "dmrnet-14"])
def test_an_ejected_file_runs_alone(design: str, tmp_path: Path) -> None:
    """As a script without resatlas, it prints the number of parameters."""
    path = tmp_path / "network.py"
    blocked = 'import sys\nsys.modules["resatlas"] = None\n'
    path.write_text(blocked + source(resolve(design)))
    done = subprocess.run([sys.executable, "-I", str(path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{cost(resolve(design).plan()).parameters:,} parameters\n"


@pytest.mark.parametrize(
    "design", ["resnet:depth=8,base=16,modified=shortcut-gate-b-6", "wrn-10-2", GROUPED[2], "dmrnet:depth=8"]
)
def test_an_ejected_network_has_our_initial_weights(design: str) -> None:
    """Every parameter follows the distribution in the plan."""
    plan = resolve(design).plan()
    torch.manual_seed(0)
    tensors = dict(loaded(source(resolve(design))).named_parameters())
    for parameter in parameters(plan):
        values = tensors[parameter.path].detach()
        error = 5 / values.numel() ** 0.5
        match parameter.start:
            case Constant(value=value):
                assert bool((values == value).all()), parameter.path
            case Normal(std=std):
                assert values.std().item() == pytest.approx(std, rel=error), parameter.path
                assert abs(values.mean().item()) < std * error, parameter.path
            case Uniform(low=low, high=high):
                assert low <= values.min().item() <= values.max().item() <= high, parameter.path
                assert values.mean().item() == pytest.approx((low + high) / 2, abs=error * (high - low)), parameter.path


def test_a_file_contains_nothing_unused() -> None:
    """Constants, functions, columns and parameters that only other networks need are absent."""
    plain, pyramid = source(resolve("plain-20")), source(resolve("pyramidnet-110-a270"))
    for word in ("shortcut", "reads", "join", "groups", "STREAMS", "eps=", "torch.cat", "added", "Identity"):
        assert word not in plain
    assert "Identity" not in pyramid  # every unit widens
    assert "CLASSES" not in source(resolve("resnet-20"), classes=0)


def test_the_table_has_one_row_for_each_sequence_of_equal_units() -> None:
    """The expanded rows are the units of the plan, and adjacent rows differ."""
    entry = resolve("pyramidnet:depth=20,alpha=3,growth=multiplicative,multiple_of=4,rounding=floor")
    for design in (entry, resolve("resnet-50"), resolve("dmrnet-50-ijcai")):
        names: dict[str, Any] = {"__name__": "ejected"}
        exec(source(design), names)  # noqa: S102 - the text under test
        rows = [row for stage in names["STAGES"] for row in stage]
        units = [unit for _, unit in design.plan().units]
        ours = [(unit.input.channels, unit.output.channels, unit.stride) for unit in units]
        assert [row[1:4] for row in rows for _ in range(row.units)] == ours
        assert all(row[1:] != other[1:] for stage in names["STAGES"] for row, other in pairwise(stage))


def test_units_that_a_table_cannot_express_are_refused() -> None:
    """A plan whose units have different numbers of bodies is refused."""
    plan = resolve("resnet-20").plan()
    last = plan.stages[-1][-1]
    other = replace(last, streams=(replace(last.streams[0], bodies=plan.stages[0][0].streams[0].bodies * 2),))
    with pytest.raises(DesignError, match="differ in more than a table of units can express; it cannot be ejected"):
        unit_table(replace(plan, stages=(*plan.stages[:-1], (*plan.stages[-1][:-1], other))))


@pytest.mark.parametrize("design", ["dmrnet:depth=8,base=16", "wrn-10-2", "pyramidnet:depth=14,alpha=20"])
def test_gradients_are_ours_to_the_bit(design: str) -> None:
    """With our weights and our loss, every parameter has the same gradient."""
    plan = resolve(design).plan(classes=5)
    ours, theirs = build(plan, seed=1), loaded(source(resolve(design), classes=5))
    theirs.load_state_dict(ours.state_dict())
    images = torch.randn(2, *plan.image)
    for network in (ours, theirs):
        network.train()(images).square().sum().backward()
    gradients = {path: parameter.grad for path, parameter in theirs.named_parameters()}
    for path, parameter in ours.named_parameters():
        gradient = gradients[path]
        assert parameter.grad is not None
        assert gradient is not None
        assert torch.equal(parameter.grad, gradient), path


def test_the_verb_prints_the_file(capsys: pytest.CaptureFixture[str]) -> None:
    """`resatlas eject` prints the file, or JSON, for the classes and images of its options."""
    words = ("eject", "resnet-20", "--classes", "7", "--image", "1,28,28")
    expected = source(resolve("resnet-20"), image=Shape(1, 28, 28), classes=7)
    assert main(words) == 0
    assert capsys.readouterr().out == expected
    assert main((*words, "--json")) == 0
    assert json.loads(capsys.readouterr().out) == {"name": "resnet-20", "source": expected}
    assert "CLASSES = 7" in expected
    assert "`resatlas eject resnet-20 --classes 7 --image 1,28,28`" in expected


TWO_STREAMS = """
schema = 1
name = "two {name} streams"
image = [1, 32, 32]
classes = 10
units = [1, 1, 1]
[stem]
kernel = 3
width = 4
after = ["norm", "relu"]
[widths]
rule = "doubling"
start = 4
[residual]
convs = "basic"
order = "post-activation"
shortcut = "projection"
"""


@pytest.mark.parametrize("file", ["cross.toml", "nets/my cross.toml", "café.toml"])
def test_the_command_in_a_file_writes_it_again(
    file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command contains the path of the design file, quoted for the shell, not the name in the file."""
    monkeypatch.chdir(tmp_path)
    Path(file).parent.mkdir(exist_ok=True)
    Path(file).write_text(TWO_STREAMS)
    assert main(("eject", file, "--classes", "3")) == 0
    text = capsys.readouterr().out
    [command] = re.findall(r"Written by `resatlas ([^`]*)`", text)
    assert main(shlex.split(command)) == 0
    assert capsys.readouterr().out == text


@pytest.mark.parametrize("file", ['a"""+print(1)+""".toml', "back\\slash.toml", "tick`.toml", "line\n.toml"])
def test_a_file_name_cannot_end_the_docstring(
    file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Characters that a docstring cannot contain are replaced, and an absolute path is not printed."""
    monkeypatch.chdir(tmp_path)
    Path(file).write_text(TWO_STREAMS)
    assert main(("eject", str(tmp_path / file))) == 0
    text = capsys.readouterr().out
    assert "`resatlas eject DESIGN`, where DESIGN is the file of two _name_ streams" in " ".join(text.split())
    assert str(tmp_path) not in text
    compile(text, "ejected.py", "exec")


def test_ejecting_needs_no_torch() -> None:
    """The verb starts without the library that its file needs."""
    words = ["eject", "dmrnet-14", "--quiet"]
    script = f"import sys, resatlas.cli.main as cli; cli.main({words}); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("False\n", "")
