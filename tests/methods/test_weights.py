"""Edited weights against hooks that do the same to activations, in float64, on tiny random models."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pytest
import torch
from tiny import VOCAB, tiny
from torch import nn
from transformers import AutoModelForCausalLM, MixtralConfig, MixtralForCausalLM, PreTrainedModel

from steerdsl.methods.weights import WeightEdit, ablate_weights, add_bias, everywhere, write

IDS = torch.randint(5, VOCAB, (2, 9), generator=torch.Generator().manual_seed(0))
R = torch.nn.functional.normalize(torch.randn(2, 32, generator=torch.Generator().manual_seed(1)), dim=-1)

# Paths for the hooks: blocks, and in a block the modules whose outputs are added to the stream.
HOOKED = {
    "llama": ("model.layers", "self_attn", "mlp"),
    "gpt2": ("transformer.h", "attn", "mlp"),
    "gpt_neox": ("gpt_neox.layers", "attention", "mlp"),
    "opt": ("model.decoder.layers", "self_attn", "fc2"),
}


def mixtral() -> PreTrainedModel:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        shape = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4}
        config = MixtralConfig(**shape, num_key_value_heads=2, vocab_size=VOCAB, num_local_experts=4)
        return MixtralForCausalLM._from_config(config, experts_implementation="eager").eval()  # others lack float64


def load(path: Path) -> PreTrainedModel:
    return AutoModelForCausalLM.from_pretrained(path, dtype=torch.float64, experts_implementation="eager").eval()


@cache
def model(case: str) -> PreTrainedModel:
    return (mixtral() if case == "mixtral" else tiny(case)).double()


def paths(case: str) -> tuple[str, str, str]:
    return HOOKED.get(case.removesuffix("_untied").removesuffix("_sequential"), HOOKED["llama"])


@contextmanager
def hooks(found: list[torch.utils.hooks.RemovableHandle]) -> Iterator[None]:
    try:
        yield
    finally:
        for handle in found:
            handle.remove()


def on_output(module: nn.Module, f: Callable[[torch.Tensor], torch.Tensor]) -> torch.utils.hooks.RemovableHandle:
    def hook(_module, _args, out):
        return (f(out[0]), *out[1:]) if isinstance(out, tuple) else f(out)

    return module.register_forward_hook(hook)


def on_input(module: nn.Module, f: Callable[[torch.Tensor], torch.Tensor]) -> torch.utils.hooks.RemovableHandle:
    return module.register_forward_pre_hook(lambda _m, args, kw: ((f(args[0]), *args[1:]), kw), with_kwargs=True)


def on_every_write(m: PreTrainedModel, case: str, f: Callable) -> list[torch.utils.hooks.RemovableHandle]:
    """Arditi's: every block's input, attention output and MLP output."""
    blocks, attention, mlp = paths(case)
    found = []
    for block in m.get_submodule(blocks):
        found += [
            on_input(block, f),
            on_output(block.get_submodule(attention), f),
            on_output(block.get_submodule(mlp), f),
        ]
    return found


def logits(m: PreTrainedModel) -> torch.Tensor:
    with torch.no_grad():
        return m(IDS).logits


def without(rows: torch.Tensor, share: float = 1.0) -> Callable[[torch.Tensor], torch.Tensor]:
    projector = torch.linalg.pinv(rows.double()) @ rows.double()
    return lambda h: h - share * h @ projector


def edited(m: PreTrainedModel, edit) -> PreTrainedModel:
    changed = copy.deepcopy(m)
    write(changed, edit)
    return changed


def whole(m: PreTrainedModel, rows: torch.Tensor, share: float = 1.0) -> WeightEdit:
    """The ablation of `rows` at every place where the model writes."""
    return ablate_weights(m, dict.fromkeys(everywhere(m), rows), share)


CASES = (
    "llama_untied",
    "llama",
    "mistral",
    "qwen2",
    "qwen3",
    "phi3",
    "mixtral",
    "gpt2",
    "gpt_neox",
    "gpt_neox_sequential",
    "opt",
)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("k", [1, 2])
def test_ablated_weights_are_ablation_everywhere(case: str, k: int) -> None:
    m = model(case)
    plain = logits(m)
    with hooks(on_every_write(m, case, without(R[:k]))):
        wanted = logits(m)
    edit = whole(m, R[:k])
    assert torch.equal(logits(m), plain)  # the model itself is not touched
    got = logits(edited(m, edit))
    assert float((got - wanted).abs().max()) < 1e-10
    assert float((got - plain).abs().max()) > 1e-2
    assert edit.equals == "ablate everywhere"


def test_untying_leaves_the_output_side_as_it_was() -> None:
    m = model("llama")
    edit = whole(m, R[:1])
    changed = edited(m, edit)
    assert edit.untied and not edit.config and not changed.config.tie_word_embeddings
    assert torch.equal(changed.lm_head.weight, m.lm_head.weight)
    assert not torch.equal(changed.model.embed_tokens.weight, m.model.embed_tokens.weight)
    assert "lm_head.weight" not in whole(model("llama_untied"), R[:1]).tensors


@pytest.mark.parametrize("case", ["llama", "gpt2", "mixtral"])
def test_a_saved_edit_loads_as_edited(case: str, tmp_path) -> None:
    m = model(case)
    changed = edited(m, whole(m, R[:1]))
    changed.save_pretrained(tmp_path)
    loaded = load(tmp_path)
    torch.testing.assert_close(logits(loaded), logits(changed), atol=1e-12, rtol=0)


@pytest.mark.parametrize("case", ["llama_untied", "gpt2"])
def test_a_share_of_the_direction(case: str) -> None:
    """Every write loses the same share, so a block's input needs no hook of its own but the embeddings'."""
    m = model(case)
    blocks, attention, mlp = paths(case)
    f = without(R[:1], 0.4)
    modules = m.get_submodule(blocks)
    found = [on_input(modules[0], f)]
    for block in modules:
        found += [on_output(block.get_submodule(attention), f), on_output(block.get_submodule(mlp), f)]
    with hooks(found):
        wanted = logits(m)
    edit = whole(m, R[:1], share=0.4)
    assert float((logits(edited(m, edit)) - wanted).abs().max()) < 1e-10
    assert edit.equals == "ablate everywhere by 40%"


@pytest.mark.parametrize("case", ["llama_untied", "gpt2", "mixtral", "opt"])
def test_some_sites_with_a_direction_each(case: str) -> None:
    m = model(case)
    blocks, attention, mlp = paths(case)
    at = {("attn_out", 1): R[:1], ("mlp_out", 2): R[1:]}
    modules = m.get_submodule(blocks)
    found = [
        on_output(modules[1].get_submodule(attention), without(R[:1])),
        on_output(modules[2].get_submodule(mlp), without(R[1:])),
    ]
    with hooks(found):
        wanted = logits(m)
    edit = ablate_weights(m, at)
    assert float((logits(edited(m, edit)) - wanted).abs().max()) < 1e-10
    assert edit.equals == "ablate at attn_out 1, mlp_out 2" and not edit.config and not edit.untied


def test_every_place() -> None:
    found = [("resid_pre", 0)]
    for layer in range(3):
        found += [("attn_out", layer), ("mlp_out", layer)]
    assert list(everywhere(model("gpt2"))) == found


ADDITIONS = [
    (case, stream)
    for case in ("llama", "gpt2", "opt", "gpt_neox_sequential", "gpt_neox")
    for stream in ("resid_post", "resid_pre", "resid_mid", "attn_out", "mlp_out")
    if (case, stream) != ("gpt_neox", "resid_mid")
]


@pytest.mark.parametrize(("case", "stream"), ADDITIONS)
def test_a_bias_is_an_addition(case: str, stream: str) -> None:
    """resid_mid is where the attention's output lands, so the hook on that output is its reference."""
    m = model(case)
    blocks, attention, mlp = paths(case)
    block = m.get_submodule(blocks)[1]
    v = R[0].double() * 3
    add = lambda h: h + v  # noqa: E731
    reference = {
        "resid_post": lambda: on_output(block, add),
        "resid_pre": lambda: on_input(block, add),
        "resid_mid": lambda: on_output(block.get_submodule(attention), add),
        "attn_out": lambda: on_output(block.get_submodule(attention), add),
        "mlp_out": lambda: on_output(block.get_submodule(mlp), add),
    }
    with hooks([reference[stream]()]):
        wanted = logits(m)
    edit = add_bias(m, 1, v, stream)
    got = logits(edited(m, edit))
    assert float((got - wanted).abs().max()) < 1e-10
    assert float((got - logits(m)).abs().max()) > 1e-2
    assert edit.equals == f"add on {stream} at layer 1, at every token"


@pytest.mark.parametrize("stream", ["resid_post", "resid_mid"])
def test_a_saved_bias_loads_where_the_layout_had_none(stream: str, tmp_path) -> None:
    m = model("llama_untied")
    changed = edited(m, add_bias(m, 2, R[0] * 3, stream))
    changed.save_pretrained(tmp_path)
    loaded = load(tmp_path)
    torch.testing.assert_close(logits(loaded), logits(changed), atol=1e-12, rtol=0)


def test_two_additions_add_up() -> None:
    m = model("gpt2")
    once = edited(m, add_bias(m, 0, R[0]))
    twice = edited(once, add_bias(once, 0, R[1]))
    both = edited(m, add_bias(m, 0, R[0] + R[1]))
    torch.testing.assert_close(logits(twice), logits(both), atol=1e-6, rtol=0)


def test_bfloat16_weights_keep_their_type_and_lose_the_direction() -> None:
    m = tiny("llama_untied").bfloat16()
    edit = whole(m, R[:1])
    for name, tensor in edit.tensors.items():
        assert tensor.dtype == torch.bfloat16
        along = tensor.double() @ R[0].double() if "embed" in name else R[0].double() @ tensor.double()
        assert float(along.norm() / tensor.double().norm()) < 2e-3
