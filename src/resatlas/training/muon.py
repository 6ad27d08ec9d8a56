"""Muon, the optimizer that steps equally far in every direction of a kernel."""

from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim.optimizer import Optimizer

from resatlas.recipes import recipe as recipes

ROUNDS, COEFFICIENTS, LEAST = 5, (3.4445, -4.7750, 2.0315), 1e-7
"""Rounds and coefficients of the polynomial, and the least Frobenius norm. Source: Jordan et al. (2024)."""


class MuonOptimizer(Optimizer):
    """w <- w - a·(ratio·O + decay·w) for kernels, SGD for the rest: the formulas are those of `recipes.recipe.Muon`.

    Groups have "lr" and "weight_decay", like those of torch's SGD, and "matrices": the number of matrices in a kernel,
    0 for other parameters.
    """

    def __init__(self, groups: Iterable[dict[str, Any]], *, rule: recipes.Muon) -> None:
        super().__init__(groups, {"lr": 0.0, "weight_decay": 0.0, "matrices": 0})
        self.rule = rule

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update of every parameter that has a gradient."""
        del closure  # part of the interface of torch's optimizers
        for group in self.param_groups:
            parameters = [(weight, weight.grad) for weight in group["params"] if weight.grad is not None]
            if group["matrices"]:
                self._update_kernels(parameters, group)
            else:
                self._update_others(parameters, group)

    def _update_others(self, parameters: list[tuple[nn.Parameter, Tensor]], group: dict[str, Any]) -> None:
        for weight, gradient in parameters:
            ahead = self._ahead(weight, gradient.add(weight, alpha=group["weight_decay"]))
            weight.sub_(ahead, alpha=group["lr"])

    def _update_kernels(self, parameters: list[tuple[nn.Parameter, Tensor]], group: dict[str, Any]) -> None:
        """Update the kernels of each shape together."""
        by_shape: dict[torch.Size, list[tuple[nn.Parameter, Tensor]]] = {}
        for kernel, gradient in parameters:
            by_shape.setdefault(kernel.shape, []).append((kernel, gradient))
        for kernels in by_shape.values():
            ahead = [self._ahead(*pair).unflatten(0, (group["matrices"], -1)).flatten(2) for pair in kernels]
            rows, columns = ahead[0].shape[1:]
            directions = orthogonal(torch.cat(ahead)).mul_(self.rule.ratio * max(1.0, rows / columns) ** 0.5)
            for (kernel, _), direction in zip(kernels, directions.split(group["matrices"]), strict=True):
                kernel.mul_(1 - group["lr"] * group["weight_decay"])
                kernel.sub_(direction.reshape(kernel.shape), alpha=group["lr"])

    def _ahead(self, weight: nn.Parameter, gradient: Tensor) -> Tensor:
        """The velocity of a parameter, v <- m·v + g, in Nesterov's form: g + m·v."""
        state, momentum = self.state[weight], self.rule.momentum
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(weight)
        return gradient.add(state["momentum_buffer"].mul_(momentum).add_(gradient), alpha=momentum)


def orthogonal(matrices: Float[Tensor, "b m n"]) -> Float[Tensor, "b m n"]:
    """U·f(S)·V^T of each matrix U·S·V^T of Frobenius norm 1, where f maps [0.002, 1] into [0.68, 1.21].

    X <- a·X + (b·X·X^T + c·(X·X^T)²)·X, five times. Source: Jordan et al. (2024).
    """
    if matrices.shape[1] > matrices.shape[2]:
        return orthogonal(matrices.mT).mT
    a, b, c = COEFFICIENTS
    x = matrices / matrices.flatten(1).norm(dim=1).clamp(min=LEAST)[:, None, None]
    for _ in range(ROUNDS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x
