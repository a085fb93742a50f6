"""What plots of a vector ask of their view: both classes' statistics, and a title.

In: a `VectorView`. Out: its two `Activations`, or a `MethodError` that says what is missing.
"""

from __future__ import annotations

from steerdsl.engine.views import VectorView
from steerdsl.methods.types import Activations, MethodError


def classes(view: VectorView, plot: str) -> tuple[Activations, Activations]:
    """The positive and the negative class. Raises MethodError when the vector came without them."""
    if view.positive is None or view.negative is None:
        raise MethodError(
            f"`{view.name}` has no prompts behind it, and `{plot}` draws what they gave",
            "plot a vector that this recipe extracts from two data sets, or take `norms` or `cosine`",
        )
    return view.positive, view.negative


def titled(view: VectorView, what: str) -> str:
    """`topic: dispersion at resid_post, last_token`."""
    place = [view.vector.stream, view.vector.meta.get("position")]
    return f"{view.name}: {what} at {', '.join(str(part) for part in place if part)}"
