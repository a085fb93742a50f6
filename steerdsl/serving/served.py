"""What a server offers: a model and its steers by their names, and how long a request may be.

In: steers that are ready, limits. Out: the models of `/v1/models`, and prompts as the model reads them. A conversation
of one question is rendered as a run renders its prompts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePath

from steerdsl.lang.diagnostics import Diagnostic, RecipeError
from steerdsl.models.prompts import Rendered, Renderer
from steerdsl.models.templates import chat_text
from steerdsl.serving.steers import Steers


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """What one request may take. body: bytes. tokens: of an answer. rows: answers of one request, and of a batch.
    waiting: answers that may wait. seconds: from the request to the end of its answer."""

    body: int = 1 << 20
    tokens: int = 1024
    rows: int = 32
    waiting: int = 256
    seconds: float = 600.0


@dataclass(frozen=True)
class Served:
    """A model with its steers."""

    steers: Steers
    limits: RequestLimits = RequestLimits()

    @cached_property
    def base(self) -> str:
        """The name of the model without a steer: its id; of a folder, the folder's name."""
        located = self.steers.run.plan.model.located
        return PurePath(located.path).name if located.source == "folder" else located.id

    def models(self) -> dict[str, str | None]:
        """Each name that a request may give, and its steer."""
        return {self.base: None, **{f"{self.base}:{name}": name for name in self.steers.names}}

    def room(self, prompt: Rendered) -> int | None:
        """How many tokens the context has left behind a prompt; None where it has no end."""
        most = self.steers.run.plan.model.arch.max_positions
        return None if most is None else most - len(prompt.ids)

    def conversation(self, messages: Sequence[Mapping[str, str]]) -> Rendered:
        """A conversation, ready for the model's next turn. Without a system message it has the recipe's.

        Raises RecipeError M610 for a conversation that the template refuses, and M623.
        """
        renderer, system = self._renderer, self.steers.run.plan.recipe.model.system
        if not renderer.chat:
            if len(messages) == 1 and messages[0]["role"] == "user":
                return renderer.render(messages[0]["content"])
            title = "prompts are rendered as raw text here, so a conversation is one user message"
            raise RecipeError([Diagnostic("M610", title, help="use /v1/completions")])
        if system is not None and messages[0]["role"] != "system":
            messages = [{"role": "system", "content": system}, *messages]
        talk = [{**m, "role": renderer.role if m["role"] == "system" else m["role"]} for m in messages]
        try:
            text = chat_text(renderer.tokenizer, talk, add_generation_prompt=True, **renderer.switch)
        except Exception as error:  # a template is a program: what it trips is not foreseeable
            title = f"the chat template of this model does not take this conversation: {error}"
            raise RecipeError([Diagnostic("M610", title, help="change the roles of its messages")]) from error
        return self._known(text, renderer.encode(text)[0])

    def text(self, text: str) -> Rendered:
        """A raw text, to be continued. Raises RecipeError M623."""
        return self._raw.render(text)

    def tokens(self, ids: Sequence[int]) -> Rendered:
        """Token ids, to be continued. Raises RecipeError M623."""
        return self._known("", tuple(ids))

    def _known(self, text: str, ids: tuple[int, ...]) -> Rendered:
        if unknown := [token for token in ids if not 0 <= token < self._rows]:
            title = f"the prompt has the token {unknown[0]}, and the model knows {self._rows} tokens"
            raise RecipeError([Diagnostic("M623", title, help="take it out")])
        return Rendered(text, ids, (0, len(ids)), hashlib.sha256(text.encode()).hexdigest())

    @property
    def _renderer(self) -> Renderer:
        return self.steers.run.renderer

    @cached_property
    def _raw(self) -> Renderer:
        return Renderer(self._renderer.tokenizer, None, "none", self._rows)

    @property
    def _rows(self) -> int:
        return int(self.steers.run.plan.model.config.get_text_config().vocab_size)
