"""Blueprints as TOML files: their content, the defaults of the order, and refusals."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from resatlas.arch.blueprint import MOST_UNITS, Blueprint, Head, Stem
from resatlas.arch.blueprint_file import read_blueprint
from resatlas.arch.expand import expand
from resatlas.arch.ops import Dropout, MaxPool, Norm, Relu, Shape
from resatlas.arch.plan import Plan
from resatlas.arch.residual import (
    BEFORE_POOL,
    ORDERS,
    Absent,
    Gating,
    Omit,
    OrderName,
    Projection,
    Residual,
    Shortcut,
    ZeroPad,
    basic,
)
from resatlas.arch.streams import MergeAndRun
from resatlas.arch.text import render
from resatlas.arch.widths import PerStage
from resatlas.designs.catalog import resolve
from resatlas.errors import UsageError
from tests.promptness import at_once

EXAMPLE = """\
schema = 1
name = "grouped pyramid in two streams"
image = [1, 32, 32]
classes = 10
units = [2, 2, 2]
[stem]
kernel = 3
width = 16
after = ["norm", "relu"]
[widths]
rule = "additive"     # start, alpha and multiple_of speak of the inner width
start = 16
alpha = 48
multiple_of = 8
expansion = 4
[residual]
convs = "bottleneck"
groups = 4
order = "post-activation"
shortcut = "projection"
[streams]
rule = "merge-and-run"
count = 2
join = "merge"
"""

SILENT = """\
schema = 1
name = "silent"
units = [1, 1]
[stem]
width = 16
[widths]
rule = "doubling"
start = 16
"""

PLANS = Path(__file__).parents[1] / "golden" / "plans"


def written(folder: Path, text: str) -> Path:
    """A file of this text."""
    path = folder / "net.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_example_has_its_plan(tmp_path: Path, golden: Callable[[Path, str], None]) -> None:
    """Every unit of the documented cross, with its widths and counts."""
    named = read_blueprint(written(tmp_path, EXAMPLE))
    assert (named.name, named.image, named.classes) == ("grouped pyramid in two streams", Shape(1, 32, 32), 10)
    golden(PLANS / "example.toml.txt", render(expand(named.blueprint, image=named.image, classes=named.classes)))


def test_a_silent_file_is_a_small_resnet(tmp_path: Path) -> None:
    """Basic bodies, post-activation, projections, one stream, for ten classes of 3x32x32."""
    named = read_blueprint(written(tmp_path, SILENT))
    assert (named.image, named.classes) == (Shape(3, 32, 32), 10)
    assert named.blueprint == Blueprint(
        stem=Stem(width=16), units=(1, 1), widths=PerStage((16, 32)), residual=Residual(convs=basic())
    )


def test_the_order_decides_where_the_file_is_silent(tmp_path: Path) -> None:
    """Pre-activated networks end in norm and relu, project bare, and share what the projection reads."""
    blueprint = read_blueprint(written(tmp_path, SILENT + '[residual]\norder = "pre-activation"\n')).blueprint
    assert blueprint.head == Head(before=(Norm(), Relu()))
    assert blueprint.residual.shortcut == Projection(after=())
    assert blueprint.residual.shares == ("network-start", "projected")
    pyramidal = read_blueprint(written(tmp_path, SILENT + '[residual]\norder = "pyramidal"\n')).blueprint
    assert pyramidal.head == Head(before=(Norm(), Relu()))
    assert pyramidal.residual.shortcut == Projection()
    assert pyramidal.residual.shares == ()


def test_the_file_decides_where_it_speaks(tmp_path: Path) -> None:
    """Head, dropout, pool, shares and opening are taken as written."""
    text = SILENT.replace("width = 16", 'width = 16\nkernel = 7\nstride = 2\nafter = []\npool = "max"')
    text += '[residual]\norder = "pre-activation"\nshares = []\nopening = "bare"\ndropout = 0.3\n'
    text += "[head]\nbefore = []\ndropout = 0.5\n"
    blueprint = read_blueprint(written(tmp_path, text)).blueprint
    assert blueprint.stem == Stem(kernel=7, width=16, stride=2, after=(), pool=MaxPool())
    assert blueprint.residual.shares == ()
    assert blueprint.residual.opening == "bare"
    assert blueprint.residual.order.between == (Norm(), Relu(), Dropout(0.3))
    assert blueprint.head == Head(dropout=Dropout(0.5))


@pytest.mark.parametrize("order", ORDERS)
def test_a_file_can_name_every_order(tmp_path: Path, order: OrderName) -> None:
    """The unit and the operations before the pool are those of the order."""
    blueprint = read_blueprint(written(tmp_path, SILENT + f'[residual]\norder = "{order}"\n')).blueprint
    assert blueprint.residual.order == ORDERS[order]
    assert blueprint.head == Head(before=BEFORE_POOL[order])


@pytest.mark.parametrize(
    ("word", "shortcut"),
    [
        ("projection", Projection()),
        ("projection-strided", Projection(where="strided")),
        ("projection-everywhere", Projection(where="everywhere")),
        ("zero-pad", ZeroPad()),
        ("zero-pad-sides", ZeroPad(place="sides")),
        ("zero-pad-average", ZeroPad(subsample="average")),
        ("projection-shifted", Projection(subsample="shifted")),
        ("omit", Omit()),
        ("absent", Absent()),
    ],
)
def test_a_file_can_name_every_shortcut(tmp_path: Path, word: str, shortcut: Shortcut) -> None:
    """One word each; with pre-activation, projections have no norm."""
    text = SILENT + f'[residual]\nshortcut = "{word}"\n'
    assert read_blueprint(written(tmp_path, text)).blueprint.residual.shortcut == shortcut
    bare = replace(shortcut, after=()) if isinstance(shortcut, Projection) else shortcut
    text += 'order = "pre-activation"\n'
    assert read_blueprint(written(tmp_path, text)).blueprint.residual.shortcut == bare


def test_a_file_can_modify_its_shortcuts(tmp_path: Path) -> None:
    """The word is that of the designs, and works in any order."""
    text = SILENT + '[residual]\norder = "last-norm"\nmodified = "exclusive-gate-b-6"\n'
    residual = read_blueprint(written(tmp_path, text)).blueprint.residual
    assert residual.gate == Gating(bias=-6, scales="both")
    assert residual.order == ORDERS["last-norm"]


def test_a_file_can_run_streams_apart(tmp_path: Path) -> None:
    """Skip, join and stems of the streams are taken as written."""
    text = SILENT + '[streams]\nrule = "merge-and-run"\ncount = 3\nskip = "swap"\njoin = "logits"\n'
    shared = MergeAndRun(count=3, skip="swap", join="logits")
    assert read_blueprint(written(tmp_path, text)).blueprint.streams == shared
    text += 'stems = "separate"\n'
    assert read_blueprint(written(tmp_path, text)).blueprint.streams == replace(shared, stems="separate")


BARE_STEM = "width = 16\nafter = []"


@pytest.mark.parametrize(
    ("name", "units", "stem", "widths", "rest"),
    [
        (
            "resnet-20",
            3,
            "width = 16",
            'rule = "doubling"\nstart = 16',
            '[residual]\nshortcut = "zero-pad"\n',
        ),
        ("plain-20", 3, "width = 16", 'rule = "doubling"\nstart = 16', '[residual]\nshortcut = "absent"\n'),
        ("resnet-20-B", 3, "width = 16", 'rule = "per-stage"\nwidths = [16, 32, 64]', ""),
        (
            "resnet-20-C",
            3,
            "width = 16",
            'rule = "doubling"\nstart = 16',
            '[residual]\nshortcut = "projection-everywhere"\n',
        ),
        (
            "resnet-29-bottleneck",
            3,
            "width = 16",
            'rule = "doubling"\nstart = 64',
            '[residual]\nconvs = "bottleneck"\nstrided = "first"\n',
        ),
        (
            "preact-resnet-20",
            3,
            BARE_STEM,
            'rule = "doubling"\nstart = 16',
            '[residual]\norder = "pre-activation"\nshortcut = "zero-pad"\n',
        ),
        (
            "resnext-29-32x4d",
            3,
            "width = 64",
            'rule = "doubling"\nstart = 256',
            '[residual]\nconvs = "bottleneck"\ninner = "1/2"\ngroups = 32\n',
        ),
        (
            "pyramidnet-20-a48",
            3,
            'width = 16\nafter = ["norm"]',
            'rule = "additive"\nstart = 16\nalpha = 48',
            '[residual]\norder = "pyramidal"\nshortcut = "zero-pad-average"\n',
        ),
        (
            "resnet-20-A-sides",
            3,
            "width = 16",
            'rule = "doubling"\nstart = 16',
            '[residual]\nshortcut = "zero-pad-sides"\n',
        ),
        (
            "resnet-20-bn-after-add-shortcut-dropout-0.5",
            3,
            "width = 16",
            'rule = "doubling"\nstart = 16',
            '[residual]\norder = "bn-after-add"\nshortcut = "zero-pad"\nmodified = "dropout-0.5"\n',
        ),
        (
            "resnet-20-1-layer-skip",
            6,
            "width = 16",
            'rule = "doubling"\nstart = 16',
            '[residual]\nkernels = [3]\nshortcut = "zero-pad"\n',
        ),
        (
            "pyramidnet-20-a48-unit-b-projection-strided",
            3,
            'width = 16\nafter = ["norm"]',
            'rule = "additive"\nstart = 16\nalpha = 48',
            '[residual]\norder = "no-first-relu"\nshortcut = "projection-strided"\n',
        ),
        (
            "pyramidnet-20-m4.75",
            3,
            'width = 16\nafter = ["norm"]',
            'rule = "multiplicative"\nstart = 16\nalpha = 4.75',
            '[residual]\norder = "pyramidal"\nshortcut = "zero-pad-average"\n',
        ),
    ],
)
def test_a_file_can_say_the_papers_networks(
    tmp_path: Path, name: str, units: int, stem: str, widths: str, rest: str
) -> None:
    """The blueprint that a file describes is that of the design."""
    text = f'schema = 1\nname = "{name}"\nunits = {[units] * 3}\n[stem]\n{stem}\n[widths]\n{widths}\n{rest}'
    assert read_blueprint(written(tmp_path, text)).blueprint == resolve(name).blueprint


def expanded(path: Path) -> Plan:
    """The plan of a file."""
    named = read_blueprint(path)
    return expand(named.blueprint, image=named.image, classes=named.classes)


def refusal(path: Path) -> str:
    """The message of a refused file: one line, quickly, with the exit code of a usage error."""
    with at_once(), pytest.raises(UsageError) as error:
        expanded(path)
    assert error.value.exit_code == 2
    message = str(error.value).replace(str(path), "net.toml")
    assert "\n" not in message
    assert len(message) < 500
    return message


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("schema = 1", "schema = 2", "net.toml: expected schema = 1, got 2"),
        ("schema = 1\n", "", "net.toml: expected schema = 1, got none"),
        ("schema = 1", "schema = true", "net.toml.schema: expected a whole number, got true or false"),
        ("name =", "nam =", 'net.toml: no key "nam"; did you mean "name"?'),
        ("units =", "unit =", 'net.toml: no key "unit"; did you mean "units"?'),
        ("[stem]", "[stm]", 'net.toml: no key "stm"; did you mean "stem"?'),
        ("[streams]", "[stream]", 'net.toml: no key "stream"; did you mean "streams"?'),
        ("[widths]", "[width]", 'net.toml: table "widths" is missing'),
        ("kernel = 3", "kernle = 3", 'net.toml.stem: no key "kernle"; did you mean "kernel"?'),
        ("kernel = 3", "kernel = 4", "a kernel is odd and at most 15, so that padding centres it; got 4"),
        ("kernel = 3", "kernel = 3\nkernel = 3", "net.toml: not valid TOML: Cannot overwrite a value"),
        ("[stem]", "[stem]\n[stem]", "net.toml: not valid TOML: Cannot declare ('stem',) twice"),
        ("width = 16", "width = 16.0", "net.toml.stem.width: expected a whole number, got a number"),
        ("width = 16", 'width = "16"', "net.toml.stem.width: expected a whole number, got a text"),
        ("width = 16", "width = nan", "net.toml.stem.width: expected a whole number, got a number"),
        ("width = 16", "width = 0", "a unit is 1 to 65,536 channels wide; got 0"),
        ("width = 16", "width = 1979-05-27", "net.toml.stem.width: expected a whole number, got a date"),
        ('"norm", "relu"', '"nrom"', 'net.toml.stem.after[0]: no value "nrom"; did you mean "norm"?'),
        ("name = ", "name = 3 # ", "net.toml.name: expected a text, got a whole number"),
        ("[1, 32, 32]", "[32, 32]", "net.toml.image: 3 numbers (channels, height, width), not 2"),
        ("[1, 32, 32]", "[1, 32, -1]", "an image is 1-1024 channels of up to 4096x4096 pixels; got 1x32x-1"),
        ("[1, 32, 32]", "[1, 2, 2]", "a map of 1x1 pixels is too small for a stride of 2; give a larger image"),
        ("classes = 10", "classes = -10", "a network has 0 (no classifier) to 1,000,000 classes; got -10"),
        ("classes = 10", "classes = 1e3", "net.toml.classes: expected a whole number, got a number"),
        ("[2, 2, 2]", "[1000000000]", f"a network has at most {MOST_UNITS:,} units; got 1,000,000,000"),
        ("[2, 2, 2]", "[0]", "every stage has at least 1 unit; got [0]"),
        ("[2, 2, 2]", "[]", "a network has 1 to 8 stages; got 0"),
        ("[2, 2, 2]", "[2.0]", "net.toml.units[0]: expected a whole number, got a number"),
        ("[2, 2, 2]", "2", "net.toml.units: expected a list, got a whole number"),
        ('"additive"', '"aditive"', 'net.toml: widths: no rule "aditive"; did you mean "additive"?'),
        ("start = 16", "strat = 16", 'net.toml: widths: no key "strat"; did you mean "start"?'),
        ("start = 16\n", "", 'net.toml: widths: key "start" is missing'),
        ("alpha = 48", "alpha = -48", "an additive pyramid widens by alpha >= 0 channels; got -48"),
        (
            "alpha = 48",
            "alpha = nan",
            'net.toml: widths.alpha: expected a fraction such as "1/4" or 0.25, got "nan"',
        ),
        (
            "alpha = 48",
            "alpha = inf",
            'net.toml: widths.alpha: expected a fraction such as "1/4" or 0.25, got "inf"',
        ),
        (
            "alpha = 48",
            'alpha = "1e9999999"',
            'net.toml: widths.alpha: expected a fraction such as "1/4" or 0.25, got "1e9999999"',
        ),
        ("groups = 4", "groups = 5", "5 groups do not divide 24 channels (nearest: 20, 25)"),
        ("groups = 4", "groups = 0", "a convolution has at least 1 group; got 0"),
        ("groups = 4", "group = 4", 'net.toml.residual: no key "group"; did you mean "groups"?'),
        ("groups = 4", '_target_ = "os.system"', None),
        ("groups = 4", "dropout = nan", "a dropout rate must be in [0, 1); got nan"),
        ("groups = 4", "dropout = inf", "a dropout rate must be in [0, 1); got inf"),
        ("groups = 4", "dropout = -0.5", "a dropout rate must be in [0, 1); got -0.5"),
        ("groups = 4", "inner = 0", "a convolution's width is a positive share of the unit's output; got 0"),
        ("groups = 4", 'inner = "1/7"', "a share of 1/7 of 96 channels is not a whole number"),
        ('"bottleneck"', '"bottlneck"', 'net.toml.residual.convs: no value "bottlneck"; did you mean "bottleneck"?'),
        ('"projection"', '"projecton"', None),
        (
            "groups = 4",
            'modified = "halved"',
            "a shortcut is modified by scale-0.5-0.5, exclusive-gate-b-6, shortcut-gate-b-6 or dropout-0.5, "
            'with any numbers, or by none; got "halved"',
        ),
        ("groups = 4", 'modified = "scale-0-1"', "a constant factor must be in (0, 1024]; got 0"),
        ("groups = 4", "modified = 0.5", "net.toml.residual.modified: expected a text, got a number"),
        ('"post-activation"', '"postactivation"', None),
        ('join = "merge"', 'skip = "swop"', 'net.toml: streams.skip: no value "swop"; did you mean "swap"?'),
        ('join = "merge"', 'stems = "own"', 'net.toml: streams.stems: no value "own"; there are shared, separate'),
        ("count = 2", "count = 0", "merge-and-run has 1 to 64 streams; got 0"),
        ("count = 2", "count = 1000000000", "merge-and-run has 1 to 64 streams; got 1000000000"),
        ('"merge-and-run"', '"merge-and-rnu"', None),
        ('join = "merge"', 'join = "marge"', 'net.toml: streams.join: no value "marge"; did you mean "merge"?'),
        ('join = "merge"', "jion = 1", 'net.toml: streams: no key "jion"; did you mean "join"?'),
        ("[streams]", "[streams.rule]", None),
    ],
)
def test_what_is_no_blueprint_is_told(tmp_path: Path, old: str, new: str, words: str | None) -> None:
    """One line: the place, what was given, what is allowed, the nearest right word."""
    assert old in EXAMPLE
    said = refusal(written(tmp_path, EXAMPLE.replace(old, new, 1)))
    assert words is None or said.startswith(words)


@pytest.mark.parametrize(
    "value", ["0x" + "f" * 5_000, "-0x" + "f" * 5_000, "9" * 4_000, "1e300", '"a\\nb"', '"' + "a" * 5_000 + '"']
)
@pytest.mark.parametrize("key", ["schema", "classes", "units", "width", "groups", "count", "alpha", "start"])
def test_absurd_values_are_refused_in_one_short_line(tmp_path: Path, key: str, value: str) -> None:
    """Numbers of thousands of digits and texts of several lines neither break the message nor fill the screen."""
    lines = [f"{key} = {value}" if line.startswith(f"{key} = ") else line for line in EXAMPLE.splitlines()]
    refusal(written(tmp_path, "\n".join(lines)))


def test_more_convolutions_than_any_unit_has_are_refused(tmp_path: Path) -> None:
    """A file cannot ask for a unit of thousands of convolutions."""
    refusal(written(tmp_path, SILENT + f"[residual]\nkernels = {[3] * 5_000}\n"))


def test_a_key_too_deep_to_show_is_refused_in_one_line(tmp_path: Path) -> None:
    """A dotted key of thousands of parts in place of a fraction is refused normally."""
    refusal(written(tmp_path, EXAMPLE.replace("groups = 4", "inner." + '"a".' * 3_000 + '"a" = 1')))


def test_no_file_runs_anything(tmp_path: Path) -> None:
    """A tag that other readers obey makes no file, only a refusal."""
    mark = tmp_path / "mark"
    said = refusal(written(tmp_path, f'!!python/object/apply:os.system ["touch {mark}"]\n' + EXAMPLE))
    assert said.startswith("net.toml: not valid TOML: ")
    assert not mark.exists()
