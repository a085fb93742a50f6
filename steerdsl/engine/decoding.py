"""Token by token: the loop of generation, in which a batch has no more rows than it needs.

In: a batch of prompts, as transformers hands it to a decoding loop of one's own (`custom_generate`). Out: the tokens
of every row. Rows that are equal until the first token is drawn are read once, and rows that have ended leave the
batch. What runs here may be sent to a server by value, so it uses torch, builtins and functions that travel with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch

from steerdsl.engine.edits import Touch, activation, held, touched, write

if TYPE_CHECKING:
    from torch import Tensor

    from steerdsl.engine.nan_guard import LogitWatch

# Rows leave once an eighth of the batch has ended. To take the others out of the cache costs about what the cache costs
# at each token anyway, a twentieth of a pass, and saves an eighth of every pass that follows.
LEAVE = 8


class Present:
    """The rows of a batch of `count` that a pass has. `rows` are their places in the batch in order, None for all;
    `back` is for each row of the batch its place in the pass, that of another row where it has none of its own."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.rows: list[int] | None = None
        self.back: Tensor | None = None

    def __len__(self) -> int:
        return self.count if self.rows is None else len(self.rows)

    @property
    def places(self) -> list[int]:
        """The rows of the pass, said one by one."""
        return list(range(self.count)) if self.rows is None else self.rows

    def only(self, rows: Sequence[int], same: Sequence[int] = ()) -> None:
        """The next pass has these rows. `same` is for each row of the batch the one that stands for it there."""
        own = {row: at for at, row in enumerate(rows)}
        stand = same or range(self.count)
        whole = len(rows) == self.count
        self.rows = None if whole else list(rows)
        self.back = None if whole else torch.tensor([own.get(row, 0) for row in stand])

    def whole(self, value: Tensor) -> Tensor:
        """`value`, which has a row for each of the pass, with a row for each of the batch."""
        return value if self.back is None else value.index_select(0, self.back.to(value.device))

    def part(self, value: Tensor) -> Tensor:
        """The rows of the pass, of `value`, which has all of the batch."""
        return value if self.rows is None else _taken(value, self.rows)


def visit_present(
    placed: Sequence[tuple[Any, Touch]], present: Present, step: int, mask: Tensor | None, memory: dict[str, Any]
) -> None:
    """Make every touch of one pass, as `edits.visit` does, where the pass may have only some rows of the batch. Edits
    know which rows are whose, so they are given as many as there were, those that are gone filled with others."""
    stash: dict[str, Any] = {}
    for module, touch in placed:
        whole = held(module, touch["side"])  # which waits for the pass: only then is it known what rows it has
        every = present.whole(activation(whole, len(present), touch["factor"]))
        memory["rows"] = present.rows if step else None
        new = touched(touch, every, step, mask, memory, stash)
        if new is not every:
            write(module, touch["side"], whole, present.part(new), touch["factor"])


class Loop:
    """Decodes as transformers' own loop does, and gives every row the same tokens.

    `same` is for each row the first one that has the same prompt, and the same edits while that is read. `watch` sees
    the scores of each step; `draw`, where rows are sampled, gives their tokens; `tell` is given each step's tokens.
    """

    def __init__(
        self,
        same: Sequence[int],
        watch: LogitWatch,
        draw: Callable[..., tuple[list[int], Tensor]] | None,
        tell: Callable[[Tensor], None] | None = None,
    ) -> None:
        self.same, self.watch, self.draw, self.tell = list(same), watch, draw, tell
        self.present = Present(len(self.same))

    def __call__(
        self,
        model: Any,
        input_ids: Tensor,
        logits_processor: Any,
        stopping_criteria: Any,
        generation_config: Any,
        **kwargs: Any,
    ) -> Tensor:
        """All tokens, int64 [B, S + generated], what comes after a row's end filled up with padding."""
        present, step = self.present, 0
        pad = 0 if generation_config._pad_token_tensor is None else int(generation_config._pad_token_tensor)
        found, going = [input_ids], torch.ones(len(input_ids), dtype=torch.bool, device=input_ids.device)
        logits, kwargs = self._read(model, input_ids, kwargs)
        movable = _movable(kwargs)
        with getattr(model, "_optimize_model_for_decode", nullcontext)():
            while True:
                tokens = self._next(input_ids, logits, logits_processor, step).where(going, pad)
                column = input_ids.new_full((present.count,), pad)
                column[present.places] = tokens
                found.append(column[:, None])
                if self.tell is not None:
                    self.tell(tokens.cpu())
                input_ids = torch.cat([input_ids, tokens[:, None]], 1)
                going = going & ~stopping_criteria(input_ids, None)
                left = int(going.sum())
                if not left:
                    return torch.cat(found, 1)
                if movable and len(going) - left >= max(1, len(going) / LEAVE):
                    stay = going.nonzero()[:, 0].tolist()
                    present.only([present.places[at] for at in stay])
                    kwargs = _only(kwargs, stay, len(going))
                    input_ids, going = _taken(input_ids, stay), _taken(going, stay)
                step += 1
                asked = model.prepare_inputs_for_generation(input_ids, next_sequence_length=1, **kwargs)
                logits, kwargs = _pass(model, asked, kwargs)

    def _read(self, model: Any, input_ids: Tensor, kwargs: dict[str, Any]) -> tuple[Tensor, dict[str, Any]]:
        """Read the prompts, each once: the scores of the first token, and what the next pass is given, for all."""
        present, every = self.present, list(range(len(input_ids)))
        first = sorted(set(self.same)) if _movable(kwargs) else every
        if len(first) < len(every):
            present.only(first, self.same)
            kwargs, input_ids = _only(kwargs, first, len(every), cache=False), _taken(input_ids, first)
        asked = model.prepare_inputs_for_generation(input_ids, is_first_iteration=True, **kwargs)
        logits, kwargs = _pass(model, asked, kwargs)
        if present.back is not None:
            logits, kwargs = present.whole(logits), _only(kwargs, present.back.tolist(), len(first))
            present.only(every)
        return logits, kwargs

    def _next(self, input_ids: Tensor, logits: Tensor, processors: Any, step: int) -> Tensor:
        """The next token of each row of the pass, int64 [b]."""
        scores = self.watch.look(processors(input_ids, logits), self.present.rows)
        at, drawn = ([], None) if self.draw is None else self.draw(scores, step, self.present.rows)
        if drawn is None or not at:
            return scores.argmax(-1)
        sampled = set(at)
        greedy = [row for row in range(len(scores)) if row not in sampled]
        tokens = input_ids.new_empty(len(scores))
        tokens[at] = drawn.to(tokens.device)
        if greedy:
            tokens[greedy] = scores[greedy].argmax(-1)
        return tokens


def _pass(model: Any, asked: dict[str, Any], kwargs: dict[str, Any]) -> tuple[Tensor, dict[str, Any]]:
    """One pass: the last logits in float32, and what the next pass is given."""
    outputs = model(**asked, return_dict=True)
    # A copy, so that a prompt's logits need not stay.
    logits = outputs.logits[:, -1].to(copy=True, dtype=torch.float32)
    return logits, model._update_model_kwargs_for_generation(outputs, kwargs)


def _movable(kwargs: dict[str, Any]) -> bool:
    """Whether rows can be taken out of what the passes remember. A cache that a model's own file defines (MiniMax's)
    may keep more than its `reorder_cache` moves."""
    cache = kwargs.get("past_key_values")
    return hasattr(cache, "reorder_cache") and type(cache).__module__ == "transformers.cache_utils"


def _only(kwargs: dict[str, Any], rows: list[int], count: int, cache: bool = True) -> dict[str, Any]:
    """What passes are given, for these rows of the `count` that there are."""
    if cache:
        kwargs["past_key_values"].reorder_cache(torch.tensor(rows))
    return {
        name: _taken(value, rows) if torch.is_tensor(value) and value.ndim > 1 and len(value) == count else value
        for name, value in kwargs.items()
    }


def _taken(value: Tensor, rows: list[int]) -> Tensor:
    return value.index_select(0, torch.tensor(rows, device=value.device))
