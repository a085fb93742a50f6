"""Whole replies of a server, within limits of time and size.

In: an HTTP request, or the address of a websocket. Out: status and body; a websocket that keeps to the same limits.
TimeoutError is for what is too slow, `TooLong` for what has too many bytes: a server that is silent, or sends a byte
now and then, or without end, is found out.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import httpx
import websocket
from websocket import ABNF

from steerdsl.engine.remote import REPLY

SLOWEST = 50_000  # bytes a second: what is large may take longer
SAYS = 16 * 2**20  # bytes of what a server says of itself, or of a request
RESULT = 1 << 30  # bytes of one result

T = TypeVar("T")


class TooLong(Exception):
    """A reply has more bytes than it may have."""


@dataclass(slots=True)
class Count:
    """The bytes that have come, or gone, so far; `given_up` says that nobody waits for the rest."""

    bytes: int = 0
    given_up: bool = False


def within(seconds: float, work: Callable[[Count], T]) -> T:
    """What `work` gives, within so many seconds and what its bytes may take; raises TimeoutError, and what it
    raises. It runs in a thread: no timeout of a socket ends a header that comes byte by byte."""
    count, out = Count(), dict[str, Any]()

    def run() -> None:
        try:
            out["given"] = work(count)
        except BaseException as error:
            out["raised"] = error

    thread, begun = threading.Thread(target=run, daemon=True), time.monotonic()
    thread.start()
    while thread.is_alive():
        thread.join(0.1)
        if thread.is_alive() and time.monotonic() - begun > seconds + count.bytes / SLOWEST:
            count.given_up = True
            raise TimeoutError(f"no whole reply within {time.monotonic() - begun:.0f} s")
    if "raised" in out:
        raise out["raised"]
    return cast(T, out["given"])


def exchange(method: str, url: str, seconds: float, most: int, **given: Any) -> tuple[int, bytes]:
    """The status and the body of a reply; no redirect is followed. Raises httpx.HTTPError, TimeoutError and,
    for more than `most` bytes, TooLong."""

    def work(count: Count) -> tuple[int, bytes]:
        body = bytearray()
        with httpx.stream(method, url, timeout=seconds, follow_redirects=False, **given) as reply:
            for chunk in reply.iter_bytes():
                body += chunk
                count.bytes = len(body)
                if len(body) > most or count.given_up:
                    raise TooLong
            return reply.status_code, bytes(body)

    return within(seconds, work)


class News(websocket.WebSocket):
    """A websocket whose messages come within the limits: REPLY seconds from the first byte, and RESULT bytes, those
    in text SAYS bytes together."""

    begun: float | None = None  # when the message that is coming began
    size = 0  # its bytes
    told = 0  # bytes of all messages in text
    unfinished = False  # its first frames have come
    until: float | None = None  # when a message is no longer waited for, though signs of life of the line come

    def _recv(self, bufsize: int) -> Any:
        try:
            data = super()._recv(bufsize)  # type: ignore[no-untyped-call]
        except websocket.WebSocketTimeoutException:
            self._keep_pace()
            raise
        if self.begun is None:
            self.begun, self.size = time.monotonic(), 0
        self.size += len(data)
        self._keep_pace()
        if self.size > RESULT:
            raise TooLong
        return data

    def _keep_pace(self) -> None:
        if self.begun is not None and time.monotonic() - self.begun > REPLY + self.size / SLOWEST:
            raise TimeoutError("a message began and did not end")

    def recv_frame(self) -> Any:
        if self.until is not None and self.begun is None and time.monotonic() > self.until:
            raise websocket.WebSocketTimeoutException("no message")
        frame = super().recv_frame()  # type: ignore[no-untyped-call]
        if frame.opcode not in (ABNF.OPCODE_PING, ABNF.OPCODE_PONG, ABNF.OPCODE_CLOSE):
            self.unfinished = not frame.fin
            self.told += len(frame.data) if frame.opcode == ABNF.OPCODE_TEXT else 0
            if self.told > SAYS:
                raise TooLong
        if not self.unfinished:
            self.begun = None
        return frame


def subscribe(url: str, seconds: float, headers: dict[str, str]) -> News:
    """An open websocket. Raises OSError and websocket.WebSocketException. No redirect is followed: it would take
    the headers along to wherever it leads."""

    def work(count: Count) -> News:
        made = websocket.create_connection(url, header=headers, timeout=seconds, class_=News, redirect_limit=0)
        return cast(News, made)

    return within(seconds, work)
