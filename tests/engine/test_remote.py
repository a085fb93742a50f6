"""What is said when a server fails; no server is needed."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
import zstandard
from nnsight.intervention.backends.remote import RemoteError
from nnsight.schema.config import CONFIG
from nnsight.schema.response import ResponseModel, Status

from steerdsl.engine import remote
from steerdsl.engine.remote import Link, Lost, Traffic
from steerdsl.engine.tracing.ndif import Ndif
from steerdsl.lang.diagnostics import Diagnostic, RecipeError, render

HOST, KEY = "https://ndif.example.org", "11111111-2222-4333-8444-555555555555"


@pytest.fixture
def link() -> Link:
    return Link(HOST, KEY, "Qwen/Qwen3-0.6B", None, "float32")


def text(error: RecipeError | Diagnostic) -> str:
    (diagnostic,) = error.diagnostics if isinstance(error, RecipeError) else (error,)
    return render(diagnostic)


def served(repo: str, revision: str | None = None, task: str = "text-generation") -> str:
    suffix = json.dumps({"repo_id": repo, "revision": revision, "task": task})
    return f"nnsight.modeling.transformers.TransformersModel:{suffix}"


def status(*keys: str, state: str = "RUNNING", told: bool = False) -> dict[str, Any]:
    about = [{"application_state": state, **({"model_key": key} if told else {})} for key in keys]
    cold = {"Qwen/Qwen3-0.6B": {"deployment_level": "COLD", "repo_id": "Qwen/Qwen3-0.6B"}}
    return {"deployments": {f"a1:ModelActor:{key}": facts for key, facts in zip(keys, about, strict=True)} | cold}


@pytest.mark.parametrize("told", [False, True])
def test_a_served_model(link: Link, told: bool) -> None:
    """The server's own name of it is taken, however it spells the revision."""
    key = served("qwen/Qwen3-0.6B", "main")
    assert remote.find_model(link, status(served("a/b"), key, told=told)) == key


@pytest.mark.parametrize(
    ("found", "listed"),
    [
        (status(), "none"),
        (status(served("b/c"), served("a/b")), "a/b, b/c"),
        (status(served("Qwen/Qwen3-0.6B"), state="UNHEALTHY"), "none"),
        (status(served("Qwen/Qwen3-0.6B", "refs/pr/1")), "Qwen/Qwen3-0.6B"),
        (status(served("Qwen/Qwen3-0.6B", task="feature-extraction")), "none"),
    ],
)
def test_a_model_that_is_not_served(link: Link, found: dict[str, Any], listed: str) -> None:
    with pytest.raises(RecipeError) as caught:
        remote.find_model(link, found)
    assert caught.value.exit_code == 3
    assert text(caught.value) == (
        f"error[R821]: the server at {HOST} does not serve `Qwen/Qwen3-0.6B`\n"
        f"note: served now: {listed}\n"
        "help: run a model that it serves with --model, or have this one deployed\n"
    )


def test_the_same_versions_need_no_table(link: Link) -> None:
    versions = {"nnsight": "0.8.1", "torch": "2.13.0", "transformers": "5.23.0"}
    assert remote.compare(link, versions, {**versions, "torch": "2.13.0+cu130", "numpy": "1"}) is None
    assert link.versions["torch"] == {"here": "2.13.0", "there": "2.13.0"} and link.differences() == []


def test_the_table_of_versions(link: Link) -> None:
    here = {"nnsight": "0.8.1", "torch": "2.13.0", "transformers": "5.23.0"}
    assert remote.compare(link, here, {"nnsight": "0.8.1", "torch": "2.12.1", "transformers": "5.22.2"}) == (
        f"warning: the server at {HOST} has other versions than this machine\n"
        "  package       here        there       may differ\n"
        "  torch         2.13.0      2.12.1      the last digits of every number, and with them single tokens; "
        "other samples from the same seed\n"
        "  transformers  5.23.0      5.22.2      activations from about the fifth digit on, and with them single tokens"
    )
    assert link.differences()[1] == f"the server at {HOST} has transformers 5.22.2, this machine 5.23.0"


REFUSALS = [
    (
        (403, "Invalid API key."),
        f"error[R825]: the server at {HOST} does not accept the API key\n"
        "help: set NDIF_API_KEY to a key of this server, or store one with `nnsight login`\n",
    ),
    (
        (413, ""),
        f"error[R824]: the request is too large for the server at {HOST}\nhelp: use shorter prompts or fewer tokens\n",
    ),
    (
        (400, "Client nnsight version 0.8.1 is below the minimum supported 0.9."),
        f"error[R830]: the server at {HOST} does not take this client\n"
        "note: Client nnsight version 0.8.1 is below the minimum supported 0.9.\n"
        "help: install the version that it asks for\n",
    ),
    ((422, ""), f"error[R826]: the server at {HOST} refuses the request: HTTP 422\n"),
]


@pytest.mark.parametrize(("reply", "message"), REFUSALS)
def test_refusals(link: Link, reply: tuple[int, str], message: str) -> None:
    found = remote.refusal(link, *reply)
    assert found is not None and text(found) == message


def test_a_key_that_the_server_repeats(link: Link) -> None:
    """A server says the key that it refuses; no message does."""
    for number, detail in ((400, f"Invalid API key format: '{KEY}'."), (501, f"key {KEY} broke it")):
        found = remote.refusal(link, number, detail)
        assert found is not None and KEY not in text(found)
    assert KEY not in text(remote.said(link, f"Traceback\nValueError: {KEY}"))


@pytest.mark.parametrize("reply", [408, 429, 500, 502, 503, 504])
def test_a_server_that_is_away_for_a_while(link: Link, reply: int) -> None:
    with pytest.raises(Lost, match=f"HTTP {reply}, reconnecting$") as caught:
        remote.refusal(link, reply, " reconnecting\n")
    assert not caught.value.taken


@pytest.mark.parametrize("rows", [1, 16])
def test_the_advice_helps(link: Link, rows: int) -> None:
    """A smaller batch is advised where there is one."""
    link.rows = rows
    found = remote.refusal(link, 413, ""), remote.said(link, "exceeded the execution timeout"), remote.said(link, OOM)
    assert {diagnostic.help for diagnostic in found if diagnostic} == {
        "use a smaller --batch-size or fewer tokens" if rows > 1 else "use shorter prompts or fewer tokens"
    }


OOM = "Traceback\ntorch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB\n"
SAID = [
    (
        "Traceback (most recent call last):\n  File x\nRuntimeError: mat1 and mat2 shapes cannot be multiplied\n",
        f"error[R826]: the step failed on the server at {HOST}\n"
        "note: it says: RuntimeError: mat1 and mat2 shapes cannot be multiplied\n",
    ),
    (
        OOM,
        f"error[R826]: the server at {HOST} ran out of memory\n"
        "note: torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB\n"
        "help: use shorter prompts or fewer tokens\n",
    ),
    (
        "Your job exceeded the execution timeout of 60s.",
        f"error[R831]: the server at {HOST} stopped the step at its time limit\n"
        "note: Your job exceeded the execution timeout of 60s.\n"
        "help: use shorter prompts or fewer tokens\n",
    ),
    (
        "Your request payload could not be read (ValueError: x). It may be\ntruncated",
        f"error[R830]: the server at {HOST} cannot read the request\n"
        "note: Your request payload could not be read (ValueError: x). It may be\n"
        "help: install the versions of nnsight, torch and transformers that the server has\n",
    ),
]


@pytest.mark.parametrize(("description", "message"), SAID)
def test_what_a_server_says(link: Link, description: str, message: str) -> None:
    assert text(remote.said(link, description)) == message


@pytest.mark.parametrize("description", ["Replica was evicted while processing your request.", "Error starting model."])
def test_what_passes(link: Link, description: str) -> None:
    with pytest.raises(Lost) as caught:
        remote.said(link, description)
    assert caught.value.taken


def failing(times: int, taken: bool) -> Callable[[float], str]:
    left = [times]

    def attempt(seconds: float) -> str:
        left[0] -= 1
        if left[0] >= 0:
            raise Lost(f"refused {KEY}", taken)
        return "done"

    return attempt


def test_a_lost_server_is_asked_again(link: Link, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    told: list[str] = []
    monkeypatch.setattr(remote.time, "sleep", pauses.append)
    link.progress = lambda line, done, total: told.append(line)
    assert link.persist(failing(3, taken=False)) == "done"
    assert pauses == [1.0, 2.0, 4.0]
    assert told[0] == f"{HOST} does not answer; trying again in 1 s"


LOST = {
    False: f"error[R820]: no NDIF server answers at {HOST}\n"
    "note: the reason given: refused (the key)\n"
    "help: check --host or NDIF_HOST, or wait until the server is up\n",
    True: f"error[R823]: the NDIF server at {HOST} was lost while it worked on this step\n"
    "note: the reason given: refused (the key)\n"
    "help: run the recipe again when it is back: finished work is kept, and the run goes on from there\n",
}


@pytest.mark.parametrize("taken", [False, True])
def test_a_lost_server_is_given_up(link: Link, monkeypatch: pytest.MonkeyPatch, taken: bool) -> None:
    monkeypatch.setattr(remote.time, "sleep", lambda seconds: None)
    with pytest.raises(RecipeError) as caught:
        link.persist(failing(99, taken))
    assert (caught.value.exit_code, text(caught.value)) == (3, LOST[taken])


@pytest.mark.parametrize(("taken", "attempts"), [(False, 2), (True, 6)])
def test_a_silent_server_is_given_up_in_time(
    link: Link, monkeypatch: pytest.MonkeyPatch, taken: bool, attempts: int
) -> None:
    """Within half a minute, by a clock that moves as the server is waited for; longer only where the server had
    worked on the request."""
    now, given = [0.0], list[float]()
    monkeypatch.setattr(remote.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(remote.time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))

    def silent(seconds: float) -> None:
        given.append(seconds)
        now[0] += seconds
        raise Lost("silent", taken)

    with pytest.raises(RecipeError):
        link.persist(silent)
    assert len(given) == attempts and max(given) <= 20
    assert taken or now[0] <= 30


def test_a_server_that_says_nothing(link: Link) -> None:
    assert text(remote.waited(link, "queued: Added to Queue at position 3.")) == (
        f"error[R822]: nothing was heard from the server at {HOST} for 600 s\n"
        "note: the last news: queued: Added to Queue at position 3.\n"
        "help: run the recipe again later: finished work is kept\n"
    )


def test_another_dtype(link: Link) -> None:
    remote.require_dtype(link, "float32")
    with pytest.raises(RecipeError) as caught:
        remote.require_dtype(link, "bfloat16")
    assert text(caught.value) == (
        f"error[R832]: the server at {HOST} runs the model in bfloat16, and this run is planned in float32\n"
        "help: add --dtype bf16\n"
    )


class Bare:
    def _remoteable_get_env(self) -> dict[str, str]:
        return {}


def test_news_of_a_request(link: Link) -> None:
    """The queue's position and what a block prints are shown; the key is not, should the server say it."""
    told: list[str] = []
    link.progress = lambda line, done, total: told.append(line)
    backend = Ndif(link, Bare())
    for status, words in ((Status.QUEUED, "Added to Queue at position 3."), (Status.LOG, f"one\ntwo {KEY}\n")):
        assert not backend.note(ResponseModel(id="1", status=status, description=words))
    assert told == [
        "on the server, queued: Added to Queue at position 3.",
        "the server says: one",
        "the server says: two (the key)",
    ]
    assert backend.note(ResponseModel(id="1", status=Status.COMPLETED))
    with pytest.raises(RemoteError, match="ValueError"):
        backend.note(ResponseModel(id="1", status=Status.ERROR, description="ValueError: no"))


def test_bytes_are_counted(link: Link) -> None:
    blob = io.BytesIO()
    torch.save({"a": torch.ones(3)}, blob)
    packed = zstandard.ZstdCompressor().compress(blob.getvalue())
    assert torch.equal(Ndif(link, Bare()).finalize(packed)["a"], torch.ones(3))
    assert link.traffic.received == len(packed)


def test_a_key_of_another_host_is_not_sent(link: Link, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a key of its own a link sends none, whatever nnsight's settings hold."""
    monkeypatch.setattr(CONFIG.API, "APIKEY", KEY)
    link.key = ""
    assert Ndif(link, Bare()).api_key == ""


def test_traffic() -> None:
    now = Traffic(3, 10, 20)
    assert now.since(Traffic(1, 4, 20)) == {"requests": 2, "sent": 6, "received": 0}
    assert set(now.since(now.copy()).values()) == {0}
