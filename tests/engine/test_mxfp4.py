"""A checkpoint of gpt-oss with experts in MXFP4, packed here by hand after the OCP specification: transformers takes it
apart on a processor, and steered tokens are those of hooks on a model with the values that were packed."""

from __future__ import annotations

import json

import pytest
import torch
from conftest import TEXTS
from safetensors.torch import load_file, save_file
from tiny import BOS, EOS, PAD, VOCAB, tiny_tokenizer
from torch import Tensor
from transformers import GptOssConfig, GptOssForCausalLM
from world import World

from steerdsl.models.catalog import locate
from steerdsl.models.opened import open_model

TOKENS = 8
LINES = ("ablate v everywhere", "add v by 2 at layers 0,1", "add ffn by 2 on mlp_out at layer 1")
BLOCK = 32
# E2M1: a sign, two bits of exponent, one of mantissa.
STEPS = torch.tensor([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0])


def packed(w: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Rows [..., in] as bytes [..., in / 32, 16] of two numbers each, exponents [..., in / 32], and the values that
    these stand for. The first of two numbers has the lower four bits."""
    blocks = w.reshape(*w.shape[:-1], -1, BLOCK)
    exponent = blocks.abs().amax(-1).log2().floor() - 2
    scaled = blocks / torch.exp2(exponent)[..., None]
    code = (scaled.abs()[..., None] - STEPS).abs().argmin(-1)
    value = STEPS[code] * scaled.sign() * torch.exp2(exponent)[..., None]
    code = (code + 8 * (scaled < 0)).to(torch.uint8)
    return code[..., 0::2] | (code[..., 1::2] << 4), (exponent + 127).to(torch.uint8), value.reshape(w.shape)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("mxfp4") / "gpt_oss"
    ids = {"pad_token_id": PAD, "bos_token_id": BOS, "eos_token_id": EOS, "vocab_size": VOCAB}
    sizes = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 3, "head_dim": 16}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "num_local_experts": 4, "num_experts_per_tok": 2}
    config = GptOssConfig(**ids, **sizes, **heads, max_position_embeddings=256)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        model = GptOssForCausalLM(config).eval()
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * (0.15 if parameter.ndim > 1 else 0.1) + (parameter.ndim == 1))
    model.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    kept = load_file(folder / "model.safetensors")
    for layer in range(3):
        for name in ("gate_up_proj", "down_proj"):
            key = f"model.layers.{layer}.mlp.experts.{name}"
            blocks, scales, value = packed(kept.pop(key).transpose(-1, -2).contiguous())
            kept[f"{key}_blocks"], kept[f"{key}_scales"] = blocks, scales
            with torch.no_grad():
                model.get_parameter(key).copy_(value.transpose(-1, -2))
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    said = json.loads((folder / "config.json").read_text())
    said["quantization_config"] = {"quant_method": "mxfp4", "modules_to_not_convert": ["self_attn", "router"]}
    (folder / "config.json").write_text(json.dumps(said))
    opened = open_model(locate(str(folder)), dtype="float32", device="cpu")
    assert opened.info.quantization == "mxfp4, in the model's files"
    return World(opened, model, "llama", TEXTS)


@pytest.mark.parametrize("line", LINES)
def test_steered_tokens_are_those_of_hooks(world: World, line: str) -> None:
    wanted = world.hooks_tokens(line, TOKENS)
    assert world.engine_tokens(line, TOKENS, batch_size=len(TEXTS)) == wanted != world.unsteered(TOKENS)


def test_the_weights_are_those_that_were_packed(world: World) -> None:
    read = dict(world.opened.model.named_parameters())
    for name, wanted in world.model.named_parameters():
        assert torch.equal(read[name].float(), wanted), name
