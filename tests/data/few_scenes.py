"""Fewer scenes than a user gets, so that tests take seconds."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from resatlas.data import scenes


@contextmanager
def few_scenes() -> Iterator[None]:
    """Five scenes for validation and six for the test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scenes, "VALIDATION_SCENES", 5)
        patch.setattr(scenes, "TEST_SCENES", 6)
        yield
