"""`steerdsl.steered`: a model that the program has loaded gives the tokens that `run` gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from default import default_model
from peft import LoraConfig, get_peft_model
from tiny import tiny_folder
from transformers import AutoModelForCausalLM, AutoTokenizer

import steerdsl
from steerdsl.api import FinishedRun

HOW = {"dtype": "float32", "device": "cpu"}
DATA = """
param strength = 2
dataset a = econ with take: 8, held_out: 50%
dataset b = generic with take: 8, held_out: 50%
topic = extract diffmean from a vs b
other = extract diffmean from b vs a at mean_content
best = select layers of topic by dispersion
"""
# One steer for each kind of operation, time and condition.
STEERS: Mapping[str, str] = {
    "pushed": "add topic by strength at layer 1",
    "measured": "add topic by 6 sd at layer 1; add other by -40% dose at layer 2 on attn_out",
    "erased": "ablate topic[best] everywhere",
    "turned": "rotate plane(topic[best], pc1) by 90deg",
    "held": "clamp topic to 3 at layer 1 on mlp_out; cap other to 0 at layer 2",
    "patched": 'patch from "Why?" at layer 1',
    "later": "add topic by 60% at layer 1 during generation first 3 keep norm",
    "asked": "add topic by 3 at layer 2 when cos(other) > 0 at layer 1; ablate other when proj(topic) > 0",
}


def recipe(steers: Mapping[str, str], tokens: int) -> str:
    blocks = "\n".join(f"steer {name} {{ {ops} }}" for name, ops in steers.items())
    asked = "\n".join(f"generate from a.held_out with steer: {name}, max_tokens: {tokens}" for name in steers)
    return f"{DATA}{blocks}\n{asked}\n"


def tokens(model: Any, tokenizer: Any, prompts: list[str], n: int) -> list[list[int]]:
    """What a plain transformers program makes of some prompts, in one batch."""
    talks = [[{"role": "user", "content": prompt}] for prompt in prompts]
    tokenizer.padding_side = "left"
    given = tokenizer.apply_chat_template(
        talks, add_generation_prompt=True, return_tensors="pt", return_dict=True, padding=True
    )
    with torch.no_grad():
        out = model.generate(**given, max_new_tokens=n, do_sample=False)
    ends = {tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids("<|im_end|>")}
    found = []
    for row in out[:, given["input_ids"].shape[1] :].tolist():
        stop = next((i for i, token in enumerate(row) if token in ends), len(row))
        found.append(row[:stop])
    return found


def wanted(found: FinishedRun, steer: str) -> tuple[list[str], list[list[int]]]:
    lines = [line for line in found.answers if line["variant"] == steer]
    return [line["prompt"] for line in lines], [list(line["token_ids"]) for line in lines]


def check(found: FinishedRun, text: str, model: Any, tokenizer: Any, n: int) -> None:
    """Each steer of a run, taken from the run and from its recipe, and the model as it was behind it."""
    prompts, _ = wanted(found, "pushed")
    plain = tokens(model, tokenizer, prompts, n)
    different = 0
    for steer in found.steers:
        for source in (found, text):
            with steerdsl.steered(model, source, steer=steer, **({} if source is found else HOW)) as inner:
                assert inner is model and tokens(model, tokenizer, prompts, n) == wanted(found, steer)[1], steer
        different += wanted(found, steer)[1] != plain
    assert different >= len(found.steers) - 1, "steers that change nothing show nothing"
    assert tokens(model, tokenizer, prompts, n) == plain


def test_the_tokens_are_those_of_run(tiny_model: Path, work: Path) -> None:
    text = recipe(STEERS, 8)
    found = steerdsl.run(text, model=str(tiny_model), out="mine", **HOW)
    model = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    check(found, text, model, AutoTokenizer.from_pretrained(tiny_model), 8)
    with steerdsl.steered(model, "mine", steer={"pushed": 1}), torch.no_grad():
        prompts, pushed = wanted(found, "pushed")
        assert tokens(model, AutoTokenizer.from_pretrained(tiny_model), prompts, 8) == pushed


@pytest.mark.slow
def test_the_tokens_are_those_of_run_on_the_default_model(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    located = default_model()
    text = recipe({**STEERS, "held": "clamp topic to 3 at layer 12; cap other to 0 at layer 20"}, 16)
    found = steerdsl.run(text, model=str(located.path), out="mine", **HOW)
    model = AutoModelForCausalLM.from_pretrained(located.path, dtype=torch.float32)
    check(found, text, model, AutoTokenizer.from_pretrained(located.path), 16)


@pytest.fixture
def model(tiny_model: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)


ONE = f"{DATA}steer pushed {{ add topic by strength at layer 1 }}\n"


def answers(model: Any, tiny_model: Path) -> list[list[int]]:
    return tokens(model, AutoTokenizer.from_pretrained(tiny_model), ["Why is bread dear?", "Hi"], 6)


def test_the_only_steer_needs_no_name_and_a_weight_is_a_strength(model: Any, tiny_model: Path, work: Path) -> None:
    """Half of strength 6 is strength 3; 0 is no steer at all."""
    plain = answers(model, tiny_model)
    with steerdsl.steered(model, ONE, params={"strength": 3}):
        three = answers(model, tiny_model)
    with steerdsl.steered(model, ONE, steer={"pushed": 0.5}, params={"strength": 6}):
        assert answers(model, tiny_model) == three != plain
    with steerdsl.steered(model, ONE, steer={"pushed": 0}):
        assert answers(model, tiny_model) == plain


def test_an_adapter_of_peft_is_steered_too(model: Any, tiny_model: Path, work: Path) -> None:
    with steerdsl.steered(model, ONE):
        steered = answers(model, tiny_model)
    adapted = get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=True))
    with steerdsl.steered(adapted, ONE):
        assert answers(adapted, tiny_model) == steered


def codes(call: Callable[[], Any]) -> list[str]:
    with pytest.raises(steerdsl.RecipeError) as caught, call():
        pass
    assert all(d.help for d in caught.value.diagnostics)
    return [d.code for d in caught.value.diagnostics]


def test_what_cannot_be_steered_is_refused(model: Any, tiny_model: Path, work: Path) -> None:
    two = f"{ONE}steer held {{ clamp topic to 1 at layer 1 }}\n"
    assert codes(lambda: steerdsl.steered(model, two)) == ["R901"]
    assert codes(lambda: steerdsl.steered(model, two, steer="pushd")) == ["R901"]
    assert codes(lambda: steerdsl.steered(model, two, steer={"held": 0.5})) == ["R902"]
    for weight in (float("nan"), 1e9, "much", True):
        assert codes(lambda weight=weight: steerdsl.steered(model, two, steer={"pushed": weight})) == ["R902"]
    assert codes(lambda: steerdsl.steered(torch.compile(model), ONE)) == ["R900"]
    with (
        pytest.raises(TypeError, match="causal language model of transformers, not Linear"),
        steerdsl.steered(torch.nn.Linear(1, 1), ONE),
    ):
        pass


def test_another_model_than_that_of_the_run_is_refused(model: Any, tiny_model: Path, work: Path) -> None:
    steerdsl.run(ONE, model=str(tiny_model), out="mine", **HOW)
    other = AutoModelForCausalLM.from_pretrained(tiny_folder(work / "deep", num_hidden_layers=4))
    assert codes(lambda: steerdsl.steered(other, "mine")) == ["R900"]
    with steerdsl.steered(model, "mine"):
        pass


def test_what_fails_inside_leaves_the_model_as_it_was(model: Any, tiny_model: Path, work: Path) -> None:
    plain = answers(model, tiny_model)
    with pytest.raises(ZeroDivisionError), steerdsl.steered(model, ONE):
        1 / 0  # noqa: B018
    assert answers(model, tiny_model) == plain


@pytest.mark.parametrize(
    ("source", "steer", "said"),
    [(None, "pushed", "source"), (3, "pushed", "source"), (DATA, ["pushed"], "steer"), (DATA, 2, "steer")],
)
def test_arguments_of_a_wrong_type_are_named(model: Any, source: Any, steer: Any, said: str) -> None:
    with pytest.raises(TypeError, match=said), steerdsl.steered(model, source, steer=steer, **HOW):
        pass


def test_a_recipe_on_one_long_line_is_a_text(model: Any) -> None:
    line = "; ".join(f"steer s{i} {{ add unknown by 1 }}" for i in range(40))
    with pytest.raises(steerdsl.RecipeError), steerdsl.steered(model, line, steer="s1", **HOW):
        pass
