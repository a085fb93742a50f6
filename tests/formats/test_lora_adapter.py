"""A PEFT adapter exported from an ablation, loaded by peft, does what the engine's ablation does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from made import IDS
from transformers import AutoModelForCausalLM

peft = pytest.importorskip("peft")


def adapted(model: str, adapter: Path, ids: torch.Tensor) -> torch.Tensor:
    """Logits of the plain model with the adapter, by peft alone."""
    base = AutoModelForCausalLM.from_pretrained(model, dtype="float32").eval()
    loaded = peft.PeftModel.from_pretrained(base, str(adapter)).eval()
    with torch.no_grad():
        found: torch.Tensor = loaded(ids).logits
    return found


@pytest.mark.parametrize(
    ("case", "steer"),
    [
        ("llama", "ablate v[1] everywhere"),
        ("llama_untied", "ablate v everywhere"),
        ("llama", "ablate two[1] everywhere by 50%"),
        ("llama", "ablate v[1] on attn_out, mlp_out at layers 1..2"),
        ("llama", "ablate v[1] everywhere; ablate two[2] on mlp_out at layers 1; ablate u[0] everywhere by 30%"),
        ("qwen2", "ablate v[1] everywhere"),
        ("phi3", "ablate v[0,1] everywhere"),
    ],
)
def test_an_adapter_ablates_as_the_engine_does(bench: Any, case: str, steer: str) -> None:
    made = bench(case)
    adapter = made.export(steer, "forgetful.peft")
    expected = made.logits(steer)
    assert (expected - made.logits()).abs().max() > 0.01
    assert (adapted(made.model, adapter, IDS) - expected).abs().max() < 1e-5


def test_the_adapter_says_what_it_is_for(bench: Any) -> None:
    made = bench("llama")
    adapter = made.export("ablate two[1] on mlp_out at layers 1; ablate v[1] on attn_out at layers 2", "a.peft/")
    config = json.loads((adapter / "adapter_config.json").read_text())
    assert config["r"] == config["lora_alpha"] == 2
    assert config["target_modules"] == ["model.layers.1.mlp.down_proj", "model.layers.2.self_attn.o_proj"]
    assert config["base_model_name_or_path"] == made.model
    assert peft.LoraConfig.from_pretrained(str(adapter)).peft_type == "LORA"


@pytest.mark.parametrize(
    ("case", "steer", "reason"),
    [
        (
            "llama",
            "ablate v at layers 1",
            "an ablation of resid_post at layer 1 also removes what earlier layers wrote",
        ),
        ("llama", "add v by 1 at layers 1", "it holds `ablate`, and `add` is none of these"),
        ("llama", "ablate v everywhere during prompt", "what is exported acts at every token"),
        ("gpt2", "ablate v[1] everywhere", "transformer.h.0.attn.c_proj.weight writes to the stream and is not a"),
        ("opt", "ablate v[1] on mlp_out at layers 1", "model.decoder.layers.1.fc2.bias writes to the stream and is no"),
        ("gemma2", "ablate v[1] everywhere", "a gemma2 checkpoint cannot carry it: what is written to attn_out of la"),
    ],
)
def test_what_an_adapter_cannot_carry(bench: Any, case: str, steer: str, reason: str) -> None:
    made = bench(case)
    code, err = made.run(f'{made.text(steer)}; export s to "a.peft"')
    assert code in (1, 3) and f"error[R847]: a PEFT adapter cannot carry this: {reason}" in err
    assert not Path("r/a.peft").exists()
