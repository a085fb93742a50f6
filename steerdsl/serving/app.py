"""The HTTP server: OpenAI's interface to a model and its steers.

In: what is served, and the batcher that answers. Out: an ASGI application. A request's rows are cancelled when its
client leaves or its time is over, and nothing of a request is kept once it is answered.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from steerdsl.serving.batcher import Batcher, Closed
from steerdsl.serving.questions import UNFINISHED, Reply
from steerdsl.serving.requests import BadRequest, Wanted, read
from steerdsl.serving.responses import Choice, Writer, named_bytes
from steerdsl.serving.served import Served
from steerdsl.serving.web import LOCAL, Guard, Handler, Heard, ask, cancel, failed, json_response, read_body, too_late
from steerdsl.show.door import json_text

DONE = "data: [DONE]\n\n"  # the last event of every stream


class Server:
    """Answers requests. Without a `key` only programs of this machine may ask, under a name of this machine, so that no
    page of a browser reaches the server by a name of its own."""

    def __init__(self, served: Served, batcher: Batcher, key: str | None = None, host: str = LOCAL[0]) -> None:
        self.served, self.batcher = served, batcher
        self.guard = Guard(key, host)
        self.begun, self.created = time.monotonic(), int(time.time())
        self.statuses: Counter[int] = Counter()

    def app(self) -> Starlette:
        """The application."""
        routes = [
            Route("/v1/models", self._guarded(self.models)),
            Route("/v1/models/{name:path}", self._guarded(self.model)),
            Route("/v1/chat/completions", self._guarded(self.chat), methods=["POST"]),
            Route("/v1/completions", self._guarded(self.completions), methods=["POST"]),
            Route("/metrics", self._guarded(self.metrics)),
            Route("/health", self._guarded(self.health, keyless=True)),
        ]
        return Starlette(routes=routes, exception_handlers={HTTPException: self.refused})

    async def refused(self, request: Request, error: Exception) -> Response:
        """What no route answers, in the form of every other refusal."""
        status = error.status_code if isinstance(error, HTTPException) else 500
        headers = dict(getattr(error, "headers", None) or {})
        if status == 405:
            told = BadRequest(405, "method_not_allowed", f"this path wants {headers.get('Allow', 'another method')}")
        else:
            paths = ", ".join(("/v1/models", "/v1/chat/completions", "/v1/completions", "/health", "/metrics"))
            told = BadRequest(404, "unknown_path", f"there is no {request.url.path[:100]}; there is {paths}")
        try:
            self.guard.require_allowed(request)
        except BadRequest as kept_out:
            told = kept_out
        self.statuses[told.status] += 1
        return json_response(told.to_json(), told.status, headers if told.status == 405 else None)

    def _guarded(self, handler: Handler, keyless: bool = False) -> Handler:
        guarded = self.guard.guarded(handler, keyless)

        async def counted(request: Request) -> Response:
            response = await guarded(request)
            self.statuses[response.status_code] += 1
            return response

        return counted

    async def models(self, request: Request) -> Response:
        """The model, and the model with each steer."""
        return json_response({"object": "list", "data": [self._about(name) for name in self.served.models()]})

    async def model(self, request: Request) -> Response:
        """One of them."""
        name, names = request.path_params["name"], self.served.models()
        if name not in names:
            raise BadRequest(404, "model_not_found", f"there is no model `{name[:200]}`; there is {', '.join(names)}")
        return json_response(self._about(name))

    def _about(self, name: str) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": self.created, "owned_by": "steerdsl"}

    async def health(self, request: Request) -> Response:
        """Whether questions are answered."""
        alive = self.batcher.alive
        about = {"waiting": self.batcher.waiting, "running": self.batcher.counts.running}
        return json_response({"status": "ok" if alive else "the model is lost", **about}, 200 if alive else 503)

    async def metrics(self, request: Request) -> Response:
        """Counters, in the text format of Prometheus."""
        counts = self.batcher.counts
        lines = [f'steerdsl_requests_total{{status="{status}"}} {n}' for status, n in sorted(self.statuses.items())]
        figures = {
            **{"batches_total": counts.batches, "answers_total": counts.answers},
            **{"prompt_tokens_total": counts.read, "completion_tokens_total": counts.made},
            **{"answers_waiting": self.batcher.waiting, "answers_running": counts.running},
            "uptime_seconds": round(time.monotonic() - self.begun, 3),
        }
        lines += [f"steerdsl_{name} {value}" for name, value in figures.items()]
        return PlainTextResponse("\n".join(lines) + "\n")

    async def chat(self, request: Request) -> Response:
        """`/v1/chat/completions`."""
        return await self._answer(request, chat=True)

    async def completions(self, request: Request) -> Response:
        """`/v1/completions`."""
        return await self._answer(request, chat=False)

    async def _answer(self, request: Request, chat: bool) -> Response:
        deadline = asyncio.get_running_loop().time() + self.served.limits.seconds
        try:
            async with asyncio.timeout_at(deadline):
                body = await read_body(request, self.served.limits.body)
        except TimeoutError as error:
            raise too_late(self.served.limits.seconds) from error
        # A long prompt takes seconds to split into tokens, and other clients are answered meanwhile.
        wanted = await asyncio.to_thread(read, body, self.served, chat)
        heard: Heard = asyncio.Queue()
        replies = ask(self.batcher, wanted.questions, heard)
        writer = Writer(wanted, self._word)
        if wanted.stream:
            chunks = self._chunks(wanted, writer, replies, heard, deadline)
            return StreamingResponse(chunks, media_type="text/event-stream", headers={"Cache-Control": "no-store"})
        leaving = asyncio.create_task(_left(request))
        answering = asyncio.create_task(_whole(writer, replies, heard))
        try:
            left = deadline - asyncio.get_running_loop().time()
            await asyncio.wait({leaving, answering}, timeout=max(left, 0), return_when=asyncio.FIRST_COMPLETED)
            if answering.done():
                return json_response(answering.result())
            if leaving.done():
                raise ClientDisconnect
            raise too_late(self.served.limits.seconds)
        finally:
            cancel(replies)
            for task in (leaving, answering):
                task.cancel()
                with suppress(asyncio.CancelledError, BadRequest):
                    await task

    def _word(self, token: int) -> tuple[str, list[int] | None]:
        """A token's text and its bytes; of a part of a character its name in the vocabulary, and the bytes where that
        says them."""
        tokenizer = self.batcher.session.opened.tokenizer
        text = str(tokenizer.decode([token]))
        if UNFINISHED not in text:
            return text, list(text.encode())
        name = str(tokenizer.convert_ids_to_tokens(token))
        return name, named_bytes(name)

    async def _chunks(
        self, wanted: Wanted, writer: Writer, replies: list[Reply], heard: Heard, deadline: float
    ) -> AsyncIterator[str]:
        """The events of a stream. Whatever ends it, a client that leaves too, frees its rows."""
        try:
            async with asyncio.timeout_at(deadline):
                if wanted.chat:
                    for number in range(len(replies)):
                        yield _event(writer.first(number))
                left = len(replies)
                while left:
                    number, piece = await heard.get()
                    if piece.error is not None:
                        raise failed(piece.error)
                    if piece.ending == "cancelled":  # nobody else cancels what is being told
                        raise failed(Closed())
                    left -= piece.ending is not None
                    if piece.text or piece.ending is not None:
                        yield _event(writer.chunk(number, piece))
                if wanted.usage:
                    yield _event(writer.last(_made(replies)))
                yield DONE
        except BadRequest as error:
            yield _event(error.to_json()) + DONE
        except TimeoutError:
            yield _event(too_late(self.served.limits.seconds).to_json()) + DONE
        finally:
            cancel(replies)


async def _whole(writer: Writer, replies: list[Reply], heard: Heard) -> dict[str, Any]:
    """The response once all answers are there. Raises BadRequest for one that there cannot be."""
    choices = [Choice() for _ in replies]
    while any(choice.ending is None for choice in choices):
        number, piece = await heard.get()
        if piece.error is not None:
            raise failed(piece.error)
        if piece.ending == "cancelled":
            raise failed(Closed())
        choices[number].add(piece)
    return writer.whole(choices, _made(replies))


async def _left(request: Request) -> None:
    """Return once the client has gone."""
    while not await request.is_disconnected():
        await asyncio.sleep(0.1)


def _made(replies: list[Reply]) -> int:
    return sum(len(reply.tokens) for reply in replies)


def _event(value: Mapping[str, Any]) -> str:
    return f"data: {json_text(value)}\n\n"
