"""A judge that the run opens itself: another model, asked in batches.

In: conversations. Out: replies as an endpoint with this model gives them, with the tokens that might stand in the place
of each mark.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from steerdsl.engine.generate import answer, require_sound, rows_of
from steerdsl.engine.judge_client import LONGEST
from steerdsl.engine.likelihood import Reading, read_tops
from steerdsl.engine.rubric_marks import Conversation, JudgeReply
from steerdsl.measure.rubric import TOP, Candidates, Rubric, candidates, written
from steerdsl.models.cache import Progress
from steerdsl.models.prompts import Rendered, Renderer
from steerdsl.planning.batch_size import answer_rows, logit_rows
from steerdsl.planning.plan import Plan
from steerdsl.planning.requests import Sampling

if TYPE_CHECKING:
    from steerdsl.engine.generate import Answer
    from steerdsl.engine.tracing import Session


class LocalJudge:
    """The model `name` of a recipe, in the dtype and on the device of the run. It is opened when it is first asked."""

    local, together = True, 256

    def __init__(self, plan: Plan, name: str, progress: Progress) -> None:
        self.name, self._plan, self._progress, self._other = name, plan, progress, plan.others[name]
        key = self._other.key
        assert key is not None  # a run has brought its models here
        self.key = f"{plan.dtype} {key}"

    @cached_property
    def _session(self) -> Session:
        from steerdsl.engine.tracing import Session
        from steerdsl.models.opened import open_model

        self._progress(f"loading {self.name}", 0, 0)
        device = self._plan.options.device
        return Session(open_model(self._other.located, dtype=self._plan.dtype, device=device))

    @cached_property
    def _renderer(self) -> Renderer:
        return Renderer(self._session.opened.tokenizer)

    def replies(self, rubric: Rubric, asked: Sequence[Conversation]) -> list[JudgeReply]:
        """The replies, prompts of similar length in one batch. One that leaves no room for a reply in the judge's
        context has an empty one."""
        prompts = [self._rendered(conversation) for conversation in asked]
        found = [JudgeReply("")] * len(prompts)
        fits = [n for n, prompt in enumerate(prompts) if self._room(prompt) > 0]
        order = sorted(fits, key=lambda n: -len(prompts[n].ids))
        while order:
            size = self._rows(len(prompts[order[0]].ids))
            part, order = order[:size], order[size:]
            sampling = Sampling(max_tokens=self._room(prompts[part[0]]), temperature=0.0, n=1, seed=0)
            rows = [row for each in rows_of([prompts[n] for n in part], sampling) for row in each]
            made = answer(self._session, rows, [], reading=[None] * len(rows))
            require_sound(made)
            told = self._told(rubric, [prompts[n] for n in part], made) if rubric.expected else [None] * len(part)
            for n, reply, tops in zip(part, made, told, strict=True):
                found[n] = JudgeReply(reply.text, tops)
        return found

    def _rendered(self, conversation: Conversation) -> Rendered:
        *before, last = [(turn["role"], turn["content"]) for turn in conversation]
        return self._renderer.render(last[1], before=before)

    def _room(self, prompt: Rendered) -> int:
        """How many tokens a reply may have."""
        context = self._session.opened.arch.max_positions
        return LONGEST if context is None else min(LONGEST, context - len(prompt.ids))

    def _rows(self, width: int) -> int:
        assert self._other.facts is not None  # a classifier is no judge
        return self._plan.batch_size or answer_rows(self._other.facts, self._plan.dtype, width)

    def _told(self, rubric: Rubric, prompts: Sequence[Rendered], made: Sequence[Answer]) -> list[Candidates | None]:
        """What might stand in the place of each mark; None where a mark is not one token."""
        word = self._session.opened.tokenizer.decode
        places = [_place(rubric, reply, word) for reply in made]
        texts = [
            Reading((*prompt.ids, *reply.token_ids[:place]), len(prompt.ids) + place)
            for prompt, reply, place in zip(prompts, made, places, strict=True)
            if place is not None
        ]
        vocabulary = int(self._session.opened.model.config.get_text_config().vocab_size)
        tops = iter(read_tops(self._session, texts, TOP, lambda width: logit_rows(vocabulary, width)))
        found: list[Candidates | None] = []
        for reply, place in zip(made, places, strict=True):
            if place is None:
                found.append(None)
                continue
            each: list[tuple[str, Candidates]] = [(word([token]), ()) for token in reply.token_ids]
            each[place] = (each[place][0], [(word([token]), logprob) for token, logprob in next(tops)])
            found.append(candidates(rubric, reply.text, each))
        return found


def _place(rubric: Rubric, reply: Answer, word: Callable[[Sequence[int]], Any]) -> int | None:
    """Which token of a reply is its mark; None where its mark is not one token."""
    mark, place = written(rubric, reply.text), 0
    for number, token in enumerate(reply.token_ids if mark is not None else ()):
        text = str(word([token]))
        if mark is not None and place <= mark[1] < place + len(text):
            return number if text.strip() == mark[0] else None
        place += len(text)
    return None
