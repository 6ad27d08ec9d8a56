"""What is read out of the maps of a network beside one label: boxes, masks of objects, a class for every pixel."""

from dataclasses import dataclass, field
from fractions import Fraction

from resatlas.errors import RecipeError


@dataclass(frozen=True, slots=True, kw_only=True)
class C4:
    """Regions of the map before the last stage; each region then goes through the last stage and the head.

    `pooled` is the side of a region's map. `anchors` are the sides of the boxes at every position, as shares of the
    image's shorter side.
    Source: ResNet (arXiv:1512.03385), appendix A: conv1 to conv4 are shared, conv5 is applied to each region. Anchors
    of 128, 256 and 512 at a shorter side of 600 are those of Faster R-CNN (arXiv:1506.01497), section 4; 64 is added
    for COCO. A side of 14 is that of Mask R-CNN's C4 (arXiv:1703.06870, Fig. 4).
    Differs: regions are pooled by RoIAlign, as everywhere today; the paper rounds their corners (RoI pooling).
    """

    pooled: int = 14
    anchors: tuple[Fraction, ...] = (Fraction(64, 600), Fraction(128, 600), Fraction(256, 600), Fraction(512, 600))

    def __post_init__(self) -> None:
        _positive("pooled", self.pooled)
        if not self.anchors:
            raise RecipeError("anchors needs at least one share of the image's shorter side")
        for share in self.anchors:
            _share("anchors", share)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fpn:
    """A feature pyramid: maps of `channels` channels on every level of at least `finest` pixels stride.

    A coarser level is added by subsampling. Every level has anchors of one side: `anchor`, a share of the image's
    shorter side, on the coarsest level, and half as large on each finer one. A region is pooled to `pooled` pixels from
    the level of its size, and classified by two layers of `hidden` units.
    Source: FPN (arXiv:1612.03144); sides, channels and layers are those of its authors' COCO networks and of
    torchvision, whose anchors are 32 to 512 at a shorter side of 800.
    """

    channels: int = 256
    finest: int = 2
    anchor: Fraction = Fraction(512, 800)
    pooled: int = 7
    hidden: int = 1024

    def __post_init__(self) -> None:
        for name in ("channels", "finest", "pooled", "hidden"):
            _positive(name, getattr(self, name))
        _share("anchor", self.anchor)


@dataclass(frozen=True, slots=True)
class Given:
    """Images keep their size; the shorter side that anchors refer to is that of the plan's image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resized:
    """Images are resized so that the shorter side has `shorter` pixels and the longer one at most `longest`."""

    shorter: int = 600
    longest: int = 1000

    def __post_init__(self) -> None:
        _positive("shorter", self.shorter)
        if self.longest < self.shorter:
            raise RecipeError(f"longest must be at least shorter, {self.shorter}; got {self.longest}")


Sides = Given | Resized


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposals:
    """How anchors become proposals: the sample that is trained on, and what remains after non-maximum suppression.

    Of each image `sampled` anchors are trained on, up to a share `positive` of them on objects. An anchor is positive
    from an overlap (IoU) of `above` with an object on, or if it has the largest; negative below `below`. The best
    `before` of each level are suppressed at an overlap of `nms`, and `after` remain, in training and in testing.
    Source: Faster R-CNN (arXiv:1506.01497), sections 3.1 and 3.3; the numbers of proposals are those of torchvision.
    """

    sampled: int = 256
    positive: Fraction = Fraction(1, 2)
    above: float = 0.7
    below: float = 0.3
    before: tuple[int, ...] = (2000, 1000)
    after: tuple[int, ...] = (2000, 1000)
    nms: float = 0.7

    def __post_init__(self) -> None:
        _positive("sampled", self.sampled)
        _share("positive", self.positive)
        _overlaps(self, "above", "below", "nms")
        if self.below > self.above:
            raise RecipeError(f"below must be at most above, {self.above}; got {self.below}")
        for name in ("before", "after"):
            if len(getattr(self, name)) != 2:
                raise RecipeError(f"{name} has two numbers, for training and for testing; got {getattr(self, name)}")
            for number in getattr(self, name):
                _positive(name, number)


@dataclass(frozen=True, slots=True, kw_only=True)
class Regions:
    """The proposals of an image that the box head is trained on: `sampled`, up to a share `positive` of objects.

    A proposal is an object's from an overlap (IoU) of `above` on, and of the ground below it.
    Source: Fast R-CNN (arXiv:1504.08083), section 2.3, and torchvision's number of regions. Faster R-CNN's authors use
    128.
    """

    sampled: int = 512
    positive: Fraction = Fraction(1, 4)
    above: float = 0.5

    def __post_init__(self) -> None:
        _positive("sampled", self.sampled)
        _share("positive", self.positive)
        _overlaps(self, "above")


@dataclass(frozen=True, slots=True, kw_only=True)
class Detections:
    """What is reported of an image: boxes with at least `score`, suppressed at an overlap of `nms`, at most `most`.

    Source: torchvision. Faster R-CNN's authors suppress at 0.3.
    """

    score: float = 0.05
    nms: float = 0.5
    most: int = 100

    def __post_init__(self) -> None:
        _overlaps(self, "score", "nms")
        _positive("most", self.most)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refined:
    """Box refinement, a way of testing: the regressed box of each region is classified and regressed once more.

    The boxes of both passes are suppressed together at an overlap of `nms`, and those that remain become the means of
    boxes of their class that overlap them by `votes` or more, weighted by scores.
    Source: ResNet (arXiv:1512.03385), appendix B, box refinement: 300 and 300 boxes, an IoU of 0.3, then box voting of
    the multi-region CNN (arXiv:1505.01749), section 4.2, whose votes count from an IoU of 0.5.
    Differs: boxes are regressed for each class, and the paper does not say of which class the second region is; here it
    is the best class other than the ground.
    """

    nms: float = 0.3
    votes: float = 0.5

    def __post_init__(self) -> None:
        _overlaps(self, "nms", "votes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Masks:
    """A mask of every object: convolutions of `width` channels on a region of `pooled` pixels, twice as large at last.

    `layers` of them stand before the enlargement in a pyramid; C4 has none, since its last stage takes their place.
    Source: Mask R-CNN (arXiv:1703.06870), Fig. 4.
    """

    pooled: int = 14
    layers: int = 4
    width: int = 256

    def __post_init__(self) -> None:
        for name in ("pooled", "layers", "width"):
            _positive(name, getattr(self, name))


@dataclass(frozen=True, slots=True, kw_only=True)
class Frozen:
    """All norms keep their statistics, scales and shifts; with `stages`, the stem and that many stages do not change.

    This needs trained weights: statistics of an untrained network are 0 and 1.
    Source: ResNet (arXiv:1512.03385), appendix A ("the BN layers are fixed").
    """

    stages: int = 0

    def __post_init__(self) -> None:
        if self.stages < 0:
            raise RecipeError(f"stages is a number of stages from 0 on; got {self.stages}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Detect:
    """Boxes of objects with their classes and, with `masks`, their outlines: Faster R-CNN and Mask R-CNN.

    `ratios` are height / width of the anchors. Without `frozen`, everything is trained.
    """

    head: C4 | Fpn = field(default_factory=Fpn)
    sides: Sides = field(default_factory=Given)
    ratios: tuple[float, ...] = (0.5, 1.0, 2.0)
    proposals: Proposals = field(default_factory=Proposals)
    regions: Regions = field(default_factory=Regions)
    detections: Detections = field(default_factory=Detections)
    frozen: Frozen | None = None
    masks: Masks | None = None

    def __post_init__(self) -> None:
        if not self.ratios or min(self.ratios) <= 0:
            raise RecipeError(f"ratios of anchors are positive numbers, height / width; got {self.ratios}")


@dataclass(frozen=True, slots=True)
class Fcn:
    """Two convolutions: 3x3 to a quarter of the channels, and 1x1 to the classes.

    Source: FCN (arXiv:1411.4038) as torchvision has it.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class DeepLab:
    """Convolutions with taps that are `rates` pixels apart, side by side: atrous spatial pyramid pooling.

    Source: DeepLab v3 (arXiv:1706.05587), section 3.3; its rates are those for a stride of 8.
    """

    rates: tuple[int, ...] = (12, 24, 36)

    def __post_init__(self) -> None:
        if not self.rates:
            raise RecipeError("rates needs at least one number of pixels")
        for rate in self.rates:
            _positive("rates", rate)


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A class for every pixel, from the last level of a network whose stride is at most `stride`.

    Strides of the last stages that would exceed it are replaced by dilation. Pixels of the class `unlabelled` do not
    count. `weights` are the weights of the classes in the loss, in their order; none: all are 1.
    """

    head: Fcn | DeepLab = field(default_factory=Fcn)
    stride: int = 8
    unlabelled: int = 255
    weights: tuple[float, ...] = ()
    frozen: Frozen | None = None

    def __post_init__(self) -> None:
        _positive("stride", self.stride)
        if any(weight <= 0 for weight in self.weights):
            raise RecipeError(f"weights of classes are positive; got {self.weights}")


@dataclass(frozen=True, slots=True)
class Classify:
    """One label per image."""


Task = Classify | Detect | Segment


def needs_masks(task: Task) -> bool:
    """Whether the masks of objects are learnt, of each alone or as classes of pixels."""
    return isinstance(task, Segment) or (isinstance(task, Detect) and task.masks is not None)


def _positive(name: str, number: int) -> None:
    if number < 1:
        raise RecipeError(f"{name} must be at least 1; got {number}")


def _share(name: str, share: Fraction) -> None:
    if not 0 < share <= 1:
        raise RecipeError(f"{name} must be above 0 and at most 1; got {share}")


def _overlaps(value: object, *names: str) -> None:
    for name in names:
        if not 0 <= getattr(value, name) <= 1:
            raise RecipeError(f"{name} must be in [0, 1]; got {getattr(value, name)}")
