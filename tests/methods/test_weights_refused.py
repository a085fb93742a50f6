"""Weight edits that would not be exact are refused, with the reason."""

from __future__ import annotations

import pytest
import torch
from test_weights import R, model, whole
from tiny import tiny
from torch import nn

from steerdsl.methods.types import MethodError
from steerdsl.methods.weights import add_bias


@pytest.mark.parametrize("case", ["gemma2", "gemma3_text"])
def test_architectures_with_a_norm_after_the_write(case: str) -> None:
    m = tiny(case)
    with pytest.raises(MethodError) as error:
        whole(m, R)
    assert "is not linear in any weights" in error.value.problem and "a norm, a gate" in error.value.problem


@pytest.mark.parametrize("stream", ["resid_post", "attn_out"])
def test_a_post_norm_without_a_bias_carries_no_addition(stream: str) -> None:
    with pytest.raises(MethodError, match="no parameter of the model is added to"):
        add_bias(tiny("gemma2"), 1, R[0], stream)


def test_quantised_weights() -> None:
    m = tiny("llama_untied")
    module = m.model.layers[1].mlp.down_proj
    module.weight = nn.Parameter(module.weight.detach().to(torch.int8), requires_grad=False)
    with pytest.raises(MethodError) as error:
        whole(m, R)
    assert error.value.problem == (
        "model.layers.1.mlp.down_proj.weight is quantised (torch.int8), so it cannot be edited exactly"
    )
    del module.weight
    with pytest.raises(MethodError, match="is no plain weight: the model is quantised"):
        whole(m, R)


def test_weights_that_are_not_loaded() -> None:
    with pytest.raises(MethodError, match=r"embed_tokens\.weight is not loaded"):
        whole(tiny("llama").to("meta"), R)


@pytest.mark.parametrize(
    ("case", "layer", "stream", "problem"),
    [
        (
            "qwen2",
            1,
            "resid_post",
            "a qwen2 checkpoint cannot carry it: no parameter of the model is added to resid_post",
        ),
        ("mixtral", 1, "resid_post", "a mixtral checkpoint cannot carry it: no parameter of the model is added to"),
        ("llama", 1, "attn_norm_out", "a llama checkpoint cannot carry it: no parameter of the model is added to"),
        ("gpt2", 1, "head", "an addition on one head is not a bias of a model"),
    ],
)
def test_additions_without_a_place(case: str, layer: int, stream: str, problem: str) -> None:
    with pytest.raises(MethodError) as error:
        add_bias(model(case), layer, R[0], stream)
    assert error.value.problem.startswith(problem)
