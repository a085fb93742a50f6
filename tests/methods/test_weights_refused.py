"""Weight edits that would not be exact are refused, with the reason."""

from __future__ import annotations

import pytest
import torch
from test_weights import R, model
from tiny import tiny
from torch import nn

from steerdsl.methods.types import MethodError
from steerdsl.methods.weights import ablate_weights, add_bias


@pytest.mark.parametrize("case", ["gemma2", "gemma3_text"])
def test_architectures_with_a_norm_after_the_write(case: str) -> None:
    m = tiny(case)
    for act in (lambda: ablate_weights(m, R), lambda: add_bias(m, 1, R[0])):
        with pytest.raises(MethodError) as error:
            act()
        assert error.value.problem == (
            f"{case} has a norm between each write and the stream, so no weight edit equals the operation"
        )


def test_an_architecture_that_is_not_known() -> None:
    m = tiny("llama")
    m.config.model_type = "novel"
    with pytest.raises(MethodError, match="where novel writes to its residual stream is not known"):
        ablate_weights(m, R)


def test_an_opt_that_normalises_after_writing() -> None:
    with pytest.raises(MethodError, match="this OPT normalises or widens its stream"):
        ablate_weights(tiny("opt_post_norm"), R)


def test_quantised_weights() -> None:
    m = tiny("llama_untied")
    module = m.model.layers[1].mlp.down_proj
    module.weight = nn.Parameter(module.weight.detach().to(torch.int8), requires_grad=False)
    with pytest.raises(MethodError) as error:
        ablate_weights(m, R)
    assert error.value.problem == (
        "model.layers.1.mlp.down_proj.weight is quantised (torch.int8), so it cannot be edited exactly"
    )
    del module.weight
    with pytest.raises(MethodError, match="has no plain weight: the model is quantised"):
        ablate_weights(m, R)


def test_weights_that_are_not_loaded() -> None:
    with pytest.raises(MethodError, match=r"embed_tokens\.weight is not loaded"):
        ablate_weights(tiny("llama").to("meta"), R)


@pytest.mark.parametrize(
    ("case", "layer", "stream", "problem"),
    [
        ("llama", 0, "resid_pre", "there is no block before layer 0 whose bias could carry the addition"),
        ("qwen2", 1, "resid_post", "a qwen2 checkpoint has no place for a bias there"),
        ("mixtral", 1, "resid_post", "a mixtral checkpoint has no place for a bias there"),
        ("gpt_neox", 1, "resid_mid", "an addition on resid_mid is not a bias of this model"),
        ("gpt2", 1, "attn_norm_out", "an addition on attn_norm_out is not a bias of this model"),
    ],
)
def test_additions_without_a_place(case: str, layer: int, stream: str, problem: str) -> None:
    with pytest.raises(MethodError) as error:
        add_bias(model(case), layer, R[0], stream)
    assert error.value.problem == problem
