"""Any field of a recipe can be set anew by its name; what is no field or no value is answered in words."""

from dataclasses import replace
from fractions import Fraction

import pytest

from resatlas.errors import RecipeError, UnknownName, UsageError
from resatlas.recipes.catalog import NAMED, resolve
from resatlas.recipes.images import Flip, ShorterSide, Standardise
from resatlas.recipes.recipe import Decay, Lamb, Recipe, Sgd
from resatlas.recipes.regularisers import BinaryCrossEntropy, CrossEntropy, Cutmix, Ema, Mixup
from resatlas.recipes.schedule import Cosine, OneCycle, rate
from resatlas.recipes.settings import with_settings

QUICK = NAMED["quick"]
PEAK = float(QUICK.schedule.peak)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ((), QUICK),
        (("epochs=3",), replace(QUICK, epochs=3)),
        (("epochs=3", "batch=7"), replace(QUICK, epochs=3, batch=7)),
        (("schedule.peak=0.2",), replace(QUICK, schedule=OneCycle(peak=0.2, rise=Fraction(1, 4)))),
        (("schedule.peak=1",), replace(QUICK, schedule=OneCycle(peak=1.0, rise=Fraction(1, 4)))),
        (("schedule.peak=1e-3",), replace(QUICK, schedule=OneCycle(peak=0.001, rise=Fraction(1, 4)))),
        (("schedule.rise=1/3",), replace(QUICK, schedule=OneCycle(peak=PEAK, rise=Fraction(1, 3)))),
        (("schedule.rise=0.3",), replace(QUICK, schedule=OneCycle(peak=PEAK, rise=Fraction(3, 10)))),
        (("validation=0",), replace(QUICK, validation=Fraction(0))),
        (("optimizer=sgd", "optimizer.form=plain"), replace(QUICK, optimizer=Sgd(momentum=0.9, form="plain"))),
        (("decay.norm=1e-4", "decay.conv=0"), replace(QUICK, decay=Decay(conv=0.0, linear=5e-4, norm=1e-4))),
        (("name=mine",), replace(QUICK, name="mine")),
        (("loss.smoothing=0.2",), replace(QUICK, loss=CrossEntropy(smoothing=0.2))),
        (
            ("loss.smoothing=0.2", "loss=binary-cross-entropy"),
            replace(QUICK, loss=BinaryCrossEntropy(smoothing=0.2)),
        ),
        (
            ("loss.present_above=0.2", "loss=binary-cross-entropy"),
            replace(QUICK, loss=BinaryCrossEntropy(smoothing=QUICK.loss.smoothing, present_above=0.2)),
        ),
        (("average.decay=0.9",), replace(QUICK, average=Ema(decay=0.9))),
        (("average=ema", "average.every=8"), replace(QUICK, average=Ema(every=8))),
        (("average=none",), QUICK),
        (("mixing=mixup,cutmix", "mixed=1/2"), replace(QUICK, mixing=(Mixup(), Cutmix()), mixed=Fraction(1, 2))),
        (("mixing=none",), QUICK),
        (("optimizer.eps=1e-8", "optimizer=lamb"), replace(QUICK, optimizer=Lamb(eps=1e-8))),
        (("clip=1",), replace(QUICK, clip=1.0)),
        (
            ("schedule=cosine", "schedule.warm_up=1/20"),
            replace(QUICK, schedule=Cosine(peak=Fraction(str(PEAK)), warm_up=Fraction(1, 20))),
        ),
        (("dropouts=0,0.3",), replace(QUICK, dropouts=(0.0, 0.3))),
        (("steps=standardise,flip",), replace(QUICK, steps=(Standardise(), Flip()))),
        (
            ("steps.shorter-side.lengths=480,600", "steps=shorter-side,standardise", "steps.shorter-side.longest=900"),
            replace(QUICK, steps=(ShorterSide(lengths=(480, 600), longest=900), Standardise())),
        ),
        (
            ("mixing=mixup,cutmix", "mixing.cutmix.alpha=0.5"),
            replace(QUICK, mixing=(Mixup(), Cutmix(alpha=0.5))),
        ),
    ],
)
def test_a_field_is_set_by_its_name(settings: tuple[str, ...], expected: Recipe) -> None:
    """A dot enters a field; nothing else changes."""
    assert with_settings(QUICK, settings) == expected


WRONG = (
    *("foo=1", "foo.bar=1", "schedule.foo=1", "epochs.x=1", "images.x=1", "steps.x=1", "initial.x=1", "average.x=1"),
    *(
        "schedule.warm_up.x=1",
        "schedule..peak=1",
        ".peak=1",
        "schedule.=1",
        ".=1",
        "decay=1",
        "epochs=ten",
        "steps=foo",
    ),
    *(
        "steps=foo",
        "mixing=foo",
        "schedule=foo",
        "schedule=steps,cosine",
        "optimizer=none",
        "initial=foo",
        "loss.smoothing=nan",
    ),
    *("validation=1/0", "schedule.peak=nan", "schedule.peak=1e999", "testing=none", "batch=99999999999999999999999"),
)


@pytest.mark.parametrize("name", NAMED)
def test_a_wrong_setting_is_refused_in_every_recipe(name: str) -> None:
    """Whatever kinds its parts have and whichever of them are none: one line."""
    for setting in WRONG:
        with pytest.raises(UsageError) as refused:
            with_settings(NAMED[name], (setting,))
        assert "\n" not in str(refused.value)


def test_a_schedule_may_lose_its_drops() -> None:
    """The rate then stays; drops that do not grow are refused."""
    recipe = NAMED["wrn-cifar"]
    constant = with_settings(recipe, ("schedule.drops=none",)).schedule
    assert [rate(constant, Fraction(k, 4)) for k in range(4)] == [float(recipe.schedule.peak)] * 4
    for drops in ("1/2,1/3", "0,1/2", "1/2,1", "1/2,1/2"):
        with pytest.raises(RecipeError, match="drops are growing shares"):
            with_settings(recipe, (f"schedule.drops={drops}",))


def test_the_recipe_itself_stays() -> None:
    """Settings make another value."""
    before = repr(QUICK)
    with_settings(QUICK, ("epochs=3", "schedule.peak=0.2"))
    assert repr(QUICK) == before


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("epoch=3", 'no recipe field "epoch"; did you mean "epochs"?'),
        ("schedule.peek=0.2", 'no recipe field "schedule.peek"; did you mean "schedule.peak"?'),
        ("shedule.peak=0.2", 'no recipe field "shedule.peak"; did you mean "schedule.peak"?'),
        ("decay.convs=0.2", 'no recipe field "decay.convs"; did you mean "decay.conv"?'),
        (
            "steps.lighting.std=1/2",
            'steps.lighting.std: steps has no "lighting"; set the whole of it too, as in '
            "steps=lighting,standardise,pad-crop,flip",
        ),
        ("epochs.first=3", 'no recipe field "epochs.first"; did you mean "epochs"?'),
        ("__class__=3", 'no recipe field "__class__"; '),
        ("schedule.__init__=3", 'no recipe field "schedule.__init__"; '),
    ],
)
def test_a_wrong_key_is_answered_with_the_nearest(setting: str, sentence: str) -> None:
    """The key as it was given, and the whole right one."""
    with pytest.raises(UnknownName) as refused:
        with_settings(QUICK, (setting,))
    assert str(refused.value).startswith(sentence)


@pytest.mark.parametrize(
    "setting",
    [
        "epochs=1.5",
        "epochs=many",
        "epochs=true",
        "epochs=none",
        "epochs=99999999999999999999999999",
        "epochs=0",
        "epochs=-1",
        "epochs=1000000000",
        "batch=0",
        "schedule.peak=nan",
        "schedule.peak=inf",
        "schedule.peak=-0.1",
        "schedule.peak=0",
        "schedule.peak=1/10",
        "schedule.rise=1/0",
        "schedule.rise=1e400",
        "schedule.rise=nan",
        "validation=-1/8",
        "validation=1",
        "decay.conv=nan",
        "decay.conv=inf",
        "decay.conv=-1",
        "optimizer.momentum=-inf",
        "optimizer.momentum=1",
        "optimizer.form=nestrov",
        "optimizer=adam",
        "optimizer.eps=1e-8",
        "schedule=steps",
        "schedule=line",
        "decay=0.1",
        "loss=none",
        "loss.smoothing=1",
        "mixing=mixup,mixup",
        "mixing=cutmixup",
        "mixed=0",
        "average=0.9",
        "average.decay=1",
        "average.every=0",
        "stochastic_depth=1",
        "clip=0",
        "clip=nan",
    ],
)
def test_a_wrong_value_is_refused_with_its_key(setting: str) -> None:
    """Wrong types, values out of bounds and whole parts are usage errors of one line that name the field."""
    key = setting.partition("=")[0]
    with pytest.raises(UsageError) as refused:
        with_settings(QUICK, (setting,))
    assert key.rpartition(".")[2] in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("setting", ["epochs", "epochs=", "=3", "", "=", "epochs 3", "epochs:3"])
def test_a_setting_is_written_with_an_equals_sign(setting: str) -> None:
    """Anything else is no setting."""
    with pytest.raises(UsageError):
        with_settings(QUICK, (setting,))


def test_a_setting_is_given_once() -> None:
    """Twice the same key is a slip, also with the same value."""
    with pytest.raises(RecipeError, match=r'setting "schedule\.peak" is given twice'):
        with_settings(QUICK, ("schedule.peak=0.2", "epochs=3", "schedule.peak=0.2"))


def test_a_wrong_recipe_is_answered_with_the_nearest() -> None:
    """Recipes are found by name."""
    assert resolve("quick") is QUICK
    with pytest.raises(
        UnknownName, match=r'^no recipe "qick"; did you mean "quick"\? \(all: resatlas list --recipes\)$'
    ):
        resolve("qick")


@pytest.mark.parametrize("error", [RecipeError, UnknownName])
def test_wrong_settings_are_usage_errors(error: type[UsageError]) -> None:
    """The command line ends with 2 for them."""
    assert error.exit_code == 2


def test_settings_count_together() -> None:
    """What fits at the end is no error on the way, in any order."""
    for settings in (("norm_group=100", "batch=128"), ("batch=128", "norm_group=100")):
        assert with_settings(QUICK, settings) == replace(QUICK, batch=128, norm_group=100)


def test_epochs_end_what_iterations_would() -> None:
    """Setting epochs is scaling; setting both is the caller's word."""
    recipe = NAMED["resnet-cifar"]
    assert with_settings(recipe, ("epochs=3",)).iterations is None
    assert with_settings(recipe, ("epochs=3", "iterations=7")).iterations == 7
