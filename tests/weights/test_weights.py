"""Weights out and in again: under every source's names, from every kind of file, and what is refused in words."""

import os
import pickle
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from resatlas.arch import plan as plans
from resatlas.arch.ops import Shape
from resatlas.arch.parameters import parameters
from resatlas.designs.catalog import named, plan
from resatlas.errors import CheckpointError, UnknownName
from resatlas.nets.network import Network, build
from resatlas.values.weights import TAKEN
from resatlas.weights.conversion import export_weights, load_weights, save_weights
from resatlas.weights.semantics import differing, traits
from resatlas.weights.sources import SOURCES, dialect_for, key_of, path_of

Wrap = Callable[[Mapping[str, Tensor]], Mapping[str, object]]

SPOKEN = [
    ("torchvision", "resnet-18"),
    ("torchvision", "resnet-50-v1.5"),
    ("torchvision", "resnext-50-32x4d"),
    ("torchvision", "wrn-50-2"),
    ("timm", "resnet-18"),
    ("timm", "preact-resnet-50:wiring=paper,stride=3x3"),
    ("pytorchcv", "resnet-20-B"),
    ("pytorchcv", "resnet-29-bottleneck:stride=3x3"),
    ("pytorchcv", "resnet-18"),
    ("pytorchcv", "resnet-50"),
    ("pytorchcv", "preact-resnet-20-B:wiring=projected"),
    ("pytorchcv", "preact-resnet-29-bottleneck:stride=3x3"),
    ("pytorchcv", "preact-resnet-18:wiring=projected"),
    ("pytorchcv", "wrn-16-2"),
    ("pytorchcv", "wrn-16-2:dropout=0.3"),
    ("pytorchcv", "resnext-20-4x16d"),
    ("pytorchcv", "pyramidnet-20-a30"),
    ("pytorchcv", "pyramidnet-29-bottleneck-a30"),
    ("resatlas", "dmrnet-14"),
    ("resatlas", "resnext:depth=11,cardinality=4,width=8,base=16,form=b"),
]


def small(name: str, *, seed: int = 0, classes: int = 3) -> Network:
    """A network for the smallest images that its strides allow."""
    side = 64 if plan(name).image.height > 64 else 32
    return build(name, image=Shape(3, side, side), classes=classes, seed=seed)


def refusal(network: Network, weights: object, *, source: str = "resatlas") -> str:
    """The one line in which weights are refused; nothing of the network has changed."""
    before = {path: tensor.clone() for path, tensor in network.state_dict().items()}
    with pytest.raises(CheckpointError) as caught:
        load_weights(network, weights, source=source)  # type: ignore[arg-type]
    assert all(torch.equal(tensor, before[path]) for path, tensor in network.state_dict().items())
    assert "\n" not in str(caught.value)
    return str(caught.value)


def assert_same(network: Network, other: Network) -> None:
    """Two networks have the same parameters and buffers."""
    theirs = other.state_dict()
    assert all(torch.equal(tensor, theirs[path]) for path, tensor in network.state_dict().items())


@pytest.mark.parametrize(("source", "name"), SPOKEN)
def test_weights_come_back_from_every_source(source: str, name: str) -> None:
    """Exported and loaded again they are the same; every name leads back to its path; no tensor is shared."""
    network, other = small(name, seed=1), small(name, seed=2)
    dialect = dialect_for(network.plan, source)
    for path in network.state_dict():
        key = key_of(path, dialect, network.plan)
        assert key is not None
        assert path_of(key, dialect, network.plan) == path
    exported = export_weights(network, target=source)
    load_weights(other, exported, source=source)
    assert_same(network, other)
    for tensor in exported.values():
        tensor.zero_()
    assert_same(network, other)


def test_a_safetensors_file_gives_the_same_network(tmp_path: Path) -> None:
    """What `save_weights` writes, `load_weights` reads, by path or by text."""
    network = small("resnet-20", seed=1)
    save_weights(network, tmp_path / "w.safetensors")
    for file in (tmp_path / "w.safetensors", str(tmp_path / "w.safetensors")):
        other = small("resnet-20", seed=2)
        load_weights(other, file)
        assert_same(network, other)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_torch_file_gives_the_same_network(tmp_path: Path, zipped: bool) -> None:
    """Torch files old and new, with the epoch and the optimizer beside the weights."""
    network, other = small("resnet-20-B", seed=1), small("resnet-20-B", seed=2)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1).state_dict()
    whole = {"epoch": 3, "optimizer": optimizer, "state_dict": export_weights(network, target="pytorchcv")}
    torch.save(whole, tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)
    load_weights(other, tmp_path / "w.pth", source="pytorchcv")
    assert_same(network, other)


WRITTEN = [
    # the network that wrote a file, the one that is to take it, and the refusal
    (
        "dmrnet-8",
        "dmrnet-8-identity",
        "the file's networks have shortcuts shared by mean, this network's shortcuts shared by identity; "
        'did you mean "dmrnet-8"?',
    ),
    (
        "dmrnet-8",
        "dmrnet-8-sum",
        "the file's networks have streams joined by merge, this network's streams joined by sum; "
        'did you mean "dmrnet-8"?',
    ),
    (
        "resnet-50-v1.5:base=8",
        "resnet-50:base=8",
        "the file's bottlenecks take the stride on the 3x3, this network's on the first 1x1",
    ),
    (
        "resnet-20-B:modified=exclusive-gate-b-1",
        "resnet-20-B:modified=shortcut-gate-b-1",
        "the file's shortcuts are exclusively gated conv1x1-norm of x or exclusively gated x, "
        "this network's gated conv1x1-norm of x and gated x",
    ),
    (
        "resnet-20",
        "plain-20",
        "the file's shortcuts are stride 2-zeros of x or x, this network's left out; did you mean \"resnet-20\"?",
    ),
]


@pytest.mark.parametrize(("wrote", "takes", "words"), WRITTEN, ids=[f"{row[0]} in {row[1]}" for row in WRITTEN])
def test_our_files_are_refused_by_another_function(tmp_path: Path, wrote: str, takes: str, words: str) -> None:
    """A file of ours knows what its weights computed, where shapes do not show it."""
    save_weights(small(wrote), tmp_path / "w.safetensors")
    assert refusal(small(takes), tmp_path / "w.safetensors") == words


@pytest.mark.parametrize(
    ("wrote", "takes"),
    [
        ("wrn-10-1", "wrn-10-1:dropout=0.3"),
        ("resnet-20-B:modified=exclusive-gate-b-1", "resnet-20-B:modified=exclusive-gate-b-3"),
    ],
)
def test_our_files_load_where_the_function_is_one(tmp_path: Path, wrote: str, takes: str) -> None:
    """Dropout and where weights once started are nothing that trained weights compute; nor are the images' sizes."""
    network, other = small(wrote, seed=1), build(takes, image=Shape(3, 48, 48), classes=3, seed=0)
    save_weights(network, tmp_path / "w.safetensors")
    load_weights(other, tmp_path / "w.safetensors")
    assert_same(network, other)


@pytest.mark.parametrize(
    "note", [None, {"format": "pt"}, {"plan": "{"}, {"plan": '{"schema": 99}'}, {"plan": "[" * 9999}]
)
def test_files_that_do_not_know_their_network_load(tmp_path: Path, note: dict[str, str] | None) -> None:
    """Files of other versions, and a state dict, are taken by their shapes alone."""
    network, other = small("dmrnet-8", seed=1), small("dmrnet-8-identity", seed=2)
    save_file(network.state_dict(), tmp_path / "w.safetensors", metadata=note)
    load_weights(other, tmp_path / "w.safetensors")
    assert_same(network, other)
    load_weights(other, network.state_dict())


def test_files_of_one_network_are_equal(tmp_path: Path) -> None:
    """Bit for bit, with what is noted in them."""
    for name in ("a", "b"):
        save_weights(small("dmrnet-8"), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize(
    ("target", "name", "words"),
    [
        ("torchvision", "resnet-18", 'those of torchvision or timm: pass source="torchvision"'),
        ("timm", "preact-resnet-50:wiring=paper,stride=3x3", 'those of timm: pass source="timm"'),
        ("pytorchcv", "resnet-20-B", 'those of pytorchcv: pass source="pytorchcv"'),
    ],
)
def test_names_of_another_source_are_recognised(target: str, name: str, words: str) -> None:
    """Loaded as ours they are refused with whose they seem to be."""
    network = small(name)
    assert refusal(network, export_weights(network, target=target)).endswith(f"the names seem to be {words}")


def test_a_network_is_not_offered_itself() -> None:
    """Where buffers are missing, the network that has the weights is the one that refused them."""
    network = small("resnet-18")
    weights = export_weights(network, target="torchvision")
    del weights["bn1.running_mean"]
    told = refusal(network, weights, source="torchvision")
    assert told == "these are not the network's weights: missing 1 (stem: 1)"


def test_dropout_does_not_move_a_key() -> None:
    """A Wide ResNet with dropout takes the weights of one without."""
    load_weights(small("wrn-16-2:dropout=0.3"), small("wrn-16-2").state_dict())


def _prefixed(prefix: str) -> Wrap:
    return lambda weights: {prefix + key: tensor for key, tensor in weights.items()}


WRAPPED: dict[str, Wrap] = {
    "module": _prefixed("module."),
    "module twice": _prefixed("module.module."),
    "nested": _prefixed("module._orig_mod.model."),
    "compiled parts": lambda weights: {key.replace("layer2.", "layer2._orig_mod."): weights[key] for key in weights},
    "state_dict": lambda weights: {"epoch": 1, "state_dict": weights},
    "model_state_dict": lambda weights: {"model_state_dict": weights, "optimizer_state_dict": {"state": {}}},
    "model in net": lambda weights: {"net": {"model": _prefixed("module.")(weights)}},
    "beside an average": lambda weights: {
        "model": weights,
        "model_ema": {key: tensor * 0 for key, tensor in weights.items()},
    },
    "another order": lambda weights: {key: weights[key] for key in sorted(weights, reverse=True)},
    "half": lambda weights: {key: each.half() if each.is_floating_point() else each for key, each in weights.items()},
}


@pytest.mark.parametrize("wrap", WRAPPED.values(), ids=WRAPPED)
def test_what_programs_put_around_weights_is_taken_off(wrap: Wrap) -> None:
    """Prefixes, holders, averages, order and type of numbers make no difference."""
    network, other = small("resnet-18", seed=1), small("resnet-18", seed=2)
    network.half().float()
    load_weights(other, wrap(export_weights(network, target="torchvision")), source="torchvision")
    assert_same(network, other)


def test_batch_counts_may_be_missing() -> None:
    """Files of old torch have none, and the counts are then 0; of other entries none may be missing."""
    network, other = small("resnet-20", seed=1), small("resnet-20", seed=2).train()
    other(torch.randn(2, 3, 32, 32))
    old = {path: each for path, each in network.state_dict().items() if not path.endswith("num_batches_tracked")}
    load_weights(other, old)
    assert_same(network, other)
    del old["stages.2.1.body.norm1.running_mean"]
    assert refusal(other, old).endswith("missing 2 (stages.2: 2)")


def test_faults_are_told_by_stage() -> None:
    """Missing, unexpected and mis-shaped entries in one line, under our paths where the key has one."""
    weights: dict[str, Tensor] = export_weights(small("resnet-20-B"), target="pytorchcv")
    del weights["features.stage1.unit1.body.conv1.conv.weight"], weights["output.bias"]
    weights |= {"features.stage3.unit9.body.conv1.conv.weight": torch.zeros(1), "extra": torch.zeros(1)}
    weights["features.init_block.conv.weight"] = torch.zeros(8, 3, 3, 3)
    assert refusal(small("resnet-20-B"), weights, source="pytorchcv") == (
        "these are not the network's weights: missing 2 (stages.0: 1, head: 1); "
        "unexpected 2 (stages.2: 1, extra: 1); mis-shaped 1 (stem: 1); "
        '"features.init_block.conv.weight" is 8x3x3x3, here 16x3x3x3'
    )
    assert refusal(small("resnet-20-B"), small("resnet-20").state_dict()) == (
        "these are not the network's weights: missing 12 (stages.1: 6, stages.2: 6)"
    )


def test_a_source_that_computes_something_else_is_refused() -> None:
    """Torchvision's ResNet-50 has the shapes of ours and another stride; the right name is offered."""
    weights = export_weights(small("resnet-50-v1.5"), target="torchvision")
    expected = (
        "torchvision's bottlenecks take the stride on the 3x3, this network's on the first 1x1; "
        'did you mean "resnet-50-v1.5"?'
    )
    assert refusal(small("resnet-50"), weights, source="torchvision") == expected
    with pytest.raises(CheckpointError) as caught:
        export_weights(small("resnet-50"), target="torchvision")
    assert str(caught.value) == expected


MEANT = [
    ("torchvision", "resnet-18-A", "resnet-18-B"),
    ("torchvision", "resnet-34", "resnet-18-B"),
    ("torchvision", "preact-resnet-50", "resnet-50-v1.5"),
    ("torchvision", "wrn-50-2", "resnext-50-32x4d"),
    ("timm", "preact-resnet-50", "preact-resnet-50:stride=3x3,wiring=paper"),
    ("pytorchcv", "resnet-20", "resnet-20-B"),
    ("pytorchcv", "resnet-29-bottleneck", "resnet-29-bottleneck:stride=3x3"),
    ("pytorchcv", "preact-resnet-20-B", "preact-resnet-20-B:wiring=projected"),
    ("pytorchcv", "preact-resnet-18", "preact-resnet-18:wiring=projected"),
    ("pytorchcv", "resnet-110-B", "pyramidnet-110-a48"),
]


@pytest.mark.parametrize(("source", "name", "right"), MEANT)
def test_the_network_that_takes_the_weights_is_named(source: str, name: str, right: str) -> None:
    """The offered text is a design that the weights load into."""
    weights = export_weights(small(right), target=source)
    assert refusal(small(name), weights, source=source).endswith(f'did you mean "{right}"?')


def test_other_classes_are_named() -> None:
    """Weights for another number of classes: their shape, and the network with that number."""
    weights = export_weights(small("resnet-18-B", classes=5), target="torchvision")
    assert refusal(small("resnet-18-B"), weights, source="torchvision") == (
        "these are not the network's weights: mis-shaped 2 (head: 2); "
        '"fc.weight" is 5x512, here 3x512; did you mean "resnet-18-B" with 5 classes?'
    )


def test_a_classifier_of_no_shape_is_mis_shaped() -> None:
    """A number in place of the classifier's bias is told like any other shape."""
    weights = export_weights(small("resnet-18-B"), target="torchvision")
    weights["fc.bias"] = torch.tensor(1.0)
    assert refusal(small("resnet-18-B"), weights, source="torchvision").endswith('"fc.bias" is a number, here 3')


@pytest.mark.parametrize(
    ("name", "difference"),
    [
        ("dmrnet-14", "networks have one stream, this network's 2 streams of 1 bodies"),
        ("resnext:depth=11,cardinality=4,width=8,base=16,form=a", "networks have one stream, this network's"),
        ("plain-20", "shortcuts are x or conv1x1-norm of x, this network's left out"),
        ("resnet-20-B:modified=scale-0.5-0.5", "Scale(factor=Fraction(1, 2))"),
        ("resnet-20-B:order=bn-after-add", "units are post-activation, this network's bn-after-add"),
        ("preact-resnet-20", "shortcuts are x or conv1x1 of norm-relu of x, this network's norm-relu of x and"),
    ],
)
def test_networks_that_a_source_has_not_are_refused(name: str, difference: str) -> None:
    """What differs is said, whichever shapes would fit."""
    with pytest.raises(CheckpointError) as caught:
        export_weights(small(name), target="pytorchcv")
    assert difference in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("source", SOURCES)
def test_every_path_of_a_spoken_network_has_a_key(source: str) -> None:
    """Whatever network of the catalogue has the traits of a source, has a key for each path, and no key twice."""
    spoken = 0
    for entry in named().values():
        drawn = entry.plan()
        dialect = dialect_for(drawn, source)
        if differing(traits(drawn), dialect.traits):
            continue
        keys = [key_of(each.path, dialect, drawn) for each in parameters(drawn)]
        assert None not in keys
        assert len(set(keys)) == len(keys)
        spoken += 1
    assert spoken == len(named()) if source == "resatlas" else spoken > 10


def test_the_nearest_source_is_named() -> None:
    """A name of no source is answered with the nearest."""
    with pytest.raises(UnknownName, match=r'no source of weights "torchvison"; did you mean "torchvision"\?'):
        load_weights(small("resnet-20"), small("resnet-20").state_dict(), source="torchvison")


class _Asks:
    """A pickle of this calls a function with an argument when it is opened."""

    def __init__(self, function: Callable[[str], object], argument: str) -> None:
        self.call = (function, (argument,))

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return self.call


def _saved(value: object, file: Path, form: str) -> None:
    if form.startswith("pickle"):
        file.write_bytes(pickle.dumps(value, protocol=int(form.removeprefix("pickle"))))
    else:
        torch.save(value, file, _use_new_zipfile_serialization=form == "zip")


@pytest.mark.parametrize("form", ["zip", "old", "pickle2", "pickle4"])
def test_a_file_that_asks_for_code_is_refused_and_runs_none(tmp_path: Path, form: str) -> None:
    """The refusal names what the file asked for, and nothing has happened."""
    file, trace = tmp_path / "w.pth", tmp_path / "ran"
    network = small("resnet-20")
    _saved({"more": _Asks(os.system, f"touch {trace}"), "state_dict": network.state_dict()}, file, form)
    assert refusal(network, file) == (
        f"w.pth asks for {os.system.__module__}.system, which could run code; only tensors and plain values are read, "
        "so save a state_dict()"
    )
    _saved(torch.nn.Linear(1, 1), file, form)
    assert refusal(network, file).startswith("w.pth asks for torch.nn.modules.linear.Linear, ")
    assert not trace.exists()


@pytest.mark.parametrize("keep", [0, 5, 9, 1000, -30])
@pytest.mark.parametrize("form", ["safetensors", "zip", "old"])
def test_a_cut_file_is_refused(tmp_path: Path, form: str, keep: int) -> None:
    """However much of a file is left, it is damaged or empty, in words."""
    network, file = small("resnet-20"), tmp_path / "w.bin"
    if form == "safetensors":
        save_weights(network, file)
    else:
        _saved(network.state_dict(), file, form)
    file.write_bytes(file.read_bytes()[:keep])
    assert refusal(network, file).startswith("w.bin is damaged or n" if keep else "w.bin is empty")


def test_what_is_no_file_of_weights_is_refused(tmp_path: Path) -> None:
    """Missing files, folders, texts, and files of something else."""
    network = small("resnet-20")
    assert (
        refusal(network, tmp_path / "none.pth") == f"{tmp_path / 'none.pth'} cannot be read: no such file or directory"
    )
    assert refusal(network, tmp_path) == f"{tmp_path} cannot be read: a folder, not a file of weights"
    (tmp_path / "w.txt").write_text("hello, these are no weights\n")
    assert refusal(network, tmp_path / "w.txt") == f"w.txt is a text file; {TAKEN}"
    (tmp_path / "w.bin").write_bytes(b"hello \xff\x00 these are no weights\n")
    assert refusal(network, tmp_path / "w.bin") == "w.bin is damaged or neither a safetensors nor a torch file"
    torch.save(torch.zeros(3), tmp_path / "w.pth")
    assert refusal(network, tmp_path / "w.pth") == "w.pth holds a Tensor; weights are a mapping from names to tensors"
    save_file({}, tmp_path / "w.safetensors")
    assert refusal(network, tmp_path / "w.safetensors") == "w.safetensors holds no weights"


HELD: dict[str, tuple[Callable[[dict[str, Tensor]], Any], str]] = {
    "two": (lambda weights: {"model": weights, "state_dict": weights}, 'holds "state_dict" and "model"; pass the one'),
    "average": (lambda weights: {"state_dict_ema": weights}, 'only their average "state_dict_ema"; --weights ema'),
    "empty": (lambda _: {"state_dict": {}}, "the state dict holds no weights"),
    "list": (lambda weights: {**weights, "epochs": [1]}, '"epochs" is a list; weights are tensors by name'),
    "numbers": (
        lambda weights: {"model": {7: weights["head.linear.bias"]}},
        '"7" is a Tensor; weights are tensors by name',
    ),
    "both": (lambda weights: {**weights, **_prefixed("module.")(weights)}, 'holds "stem.conv.weight" twice, once as'),
}


@pytest.mark.parametrize(("wrap", "words"), HELD.values(), ids=HELD)
def test_what_holds_no_weights_or_several_is_refused(wrap: Callable[[dict[str, Tensor]], Any], words: str) -> None:
    """No guess is made between several, and an average is taken only if it is passed itself."""
    network = small("resnet-20")
    assert words in refusal(network, wrap(network.state_dict()))


def test_a_holder_that_holds_itself_is_refused() -> None:
    """A mapping that is its own model ends in words."""
    loop: dict[str, Any] = {}
    loop["model"] = loop
    assert refusal(small("resnet-20"), loop).endswith('"model" is a dict; weights are tensors by name')


VALUES: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "nan": (lambda each: each * float("nan"), "holds NaN or infinity, in "),
    "infinite": (lambda each: each / 0, "holds NaN or infinity, in "),
    "too large": (lambda each: each.double() + 1e300, "holds NaN or infinity, in "),
    "complex": (lambda each: each.to(torch.complex64), "is complex64; convert the file to float32"),
    "whole": (lambda each: each.to(torch.int64), "is int64; convert the file to float32"),
    "sparse": (lambda each: each.to_sparse(), "has no dense values"),
    "meta": (lambda each: each.to("meta"), "has no dense values"),
}


@pytest.mark.parametrize(("spoilt", "words"), VALUES.values(), ids=VALUES)
@pytest.mark.parametrize("path", ["stem.norm.running_var", "head.linear.weight"])
def test_values_that_are_no_weights_are_refused(path: str, spoilt: Callable[[Tensor], Tensor], words: str) -> None:
    """The first such entry is named, and those before it are not set either."""
    weights = small("resnet-20", seed=2).state_dict()
    weights[path] = spoilt(weights[path])
    assert refusal(small("resnet-20", seed=1), weights).startswith(f'"{path}" {words}')


def test_batch_counts_are_whole_numbers() -> None:
    """A count that is no integer is refused."""
    weights = small("resnet-20").state_dict()
    weights["stem.norm.num_batches_tracked"] = torch.tensor(1.5)
    assert refusal(small("resnet-20"), weights).endswith("is float32; it counts batches, in int64")


def test_a_network_without_values_takes_none() -> None:
    """On the device meta nothing can be set, and the refusal says so."""
    with pytest.raises(CheckpointError, match='"meta" has no values to set'):
        load_weights(build("resnet-20", device="meta"), build("resnet-20", seed=0).state_dict())


def test_numbers_take_the_type_of_the_network() -> None:
    """Halves and doubles load into a network of any floating type, which keeps its own."""
    for given in (torch.float16, torch.bfloat16, torch.float64):
        for own in (torch.float32, torch.float64):
            network = small("resnet-20", seed=2).to(own)
            weights = small("resnet-20", seed=1).to(given).state_dict()
            load_weights(network, weights)
            assert {each.dtype for each in network.parameters()} == {own}
            assert torch.equal(network.state_dict()["stem.conv.weight"], weights["stem.conv.weight"].to(own))


def test_traits_know_every_field_of_a_plan() -> None:
    """A new field of a plan may change what a network computes: `weights/semantics.py` has to read it."""
    known = {
        plans.Plan: "image classes stem stages head initial stems heads",
        plans.Unit: "input output stride streams skip join after_sum",
        plans.Stream: "first bodies merge merged shortcut reads gate gated",
        plans.Layer: "role op input output",
    }
    assert {kind: " ".join(each.name for each in fields(kind)) for kind in known} == known
