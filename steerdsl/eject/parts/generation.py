"""Generation with edits in place."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import torch
from transformers import GenerationConfig

from steerdsl.eject.parts.batching import batches
from steerdsl.eject.parts.prompts import read_prompts
from steerdsl.eject.parts.settings import BATCH_SIZE, END_IDS, PAD_ID
from steerdsl.eject.parts.steering import Edits, apply


def settings(
    max_tokens: int,
    temperature: float = 0.0,  # if: sampled
) -> GenerationConfig:
    """How tokens are chosen: the likeliest, unless there is a temperature."""
    warm: Any = {"temperature": temperature, "top_k": 0, "top_p": 1.0}  # if: sampled
    return GenerationConfig(
        max_new_tokens=max_tokens,
        eos_token_id=list(END_IDS) or None,
        pad_token_id=PAD_ID,
        do_sample=temperature > 0,  # if: sampled
        **(warm if temperature > 0 else {}),  # if: sampled
    )


def generate(
    model: Any,
    tokenizer: Any,
    rows: Mapping[int, Any],
    edits: Edits,  # if: steered
    max_tokens: int,
    temperature: float = 0.0,  # if: sampled
    n: int = 1,  # if: sampled
    seed: int = 0,  # if: sampled
) -> list[dict[str, Any]]:
    """Answers to the rows of a data set, in their order.

    edits: what is done to each forward pass; none for the model's own answers.  # if: steered
    """
    prompts = read_prompts(tokenizer, rows)
    config = settings(max_tokens)  # if: not sampled
    config = settings(max_tokens, temperature)  # if: sampled
    answers: list[tuple[int, dict[str, Any]]] = []
    size = BATCH_SIZE  # if: not sampled
    size = max(1, BATCH_SIZE // n)  # if: sampled
    for number, (index, batch) in enumerate(batches(prompts, size)):
        torch.manual_seed(seed * 1_000_003 + number)  # if: sampled
        for name in batch:  # if: sampled
            batch[name] = batch[name].repeat_interleave(n, dim=0)  # if: sampled
        real = batch["attention_mask"].bool()
        with torch.no_grad(), model.generate(batch, generation_config=config) as tracer:  # if: not steered
            ids = tracer.result.save()  # if: not steered
        with torch.no_grad(), model.generate(generation_config=config) as tracer:  # if: steered
            with tracer.invoke(batch):  # if: steered
                ids = tracer.result.save()  # if: steered
            if edits:  # if: steered
                # An invoke without a prompt sees the whole batch of the one above. Its  # if: steered
                # loop takes part in every forward pass: the prompt's, then each token's.  # if: steered
                with tracer.invoke():  # if: steered
                    for step in tracer.iter[:max_tokens]:  # if: steered
                        apply(model, edits, step, real)  # if: steered
        print(f"  batch {number + 1}: {len(ids)} answers", flush=True)
        places = [(i, 0) for i in index]  # if: not sampled
        places = [(i, k) for i in index for k in range(n)]  # if: sampled
        new = ids[:, real.shape[1] :].tolist()
        for (i, k), row in zip(places, new, strict=True):
            stop = next((at for at, token in enumerate(row) if token in END_IDS), None)
            answer = {
                "row": prompts[i].row,
                "sample": k,
                "prompt": prompts[i].words,
                "rendered_sha256": hashlib.sha256(prompts[i].text.encode()).hexdigest(),
                "token_ids": row[:stop],
                "text": tokenizer.decode(row[:stop], skip_special_tokens=True),
                "ended": stop is not None,
            }
            answers.append((i, answer))
    # Batches go by length; the answers go back into the order of the data.
    return [answer for _, answer in sorted(answers, key=lambda item: item[0])]
