"""What it costs to be served, as ratios within one run: eight requests at once, and the first token of a conversation.

Eight requests with eight steers, which share a batch, against one request of the same length; and the time until the
first piece of text that `chat` shows, of two answers side by side, against the first token of plain transformers with
its own streamer. The competitors take turns in one process, whose model is open. Prints JSON.

    python benchmarks/serve.py --turns 5
"""

from __future__ import annotations

import argparse
import json
import queue
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import TextIteratorStreamer
from turns import Took, about, against, compare, timed

from steerdsl.lang.source import Source
from steerdsl.pipeline import recipe_to_plan, text_to_recipe
from steerdsl.planning.plan import RunOptions
from steerdsl.serving.batcher import Batcher
from steerdsl.serving.conversation import Conversation
from steerdsl.serving.questions import Delta, Question
from steerdsl.serving.served import Served
from steerdsl.serving.steers import Steers, ready

ROWS = 8
SAID = "Tell me about your day, and what you would like to do tomorrow."
RECIPE = """
dataset money = econ with take: 12, held_out: 50%
dataset other = generic with take: 12, held_out: 50%
topic = extract diffmean from money vs other at mean_content
"""


def main() -> None:
    """Time everything in turns and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--layer", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--turns", type=int, default=5)
    given = parser.parse_args()
    steers = opened(given)
    batcher = Batcher(steers.session(), lambda width: ROWS)
    try:
        out: dict[str, Any] = {"about": about(steers.session().opened, given.turns)}
        out["requests"] = requests(steers, batcher, given.tokens, given.turns)
        out["first token"] = first_token(steers, batcher, given.tokens, given.turns)
    finally:
        batcher.close()
    print(json.dumps(out, indent=1))


def opened(given: argparse.Namespace) -> Steers:
    """Eight steers of unequal strength, and the model."""
    text = RECIPE + "".join(
        f"steer s{number} {{ add topic by {number / 10} at layer {given.layer} }}\n" for number in range(1, ROWS + 1)
    )
    checked, found = text_to_recipe(Source("serve.steer", text), Path())
    if checked is None:
        raise SystemExit("; ".join(one.title for one in found))
    options = RunOptions(model=given.model, device=given.device, dtype=given.dtype)
    return ready(recipe_to_plan(checked, options, fetch=True))


def requests(steers: Steers, batcher: Batcher, tokens: int, turns: int) -> dict[str, Any]:
    """Eight requests at once against one."""
    prompt = Served(steers).conversation([{"role": "user", "content": SAID}])
    every = [Question(prompt, steers.named(name), tokens) for name in steers.names]
    made: dict[str, list[int]] = {}

    def asking(name: str, questions: Sequence[Question]) -> Callable[[], Took]:
        def act() -> None:
            made[name] = answered(batcher, questions)

        return lambda: timed(act)

    one, all_ = "one request", f"{ROWS} requests, {ROWS} steers"
    found = compare({one: asking(one, every[:1]), all_: asking(all_, every)}, turns)
    return {"against": against(found, one), "tokens": made}


def answered(batcher: Batcher, questions: Sequence[Question]) -> list[int]:
    """Ask at once and wait for every answer: how many tokens each has."""
    heard: queue.Queue[Delta] = queue.Queue()
    replies = batcher.ask([(question, heard.put) for question in questions])
    left = len(replies)
    while left:
        piece = heard.get()
        if piece.error is not None:
            raise piece.error
        left -= piece.ending is not None
    return [len(reply.tokens) for reply in replies]


def first_token(steers: Steers, batcher: Batcher, tokens: int, turns: int) -> dict[str, Any]:
    """Seconds until the first text of `chat`, and of plain transformers."""
    session = steers.session().opened
    prompt = torch.tensor([Served(steers).conversation([{"role": "user", "content": SAID}]).ids]).to(
        session.model.device
    )

    def plain() -> Took:
        streamer = TextIteratorStreamer(session.tokenizer, skip_prompt=True, skip_special_tokens=True)
        how = {"max_new_tokens": tokens, "do_sample": False, "streamer": streamer}
        making = threading.Thread(
            target=session.model.generate, args=(prompt,), kwargs={**how, "attention_mask": torch.ones_like(prompt)}
        )
        start, began = time.perf_counter(), time.process_time()
        making.start()
        next(text for text in streamer if text)
        took = Took(time.perf_counter() - start, time.process_time() - began)
        making.join()
        return took

    def chat() -> Took:
        talk = Conversation(Served(steers), batcher, {steers.names[0]: 1.0}, tokens)
        start, began = time.perf_counter(), time.process_time()
        answering = talk.say(SAID)
        while not any(answering.turn.answers.values()):
            answering.next()
        took = Took(time.perf_counter() - start, time.process_time() - began)
        while answering.next():
            pass
        return took

    base = "plain transformers"
    return {"against": against(compare({base: plain, "chat, two answers": chat}, turns), base)}


if __name__ == "__main__":
    main()
