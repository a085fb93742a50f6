"""Questions that wait together share a batch, and each answer is its own question's alone."""

from __future__ import annotations

import math
import queue
import random
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from asking import alone
from hypothesis import given, settings
from hypothesis import strategies as st

from steerdsl.engine.batch_edits import acting
from steerdsl.engine.tracing import Session
from steerdsl.models.prompts import Rendered
from steerdsl.serving.batcher import Batcher, Closed, Full
from steerdsl.serving.questions import Delta, Question, Reply
from steerdsl.serving.row_control import nucleus
from steerdsl.serving.steers import Steers

WAIT = 120.0
TEXTS = ("Why is bread dear?", "Hi", "Explain the basics of photography to me, please.", "How are prices made?")
NAMES = (None, "pushed", "erased", "turned", "asked", "held")


class Heard:
    """The pieces of one answer."""

    def __init__(self) -> None:
        self.pieces: queue.Queue[Delta] = queue.Queue()

    def whole(self) -> tuple[str, Delta]:
        """The text of all pieces, and the last one."""
        text = ""
        while True:
            piece = self.pieces.get(timeout=WAIT)
            text += piece.text
            if piece.ending is not None or piece.error is not None:
                return text, piece


def rendered(steers: Steers, text: str) -> Rendered:
    return steers.run.renderer.render(text)


def question(steers: Steers, text: str, steer: str | None = None, tokens: int = 6, **how: Any) -> Question:
    return Question(rendered(steers, text), steers.named(steer) if steer else None, tokens, **how)


def ask(batcher: Batcher, *questions: Question) -> list[tuple[Reply, Heard]]:
    heard = [Heard() for _ in questions]
    replies = batcher.ask([(one, own.pieces.put) for one, own in zip(questions, heard, strict=True)])
    return list(zip(replies, heard, strict=True))


def batches(batcher: Batcher) -> int:
    """How many batches there were, once all that was asked is answered."""
    while batcher.waiting or batcher.counts.running:
        time.sleep(0.01)
    return batcher.counts.batches


def by_itself(batcher: Batcher, *asked: Any, **sampling: Any) -> list[Sequence[int]]:
    """`alone`, once the batcher has nothing to do: one thread at a time may use a model."""
    batches(batcher)
    return alone(*asked, **sampling)


@pytest.fixture
def held(steers: Steers, monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """While it is not set, no batch begins: what is asked meanwhile waits together."""
    event = threading.Event()
    inner = Session.generate

    def generate(*args: Any, **kwargs: Any) -> Any:
        assert event.wait(WAIT)
        return inner(*args, **kwargs)

    monkeypatch.setattr(Session, "generate", generate)
    return event


def test_each_answer_equals_its_own_question_alone(steers: Steers, batcher: Batcher, held: threading.Event) -> None:
    """Rows of every steer, greedy and sampled, of unequal lengths and limits, in one batch."""
    draw = random.Random(0)
    wanted, questions = [], []
    for number in range(24):
        text, steer, tokens = draw.choice(TEXTS), NAMES[number % len(NAMES)], draw.randint(1, 12)
        how = {"temperature": draw.choice((0.0, 0.8)), "seed": draw.randint(0, 9)}
        questions.append(question(steers, text, steer, tokens, **how))
        wanted.append((rendered(steers, text), steer, tokens, how))
    (first, _), *_ = ask(batcher, question(steers, "Wait"))
    found = ask(batcher, *questions)
    held.set()
    texts = [heard.whole()[0] for _, heard in found]
    assert batches(batcher) <= 2 and first.done, "what waited together shared a batch"
    for (reply, _), text, (prompt, steer, tokens, how) in zip(found, texts, wanted, strict=True):
        (ids,) = by_itself(batcher, steers, prompt, steer, tokens, **how)
        assert tuple(reply.tokens) == tuple(ids)
        assert text == reply.decode(ids)


def test_a_sampled_answer_is_that_of_a_run_with_the_seed(steers: Steers, batcher: Batcher) -> None:
    how = {"temperature": 1.0, "seed": 7}
    found = ask(batcher, *(question(steers, TEXTS[0], "pushed", 8, sample=k, **how) for k in range(3)))
    for _, heard in found:
        heard.whole()
    assert [tuple(reply.tokens) for reply, _ in found] == by_itself(
        batcher, steers, rendered(steers, TEXTS[0]), "pushed", 8, n=3, **how
    )


def test_text_is_told_as_it_is_made(steers: Steers, batcher: Batcher) -> None:
    ((_, heard),) = ask(batcher, question(steers, TEXTS[0], tokens=12))
    text, last = heard.whole()
    (ids,) = by_itself(batcher, steers, rendered(steers, TEXTS[0]), None, 12)
    assert text == batcher.session.opened.tokenizer.decode(ids, skip_special_tokens=True)
    assert last.ending == ("length" if len(ids) == 12 else "stop")


def test_an_answer_ends_before_a_stop(steers: Steers, batcher: Batcher) -> None:
    (ids,) = by_itself(batcher, steers, rendered(steers, TEXTS[0]), None, 12)
    whole = batcher.session.opened.tokenizer.decode(ids, skip_special_tokens=True)
    stop = whole[len(whole) // 2 : len(whole) // 2 + 2]
    ((_, heard),) = ask(batcher, question(steers, TEXTS[0], tokens=12, stops=(stop, "never said")))
    text, last = heard.whole()
    assert text == whole[: whole.index(stop)] and last.ending == "stop"


def test_log_probabilities_are_those_of_the_steered_model(steers: Steers, batcher: Batcher) -> None:
    """Held against one reading of the whole answer by plain transformers, without a steer."""
    ((reply, heard),) = ask(batcher, question(steers, TEXTS[0], tokens=5, logprobs=3))
    likely = []
    while True:
        piece = heard.pieces.get(timeout=WAIT)
        likely += piece.likely
        if piece.ending:
            break
    prompt = rendered(steers, TEXTS[0]).ids
    with torch.no_grad():
        logits = batcher.session.opened.model(torch.tensor([[*prompt, *reply.tokens]])).logits[0].double()
    wanted = logits.log_softmax(-1)[len(prompt) - 1 :]
    assert [one.token for one in likely] == reply.tokens
    for place, one in enumerate(likely):
        assert math.isclose(one.logprob, wanted[place, one.token], abs_tol=1e-4)
        assert [token for token, _ in one.top] == wanted[place].topk(3).indices.tolist()


def test_a_cancelled_question_frees_its_row(steers: Steers, batcher: Batcher, held: threading.Event) -> None:
    (given_up, heard), (kept, other) = ask(
        batcher, question(steers, TEXTS[0], tokens=100), question(steers, TEXTS[1], "pushed", 6)
    )
    ((waiting, silent),) = ask(batcher, question(steers, TEXTS[2]))
    given_up.cancel()
    waiting.cancel()
    held.set()
    assert heard.whole()[1].ending == "cancelled" and silent.whole()[1].ending == "cancelled"
    other.whole()
    assert tuple(kept.tokens) == by_itself(batcher, steers, rendered(steers, TEXTS[1]), "pushed", 6)[0]
    assert len(given_up.tokens) <= 1 and batcher.waiting == 0


def test_who_listens_and_fails_ends_no_other_answer(steers: Steers, batcher: Batcher, held: threading.Event) -> None:
    def gone(piece: Delta) -> None:
        raise RuntimeError("the client has left")

    heard = Heard()
    _, kept = batcher.ask([(question(steers, TEXTS[0]), gone), (question(steers, TEXTS[1]), heard.pieces.put)])
    held.set()
    heard.whole()
    assert tuple(kept.tokens) == by_itself(batcher, steers, rendered(steers, TEXTS[1]), None, 6)[0]


def test_what_goes_wrong_in_a_batch_is_told_and_the_next_is_made(
    steers: Steers, batcher: Batcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Session, "generate", lambda *_, **__: 1 / 0)
        ((_, heard),) = ask(batcher, question(steers, TEXTS[0]))
        assert isinstance(heard.whole()[1].error, ZeroDivisionError)
    ((_, heard),) = ask(batcher, question(steers, TEXTS[0]))
    assert heard.whole()[1].error is None and batcher.alive


def test_a_row_that_is_not_finite_has_no_answer_and_its_neighbours_have(
    steers: Steers, batcher: Batcher, held: threading.Event
) -> None:
    """Two steps near the end of float32 overflow in the row that has them."""
    huge = steers.mixed({"pushed": 100.0})
    assert huge is not None
    (op,) = huge.ops
    raw = float(steers.run.values.vectors["topic"][1].abs().max())
    most = replace(op, args={"by": replace(op.args["by"], value=3e38 / raw)})
    steer = acting((most, most), steers.run.values, None, steers.run.keys)
    (_, bad), (kept, heard) = ask(
        batcher, Question(rendered(steers, TEXTS[0]), steer, 6), question(steers, TEXTS[1], "pushed")
    )
    held.set()
    text, last = bad.whole()
    assert last.error is not None and "not finite" in str(last.error) and text == ""
    heard.whole()
    assert tuple(kept.tokens) == by_itself(batcher, steers, rendered(steers, TEXTS[1]), "pushed", 6)[0]


def test_no_more_wait_than_may_and_none_after_the_end(steers: Steers, held: threading.Event) -> None:
    batcher = Batcher(steers.session(), lambda width: 64, rows=2, waiting=3)
    first = ask(batcher, question(steers, TEXTS[0]))
    while batcher.waiting:
        time.sleep(0.01)
    ask(batcher, *[question(steers, TEXTS[0])] * 3)
    with pytest.raises(Full):
        ask(batcher, question(steers, TEXTS[0]))
    held.set()
    first[0][1].whole()
    batcher.close()
    with pytest.raises(Closed):
        ask(batcher, question(steers, TEXTS[0]))


def test_rows_that_the_context_does_not_hold_together_take_turns(
    steers: Steers, batcher: Batcher, held: threading.Event
) -> None:
    """256 positions: a long prompt with few tokens, and a short one with many."""
    long = question(steers, "bread " * 40, tokens=4)
    short = question(steers, "Hi", tokens=200)
    assert len(long.prompt.ids) + 200 > 256
    ask(batcher, question(steers, "Wait", tokens=1))
    found = ask(batcher, long, short)
    held.set()
    assert all(heard.whole()[1].error is None for _, heard in found) and batches(batcher) >= 2


@settings(max_examples=60)
@given(st.lists(st.floats(-20, 20), min_size=2, max_size=30, unique=True), st.floats(0.1, 3), st.floats(0.01, 0.999))
def test_a_nucleus_is_the_fewest_likeliest_tokens(scores: list[float], temperature: float, top_p: float) -> None:
    kept = nucleus(torch.tensor(scores), temperature, top_p).isfinite().tolist()
    weights = [math.exp((score - max(scores)) / temperature) for score in torch.tensor(scores).tolist()]
    order = sorted(range(len(scores)), key=lambda i: -weights[i])
    before, wanted = 0.0, set()
    for i in order:
        if wanted and before >= top_p - 1e-9:
            break
        wanted.add(i)
        before += weights[i] / sum(weights)
    assert {i for i, inside in enumerate(kept) if inside} <= wanted | set(order[: len(wanted) + 1])
    assert wanted - {i for i, inside in enumerate(kept) if inside} <= {order[len(wanted) - 1]}
