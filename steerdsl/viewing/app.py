"""The server of `steerdsl view`: pages of runs, the answers behind a point, and the dial.

In: a shelf of runs and a desk with the model. Out: an ASGI application. No page runs what a record says: everything is
escaped, and a policy lets a browser run and load nothing but the files of this package.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from steerdsl.forms.form import misfit
from steerdsl.lang.diagnostics import RecipeError
from steerdsl.serving.questions import Reply
from steerdsl.serving.requests import BadRequest
from steerdsl.serving.web import (
    COOKIE,
    LOCAL,
    Guard,
    Handler,
    Heard,
    ask,
    cancel,
    failed,
    json_response,
    read_body,
    too_late,
)
from steerdsl.show.door import json_text
from steerdsl.show.report.html import style
from steerdsl.viewing import pages
from steerdsl.viewing.desk import Desk
from steerdsl.viewing.points import answers, marked, points
from steerdsl.viewing.questions import SIDES, WANTED, asked, known
from steerdsl.viewing.shelf import Kind, Shelf, ShelfItem

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
SCRIPTS = ("view.js", "sweeps.js", "dial.js", "knob.js", "parts.js")
ASSETS = {**dict.fromkeys(SCRIPTS, "text/javascript"), "view.css": "text/css", "report.css": "text/css"}
BODY = 1 << 18  # bytes of a request


class Viewer:
    """Answers a browser. Without a `key` only this machine may ask."""

    def __init__(self, shelf: Shelf, desk: Desk, key: str | None = None, host: str = LOCAL[0]) -> None:
        self.shelf, self.desk = shelf, desk
        self.guard = Guard(key, host)

    def app(self) -> Starlette:
        """The application."""
        routes = [
            Route("/", self._page(self.index)),
            Route("/compare", self._page(self.compare)),
            Route("/runs/{name}", self._page(self.run)),
            Route("/recipes/{name}", self._page(self.recipe)),
            Route("/assets/{name}", self._guarded(self.asset)),
            Route("/api/runs/{name}/{evaluation}/{place:int}", self._guarded(self.point)),
            Route("/api/dial/{name}", self._guarded(self.dial)),
            Route("/api/dial/{name}/open", self._guarded(self.open), methods=["POST"]),
            Route("/api/dial/{name}/answer", self._guarded(self.answer), methods=["POST"]),
        ]
        return Starlette(routes=routes, exception_handlers={404: self._nowhere})

    def _guarded(self, handler: Handler) -> Handler:
        guarded = self.guard.guarded(handler)

        async def shut(request: Request) -> Response:
            return _closed(await guarded(request))

        return shut

    def _page(self, handler: Handler) -> Handler:
        """A page. What is wrong with it is a page too; a link with the key in it lets a browser in."""

        async def page(request: Request) -> Response:
            try:
                if self.guard.knows(request.query_params.get("key", "")):
                    return _closed(self._let_in(request))
                self.guard.require_allowed(request)
                return _closed(await handler(request))
            except RecipeError as error:
                title, text, status = "This cannot be shown", pages.refusal(error), 422
            except (OSError, ValueError) as error:
                title, text, status = "This cannot be shown", str(error), 422
            except BadRequest as error:
                title, text, status = (
                    {404: "There is no such page", 401: "A key is needed"}.get(error.status, "This was refused"),
                    str(error),
                    error.status,
                )
            return _closed(HTMLResponse(pages.wrong_page(title, text), status))

        return page

    def _let_in(self, request: Request) -> Response:
        response = RedirectResponse(quote(request.url.path), 303)
        response.set_cookie(COOKIE, request.query_params["key"], httponly=True, samesite="strict")
        return response

    async def _nowhere(self, request: Request, error: Exception) -> Response:
        return _closed(HTMLResponse(pages.wrong_page("There is no such page", "all pages are linked above"), 404))

    async def index(self, request: Request) -> Response:
        """The list of runs."""
        return HTMLResponse(await asyncio.to_thread(pages.index, self.shelf))

    async def run(self, request: Request) -> Response:
        """A run."""
        item = self._item(request.path_params["name"], "run")
        return HTMLResponse(await asyncio.to_thread(lambda: pages.run_page(item, self.shelf.open(item))))

    async def recipe(self, request: Request) -> Response:
        """A recipe."""
        item = self._item(request.path_params["name"], "recipe")
        return HTMLResponse(await asyncio.to_thread(pages.recipe_page, item))

    async def compare(self, request: Request) -> Response:
        """Two runs."""
        names = (request.query_params.get("first", ""), request.query_params.get("second", ""))
        before, after = (self._item(name, "run") for name in names)

        def made() -> str:
            return pages.comparison_page(names, self.shelf.open(before), self.shelf.open(after))

        return HTMLResponse(await asyncio.to_thread(made))

    async def asset(self, request: Request) -> Response:
        """A file of this package."""
        name = request.path_params["name"]
        if name not in ASSETS:
            raise BadRequest(404, "not_found", "there is no such file")
        return Response(_asset(name), media_type=ASSETS[name])

    async def point(self, request: Request) -> Response:
        """The answers behind a point."""
        item, evaluation = self._item(request.path_params["name"], "run"), request.path_params["evaluation"]
        place = request.path_params["place"]

        def read() -> dict[str, Any]:
            run = self.shelf.open(item)
            there = points(run, evaluation)
            if there is None or place >= len(there):
                raise BadRequest(404, "point_not_found", f"there is no point {place} of `{evaluation[:100]}`")
            return answers(run, evaluation, there[place])

        return json_response(await _read(read))

    async def dial(self, request: Request) -> Response:
        """How far the model is, and once it is open, what can be turned."""
        item = self._item(request.path_params["name"])
        state, opened = self.desk.state(item.name, item.stamp), self.desk.opened
        if state["state"] == "open" and opened is not None:
            state |= await asyncio.to_thread(known, opened)
        return json_response(state)

    async def open(self, request: Request) -> Response:
        """Begin to open the model."""
        item = self._item(request.path_params["name"])
        await read_body(request, BODY)  # which a page of another server cannot send
        if not self.desk.open(item.name, item.source, item.stamp):
            raise BadRequest(409, "busy", f"`{self.desk.name}` is being opened; wait until it is")
        return json_response(self.desk.state(item.name, item.stamp))

    async def answer(self, request: Request) -> Response:
        """A prompt answered without a steer and with it, as a stream of lines of JSON."""
        item = self._item(request.path_params["name"])
        body = await read_body(request, BODY)
        opened = self.desk.opened
        if opened is None or self.desk.state(item.name, item.stamp)["state"] != "open":
            raise BadRequest(
                409,
                "not_open",
                "the model is not open for this, or this has changed since: load the page again, and open it first",
            )
        if (wrong := misfit(body, WANTED)) is not None:
            raise BadRequest(400, "invalid_value", wrong)
        questions = await asyncio.to_thread(asked, body, opened)
        heard: Heard = asyncio.Queue()
        replies = ask(opened.batcher, questions, heard)
        lines = _lines(replies, heard, opened.served.limits.seconds)
        return StreamingResponse(lines, media_type="application/x-ndjson")

    def _item(self, name: str, kind: Kind | None = None) -> ShelfItem:
        """Raises BadRequest for an item that there is not."""
        item = self.shelf.items().get(name)
        if item is None or kind not in (None, item.kind):
            raise BadRequest(404, "not_found", f"there is no {kind or 'run'} `{name[:200]}`")
        return item


async def _lines(replies: list[Reply], heard: Heard, seconds: float) -> AsyncIterator[str]:
    """The pieces of both answers, then both with what differs. Whatever ends it, a browser that leaves too, frees the
    rows."""
    left = len(replies)
    try:
        async with asyncio.timeout(seconds):
            while left:
                number, piece = await heard.get()
                if piece.error is not None:
                    raise failed(piece.error)
                left -= piece.ending is not None
                if piece.text or piece.ending:
                    yield _line({"side": SIDES[number], "text": piece.text, "ending": piece.ending})
        texts = [reply.told for reply in replies]
        pieces = zip(SIDES, replies, marked(texts[0], texts[1]), strict=True)
        yield _line({"done": {side: {"parts": parts, "tokens": reply.tokens} for side, reply, parts in pieces}})
    except BadRequest as error:
        yield _line(error.to_json())
    except TimeoutError:
        yield _line(too_late(seconds).to_json())
    finally:
        cancel(replies)


def _line(value: Any) -> str:
    return json_text(value) + "\n"


def _closed(response: Response) -> Response:
    """A response under the policy."""
    response.headers.update(HEADERS)
    return response


async def _read(read: Callable[[], Any]) -> Any:
    """What a function reads of a run, in another thread. Raises BadRequest for a run that cannot be read."""
    try:
        return await asyncio.to_thread(read)
    except RecipeError as error:
        raise BadRequest(422, "cannot_be_read", pages.refusal(error)) from error


@cache
def _asset(name: str) -> str:
    return style() if name == "report.css" else files(__package__).joinpath("assets", name).read_text("utf-8")
