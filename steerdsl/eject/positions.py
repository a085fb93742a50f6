"""Where activations of a prompt are read, as source.

In: an extraction. Out: an expression for the function that gives the tokens.
"""

from __future__ import annotations

from steerdsl.eject.program import Program
from steerdsl.lang import recipe as r
from steerdsl.models.prompts import PROBES, Renderer
from steerdsl.registry import find


def position(p: Program, s: r.Extract) -> str:
    """The function that says which tokens are read."""
    function, number = p.entry("position", s.position.name), s.position.number
    if number is None and "tail" in find("position", s.position.name).needs:
        number = _tail(p, s)
    if number is None:
        return function
    p.imports.add(("functools", "partial"))
    return f"partial({function}, number={number})"


def _tail(p: Program, s: r.Extract) -> int | None:
    """How many tokens at the end all prompts share; the tokenizer counts them."""
    spec, tokenizer = p.plan.recipe.model, p.plan.model.tokenizer
    if tokenizer is None:
        p.refuse(s.span, f"`at {s.position.name}` without a number before the model is here")
        return None
    return Renderer.of(spec, tokenizer).suffix_length(PROBES)
