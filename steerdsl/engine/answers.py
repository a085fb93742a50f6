"""Generate answers, steered or not, in batches.

In: rendered prompts, the touches of a steer, sampling settings. Out: `Answer`s in the order of the
prompts, handed over batch by batch so that a caller can keep what is there when it is interrupted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from steerdsl.engine.capture import inputs
from steerdsl.engine.meter import Meter
from steerdsl.engine.tracing import Session
from steerdsl.engine.wire import Touch
from steerdsl.models.batching import Batch, batches, pad_id
from steerdsl.models.prompts import Rendered

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Sampling:
    """max_tokens: at most so many new tokens. temperature 0 is greedy; n answers a prompt; `seed`
    starts the generator of each batch (with its number), so a run repeats with the same batches."""

    max_tokens: int = 64
    temperature: float = 0.0
    n: int = 1
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer. `prompt` is the place of its prompt in the list given, `sample` its number among
    the prompt's n; `ended` says that the model ended it before `max_tokens`."""

    prompt: int
    sample: int
    token_ids: tuple[int, ...]
    text: str
    ended: bool


def generate(
    session: Session,
    prompts: Sequence[Rendered],
    touches: Sequence[Touch],
    sampling: Sampling,
    batch_size: int,
    known: Callable[[int], list[Answer] | None] = lambda number: None,
    meter: Meter | None = None,
) -> Iterator[list[Answer]]:
    """Yield the answers of each batch. A batch has at most `batch_size` rows, n for each prompt.
    `known` gives the answers of a batch, by its number, that an earlier run has made; `meter` is told of
    every token that is made."""
    import torch

    size = max(1, batch_size // sampling.n)
    for number, batch in enumerate(batches(prompts, size, pad_id(session.opened.tokenizer))):
        if (made := known(number)) is not None:
            if meter is not None:
                meter.known(len(made))
            yield made
            continue
        given = {k: v.repeat_interleave(sampling.n, dim=0) for k, v in inputs(batch).items()}
        torch.manual_seed(sampling.seed * 1_000_003 + number)
        places = [(i, k) for i in batch.index for k in range(sampling.n)]
        yield _decoded(session, given, places, touches, sampling, meter)


def generate_together(
    session: Session,
    batch: Batch,
    count: int,
    touches: Sequence[Touch],
    sampling: Sampling,
    meter: Meter | None = None,
) -> list[list[Answer]]:
    """The greedy answers of `count` steers to one batch of prompts, as rows of one larger batch: those
    of the first steer, then those of the second. `touches` know which rows are whose."""
    given = {k: v.repeat(count, 1) for k, v in inputs(batch).items()}
    found = _decoded(session, given, [(i, 0) for i in batch.index] * count, touches, sampling, meter)
    each = len(batch.index)
    return [found[start : start + each] for start in range(0, len(found), each)]


def _decoded(
    session: Session,
    given: Mapping[str, Tensor],
    places: Sequence[tuple[int, int]],
    touches: Sequence[Touch],
    sampling: Sampling,
    meter: Meter | None,
) -> list[Answer]:
    """The answer of each row; `places` are its prompt and its number among the prompt's answers."""
    config = generation_config(session.opened, sampling)
    if meter is not None:
        meter.begin(len(places), config.pad_token_id)
    ids = session.generate(given, touches, sampling.max_tokens, config, meter)
    new = ids[:, given["input_ids"].shape[1] :].tolist()
    tokenizer = session.opened.tokenizer
    return [_answer(tokenizer, config, i, k, row) for (i, k), row in zip(places, new, strict=True)]


def generation_config(opened: Any, sampling: Sampling) -> Any:
    """transformers' settings for exactly this sampling: whatever a model's own file adds (top-k, a
    repetition penalty) is left out, so that two models are sampled alike."""
    from transformers import GenerationConfig

    own = opened.model.generation_config
    warm = sampling.temperature > 0
    return GenerationConfig(
        max_new_tokens=sampling.max_tokens,
        do_sample=warm,
        **({"temperature": sampling.temperature, "top_k": 0, "top_p": 1.0} if warm else {}),
        eos_token_id=own.eos_token_id if own.eos_token_id is not None else opened.tokenizer.eos_token_id,
        pad_token_id=pad_id(opened.tokenizer),
        bos_token_id=own.bos_token_id,
    )


def _answer(tokenizer: Any, config: Any, prompt: int, sample: int, row: list[int]) -> Answer:
    ends = {config.eos_token_id} if isinstance(config.eos_token_id, int) else set(config.eos_token_id or ())
    stop = next((i for i, token in enumerate(row) if token in ends), None)
    kept = row if stop is None else row[:stop]
    return Answer(prompt, sample, tuple(kept), tokenizer.decode(kept, skip_special_tokens=True), stop is not None)
