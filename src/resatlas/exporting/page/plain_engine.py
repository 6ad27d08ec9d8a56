"""The engine that is part of the page: about 10 kB of plain JavaScript, which carries out a list of operations."""

from copy import deepcopy
from dataclasses import dataclass

import torch

from resatlas.errors import CheckpointError, ResatlasError, UsageError
from resatlas.exporting.page.checking import logits_of
from resatlas.exporting.page.encoding import Precision, encoded_program, finite
from resatlas.exporting.page.engine import Carried, check_close, prepared_pattern, scale_of
from resatlas.exporting.page.program import program_of, rounded
from resatlas.exporting.preprocessing import Preprocessing
from resatlas.nets.network import Network

MOST_MULTIPLY_ADDS = 200_000_000
"""Of one image: about a fifth of a second in plain JavaScript, which computes about a thousand million a second."""

_EXACT = 1e-9
"""How far the program in float64 may be from the network, as a share of the largest logit: up to rounding."""


@dataclass(frozen=True)
class PlainEngine:
    """x -> the operations of a program, in float64 with maps in float32."""

    words: str = "plain JavaScript"
    most_multiply_adds: int | None = MOST_MULTIPLY_ADDS
    file: str = "plain_engine.js"
    policy: tuple[str, ...] = ()

    def libraries(self) -> tuple[str, ...]:
        """No other script."""
        return ()

    def texts(self) -> tuple[tuple[str, str], ...]:
        """Nothing besides the weights."""
        return ()

    def carried(self, network: Network, preparation: Preprocessing, precision: Precision) -> Carried:
        """The operations with their stored weights; the check has the logits of those weights in float64."""
        program = program_of(network)
        if not finite(program):
            raise CheckpointError("the network has weights that are not finite numbers, so it cannot classify")
        stored = rounded(program, torch.float32 if precision == "fp32" else torch.float16)
        if not finite(stored):
            raise UsageError("the network has weights beyond 65,504, the largest number of fp16; choose fp32")
        image = prepared_pattern(network, preparation).double()
        with torch.no_grad():
            exact = deepcopy(network).cpu().double().eval()(image)
            ours, kept = logits_of(program, image), logits_of(stored, image)
        scale = scale_of(exact, kept)
        if (far := float((ours - exact).abs().max()) / scale) > _EXACT:
            raise ResatlasError(f"the operations of the page differ from the network by {far:.1g} of the largest logit")
        difference = float((kept - exact).abs().max())
        if precision == "fp32":
            check_close(difference, scale, reason="the variances of its norms are too small")
        encoded = encoded_program(stored, precision)
        return Carried(
            table=encoded.table,
            weights=encoded.numbers,
            logits=kept[0],
            difference=difference,
            session=lambda images: logits_of(stored, torch.from_numpy(images)).float().numpy(),
        )
