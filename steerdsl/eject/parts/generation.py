"""Generation with edits in place."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig

from steerdsl.eject.parts.batching import batches
from steerdsl.eject.parts.prompts import read_prompts
from steerdsl.eject.parts.settings import BATCH_SIZE, END_IDS, PAD_ID
from steerdsl.eject.parts.steering import Edits, apply


def settings(max_tokens: int) -> GenerationConfig:
    """How tokens are chosen: always the likeliest."""
    return GenerationConfig(
        max_new_tokens=max_tokens,
        eos_token_id=list(END_IDS) or None,
        pad_token_id=PAD_ID,
        do_sample=False,
    )


def uniforms(key: Sequence[int], count: int) -> list[float]:
    """Numbers in [0, 1) that belong to one answer.

    key: the seed, which of several equal prompts it answers, which of several answers it
    is, and the prompt. So no answer depends on what shares its batch.
    """
    told = ",".join(map(str, key))
    bits = hashlib.shake_256(told.encode()).digest(8 * count)
    words = [bits[i : i + 8] for i in range(0, len(bits), 8)]
    return [(int.from_bytes(word, "little") >> 11) * 2.0**-53 for word in words]


def draw(temperature: float, numbers: Tensor, width: int) -> Callable[..., Tensor]:
    """Leave each row one token: where the sum of probabilities passes its number.

    numbers: one for each row and token. width: that of the prompts, padding included.
    """

    def choose(input_ids: Tensor, scores: Tensor) -> Tensor:
        rows = scores.double()
        rows = (rows - rows.amax(-1, keepdim=True)) / temperature
        heaped = rows.exp_().cumsum(-1)
        number = numbers[:, input_ids.shape[1] - width, None].to(rows.device)
        chosen = (heaped <= number * heaped[:, -1:]).sum(-1, keepdim=True)
        chosen = chosen.clamp(max=rows.shape[-1] - 1)
        return torch.full_like(scores, -float("inf")).scatter(-1, chosen, 0.0)

    return choose


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
    config = settings(max_tokens)
    answers: list[tuple[int, dict[str, Any]]] = []
    seen: Counter[tuple[int, ...]] = Counter()  # if: sampled
    copies = []  # if: sampled
    for prompt in prompts:  # if: sampled
        copies.append(seen[tuple(prompt.ids)])  # if: sampled
        seen[tuple(prompt.ids)] += 1  # if: sampled
    size = BATCH_SIZE  # if: not sampled
    size = max(1, BATCH_SIZE // n)  # if: sampled
    for number, (index, batch) in enumerate(batches(prompts, size)):
        places = [(i, 0) for i in index]  # if: not sampled
        places = [(i, k) for i in index for k in range(n)]  # if: sampled
        for name in batch:  # if: sampled
            batch[name] = batch[name].repeat_interleave(n, dim=0)  # if: sampled
        real = batch["attention_mask"].bool()
        given: dict[str, Any] = {"generation_config": config}
        if temperature:  # if: sampled
            keys = [(seed, copies[i], k, *prompts[i].ids) for i, k in places]  # if: sampled
            drawn = [uniforms(key, max_tokens) for key in keys]  # if: sampled
            numbers = torch.tensor(drawn, dtype=torch.float64)  # if: sampled
            choose = draw(temperature, numbers, real.shape[1])  # if: sampled
            given["logits_processor"] = [choose]  # if: sampled
        with torch.no_grad(), model.generate(batch, **given) as tracer:  # if: not steered
            ids = tracer.result.save()  # if: not steered
        with torch.no_grad(), model.generate(**given) as tracer:  # if: steered
            with tracer.invoke(batch):  # if: steered
                ids = tracer.result.save()  # if: steered
            if edits:  # if: steered
                # An invoke without a prompt sees the whole batch of the one above. Its  # if: steered
                # loop takes part in every forward pass: the prompt's, then each token's.  # if: steered
                with tracer.invoke():  # if: steered
                    for step in tracer.iter[:max_tokens]:  # if: steered
                        apply(model, edits, step, real)  # if: steered
        print(f"  batch {number + 1}: {len(ids)} answers", flush=True)
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
