"""Answers questions that wait together as rows of one batch, each with its own steer.

In: `Question`s from any thread. Out: pieces of their answers, told from the one thread that may use the model until
the batcher is closed. Greedy
decoding, padding, edits and what is not finite are the engine's: this module only says which rows share a batch.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from steerdsl.engine.batch_edits import compile_rows
from steerdsl.engine.capture import inputs
from steerdsl.engine.generate import decode, generation_config
from steerdsl.engine.nan_guard import end_tokens
from steerdsl.engine.tracing import Session
from steerdsl.models.batching import joined, pad_id
from steerdsl.planning.requests import Sampling
from steerdsl.serving.questions import Hear, Question, Reply
from steerdsl.serving.row_control import RowControl

GATHER = 0.005  # seconds that the first question of a batch waits for others
STOP = 30.0  # seconds in which a batch ends once every row of it is given up


class Full(Exception):
    """More answers wait than may."""


class Closed(Exception):
    """The model is not there any more."""


@dataclass(slots=True)
class Counts:
    """What the batcher has done: batches, answers that ended, tokens read and made, and the rows at work now."""

    batches: int = 0
    answers: int = 0
    read: int = 0
    made: int = 0
    running: int = 0


class Batcher:
    """One model and the questions that wait for it. `fit` says how many rows of a width its memory holds, `rows` is
    the most of a batch, `waiting` the most answers that may wait."""

    def __init__(self, session: Session, fit: Callable[[int], int], rows: int = 32, waiting: int = 256) -> None:
        self.session, self.fit, self.rows, self.most = session, fit, rows, waiting
        self.counts = Counts()
        self.closed = False
        self._queue: deque[Reply] = deque()
        self._changed = threading.Condition()
        self._batch: Sequence[Reply] = ()
        self._thread = threading.Thread(target=self._work, name="batcher", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether questions are answered."""
        return self._thread.is_alive() and not self.closed

    @property
    def waiting(self) -> int:
        """How many answers wait."""
        return len(self._queue)

    def ask(self, questions: Sequence[tuple[Question, Hear]]) -> list[Reply]:
        """Put questions into the queue, all or none. Raises Full and Closed."""
        tokenizer = self.session.opened.tokenizer
        decoded = partial(tokenizer.decode, skip_special_tokens=True)
        replies = [Reply(question, hear, decoded) for question, hear in questions]
        with self._changed:
            if not self.alive:
                raise Closed
            if self.waiting + len(replies) > self.most:
                raise Full
            self._queue.extend(replies)
            self._changed.notify()
        return replies

    def close(self) -> None:
        """End: what waits is given up, and the batch at work ends with its next token."""
        with self._changed:
            self.closed = True
            for reply in (*self._queue, *self._batch):
                reply.cancel()
            self._changed.notify()
        self._thread.join(STOP)

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._queue and not self.closed:
                    self._changed.wait()
                if self.closed:
                    self._give_up()
                    return
            time.sleep(GATHER)
            with self._changed:
                self._batch = self._next()
                self.counts.running = len(self._batch)
            if self._batch:
                self._answer(self._batch)
            self._batch = ()

    def _give_up(self) -> None:
        for reply in self._queue:
            reply.fail(Closed())
        self._queue.clear()

    def _next(self) -> list[Reply]:
        """The questions of the next batch: the first that waits, and those after it that fit beside it."""
        taken: list[Reply] = []
        left: deque[Reply] = deque()
        for reply in self._queue:
            if reply.cancelled:
                reply.end("cancelled")
            elif self._fits([*taken, reply]):
                taken.append(reply)
            else:
                left.append(reply)
        self._queue = left
        return taken

    def _fits(self, replies: Sequence[Reply]) -> bool:
        if len(replies) == 1:
            return True
        longest = max(len(reply.question.prompt.ids) for reply in replies)
        width = longest + max(reply.question.max_tokens for reply in replies)
        room = self.session.opened.arch.max_positions
        return len(replies) <= min(self.rows, self.fit(width)) and (room is None or width <= room)

    def _answer(self, taken: Sequence[Reply]) -> None:
        """The answers of one batch. Whatever goes wrong is told to its rows, and the next batch is made."""
        replies = sorted(taken, key=lambda reply: "" if reply.question.steer is None else reply.question.steer.shape)
        try:
            self._generate(replies)
        except Exception as error:
            for reply in replies:
                if not reply.done:
                    reply.fail(error)
        self.counts.batches += 1
        self.counts.answers += len(replies)
        self.counts.read += sum(len(reply.question.prompt.ids) for reply in replies)
        self.counts.made += sum(len(reply.tokens) for reply in replies)
        self.counts.running = 0

    def _generate(self, replies: Sequence[Reply]) -> None:
        opened = self.session.opened
        questions = [reply.question for reply in replies]
        touches = compile_rows([question.steer for question in questions], opened.arch)
        batch = joined([question.prompt.ids for question in questions], pad_id(opened.tokenizer))
        passes = max(question.max_tokens for question in questions)
        config = generation_config(opened, Sampling(passes))
        control = RowControl(replies, passes, end_tokens(config))
        _, failed = decode(self.session, inputs(batch), touches, passes, config, control)
        for reply, error in zip(replies, failed, strict=True):
            if reply.done:
                continue
            if error is not None:
                reply.fail(error)
            else:
                reply.end("cancelled" if reply.cancelled else "stop")
