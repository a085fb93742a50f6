"""Models, vectors and recipes in which a number that is not finite is planted, and the passes that meet it.

Out: `PLANTS` (where in a model), `PASSES` (what a recipe asks of it), `broken_folder` (such a model).
"""

from __future__ import annotations

from pathlib import Path

import torch
from tiny import tiny, tiny_tokenizer

DATA = """
dataset a = "a.jsonl" with field: "prompt", choices: "choices", answer: "answer", held_out: 0%
dataset b = "b.jsonl" with field: "prompt", held_out: 0%
v = load "v.safetensors"
steer s { add v by 1 at layers 1 }
"""
# Name: the parameter of a tiny llama (untied) in which one number, or one row, is planted.
PLANTS = {
    "embeddings": "model.embed_tokens.weight",
    "first norm": "model.layers.0.input_layernorm.weight",
    "queries": "model.layers.1.self_attn.q_proj.weight",
    "attention output": "model.layers.0.self_attn.o_proj.weight",
    "MLP": "model.layers.1.mlp.down_proj.weight",
    "last layer": "model.layers.2.mlp.gate_proj.weight",
    "final norm": "model.norm.weight",
    "lm_head": "lm_head.weight",
}
# Name: lines of a recipe behind DATA. Each reads the model once more in another way.
PASSES = {
    "extract": "topic = extract diffmean from a vs b at mean_content",
    "extract rows": "topic = extract pca from a vs b at last_token",
    "mean_response": "topic = extract diffmean from a vs b at mean_response",
    "greedy": "out = generate from a with max_tokens: 3",
    "sampled": "out = generate from a with max_tokens: 3, temperature: 1, n: 2",
    "steered": "out = generate from a with steer: s, max_tokens: 3",
    "patch": 'steer p { patch from "one" at layer 1 }\nout = generate from a with steer: p, max_tokens: 2',
    "answers scored": "e = evaluate s on a with refusal_rate, distinct_1, bleu, max_tokens: 3\n"
    "check e.refusal_rate <= baseline",
    "likelihood": "e = evaluate s on a with perplexity",
    "kl": "e = evaluate s on a with kl, delta_nll, max_tokens: 3",
    "letters": "e = evaluate s on a with multiple_choice",
}


def write_data(folder: Path) -> None:
    """Both data sets, with options and answers, and a vector."""
    from steerdsl.methods.types import Directions, Vector
    from steerdsl.store.vector_files import save_vector

    rows = (
        f'{{"prompt": "{word} {number}", "choices": ["one", "two"], "answer": "A"}}\n'
        for word in ("bread", "price")
        for number in ("one", "two", "three", "four")
    )
    lines = list(rows)
    (folder / "a.jsonl").write_text("".join(lines[:4]))
    (folder / "b.jsonl").write_text("".join(lines[4:]))
    unit = torch.nn.functional.normalize(torch.ones(3, 1, 32), dim=-1)
    vector = Vector("v", Directions(unit, torch.ones(3, 1, dtype=torch.float64)), torch.arange(3), "resid_post")
    save_vector(vector, folder / "v.safetensors")


def broken_folder(folder: Path, parameter: str, value: float) -> Path:
    """A tiny llama with `value` in one column of a parameter: every token meets it."""
    model = tiny("llama_untied")
    with torch.no_grad():
        model.get_parameter(parameter).T[0] = value
    model.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder
