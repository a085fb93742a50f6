"""What a server may do instead of answering: each ends in one diagnostic, in time, and never in a bug."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from misbehaving import (
    AWAY,
    HTTP,
    LOG,
    NEWS_AWAY,
    NEWS_LONG,
    NEWS_OTHER,
    OTHER,
    REPO,
    RESULTS,
    SHAPES,
    Way,
    frame,
    misbehaving,
    replies_with,
    without_end,
)
from nnsight.schema.request import RequestModel

from steerdsl.engine import remote, reply_limits
from steerdsl.engine.remote import Link
from steerdsl.engine.tracing import ndif
from steerdsl.engine.tracing.ndif import Ndif
from steerdsl.lang.diagnostics import RecipeError, render

SECRET = "11111111-2222-4333-8444-555555555555"


class Bare:
    def _remoteable_get_env(self) -> dict[str, str]:
        return {}


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits of seconds are parts of seconds, and those of bytes some thousands."""
    monkeypatch.setattr(remote, "REPLY", 0.6)
    monkeypatch.setattr(remote, "TRYING", 0.8)
    monkeypatch.setattr(remote, "PAUSES", (0.05,))
    monkeypatch.setattr(reply_limits, "REPLY", 0.6)
    monkeypatch.setattr(reply_limits, "SLOWEST", 10_000_000)
    monkeypatch.setattr(reply_limits, "RESULT", 1_000_000)
    monkeypatch.setattr(reply_limits, "SAYS", 300_000)
    monkeypatch.setattr(ndif, "RESULT", 1_000_000)
    monkeypatch.setattr(ndif, "SAYS", 300_000)


def asked(at: str, way: Way) -> tuple[Any, str]:
    """What a run gets of a server: the greeting's two questions, and a request; or the code and the text."""
    with misbehaving(at, way) as server:
        link = Link(server.url, SECRET, REPO, None, "float32")
        try:
            link.model_key = remote.find_model(link, ndif._get(link, "/status"))
            remote.find_versions(link, ndif._get(link, "/env"))
            backend = Ndif(link, Bare())
            request = RequestModel(model_key=link.model_key, compress=True)
            got = link.persist(lambda seconds: backend._once(request, b"payload", seconds))
        except RecipeError as error:
            (found,) = error.diagnostics
            assert error.exit_code == 3
            return found.code, clear(render(found), server.url)
    return got, ""


def clear(text: str, url: str) -> str:
    """A title, a note and a help, each one short line; neither a key nor the server's headers."""
    assert url in text.splitlines()[0] and SECRET not in text
    assert len(text.splitlines()) <= 3 and all(len(line) < 400 and line.isprintable() for line in text.splitlines())
    assert not re.search(r"content-length|sec-websocket|\{'", text.lower())
    return text


def test_a_server_that_behaves() -> None:
    got, _ = asked("", lambda caller: None)
    assert torch.equal(got["a"], torch.ones(3))


@pytest.mark.parametrize("way", AWAY)
@pytest.mark.parametrize("at", HTTP)
def test_a_server_that_is_away(at: str, way: str) -> None:
    code, text = asked(at, AWAY[way])
    assert code in {"/result": ("R823",), "/subscribe": ("R820", "R837")}.get(at, ("R820",)), text
    if way.startswith("says 5") or way.startswith("says 4"):
        assert "HTTP " + way.split()[1] in text


@pytest.mark.parametrize("way", OTHER)
@pytest.mark.parametrize("at", HTTP)
def test_a_service_that_is_no_ndif_server(at: str, way: str) -> None:
    code, text = asked(at, OTHER[way])
    expected = {
        "/result": ("R837",) if "without end" not in way and "leads" not in way else ("R824", "R823"),
        "/subscribe": ("R837", "R820"),
    }
    assert code in expected.get(at, ("R837",)), text


@pytest.mark.parametrize(("at", "shape"), [(at, shape) for at, shapes in SHAPES.items() for shape in shapes])
def test_json_of_another_shape(at: str, shape: Any) -> None:
    code, text = asked(at, replies_with(shape))
    assert code == "R837" and f"its reply at {at} cannot be read" in text


@pytest.mark.parametrize("status", [400, 404, 405, 410, 418, 422, 451, 501, 505, 599])
@pytest.mark.parametrize("at", ["/status", "/env", "/subscribe", "/request"])
def test_a_refusal(at: str, status: int) -> None:
    code, text = asked(at, replies_with({"detail": f"line\n{SECRET}"}, f"{status} No"))
    assert code == "R826" and f"HTTP {status}" in text and "note: line (the key)" in text


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("at", ["/status", "/env", "/subscribe", "/request"])
def test_a_key_that_is_refused(at: str, status: int) -> None:
    assert asked(at, replies_with({"detail": SECRET}, f"{status} No"))[0] == "R825"


@pytest.mark.parametrize("way", NEWS_AWAY)
@pytest.mark.parametrize("at", ["greeting", "news"])
def test_news_that_stop(at: str, way: str) -> None:
    code, text = asked(at, NEWS_AWAY[way])
    assert code == ("R823" if at == "news" else "R820"), text


@pytest.mark.parametrize("way", NEWS_OTHER)
@pytest.mark.parametrize("at", ["greeting", "news"])
def test_news_of_another_shape(at: str, way: str) -> None:
    code, text = asked(at, NEWS_OTHER[way])
    assert code == "R837", text


@pytest.mark.parametrize("way", [*NEWS_LONG.values(), without_end(b"", frame(LOG))])
def test_newswithout_end(way: Way) -> None:
    assert asked("news", way)[0] == "R824"


@pytest.mark.parametrize("way", RESULTS)
def test_a_result_that_cannot_be_read(way: str) -> None:
    assert asked("news", RESULTS[way])[0] == "R837"


@pytest.mark.parametrize("content", [frame(b"", 9), b""])
def test_a_server_that_only_pings(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    """A sign of life of the line is no news of the request."""
    monkeypatch.setattr(remote, "PATIENCE", 1.2)
    assert asked("news", without_end(b"", content, 0.3))[0] == "R822"
