"""LAMB, the optimizer of large batches."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.optimizer import Optimizer

from resatlas.recipes import recipe as recipes


class LambOptimizer(Optimizer):
    """w <- w - a·(|w|/|u|)·u for each parameter: the formulas are those of `recipes.recipe.Lamb`.

    Groups have "lr" and "weight_decay", like those of torch's SGD.
    """

    def __init__(self, groups: Iterable[dict[str, Any]], *, rule: recipes.Lamb) -> None:
        super().__init__(groups, {"lr": 0.0, "weight_decay": 0.0})
        self.rule = rule

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update of every parameter that has a gradient."""
        del closure  # part of the interface of torch's optimizers
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._update(weight, weight.grad, rate=group["lr"], decay=group["weight_decay"])

    def _update(self, weight: nn.Parameter, gradient: Tensor, *, rate: float, decay: float) -> None:
        rule, state = self.rule, self.state[weight]
        if not state:
            state["updates"] = torch.zeros((), dtype=torch.float64)
            state["first"], state["second"] = torch.zeros_like(weight), torch.zeros_like(weight)
        state["updates"] += 1
        state["first"].lerp_(gradient, 1 - rule.beta1)
        state["second"].lerp_(gradient.square(), 1 - rule.beta2)
        updates = state["updates"].item()
        deviation = (state["second"] / (1 - rule.beta2**updates)).sqrt_().add_(rule.eps)
        direction = (state["first"] / (1 - rule.beta1**updates)).div_(deviation)
        trust: Tensor | float = 1.0
        if decay:
            direction.add_(weight, alpha=decay)
            trust = _trust(weight.norm(), direction.norm())
        weight.sub_(direction.mul_(rate * trust))


def _trust(weight: Tensor, direction: Tensor) -> Tensor:
    """The ratio of two norms; 1 where one of them is 0."""
    return torch.where((weight > 0) & (direction > 0), weight / direction, torch.ones_like(weight))
