"""A tiny model in which one layer and one strength are best, both known in closed form.

No block writes to the residual stream, and every token enters it as the same unit vector e. `v` has a unit vector u
orthogonal to e at layer 1, and at the other layers one that no logit reads. With s·u added the final norm sees the
direction at the angle atan(s) from e to u. Tokens of `a` have logits that are highest at atan(PEAK), tokens of `b`
logits that are highest at 0, so that the likelihood of `a` over strength is an inverted U and that of `b` falls.
Out: `write` (model, data, vector), `loss_a` and `loss_b` by strength, from formulas alone.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
from tiny import VOCAB, tiny, tiny_tokenizer

WIDTH, LAYER, PEAK, SIZE = 32, 1, 1.3, 6.0
# Of each data set one character, which no merge of the tokenizer takes up.
LETTERS = {"a": "J", "b": "Q"}
HEAD = """
dataset a = "a.jsonl" with held_out: 25%, tune: 50%
dataset b = "b.jsonl" with held_out: 25%, tune: 50%
v = load "v.safetensors"
"""


def write(folder: Path) -> Path:
    """The data and the vector in `folder`, the model in `folder/model`, whose path is given back."""
    from steerdsl.methods.types import Directions, Vector
    from steerdsl.store.vector_files import save_vector

    for name, letter in LETTERS.items():
        lines = (f'{{"prompt": "{letter * count}"}}\n' for count in range(2, 26))
        (folder / f"{name}.jsonl").write_text("".join(lines))
    e, u, unread = torch.eye(WIDTH)[:3]
    unit = torch.stack([unread, u, unread])[:, None]
    vector = Vector("v", Directions(unit, torch.ones(3, 1, dtype=torch.float64)), torch.arange(3), "resid_post")
    save_vector(vector, folder / "v.safetensors")
    model, tokenizer = tiny("llama_untied"), tiny_tokenizer()
    ids = {name: tokenizer(letter * 8, add_special_tokens=False).input_ids for name, letter in LETTERS.items()}
    assert all(set(own) == {own[0]} for own in ids.values())
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                weight.zero_()
        model.model.embed_tokens.weight[:] = e
        model.model.norm.weight.fill_(1)
        model.lm_head.weight.zero_()
        angle, size = math.atan(PEAK), SIZE / math.sqrt(WIDTH)
        model.lm_head.weight[ids["a"][0]] = size * (math.cos(angle) * e + math.sin(angle) * u)
        model.lm_head.weight[ids["b"][0]] = size * e
    model.save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    return folder / "model"


def _loss(strength: float, own: float, other: float) -> float:
    """Cross-entropy of a token whose logit peaks at the angle `own`, beside one that peaks at `other`."""
    at = math.atan(strength)
    logits = [SIZE * math.cos(at - own), SIZE * math.cos(at - other)]
    return math.log(sum(map(math.exp, logits)) + VOCAB - 2) - logits[0]


def loss_a(strength: float) -> float:
    return _loss(strength, math.atan(PEAK), 0.0)


def loss_b(strength: float) -> float:
    return _loss(strength, 0.0, math.atan(PEAK))


def best(limit: float = math.inf) -> float:
    """The strength between 0 and 4 at which the loss of `a` is least, that of `b` being below `limit`."""
    every = (i / 10_000 for i in range(40_001))
    return min((s for s in every if loss_b(s) < limit), key=loss_a)
