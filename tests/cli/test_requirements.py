"""An option whose requirement is not met is refused; each verb has a table of the requirements."""

import json
from pathlib import Path

import pytest

from resatlas.cli.main import VERBS, main, parser_of, verb_of
from resatlas.cli.requirements import ALWAYS
from resatlas.recipes.catalog import NAMED

USUAL = {"--help", "--json", "--quiet"}


def options_of(verb: str) -> set[str]:
    """The options that a verb declares itself."""
    actions = parser_of(verb)._actions
    return {option for action in actions for option in action.option_strings if option.startswith("--")} - USUAL


@pytest.mark.parametrize("verb", VERBS)
def test_every_option_has_its_row(verb: str) -> None:
    """A new option needs a row with its requirement."""
    assert set(verb_of(verb).OPTIONS) == options_of(verb)


REFUSED = (
    ("describe --recipe quick --draw x.svg", "describe without a DESIGN does not take --draw; it requires a DESIGN"),
    ("describe --recipe quick --classes 5", "describe without a DESIGN does not take --classes; it requires a DESIGN"),
    ("describe --recipe quick --image=3,8,8", "describe without a DESIGN does not take --image; it requires a DESIGN"),
    ("describe --conventions", "describe without a DESIGN does not take --conventions; it requires a DESIGN"),
    (
        "train resnet-20 --weights raw",
        "train without --init-from does not take --weights; it requires --init-from WORD|FILE",
    ),
    (
        "train resnet-20 --offline",
        "train without --init-from does not take --offline; it requires --init-from WORD|FILE",
    ),
    ("weights list --offline", "weights with another action does not take --offline; it requires the action get"),
    (
        "train resnet-20 --rank-timeout 5",
        "train in one process does not take --rank-timeout; it requires --processes N, or torchrun",
    ),
    (
        "evaluate run --rank-timeout 5",
        "evaluate in one process does not take --rank-timeout; it requires --processes N, or torchrun",
    ),
    (
        "solve resnet --parameters 1M --out net.toml",
        "solve without FILE.toml does not take --out; it requires the FILE.toml of a blueprint",
    ),
    (
        "solve net.toml --parameters 1M --set depth=20",
        "solve with FILE.toml does not take --set; it requires a family; a blueprint has no knobs",
    ),
    ("evaluate run --ensemble", "evaluate with a single RUN does not take --ensemble; it requires two RUNs or more"),
    ("evaluate run other --among run", "evaluate without --data does not take --among; it requires --data"),
    ("evaluate run other --among data", "evaluate without --data does not take --among; it requires --data"),
    (
        "export run --out x --calibrate 5",
        "export without --precision int8 does not take --calibrate; it requires --precision int8",
    ),
    (
        "export run --out x --most-loss 2",
        "export without --precision int8 does not take --most-loss; it requires --precision int8",
    ),
    (
        "export run --out x --runtime package",
        "export without --to page does not take --runtime; it requires --to page",
    ),
    (
        "compare runs --format csv --json",
        "compare with --json does not take --format; it requires text, without --json",
    ),
    (
        "effects runs --format csv --json",
        "effects with --json does not take --format; it requires text, without --json",
    ),
    (
        "hypotheses runs --format csv --json",
        "hypotheses with --json does not take --format; it requires text, without --json",
    ),
    (
        "train resnet-20 --seeds 2 --resume runs/x/checkpoints/step-00000001",
        "train with --seeds and the path of a checkpoint does not take --resume; it requires a single run "
        "(several take --resume auto)",
    ),
    (
        "study x.toml --status --on slurm",
        "study with --status does not take --on; it requires a study that is carried out",
    ),
    (
        "study x.toml --status --lang zh",
        "study with --status does not take --lang; it requires a study that is carried out",
    ),
    *(
        (
            f"study x.toml --status {option} {value}",
            f"study with --status or --on does not take {option}; it requires a study that is carried out here",
        )
        for option, value in (("--share", "1/2"), ("--blocks", "1"), ("--workers", "2"))
    ),
    *(
        (f"study x.toml {option}{value}", f"study without --on slurm does not take {option}; it requires --on slurm")
        for option, value in (("--sbatch", "=--exclusive"), ("--detach", ""))
    ),
    ("study x.toml --jobs 2", "study without --on does not take --jobs; it requires --on"),
    ("study x.toml --on slurm --gpus 1", "study without --on ray does not take --gpus; it requires --on ray"),
)


@pytest.mark.parametrize(("words", "sentence"), REFUSED)
def test_an_option_without_meaning_is_refused(
    words: str, sentence: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message has the option, the command and the requirement; nothing is read or written."""
    monkeypatch.chdir(tmp_path)
    assert main(words.split()) == 2
    assert capsys.readouterr().err == f"UsageError: resatlas {sentence}\n"
    assert list(tmp_path.iterdir()) == []


def test_every_condition_is_tested() -> None:
    """Every requirement has a case in `REFUSED`."""
    rows = {
        (verb, option)
        for verb in VERBS
        for option, requirement in verb_of(verb).OPTIONS.items()
        if requirement is not ALWAYS
    }
    tested = {
        (words.split()[0], word.partition("=")[0])
        for words, _ in REFUSED
        for word in words.split()
        if word.startswith("--")
    }
    assert rows - tested == set()


@pytest.mark.parametrize("words", ["--draw x.svg", "--conventions", "--recipe wrn-cifar"])
def test_eject_has_options_of_its_own(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Options of describe are refused."""
    assert main(("eject", "resnet-20", *words.split())) == 2
    option = words.split()[0]
    assert capsys.readouterr().err.startswith(f'UsageError: no option of resatlas eject "{option}"; ')


def test_eject_needs_a_design(capsys: pytest.CaptureFixture[str]) -> None:
    """Without one it is refused, with one line."""
    assert main(("eject", "--classes", "3")) == 2
    assert capsys.readouterr().err.endswith("the following arguments are required: DESIGN (resatlas eject --help)\n")


def recipe_of(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, object]:
    """The recipe that --print-config prints."""
    assert main(("train", "resnet-20", *words, "--print-config", "--json")) == 0
    return json.loads(capsys.readouterr().out)["recipe"]


@pytest.mark.parametrize("recipe", ["quick", "wrn-cifar", "resnet-cifar-warm-up", "rsb-a2"])
def test_the_two_shorthands_are_settings(recipe: str, capsys: pytest.CaptureFixture[str]) -> None:
    """--lr is schedule.peak and --batch is batch, whatever the schedule."""
    batch = str(NAMED[recipe].batch // 2 or 1)
    group = ("--set", f"norm_group={batch}")
    short = recipe_of(capsys, "--recipe", recipe, "--lr", "0.02", "--batch", batch, *group)
    long = recipe_of(capsys, "--recipe", recipe, "--set", "schedule.peak=0.02", "--set", f"batch={batch}", *group)
    assert short == long
    assert short["batch"] == int(batch)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--lr 0.1 --set schedule.peak=0.1", "RecipeError: --lr is --set schedule.peak=…; use only one of the two"),
        ("--batch 8 --set batch=8", "RecipeError: --batch is --set batch=…; use only one of the two"),
        ("--lr fast", 'RecipeError: schedule.peak needs a number; got "fast"'),
        ("--batch 2.5", 'RecipeError: batch needs a whole number; got "2.5"'),
        ("--momentum 0.9", "it is a field of the recipe: --set optimizer.momentum=…"),
        ("--label-smoothing 0.1", "it is a field of the recipe: --set loss.smoothing=…"),
        ("--weight-decay 1", "it is a field of the recipe: --set decay.conv=… or --set decay.linear=… or "),
        ("--validation 0", "it is a field of the recipe: --set validation=…"),
        ("--learning-rate 0.1", 'no option of resatlas train "--learning-rate"; did you mean "--lr"?'),
        ("--batch-size 8", 'no option of resatlas train "--batch-size"; did you mean "--batch"?'),
        ("--patience 3 --recipe resnet-cifar-plateau", "--patience"),
        ("--epoch 3", 'no option of resatlas train "--epoch"; did you mean "--epochs"?'),
    ],
)
def test_names_of_settings_are_answered(words: str, sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A setting that is given twice, a wrong value, and fields of the recipe as options."""
    assert main(("train", "resnet-20", "--print-config", *words.split())) == 2
    err = capsys.readouterr().err
    assert sentence in err
    assert err.count("\n") == 1
