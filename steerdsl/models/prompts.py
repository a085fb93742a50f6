"""Renders prompts for a model and says which tokens are the user's own.

In: a tokenizer, a system prompt and how to render (the chat template, none, or none and a newline).
Out: `Rendered`: text, token ids, the span of the user's words, and the hash that the record keeps.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from steerdsl.lang.diagnostics import Diagnostic, RecipeError
from steerdsl.lang.recipe import ModelSpec
from steerdsl.models.templates import MARK, ROLES, SAID, answer_opening, chat_text, thinking_switch

_NO_SYSTEM = "leave `system` out, or write it in the prompts"
# Short requests without anything in common, for finding a template's tail.
PROBES = ("Name a colour.", "How do ships float?", "write 3 lines about rain", "Why!", "¿Qué hora es")


@dataclass(frozen=True, slots=True)
class Rendered:
    """One prompt as the model reads it, without padding.

    content: half-open token range of the user's words, the template's prefix and suffix excluded.
    response: token range of a given answer at the end, or None. sha256: of the text.
    tail: how many tokens at the end of every prompt rendered this way are the same.
    """

    text: str
    ids: tuple[int, ...]
    content: tuple[int, int]
    sha256: str
    response: tuple[int, int] | None = None
    tail: int = 0


class Renderer:
    """Renders prompts in one way, so that every part of a run reads the same tokens.

    `template` is "chat" (the model's chat template where it has one, else raw text), "none" (raw
    text) or "newline" (raw text and a newline, a weak stand-in for a template).
    `rows`: how many tokens the model knows. `thinking`: "on", "off", or None for the template's own way.
    `switch` are the settings that the template is given; `role` is that of the system prompt in it.
    Raises RecipeError M610 where the system prompt or the template cannot be used, M660 where it cannot
    switch thinking.
    """

    def __init__(
        self,
        tokenizer: Any,
        system: str | None = None,
        template: str = "chat",
        rows: int | None = None,
        thinking: str | None = None,
    ) -> None:
        self.tokenizer, self.system, self.rows = tokenizer, system, rows
        self.chat = template == "chat" and bool(tokenizer.chat_template)
        self._tail, self._appended = 0, appended(tokenizer)
        self.role, self.switch = ROLES[0], _switched(tokenizer, thinking, self.chat)
        if self.chat:
            self._before, self._after = self._frame()
        elif system is not None:
            title = "a system prompt needs a chat template, and these prompts are rendered as raw text"
            raise RecipeError([Diagnostic("M610", title, help=_NO_SYSTEM)])
        else:
            self._before, self._after = "", "\n" if template == "newline" else ""
        self._tail = self.suffix_length(PROBES)

    @classmethod
    def of(cls, spec: ModelSpec, tokenizer: Any, rows: int | None = None) -> Renderer:
        """The renderer of a recipe's prompts."""
        return cls(tokenizer, spec.system, spec.template, rows, spec.thinking)

    def render(self, prompt: str, answer: str | None = None, before: Sequence[tuple[str, str]] = ()) -> Rendered:
        """One prompt, ready to be continued; with `answer`, already continued by it. `before` are the turns of the
        conversation that it ends, each a role and what was said; a system turn there replaces the system prompt.

        Rendered text gets no special tokens beyond the template's; raw text gets the tokenizer's own,
        so that there is exactly one beginning-of-sequence token where the tokenizer has one. Raises
        RecipeError M623 for a token that the model does not know, M610 for a conversation that cannot be rendered.
        """
        opens, closes = self._conversation(before) if before else self.frame
        text = self._apply(prompt, turns=before) if self.chat else prompt + closes
        if not (text.startswith(opens) and text.endswith(closes)):
            raise RecipeError([_odd_template()])
        ids, offsets = self.encode(text)
        content = _span(offsets, len(opens), len(text) - len(closes))
        response = None
        if answer is not None:
            added = self.follow(text, ids, answer)
            response = (len(ids), len(ids) + len(added))
            text, ids = text + self.joint(text, answer) + answer, ids + added
        if self.rows is not None and max(ids, default=0) >= self.rows:
            raise RecipeError([_unknown_token(self.tokenizer.convert_ids_to_tokens(max(ids)), self.rows)])
        return Rendered(text, ids, content, hashlib.sha256(text.encode()).hexdigest(), response, self._tail)

    def continued(
        self,
        prompt: str,
        tokens: Sequence[int],
        opening: str | None = None,
        before: Sequence[tuple[str, str]] = (),
    ) -> Rendered:
        """A prompt with the answer that a model gave, token by token as it was made behind `opening`, the words that
        it was given to begin with. Raises as `render`."""
        found = self.render(prompt, opening, before)
        start = len(found.ids) if found.response is None else found.response[0]
        ids = (*found.ids, *tokens)
        told = f"{found.text}\n{' '.join(map(str, tokens))}"
        sha256 = hashlib.sha256(told.encode()).hexdigest()
        return replace(found, ids=ids, response=(start, len(ids)), sha256=sha256)

    def encode(self, text: str) -> tuple[tuple[int, ...], list[tuple[int, int]]]:
        """The tokens of a rendered text, and the characters of each."""
        bos = self.tokenizer.bos_token
        has_bos = self.chat or (bool(bos) and text.startswith(bos))
        found = self.tokenizer(text, add_special_tokens=not has_bos, return_offsets_mapping=True, verbose=False)
        # Not the end token that some tokenizers put behind a text: the text is to be continued.
        end = None if has_bos else -self._appended or None
        return tuple(found["input_ids"][:end]), found["offset_mapping"][:end]

    def joint(self, text: str, answer: str) -> str:
        """What stands between a rendered prompt and an answer, wherever one is put there: pairs, letters, a
        data set's answers. What the template itself puts there; without one, or where it does not show that, a
        space, unless the prompt ends or the answer begins in white space."""
        if answer[:1].isspace():
            return ""
        if self.opening is not None:
            return self.opening
        return "" if not text or text[-1].isspace() else " "

    def follow(self, text: str, ids: tuple[int, ...], answer: str) -> tuple[int, ...]:
        """The tokens of an answer right behind a rendered prompt, given as its text and its tokens. Both are
        tokenised together, since many tokenizers begin a text of its own with a mark of a new word; alone where
        the prompt's end would merge."""
        more = self.joint(text, answer) + answer
        whole, _ = self.encode(text + more)
        n = len(ids)
        if whole[:n] == ids and len(whole) > n:
            return whole[n:]
        return tuple(self.tokenizer(more, add_special_tokens=False, verbose=False)["input_ids"])

    @cached_property
    def opening(self) -> str | None:
        """What the chat template writes between its generation prompt and an answer: "" or a space, as a rule.
        None without a template, or where the template does not show an answer after that prompt."""
        return answer_opening(self.tokenizer, self._messages(MARK), self.switch) if self.chat else None

    def joining(self) -> str:
        """The rule of `joint` in words, for the plan."""
        if self.opening is None:
            return "a space, unless the one ends or the other begins in white space"
        return f"{self.opening!r}, as the template begins an answer" if self.opening else "nothing, as in the template"

    def straddled(self, prompt: str) -> bool:
        """Whether a token holds characters of the template and of the user's words. The space before a word, which
        many tokenizers keep with it, does not count."""
        text = self._apply(prompt) if self.chat else prompt + self._after
        start, stop = len(self._before), len(text) - len(self._after)
        around = [(a, b) for a, b in self.encode(text)[1] if b > start and a < stop and b > a]
        shared = [text[a:start] + text[stop:b] for a, b in around if a < start or b > stop]
        return any(found != " " for found in shared)

    @property
    def frame(self) -> tuple[str, str]:
        """The text before and after the user's words."""
        return self._before, self._after

    def suffix_length(self, probes: Sequence[str]) -> int:
        """Length of the longest token suffix that the renderings of all `probes` share."""
        shared = 0
        for tokens in zip(*(reversed(self.render(p).ids) for p in probes), strict=False):
            if len(set(tokens)) > 1:
                break
            shared += 1
        return shared

    def _frame(self) -> tuple[str, str]:
        """The text that the chat template writes before and after the user's words."""
        from jinja2 import TemplateError

        refused: list[Diagnostic] = []
        roles = ROLES if self.system is not None and ROLES[1] in self.tokenizer.chat_template else ROLES[:1]
        for self.role in roles:
            try:
                before, *after = self._apply(MARK).split(MARK)
            except TemplateError as error:
                if self.system is None:
                    raise RecipeError([_odd_template(str(error))]) from error
                title = f"the chat template of this model accepts no system prompt: {error}"
                refused.append(Diagnostic("M610", title, help=_NO_SYSTEM))
                continue
            except Exception as error:  # a template is a program: what it trips is not foreseeable
                raise RecipeError([_odd_template(f"{type(error).__name__}: {error}")]) from error
            if len(after) != 1:
                raise RecipeError([_odd_template()])
            if not self._ignored(before + after[0]):
                return before, after[0]
            refused.append(
                Diagnostic("M610", "the chat template of this model ignores the system prompt", help=_NO_SYSTEM)
            )
        raise RecipeError(refused[:1])

    def _ignored(self, frame: str) -> bool:
        """Whether another system prompt would change nothing. A template may read it and not show it, as SmolLM3's
        does with `/no_think`."""
        if self.system is None or self.system.strip() in frame:
            return False
        return self._apply(MARK, SAID).replace(MARK, "") == frame

    def _conversation(self, turns: Sequence[tuple[str, str]]) -> tuple[str, str]:
        """The text before and after the last words of a conversation."""
        if not self.chat:
            title = "a conversation of several turns needs a chat template, and these prompts are rendered as raw text"
            raise RecipeError([Diagnostic("M610", title, help="write each conversation as one text, in a field of it")])
        try:
            opens, *closes = self._apply(MARK, turns=turns).split(MARK)
        except Exception as error:  # a template is a program: what it trips is not foreseeable
            title = f"the chat template of this model cannot render a conversation of the data: {error}"
            help = "take its system turn out, or let user and assistant speak in turn"
            raise RecipeError([Diagnostic("M610", title, help=help)]) from error
        if len(closes) != 1:
            raise RecipeError([_odd_template()])
        lost = [said for _, said in turns if said.strip() not in opens + closes[0]]
        if lost:
            title = f"the chat template of this model leaves out a turn of the data: {lost[0][:60]!r}"
            help = "take these turns out of the data, or take another model"
            raise RecipeError([Diagnostic("M610", title, help=help)])
        return opens, closes[0]

    def _apply(self, prompt: str, system: str | None = None, turns: Sequence[tuple[str, str]] = ()) -> str:
        said = self._messages(prompt, system, turns)
        return chat_text(self.tokenizer, said, add_generation_prompt=True, **self.switch)

    def _messages(
        self, prompt: str, system: str | None = None, turns: Sequence[tuple[str, str]] = ()
    ) -> list[dict[str, str]]:
        """The conversation of a prompt; `system` in place of the system prompt, `turns` before the prompt."""
        said = [*turns, ("user", prompt)]
        if said[0][0] != ROLES[0] and (first := self.system if system is None else system) is not None:
            said.insert(0, (ROLES[0], first))
        return [{"role": self.role if role == ROLES[0] else role, "content": text} for role, text in said]


def _switched(tokenizer: Any, thinking: str | None, chat: bool) -> Mapping[str, bool]:
    """The setting that switches thinking; none where the recipe leaves it to the template. Raises RecipeError M660."""
    if thinking is None:
        return {}
    way_out = "leave `thinking` out"
    if not chat:
        title = "`thinking` needs a chat template, and these prompts are rendered as raw text"
        raise RecipeError([Diagnostic("M660", title, help=way_out)])
    if (name := thinking_switch(tokenizer)) is None:
        title = "the chat template of this model cannot switch thinking on or off"
        way_out += "; some models take it in words: see what the model's page says, and write that as `system`"
        raise RecipeError([Diagnostic("M660", title, help=way_out)])
    return {name: thinking == "on"}


def appended(tokenizer: Any) -> int:
    """How many special tokens the tokenizer puts behind a raw text."""
    mask = tokenizer("a", return_special_tokens_mask=True, verbose=False)["special_tokens_mask"]
    return int([*reversed(mask), 0].index(0))


def require_room(name: str, prompts: Sequence[Rendered], max_positions: int | None, new_tokens: int = 0) -> None:
    """Raise RecipeError M611 when a prompt of the data set `name`, continued by `new_tokens`, is longer
    than the model's context."""
    if max_positions is None:
        return
    long = [(row, len(p.ids)) for row, p in enumerate(prompts) if len(p.ids) + new_tokens > max_positions]
    if not long:
        return
    row, length = max(long, key=lambda item: item[1])
    more = f" and {new_tokens} new ones" if new_tokens else ""
    title = f"a prompt of `{name}` has {length} tokens{more}, more than the {max_positions} of the model's context"
    notes = (f"{len(long)} of {len(prompts)} prompts are too long, the longest is number {row + 1}",)
    way_out = "shorten these prompts, or lower `max_tokens`" if new_tokens else "shorten these prompts"
    raise RecipeError([Diagnostic("M611", title, (), notes, way_out)])


def _span(offsets: Sequence[tuple[int, int]], start: int, stop: int) -> tuple[int, int]:
    """The tokens that touch the characters start..stop. A token merged across the border belongs to
    the user's words; special tokens, whose offsets are empty, do not start or end them."""
    touching = [i for i, (a, b) in enumerate(offsets) if b > start and a < stop and b > a]
    if not touching:
        first = sum(b <= start for _, b in offsets)
        return first, first
    return touching[0], touching[-1] + 1


def _unknown_token(token: str, rows: int) -> Diagnostic:
    title = f"a prompt holds the token `{token}`, which the model has no embedding for: it knows {rows} tokens"
    return Diagnostic("M623", title, help="take it out of the data or the template, or take the model's own tokenizer")


def _odd_template(reason: str = "it does not show the user's words once and unchanged") -> Diagnostic:
    title = "the chat template of this model cannot be used"
    way_out = 'use `template: "none"` to give it raw text'
    return Diagnostic("M610", title, notes=(f"the reason given: {reason}",), help=way_out)
