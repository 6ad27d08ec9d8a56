"""Muon, the optimizer that steps equally far in every direction of a kernel."""

from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim.optimizer import Optimizer

from resatlas.recipes import recipe as recipes

ROUNDS, COEFFICIENTS, LEAST = 5, (3.4445, -4.7750, 2.0315), 1e-7
"""Of the polynomial, and the Frobenius norm below which a matrix counts as nothing. Source: Jordan et al. (2024)."""


class MuonOptimizer(Optimizer):
    """w <- w - a·(ratio·O + decay·w) for kernels, SGD for the rest: the formulas are those of `recipes.recipe.Muon`.

    Groups have "lr" and "weight_decay", as those of torch's SGD, and "matrices": of how many a kernel consists, 0 for
    what is none.
    """

    def __init__(self, groups: Iterable[dict[str, Any]], *, rule: recipes.Muon) -> None:
        super().__init__(groups, {"lr": 0.0, "weight_decay": 0.0, "matrices": 0})
        self.rule = rule

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update of every parameter that has a gradient."""
        del closure  # torch's optimizers may take one
        for group in self.param_groups:
            learnt = [(weight, weight.grad) for weight in group["params"] if weight.grad is not None]
            if group["matrices"]:
                self._update_kernels(learnt, group)
            else:
                self._update_others(learnt, group)

    def _update_others(self, learnt: list[tuple[nn.Parameter, Tensor]], group: dict[str, Any]) -> None:
        for weight, gradient in learnt:
            ahead = self._ahead(weight, gradient.add(weight, alpha=group["weight_decay"]))
            weight.sub_(ahead, alpha=group["lr"])

    def _update_kernels(self, learnt: list[tuple[nn.Parameter, Tensor]], group: dict[str, Any]) -> None:
        """Kernels of one shape are turned at once."""
        alike: dict[torch.Size, list[tuple[nn.Parameter, Tensor]]] = {}
        for kernel, gradient in learnt:
            alike.setdefault(kernel.shape, []).append((kernel, gradient))
        for several in alike.values():
            ahead = [self._ahead(*each).unflatten(0, (group["matrices"], -1)).flatten(2) for each in several]
            rows, columns = ahead[0].shape[1:]
            directions = orthogonal(torch.cat(ahead)).mul_(self.rule.ratio * max(1.0, rows / columns) ** 0.5)
            for (kernel, _), direction in zip(several, directions.split(group["matrices"]), strict=True):
                kernel.mul_(1 - group["lr"] * group["weight_decay"])
                kernel.sub_(direction.reshape(kernel.shape), alpha=group["lr"])

    def _ahead(self, weight: nn.Parameter, gradient: Tensor) -> Tensor:
        """The velocity of a parameter, v <- m·v + g, in Nesterov's form: g + m·v."""
        state, momentum = self.state[weight], self.rule.momentum
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(weight)
        return gradient.add(state["momentum_buffer"].mul_(momentum).add_(gradient), alpha=momentum)


def orthogonal(matrices: Float[Tensor, "b m n"]) -> Float[Tensor, "b m n"]:
    """U·f(S)·V^T of each matrix U·S·V^T of Frobenius norm 1, where f brings 0.002 to 1 between 0.68 and 1.21.

    X <- a·X + (b·X·X^T + c·(X·X^T)²)·X, five times. Source: Jordan et al. (2024).
    """
    if matrices.shape[1] > matrices.shape[2]:
        return orthogonal(matrices.mT).mT
    a, b, c = COEFFICIENTS
    found = matrices / matrices.flatten(1).norm(dim=1).clamp(min=LEAST)[:, None, None]
    for _ in range(ROUNDS):
        gram = found @ found.mT
        found = torch.baddbmm(found, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), found, beta=a)
    return found
