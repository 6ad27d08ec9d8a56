"""Pages for the browser tests: trained networks with every section, a study, and names that contain markup."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import product
from pathlib import Path

from resatlas.analysis.paths import LengthRow
from resatlas.analysis.probes import FOLDER, PROBES, Fact, ProbeResult, result_to_json
from resatlas.arch.ops import Shape
from resatlas.arch.plan import to_json
from resatlas.cli.main import main
from resatlas.comparing.run_sets import read_run_sets
from resatlas.designs.catalog import plan
from resatlas.errors import ResatlasError
from resatlas.evaluation.predictions import Prediction, write_predictions
from resatlas.page.page import Link, write_page
from resatlas.runs.files import read_json
from resatlas.values.table import table
from tests.comparing.folders import EQUAL, edited, write_run, write_study
from tests.comparing.planted import DISTINCT, write_factorial
from tests.data.annotated import annotation, image, write_coco
from tests.exporting import saved
from tests.page import probed

DATA = "synthetic:size=8,channels=1,classes=4,images=96"
TRAINED = ("resnet:depth=8,base=2", "pyramidnet:depth=8,base=2,alpha=6", "dmrnet:depth=8,base=2")

PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b55"
    "0000000a49444154789c636800000082008177cd72b60000000049454e44ae426082"
)
"""A picture of one pixel as a PNG file."""

EVIL = "<script>alert(1)</script>"
ATTACKS = (
    EVIL,
    '"><img src=x onerror=alert(2)>',
    "</script><script>alert(3)</script>",
    "javascript:alert(4)",
    "=cmd()",
)
"""Names of classes that contain markup."""


def trained_page(folder: Path) -> Path:
    """Three designs trained for three epochs with two seeds; one run has the results of all probes."""
    runs: list[Path] = []
    for design in TRAINED:
        out = folder / design.partition(":")[0]
        command = ("train", design, "--data", DATA, "--recipe", "quick", "--epochs", "3", "--seeds", "2", "--quiet")
        assert main((*command, "--out", str(out))) == 0
        runs += sorted(run.parent for run in folder.glob(f"{out.name}*/experiment.json"))
    probed = next(run for run in runs if "dmrnet" in run.name)
    for name in PROBES:
        assert main(("dissect", str(probed), name, "--quiet")) == 0
    write_page(folder / "report.html", title="three designs", run_sets=read_run_sets(runs))
    return folder / "report.html"


def study_page(folder: Path) -> Path:
    """A study like that of the demo: the plans of all designs that exist, dissections, pictures and a link."""
    study = write_study(folder / "demo")
    for result in dissections(sorted(run.name for run in study.iterdir() if run.is_dir())):
        (study / result.runs[0] / FOLDER).mkdir(exist_ok=True)
        file = study / result.runs[0] / FOLDER / f"{result.question}.json"
        file.write_text(json.dumps(result_to_json(result)), encoding="utf-8")
    for file in study.glob("*/experiment.json"):
        experiment = read_json(file)
        with suppress(ResatlasError):
            network_plan = plan(experiment["design"], image=Shape(1, 16, 16), classes=10)
            edited(file, plan=to_json(network_plan))
    write_page(
        folder / "report.html",
        title="resatlas demo",
        run_sets=read_run_sets([study]),
        pictures=lambda _run, ids: dict.fromkeys(ids, PIXEL),
        links=[Link("classify.html", "Draw a digit", "A network classifies it. " * 3)],
    )
    return folder / "report.html"


def dissections(runs: Sequence[str]) -> Iterator[ProbeResult]:
    """Results of the probes that the demo asks for, of the runs of `write_study`."""

    def of(design: str) -> list[str]:
        return [run for run in runs if f"-{design}-quick-s" in run]

    plain, resnet, dmrnet = (of(f"{family}_depth_56_base_8") for family in ("plain", "resnet", "dmrnet"))
    yield from (probed.paths(own[0]) for own in (plain, resnet, dmrnet))
    yield probed.flow([resnet[0], plain[0]])
    yield probed.lesion(of("resnet_depth_20_base_8"), "resnet:depth=20,base=8")
    yield probed.lesion(of("dmrnet_depth_20_base_6"), "dmrnet:depth=20,base=6")
    yield probed.streams(dmrnet[0])


def evil_page(folder: Path) -> Path:
    """A run in which every name that a user can choose is markup: design, classes, images, results of probes."""
    run = write_run(folder / "run", replace(EQUAL[0][0], family=EVIL), seed=0, wrong=[True], design=EVIL, data=EVIL)
    network_plan = plan("resnet:depth=8,base=4", image=Shape(1, 16, 16), classes=len(ATTACKS))
    edited(run.folder / "experiment.json", classes=list(ATTACKS), plan=to_json(network_plan))
    wrong = len(ATTACKS)
    rows = [Prediction(k, k % wrong, (k + (k < wrong)) % wrong, 0.9) for k in range(4 * wrong)]
    write_predictions(run.folder / "predictions.csv", rows, ATTACKS)
    results = read_json(run.folder / "results.json")
    test = {**results["test"], "error_percent": 100 * wrong / len(rows), "images": len(rows)}
    edited(run.folder / "results.json", test=test)
    row = LengthRow(
        length=1, paths=1, share_of_paths=1, share_of_weight=1, gradient_norm=1, cosine_to_gradient=1,
        share_of_gradient=1,
    )  # fmt: skip
    result = ProbeResult(
        question="paths",
        title=EVIL,
        runs=(EVIL,),
        images=EVIL,
        facts=(Fact(name=EVIL, unit=EVIL, value=EVIL),),
        tables=(table(EVIL, LengthRow, (row,), note=EVIL),),
        notes=(EVIL,),
    )
    (run.folder / FOLDER).mkdir()
    (run.folder / FOLDER / "paths.json").write_text(json.dumps(result_to_json(result)), encoding="utf-8")
    write_page(folder / "report.html", title=EVIL, run_sets=read_run_sets([run.folder]))
    return folder / "report.html"


def effects_page(folder: Path) -> Path:
    """A factorial study with planted effects."""
    write_factorial(folder / "planted", designs=DISTINCT)
    write_page(folder / "report.html", title="resatlas planted", run_sets=read_run_sets([folder / "planted"]))
    return folder / "report.html"


def found_page(folder: Path) -> Path:
    """A detector after two epochs on two images, in which every name that a user can choose is markup."""
    kinds = [{"id": EVIL + str(k), "name": attack} for k, attack in enumerate(ATTACKS)]
    images = [image(attack, name) for attack, name in zip(ATTACKS, ("a.png", "b.png"), strict=False)]
    objects = [
        annotation(k, own, kind["id"], bbox=[4 + 6 * (k % 3), 5, 10, 8])
        for k, (own, kind) in enumerate(product(ATTACKS[:2], kinds))
    ]
    for part in ("train2017", "val2017"):
        write_coco(folder / "coco", objects, images=images, categories=kinds, part=part)
    command = ("train", "resnet:depth=8,base=2", "--data", str(folder / "coco"), "--recipe", "detect-quick")
    assert main((*command, "--epochs", "2", "--quiet", "--out", str(folder / EVIL.replace("/", "")))) == 0
    assert main(("report", str(folder / EVIL.replace("/", "")), "--out", str(folder / "f.html"), "--quiet")) == 0
    return folder / "f.html"


def network_page(folder: Path) -> Path:
    """Published weights, and a saved network in which every name is markup."""
    config = replace(saved.TRAINED, class_names=ATTACKS[:4], design=EVIL, family=EVIL)
    evil = saved.without_weights(folder / "network", config)
    assert main(("report", "pytorchcv/resnet20_cifar10", str(evil), "--out", str(folder / "n.html"), "--quiet")) == 0
    return folder / "n.html"


PAGES: dict[str, Callable[[Path], Path]] = {
    "trained": trained_page,
    "study": study_page,
    "evil": evil_page,
    "effects": effects_page,
    "networks": network_page,
    "found": found_page,
}
