"""Inference against the peers, on networks and batches so small that it takes seconds."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from resatlas.arch.cost import cost
from resatlas.bench import contest, inference
from resatlas.bench.inference import OURS, Key, contestants_of, peers_of
from resatlas.bench.peers import SIDES, TIMM, peer_of
from resatlas.cli.main import main
from resatlas.designs import catalog
from resatlas.errors import UsageError
from resatlas.inference.engines.sessions import openvino_has_bf16
from tests.exporting.subjects import needs
from tests.oracles.peers import library

PHOTOGRAPHIC = tuple(pattern.label for pattern in TIMM)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls of one pass, one thread, both precisions."""
    for name in SIDES:
        library(name)
    monkeypatch.setattr(inference, "CALL_SECONDS", 1e-9)
    monkeypatch.setattr(contest, "cores", lambda: 1)
    monkeypatch.setattr(inference, "automatic_precision", partial(chosen, "bf16"))


def chosen(precision: str, device: torch.device) -> tuple[str, str]:
    """As `automatic_precision`."""
    return precision, f"for a test on {device}"


def bench(capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, Any]]:
    """The rows that the verb prints."""
    assert main(("bench", *words, "--question", "inference", "--rounds", "2", "--json")) == 0
    return json.loads(capsys.readouterr().out)


def test_networks_with_and_without_a_peer(capsys: pytest.CaptureFixture[str]) -> None:
    """One row per precision and peer, ratios that agree with the rates, and the norms that do not fold."""
    rows = bench(capsys, "resnet-8-B", "pyramidnet-8-a12", "dmrnet-8", "--batch", "2")
    assert [(row["design"], row["precision"], row["peer"]) for row in rows] == [
        (design, precision, peer)
        for design, peer in (("resnet-8-B", "pytorchcv"), ("pyramidnet-8-a12", "pytorchcv"), ("dmrnet-8", "–"))
        for precision in ("fp32", "bf16")
    ]
    assert all(list(row) == [column.name for column in inference.COLUMNS] for row in rows)
    assert [(row["norms"], row["unfolded_norms"]) for row in rows[::2]] == [(9, 0), (11, 4), (17, 0)]
    assert all(row["images_per_second"] > 0 and row["batch"] == row["rounds"] == 2 for row in rows)
    fp32, bf16 = rows[:2]
    assert fp32["peer_images_per_second"] == fp32["peer_default_images_per_second"]
    assert bf16["peer_default_images_per_second"] == fp32["peer_default_images_per_second"]
    assert fp32["over_eager"] == fp32["over_default"]
    assert fp32["over_eager_low"] <= fp32["over_eager"] <= fp32["over_eager_high"]
    work = cost(catalog.plan("resnet-8-B")).multiply_adds
    assert fp32["multiply_adds_per_second"] == pytest.approx(fp32["images_per_second"] * work / 1e9)
    assert rows[-1]["peer_images_per_second"] is rows[-1]["over_eager"] is rows[-1]["compile_seconds"] is None


def test_bf16_is_left_out_where_the_processor_does_not_multiply_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """There torch computes it, but so slowly that nothing is learnt from it."""
    monkeypatch.setattr(inference, "automatic_precision", partial(chosen, "fp32"))
    contestants = contestants_of("resnet-8-B", catalog.plan("resnet-8-B"), (), 2, ("eager",))
    assert list(contestants.calls) == [Key(OURS, "eager", "fp32")]


def test_compiled_peers_take_part_if_wanted(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The peer is compiled for each batch and precision, and the seconds of compiling are reported."""
    compiled: list[bool] = []

    def compile_nothing(network: torch.nn.Module, *, dynamic: bool) -> torch.nn.Module:
        compiled.append(dynamic)
        return network

    monkeypatch.setattr(torch, "compile", compile_nothing)
    monkeypatch.setattr(inference, "require_compiler", str)  # no-op
    rows = bench(capsys, "resnet-8-B", "--batch", "1", "--compiled")
    assert compiled == [False, False]
    assert all(row["over_compiled"] > 0 and row["compile_seconds"] > 0 for row in rows)
    assert all(row["peer_compiled_images_per_second"] > 0 for row in rows)


def test_compiling_without_a_compiler_is_refused_before(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The refusal has one line, and no network is built."""
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.delattr(inference, "contestants_of")
    assert main(("bench", "resnet-8-B", "--question", "inference", "--compiled")) == 2
    assert "--compiled needs a C++ compiler; no-such-compiler is missing" in capsys.readouterr().err


def test_all_contestants_run_in_the_precision_of_the_row() -> None:
    """Ours and the peer run in both precisions, with as many logits as classes."""
    plan = catalog.plan("resnet-8-B")
    contestants = contestants_of("resnet-8-B", plan, peers_of("resnet-8-B", plan, None), 2, ("eager",))
    assert list(contestants.calls) == [
        Key(who, "eager", precision) for precision in ("fp32", "bf16") for who in (OURS, "pytorchcv")
    ]
    for key, call in contestants.calls.items():
        assert call().shape == (2, plan.classes)
        assert call().dtype == (torch.float32 if key.precision == "fp32" else torch.bfloat16)


@pytest.mark.parametrize("design", PHOTOGRAPHIC)
def test_photographic_peers_are_the_same_networks(design: str) -> None:
    """Both libraries have the network, with as many parameters as ours."""
    plan = catalog.plan(design)
    peers = peers_of(design, plan, None)
    assert [peer.library for peer in peers] == ["torchvision", "timm"]
    assert {peer.parameters(plan.classes) for peer in peers} == {cost(plan).parameters}


def test_a_peer_that_is_named_must_have_it() -> None:
    """A named library that lacks the network is refused; without a name, such libraries are skipped."""
    assert [str(peer) for peer in peers_of("resnet-18-B", catalog.plan("resnet-18-B"), "timm")] == ["timm resnet18()"]
    with pytest.raises(UsageError, match='timm has no network "resnet-20-B"'):
        peers_of("resnet-20-B", catalog.plan("resnet-20-B"), "timm")
    assert peers_of("resnet-20-B", catalog.plan("resnet-20-B"), None) == (peer_of("pytorchcv", "resnet-20-B"),)
    assert peers_of("dmrnet-20", catalog.plan("dmrnet-20"), None) == ()


@needs("onnx", "onnxscript", "onnxruntime", "openvino")
def test_engines_take_turns_at_equal_precision(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Ours and the library's network under each engine, with ratios to eager and to our folded network."""
    bench(capsys, "resnet-8-B", "--batch", "2", "--engines", "--out", str(tmp_path / "engines"))
    [table] = json.loads((tmp_path / "engines.json").read_text(encoding="utf-8"))["further"]
    kinds = [("onnxruntime", "fp32"), ("openvino", "fp32"), *([("openvino", "bf16")] if openvino_has_bf16() else [])]
    assert [(row["engine"], row["network"], row["precision"]) for row in table["rows"]] == [
        (engine, owner, precision) for owner in (OURS, "pytorchcv") for engine, precision in kinds
    ]
    for row in table["rows"]:
        assert row["images_per_second"] > 0
        assert row["over_default_low"] <= row["over_default"] <= row["over_default_high"]
        assert row["over_folded_low"] <= row["over_folded"] <= row["over_folded_high"]
