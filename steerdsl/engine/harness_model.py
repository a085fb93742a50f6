"""A steered model as lm-evaluation-harness sees it.

In: a session, a steer, how many rows a batch may have, and an instruction to say before each prompt. Out:
`SteeredModel`, which answers the harness's three kinds of request. Tokens are cut as the harness's own model
for transformers cuts them, so that without a steer both give the same figures. Importing this needs the
package lm-eval.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from jinja2 import TemplateError
from lm_eval.api.model import TemplateLM
from lm_eval.models.utils import handle_stop_sequences, normalize_gen_kwargs, postprocess_generated_text
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from steerdsl.engine.batch_edits import Acting, compile_rows
from steerdsl.engine.capture import inputs
from steerdsl.engine.continuations import continuation_logprobs
from steerdsl.engine.generate import decode
from steerdsl.engine.likelihood import Ids, Rows
from steerdsl.engine.tracing import Session
from steerdsl.methods.types import MethodError
from steerdsl.models.batching import batches, pad_id
from steerdsl.models.cache import Progress
from steerdsl.models.prompts import Rendered
from steerdsl.models.templates import chat_text

_UNBOUNDED = 2048  # the harness's own number for a model that names no longest context
_MAX_NEW = 256  # the harness's own number where a task names none
_SAMPLING = frozenset({"do_sample", "temperature", "top_p", "top_k", "min_p", "typical_p", "repetition_penalty"})


class SteeredModel(TemplateLM):  # type: ignore[misc]
    """`instruction` comes before each prompt: inside the user's last message where there is a template."""

    def __init__(
        self,
        session: Session,
        steer: Acting | None,
        answer_rows: Rows,
        text_rows: Rows,
        progress: Progress,
        instruction: str | None = None,
        switch: Mapping[str, bool] | None = None,
    ) -> None:
        super().__init__()
        self.session, self.steer, self.progress = session, steer, progress
        self.answer_rows, self.text_rows, self.instruction = answer_rows, text_rows, instruction
        self.tokenizer = session.opened.tokenizer
        self.longest = session.opened.arch.max_positions or _UNBOUNDED
        self.templated, self.switch = False, dict(switch or {})  # what the chat template is given

    @property
    def eot_token_id(self) -> int:
        return int(self.tokenizer.eos_token_id)

    @property
    def prefix_token_id(self) -> int:
        bos = self.tokenizer.bos_token_id
        return self.eot_token_id if bos is None else int(bos)

    @property
    def tokenizer_name(self) -> str:
        return str(self.tokenizer.name_or_path)

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **kwargs: Any) -> list[int]:
        """Token ids; a text that begins with the first token of a text is given no second one."""
        if add_special_tokens is None and string.startswith(self.tokenizer.decode(self.prefix_token_id)):
            add_special_tokens = False
        special = {} if add_special_tokens is None else {"add_special_tokens": add_special_tokens}
        return list(self.tokenizer.encode(string, **special))

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """The conversation as text, the instruction in its last question."""
        self.templated = True
        messages = copy.deepcopy(chat_history)
        if self.instruction is not None:
            last = next(m for m in reversed(messages) if m["role"] == "user")
            last["content"] = self._instructed(last["content"])
        try:
            return self._rendered(messages, add_generation_prompt)
        except TemplateError:  # as the harness does for a template without a place for a system prompt
            return self._rendered([m for m in messages if m["role"] != "system"], add_generation_prompt)

    def _rendered(self, messages: list[dict[str, str]], add_generation_prompt: bool) -> str:
        ends = {"add_generation_prompt": add_generation_prompt, "continue_final_message": not add_generation_prompt}
        return chat_text(self.tokenizer, messages, **ends, **self.switch)

    def loglikelihood(self, requests: list[Any], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """log p of each continuation after its context, and whether it is the greedy one."""
        changed = []
        for request in requests:
            context, continuation = request.args
            request = copy.copy(request)
            request.arguments = (self._before(context), continuation)
            changed.append(request)
        found: list[tuple[float, bool]] = super().loglikelihood(changed, disable_tqdm=True)
        return found

    def _loglikelihood_tokens(self, requests: Sequence[Any], **kwargs: Any) -> list[tuple[float, bool]]:
        pairs = [self._fitted(tuple(context), tuple(rest)) for _, context, rest in requests]
        return self._read(pairs)

    def _read(self, pairs: Sequence[tuple[Ids, Ids]]) -> list[tuple[float, bool]]:
        return continuation_logprobs(self.session, pairs, [self.steer] * len(pairs), self.text_rows, self.progress)

    def _fitted(self, context: Ids, continuation: Ids) -> tuple[Ids, Ids]:
        """The context cut on the left, so that all but the last token fits the model."""
        room = self.longest + 1 - len(continuation)
        return context[max(0, len(context) - room) :], continuation

    def loglikelihood_rolling(self, requests: list[Any], disable_tqdm: bool = False) -> list[float]:
        """log p of each whole text, in windows of the model's context; an instruction is not scored."""
        pairs: list[tuple[Ids, Ids]] = []
        owners: list[int] = []
        before = (
            () if self.instruction is None else self.tok_encode(f"{self.instruction}\n\n", add_special_tokens=False)
        )
        for owner, request in enumerate(requests):
            windows = get_rolling_token_windows(
                token_list=self.tok_encode(request.args[0]),
                prefix_token=self.prefix_token_id,
                max_seq_len=self.longest - len(before),
                context_len=1,
            )
            for context, rest in map(make_disjoint_window, windows):
                pairs.append(((*context[:1], *before, *context[1:]), tuple(rest)))
                owners.append(owner)
        totals = [0.0] * len(requests)
        for owner, (total, _) in zip(owners, self._read(pairs), strict=True):
            totals[owner] += total
        return totals

    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        """What each context is continued by, cut before the first stop text."""
        groups: dict[str, list[int]] = {}
        for place, request in enumerate(requests):
            groups.setdefault(repr(sorted(request.args[1].items())), []).append(place)
        found = [""] * len(requests)
        for places in groups.values():
            kwargs = normalize_gen_kwargs(copy.deepcopy(requests[places[0]].args[1]), _MAX_NEW)
            texts = [self._before(requests[i].args[0]) for i in places]
            for place, text in zip(places, self._generated(texts, dict(kwargs)), strict=True):
                found[place] = text
        return found

    def _generated(self, texts: Sequence[str], kwargs: dict[str, Any]) -> list[str]:
        """The continuations of texts that share their settings, in order."""
        end = self.tokenizer.decode(self.eot_token_id, skip_special_tokens=False)
        stops = handle_stop_sequences(kwargs.pop("until", None), eos=end)
        config = self._config(kwargs)
        room = self.longest - config.max_new_tokens
        if room < 1:
            asked = f"the task asks for answers of {config.max_new_tokens} tokens, and the context holds {self.longest}"
            raise MethodError(asked, "take another task, or a model with a longer context", "R892")
        ids = [tuple(self.tok_encode(text)[-room:]) for text in texts]
        prompts = [Rendered(text, row, (0, len(row)), "") for text, row in zip(texts, ids, strict=True)]
        found, done = [""] * len(texts), 0
        self.progress("answering the harness", 0, len(texts))
        touches = compile_rows([self.steer], self.session.opened.arch)
        size = self.answer_rows(max(map(len, ids)) + config.max_new_tokens)
        for batch in batches(prompts, size, pad_id(self.tokenizer)):
            made, failed = decode(self.session, inputs(batch), touches, config.max_new_tokens, config)
            if error := next((error for error in failed if error is not None), None):
                raise error
            for place, row in zip(batch.index, made, strict=True):
                text = self.tokenizer.decode(row, skip_special_tokens=True)
                found[place] = postprocess_generated_text(text, stops, None)
            done += len(batch.index)
            self.progress("answering the harness", done, len(texts))
        return found

    def _config(self, kwargs: Mapping[str, Any]) -> Any:
        """The settings that the task gives. What the model's own files say of generation is left out, here too."""
        given = {k: v for k, v in kwargs.items() if k not in ("max_gen_toks", "do_sample", "temperature")}
        if unknown := sorted(set(given) - _SAMPLING):
            asked = f"the task generates with `{unknown[0]}`, which a steered model cannot"
            raise MethodError(asked, "take another task", "R892")
        config = copy.deepcopy(self.session.opened.model.generation_config)
        sample = bool(kwargs.get("do_sample"))
        warm = {"temperature": kwargs["temperature"]} if sample else {"temperature": None, "top_p": None, "top_k": None}
        config.update(
            **{**warm, **(given if sample else {})},
            do_sample=sample,
            max_new_tokens=kwargs["max_gen_toks"],
            max_length=None,
            pad_token_id=pad_id(self.tokenizer),
        )
        return config

    def _instructed(self, text: str) -> str:
        return text if self.instruction is None else f"{self.instruction}\n\n{text}"

    def _before(self, context: str) -> str:
        """A context with the instruction, unless a template has it already or there is nothing to answer."""
        return context if self.templated or not context else self._instructed(context)
