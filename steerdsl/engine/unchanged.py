"""Whether the model that was opened is the one that was planned: its folder may have changed between the two.

In: a plan, and the model as it was opened. Out: nothing, or RecipeError M667 that names what differs.
"""

from __future__ import annotations

from collections.abc import Iterator

from steerdsl.lang.diagnostics import Diagnostic, Exit, RecipeError
from steerdsl.models.adapters import read_adapter
from steerdsl.models.opened import ModelInfo
from steerdsl.models.weights import weights_hash
from steerdsl.planning.plan import Plan
from steerdsl.planning.planning import Planning


def require_unchanged(plan: Plan, info: ModelInfo) -> None:
    """Raise RecipeError M667 where the files of the plan's model are not those that it was planned with. Asked once
    the weights are loaded, so that a change while they were read is seen too."""
    if changed := list(_changed(plan, info)):
        title = f"the folder of `{info.id}` has changed since this was planned: {' and '.join(changed)}"
        way_out = "run the recipe again once the folder stays as it is"
        raise RecipeError([Diagnostic("M667", title, help=way_out)], Exit.FAILED)


def _changed(plan: Plan, info: ModelInfo) -> Iterator[str]:
    facts = plan.model
    located, adapter = facts.located, facts.located.adapter
    if located.weights_sha256 is not None and weights_hash(located.path) != located.weights_sha256:
        yield "its weights"
    if plan.model_key is not None and Planning.of(plan, None).model_key != plan.model_key:
        yield "config.json"  # all else in the key is what the plan knows
    if facts.tokens is not None and info.tokenizer_sha256 != facts.tokenizer_sha256:
        yield "its tokenizer"
    if info.template_sha256 != facts.template_sha256:
        yield "its chat template"
    if facts.tokens is not None and info.stop_ids != facts.stops.end:
        yield "the tokens that end an answer"
    if adapter is not None and read_adapter(adapter.id, adapter.path, adapter.revision).sha256 != adapter.sha256:
        yield "its adapter"
