"""A recipe as text, one fact per line."""

import math
from collections.abc import Iterator
from fractions import Fraction
from typing import assert_never

from resatlas.recipes.detection import Classify
from resatlas.recipes.images import (
    NORMALISATIONS,
    AreaCrop,
    Centre,
    ColourJitter,
    Erase,
    Flip,
    Flips,
    HslJitter,
    Lighting,
    MultiScale,
    Normalisation,
    PadCrop,
    RandAugment,
    Rescale,
    ScaleCrop,
    ShorterSide,
    Standardise,
    Step,
    SubtractMeanImage,
    TenCrops,
    TrivialAugment,
    View,
    Whiten,
    pixels,
)
from resatlas.recipes.recipe import Lamb, Muon, Optimizer, Recipe, Sgd, steps_in_all, steps_per_epoch
from resatlas.recipes.regularisers import (
    BinaryCrossEntropy,
    CrossEntropy,
    Cutmix,
    Ema,
    Loss,
    Mixing,
    Mixup,
    Shake,
    ShakeDrop,
    ShakeShake,
)
from resatlas.recipes.schedule import Cosine, OneCycle, Plateau, Schedule, Steps, momentum_after_drop, rate, turns
from resatlas.recipes.task_text import task_facts
from resatlas.values.text import counted

USUAL = 224
"""The image side at which shares of a photograph's scale are printed in pixels."""


def render(recipe: Recipe) -> str:
    """All facts of a recipe, in the order of a training."""
    facts = list(_facts(recipe))
    span = max(len(name) for name, _ in facts)
    return "\n".join(f"{name.ljust(span)}  {value}".rstrip() for name, value in facts)


def changes(schedule: Schedule, steps: int) -> Iterator[tuple[int, float, str]]:
    """(step counted from 0, learning rate from there on, what the change does to the momentum).

    A plateau's drops and an early end of a warm-up depend on the training, and are not here.
    """
    before: float | None = None
    for turn in turns(schedule):
        step = math.ceil(turn * steps)
        now = rate(schedule, Fraction(step, steps))
        drop = before is not None and now < before
        yield step, now, f"momentum {momentum_after_drop(schedule)}" if drop else ""
        before = now


def _facts(recipe: Recipe) -> Iterator[tuple[str, str]]:
    yield "recipe", recipe.name
    yield "source", recipe.source
    yield "data", f"{recipe.data or 'any'}{f', {recipe.images:,} images' if recipe.images else ''}"
    yield "length", _length(recipe)
    yield "batch", f"{recipe.batch} images, the batch that an epoch cannot fill is {recipe.leftover}"
    group = "those of the batch" if recipe.norm_group is None else str(recipe.norm_group)
    if recipe.repeats > 1:
        yield "repeats", f"{recipe.repeats} of each image, drawn anew; an epoch shows 1/{recipe.repeats} of the images"
    yield "norm group", f"images that share statistics: {group}"
    yield "optimizer", _optimizer(recipe.optimizer)
    if recipe.clip is not None:
        yield "clipped", f"gradients of all parameters to a norm of {recipe.clip:g}"
    yield from (("learning rate" if k == 0 else "", line) for k, line in enumerate(_rates(recipe)))
    decay = recipe.decay
    kinds = {"convolutions": decay.conv, "classifier": decay.linear, "norms": decay.norm, "biases": decay.bias}
    yield "weight decay", ", ".join(f"{kind} {rate:g}" for kind, rate in kinds.items())
    if recipe.precision != "fp32":
        yield "precision", "that of the machine on which it begins" if recipe.precision == "auto" else recipe.precision
    yield "start", _start(recipe)
    if recipe.loss != CrossEntropy():
        yield "loss", _loss(recipe.loss)
    yield "dropout", f"rates in the units: {', '.join(f'{rate:g}' for rate in recipe.dropouts)}"
    if recipe.stochastic_depth:
        yield (
            "depth",
            f"residuals lost at random, at rates in a line to {float(recipe.stochastic_depth):g} (last unit)",
        )
    if recipe.shake:
        yield from (("shaken" if k == 0 else "", line) for k, line in enumerate(_shake(recipe.shake)))
    if recipe.average:
        yield "average", _average(recipe.average)
    yield from (("images" if k == 0 else "", f"{k + 1}. {_step_text(step)}") for k, step in enumerate(recipe.steps))
    if any(isinstance(step, PadCrop) and step.fill == "zeros" for step in recipe.steps):
        yield "", f"zeros are {_zeros(recipe.steps) if isinstance(recipe.task, Classify) else 'black'}"
    if recipe.mixing:
        share = "every batch" if recipe.mixed == 1 else f"{recipe.mixed} of the batches"
        yield "mixed", f"{share} by {' or '.join(map(_mixing, recipe.mixing))}"
    held = f"{recipe.validation} of the training images" if recipe.validation else "none of the training images"
    yield "held back", held
    if isinstance(recipe.task, Classify):
        yield from (("tested" if k == 0 else "and there", view_text(view)) for k, view in enumerate(recipe.testing))
    yield from task_facts(recipe.task)
    if recipe.reported:
        yield "reported", recipe.reported
    yield from (("unsettled" if k == 0 else "", choice) for k, choice in enumerate(recipe.unsettled))


def _zeros(steps: tuple[Step, ...]) -> str:
    """The colour of padding by zeros."""
    kinds = [type(step) for step in steps]
    normalised = next(k for k, kind in enumerate(kinds) if kind in NORMALISATIONS)
    return "black" if kinds[normalised] is Rescale or kinds.index(PadCrop) < normalised else "the mean colour"


def _length(recipe: Recipe) -> str:
    if recipe.images is None:
        return counted(recipe.epochs, "epoch")
    in_epoch, steps = steps_per_epoch(recipe, recipe.images), steps_in_all(recipe, recipe.images)
    ends = f"{steps:,} iterations, in epoch {recipe.epochs}" if recipe.iterations else counted(recipe.epochs, "epoch")
    return f"{ends}; {in_epoch:,} iterations an epoch of {recipe.images:,} images"


def _optimizer(optimizer: Optimizer) -> str:
    match optimizer:
        case Sgd(momentum=momentum, form=form):
            return f"SGD, momentum {momentum:g}, {form}"
        case Lamb(beta1=beta1, beta2=beta2, eps=eps):
            return f"LAMB, betas {beta1:g} and {beta2:g}, eps {eps:g}"
        case Muon(momentum=momentum, ratio=ratio):
            return f"Muon, momentum {momentum:g}, kernels at {ratio:g} of the rate; SGD, nesterov, for the rest"
        case _:
            assert_never(optimizer)


_SHARES = {"shake": "drawn from U(0, 1)", "even": "one half", "keep": "the same"}


def _shake(shake: Shake) -> Iterator[str]:
    match shake:
        case ShakeShake(forward=forward, backward=backward, level=level):
            anew = " anew" if (forward, backward) == ("shake", "shake") else ""
            yield f"shares of two bodies, for each {level}: {_SHARES[forward]}; in gradients {_SHARES[backward]}{anew}"
        case ShakeDrop(alpha=alpha, beta=beta, gates=gates, level=level):
            yield f"residuals kept with probabilities in a line to {float(shake.last):g} (last unit), for each {gates}"
            a, b = (f"U({', '.join(f'{bound:g}' for bound in bounds)})" for bounds in (alpha, beta))
            yield f"else times {a}, in gradients times {b}, for each {level}; all over the mean of the factors"
        case _:
            assert_never(shake)


def _loss(loss: Loss) -> str:
    smoothed = f", labels smoothed by {loss.smoothing:g}" if loss.smoothing else ""
    match loss:
        case CrossEntropy():
            return f"cross-entropy{smoothed}"
        case BinaryCrossEntropy(present_above=None):
            return f"binary cross-entropy, mean over the classes{smoothed}"
        case BinaryCrossEntropy(present_above=least):
            return f"binary cross-entropy, mean over the classes{smoothed}, targets above {least:g} as 1, others as 0"
        case _:
            assert_never(loss)


def _mixing(mixing: Mixing) -> str:
    match mixing:
        case Mixup(alpha=alpha):
            return f"mixup, alpha {alpha:g}"
        case Cutmix(alpha=alpha):
            return f"CutMix, alpha {alpha:g}"
        case _:
            assert_never(mixing)


def _average(average: Ema) -> str:
    often = "every step" if average.every == 1 else f"every {average.every} steps"
    begins = f", from {average.begins} of the training on" if average.begins else ""
    return f"of the weights, decay {average.decay:g}, {often}{begins}; it is what is tested"


def _rates(recipe: Recipe) -> Iterator[str]:
    match recipe.schedule:
        case OneCycle(peak=peak, rise=rise):
            yield f"0 to {peak:g} in a line over {rise} of the training, then half a cosine to 0"
        case Cosine():
            yield from _cosine(recipe.schedule)
        case Plateau(peak=peak, factor=factor, patience=patience):
            yield f"{float(peak):g}, times {factor} after {patience} epochs without a lower error"
        case Steps(warm_up=warm_up):
            for step, now, note in changes(recipe.schedule, _steps(recipe)):
                yield f"{_when(recipe, step)} {now:g}{f', {note}' if note else ''}"
            if warm_up and warm_up.below_percent is not None:
                yield f"the warm-up ends earlier if the training error falls below {float(warm_up.below_percent):g} %"
        case _:
            assert_never(recipe.schedule)


def _cosine(schedule: Cosine) -> Iterator[str]:
    peak, start, floor = (f"{float(value):g}" for value in (schedule.peak, schedule.start, schedule.floor))
    over = ""
    if schedule.warm_up:
        yield f"{start} to {peak} in a line over {schedule.warm_up} of the training"
        over = " over the rest" if schedule.counts_from == "warm-up" else " over the whole training, joined there"
    yield f"{peak} to {floor} in half a cosine{over}"
    yield "moves with every step" if schedule.moves == "steps" else "moves with every epoch"


def _when(recipe: Recipe, step: int) -> str:
    """The place of a change: finished epochs, and the step by number where the source's data are known."""
    if step == 0:
        return "from the start"
    if recipe.images is None:
        return f"after {step:,} of {_steps(recipe):,}"
    epochs = Fraction(step, steps_per_epoch(recipe, recipe.images))
    return f"after {float(epochs):.6g} epochs, {step:,} iterations:"


def _steps(recipe: Recipe) -> int:
    return steps_in_all(recipe, recipe.images) if recipe.images else recipe.epochs


def _start(recipe: Recipe) -> str:
    if recipe.initial is None:
        return "as the design says"
    scale = "1" if recipe.initial.scale == "one" else "uniform in (0, 1)"
    return f"convolutions normal(0, 2/fan-{recipe.initial.fan}), scale of norms {scale}"


def _step_text(step: Step) -> str:
    """One step on an image in words."""
    match step:
        case Standardise() | SubtractMeanImage() | Rescale() | Whiten():
            return _normalisation(step)
        case PadCrop(share=share, fill=fill):
            return f"pad by {share} of the side with {fill}, crop at random"
        case Flip():
            return "mirror left and right at random"
        case ShorterSide(lengths=lengths, longest=longest):
            sides = f"at random of {', '.join(map(str, lengths))}" if len(lengths) > 1 else str(lengths[0])
            return f"shorter side {sides}, longer side at most {longest}"
        case ScaleCrop(least=least, most=most, stretch=stretch):
            stretched = f", aspect ratio 1 ± {float(stretch):g}" if stretch else ""
            return f"shorter side at random from {_pixels(least)} to {_pixels(most)}{stretched}, crop {USUAL} at random"
        case AreaCrop(least=least, ratio=ratio, interpolation=interpolation, side=side):
            return (
                f"crop {float(100 * least):g} to 100 % of the area at a ratio from {1 / ratio} to {ratio}, "
                f"resize to {pixels(side, USUAL)}, {interpolation}"
            )
        case ColourJitter():
            parts = ", ".join(f"{name} {float(bound):g}" for name, bound in vars(step).items())
            return f"jitter {parts}, in a random order"
        case HslJitter():
            return "jitter " + ", ".join(f"{name} {bound}" for name, bound in vars(step).items())
        case Lighting(std=std):
            return f"add principal components of colour, deviation {float(std):g}"
        case TrivialAugment(shift=shift):
            most = pixels(shift, USUAL)
            return f"one of 14 operations (wide) at one of 31 strengths, shifts up to {most}, black outside"
        case RandAugment(magnitude=magnitude, deviation=deviation, count=count, space=space):
            return (
                f"{count} of 15 operations ({space}) with probability 1/2 each, strength {float(magnitude):g} ± "
                f"{float(deviation):g} of 10, mean colour outside"
            )
        case Erase(probability=probability, least=least, most=most, fill=fill):
            return (
                f"erase {float(100 * least):g} to {float(100 * most):g} % of the area with {fill}, "
                f"with probability {float(probability):g}"
            )
        case _:
            assert_never(step)


def _normalisation(step: Normalisation) -> str:
    match step:
        case Standardise(constants=()):
            return "standardise each channel, measured on the training images"
        case Standardise(constants=constants):
            return "standardise each channel by " + "; ".join(
                f"{own.data} mean {_listed(own.mean)}, deviation {_listed(own.std)}" for own in constants
            )
        case SubtractMeanImage():
            return "subtract the mean image of the training images, divide by 255"
        case Rescale():
            return "divide by 255"
        case Whiten(contrast=contrast, bias=bias):
            return f"normalise the contrast to {float(contrast):g}, then ZCA with bias {float(bias):g}"
        case _:
            assert_never(step)


def view_text(view: View, *, size: int = USUAL) -> str:
    """A view of a test image in words, in the pixels of a network of that size."""
    match view:
        case Centre(shorter=shorter, scale=scale):
            return _centre(shorter, scale, size)
        case Flips(shorter=shorter, scale=scale, mean_of=mean_of):
            return f"{_centre(shorter, scale, size)}, and its mirror image, mean of {mean_of}"
        case TenCrops(shorter=shorter, mean_of=mean_of):
            return f"ten crops of {size} of shorter side {pixels(shorter, size)}, mean of {mean_of}"
        case MultiScale(shorter=shorter, places=places, flips=flips, mean_of=mean_of):
            sides = ", ".join(str(pixels(share, size)) for share in shorter)
            windows = ", in windows of the training's size" if places == "windows" else ""
            mirrored = ", and its mirror image" if flips == "with" else ""
            return f"the whole image at shorter sides {sides}{windows}{mirrored}, mean of {mean_of}"
        case _:
            assert_never(view)


def _centre(shorter: Fraction, scale: Fraction, size: int) -> str:
    whole, crop = "the whole image; " if scale == 1 else "", pixels(scale, size)
    return f"{whole}of a photograph the centre {crop} of shorter side {pixels(shorter, crop)}"


def _listed(values: tuple[float, ...]) -> str:
    return "/".join(f"{value:g}" for value in values)


def _pixels(share: Fraction) -> str:
    return f"{float(share * USUAL):g}"
