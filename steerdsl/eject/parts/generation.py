"""Generation with edits in place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig

from steerdsl.eject.parts.prompts import read_prompts
from steerdsl.eject.parts.settings import BATCH_SIZE, END_IDS, PAD_ID
from steerdsl.engine.capture import inputs
from steerdsl.engine.edits import Touch, place, visit
from steerdsl.engine.nan_guard import SOUND, LogitWatch
from steerdsl.engine.sampling import chooser, uniforms
from steerdsl.engine.tracing.session import _padding
from steerdsl.methods.finite import NotFinite
from steerdsl.models.batching import Batch, batches, joined
from steerdsl.models.prompts import Rendered
from steerdsl.planning.samples import RESPONSE_TOKENS


def decode(
    model: Any,
    batch: Batch,
    max_tokens: int,
    touches: Sequence[Touch] = (),  # if: steered
    choose: Any = None,  # if: sampled
) -> list[tuple[list[int], bool]]:
    """The answer to each prompt of a batch, as tokens, and whether the model ended it. Raises NotFinite.

    touches: what is done to each forward pass; none for the model's own answers.  # if: steered
    choose: leaves each row one token to choose, that which is drawn.  # if: sampled
    """
    config = GenerationConfig(
        max_new_tokens=max_tokens, eos_token_id=list(END_IDS) or None, pad_token_id=PAD_ID, do_sample=False
    )
    watch = LogitWatch(END_IDS)
    processors = [watch]  # if: not sampled
    processors = [watch] if choose is None else [watch, choose]  # if: sampled
    with torch.no_grad(), model.generate(generation_config=config, logits_processor=processors) as tracer:
        with tracer.invoke(inputs(batch)):
            ids = tracer.result.save()
        if touches:  # if: steered
            # An invoke without a prompt sees the whole batch of the one above. Its loop takes  # if: steered
            # part in every forward pass: the prompt's, then each token's.  # if: steered
            with tracer.invoke():  # if: steered
                memory: dict[str, Any] = {}  # if: steered
                placed = place(model, touches)  # if: steered
                for step in tracer.iter[:max_tokens]:  # if: steered
                    visit(placed, len(batch.mask), step, _padding(batch.mask), memory)  # if: steered
    found = []
    assert watch.first is not None
    for row, broken in zip(ids[:, batch.input_ids.shape[1] :].tolist(), watch.first.tolist(), strict=True):
        stop = next((i for i, token in enumerate(row) if token in END_IDS), None)
        if SOUND < broken <= len(row[:stop]):
            problem = f"the logits are not finite at answer token {broken + 1}"
            raise NotFinite(problem, "take a smaller strength, or another dtype", "R812")
        found.append((row[:stop], stop is not None))
    return found


def generate(
    model: Any,
    tokenizer: Any,
    rows: Mapping[int, Any],
    touches: Sequence[Touch],  # if: steered
    max_tokens: int,
    temperature: float = 0.0,  # if: sampled
    n: int = 1,  # if: sampled
    seed: int = 0,  # if: sampled
) -> list[dict[str, Any]]:
    """Answers to the rows of a data set, in their order."""
    prompts = read_prompts(tokenizer, rows)
    made: dict[tuple[int, int], tuple[list[int], bool]] = {}
    keys = copies(prompts, seed)  # if: sampled
    size = BATCH_SIZE  # if: not sampled
    size = max(1, BATCH_SIZE // n)  # if: sampled
    for batch in batches(prompts, size, PAD_ID):
        asked = [(i, 0) for i in batch.index]  # if: not sampled
        asked = [(i, k) for i in batch.index for k in range(n)]  # if: sampled
        whole = joined([prompts[i].ids for i, _ in asked], PAD_ID)  # if: sampled
        choose = drawn([(*keys[i], k) for i, k in asked], temperature, max_tokens, whole)  # if: sampled
        answers = decode(model, batch, max_tokens)  # if: plain
        answers = decode(model, batch, max_tokens, touches)  # if: edited
        answers = decode(model, whole, max_tokens, choose=choose)  # if: drawn
        answers = decode(model, whole, max_tokens, touches, choose)  # if: edited_and_drawn
        made |= zip(asked, answers, strict=True)
        print(f"  {len(made)} answers", flush=True)
    words = [(row, said[0]) for row, said in rows.items()]  # if: answers
    words = list(rows.items())  # if: not answers
    return [answer(tokenizer, *words[i], prompts[i], k, *made[i, k]) for i, k in sorted(made)]


def answer(
    tokenizer: Any, row: int, words: str, prompt: Rendered, sample: int, tokens: list[int], ended: bool
) -> dict[str, Any]:
    """One answer, as a line of generations.jsonl has it."""
    return {
        "row": row,
        "sample": sample,
        "prompt": words,
        "rendered_sha256": prompt.sha256,
        "token_ids": tokens,
        "text": tokenizer.decode(tokens, skip_special_tokens=True),
        "ended": ended,
    }


def copies(prompts: Sequence[Rendered], seed: int) -> list[tuple[int, tuple[int, ...], int]]:
    """The seed, the prompt and which of several equal prompts it is: what the numbers of an answer depend on."""
    seen: Counter[tuple[int, ...]] = Counter()
    keys = []
    for prompt in prompts:
        keys.append((seed, prompt.ids, seen[prompt.ids]))
        seen[prompt.ids] += 1
    return keys


def drawn(
    keys: Sequence[tuple[int, tuple[int, ...], int, int]], temperature: float, max_tokens: int, batch: Batch
) -> Any:
    """What draws the tokens of a batch; None where the likeliest is taken."""
    if not temperature:
        return None
    numbers = torch.tensor([uniforms(*key, max_tokens) for key in keys], dtype=torch.float64)
    heat: Tensor = torch.full((len(keys),), temperature, dtype=torch.float64)
    return chooser(heat, numbers, batch.input_ids.shape[1])


def answered(model: Any, prompts: list[Rendered]) -> list[Rendered]:
    """Prompts with an answer behind each: where the data has none, the model's own."""
    missing = [i for i, prompt in enumerate(prompts) if prompt.response is None]
    for batch in batches([prompts[i] for i in missing], BATCH_SIZE, PAD_ID):
        answers = decode(model, batch, RESPONSE_TOKENS)
        for i, (tokens, _) in zip(batch.index, answers, strict=True):
            before = prompts[missing[i]]
            response = (len(before.ids), len(before.ids) + len(tokens))
            prompts[missing[i]] = replace(before, ids=(*before.ids, *tokens), response=response)
    return prompts
