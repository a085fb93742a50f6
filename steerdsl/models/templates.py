"""What a chat template is asked, and what it is asked with: a day, a role, a switch for thinking.

In: a tokenizer with a chat template. Out: conversations as text (`chat_text`), the token that ends a turn, the name
of the switch with which the template turns thinking on and off. A template is a program of the model's author, so
what it can do is found by asking it, never by the model's name. One that writes today's date is given `DATE`, so that
the same recipe reads the same on every day.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from steerdsl.forms.bounds import bounded

# Stands for the user's words while a template is taken apart; no text of a person contains it.
MARK = "\ue000words\ue001"
SAID = "\ue002answer\ue003"  # for an answer
# The day that Llama's templates write where they are told of none.
DATE = date(2024, 7, 26)
# What templates call the switch: Qwen, SmolLM, GLM, Gemma 4; Granite, DeepSeek.
SWITCHES = ("enable_thinking", "thinking")
# Under which names templates take instructions that stand above the user's.
ROLES = ("system", "developer")
_CLOCK = "strftime_now"  # transformers gives it to every template
_DIRECTIVES = "aAbBcdeFHIjmMpSuUVwWxXyYDT"
_SECONDS, _MEMORY = 5.0, 128 << 20  # that a template may take for one prompt


def chat_text(tokenizer: Any, messages: Sequence[Mapping[str, str]], **settings: bool) -> str:
    """A conversation in the chat template, as on the day `DATE`; `settings` say how it ends, as for
    transformers' `apply_chat_template`, and what the template's own switches are. It may raise anything, and
    gets some seconds and some memory, beyond which this raises `Overrun`."""
    template = tokenizer.get_chat_template()
    dated = calendar(template) + template
    with bounded(_SECONDS, _MEMORY):
        return str(tokenizer.apply_chat_template(messages, chat_template=dated, tokenize=False, **settings))


def thinking_switch(tokenizer: Any) -> str | None:
    """The name of the setting with which the chat template turns thinking on and off: the first of SWITCHES that
    changes a prompt. None for a template without one."""
    for name in SWITCHES:
        if len({_asked(tokenizer, **{name: on}) for on in (True, False)} - {None}) == 2:
            return name
    return None


def thinks(tokenizer: Any) -> str | None:
    """Whether the template has the model think where it is told nothing: "on" or "off"; "always" where a prompt ends
    inside of thoughts and no switch changes that. None where the template says nothing of thinking."""
    if not tokenizer.chat_template:
        return None
    own, name = _asked(tokenizer), thinking_switch(tokenizer)
    if own is None or name is None:
        return "always" if own is not None and own.rstrip().endswith("<think>") else None
    return next((word for word, on in (("on", True), ("off", False)) if _asked(tokenizer, **{name: on}) == own), None)


def _asked(tokenizer: Any, **settings: bool) -> str | None:
    """A question in the template; None where it raises."""
    try:
        return chat_text(tokenizer, [{"role": "user", "content": MARK}], add_generation_prompt=True, **settings)
    except Exception:  # `Renderer` says what is wrong with the template
        return None


def answer_opening(
    tokenizer: Any, messages: Sequence[Mapping[str, str]], switch: Mapping[str, bool], structured: bool = True
) -> str | None:
    """What the template writes between its generation prompt and an answer: "" or a space, as a rule; with
    `structured`, also what begins with a token of its own, such as the name of a channel or thoughts that are empty.
    None where it does not show an answer after that prompt."""
    asked = chat_text(tokenizer, messages, add_generation_prompt=True, **switch)
    try:
        whole = chat_text(tokenizer, [*messages, {"role": "assistant", "content": SAID}], **switch)
    except Exception:  # a template for questions alone
        return None
    between, said, _ = whole.removeprefix(asked).partition(SAID)
    if not whole.startswith(asked) or not said:
        return None
    own = structured and between.lstrip().startswith(tuple(str(t) for t in tokenizer.added_tokens_decoder.values()))
    return between if own or not between.strip() else None


def turn_end(tokenizer: Any) -> int | None:
    """The special token with which the chat template ends an assistant's turn: the first one behind the
    turn's words. None without a template, or where the end is plain text."""
    if not tokenizer.chat_template:
        return None
    turns = [{"role": "user", "content": "Hello."}, {"role": "assistant", "content": MARK}]
    # A template may leave the end of the last turn to the model: then the next turn shows it.
    for talk in (turns, [*turns, {"role": "user", "content": "Go on."}]):
        try:
            _, mark, after = chat_text(tokenizer, talk, add_generation_prompt=False).rpartition(MARK)
        except Exception:  # a template without such turns, or one that `Renderer` refuses
            continue
        ids = tokenizer(after if mark else "", add_special_tokens=False, verbose=False)["input_ids"]
        if special := [token for token in ids if token in tokenizer.added_tokens_decoder]:
            return int(special[0])
    return None


def reads_date(template: str | None) -> bool:
    """Whether a chat template writes what day it is."""
    return template is not None and _CLOCK in template


def calendar(template: str) -> str:
    """What to put before a chat template so that its day is `DATE`; nothing for one that reads no date.

    A macro, since templates are given plain data alone. Of `strftime` it knows the directives that
    occur in the template.
    """
    if not reads_date(template):
        return ""
    steps = ""
    for letter in _DIRECTIVES:
        if f"%{letter}" in template:
            steps += f"|replace('%{letter}', '{DATE:%{letter}}')"
        if f"%-{letter}" in template:
            steps += f"|replace('%-{letter}', '{DATE.strftime(f'%{letter}').lstrip('0 ') or '0'}')"
    # The template's own first line begins after the newline, which ends the block.
    return f"{{% macro {_CLOCK}(form) %}}{{{{ form{steps} }}}}{{% endmacro %}}\n"
