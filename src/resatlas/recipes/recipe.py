"""A recipe: everything that determines a training except the network, the data and the seed."""

import math
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Literal

from resatlas.arch.blueprint import Initial
from resatlas.arch.plan import Plan
from resatlas.errors import RecipeError
from resatlas.recipes.detection import Classify, Task
from resatlas.recipes.images import Centre, Standardise, Step, View, pipeline_fault
from resatlas.recipes.regularisers import CrossEntropy, Ema, Loss, Mixing, Shake, ShakeDrop, ShakeShake
from resatlas.recipes.schedule import Schedule, momentum_after_drop
from resatlas.values.codec import LATER

Form = Literal["plain", "nesterov", "caffe"]
Precision = Literal["fp32", "bf16", "fp16"]
PrecisionWanted = Literal[Precision, "auto"]


@dataclass(frozen=True, kw_only=True)
class Sgd:
    """Stochastic gradient descent with momentum m at learning rate a, over gradients g.

    plain: v <- m·v + g, w <- w - a·v. nesterov: w <- w - a·(g + m·v). caffe: v <- m·v + a·g, w <- w - v, which
    differs from plain only where the rate changes: the velocity keeps the old rate.
    """

    momentum: float = 0.9
    form: Form = "nesterov"


@dataclass(frozen=True, kw_only=True)
class Lamb:
    """Adam's direction u, in each parameter as long as the parameter: w <- w - a·(|w|/|u|)·u.

    m <- beta1·m + (1 - beta1)·g, v <- beta2·v + (1 - beta2)·g², u = m'/(sqrt(v') + eps) + decay·w, where m' and v' are
    m and v over 1 - beta^steps. The trust ratio |w|/|u| is 1 where a norm is 0, and where the weight decay is.
    Source: You et al. (arXiv:1904.00962), algorithm 2.
    Differs: the paper excepts no parameter; the exception without decay is that of timm's lamb.py, with which Wightman
    et al. (arXiv:2110.00476) trained. It also cuts gradients to norm 1, which is `Recipe.clip` here.
    """

    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-6

    def __post_init__(self) -> None:
        for name in ("beta1", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise RecipeError(f"{name} must be in [0, 1); got {getattr(self, name)}")
        if not 0 < self.eps < 1:
            raise RecipeError(f"eps must be between 0 and 1; got {self.eps}")


@dataclass(frozen=True, kw_only=True)
class Muon:
    """SGD in its nesterov form, but a convolution's kernel steps equally far in every direction.

    A kernel is a matrix, of a row for each output and a column for each value that it sees; of a grouped convolution
    one for each group. v <- m·v + g, w <- w - a·(ratio·O + decay·w), with O near sqrt(max(1, rows/columns))·U·V^T,
    where U·S·V^T = g + m·v: `ratio` is how far a kernel steps at rate 1, however long its gradient is.
    Source: Jordan et al., "Muon: an optimizer for hidden layers in neural networks" (2024,
    kellerjordan.github.io/posts/muon); the root of rows over columns is of the authors' muon.py.
    Differs: they leave the first layer, and what is no kernel, to AdamW, and orthogonalise in bfloat16; here the stem's
    kernel is one, SGD has the rest, and all is in the precision of the weights.
    """

    momentum: float = 0.9
    ratio: float = 0.35

    def __post_init__(self) -> None:
        if not 0 < self.ratio < math.inf:
            raise RecipeError(f"ratio is a finite number above 0; got {self.ratio}")


Optimizer = Sgd | Lamb | Muon


@dataclass(frozen=True, kw_only=True)
class Decay:
    """Weight decay by the kind of parameter that it acts on."""

    conv: float = 0.0
    linear: float = 0.0
    norm: float = 0.0
    bias: float = 0.0


def everywhere(rate: float) -> Decay:
    """The same weight decay on all parameters."""
    return Decay(conv=rate, linear=rate, norm=rate, bias=rate)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A training as one value.

    A training lasts `epochs`, or `iterations` where the source counts them. `leftover` is what becomes of the last,
    smaller batch; images in one `norm_group` share the statistics of their normalisations (None: the whole batch). An
    image comes `repeats` times in an epoch, drawn anew each time, so that as many batches show 1/repeats of the images.
    `clip` is the norm to which a longer gradient of all parameters is cut. `mixing` is how images are mixed: each batch
    by one of these, with equal probability, in a share `mixed` of the batches. `stochastic_depth` is the probability
    that the last unit drops its residual for an image; unit l of L drops it at l/L of that rate. `shake` is how
    residuals are weighted at random, forward and backward alike or apart. `average` is a moving
    average of the weights, which then is validated, tested and exported. `precision` is that of products and sums over
    channels; auto leaves it to the machine on which a run begins. `initial` is where the weights start, where the
    source says it; else the design's own rule holds. `dropouts` are the rates in the units with which the source
    trains. `steps` is what happens to each image, in order; `testing` begins with the view that is tested here.
    `validation` is the share of the training images held back; 0 trains on all. `task` is what is learnt of an image:
    its label, or, of data with objects, boxes or the classes of its pixels. `data` and `images` are the source's
    own; `reported` is what it reports; `unsettled` is what no source states, with our choice.
    """

    name: str
    source: str
    epochs: int
    batch: int
    schedule: Schedule
    iterations: int | None = None
    leftover: Literal["dropped", "kept"] = "dropped"
    norm_group: int | None = None
    repeats: int = 1
    optimizer: Optimizer = field(default_factory=Sgd)
    clip: float | None = None
    decay: Decay = field(default_factory=Decay)
    loss: Loss = field(default_factory=CrossEntropy)
    mixing: tuple[Mixing, ...] = ()
    mixed: Fraction = Fraction(1)
    stochastic_depth: Fraction = Fraction(0)
    shake: Shake | None = field(default=None, metadata=LATER)
    average: Ema | None = None
    precision: PrecisionWanted = "fp32"
    initial: Initial | None = None
    dropouts: tuple[float, ...] = (0.0,)
    steps: tuple[Step, ...] = (Standardise(),)
    testing: tuple[View, ...] = (Centre(),)
    validation: Fraction = Fraction(0)
    task: Task = field(default_factory=Classify, metadata=LATER)
    data: str = ""
    images: int | None = None
    reported: str = ""
    unsettled: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("epochs", "batch"):
            value = getattr(self, name)
            if not 1 <= value <= 10**6:
                raise RecipeError(f"{name} must be between 1 and 1,000,000; got {value}")
        if self.iterations is not None and not 1 <= self.iterations <= 10**9:
            raise RecipeError(f"iterations lie between 1 and 1,000,000,000; {self.iterations} do not")
        if self.norm_group is not None and not 1 <= self.norm_group <= self.batch:
            raise RecipeError(
                f"norm_group must be between 1 and {self.batch}, the batch; got {self.norm_group} "
                f"(set norm_group={self.batch} too)"
            )
        if not 1 <= self.repeats <= self.batch:
            raise RecipeError(f"an image is repeated 1 to {self.batch} times, a batch's images; got {self.repeats}")
        if not 0 <= self.validation <= Fraction(1, 2):
            raise RecipeError(f"validation is a share from 0 to 1/2 of the training images; got {self.validation}")
        fault = pipeline_fault(self.steps)
        if fault:
            raise RecipeError(fault)
        if not self.testing or not isinstance(self.testing[0], Centre) or self.testing[0].scale != 1:
            raise RecipeError("testing must begin with a centre view of the training's size")
        momentum = {"momentum": self.optimizer.momentum} if isinstance(self.optimizer, Sgd | Muon) else {}
        for name, rate in {**vars(self.decay), **momentum}.items():
            if not 0 <= rate < 1:
                raise RecipeError(f"{name} must be in [0, 1); got {rate}")
        if fault := _regularising_fault(self):
            raise RecipeError(fault)

    def trained(self, plan: Plan) -> Plan:
        """The plan of a network as this recipe trains it: with the recipe's initial weights, where it has them.

        Raises: RecipeError if its units do not have what the recipe shakes.
        """
        check_shake(self.shake, plan)
        return replace(plan, initial=self.initial) if self.initial else plan

    @property
    def view(self) -> Centre:
        """The view of the test: the first of `testing`."""
        first = self.testing[0]
        assert isinstance(first, Centre)  # noqa: S101 - as __post_init__ requires
        return first


def _regularising_fault(recipe: Recipe) -> str | None:
    """The fault in how a recipe regularises and optimises, or None."""
    if recipe.clip is not None and not (math.isfinite(recipe.clip) and recipe.clip > 0):
        return f"clip is a finite norm above 0; got {recipe.clip}"
    if not 0 < recipe.mixed <= 1:
        return f"mixed is a share above 0, up to 1, of the batches; got {recipe.mixed}"
    kinds = [type(mixing).__name__ for mixing in recipe.mixing]
    if len(set(kinds)) < len(kinds):
        return f"mixing takes each way once; {', '.join(kinds)} repeats one"
    if not 0 <= recipe.stochastic_depth < 1:
        return f"stochastic_depth is a rate from 0 to below 1; got {recipe.stochastic_depth}"
    if isinstance(recipe.shake, ShakeDrop) and recipe.stochastic_depth:
        return "a shake-drop contains stochastic depth; set stochastic_depth=0, or shake=none"
    if isinstance(recipe.optimizer, Lamb) and momentum_after_drop(recipe.schedule) == "reset":
        return "a drop resets the momentum of SGD and Muon alone; set schedule.momentum to kept for Lamb"
    return None


def check_shake(shake: Shake | None, plan: Plan) -> None:
    """Check that the units of a network have the two bodies that a shake-shake weights.

    Raises: RecipeError
    """
    if not isinstance(shake, ShakeShake):
        return
    for path, unit in plan.units:
        bodies = len(unit.streams[0].bodies) if unit.streams[0].merge == "sum" else 1
        if bodies != 2:
            raise RecipeError(
                f"shake-shake weights the two bodies of each unit; {path} has {bodies} (nearest: a design of two such "
                "as shake-shake-26-2x32d, or shake=shake-drop, which weights one)"
            )


def with_epochs(recipe: Recipe, epochs: int) -> Recipe:
    """The recipe with another number of epochs; drops and warm-up stay at the same share of the training.

    Raises: RecipeError if there is none.
    """
    return replace(recipe, epochs=epochs, iterations=None)


def steps_per_epoch(recipe: Recipe, images: int) -> int:
    """Batches of an epoch over so many images; one if they do not fill a batch."""
    whole, left = divmod(images, recipe.batch)
    return max(whole + (recipe.leftover == "kept" and left > 0), 1)


def steps_in_all(recipe: Recipe, images: int) -> int:
    """Batches of the whole training."""
    return recipe.iterations or recipe.epochs * steps_per_epoch(recipe, images)


def epochs_begun(recipe: Recipe, images: int) -> int:
    """Epochs of which the training has a batch: the last is not whole where iterations end it."""
    return math.ceil(Fraction(steps_in_all(recipe, images), steps_per_epoch(recipe, images)))
