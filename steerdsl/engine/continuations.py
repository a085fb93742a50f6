"""How likely given continuations are: letters after a question, endings after a story.

In: pairs of token ids, what stands and what is to follow it, and touches. Out: the log-probability of
each continuation. Continuations that differ in their last token alone are read in one pass.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from steerdsl.engine.likelihood import read_endings
from steerdsl.engine.tracing import Session
from steerdsl.engine.wire import Touch
from steerdsl.models.cache import Progress, no_progress
from steerdsl.models.prompts import Rendered

Ids = tuple[int, ...]
# Tokens whose logits are held at once: with a vocabulary of 150 000 in float32, 2.5 GB.
_TOKENS = 4096


def continuation_logprobs(
    session: Session,
    pairs: Sequence[tuple[Ids, Ids]],
    touches: Sequence[Touch],
    batch_size: int,
    progress: Progress = no_progress,
) -> list[tuple[float, bool]]:
    """For each pair of context and continuation (at least one token each), in order: log p of the
    continuation, summed in float64, and whether greedy decoding would give it.

    The context is edited as a prompt is (pass 0), the k-th token of the continuation as the k-th
    generated one.
    """
    groups: dict[tuple[Ids, Ids], list[int]] = {}
    for place, (context, continuation) in enumerate(pairs):
        groups.setdefault((context, continuation[:-1]), []).append(place)
    # The longest first: least padding, and too large a batch fails at once.
    ordered = sorted(groups, key=lambda key: -len(key[0]) - len(key[1]))
    if not ordered:
        return []
    longest = len(ordered[0][0]) + len(ordered[0][1])
    texts = [Rendered("", context + shared, (0, len(context)), "") for context, shared in ordered]
    starts = [len(context) for context, _ in ordered]
    endings = [torch.tensor([pairs[place][1] for place in groups[key]]) for key in ordered]
    size = max(1, min(batch_size, _TOKENS // longest))
    found: list[tuple[float, bool]] = [(0.0, False)] * len(pairs)
    readings = read_endings(session, texts, starts, endings, touches, size)
    progress("reading continuations", 0, len(ordered))
    for done, (key, (totals, greedy)) in enumerate(zip(ordered, readings, strict=True), 1):
        for place, total, given in zip(groups[key], totals.tolist(), greedy.tolist(), strict=True):
            found[place] = total, given
        progress("reading continuations", done, len(ordered))
    return found
