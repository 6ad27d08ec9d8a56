"""The one place where a training step waits for its device: all its numbers are read together, once."""

from torch import Tensor, stack


def numbers(*tensors: Tensor) -> list[float]:
    """The values of scalars on one device, exactly, in one transfer.

    On a GPU every such transfer empties the queue of kernels, so that a step has one, however many passes it makes.
    It comes before the update, since a step that is not finite must update nothing and leave its gradients as evidence.
    """
    return stack([tensor.detach().double() for tensor in tensors]).tolist()
