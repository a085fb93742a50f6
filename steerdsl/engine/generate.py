"""Generate answers, steered or not, as rows of batches.

In: rows, each with its prompt and its sampling, and the touches of the batch. Out: `Answer`s.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from steerdsl.engine.capture import inputs
from steerdsl.engine.edits import Touch
from steerdsl.engine.meter import Meter
from steerdsl.engine.nan_guard import SOUND, broken_rows, end_tokens
from steerdsl.engine.sampling import drawer, uniforms
from steerdsl.engine.tracing import Session
from steerdsl.methods.finite import NotFinite
from steerdsl.models.batching import batches, joined, pad_id
from steerdsl.models.prompts import Rendered
from steerdsl.planning.requests import Sampling

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class AnswerRow:
    """One answer that is asked for: the answer number `sample` to the prompt at `place` of its data set,
    rendered as `prompt`, before which that data set has had `copy` equal ones."""

    place: int
    sample: int
    prompt: Rendered
    copy: int
    sampling: Sampling


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer. `prompt` is the place of its prompt in the list given, `sample` its number among
    the prompt's n; `ended` says that the model ended it before `max_tokens`. `broken` says why there is
    none: the logits of one of its tokens were not finite. Such an answer is never kept nor scored."""

    prompt: int
    sample: int
    token_ids: tuple[int, ...]
    text: str
    ended: bool
    broken: NotFinite | None = None


def rows_of(prompts: Sequence[Rendered], sampling: Sampling) -> list[list[AnswerRow]]:
    """The n rows of each prompt."""
    seen: Counter[tuple[int, ...]] = Counter()
    found = []
    for place, prompt in enumerate(prompts):
        found.append([AnswerRow(place, k, prompt, seen[prompt.ids], sampling) for k in range(sampling.n)])
        seen[prompt.ids] += 1
    return found


def answer(
    session: Session,
    rows: Sequence[AnswerRow],
    touches: Sequence[Touch],
    meter: Meter | None = None,
    reading: Sequence[Any] | None = None,
) -> list[Answer]:
    """The answer of each row of a batch. Rows have one limit of tokens; `touches` know which rows are whose, and
    `reading` says for each row what they do to its prompt: equal prompts of which it says the same are read once
    (None: no two rows are alike).
    A row whose logits are not finite gives a `broken` answer, and its neighbours keep theirs.
    `meter` gets each token."""
    tokenizer, passes = session.opened.tokenizer, rows[0].sampling.max_tokens
    batch = joined([row.prompt.ids for row in rows], pad_id(tokenizer))
    config = generation_config(session.opened, rows[0].sampling)
    draw = _drawing(rows)
    same = None if reading is None else first_equal([*zip((row.prompt.ids for row in rows), reading, strict=True)])
    if meter is not None:
        meter.begin(len(rows), config.pad_token_id)
    new, failed = decode(session, inputs(batch), touches, passes, config, draw, meter, same)
    made = zip(rows, new, failed, strict=True)
    return [replace(_answer(tokenizer, config, row, tokens), broken=error) for row, tokens, error in made]


def generate(
    session: Session, prompts: Sequence[Rendered], touches: Sequence[Touch], sampling: Sampling, size: int
) -> Iterator[list[Answer]]:
    """Yield the answers of each batch of prompts, alone with one steer; a batch has at most `size` rows, or
    the n rows of one prompt.

    Raises NotFinite R812 for the first batch with logits that are not finite.
    """
    rows = rows_of(prompts, sampling)
    for batch in batches(prompts, max(1, size // sampling.n), pad_id(session.opened.tokenizer)):
        own = [row for i in batch.index for row in rows[i]]
        made = answer(session, own, touches, reading=[None] * len(own))
        require_sound(made)
        yield made


def require_sound(made: Sequence[Answer]) -> None:
    """Raise the NotFinite of the first answer that is broken."""
    if error := next((answer.broken for answer in made if answer.broken is not None), None):
        raise error


def decode(
    session: Session,
    given: Mapping[str, Tensor],
    touches: Sequence[Touch],
    passes: int,
    config: Any,
    draw: Callable[..., Any] | None = None,
    meter: Meter | None = None,
    same: Sequence[int] | None = None,
) -> tuple[list[list[int]], list[NotFinite | None]]:
    """The new tokens of each row, and the error of each row whose logits were not finite when one of its
    tokens was chosen; what a row gives after its end does not matter."""
    ids, first = session.generate(given, touches, passes, config, draw, meter, same)
    width = given["input_ids"].shape[1]
    new: list[list[int]] = ids[:, width:].tolist()
    ends = end_tokens(config)
    lengths = [next((i for i, token in enumerate(row) if token in ends), len(row)) for row in new]
    steps = [step if SOUND < step <= length else None for step, length in zip(first.tolist(), lengths, strict=True)]
    return new, broken_rows(session, given, ids, touches, steps)


def first_equal(keys: Sequence[Hashable]) -> list[int]:
    """For each key the place of the first one that is equal."""
    first: dict[Hashable, int] = {}
    return [first.setdefault(key, place) for place, key in enumerate(keys)]


def _drawing(rows: Sequence[AnswerRow]) -> Callable[..., Any] | None:
    """What draws the tokens of sampled rows; None where there are none."""
    import torch

    if not any(row.sampling.temperature for row in rows):
        return None
    heat = torch.tensor([row.sampling.temperature for row in rows], dtype=torch.float64)
    passes = rows[0].sampling.max_tokens
    numbers: Tensor = torch.zeros(len(rows), passes, dtype=torch.float64)
    for i, row in enumerate(rows):
        if row.sampling.temperature:
            drawn = uniforms(row.sampling.seed, row.prompt.ids, row.copy, row.sample, passes)
            numbers[i] = torch.tensor(drawn, dtype=torch.float64)
    return drawer(heat, numbers)


def generation_config(opened: Any, sampling: Sampling) -> Any:
    """transformers' settings for decoding that takes the likeliest token, which `sampling.drawer` may have
    drawn. A model's own file adds nothing to them (see `models.generation`), so that two models are sampled
    alike."""
    from transformers import GenerationConfig

    own = opened.model.generation_config
    return GenerationConfig(
        max_new_tokens=sampling.max_tokens,
        do_sample=False,
        eos_token_id=own.eos_token_id if own.eos_token_id is not None else opened.tokenizer.eos_token_id,
        pad_token_id=pad_id(opened.tokenizer),
        bos_token_id=own.bos_token_id,
    )


def _answer(tokenizer: Any, config: Any, asked: AnswerRow, row: list[int]) -> Answer:
    ends = end_tokens(config)
    stop = next((i for i, token in enumerate(row) if token in ends), None)
    kept = row if stop is None else row[:stop]
    text = tokenizer.decode(kept, skip_special_tokens=True)
    return Answer(asked.place, asked.sample, tuple(kept), text, stop is not None)
