"""The default model, for tests that need a real one. Where it is not here and cannot be fetched, they are skipped."""

from __future__ import annotations

import pytest

from steerdsl.lang.diagnostics import RecipeError
from steerdsl.models.catalog import Located, locate


def default_model() -> Located:
    """Where the default model is."""
    try:
        return locate(None)
    except RecipeError as error:
        if error.diagnostics[0].code == "M602":
            pytest.skip("the default model is not here and cannot be fetched")
        raise
