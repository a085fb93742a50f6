"""A recipe with a steer of each kind, and what a run of the engine answers to one question alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from steerdsl.engine.generate import generate
from steerdsl.engine.steer_compiler import compile_steer
from steerdsl.models.prompts import Rendered
from steerdsl.planning.requests import Sampling
from steerdsl.serving.steers import Steers

RECIPE = """
param strength = 2
dataset a = econ with take: 8, held_out: 50%
dataset b = generic with take: 8, held_out: 50%
topic = extract diffmean from a vs b
other = extract diffmean from b vs a at mean_content
steer pushed { add topic by strength at layer 1 }
steer erased { ablate topic[1] everywhere }
steer turned { rotate plane(topic[1], pc1) by 90deg }
steer asked { add topic by 3 at layer 2 when cos(other) > 0 at layer 1 }
steer held { clamp topic to 3 at layer 1 on mlp_out }
"""


def alone(steers: Steers, prompt: Rendered, steer: str | None, tokens: int, **sampling: Any) -> list[Sequence[int]]:
    """The tokens of each answer to one prompt, as a run makes them that asks for nothing else."""
    ops = steers.run.steers[steer].ops if steer else ()
    touches = compile_steer(ops, steers.run.plan.model.arch, steers.run.values)
    (made,) = generate(steers.session(), [prompt], touches, Sampling(tokens, **sampling), 64)
    return [answer.token_ids for answer in made]
