"""Chat templates of 2026: where the user's words are, thinking, roles, the ends of a turn, where an answer begins."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shapes import DEVELOPER, QWEN3, SHAPES, shaped
from tiny import CHAT_TEMPLATE, tiny_folder, tiny_tokenizer

from steerdsl.lang.diagnostics import RecipeError, render
from steerdsl.models.facts import read_facts
from steerdsl.models.generation import read_stops
from steerdsl.models.prompts import Renderer
from steerdsl.models.templates import thinking_switch, thinks, turn_end

PROMPTS = ["Why is bread so expensive?", "hi", "Explain it to me, please.\n\nNow.", "7 + 5", "¿Qué hora es?"]
EMPTY = "<think>\n\n</think>\n"
SWITCHED = {"qwen3": "enable_thinking", "smollm3": "enable_thinking"}


def refusal(name: str, **more: str) -> str:
    with pytest.raises(RecipeError) as error:
        Renderer(shaped(name), **more)
    return "".join(render(d) for d in error.value.diagnostics)


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize("name", SHAPES)
def test_the_users_own_words(name: str, prompt: str) -> None:
    shape, tokenizer = SHAPES[name], shaped(name)
    renderer = Renderer(tokenizer)
    found = renderer.render(prompt)
    assert found.text == shape.before + prompt + shape.after
    start, stop = found.content
    words = tokenizer.decode(found.ids[start:stop])
    assert prompt in words
    if not renderer.straddled(prompt):
        assert words.strip() == prompt
    # The frame holds no word: what stands before and behind is the same for every prompt.
    assert tokenizer.decode(found.ids[:start]).startswith(shape.before.rstrip())
    assert found.ids.count(tokenizer.bos_token_id) == len(shape.bos) / 3


@pytest.mark.parametrize("name", SHAPES)
@settings(max_examples=25)
@given(prompt=st.text(alphabet=st.characters(exclude_categories=("Cs", "Co")), min_size=1, max_size=20))
def test_the_words_of_any_prompt(name: str, prompt: str) -> None:
    tokenizer = shaped(name)
    found = Renderer(tokenizer).render(prompt)
    words = prompt.strip() if name == "gemma3" else prompt
    assert words in tokenizer.decode(found.ids[slice(*found.content)])


@pytest.mark.parametrize("name", SHAPES)
def test_a_system_prompt_stands_above_the_words(name: str) -> None:
    tokenizer = shaped(name)
    renderer = Renderer(tokenizer, system="You are terse.")
    found = renderer.render("hi")
    before, words = found.text.index("You are terse."), found.text.rindex("hi")
    assert before < words and tokenizer.decode(found.ids[slice(*found.content)]).strip() == "hi"
    assert renderer.role == ("developer" if name == "developer" else "system")


def test_a_template_that_reads_a_system_prompt_and_does_not_show_it() -> None:
    renderer = Renderer(shaped("smollm3"), system="/no_think")
    assert "Reasoning Mode: /no_think" in renderer.render("hi").text
    assert renderer.render("hi").text.endswith(EMPTY)


def test_a_template_that_refuses_both_roles() -> None:
    template = DEVELOPER.replace("== 'system'", "in ['system', 'developer']")
    with pytest.raises(RecipeError) as error:
        Renderer(tiny_tokenizer(template), system="x")
    assert [d.code for d in error.value.diagnostics] == ["M610"]
    assert "accepts no system prompt: use the developer role" in error.value.diagnostics[0].title


# ---- thinking -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SHAPES)
def test_what_a_template_does_by_itself(name: str) -> None:
    tokenizer = shaped(name)
    assert thinks(tokenizer) == SHAPES[name].own
    assert thinking_switch(tokenizer) == SWITCHED.get(name)


@pytest.mark.parametrize("name", SWITCHED)
@pytest.mark.parametrize("thinking", ["on", "off"])
def test_thinking_is_switched(name: str, thinking: str) -> None:
    tokenizer = shaped(name)
    expected = tokenizer.apply_chat_template(
        [{"role": "user", "content": "hi"}],
        add_generation_prompt=True,
        tokenize=False,
        enable_thinking=thinking == "on",
        chat_template=SHAPES[name].template.replace("strftime_now('%d %B %Y')", "'26 July 2024'"),
    )
    renderer = Renderer(tokenizer, thinking=thinking)
    found = renderer.render("hi")
    assert found.text == expected
    assert found.text.endswith(EMPTY) == (name == "smollm3" and thinking == "off")
    assert tokenizer.decode(found.ids[slice(*found.content)]) == "hi"
    assert (found.text == Renderer(tokenizer).render("hi").text) == (thinking == "on")


@pytest.mark.parametrize("setting", ["enable_thinking", "thinking"])
@pytest.mark.parametrize("own", ["on", "off"])
def test_a_switch_of_either_name_and_either_default(setting: str, own: str) -> None:
    test = f"{setting} is defined and not {setting}" if own == "on" else f"not {setting}"
    template = CHAT_TEMPLATE.replace("assistant\n", "assistant\n{% if " + test + " %}<think></think>{% endif %}")
    tokenizer = tiny_tokenizer(template)
    assert (thinking_switch(tokenizer), thinks(tokenizer)) == (setting, own)
    assert Renderer(tokenizer, thinking="off").render("hi").text.endswith("<think></think>")
    assert not Renderer(tokenizer, thinking="on").render("hi").text.endswith("<think></think>")


@pytest.mark.parametrize("name", [name for name in SHAPES if name not in SWITCHED])
def test_a_template_without_a_switch(name: str) -> None:
    assert refusal(name, thinking="off") == (
        "error[M660]: the chat template of this model cannot switch thinking on or off\n"
        "help: leave `thinking` out; some models take it in words: see what the model's page says, and write that as "
        "`system`\n"
    )


def test_thinking_without_a_template() -> None:
    expected = (
        "error[M660]: `thinking` needs a chat template, and these prompts are rendered as raw text\n"
        "help: leave `thinking` out\n"
    )
    assert refusal("qwen3", thinking="on", template="none") == expected


# ---- answers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SHAPES)
def test_where_an_answer_begins(name: str) -> None:
    tokenizer, shape = shaped(name), SHAPES[name]
    renderer = Renderer(tokenizer)
    assert renderer.opening == shape.opening
    found = renderer.render("hi", "It is.")
    assert found.text == shape.before + "hi" + shape.after + (shape.opening or "") + "It is."
    assert found.response is not None
    assert tokenizer.decode(found.ids[slice(*found.response)]).endswith("It is.")
    if shape.opening is not None:  # as the template itself shows an answered question
        talk = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "It is."}]
        own = tokenizer.apply_chat_template(talk, tokenize=False)
        assert own[own.rindex("hi") :].startswith(found.text[found.text.rindex("hi") :])


@pytest.mark.parametrize("thinking", ["on", "off"])
@pytest.mark.parametrize("name", SWITCHED)
def test_an_answer_stands_behind_the_thoughts(name: str, thinking: str) -> None:
    text = Renderer(shaped(name), thinking=thinking).render("hi", "It is.").text
    assert text.count("</think>") == (0 if (name, thinking) == ("smollm3", "on") else 1)
    assert text.endswith("It is.")


@pytest.mark.parametrize("name", SHAPES)
def test_every_end_of_a_turn_ends_an_answer(name: str, tmp_path: Path) -> None:
    tokenizer = shaped(name)
    end = tokenizer.convert_tokens_to_ids(SHAPES[name].end)
    assert turn_end(tokenizer) == end
    assert read_stops(tmp_path, tokenizer, 400).end == tuple(sorted({end, tokenizer.eos_token_id}))


def test_several_ends_of_a_turn(tmp_path: Path) -> None:
    """Llama 4 ends at three tokens; gpt-oss goes on behind the token that ends its analysis."""
    llama = shaped("llama4")
    ends = llama.convert_tokens_to_ids(["<|eot|>", "<|eom|>", "</s>"])
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": [ends[1], ends[2]]}))
    assert read_stops(tmp_path, llama, 400).end == tuple(sorted(ends))
    harmony = shaped("gpt_oss")
    ends = harmony.convert_tokens_to_ids(["<|return|>", "<|call|>", "</s>"])
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": ends}))
    stops = read_stops(tmp_path, harmony, 400).end
    assert stops == tuple(sorted(ends)) and harmony.convert_tokens_to_ids("<|end|>") not in stops


# ---- tokens on the border -----------------------------------------------------------------------


def test_tokens_that_hold_the_words_and_the_template() -> None:
    """In this vocabulary `e` and a space, as `ex` and so on, are merged where a text has them side by side."""
    tokenizer = tiny_tokenizer("{{ bos_token }}Q:{{ messages[0]['content'] }}xplain")
    renderer = Renderer(tokenizer)
    for prompt in ("the price", "bread", "E"):
        found = renderer.render(prompt)
        last = tokenizer.decode(found.ids[found.content[1] - 1])
        assert renderer.straddled(prompt) == (not prompt.endswith(last.strip()))
    assert renderer.straddled("E")  # "Explain" has merges of its own
    plain = Renderer(tiny_tokenizer())
    assert not any(plain.straddled(prompt) for prompt in PROMPTS)
    spaced = Renderer(tiny_tokenizer("{{ bos_token }}Q: {{ messages[0]['content'] }}<|im_end|>"))
    assert not any(spaced.straddled(prompt) for prompt in ("the", "me", "bread"))


def test_a_folder_with_such_a_template_is_read(tmp_path: Path) -> None:
    facts = read_facts(str(tiny_folder(tmp_path / "tiny", template=QWEN3)))
    assert facts.template == QWEN3 and thinks(facts.tokenizer) == "on"
