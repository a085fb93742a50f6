"""How likely given continuations are: letters after a question, endings after a story.

In: pairs of token ids, the text so far and what is to follow it, and the steers. Out: the log-probability of
each continuation. Continuations that differ in their last token alone are read in one pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from steerdsl.engine.batch_edits import Acting
from steerdsl.engine.likelihood import Ids, Keep, Reading, Rows, read_endings, unkept
from steerdsl.engine.tracing import Session
from steerdsl.models.cache import Progress, no_progress
from steerdsl.models.prompts import Renderer

if TYPE_CHECKING:
    from numpy.typing import NDArray


def continuation_logprobs(
    session: Session,
    pairs: Sequence[tuple[Ids, Ids]],
    steers: Sequence[Acting | None],
    rows: Rows,
    progress: Progress = no_progress,
    keep: Keep = unkept,
) -> list[tuple[float, bool]]:
    """For each pair of context and continuation (at least one token each), in order: log p of the
    continuation under its steer, summed in float64, and whether greedy decoding would give it.

    The context is edited as a prompt is (pass 0), the k-th token of the continuation as the k-th
    generated one.
    """
    groups: dict[Reading, list[int]] = {}
    for place, ((context, continuation), steer) in enumerate(zip(pairs, steers, strict=True)):
        groups.setdefault(Reading(context + continuation[:-1], len(context), steer), []).append(place)
    endings = [torch.tensor([pairs[place][1] for place in places]) for places in groups.values()]
    found: list[tuple[float, bool]] = [(0.0, False)] * len(pairs)
    alike = list(groups.values())
    progress("reading continuations", 0, len(groups))
    for done, (text, (totals, greedy)) in enumerate(read_endings(session, list(groups), endings, rows, keep), 1):
        for place, total, given in zip(alike[text], totals.tolist(), greedy.tolist(), strict=True):
            found[place] = total, given
        progress("reading continuations", done, len(groups))
    return found


def letter_logprobs(
    session: Session,
    renderer: Renderer,
    questions: Sequence[str],
    letters: Sequence[str],
    steers: Sequence[Acting | None],
    rows: Rows,
    keep: Keep = unkept,
    before: Sequence[Sequence[tuple[str, str]]] = (),
) -> list[NDArray[Any]]:
    """For each question log p of each of its letters under its steer, float64 [number of letters]. A letter is put
    behind its question as every answer is (`Renderer.follow`). `before` are the turns before each question, if any
    has some."""
    turns = before or [()] * len(questions)
    prompts = [renderer.render(text, before=own) for text, own in zip(questions, turns, strict=True)]
    pairs = [
        (prompt.ids, renderer.follow(prompt.text, prompt.ids, letter))
        for prompt, row in zip(prompts, letters, strict=True)
        for letter in row
    ]
    acting = [steer for steer, row in zip(steers, letters, strict=True) for _ in row]
    read = iter(continuation_logprobs(session, pairs, acting, rows, keep=keep))
    return [np.array([next(read)[0] for _ in row]) for row in letters]
