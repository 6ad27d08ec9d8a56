"""Muon, the optimizer that steps equally far in every direction of a kernel."""

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim import SGD

from resatlas.recipes import recipe as recipes

ROUNDS = 5
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the polynomial of a round: steep at 0, and near 1 for what is near 1. Source: Jordan et al. (2024)."""


class MuonOptimizer(SGD):
    """w <- w - a·(ratio·O + decay·w) for kernels, SGD for the rest: the formulas are those of `recipes.recipe.Muon`.

    Groups have "matrices" beside "lr" and "weight_decay": of how many matrices a kernel consists, 0 for what is none.
    """

    def __init__(self, groups: Iterable[dict[str, Any]], *, rule: recipes.Muon) -> None:
        super().__init__(groups, lr=0.0, momentum=rule.momentum, nesterov=rule.momentum > 0, fused=True)
        self.rule = rule
        for group in self._kernels():
            group |= {"momentum": 0.0, "nesterov": False}  # theirs comes before the direction

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update of every parameter that has a gradient, which for a kernel becomes its direction."""
        for group in self._kernels():
            alike: dict[torch.Size, list[nn.Parameter]] = {}
            for kernel in group["params"]:
                if kernel.grad is not None:
                    alike.setdefault(kernel.shape, []).append(kernel)
            for kernels in alike.values():
                self._direct(kernels, matrices=group["matrices"])
        super().step(closure)

    def _kernels(self) -> Iterator[dict[str, Any]]:
        return (group for group in self.param_groups if group["matrices"])

    def _direct(self, kernels: list[nn.Parameter], *, matrices: int) -> None:
        """Let the gradients of kernels of one shape be their directions."""
        gradients = [kernel.grad for kernel in kernels if kernel.grad is not None]
        ahead = [self._ahead(*each).unflatten(0, (matrices, -1)) for each in zip(kernels, gradients, strict=True)]
        found = orthogonal(torch.cat(ahead).flatten(2))
        rows, columns = found.shape[1:]
        found *= self.rule.ratio * max(1.0, rows / columns) ** 0.5
        for gradient, direction in zip(gradients, found.split(matrices), strict=True):
            gradient.copy_(direction.reshape(gradient.shape))

    def _ahead(self, kernel: nn.Parameter, gradient: Tensor) -> Tensor:
        """The velocity of a kernel, v <- m·v + g, in Nesterov's form: g + m·v."""
        state, momentum = self.state[kernel], self.rule.momentum
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(kernel)
        return gradient.add(state["momentum_buffer"].mul_(momentum).add_(gradient), alpha=momentum)


def orthogonal(matrices: Float[Tensor, "b m n"]) -> Float[Tensor, "b m n"]:
    """U·f(S)·V^T of each matrix U·S·V^T, where f moves what is not 0 near 1 (0.7 to 1.2, but for the smallest).

    X <- a·X + (b·X·X^T + c·(X·X^T)²)·X, from X of Frobenius norm 1, so often. Source: Jordan et al. (2024).
    """
    if matrices.shape[1] > matrices.shape[2]:
        return orthogonal(matrices.mT).mT
    a, b, c = COEFFICIENTS
    found = matrices / matrices.flatten(1).norm(dim=1).clamp(min=torch.finfo(matrices.dtype).tiny)[:, None, None]
    for _ in range(ROUNDS):
        gram = found @ found.mT
        found = torch.baddbmm(found, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), found, beta=a)
    return found
