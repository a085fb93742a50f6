"""What the steps of a plan ask the model to answer.

In: a step and what the planning knows of its variants. Out: `Request`s, in the order in which the step asks.
Requests with the same prompts and the same limit of tokens are of one `group`: their answers are rows of
shared batches.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from steerdsl.lang import recipe as r
from steerdsl.planning.controls import Variant
from steerdsl.planning.samples import Sample


@dataclass(frozen=True, slots=True)
class Sampling:
    """max_tokens: at most so many new tokens. temperature 0 is greedy; n answers a prompt. What is drawn
    depends on `seed`, the prompt and the answer's number, and on no other answer."""

    max_tokens: int = 64
    temperature: float = 0.0
    n: int = 1
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for: the answers of a variant to the samples of a data set, for the step `step`.
    `group` is shared by requests that share batches; `what` hashes the prompts as they are asked, what acts,
    and the sampling."""

    step: str
    ref: r.DataRef
    found: tuple[Sample, ...]
    variant: Variant
    sampling: Sampling
    group: str
    what: str

    def instructed(self) -> tuple[Sample, ...]:
        """The samples as they are asked: with the variant's instruction before each prompt."""
        before = self.variant.instruction
        if before is None:
            return self.found
        return tuple(replace(s, prompt=f"{before}\n\n{s.prompt}") for s in self.found)


@dataclass(frozen=True, slots=True)
class SharedBatches:
    """The batches in which the answers of one group of requests are made: at most `rows` rows a batch, `each`
    rows for every prompt. `key` is what content keys say of them; None in float32, where the batch changes
    no token."""

    rows: int
    each: int
    key: str | None


def evaluation_settings(s: r.Evaluate) -> dict[str, Any]:
    """How an evaluation generates the answers that it scores."""
    return {**{name: s.options[name] for name in ("max_tokens", "temperature", "seed")}, "n": 1}


def references(s: r.Evaluate) -> dict[str, Any]:
    """How the unsteered answers are sampled that answers are compared with: the K of the K+1 default
    samples of the slides; the one more is the baseline's own answer, so no answer is its own reference."""
    seed = s.options["seed"] + 1
    return {"max_tokens": s.options["max_tokens"], "temperature": 0.7, "n": s.options["references"], "seed": seed}
