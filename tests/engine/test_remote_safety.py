"""Which addresses are safe, and what no server may make this machine do: take a result over an open line, or
hand its key on."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
import zstandard
from nnsight.schema.request import RequestModel

from steerdsl.engine import safety
from steerdsl.engine.remote import Link, Lost
from steerdsl.engine.tracing.ndif import Ndif
from steerdsl.lang.diagnostics import RecipeError, render

HOST, KEY = "https://ndif.example.org", "11111111-2222-4333-8444-555555555555"


def text(error: RecipeError) -> str:
    return render(error.diagnostics[0])


@pytest.mark.parametrize(
    "host", ["https://a.org", "http://127.0.0.1:8001", "http://localhost", "http://[::1]:80", "http://127.3.2.1/"]
)
def test_safe_addresses(host: str) -> None:
    assert safety.require_safe(host, insecure=False) == host.rstrip("/")


@pytest.mark.parametrize("host", ["http://10.0.0.1:8001", "http://ndif.example.org", "http://127.0.0.1.example.org"])
def test_an_address_in_the_clear(host: str) -> None:
    assert safety.require_safe(host, insecure=True) == host
    with pytest.raises(RecipeError) as caught:
        safety.require_safe(host, insecure=False)
    assert caught.value.exit_code == 2
    assert text(caught.value) == (
        f"error[R827]: {host} is not encrypted: the key, the prompts and the results would travel in the clear\n"
        "help: use its https address, or add --insecure if you accept it\n"
    )


@pytest.mark.parametrize("host", ["ndif.example.org", "10.0.0.1:8001", "ftp://a.org", "https://", ""])
def test_no_address(host: str) -> None:
    with pytest.raises(RecipeError) as caught:
        safety.require_safe(host, insecure=True)
    assert text(caught.value) == (
        f"error[R828]: `{host}` is not a server address\n"
        "help: write it as https://HOST, or http://127.0.0.1:PORT for a server on this machine\n"
    )


def test_the_address_is_looked_at_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NDIF_HOST", raising=False)
    safety.early_check(None, False)
    monkeypatch.setenv("NDIF_HOST", "http://a.org")
    safety.early_check("https://a.org", False)
    with pytest.raises(RecipeError, match="not encrypted"):
        safety.early_check(None, False)


class Place(ThreadingHTTPServer):
    """A server on this machine that sends every caller on to `leads_to`, or gives a result; `asked` has the
    headers of the requests."""

    leads_to = ""
    refuses = 0  # the status with which it refuses every caller

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.asked: list[dict[str, str]] = []

    @property
    def at(self) -> str:
        return f"127.0.0.1:{self.server_port}"


class Answer(BaseHTTPRequestHandler):
    server: Place

    def do_GET(self) -> None:
        self.server.asked.append({name.lower(): value for name, value in self.headers.items()})
        if self.server.refuses:
            self.send_response(self.server.refuses)
            self.send_header("X-Inner", "10.1.2.3")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        blob = io.BytesIO()
        torch.save({"a": torch.ones(3)}, blob)
        content = b"" if self.server.leads_to else zstandard.ZstdCompressor().compress(blob.getvalue())
        self.send_response(302 if self.server.leads_to else 200)
        if self.server.leads_to:
            self.send_header("Location", self.server.leads_to)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: object) -> None: ...


@pytest.fixture
def places() -> Iterator[list[Place]]:
    found = [Place(), Place()]
    for place in found:
        threading.Thread(target=place.serve_forever, args=(0.01,), daemon=True).start()
    yield found
    for place in found:
        place.shutdown()
        place.server_close()


class Bare:
    def _remoteable_get_env(self) -> dict[str, str]:
        return {}


def linked(host: str = HOST, insecure: bool = False) -> Ndif:
    return Ndif(Link(host, KEY, "a/b", None, "float32", model_key="k", insecure=insecure), Bare())


def test_a_result_is_fetched_from_where_it_lies(places: list[Place]) -> None:
    """Without the key, which is the server's own and not that of its store."""
    assert torch.equal(linked().download_result(f"http://{places[0].at}/results/1")["a"], torch.ones(3))
    assert len(places[0].asked) == 1 and "ndif-api-key" not in places[0].asked[0]


@pytest.mark.parametrize("url", ["http://10.1.2.3:9000/results/1?signed=abc", "http://u:p@10.1.2.3:9000/x"])
def test_a_result_in_the_clear_is_not_fetched(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    with pytest.raises(RecipeError) as caught:
        linked().download_result(url)
    assert caught.value.exit_code == 3
    assert text(caught.value) == (
        f"error[R827]: the server at {HOST} has put its result at http://10.1.2.3:9000, which is not encrypted\n"
        "note: results are unpickled: whoever changes one on its way can run code on this machine\n"
        "help: add --insecure if you accept it\n"
    )
    safety.require_safe_result(linked(insecure=True).link, url)


@pytest.mark.parametrize("url", ["ftp://a.org/x", "file:///etc/passwd", "https://", "http://[::1", "http://a\t.org/"])
def test_a_result_at_no_address(url: str) -> None:
    with pytest.raises(RecipeError) as caught:
        linked(insecure=True).download_result(url)
    assert text(caught.value) == f"error[R828]: the server at {HOST} gave no address for its result\n"


def test_a_result_is_not_followed_elsewhere(places: list[Place]) -> None:
    first, second = places
    first.leads_to = f"http://{second.at}/results/1"
    with pytest.raises(Lost, match="HTTP 302 where its result should be"):
        linked().download_result(f"http://{first.at}/results/1?signed=abc")
    assert len(first.asked) == 1 and not second.asked


def test_the_key_is_not_taken_elsewhere(places: list[Place]) -> None:
    first, second = places
    first.leads_to = f"ws://{second.at}/subscribe"
    backend = linked(f"http://{first.at}")
    with pytest.raises(Lost, match="Redirect") as caught:
        backend._once(RequestModel(model_key="k"), b"", 5)
    assert not caught.value.taken
    assert [asked["ndif-api-key"] for asked in first.asked] == [KEY] and not second.asked


@pytest.mark.parametrize("status", [400, 401, 403, 404, 426, 429, 500, 502, 503])
def test_a_failed_handshake_prints_no_headers(places: list[Place], status: int) -> None:
    """The library's own words for it are all headers of the reply."""
    places[0].refuses = status
    with pytest.raises((Lost, RecipeError)) as caught:
        linked(f"http://{places[0].at}")._once(RequestModel(model_key="k"), b"", 5)
    said = text(caught.value) if isinstance(caught.value, RecipeError) else str(caught.value)
    assert "10.1.2.3" not in said and "x-inner" not in said.lower() and said.strip()


@pytest.mark.parametrize("host", [f"https://user:{KEY}@a.org", f"http://{KEY}@127.0.0.1", f"user:{KEY}@a.org"])
def test_an_address_with_a_key_in_it(host: str) -> None:
    """It would go into warnings, the record, and the list of hosts that were told of."""
    with pytest.raises(RecipeError) as caught:
        safety.require_safe(host, insecure=True)
    assert caught.value.exit_code == 2
    assert text(caught.value) == (
        "error[R828]: the address of the server has a user name, a password or a key in it\n"
        "help: leave out all up to the `@`; a key goes into NDIF_API_KEY\n"
    )


def test_a_link_that_is_printed_has_no_key() -> None:
    assert KEY not in repr(linked().link) and HOST in repr(linked().link)
