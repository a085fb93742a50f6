"""A file for lm-eval's steered model, loaded by lm-eval, does what the engine's steer does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from made import IDS, random_vector, raw_rows


def steered(model: str, file: Path, ids: torch.Tensor) -> torch.Tensor:
    """Logits of lm-eval's own class."""
    module = pytest.importorskip("lm_eval.models.hf_steered")
    loaded = module.SteeredModel(pretrained=model, steer_path=str(file), device="cpu", dtype="float32")
    found: torch.Tensor = loaded._model_call(ids)
    return found


STEERS = [
    ("llama", "add v by 2 at layers 1; add u by -1 on mlp_out at layers 0..2"),
    ("llama", "clamp v to 3 at layers 1; ablate v[1] on attn_out at layers 2"),
    ("llama", "ablate v[1] everywhere"),
    ("llama", "clamp v to -2 on resid_pre at layers 2; add v by 1 on mlp_norm_out at layers 1"),
    ("gpt2", "add v by 2 on attn_out at layers 1; clamp u to 1 at layers 2"),
    ("gemma2", "ablate v[1] everywhere"),
]


def test_the_file_of_a_steer(bench: Any) -> None:
    made = bench("llama")
    path = made.export("add v by 2 at layers 1; ablate u on mlp_out at layers 2; clamp u to 3 at layers 0", "s.pt")
    found = torch.load(path, weights_only=True)
    assert list(found) == ["layers.1", "layers.2.mlp", "layers.0"]
    assert {hook: (said["action"], said["steering_coefficient"]) for hook, said in found.items()} == {
        "layers.1": ("add", 2.0),
        "layers.2.mlp": ("clamp", 0.0),
        "layers.0": ("clamp", 3.0),
    }
    assert all(said["bias"] is None and said["head_index"] is None for said in found.values())
    vector = random_vector(name="v")
    assert torch.allclose(found["layers.1"]["steering_vector"].double(), raw_rows(vector)[1, 0], atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(("case", "steer"), STEERS)
def test_lm_eval_steers_as_the_engine_does(bench: Any, case: str, steer: str) -> None:
    made = bench(case)
    file = made.export(steer, "s.pt")
    expected = made.logits(steer)
    assert (expected - made.logits()).abs().max() > 0.01
    assert (steered(made.model, file, IDS) - expected).abs().max() < 1e-5


@pytest.mark.parametrize(
    ("case", "steer", "reason"),
    [
        (
            "llama",
            "add v by 1 at layers 1; clamp v to 1 at layers 1",
            "it holds one edit of `layers.1`, and this steer",
        ),
        (
            "llama",
            "add v by 1 at layers 1; add v by 1 on resid_pre at layers 2",
            "it holds one edit of `layers.1`, and",
        ),
        ("llama", "ablate v at layers 1 by 50%", "a partial ablation is not a clamp"),
        ("llama", "ablate two at layers 1", "it holds one direction a place, and here are 2"),
        ("llama", "add v by 1 on resid_mid at layers 1", "resid_mid is not the output of a module"),
        ("llama", "add v by 1 on resid_pre at layers 0", "the first block's input is not the output of a module"),
        ("gpt2", "ablate v[1] everywhere", "the first block's input is not the output of a module"),
        ("llama", "cap v to 1 at layers 1", "it holds `ablate` and `add` and `clamp`, and `cap` is none of these"),
    ],
)
def test_what_the_file_cannot_carry(bench: Any, case: str, steer: str, reason: str) -> None:
    made = bench(case)
    code, err = made.run(f'{made.text(steer)}; export s to "s.pt"')
    assert code in (1, 3) and f"error[R847]: a steered model's file of lm-eval cannot carry this: {reason}" in err
    assert not Path("r/s.pt").exists()
