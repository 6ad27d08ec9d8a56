"""Weights as other programs leave them: taken for what they are, with what was taken and left said, or refused."""

import argparse
import datetime as dt
import decimal
import fractions
import os
import pathlib
import pickle
import types
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

import resatlas
from resatlas.cli.main import main
from resatlas.errors import CheckpointError
from resatlas.nets.network import Network, build
from resatlas.runs.experiment import TrainedWeights
from resatlas.runs.store import Run
from resatlas.weights.conversion import LoadedWeights, load_weights
from resatlas.weights.initial_weights import start_from
from tests.training.small import different

DESIGN = "resnet-18:base=8"
DATA = "synthetic:size=32,channels=3,classes=10,images=96"
TRAIN = ("train", DESIGN, "--data", DATA, "--set", "batch=16", "--epochs", "1", "--out", "run")


def network(seed: int, classes: int = 10) -> Network:
    """A tiny network of torchvision's kind."""
    return build(DESIGN, classes=classes, seed=seed)


def exported(seed: int, classes: int = 10) -> dict[str, Tensor]:
    """Its weights under torchvision's names."""
    return resatlas.export_weights(network(seed, classes), target="torchvision")


def prefixed(prefix: str, seed: int = 5, classes: int = 10) -> dict[str, Tensor]:
    """Its weights, a prefix before every name."""
    return {f"{prefix}{key}": tensor for key, tensor in exported(seed, classes).items()}


def headless(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights without the classifier."""
    return {key: tensor for key, tensor in weights.items() if ".fc." not in f".{key}"}


def started(value: object, file: Path, **how: Any) -> tuple[Network, LoadedWeights]:  # noqa: ANN401 - as start_from takes it
    """A network that starts from a torch file of the value, and what was taken."""
    torch.save(value, file)
    own = network(1)
    return own, start_from(own, file, **how)


def of(own: Network, seed: int, *, head: bool = True) -> bool:
    """Whether a network has the weights of a seed, or all but the classifier and that of its own seed."""
    theirs = network(seed).state_dict()
    if not head:
        theirs |= {key: tensor for key, tensor in network(1).state_dict().items() if key.startswith("head")}
    return different(own.state_dict(), theirs) == []


@pytest.mark.parametrize("prefix", ["backbone.", "encoder.", "encoder_q.", "model.", "net.", "trunk.body."])
@pytest.mark.parametrize("around", ["", "module.", "_orig_mod."])
def test_a_prefix_is_taken_off_and_named(prefix: str, around: str, tmp_path: Path) -> None:
    """Whatever stands before the names of a whole network, also in Lightning's state_dict."""
    own, taken = started({"state_dict": prefixed(around + prefix), "epoch": 3}, tmp_path / "c.ckpt")
    assert of(own, 5)
    assert taken == LoadedWeights(source="torchvision")
    assert taken.notes == (f'prefix "{prefix}" removed',)


def test_the_query_encoder_of_moco_is_taken(tmp_path: Path) -> None:
    """Not its average, the key encoder; the queue is passed over, and a new classifier drawn for the projection."""
    projection = {"module.encoder_q.fc.0.weight": torch.ones(4, 16), "module.encoder_q.fc.2.bias": torch.ones(4)}
    value = {
        **headless(prefixed("module.encoder_q.")),
        **projection,
        **headless(prefixed("module.encoder_k.", seed=6)),
        "module.queue": torch.ones(4, 8),
        "module.queue_ptr": torch.zeros(1, dtype=torch.int64),
    }
    own, taken = started({"state_dict": value, "arch": "resnet18"}, tmp_path / "moco.pth.tar")
    assert of(own, 5, head=False)
    assert taken.notes == (
        'prefix "encoder_q." removed',
        'ignored: 120 tensors of "encoder_k", 1 tensors of "queue", 1 tensors of "queue_ptr"',
        "no classifier in the file; 2 tensors of another head are ignored; "
        "a new classifier for 10 classes is initialised",
    )


def test_two_whole_networks_are_refused_by_name(tmp_path: Path) -> None:
    """Nothing is guessed between two that are no average of each other."""
    with pytest.raises(CheckpointError, match=r'several networks, under "left\." and "right\."; pass only one of them'):
        started({**prefixed("left."), **prefixed("right.", seed=6)}, tmp_path / "two.pth")


def test_a_file_without_classifier_gets_the_one_of_the_seed(tmp_path: Path) -> None:
    """And that is said; `load_weights`, which promises every weight, refuses it."""
    own, taken = started(headless(exported(5)), tmp_path / "b.pth")
    assert of(own, 5, head=False)
    assert taken.notes == ("no classifier in the file; a new classifier for 10 classes is initialised",)
    with pytest.raises(CheckpointError, match=r"missing 2 \(head: 2\)"):
        load_weights(network(1), tmp_path / "b.pth", source="torchvision")


def test_counters_of_tools_are_passed_over(tmp_path: Path) -> None:
    """Thop leaves two in every module."""
    value = exported(5)
    for key in list(value):
        if key.endswith("conv1.weight"):
            module = key.rpartition(".")[0]
            value |= {f"{module}.total_ops": torch.zeros(1), f"{module}.total_params": torch.zeros(1)}
    own, taken = started(value, tmp_path / "t.pth")
    assert of(own, 5)
    assert taken.notes == ('ignored: 9 tensors of "total_ops", 9 tensors of "total_params"',)


PAIRS: dict[str, tuple[str, str]] = {
    "torchvision": ("model", "model_ema"),
    "timm": ("state_dict", "state_dict_ema"),
    "yolo": ("model", "ema"),
    "swa": ("model_state_dict", "averaged"),
    "dino": ("student", "teacher"),
}


@pytest.mark.parametrize(("raw", "average"), PAIRS.values(), ids=PAIRS)
def test_raw_weights_or_their_average_are_taken_and_named(raw: str, average: str, tmp_path: Path) -> None:
    """Raw ones by default, the average if asked for; each note names both."""
    averaged = {"n_averaged": torch.tensor(3), **prefixed("module.", seed=6)}
    value = {raw: exported(5), average: averaged, "epoch": 1}
    own, taken = started(value, tmp_path / "c.pth")
    assert of(own, 5)
    assert taken.notes[0].startswith(
        f'raw weights from "{raw}"; for the averaged weights in "{average}" use --weights ema'
    )
    own, taken = started(value, tmp_path / "c.pth", which="ema")
    assert of(own, 6)
    assert taken.notes[0].startswith(
        f'averaged weights from "{average}"; for the raw weights in "{raw}" use --weights raw'
    )
    other = network(1)
    assert load_weights(other, value, source="torchvision", which="ema").notes == taken.notes
    assert of(other, 6)


def test_an_average_under_a_prefix_is_one_too(tmp_path: Path) -> None:
    """Lightning keeps both in one dict."""
    value = {"state_dict": {**prefixed("model."), **prefixed("ema_model.module.", seed=6)}}
    assert of(started(value, tmp_path / "c.ckpt")[0], 5)
    assert of(started(value, tmp_path / "c.ckpt", which="ema")[0], 6)


def test_torch_s_own_average_is_taken(tmp_path: Path) -> None:
    """Its count is passed over."""
    averaged = AveragedModel(network(5))
    own, taken = started(
        {"model": network(6).state_dict(), "model_ema": averaged.state_dict()}, tmp_path / "a.pth", which="ema"
    )
    assert of(own, 5)
    assert 'ignored: 1 tensors of "n_averaged"' in taken.notes


def test_an_average_alone_or_none_is_said(tmp_path: Path) -> None:
    """What the file has not is not replaced by what it has."""
    with pytest.raises(CheckpointError, match='holds no raw weights, only their average "ema"; use --weights ema'):
        started({"ema": exported(5)}, tmp_path / "c.pth")
    assert of(started({"ema": exported(5)}, tmp_path / "c.pth", which="ema")[0], 5)
    with pytest.raises(CheckpointError, match="holds no averaged weights"):
        started({"model": exported(5)}, tmp_path / "c.pth", which="ema")


class Settings(argparse.Namespace):
    """A type that is not harmless, since nobody here knows it."""


def reduced(namespace: argparse.Namespace) -> Any:  # noqa: ANN401 - a pickle of it
    """An object whose pickle rebuilds a namespace as the oldest protocols do."""

    class Old:
        def __reduce__(self) -> Any:  # noqa: ANN401
            import copyreg

            return copyreg._reconstructor, (argparse.Namespace, object, None), vars(namespace)  # type: ignore[attr-defined]

    return Old()


ARGS: dict[str, object] = {
    "namespace": argparse.Namespace(lr=0.1, data="x", nested=argparse.Namespace(a=1)),
    "old namespace": reduced(argparse.Namespace(a=1)),
    "paths": argparse.Namespace(output=pathlib.Path("/a/b"), windows=pathlib.PureWindowsPath("c:/x")),
    "numpy scalars": {"best": np.float64(1.5), "n": np.int32(3), "flag": np.bool_(True)},
    "numpy arrays": {"state": np.random.default_rng(0).random(3)},
    "dates": [dt.datetime.now(tz=dt.UTC), dt.timedelta(days=1), dt.date(2024, 1, 1)],
    "mappings": OrderedDict(a=defaultdict(list, x=[1])),
    "others": [types.SimpleNamespace(a=1), frozenset([1]), {2}, range(3), decimal.Decimal(1), fractions.Fraction(1, 2)],
    "version": torch.__version__,
}


@pytest.mark.parametrize("args", ARGS.values(), ids=ARGS)
@pytest.mark.parametrize("zipped", [True, False])
def test_harmless_arguments_beside_weights_are_read(args: object, zipped: bool, tmp_path: Path) -> None:
    """As torchvision's and timm's training programs save them."""
    file = tmp_path / "c.pth"
    torch.save({"model": exported(5), "args": args}, file, _use_new_zipfile_serialization=zipped)
    own = network(1)
    start_from(own, file)
    assert of(own, 5)


class Runs:
    """A pickle of this calls a function with arguments, and sets a state on what it gives."""

    def __init__(self, function: Callable[..., object], *arguments: object, state: object = None) -> None:
        self._call = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self) -> Any:  # noqa: ANN401
        return self._call


@pytest.mark.parametrize("zipped", [True, False])
def test_no_harmless_name_runs_code(zipped: bool, tmp_path: Path) -> None:
    """Arguments and states of the types that are taken run nothing; a name beside them is refused."""
    file, marker = tmp_path / "c.pth", tmp_path / "marker"
    order = f"touch {marker}"
    traps = {
        "path": Runs(pathlib.PurePosixPath, "x", state={"__setstate__": order, "__class__": order}),
        "namespace": Runs(types.SimpleNamespace, state={"a": order}),
        "system": argparse.Namespace(deep=[Runs(os.system, order)]),
    }
    torch.save({"model": exported(5), "args": traps}, file, _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match=r"imports \w+\.system, which could run code"):
        start_from(network(1), file)
    for function in (eval, exec, getattr, __import__, open):
        torch.save({"model": exported(5), "args": Runs(function, order)}, file, _use_new_zipfile_serialization=zipped)
        with pytest.raises(CheckpointError, match=rf"imports (?:\w+\.)*{function.__name__}, which could run code"):
            start_from(network(1), file)
    torch.save({"model": exported(5), "args": Settings(a=1)}, file)
    with pytest.raises(CheckpointError, match=r"imports .*Settings, which could run code"):
        start_from(network(1), file)
    assert not marker.exists()


def test_a_training_says_what_it_takes(
    refused: Callable[..., str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """On the command line and in the experiment; which weights is part of it."""
    torch.save({"model": exported(5), "model_ema": exported(6), "args": argparse.Namespace(lr=1)}, tmp_path / "c.pth")
    assert refused(*TRAIN, "--weights", "ema", code=2).endswith("it requires --init-from WORD|FILE")
    assert main((*TRAIN, "--init-from", "c.pth", "--weights", "ema")) == 0
    (line,) = [each for each in capsys.readouterr().err.splitlines() if "starts from" in each]
    assert '(weight names of torchvision); averaged weights from "model_ema"; for the raw weights in "model"' in line
    found = Run(tmp_path / "run").beginning().experiment.weights
    assert found is not None
    assert found.which == "ema"
    assert "holds another experiment" in refused(*TRAIN, "--init-from", "c.pth", "--resume", "auto", code=2)


def test_experiments_without_the_choice_are_of_raw_weights() -> None:
    """As all were that an earlier version wrote."""
    assert TrainedWeights(file="w", sha256="0").which == "raw"


def test_a_pickle_of_protocol_2_of_a_namespace_is_data() -> None:
    """What the tests above save is what training programs save."""
    assert b"argparse\nNamespace" in pickle.dumps(argparse.Namespace(a=1), protocol=2)
