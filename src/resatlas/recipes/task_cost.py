"""The multiply-adds of a network in a test of one image, whatever is learnt of it."""

from resatlas.arch.cost import cost, stage_cost, unit_cost
from resatlas.arch.dilation import with_stride
from resatlas.arch.plan import Plan
from resatlas.recipes.detection import C4, Detect, Segment, Task


def multiply_adds(plan: Plan, task: Task) -> int:
    """The multiply-adds of the network; the layers of heads for objects or pixels do not count.

    The last strides of a segmenter's network are replaced by dilation. C4 runs the last stage once for each region;
    the number of regions is that of the proposals that a test keeps at most.
    """
    whole = cost(with_stride(plan, task.stride) if isinstance(task, Segment) else plan).multiply_adds
    if not (isinstance(task, Detect) and isinstance(task.head, C4)):
        return whole
    last = plan.stages[-1]
    of_image = sum(unit_cost(unit).multiply_adds for unit in last)
    return whole - of_image + task.proposals.after[1] * stage_cost(last, task.head.pooled).multiply_adds
