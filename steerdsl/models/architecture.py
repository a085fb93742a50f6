"""The architecture of a config: its sites, found once for each and kept.

In: a transformers config. Out: `Architecture`. The first look at an architecture builds a small copy of it with
random weights and solves where its streams are (`models.probe`); what was found is kept in the cache under the
architecture, the versions of the code that runs and looks at it, and everything of the config but its token ids.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from steerdsl.lang.diagnostics import Diagnostic, RecipeError
from steerdsl.models.kept_sites import kept_or
from steerdsl.models.sites import Architecture
from steerdsl.models.unsteerable import Unsteerable


def architecture(config: Any) -> Architecture:
    """The sites and sizes of the model that `config` describes.

    Raises RecipeError: M605 (not a causal language model), M640 (a stack without a stream that can be steered),
    M641 (an architecture of which transformers builds no small copy).
    """
    found = kept_or(config, lambda: find(config))
    if isinstance(found, Diagnostic):
        raise RecipeError([found])
    return found


def find(config: Any, depth: int | None = None, build: Callable[[Any, int | None], Any] | None = None) -> Architecture:
    """Look at a small copy of an architecture; `depth`, where given, keeps that many of its blocks.
    Raises RecipeError as `architecture`."""
    from steerdsl.models.small import require_family, small_model, two_stacks

    family = str(config.model_type)
    require_family(family)
    if two_stacks(family):
        raise RecipeError([_refused(family, "it is an encoder and a decoder, and answers come from both")])
    try:
        model = (build or small_model)(config, depth)
    except Exception as error:  # what an odd config trips in the library is not foreseeable
        raise RecipeError([_unbuilt(family, error)]) from error
    return of_model(model, config)


def of_model(model: Any, config: Any) -> Architecture:
    """The sites of a model with random weights, with the sizes of `config`, of which it is a copy."""
    from steerdsl.models.head_sizes import rule_for, rules
    from steerdsl.models.probe import probe
    from steerdsl.models.quiet import quiet
    from steerdsl.models.sites import grouped

    family = str(config.model_type)

    def heads(layer: int, width: int) -> tuple[int, int] | None:
        rule = rule_for(model.config, layer, width)
        return None if rule is None else rules(config, layer).get(rule)

    try:
        with quiet():
            found = probe(model, heads)
    except Unsteerable as error:
        said = _unbuilt(family, error) if error.what == "run" else _refused(family, error.reason)
        raise RecipeError([said]) from error
    kinds, which = grouped(found.kinds)
    text = config.get_text_config()
    typical = next((kind for kind in kinds if kind.n_heads), kinds[0])
    return Architecture(
        family,
        found.blocks,
        found.embeddings,
        kinds,
        which,
        found.norm,
        found.unembedding,
        d_model=text.hidden_size,
        n_heads=typical.n_heads,
        d_head=typical.d_head,
        max_positions=getattr(text, "max_position_embeddings", None),
        error=found.error,
    )


def _refused(family: str, reason: str) -> Diagnostic:
    title = f"models of type `{family}` have no residual stream that can be steered"
    return Diagnostic("M640", title, notes=(reason,), help="choose another model")


def _unbuilt(family: str, error: Exception) -> Diagnostic:
    said = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
    title = f"transformers cannot run a small copy of this `{family}` model, so its streams are not known"
    way_out = "check the model's config.json, or choose another model"
    return Diagnostic("M641", title, notes=(f"the reason given: {said}",), help=way_out)
