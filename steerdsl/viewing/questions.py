"""What the dial asks of the model.

In: the JSON of a page. Out: two questions, one without a steer and one with it as it is turned; a conversation of one
prompt, as `run` and `serve` render it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from steerdsl.forms.form import EACH, Maybe, Such
from steerdsl.lang.diagnostics import RecipeError
from steerdsl.lang.variants import BASELINE
from steerdsl.planning.layers import LayerOutside
from steerdsl.serving.questions import Question
from steerdsl.serving.requests import BadRequest
from steerdsl.viewing.desk import OpenSteers
from steerdsl.viewing.dial import Setting, knobs, turned

SIDES = (BASELINE, "steered")
TOKENS = 48  # of an answer, where the page does not say

WANTED = {
    "prompt": Such(str, lambda text: bool(text.strip()), "a text that is not empty"),
    "steer": str,
    "at": Maybe({EACH: str}),
    "angle": Maybe(float | None),
    "strength": Maybe(float | None),
    "layer": Maybe(int | None),
    "max_tokens": Maybe(int),
}


def known(opened: OpenSteers) -> dict[str, Any]:
    """The steers of what is open, each with what can be turned at each of its points."""
    run = opened.served.steers.run
    arch = run.plan.model.arch
    steers = [
        {"name": name, "points": [{"at": dict(at), **knobs(ops, run)} for at, ops in steer.points]}
        for name, steer in opened.steers.items()
    ]
    most = min(opened.served.limits.tokens, arch.max_positions or opened.served.limits.tokens)
    return {"model": opened.served.base, "layers": arch.n_layers, "steers": steers, "max_tokens": most}


def asked(body: Mapping[str, Any], opened: OpenSteers) -> tuple[Question, Question]:
    """The two questions. Raises BadRequest: 404 for a steer or a point that there is not, 400 for a setting or a prompt
    that cannot be."""
    served, run = opened.served, opened.served.steers.run
    for name in body.keys() - WANTED.keys():
        raise BadRequest(400, "unknown_parameter", f"there is no parameter `{name[:60]}`", name[:60])
    steer = opened.steers.get(body["steer"])
    if steer is None:
        has = ", ".join(opened.steers) or "none"
        raise BadRequest(404, "steer_not_found", f"there is no steer `{body['steer'][:100]}`; there is {has}", "steer")
    ops = steer.ops(body.get("at") or {})
    if ops is None:
        raise BadRequest(404, "point_not_found", f"`{steer.name}` has no such point", "at")
    setting = Setting(body.get("angle"), body.get("strength"), body.get("layer"))
    try:
        acts = served.steers.made(turned(steer.name, ops, setting))
        prompt = served.conversation([{"role": "user", "content": body["prompt"]}])
    except LayerOutside as error:
        raise BadRequest(400, "invalid_value", f"{error}: the model has {run.plan.model.arch.n_layers}") from error
    except RecipeError as error:
        told = "; ".join(part for d in error.diagnostics for part in (d.title, *d.notes, d.help) if part)
        raise BadRequest(400, "invalid_value", told) from error
    room, most = served.room(prompt), served.limits.tokens
    tokens = body.get("max_tokens", min(TOKENS, most))
    if not 1 <= tokens <= most:
        raise BadRequest(400, "too_many_tokens", f"an answer has from 1 to {most} tokens here", "max_tokens")
    if room is not None and room < 1:
        text = f"the prompt has {len(prompt.ids)} tokens, and the model's context has no room for an answer"
        raise BadRequest(400, "context_length_exceeded", text, "prompt")
    tokens = tokens if room is None else min(tokens, room)
    return Question(prompt, None, tokens), Question(prompt, acts, tokens)
