"""A conversation with a model: one without a steer and one with, side by side.

In: what a person says, and what is to act. Out: the answers as they are made. Each side answers to its own earlier
answers, so that it is the conversation that one would have had with that model alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from queue import Queue
from typing import Any

from steerdsl.lang.diagnostics import Diagnostic, Exit, RecipeError
from steerdsl.lang.variants import BASELINE
from steerdsl.serving.batcher import Batcher
from steerdsl.serving.questions import Delta, Question, Reply
from steerdsl.serving.served import Served

STEERED = "steered"
Message = dict[str, str]


@dataclass(slots=True)
class Turn:
    """What was said, what acted, and what each side answered."""

    said: str
    weights: Mapping[str, float]
    params: Mapping[str, str]
    answers: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Answering:
    """Answers in the making: pieces come out of `heard` with the side that they belong to, as long as `left` sides
    are at work."""

    turn: Turn
    heard: Queue[tuple[str, Delta]] = field(default_factory=Queue)
    replies: list[Reply] = field(default_factory=list)
    left: int = 0

    def cancel(self) -> None:
        """Stop: each side keeps what it has said so far."""
        for reply in self.replies:
            reply.cancel()

    def next(self) -> bool:
        """Wait for the next piece and add it to its answer; False once there is none. Raises what failed."""
        if not self.left:
            return False
        side, piece = self.heard.get()
        if piece.error is not None:
            self.left -= 1
            raise piece.error
        self.turn.answers[side] = self.turn.answers.get(side, "") + piece.text
        self.left -= piece.ending is not None
        return True


@dataclass
class Conversation:
    """What was said so far, and how the next answer is made. `weights` say what acts on the steered side; without any
    there is only the other. A temperature of 0 takes the likeliest token."""

    served: Served
    batcher: Batcher
    weights: dict[str, float] = field(default_factory=dict)
    tokens: int = 256
    temperature: float = 0.0
    seed: int = 0
    system: str | None = None
    turns: list[Turn] = field(default_factory=list)

    @property
    def sides(self) -> tuple[str, ...]:
        """The sides that answer."""
        return (BASELINE, STEERED) if self.weights else (BASELINE,)

    @property
    def title(self) -> str:
        """What the steered side is called."""
        return " + ".join(name if weight == 1 else f"{name}={weight:g}" for name, weight in self.weights.items())

    def say(self, text: str) -> Answering:
        """Say something. Raises RecipeError M611 where the context has no room for it."""
        turn = Turn(text, dict(self.weights), self._params)
        answering = self._ask(turn, self.turns, self.sides)
        self.turns.append(turn)
        return answering

    def again(self, sides: Sequence[str] | None = None) -> Answering | None:
        """Answer the last thing that was said once more, as things are now; None where nothing was said. Of the sides
        that are not named the answer stays."""
        if not self.turns:
            return None
        last = self.turns[-1]
        kept = {BASELINE: last.answers[BASELINE]} if sides == (STEERED,) and BASELINE in last.answers else {}
        turn = Turn(last.said, dict(self.weights), self._params, kept)
        answering = self._ask(turn, self.turns[:-1], [side for side in self.sides if side not in kept])
        self.turns[-1] = turn
        return answering

    def clear(self) -> None:
        """Begin a new conversation."""
        self.turns.clear()

    def to_json(self) -> dict[str, Any]:
        """The conversation as it is saved."""
        turns = [
            {"said": turn.said, "steer": dict(turn.weights), "params": dict(turn.params), "answers": turn.answers}
            for turn in self.turns
        ]
        how = {"max_tokens": self.tokens, "temperature": self.temperature, "seed": self.seed}
        return {"model": self.served.base, "system": self.system, **how, "turns": turns}

    @property
    def _params(self) -> Mapping[str, str]:
        return self.served.steers.run.plan.recipe.params

    def _ask(self, turn: Turn, before: Sequence[Turn], sides: Sequence[str]) -> Answering:
        answering = Answering(turn, left=len(sides))
        asked = [(self._question(turn, before, side), _hearing(answering, side)) for side in sides]
        answering.replies = self.batcher.ask(asked)
        return answering

    def _question(self, turn: Turn, before: Sequence[Turn], side: str) -> Question:
        prompt = self.served.conversation(self._messages(turn, before, side))
        room = self.served.room(prompt)
        if room is not None and room < 1:
            title = f"the conversation has {len(prompt.ids)} tokens, and the model's context has no room for an answer"
            raise RecipeError([Diagnostic("M611", title, help="begin a new one with /new")], Exit.FAILED)
        tokens = self.tokens if room is None else min(self.tokens, room)
        steer = self.served.steers.mixed(self.weights) if side == STEERED else None
        return Question(prompt, steer, tokens, self.temperature, seed=self.seed)

    def _messages(self, turn: Turn, before: Sequence[Turn], side: str) -> list[Message]:
        found = [] if self.system is None else [{"role": "system", "content": self.system}]
        for earlier in before:
            answer = earlier.answers.get(side, earlier.answers.get(BASELINE, ""))
            found += [{"role": "user", "content": earlier.said}, {"role": "assistant", "content": answer}]
        return [*found, {"role": "user", "content": turn.said}]


def _hearing(answering: Answering, side: str) -> Any:
    return lambda piece: answering.heard.put((side, piece))
