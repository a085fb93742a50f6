"""Where activations of a prompt are read, as source.

In: an extraction. Out: the name of the function that gives the tokens, and of the one that makes
samples of them.
"""

from __future__ import annotations

from steerdsl.eject import source
from steerdsl.eject.program import Program
from steerdsl.lang import recipe as r
from steerdsl.models.prompts import PROBES, Renderer
from steerdsl.planning.samples import class_samples

MEANS = frozenset({"mean_prompt", "mean_content", "mean_response"})


def pick(p: Program, s: r.Extract) -> str:
    """Whether a prompt's tokens are samples of their own, or averaged into one."""
    return p.use("average" if s.position.name in MEANS else "each")


def position(p: Program, s: r.Extract) -> str:
    """The function that says which tokens are read."""
    name, number = s.position.name, s.position.number
    function = "all_tokens" if name == "all" else name
    if function not in source.names("positions"):
        p.refuse(s.span, f"`at {name}`")
        return "None"
    if name == "mean_response" and not _answered(p, s):
        p.refuse(s.span, "`at mean_response` where the data has no answers")
    if name == "mean_content":
        p.features.add("content")
    if name == "suffix" and number is None:
        number = _tail(p, s)
    if number is None:
        return p.use(function)
    p.imports.add(("functools", "partial"))
    return f"partial({p.use(function)}, number={number})"


def _answered(p: Program, s: r.Extract) -> bool:
    refs = [ref for ref in (s.positive, s.negative) if ref is not None]
    return all(x.response is not None for ref in refs for x in class_samples(p.plan.data, s, ref, p.plan.source))


def _tail(p: Program, s: r.Extract) -> int | None:
    """How many tokens at the end all prompts share; the tokenizer counts them."""
    spec, tokenizer = p.plan.recipe.model, p.plan.model.tokenizer
    if tokenizer is None:
        p.refuse(s.span, "`at suffix` without a number before the model is here")
        return None
    return Renderer(tokenizer, spec.system, spec.template).suffix_length(PROBES)
