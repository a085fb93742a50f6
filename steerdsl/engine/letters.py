"""How likely each letter is as the answer to a question with options.

In: questions, rendered as every other prompt, their letters, and what acts. Out: for each question log p
of its letters. A letter is put behind its question as every answer is (`Renderer.follow`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from steerdsl.engine.continuations import continuation_logprobs
from steerdsl.engine.likelihood import Keep, Rows, unkept
from steerdsl.engine.rows import Acting
from steerdsl.engine.tracing import Session
from steerdsl.models.prompts import Renderer

if TYPE_CHECKING:
    from numpy.typing import NDArray


def letter_logprobs(
    session: Session,
    renderer: Renderer,
    questions: Sequence[str],
    letters: Sequence[str],
    steers: Sequence[Acting | None],
    rows: Rows,
    keep: Keep = unkept,
) -> list[NDArray[Any]]:
    """For each question log p of each of its letters under its steer, float64 [number of letters]."""
    import numpy as np

    prompts = [renderer.render(text) for text in questions]
    pairs = [
        (prompt.ids, renderer.follow(prompt.text, prompt.ids, letter))
        for prompt, row in zip(prompts, letters, strict=True)
        for letter in row
    ]
    acting = [steer for steer, row in zip(steers, letters, strict=True) for _ in row]
    read = iter(continuation_logprobs(session, pairs, acting, rows, keep=keep))
    return [np.array([next(read)[0] for _ in row]) for row in letters]
