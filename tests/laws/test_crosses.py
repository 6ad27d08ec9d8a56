"""Crosses that no paper has, as files: each is counted, built, folded, ejected and drawn like any family."""

from pathlib import Path

import pytest
import torch

from resatlas.arch.blueprint_file import read_blueprint
from resatlas.arch.cost import cost
from resatlas.arch.expand import expand
from resatlas.arch.paths import path_lengths
from resatlas.arch.plan import Plan, from_json, to_json
from resatlas.designs.catalog import resolve
from resatlas.eject.source import source
from resatlas.inference.network import for_inference
from resatlas.nets.network import build
from resatlas.page.drawing import drawing
from tests.inference.test_inference import trained

CROSSES = {
    "pyramidal SE-ResNeXt": """
        [widths]
        rule = "additive"
        start = 16
        alpha = 24
        multiple_of = 8
        expansion = 2
        [residual]
        convs = "bottleneck"
        inner = "1/2"
        groups = 4
        order = "pyramidal"
        shortcut = "zero-pad-average"
        excitation = "1/4"
        """,
    "merge-and-run RegNet with ECA": """
        first_stride = 2
        [widths]
        rule = "per-stage"
        widths = [16, 32, 48]
        [residual]
        convs = "bottleneck"
        inner = 1
        group_width = 16
        channel_attention = "eca"
        [streams]
        rule = "merge-and-run"
        """,
    "pyramidal Res2Net in two streams": """
        [widths]
        rule = "additive"
        start = 16
        alpha = 24
        multiple_of = 8
        expansion = 2
        [residual]
        convs = "bottleneck"
        inner = "1/2"
        slices = 4
        order = "pyramidal"
        shortcut = "zero-pad"
        excitation = "1/4"
        [streams]
        rule = "merge-and-run"
        """,
    "pre-activated Shake-Shake": """
        [widths]
        rule = "doubling"
        start = 32
        [residual]
        bodies = 2
        order = "pre-activation"
        shortcut = "projection-shifted"
        modified = "scale-1-0.5"
        """,
    "pre-activated ResNet-D": """
        [widths]
        rule = "doubling"
        start = 32
        [residual]
        convs = "bottleneck"
        order = "pre-activation"
        shortcut = "projection-average"
        """,
}


@pytest.fixture(params=CROSSES)
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A cross as a file."""
    head, *tables = CROSSES[request.param].partition("[widths]")
    text = f'schema = 1\nname = "{request.param}"\nunits = [1, 2, 2]\n{head}[stem]\nwidth = 16\nlead = [8]\n' + "".join(
        tables
    )
    path = tmp_path / "cross.toml"
    path.write_text("\n".join(line.strip() for line in text.splitlines()), encoding="utf-8")
    return path


def test_a_cross_works_in_every_fold(file: Path) -> None:
    """The counted parameters are built, the folded network has the logits, the ejected file has the weights."""
    plan: Plan = expand(read_blueprint(file).blueprint, image=resolve("resnet-20").image, classes=3)
    network = trained(build(plan, seed=1))
    assert sum(parameter.numel() for parameter in network.parameters()) == cost(plan).parameters
    assert from_json(to_json(plan)) == plan
    assert path_lengths(plan).longest > 5
    images = torch.randn(2, *plan.image, generator=torch.Generator().manual_seed(2))
    expected = network(images)
    torch.testing.assert_close(for_inference(network)(images), expected, rtol=1e-3, atol=1e-4)
    scope: dict[str, object] = {"__name__": "ejected"}
    exec(source(resolve(str(file)), classes=3), scope)  # noqa: S102 - our own text
    ejected = scope["Network"]()  # type: ignore[operator]
    ejected.load_state_dict(network.state_dict())
    torch.testing.assert_close(ejected.eval()(images), expected)
    assert drawing(plan, title=file.stem)["datasets"]["blocks"]
