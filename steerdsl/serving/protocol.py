"""What speaks HTTP: uvicorn, which waits neither for ever for a request's head nor breaks an answer off unsaid.

In: an application, and what is to happen when the server ends. Out: a server of uvicorn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD = 10.0  # seconds from a request's first byte, or a connection's beginning, to the end of its head
MOMENT = 5.0  # seconds that answers at work have once the server is told to end
GRACE = 10  # seconds after which connections are closed, whatever is at work


class BoundedHead(H11Protocol):
    """A connection that is closed when the head of a request does not come."""

    waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """A client has come."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Part of a request."""
        super().data_received(data)
        if self.conn.their_state is h11.IDLE and self.conn.trailing_data[0]:
            self._wait()
        else:
            self._stop()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone."""
        self._stop()
        super().connection_lost(exc)

    def _wait(self) -> None:
        if self.waiting is None:
            self.waiting = self.loop.call_later(HEAD, self.transport.close)

    def _stop(self) -> None:
        if self.waiting is not None:
            self.waiting.cancel()
            self.waiting = None


class Ending(uvicorn.Server):
    """A server that gives answers at work a moment when it ends, and then has `end` tell their clients."""

    end: Callable[[], None] | None = None

    async def shutdown(self, sockets: Any = None) -> None:
        """Close: no new connection, and a last event for every stream."""
        ending = asyncio.create_task(self._end())
        await super().shutdown(sockets)
        ending.cancel()

    async def _end(self) -> None:
        await asyncio.sleep(MOMENT)
        if self.end is not None:
            await asyncio.to_thread(self.end)
