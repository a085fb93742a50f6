"""A small NDIF server on a real socket that speaks as a real one does, but at one place.

In: a place (`Place`) and a way to misbehave there, of `WAYS`. Out: `Ndif`'s view of it: an address, and what was
asked there. All else it says is what a server of this version says.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import socketserver
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch
import zstandard
from nnsight.schema.response import ResponseModel, Status

REPO = "Qwen/Qwen3-0.6B"
KEY = "nnsight.modeling.transformers.TransformersModel:" + json.dumps({"repo_id": REPO, "task": "text-generation"})
STATUS = {"deployments": {f"a:ModelActor:{KEY}": {"application_state": "RUNNING", "model_key": KEY}}}
GOOD = {
    "/status": json.dumps(STATUS).encode(),
    "/env": json.dumps({"packages": {"torch": "2.13.0", "nnsight": "0.8.1", "transformers": "5.23.0"}}).encode(),
    "/request": json.dumps({"id": "1", "status": "RECEIVED"}).encode(),
}
# What is said by HTTP, and what over the websocket once it is open.
HTTP = ("/status", "/env", "/subscribe", "/request", "/result")
SOCKET = ("greeting", "news")
Way = Callable[["Caller"], None]


def result(saved: Any) -> bytes:
    """What a request saved, as it is sent back."""
    blob = io.BytesIO()
    torch.save(saved, blob)
    return zstandard.ZstdCompressor().compress(blob.getvalue())


def frame(content: bytes, opcode: int = 1, fin: bool = True) -> bytes:
    """A frame of a websocket, from a server."""
    size = len(content)
    head = bytes([128 * fin + opcode])
    if size < 126:
        return head + bytes([size]) + content
    return head + (b"\x7e" + struct.pack("!H", size) if size < 65536 else b"\x7f" + struct.pack("!Q", size)) + content


class Server(socketserver.ThreadingTCPServer):
    """`at`: where it misbehaves, and `way` how."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 50

    def __init__(self, at: str, way: Way) -> None:
        super().__init__(("127.0.0.1", 0), Caller)
        self.at, self.way, self.asked = at, way, list[str]()
        self.posted, self.over = threading.Event(), threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Caller(socketserver.BaseRequestHandler):
    """One connection."""

    server: Server

    def handle(self) -> None:
        with suppress(OSError):  # it was given up
            self._answer()

    def _answer(self) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            part = self.request.recv(1)
            if not part:
                return
            head += part
        path = head.split()[1].decode()
        lines = [line.split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line]
        headers = {name.lower(): value for name, value in lines}
        self.server.asked.append(path)
        left = int(headers.get(b"content-length", b"0"))
        while left:
            left -= len(self.request.recv(min(left, 65536)))
        if path == self.server.at:
            self.server.way(self)
        elif path == "/subscribe":
            self._news(headers[b"sec-websocket-key"])
        elif path == "/result":
            self.reply(result({"a": torch.ones(3)}))
        else:
            self.reply(GOOD[path])
        if path == "/request":
            self.server.posted.set()

    def _news(self, key: bytes) -> None:
        accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        upgrade = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        self.send(upgrade + b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
        if self.server.at == "greeting":
            self.server.way(self)
        self.send(frame(b'{"session_id": "s"}'))
        self.server.posted.wait(30)
        if self.server.at == "news":
            self.server.way(self)
        done = ResponseModel(id="1", status=Status.COMPLETED, data=f"{self.server.url}/result")
        self.send(frame(done.pickle(), opcode=2))
        self.server.over.wait(30)

    def send(self, content: bytes) -> None:
        self.request.sendall(content)

    def reply(self, body: bytes, status: str = "200 OK", more: str = "") -> None:
        self.send(
            f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n{more}\r\n".encode() + body
        )

    def forever(self, content: bytes, pause: float = 0.0) -> None:
        while not self.server.over.is_set():
            self.send(content)
            time.sleep(pause)


def _silent(caller: Caller) -> None:
    caller.server.over.wait(30)


def _closed(caller: Caller) -> None:
    caller.request.close()


def _sends(content: bytes) -> Way:
    def way(caller: Caller) -> None:
        caller.send(content)
        caller.request.close()

    return way


def without_end(first: bytes, then: bytes, pause: float = 0.0) -> Way:
    def way(caller: Caller) -> None:
        caller.send(first)
        caller.forever(then, pause)

    return way


def replies_with(body: Any, status: str = "200 OK", more: str = "") -> Way:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return lambda caller: caller.reply(content, status, more)


def _tells(content: bytes, opcode: int = 1) -> Way:
    return _sends(frame(content, opcode))


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
# A server that may come back: it is asked again, and then given up.
AWAY: dict[str, Way] = {
    "is silent": _silent,
    "closes": _closed,
    "says half a reply": _sends(OK + b"Content-Length: 100\r\n\r\n{"),
    "says no HTTP": _sends(b"\x00\xff\x80 nonsense\r\n\r\n"),
    "says a status of words": _sends(b"HTTP/1.1 abc def\r\n\r\n"),
    "drips a header": without_end(OK, b"a", 0.05),
    "drips headers": without_end(OK, b"a: b\r\n", 0.05),
    "drips a body": without_end(OK + b"Content-Length: 1000000\r\n\r\n", b" ", 0.05),
    "drips chunks": without_end(CHUNKED, b"1\r\n \r\n", 0.05),
    "sends headers without end": without_end(OK, b"a: " + b"b" * 2000 + b"\r\n"),
    **{f"says {s}": replies_with({"detail": "out of order"}, f"{s} Oh") for s in (408, 429, 500, 502, 503, 504)},
}
# What is no NDIF server.
OTHER: dict[str, Way] = {
    "sends without end": without_end(OK + b"\r\n", b" " * 4096),
    "sends chunks without end": without_end(
        OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1000\r\n" + b" " * 4096 + b"\r\n"
    ),
    "leads elsewhere": replies_with(b"", "302 Found", "Location: http://127.0.0.1:1/\r\n"),
    "says a page": replies_with(b"<html>\n<b>Sign in</b></html>"),
    "says what is no text": replies_with(b"\xff\xfe\xfd\xfc" * 5),
    "says deep nesting": replies_with(b"[" * 200_000),
    "says nothing": replies_with(b""),
    **{f"says {body!r}": replies_with(body) for body in ([], None, 7, "ok", [{}], True)},
}
SHAPES: dict[str, list[Any]] = {
    "/status": [
        *({}, {"deployments": None}, {"deployments": []}, {"deployments": "x"}, {"deployments": {"a": None}}),
        *({"deployments": {"a": []}}, {"deployments": {"a": {}, "b": 3}}, {"detail": "x"}),
    ],
    "/env": [
        {"packages": None},
        {"packages": []},
        {"packages": "x"},
        {"packages": {"torch": 2}},
        {"packages": {"torch": None}},
    ],
    "/request": [{}, {"id": 7}, {"id": "1", "status": "GONE"}, {"status": "QUEUED"}],
}
NEWS_AWAY: dict[str, Way] = {
    "closes": _closed,
    "says no frame": _sends(b"\xff\xff\xff\xff\xff\xff"),
    "says goodbye": _tells(b"\x03\xe8", 8),
    "drips a frame": without_end(b"\x81\x7e\xff\xff", b"a", 0.05),
    "drips frames of a message": without_end(frame(b"{", fin=False), frame(b" ", 0, fin=False), 0.05),
    "begins a frame": lambda caller: (caller.send(b"\x81\x7e\xff\xff{"), _silent(caller))[0],
}
NEWS_OTHER: dict[str, Way] = {
    **{f"says {content!r}": _tells(content) for content in (b"hello", b"[]", b"null", b'{"status": 3}', b'"x"', b"7")},
    "says what is no text": _tells(b"\xff\xfe\xfd"),
    "says bytes": _tells(b"\x00" * 50, 2),
}
NEWS_LONG: dict[str, Way] = {
    "sends a frame without end": without_end(b"\x82\x7f" + struct.pack("!Q", 2**62), b"a" * 65536),
    "sends a message without end": without_end(frame(b"{", fin=False), frame(b" " * 65536, 0, fin=False)),
}
LOG = ResponseModel(id="1", status=Status.LOG, description="x" * 50_000).model_dump_json().encode()


def completed(data: Any) -> Way:
    return _tells(ResponseModel(id="1", status=Status.COMPLETED, data=data).pickle(), 2)


RESULTS: dict[str, Way] = {
    "gives no result": completed(None),
    "gives a number": completed(7),
    "gives what is not packed": completed(b"not packed"),
    "gives what is no result": completed(zstandard.ZstdCompressor().compress(b"no result")),
    "gives a list": completed(
        zstandard.ZstdCompressor().compress((lambda b: (torch.save([1], b), b.getvalue())[1])(io.BytesIO()))
    ),
}


@contextmanager
def misbehaving(at: str, way: Way) -> Iterator[Server]:
    """A server, running."""
    server = Server(at, way)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield server
    finally:
        server.over.set()
        server.posted.set()
        server.shutdown()
        server.server_close()
