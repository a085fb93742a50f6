"""Rendering, the span of the user's own words, and batches."""

from __future__ import annotations

import hashlib
from datetime import datetime

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import BOS, CASES, CHAT_TEMPLATE, STRICT_TEMPLATE, tiny, tiny_tokenizer

from steerdsl.lang.diagnostics import RecipeError, render
from steerdsl.models.batching import batches, pad_id
from steerdsl.models.prompts import Renderer, require_room
from steerdsl.registry import find

TOKENIZER = tiny_tokenizer()
CHAT = Renderer(TOKENIZER)
PROMPTS = ["Why is bread so expensive?", "hi", "Explain the basics of photography to me, please.", "7 + 5"]


def refusal(act: object) -> str:
    with pytest.raises(RecipeError) as error:
        act()  # type: ignore[operator]
    return "".join(render(d) for d in error.value.diagnostics)


@pytest.mark.parametrize("prompt", PROMPTS)
def test_chat_text_is_the_template_and_its_hash(prompt: str) -> None:
    rendered = CHAT.render(prompt)
    expected = (
        f"<s><|im_start|>system\nBe helpful.<|im_end|>\n<|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\n"
    )
    assert rendered.text == expected
    assert rendered.sha256 == hashlib.sha256(expected.encode()).hexdigest()
    assert TOKENIZER.decode(rendered.ids) == expected


@pytest.mark.parametrize(
    ("mode", "prompt"),
    [*((mode, p) for mode in ("chat", "none", "newline") for p in PROMPTS), ("none", "<s>it has its own")],
)
def test_exactly_one_bos(mode: str, prompt: str) -> None:
    assert Renderer(TOKENIZER, template=mode).render(prompt).ids.count(BOS) == 1


def common(a: tuple[int, ...], b: tuple[int, ...]) -> int:
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize("template", [CHAT_TEMPLATE, STRICT_TEMPLATE])
def test_content_is_what_differs_from_the_empty_prompt(prompt: str, template: str) -> None:
    """The independent definition: cut the tokens that the empty prompt shares at both ends."""
    renderer = Renderer(tiny_tokenizer(template))
    ids, empty = renderer.render(prompt).ids, renderer.render("").ids
    start = common(ids, empty)
    stop = len(ids) - common(ids[::-1], empty[::-1])
    assert renderer.render(prompt).content == (start, stop)
    assert TOKENIZER.decode(ids[start:stop]) == prompt


@settings(max_examples=60)
@given(st.text(alphabet=st.characters(exclude_categories=("Cs", "Co")), min_size=1, max_size=30))
def test_content_decodes_to_a_text_that_holds_the_prompt(prompt: str) -> None:
    start, stop = CHAT.render(prompt).content
    assert prompt in TOKENIZER.decode(CHAT.render(prompt).ids[start:stop])


SPACED = CHAT_TEMPLATE.replace("assistant\n", "assistant:").replace("m['role'] }}\n", "m['role'] }}: ")
RENDERERS = {
    "chat": Renderer(TOKENIZER),
    "spaced chat": Renderer(tiny_tokenizer(SPACED)),
    "none": Renderer(TOKENIZER, template="none"),
    "newline": Renderer(TOKENIZER, template="newline"),
}


@pytest.mark.parametrize("name", RENDERERS)
@pytest.mark.parametrize("prompt", ["Is bread old?", "Is bread old? ", "Answer:", "Q:\n", "x"])
@pytest.mark.parametrize("answer", ["Yes", " Yes", "\nYes", "A", ", he said", "(A)"])
def test_one_rule_joins_a_prompt_with_whatever_answers_it(name: str, prompt: str, answer: str) -> None:
    """A pair's side, a data set's answer and a letter stand behind a prompt in the same way."""
    renderer = RENDERERS[name]
    before, whole = renderer.render(prompt), renderer.render(prompt, answer)
    between = {"chat": "", "spaced chat": " ", "none": "" if prompt[-1].isspace() else " ", "newline": ""}[name]
    assert whole.text == before.text + ("" if answer[0].isspace() else between) + answer
    assert whole.response == (len(before.ids), len(whole.ids)) and whole.ids[: len(before.ids)] == before.ids
    assert whole.ids[len(before.ids) :] == renderer.follow(before.text, before.ids, answer)
    assert TOKENIZER.decode(whole.ids).removeprefix("<s>") == whole.text.removeprefix("<s>")


def test_the_rule_is_said_in_words() -> None:
    said = {name: renderer.joining() for name, renderer in RENDERERS.items()}
    raw = "a space, unless the one ends or the other begins in white space"
    assert said["none"] == said["newline"] == raw
    assert (said["chat"], said["spaced chat"]) == (
        "nothing, as in the template",
        "' ', as the template begins an answer",
    )


def test_content_of_trimmed_empty_and_raw_prompts() -> None:
    strict = Renderer(tiny_tokenizer(STRICT_TEMPLATE))
    start, stop = strict.render("  hi \n").content
    assert TOKENIZER.decode(strict.render("  hi \n").ids[start:stop]) == "hi"
    start, stop = CHAT.render("").content
    assert start == stop == CHAT.render("hi").content[0]
    raw = Renderer(TOKENIZER, template="newline").render("hi")
    assert raw.text == "hi\n" and TOKENIZER.decode(raw.ids[slice(*raw.content)]) == "hi"
    assert Renderer(tiny_tokenizer(None)).render("hi").ids == Renderer(TOKENIZER, template="none").render("hi").ids


def test_the_shared_tail() -> None:
    tail = TOKENIZER("<|im_end|>\n<|im_start|>assistant\n", add_special_tokens=False)["input_ids"]
    assert CHAT.render("hi").tail == CHAT.suffix_length(PROMPTS) == len(tail)
    assert Renderer(TOKENIZER, template="none").render("hi").tail == 0
    assert CHAT.suffix_length(["the same end", "not the same end"]) > len(tail)


def test_an_answer_continues_the_prompt() -> None:
    alone, answered = CHAT.render("7 + 5"), CHAT.render("7 + 5", "It is 12.")
    assert answered.ids[: len(alone.ids)] == alone.ids and answered.content == alone.content
    assert answered.response is not None
    assert TOKENIZER.decode(answered.ids[slice(*answered.response)]) == "It is 12."
    assert answered.text == alone.text + "It is 12."


def test_system_prompts() -> None:
    rendered = Renderer(TOKENIZER, system="You are terse.").render("hi")
    assert rendered.text.startswith("<s><|im_start|>system\nYou are terse.<|im_end|>")
    assert TOKENIZER.decode(rendered.ids[slice(*rendered.content)]) == "hi"
    assert refusal(lambda: Renderer(tiny_tokenizer(STRICT_TEMPLATE), system="x")) == (
        "error[M610]: the chat template of this model accepts no system prompt: System role not supported\n"
        "help: leave `system` out, or write it in the prompts\n"
    )
    assert refusal(lambda: Renderer(TOKENIZER, system="x", template="none")) == (
        "error[M610]: a system prompt needs a chat template, and these prompts are rendered as raw text\n"
        "help: leave `system` out, or write it in the prompts\n"
    )
    users_only = "{% for m in messages if m['role'] == 'user' %}[{{ m['content'] }}]{% endfor %}"
    assert refusal(lambda: Renderer(tiny_tokenizer(users_only), system="x")) == (
        "error[M610]: the chat template of this model ignores the system prompt\n"
        "help: leave `system` out, or write it in the prompts\n"
    )


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("no words at all", "it does not show the user's words once and unchanged"),
        (
            "{{ messages[0]['content'] }} {{ messages[0]['content'] }}",
            "it does not show the user's words once and unchanged",
        ),
        ("{{ raise_exception('not today') }}", "not today"),
    ],
)
def test_odd_templates(template: str, reason: str) -> None:
    assert refusal(lambda: Renderer(tiny_tokenizer(template))) == (
        "error[M610]: the chat template of this model cannot be used\n"
        f"note: the reason given: {reason}\n"
        'help: use `template: "none"` to give it raw text\n'
    )


# As Llama 3.2's: the day of the run, unless it is told another.
DATED = (
    "{{- bos_token }}\n{%- if not date_string is defined %}\n    {%- if strftime_now is defined %}\n"
    "        {%- set date_string = strftime_now('%d %b %Y') %}\n    {%- endif %}\n{%- endif %}\n"
    "Today Date: {{ date_string }}, or {{ strftime_now('%A %-d.%-m.%y') }}\n"
    "{%- for m in messages %}[{{ m['role'] }}] {{ m['content'] }}\n{% endfor %}"
)


def on(day: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the clock of chat templates say this day of November 2026."""
    from transformers.utils import chat_template_utils

    class Clock(datetime):
        @classmethod
        def now(cls, tz: object = None) -> Clock:
            return cls(2026, 11, day)

    monkeypatch.setattr(chat_template_utils, "datetime", Clock)


def test_a_template_with_a_date_is_the_same_on_every_day(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = tiny_tokenizer(DATED)
    talk = [{"role": "user", "content": "hi"}]
    on(21, monkeypatch)
    assert "Today Date: 21 Nov 2026" in tokenizer.apply_chat_template(talk, tokenize=False)
    renderer = Renderer(tokenizer)
    before = renderer.render("hi")
    on(22, monkeypatch)
    assert "Today Date: 22 Nov 2026" in tokenizer.apply_chat_template(talk, tokenize=False)
    assert renderer.render("hi") == Renderer(tokenizer).render("hi") == before
    assert before.text == "<s>Today Date: 26 Jul 2024, or Friday 26.7.24[user] hi\n"
    assert tokenizer.chat_template == DATED  # so it is saved as it came


@pytest.mark.parametrize("template", [CHAT_TEMPLATE, STRICT_TEMPLATE, "\n" + CHAT_TEMPLATE + "{{ date_string }}"])
def test_a_template_that_asks_for_no_date_is_given_none(template: str) -> None:
    tokenizer = tiny_tokenizer(template)
    own = tokenizer.apply_chat_template([{"role": "user", "content": "hi"}], add_generation_prompt=True, tokenize=False)
    assert Renderer(tokenizer).render("hi").text == own


def test_the_calendar_changes_nothing_but_the_date() -> None:
    """Newlines and spaces where it joins the template stay."""
    for start in ("", "\n", "\n\n", "  ", "{# about #}\n", "{%- if true %}\n{%- endif %}"):
        template = start + "{{ messages[0]['content'] }}{{ strftime_now('') }}"
        own = tiny_tokenizer(template).apply_chat_template([{"role": "user", "content": "hi"}], tokenize=False)
        assert Renderer(tiny_tokenizer(template)).render("hi").text == own


def test_a_prompt_longer_than_the_context(capfd: pytest.CaptureFixture[str]) -> None:
    prompts = [CHAT.render("hi"), CHAT.render("word " * 100), CHAT.render("word " * 60)]
    longest = len(prompts[1].ids)
    require_room("econ", prompts, longest)
    require_room("econ", prompts, None, 10_000)
    assert refusal(lambda: require_room("econ", prompts, longest, 1)) == (
        f"error[M611]: a prompt of `econ` has {longest} tokens and 1 new ones, more than the {longest} of the model's "
        "context\n"
        "note: 1 of 3 prompts are too long, the longest is number 2\n"
        "help: shorten these prompts, or lower `max_tokens`\n"
    )
    assert refusal(lambda: require_room("econ", prompts, 100)) == (
        f"error[M611]: a prompt of `econ` has {longest} tokens, more than the 100 of the model's context\n"
        "note: 2 of 3 prompts are too long, the longest is number 2\n"
        "help: shorten these prompts\n"
    )
    assert capfd.readouterr().err == ""  # transformers says nothing beside it


# ---- positions ---------------------------------------------------------------------------------


def read(
    name: str, number: int | None = None, prompt: str = "7 + 5", answer: str | None = None
) -> tuple[list[int], bool]:
    reading = find("position", name).run(CHAT.render(prompt, answer), number)
    return list(reading.indexes), reading.average


def test_positions_of_a_prompt() -> None:
    rendered = CHAT.render("7 + 5")
    n, tail = len(rendered.ids), rendered.tail
    assert read("last_token") == ([n - 1], False)
    assert read("token", -1) == read("last_token")
    assert read("token", -2) == ([n - 2], False)
    assert read("token", 0) == ([0], False)
    assert read("suffix", 3) == ([n - 3, n - 2, n - 1], False)
    assert read("suffix") == (list(range(n - tail, n)), False)
    assert read("mean_prompt") == (list(range(n)), True)
    assert read("mean_content") == (list(range(*rendered.content)), True)
    assert read("all") == (list(range(n)), False)


def test_positions_of_an_answered_prompt() -> None:
    """The answer comes last: it has the last token, and a mean over the prompt leaves it out."""
    n, total = len(CHAT.render("7 + 5").ids), len(CHAT.render("7 + 5", "It is 12.").ids)
    assert read("mean_response", answer="It is 12.") == (list(range(n, total)), True)
    assert read("mean_prompt", answer="It is 12.") == (list(range(n)), True)
    assert read("last_token", answer="It is 12.") == ([total - 1], False)


def test_positions_that_a_prompt_lacks() -> None:
    n = len(CHAT.render("7 + 5").ids)
    assert refusal(lambda: read("token", n)) == (
        f"error[M614]: a prompt has {n} tokens, so there is no token {n}\n"
        f"help: tokens are 0 to {n - 1}, or -1 to -{n} from the end, in this prompt\n"
    )
    assert refusal(lambda: read("suffix", n + 1)) == (
        f"error[M614]: a prompt has {n} tokens, so it has no suffix of {n + 1}\nhelp: use a smaller number\n"
    )
    raw = Renderer(TOKENIZER, template="none").render("hi")
    assert refusal(lambda: find("position", "suffix").run(raw, None)) == (
        "error[M614]: these prompts end in no tokens that all share\n"
        "help: give a number: `suffix 1` is the last token\n"
    )
    assert refusal(lambda: read("mean_content", prompt="")) == (
        "error[M614]: a prompt has no content words\nhelp: remove the empty row, or use `at last_token`\n"
    )
    assert refusal(lambda: read("mean_response")) == (
        "error[M614]: a prompt has no answer to read\nhelp: name the data set's field of answers with `answer:`\n"
    )


# ---- batches -----------------------------------------------------------------------------------


def test_batches_hold_every_prompt_once_padded_on_the_left() -> None:
    rendered = [CHAT.render(p) for p in PROMPTS]
    made = batches(rendered, 3, pad_id(TOKENIZER))
    assert [len(b.index) for b in made] == [3, 1]
    assert sorted(i for b in made for i in b.index) == [0, 1, 2, 3]
    lengths = [len(rendered[i].ids) for b in made for i in b.index]
    assert lengths == sorted(lengths, reverse=True)
    for batch in made:
        for row, i in enumerate(batch.index):
            real = batch.input_ids[row][batch.mask[row]]
            assert tuple(real.tolist()) == rendered[i].ids
            assert batch.mask[row].tolist() == sorted(batch.mask[row].tolist())
            assert set(batch.input_ids[row][~batch.mask[row]].tolist()) <= {TOKENIZER.pad_token_id}
    assert [b.index for b in batches(rendered, 3, 0, "given")] == [(0, 1, 2), (3,)]
    assert batches([], 3, 0) == []


def test_the_end_token_pads_where_there_is_no_padding_token() -> None:
    tokenizer = tiny_tokenizer()
    assert pad_id(tokenizer) == 0
    tokenizer.pad_token = None
    assert pad_id(tokenizer) == tokenizer.eos_token_id == 2
    tokenizer.eos_token = None
    assert pad_id(tokenizer) == 0


@pytest.mark.parametrize("case", CASES)
def test_a_padded_batch_equals_one_prompt_at_a_time(case: str) -> None:
    """GPT-2's learned positions are wrong in a padded batch unless they are counted from the mask."""
    model = tiny(case)
    rendered = [CHAT.render(p) for p in PROMPTS]
    (batch,) = batches(rendered, len(rendered), 0)
    positions = (batch.mask.long().cumsum(-1) - 1).clamp(min=0)
    with torch.no_grad():
        together = model(input_ids=batch.input_ids, attention_mask=batch.mask.long(), position_ids=positions).logits
        for row, i in enumerate(batch.index):
            alone = model(input_ids=torch.tensor([rendered[i].ids])).logits[0]
            torch.testing.assert_close(together[row][batch.mask[row]], alone, rtol=1e-4, atol=1e-4)
