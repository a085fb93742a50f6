"""What the HTTP servers of this package share: who may ask, bodies of bounded size, questions put to the batcher.

In: requests. Out: responses; what is wrong with a request is a `BadRequest`, which becomes one.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from steerdsl.forms.text import parse_json
from steerdsl.methods.finite import NotFinite
from steerdsl.serving.batcher import Batcher, Closed, Full
from steerdsl.serving.questions import Delta, Question, Reply
from steerdsl.serving.requests import BadRequest

LOCAL = ("127.0.0.1", "localhost", "[::1]", "::1")
COOKIE = "steerdsl_key"  # in which a browser keeps the key
Handler = Callable[[Request], Awaitable[Response]]
Heard = asyncio.Queue[tuple[int, Delta]]


class Guard:
    """Says who may ask. Without a `key` only programs of this machine may, under a name of this machine, so that no
    page of a browser reaches the server by a name of its own."""

    def __init__(self, key: str | None = None, host: str = LOCAL[0]) -> None:
        self.key, self.names = key, (*LOCAL, host.lower())

    def guarded(self, handler: Handler, keyless: bool = False) -> Handler:
        """A handler that only those reach who may ask; what is wrong becomes a response. With `keyless` the key need
        not be given."""

        async def guarded(request: Request) -> Response:
            try:
                self.require_allowed(request, keyless)
                return await handler(request)
            except BadRequest as error:
                headers = {"Retry-After": "1"} if error.status == 429 else None
                return json_response(error.to_json(), error.status, headers)
            except ClientDisconnect:
                return Response(status_code=499)

        return guarded

    def knows(self, key: str) -> bool:
        """Whether this is the key."""
        return self.key is not None and hmac.compare_digest(key.encode(), self.key.encode())

    def require_allowed(self, request: Request, keyless: bool = False) -> None:
        """Raise BadRequest for a request without the key, or to a name that is not this server's."""
        if self.key is not None:
            if keyless:
                return
            given = request.headers.get("authorization", "").removeprefix("Bearer ")
            if not self.knows(given) and not self.knows(request.cookies.get(COOKIE, "")):
                raise BadRequest(401, "invalid_api_key", "this server wants its key: `Authorization: Bearer KEY`")
            return
        host = request.headers.get("host", "")
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        if name.lower() not in self.names:
            raise BadRequest(403, "wrong_host", f"this server answers to {self.names[-1]} alone, not to `{name[:100]}`")


async def read_body(request: Request, most: int) -> Any:
    """The JSON of a request, of at most `most` bytes."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise BadRequest(415, "wrong_content_type", "the body is to be application/json")
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > most:
            raise BadRequest(413, "body_too_large", f"the body has more than {most} bytes")
    try:
        return parse_json(bytes(body).decode("utf-8"), object, "the body")
    except ValueError as error:
        raise BadRequest(400, "invalid_json", str(error)) from error


def ask(batcher: Batcher, questions: Sequence[Question], heard: Heard) -> list[Reply]:
    """Put questions to the batcher. The pieces of their answers come out of `heard`, each with the number of its
    question."""
    loop = asyncio.get_running_loop()

    def hear(number: int, piece: Delta) -> None:
        loop.call_soon_threadsafe(heard.put_nowait, (number, piece))

    try:
        return batcher.ask([(one, partial(hear, number)) for number, one in enumerate(questions)])
    except Full as error:
        raise BadRequest(429, "queue_full", f"{batcher.most} answers wait already") from error
    except Closed as error:
        raise BadRequest(503, "shutting_down", "the server ends, or has lost its model") from error


def cancel(replies: Sequence[Reply]) -> None:
    """Nobody waits for these any more."""
    for reply in replies:
        if not reply.done:
            reply.cancel()


def failed(error: Exception) -> BadRequest:
    """What a client is told of an answer that there is not: what is not finite in words, a bug by its kind alone."""
    if isinstance(error, NotFinite):
        return BadRequest(422, "not_finite", f"{error.problem}; {error.way_out}", "steering")
    if isinstance(error, Closed):
        return BadRequest(503, "shutting_down", "the server ends")
    return BadRequest(500, "internal_error", f"the answer failed: {type(error).__name__}")


def too_late(seconds: float) -> BadRequest:
    """What a client is told whose answer takes longer than that."""
    return BadRequest(504, "timeout", f"there was no whole answer within {seconds:g} seconds")


def json_response(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A value as JSON."""
    return JSONResponse(value, status, headers)
