"""Export and loading of weights: names of every source, all kinds of files, and refusals."""

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
from resatlas.weights.semantics import differing_traits, traits
from resatlas.weights.sources import SOURCES, dialect_for, key_of, path_of

Wrap = Callable[[Mapping[str, Tensor]], Mapping[str, object]]

EXPORTABLE = [
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
    """The one line of the refusal of weights; checks that the network has not changed."""
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


@pytest.mark.parametrize(("source", "name"), EXPORTABLE)
def test_weights_come_back_from_every_source(source: str, name: str) -> None:
    """Exported and loaded weights are the same; every name converts back to its path; no tensor is shared."""
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
    """`load_weights` reads the file of `save_weights`, given as a path or as a text."""
    network = small("resnet-20", seed=1)
    save_weights(network, tmp_path / "w.safetensors")
    for file in (tmp_path / "w.safetensors", str(tmp_path / "w.safetensors")):
        other = small("resnet-20", seed=2)
        load_weights(other, file)
        assert_same(network, other)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_torch_file_gives_the_same_network(tmp_path: Path, zipped: bool) -> None:
    """Torch files of the old and the new format, which also hold the epoch and the optimizer."""
    network, other = small("resnet-20-B", seed=1), small("resnet-20-B", seed=2)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1).state_dict()
    whole = {"epoch": 3, "optimizer": optimizer, "state_dict": export_weights(network, target="pytorchcv")}
    torch.save(whole, tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)
    load_weights(other, tmp_path / "w.pth", source="pytorchcv")
    assert_same(network, other)


WRITTEN = [
    # the network that wrote a file, the one that loads it, the refusal
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


@pytest.mark.parametrize(("writer", "reader", "words"), WRITTEN, ids=[f"{row[0]} in {row[1]}" for row in WRITTEN])
def test_our_files_are_refused_by_another_function(tmp_path: Path, writer: str, reader: str, words: str) -> None:
    """Our files contain the plan, so that a network of another function refuses weights of the same shapes."""
    save_weights(small(writer), tmp_path / "w.safetensors")
    assert refusal(small(reader), tmp_path / "w.safetensors") == words


@pytest.mark.parametrize(
    ("writer", "reader"),
    [
        ("wrn-10-1", "wrn-10-1:dropout=0.3"),
        ("resnet-20-B:modified=exclusive-gate-b-1", "resnet-20-B:modified=exclusive-gate-b-3"),
    ],
)
def test_our_files_load_if_the_function_is_the_same(tmp_path: Path, writer: str, reader: str) -> None:
    """Dropout, initial weights and the size of the images do not change the function of trained weights."""
    network, other = small(writer, seed=1), build(reader, image=Shape(3, 48, 48), classes=3, seed=0)
    save_weights(network, tmp_path / "w.safetensors")
    load_weights(other, tmp_path / "w.safetensors")
    assert_same(network, other)


@pytest.mark.parametrize(
    "note", [None, {"format": "pt"}, {"plan": "{"}, {"plan": '{"schema": 99}'}, {"plan": "[" * 9999}]
)
def test_files_without_a_readable_plan_load(tmp_path: Path, note: dict[str, str] | None) -> None:
    """For files of other versions and for a state dict only the shapes are compared."""
    network, other = small("dmrnet-8", seed=1), small("dmrnet-8-identity", seed=2)
    save_file(network.state_dict(), tmp_path / "w.safetensors", metadata=note)
    load_weights(other, tmp_path / "w.safetensors")
    assert_same(network, other)
    load_weights(other, network.state_dict())


def test_files_of_one_network_are_equal(tmp_path: Path) -> None:
    """They are equal bit for bit, metadata included."""
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
    """If they are loaded as ours, the refusal names the source."""
    network = small(name)
    assert refusal(network, export_weights(network, target=target)).endswith(f"the names seem to be {words}")


def test_a_network_is_not_suggested_in_place_of_itself() -> None:
    """If buffers are missing, the refusal does not suggest the network that refused the weights."""
    network = small("resnet-18")
    weights = export_weights(network, target="torchvision")
    del weights["bn1.running_mean"]
    text = refusal(network, weights, source="torchvision")
    assert text == "these are not the network's weights: missing 1 (stem: 1)"


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
    "half": lambda weights: {
        key: tensor.half() if tensor.is_floating_point() else tensor for key, tensor in weights.items()
    },
}


@pytest.mark.parametrize("wrap", WRAPPED.values(), ids=WRAPPED)
def test_wrappers_of_weights_are_removed(wrap: Wrap) -> None:
    """Prefixes, enclosing dicts, averages, order and number type make no difference."""
    network, other = small("resnet-18", seed=1), small("resnet-18", seed=2)
    network.half().float()
    load_weights(other, wrap(export_weights(network, target="torchvision")), source="torchvision")
    assert_same(network, other)


def test_batch_counts_may_be_missing() -> None:
    """Files of old torch have no batch counts; they are then 0. No other entry may be missing."""
    network, other = small("resnet-20", seed=1), small("resnet-20", seed=2).train()
    other(torch.randn(2, 3, 32, 32))
    state = network.state_dict()
    old = {path: tensor for path, tensor in state.items() if not path.endswith("num_batches_tracked")}
    load_weights(other, old)
    assert_same(network, other)
    del old["stages.2.1.body.norm1.running_mean"]
    assert refusal(other, old).endswith("missing 2 (stages.2: 2)")


def test_faults_are_counted_by_stage() -> None:
    """One line lists missing, unexpected and mis-shaped entries, under our paths if the key has one."""
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
    """Torchvision's ResNet-50 has the shapes of ours and another stride; the refusal suggests the right name."""
    weights = export_weights(small("resnet-50-v1.5"), target="torchvision")
    expected = (
        "torchvision's bottlenecks take the stride on the 3x3, this network's on the first 1x1; "
        'did you mean "resnet-50-v1.5"?'
    )
    assert refusal(small("resnet-50"), weights, source="torchvision") == expected
    with pytest.raises(CheckpointError) as caught:
        export_weights(small("resnet-50"), target="torchvision")
    assert str(caught.value) == expected


SUGGESTED = [
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


@pytest.mark.parametrize(("source", "name", "right"), SUGGESTED)
def test_the_right_network_is_suggested(source: str, name: str, right: str) -> None:
    """The refusal suggests a design that loads the weights."""
    weights = export_weights(small(right), target=source)
    assert refusal(small(name), weights, source=source).endswith(f'did you mean "{right}"?')


def test_other_classes_are_named() -> None:
    """Weights for another number of classes are refused with their shape and that number."""
    weights = export_weights(small("resnet-18-B", classes=5), target="torchvision")
    assert refusal(small("resnet-18-B"), weights, source="torchvision") == (
        "these are not the network's weights: mis-shaped 2 (head: 2); "
        '"fc.weight" is 5x512, here 3x512; did you mean "resnet-18-B" with 5 classes?'
    )


def test_a_classifier_of_no_shape_is_mis_shaped() -> None:
    """A number instead of the classifier's bias is reported like any other shape."""
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
def test_networks_that_a_source_does_not_have_are_refused(name: str, difference: str) -> None:
    """The refusal names the differing trait even if the shapes fit."""
    with pytest.raises(CheckpointError) as caught:
        export_weights(small(name), target="pytorchcv")
    assert difference in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("source", SOURCES)
def test_every_path_of_an_exportable_network_has_a_key(source: str) -> None:
    """Every network of the catalogue with the traits of a source has a different key for each path."""
    exportable = 0
    for entry in named().values():
        network_plan = entry.plan()
        dialect = dialect_for(network_plan, source)
        if differing_traits(traits(network_plan), dialect.traits):
            continue
        keys = [key_of(parameter.path, dialect, network_plan) for parameter in parameters(network_plan)]
        assert None not in keys
        assert len(set(keys)) == len(keys)
        exportable += 1
    assert exportable == len(named()) if source == "resatlas" else exportable > 10


def test_the_nearest_source_is_named() -> None:
    """The error for an unknown source suggests the nearest."""
    with pytest.raises(UnknownName, match=r'no source of weights "torchvison"; did you mean "torchvision"\?'):
        load_weights(small("resnet-20"), small("resnet-20").state_dict(), source="torchvison")


class _Calls:
    """An object whose pickle calls a function with an argument when it is opened."""

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
def test_a_file_that_contains_code_is_refused_and_not_run(tmp_path: Path, form: str) -> None:
    """The refusal names the import, and nothing has been run."""
    file, trace = tmp_path / "w.pth", tmp_path / "ran"
    network = small("resnet-20")
    _saved({"more": _Calls(os.system, f"touch {trace}"), "state_dict": network.state_dict()}, file, form)
    assert refusal(network, file) == (
        f"w.pth imports {os.system.__module__}.system, which could run code; only tensors and plain values are read, "
        "so save a state_dict()"
    )
    _saved(torch.nn.Linear(1, 1), file, form)
    assert refusal(network, file).startswith("w.pth imports torch.nn.modules.linear.Linear, ")
    assert not trace.exists()


@pytest.mark.parametrize("keep", [0, 5, 9, 1000, -30])
@pytest.mark.parametrize("form", ["safetensors", "zip", "old"])
def test_a_cut_file_is_refused(tmp_path: Path, form: str, keep: int) -> None:
    """A file of any shorter length is reported as damaged or empty."""
    network, file = small("resnet-20"), tmp_path / "w.bin"
    if form == "safetensors":
        save_weights(network, file)
    else:
        _saved(network.state_dict(), file, form)
    file.write_bytes(file.read_bytes()[:keep])
    assert refusal(network, file).startswith("w.bin is damaged or n" if keep else "w.bin is empty")


def test_paths_without_weights_are_refused(tmp_path: Path) -> None:
    """Missing files, folders, texts, and files with other content are refused."""
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
    "two": (lambda weights: {"model": weights, "state_dict": weights}, 'holds "state_dict" and "model"; pass only one'),
    "average": (lambda weights: {"state_dict_ema": weights}, 'only their average "state_dict_ema"; use --weights ema'),
    "empty": (lambda _: {"state_dict": {}}, "the state dict holds no weights"),
    "list": (lambda weights: {**weights, "epochs": [1]}, '"epochs" is a list; weights are tensors by name'),
    "numbers": (
        lambda weights: {"model": {7: weights["head.linear.bias"]}},
        '"7" is a Tensor; weights are tensors by name',
    ),
    "both": (lambda weights: {**weights, **_prefixed("module.")(weights)}, 'holds "stem.conv.weight" twice, once as'),
}


@pytest.mark.parametrize(("wrap", "words"), HELD.values(), ids=HELD)
def test_none_or_several_state_dicts_are_refused(wrap: Callable[[dict[str, Tensor]], Any], words: str) -> None:
    """Several candidates are ambiguous, and an average is loaded only if it is passed itself."""
    network = small("resnet-20")
    assert words in refusal(network, wrap(network.state_dict()))


def test_a_dict_that_contains_itself_is_refused() -> None:
    """The search for a state dict ends."""
    loop: dict[str, Any] = {}
    loop["model"] = loop
    assert refusal(small("resnet-20"), loop).endswith('"model" is a dict; weights are tensors by name')


VALUES: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "nan": (lambda tensor: tensor * float("nan"), "holds NaN or infinity, in "),
    "infinite": (lambda tensor: tensor / 0, "holds NaN or infinity, in "),
    "too large": (lambda tensor: tensor.double() + 1e300, "holds NaN or infinity, in "),
    "complex": (lambda tensor: tensor.to(torch.complex64), "is complex64; convert the file to float32"),
    "whole": (lambda tensor: tensor.to(torch.int64), "is int64; convert the file to float32"),
    "sparse": (lambda tensor: tensor.to_sparse(), "has no dense values"),
    "meta": (lambda tensor: tensor.to("meta"), "has no dense values"),
}


@pytest.mark.parametrize(("spoil", "words"), VALUES.values(), ids=VALUES)
@pytest.mark.parametrize("path", ["stem.norm.running_var", "head.linear.weight"])
def test_invalid_values_are_refused(path: str, spoil: Callable[[Tensor], Tensor], words: str) -> None:
    """The refusal names the first invalid entry, and no entry is set, not even those before it."""
    weights = small("resnet-20", seed=2).state_dict()
    weights[path] = spoil(weights[path])
    assert refusal(small("resnet-20", seed=1), weights).startswith(f'"{path}" {words}')


def test_batch_counts_are_whole_numbers() -> None:
    """A count that is not an integer is refused."""
    weights = small("resnet-20").state_dict()
    weights["stem.norm.num_batches_tracked"] = torch.tensor(1.5)
    assert refusal(small("resnet-20"), weights).endswith("is float32; a count of batches must be int64")


def test_a_network_on_the_meta_device_is_refused() -> None:
    """It has no values to set."""
    with pytest.raises(CheckpointError, match='"meta" has no values to set'):
        load_weights(build("resnet-20", device="meta"), build("resnet-20", seed=0).state_dict())


def test_numbers_take_the_type_of_the_network() -> None:
    """Weights of any floating type load into a network of any floating type, which keeps its own."""
    for stored in (torch.float16, torch.bfloat16, torch.float64):
        for own in (torch.float32, torch.float64):
            network = small("resnet-20", seed=2).to(own)
            weights = small("resnet-20", seed=1).to(stored).state_dict()
            load_weights(network, weights)
            assert {parameter.dtype for parameter in network.parameters()} == {own}
            assert torch.equal(network.state_dict()["stem.conv.weight"], weights["stem.conv.weight"].to(own))


def test_traits_cover_every_field_of_a_plan() -> None:
    """A new field of a plan may change the function of a network: `weights/semantics.py` must consider it."""
    known = {
        plans.Plan: "image classes stem stages head initial stems heads",
        plans.Unit: "input output stride streams skip join after_sum",
        plans.Stream: "first bodies merge merged shortcut reads gate gated attention",
        plans.Layer: "role op input output",
    }
    assert {kind: " ".join(field.name for field in fields(kind)) for kind in known} == known
