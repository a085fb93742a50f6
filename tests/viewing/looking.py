"""A recipe with a sweep, and the server of its run in a thread of this process."""

from __future__ import annotations

import json
import socket
import threading
import time
from pathlib import Path
from typing import Any

import httpx

from steerdsl.cli.opening import opened
from steerdsl.planning.plan import RunOptions
from steerdsl.serving.listen import http_server
from steerdsl.serving.served import RequestLimits
from steerdsl.viewing.app import Viewer
from steerdsl.viewing.desk import Desk, Opener
from steerdsl.viewing.shelf import Shelf

VALUES = """
dataset a = econ with take: 8, held_out: 50%
dataset b = generic with take: 8, held_out: 50%
topic = extract diffmean from a vs b
turn = plane(topic[1], pc1)
"""
RECIPE = f"""{VALUES}
steer pushed {{ add topic by 2 at layer 1 }}
steer shared {{ add topic by 40% at layers 1, 2 }}
steer erased {{ ablate topic[1] everywhere }}
steer held {{ clamp topic to 3 at layer 1 }}
sweep angle over 0deg..270deg step 90deg {{
    steer turned {{ rotate turn to angle at layer 1 }}
    s = evaluate turned on a, b with keyword_rate("econ"), max_tokens: 6, controls: none
}}
generate from a.held_out with steer: pushed, max_tokens: 6
generate from a.held_out with steer: shared, max_tokens: 6
generate from a.held_out with steer: erased, max_tokens: 6
generate from a.held_out with steer: held, max_tokens: 6
"""
LIMITS = RequestLimits(tokens=64, rows=8, waiting=16, seconds=120.0)
WAIT = 120.0


def opener(model: Path) -> Opener:
    """Opens what is named on this model."""
    options = RunOptions(model=str(model), dtype="float32", device="cpu")
    return lambda source, progress: opened(str(source), options, progress)


class Looking:
    """A server, and a client of it."""

    def __init__(self, shelf: Shelf, open_: Opener, key: str | None = None) -> None:
        self.desk = Desk(open_, LIMITS)
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        self.server = http_server(Viewer(shelf, self.desk, key).app(), LIMITS.waiting)
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.socket]}, daemon=True)
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.client = httpx.Client(base_url=self.url, timeout=WAIT)

    def get(self, path: str, **how: Any) -> httpx.Response:
        return self.client.get(path, **how)

    def state(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.get(f"/api/dial/{name}").json()
        return found

    def open(self, name: str) -> dict[str, Any]:
        """Open an item's model, and wait until it is or cannot be."""
        assert self.client.post(f"/api/dial/{name}/open", json={}).status_code == 200
        end = time.monotonic() + WAIT
        while (told := self.state(name))["state"] == "opening":
            assert time.monotonic() < end, told
            time.sleep(0.02)
        return told

    def asked(self, name: str, **body: Any) -> httpx.Response:
        return self.client.post(f"/api/dial/{name}/answer", json=body)

    def answers(self, name: str, **body: Any) -> dict[str, list[int]]:
        """The tokens of both sides."""
        response = self.asked(name, **body)
        assert response.status_code == 200, response.text
        *pieces, last = map(json.loads, response.text.splitlines())
        for side, found in last["done"].items():
            told = "".join(piece["text"] for piece in pieces if piece["side"] == side)
            assert told == "".join(text for text, _ in found["parts"])
        return {side: found["tokens"] for side, found in last["done"].items()}

    def close(self) -> None:
        self.client.close()
        self.server.should_exit = True
        self.thread.join(30)
        self.desk.close()
        assert not self.thread.is_alive()
