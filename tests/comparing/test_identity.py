"""A design is identified by its plan, not by its label."""

from dataclasses import replace
from pathlib import Path

import pytest

from resatlas.arch import plan as plans
from resatlas.comparing.comparison import compare
from resatlas.comparing.questions import differing
from resatlas.designs.catalog import resolve
from resatlas.errors import FolderError
from resatlas.runs.experiment import Experiment, default_folder, to_json
from resatlas.runs.store import Run, begin
from resatlas.studies.checks import check_folder
from tests.comparing.folders import EQUAL, IMAGES, edited, plan_of, write_run

SMALL, LARGE = "pyramidnet:depth=11,base=2,alpha=8", "pyramidnet:depth=11,base=2,alpha=24"


def run_of(folder: Path, meant: str, *, called: str, seed: int, parameters: int) -> Run:
    """A run of the design `meant` under the label `called`."""
    subject = replace(EQUAL[3][0], parameters=parameters)
    wrong = [k < 10 + seed for k in range(IMAGES)]
    run = write_run(
        folder / f"{meant}-{called}-{seed}".replace("/", "_"), subject, seed=seed, wrong=wrong, design=called
    )
    edited(run.folder / "experiment.json", plan=plan_of(meant))
    return run


def test_two_designs_of_one_label_are_two(tmp_path: Path) -> None:
    """A file that changed between two trainings: two numbered rows with their sizes, and a warning."""
    for seed in (0, 1):
        run_of(tmp_path, SMALL, called="my.toml", seed=seed, parameters=6_906)
        run_of(tmp_path, LARGE, called="my.toml", seed=seed, parameters=21_546)
    [comparison] = compare([tmp_path])
    shown = [(group.row.design, group.row.parameters, group.seeds) for group in comparison.question.groups]
    assert shown == [("my.toml", 6_906, (0, 1)), ("my.toml (2)", 21_546, (0, 1))]
    assert comparison.warnings[0] == (
        "my.toml is the label of 2 designs with different plans: my.toml has 6,906 parameters; my.toml (2) has 21,546 "
        "parameters"
    )


def test_one_design_of_two_labels_is_one(tmp_path: Path) -> None:
    """Equal plans are one row under the first label, with a warning."""
    run_of(tmp_path, SMALL, called="a.toml", seed=0, parameters=6_906)
    run_of(tmp_path, SMALL, called="b.toml", seed=1, parameters=6_906)
    run_of(tmp_path, LARGE, called="c.toml", seed=0, parameters=21_546)
    [comparison] = compare([tmp_path])
    assert [(group.row.design, group.seeds) for group in comparison.question.groups] == [
        ("a.toml", (0, 1)),
        ("c.toml", (0,)),
    ]
    assert (
        "a.toml and b.toml are the same design, because their plans are equal; shown as a.toml" in comparison.warnings
    )


CROSS = """
schema = 1
name = "cross"
image = [1, 8, 8]
classes = 4
units = [1]
[stem]
kernel = 3
width = {width}
after = ["norm", "relu"]
[widths]
rule = "doubling"
start = {width}
[residual]
convs = "basic"
order = "post-activation"
shortcut = "projection"
"""


def test_designs_of_ones_own_differ_in_their_design_alone(tmp_path: Path) -> None:
    """A run keeps such a design whole; that is no other condition, so equal budgets are judged."""
    for design, wrong in (("resnet:depth=8,base=4", 10), ("resnet:depth=8,base=8", 90)):
        own = to_json(Experiment.of(resolve(design).blueprint, data="digits"))["own"]
        for seed in range(3):
            misclassified = [k < wrong + seed for k in range(IMAGES)]
            run = write_run(tmp_path / f"{design}-{seed}", EQUAL[3][0], seed=seed, wrong=misclassified, design=design)
            edited(run.folder / "experiment.json", own=own)
    [comparison] = compare([tmp_path])
    first, second = comparison.question.groups
    assert first.experiment.own != second.experiment.own
    assert differing(first, second) == ("design",)
    assert comparison.warnings == ()
    [pair] = comparison.pairs
    assert {verdict.verdict for verdict in pair.verdicts.values()} == {"supported"}


def test_crosses_of_one_name_have_their_own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name of the folder contains a digest of the file's content."""
    monkeypatch.chdir(tmp_path)
    folders = []
    for width in (4, 8, 4):
        Path("my.toml").write_text(CROSS.format(width=width))
        folders.append(default_folder(Experiment(design="my.toml", data="digits")))
    assert folders[0] == folders[2] != folders[1]
    assert folders[0].name.startswith("digits-my.toml-")


def test_names_of_other_letters_have_their_own_folders() -> None:
    """Such as 猫 and 犬; catalogue names and their knobs have no digest."""
    cat, dog = (default_folder(Experiment(design="resnet-20", data=data)) for data in ("猫", "犬"))
    assert cat != dog
    assert cat.name.isascii()
    one, other = (default_folder(Experiment(design="resnet-20", data=data)).name for data in ("a/b", "a_b"))
    assert one != other
    usual = Experiment(design="resnet:depth=8,base=8", data="digits:size=16")
    assert str(default_folder(usual)) == "runs/digits_size_16-resnet_depth_8_base_8-quick-s0"
    fraction = Experiment(design="wide-resnet:depth=10,widen=17/12", data="digits")
    assert default_folder(fraction).name == "digits-wide-resnet_depth_10_widen_17_12-quick-s0"


def test_a_run_whose_design_has_changed_is_not_resumed(tmp_path: Path) -> None:
    """A study does not count it as finished either; the error names both sizes."""
    experiment = Experiment(design="my.toml", data="digits")
    small, large = (plans.from_json(plan_of(design)) for design in (SMALL, LARGE))
    run = begin(tmp_path / "run", experiment, small)
    run.record_epoch({"epoch": 1}, {"epoch": 1})  # a run without an epoch would start again
    check_folder(tmp_path / "run", experiment, small, resume="auto")
    with pytest.raises(
        FolderError, match=r"my\.toml has changed since it began \([\d,]+ parameters then, [\d,]+ now\)"
    ):
        check_folder(tmp_path / "run", experiment, large, resume="auto")
