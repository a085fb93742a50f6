"""How likely each letter is as the answer to a question with options.

In: questions, rendered as every other prompt, their letters, and what acts. Out: for each question log p
of its letters. A letter is tokenised as the model would write it: with a space before it where the
prompt ends in a word, as the template itself begins an answer where there is one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from steerdsl.engine.continuations import continuation_logprobs
from steerdsl.engine.likelihood import Ids, Rows
from steerdsl.engine.rows import Acting
from steerdsl.engine.tracing import Session
from steerdsl.models.prompts import Rendered, Renderer, chat_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ASKED, _SAID = "\ue000words\ue001", "\ue002answer\ue003"  # no text of a person holds these


def letter_logprobs(
    session: Session,
    renderer: Renderer,
    questions: Sequence[str],
    letters: Sequence[str],
    steers: Sequence[Acting | None],
    rows: Rows,
) -> list[NDArray[Any]]:
    """For each question log p of each of its letters under its steer, float64 [number of letters]."""
    import numpy as np

    opening = answer_opening(renderer)
    prompts = [renderer.render(text) for text in questions]
    pairs = [
        (prompt.ids, continuation(renderer, prompt, _space(prompt, opening) + letter))
        for prompt, row in zip(prompts, letters, strict=True)
        for letter in row
    ]
    acting = [steer for steer, row in zip(steers, letters, strict=True) for _ in row]
    read = iter(continuation_logprobs(session, pairs, acting, rows))
    return [np.array([next(read)[0] for _ in row]) for row in letters]


def answer_opening(renderer: Renderer) -> str | None:
    """What the chat template writes between its generation prompt and an answer: "" or a space, as a
    rule. None without a template, or where the template does not show an answer after that prompt."""
    if not renderer.chat:
        return None
    messages = [] if renderer.system is None else [{"role": "system", "content": renderer.system}]
    messages += [{"role": "user", "content": _ASKED}]
    asked = chat_text(renderer.tokenizer, messages, add_generation_prompt=True)
    messages += [{"role": "assistant", "content": _SAID}]
    whole = chat_text(renderer.tokenizer, messages)
    between = whole.removeprefix(asked).partition(_SAID)[0]
    return between if whole.startswith(asked) and not between.strip() else None


def continuation(renderer: Renderer, prompt: Rendered, text: str) -> Ids:
    """The tokens of `text` right after a prompt. Both are tokenised together, since many tokenizers
    begin a text of its own with a mark of a new word; alone where the prompt's end would merge."""
    whole, _ = renderer.encode(prompt.text + text)
    n = len(prompt.ids)
    if whole[:n] == prompt.ids and len(whole) > n:
        return whole[n:]
    return tuple(renderer.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])


def _space(prompt: Rendered, opening: str | None) -> str:
    """What stands between a prompt and the letter."""
    if opening is not None:
        return opening
    return "" if prompt.text[-1:].isspace() else " "
