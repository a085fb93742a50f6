"""Answers are made by the settings that the plan prints, whatever a model's files hold."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import EOS, tiny_folder, tiny_tokenizer
from transformers import CompileConfig, GenerationConfig, WatermarkingConfig

from steerdsl.engine.generate import Answer, Sampling, generate
from steerdsl.engine.tracing import Session
from steerdsl.lang.diagnostics import RecipeError, render
from steerdsl.models.catalog import locate
from steerdsl.models.generation import read_stops
from steerdsl.models.opened import Opened, open_model
from steerdsl.models.prompts import Renderer
from steerdsl.models.templates import turn_end

PROMPTS = ("How does inflation change the price of bread?", "Hi.", "Why 7?")
TOKENS = 10
TURN_END = 4  # <|im_end|>, with which the tiny models' template ends a turn
# A value of each setting of transformers that would change what is generated, if it were believed.
VALUES: Mapping[str, Any] = {
    "max_length": 3,
    "max_new_tokens": 2,
    "min_length": 200,
    "min_new_tokens": 30,
    "early_stopping": True,
    "max_time": 1e-9,
    "stop_strings": ["e", "a", "\n"],
    "do_sample": True,
    "num_beams": 3,
    "use_mtp": True,
    "use_cache": False,
    "cache_implementation": "quantized",
    "cache_config": {"backend": "quanto", "nbits": 2},
    "max_cache_len": 4,
    "temperature": 3.0,
    "top_k": 1,
    "top_p": 0.01,
    "min_p": 0.9,
    "top_h": 0.1,
    "typical_p": 0.1,
    "epsilon_cutoff": 0.5,
    "eta_cutoff": 0.5,
    "repetition_penalty": 1.8,
    "encoder_repetition_penalty": 1.8,
    "length_penalty": 5.0,
    "no_repeat_ngram_size": 1,
    "bad_words_ids": [[i] for i in range(40, 200)],
    "renormalize_logits": True,
    "forced_bos_token_id": 9,
    "forced_eos_token_id": 9,
    "remove_invalid_values": True,
    "exponential_decay_length_penalty": [1, 9.0],
    "suppress_tokens": list(range(40, 200)),
    "begin_suppress_tokens": list(range(40, 200)),
    "sequence_bias": [[[50], 99.0]],
    "token_healing": True,
    "guidance_scale": 4.0,
    "watermarking_config": {"greenlist_ratio": 0.2, "bias": 30.0, "context_width": 1},
    "num_return_sequences": 2,
    "output_attentions": True,
    "output_hidden_states": True,
    "output_scores": True,
    "output_logits": True,
    "return_dict_in_generate": True,
    "pad_token_id": 33,
    "bos_token_id": 33,
    "eos_token_id": [90, 33],
    "encoder_no_repeat_ngram_size": 1,
    "decoder_start_token_id": 33,
    "is_assistant": True,
    "num_assistant_tokens": 3,
    "num_assistant_tokens_schedule": "heuristic",
    "assistant_confidence_threshold": 0.9,
    "prompt_lookup_num_tokens": 3,
    "max_matching_ngram_size": 2,
    "assistant_early_exit": 1,
    "assistant_lookbehind": 3,
    "target_lookbehind": 3,
    "assistant_ensemble_weight": 0.5,
    "speculation_type": "dflash",
    "compile_config": {"fullgraph": True},
    "disable_compile": False,
    "continuous_batching_config": {"block_size": 4},
    "low_memory": True,
    "penalty_alpha": 0.9,
    "dola_layers": "high",
    "diversity_penalty": 5.0,
    "num_beam_groups": 2,
    "constraints": [[5]],
    "force_words_ids": [[5]],
    "prefill_chunk_size": 2,
}
# What a config says of the loop beside these.
LOOP = {"is_encoder_decoder": True, "return_dict": False, "torchscript": True, "is_decoder": True}
GENERAL = {"_from_model_config", "transformers_version", "_original_object_hash"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_folder(tmp_path_factory.mktemp("generation") / "tiny", "qwen2")


@pytest.fixture(scope="module")
def argmax(folder: Path) -> Mapping[frozenset[int], list[list[int]]]:
    """The likeliest tokens by plain forward passes, one prompt at a time, without a cache."""
    opened = open_model(locate(str(folder)), device="cpu", dtype="float32")
    found = {}
    for ends in (frozenset({EOS, TURN_END}), frozenset({EOS, TURN_END, 90, 33})):
        found[ends] = [greedy(opened, p.ids, ends) for p in rendered(opened)]
    assert all(len(set(row)) > 3 for row in found[frozenset({EOS, TURN_END})])
    return found


def rendered(opened: Opened) -> list[Any]:
    renderer = Renderer(opened.tokenizer)
    return [renderer.render(p) for p in PROMPTS]


def greedy(opened: Opened, prompt: Sequence[int], ends: frozenset[int]) -> list[int]:
    row: list[int] = []
    while len(row) < TOKENS:
        with torch.no_grad():
            token = int(
                opened.model(input_ids=torch.tensor([[*prompt, *row]]), return_dict=True).logits[0, -1].argmax()
            )
        if token in ends:
            break
        row.append(token)
    return row


def copy(folder: Path, to: Path, name: str, settings: Mapping[str, Any]) -> Path:
    """The model's folder with some settings in one of its files."""
    to.mkdir()
    for file in folder.iterdir():
        (to / file.name).symlink_to(file)
    said = json.loads((folder / name).read_text())
    (to / name).unlink()
    (to / name).write_text(json.dumps({**said, **settings}))
    return to


def answers(opened: Opened, sampling: Sampling, on: str = "local") -> list[Answer]:
    made = generate(Session(opened, on), rendered(opened), [], sampling, 4)
    return sorted((a for batch in made for a in batch), key=lambda a: (a.prompt, a.sample))


def test_every_setting_of_transformers_has_a_value_here() -> None:
    """With a new version of transformers come new settings, to be added above."""
    assert set(VALUES) == {name for name in vars(GenerationConfig()) if name not in GENERAL and name[0] != "_"}


@pytest.mark.parametrize("file", ["generation_config.json", "config.json"])
@pytest.mark.parametrize("name", [*VALUES, *LOOP])
def test_greedy_is_the_argmax_whatever_a_file_says(
    folder: Path, argmax: Mapping[frozenset[int], Any], tmp_path: Path, name: str, file: str
) -> None:
    said = {**VALUES, **LOOP}[name]
    path = copy(folder, tmp_path / "model", file, {name: said})
    opened = open_model(locate(str(path)), device="cpu", dtype="float32")
    believed = name == "eos_token_id" and file == "generation_config.json"  # which stands before config.json
    ends = frozenset({EOS, TURN_END, *(said if believed else ())})
    assert opened.info.stop_ids == tuple(sorted(ends))
    made = answers(opened, Sampling(TOKENS))
    assert [list(a.token_ids) for a in made] == argmax[ends]
    assert [a.ended for a in made] == [len(row) < TOKENS for row in argmax[ends]]


@pytest.mark.parametrize("name", VALUES)
def test_a_server_whose_model_has_settings_of_its_own_answers_alike(
    folder: Path, argmax: Mapping[frozenset[int], Any], name: str
) -> None:
    """A request carries every setting: what the model beyond it was opened with does not matter."""
    opened = open_model(locate(str(folder)), device="cpu", dtype="float32")
    own = GenerationConfig()
    objects = {"compile_config": CompileConfig(), "watermarking_config": WatermarkingConfig(bias=30.0)}
    setattr(own, name, objects.get(name, VALUES[name]))
    own.eos_token_id, own.pad_token_id = [EOS, TURN_END], 0  # what the plan has read of the same files
    opened.model.generation_config = own
    made = answers(opened, Sampling(TOKENS), "simulate")
    assert [list(a.token_ids) for a in made] == argmax[frozenset({EOS, TURN_END})]


@pytest.mark.parametrize("name", VALUES)
def test_samples_are_drawn_from_the_softmax_whatever_a_file_says(folder: Path, tmp_path: Path, name: str) -> None:
    path = copy(folder, tmp_path / "model", "generation_config.json", {name: VALUES[name]})
    opened = open_model(locate(str(path)), device="cpu", dtype="float32")
    (prompt,) = [rendered(opened)[0]]
    made = generate(Session(opened), [prompt], [], Sampling(TOKENS, 1.5, n=3, seed=5), 4)
    ends = {EOS, TURN_END, *(VALUES[name] if name == "eos_token_id" else ())}
    expected = []
    for sample in range(3):
        told = f"5,0,{sample},{','.join(map(str, prompt.ids))}"
        drawn = np.frombuffer(hashlib.shake_256(told.encode()).digest(8 * TOKENS), "<u8")
        ids = list(prompt.ids)
        for number in (drawn >> 11).astype(np.float64) / 2**53:
            with torch.no_grad():
                logits = opened.model(input_ids=torch.tensor([ids])).logits[0, -1]
            sums = torch.softmax(logits.double() / 1.5, dim=-1).cumsum(0).numpy()
            token = int(np.searchsorted(sums, number * sums[-1], side="right"))
            if token in ends:
                break
            ids.append(token)
        expected.append(ids[len(prompt.ids) :])
    assert [list(a.token_ids) for batch in made for a in batch] == expected


# ---- the tokens that end an answer --------------------------------------------------------------


def chat(end: str, more: str = "") -> str:
    """A template whose turns end in `end`."""
    return (
        "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}" + end + "{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}" + more
    )


@pytest.mark.parametrize(
    ("template", "end"),
    [
        (chat("<|im_end|>\n"), TURN_END),
        (chat("\n \n</s>"), EOS),
        (chat(" {{ eos_token }}"), EOS),
        (chat("{% if not loop.last %}<|im_end|>{% endif %}\n"), TURN_END),
        (chat("\n"), 3),  # no token of its own: the next turn's first one
        ("{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}", None),
        ("{{ messages[0]['content'] }}", None),
        (
            "{% if messages | length > 1 %}{{ raise_exception('one turn') }}{% endif %}{{ messages[0]['content'] }}",
            None,
        ),
        (None, None),
    ],
)
def test_the_token_that_ends_a_turn(template: str | None, end: int | None) -> None:
    assert turn_end(tiny_tokenizer(template)) == end


@pytest.mark.parametrize(
    ("generation", "config", "template", "expected"),
    [
        ({"eos_token_id": 7}, {"eos_token_id": 8}, None, (2, 7)),
        ({"eos_token_id": [7, 9]}, {}, chat("<|im_end|>"), (2, 4, 7, 9)),
        ({}, {"eos_token_id": 8}, None, (2, 8)),
        (None, {"text_config": {"eos_token_id": [8, 9]}}, None, (2, 8, 9)),
        (None, {}, chat("<|im_end|>"), (2, 4)),
        ({"eos_token_id": [-1, 400, "x", None, True, 5]}, {}, None, (2, 5)),
        ({"eos_token_id": {"a": 1}}, {"text_config": 3}, None, (2,)),
    ],
)
def test_stops_are_everything_that_ends_a_turn(
    tmp_path: Path, generation: Any, config: Any, template: str | None, expected: tuple[int, ...]
) -> None:
    if generation is not None:
        (tmp_path / "generation_config.json").write_text(json.dumps(generation))
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert read_stops(tmp_path, tiny_tokenizer(template), rows=320).end == expected


def test_padding_has_a_row_of_the_embeddings(tmp_path: Path) -> None:
    """Some tokenizers have a padding token that the model has no row for."""
    path = tiny_folder(tmp_path / "tiny")
    tokenizer = tiny_tokenizer()
    tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    assert tokenizer.pad_token_id == 320
    tokenizer.save_pretrained(path)
    opened = open_model(locate(str(path)), device="cpu", dtype="float32")
    ends = frozenset({EOS, TURN_END})
    made = answers(opened, Sampling(TOKENS))
    assert [list(a.token_ids) for a in made] == [greedy(opened, p.ids, ends) for p in rendered(opened)]


@pytest.mark.parametrize("pad", ["[PAD]", None])
def test_an_end_token_without_a_row_neither_pads_nor_stops(pad: str | None, tmp_path: Path) -> None:
    path = tiny_folder(tmp_path / "tiny")
    tokenizer = tiny_tokenizer()
    tokenizer.add_special_tokens({"eos_token": "[END]"})
    tokenizer.pad_token = None
    if pad is not None:
        tokenizer.add_special_tokens({"pad_token": pad})
    tokenizer.save_pretrained(path)
    opened = open_model(locate(str(path)), device="cpu", dtype="float32")
    assert opened.info.stop_ids == (EOS, TURN_END)  # of generation_config.json and of the template
    made = answers(opened, Sampling(TOKENS))
    ends = frozenset({EOS, TURN_END})
    assert [list(a.token_ids) for a in made] == [greedy(opened, p.ids, ends) for p in rendered(opened)]


def test_a_prompt_with_a_token_without_a_row_is_refused() -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens(["<extra>"])
    renderer = Renderer(tokenizer, rows=320)
    assert renderer.render("extra").ids
    with pytest.raises(RecipeError) as error:
        renderer.render("What is <extra>?")
    assert render(error.value.diagnostics[0]) == (
        "error[M623]: a prompt holds the token `<extra>`, which the model has no embedding for: it knows 320 tokens\n"
        "help: take it out of the data or the template, or take the model's own tokenizer\n"
    )
    with pytest.raises(RecipeError):
        renderer.render("What is it?", "It is <extra>.")
