"""The HTTP server with OpenAI's own client: what it answers, what it refuses, and that no row is another's."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import random
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from absl.logging import PythonHandler
from asking import alone
from openai import OpenAI

from steerdsl.engine.generate import generate
from steerdsl.engine.steer_compiler import compile_steer
from steerdsl.engine.tracing import Session
from steerdsl.lang.diagnostics import RecipeError
from steerdsl.models.prompts import Renderer
from steerdsl.planning.requests import Sampling
from steerdsl.serving.app import Server
from steerdsl.serving.batcher import Batcher
from steerdsl.serving.listen import http_server, listen, require_serving
from steerdsl.serving.questions import Question
from steerdsl.serving.responses import named_bytes
from steerdsl.serving.served import RequestLimits, Served
from steerdsl.serving.steers import Steers

ROOT = Path(__file__).parents[2]
LIMITS = RequestLimits(body=1 << 16, tokens=200, rows=8, waiting=40, seconds=120.0)
ASKED = [{"role": "user", "content": "Why is bread dear?"}]
BASE = "llama"  # the folder's name


class Running:
    """A server in a thread of this process."""

    def __init__(self, steers: Steers, limits: RequestLimits = LIMITS, key: str | None = None) -> None:
        self.steers = steers
        self.batcher = Batcher(steers.session(), lambda width: 64, 32, limits.waiting)
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        app = Server(Served(steers, limits), self.batcher, key).app()
        self.server = http_server(app, limits.waiting, self.batcher.close)
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.socket]}, daemon=True)
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.client = OpenAI(base_url=f"{self.url}/v1", api_key=key or "none", max_retries=0, timeout=300)

    def idle(self) -> None:
        """Wait until nothing is at work: one thread at a time may use a model."""
        while self.batcher.waiting or self.batcher.counts.running:
            time.sleep(0.01)

    def tokens(self, ids: Sequence[int]) -> str:
        return str(self.steers.session().opened.tokenizer.decode(ids, skip_special_tokens=True))

    def wanted(self, text: str, steer: str | None, tokens: int, **how: Any) -> list[str]:
        """The answers to one question alone, as a run makes them."""
        self.idle()
        prompt = self.steers.run.renderer.render(text)
        return [self.tokens(ids) for ids in alone(self.steers, prompt, steer, tokens, **how)]

    def close(self) -> None:
        self.server.should_exit = True
        self.thread.join(30)
        self.batcher.close()
        assert not self.thread.is_alive() and not self.batcher.alive


@pytest.fixture(scope="module")
def server(steers: Steers) -> Iterator[Running]:
    running = Running(steers)
    yield running
    running.close()


def said(server: Running, model: str = BASE, **how: Any) -> Any:
    return server.client.chat.completions.create(model=model, messages=how.pop("messages", ASKED), **how)


def test_models_are_the_base_and_the_base_with_each_steer(server: Running) -> None:
    names = [model.id for model in server.client.models.list()]
    assert names == [BASE, *(f"{BASE}:{name}" for name in ("pushed", "erased", "turned", "asked", "held"))]
    assert server.client.models.retrieve(f"{BASE}:pushed").id == f"{BASE}:pushed"


@pytest.mark.parametrize("steer", [None, "pushed", "erased", "turned", "asked", "held"])
def test_a_steer_answers_as_in_a_run(server: Running, steer: str | None) -> None:
    answer = said(server, f"{BASE}:{steer}" if steer else BASE, max_tokens=8)
    (text,) = server.wanted(ASKED[0]["content"], steer, 8)
    choice = answer.choices[0]
    assert (choice.message.content, choice.message.role) == (text, "assistant")
    assert choice.finish_reason in ("stop", "length") and answer.object == "chat.completion"
    prompt = server.steers.run.renderer.render(ASKED[0]["content"])
    assert answer.usage.prompt_tokens == len(prompt.ids) and 0 < answer.usage.completion_tokens <= 8


def test_a_stream_has_the_same_text(server: Running) -> None:
    stream = said(server, f"{BASE}:pushed", max_tokens=8, stream=True, n=2, stream_options={"include_usage": True})
    chunks = list(stream)
    texts = ["", ""]
    for chunk in chunks:
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
    (wanted,) = server.wanted(ASKED[0]["content"], "pushed", 8)
    assert texts == [wanted, wanted] and chunks[-1].usage.completion_tokens > 0
    assert {c.finish_reason for chunk in chunks for c in chunk.choices if c.finish_reason} <= {"stop", "length"}


def test_samples_are_those_of_a_run_with_the_seed(server: Running) -> None:
    answer = said(server, f"{BASE}:erased", max_tokens=8, n=3, temperature=0.9, seed=11)
    texts = [choice.message.content for choice in answer.choices]
    assert texts == server.wanted(ASKED[0]["content"], "erased", 8, n=3, temperature=0.9, seed=11)
    narrow = said(server, max_tokens=8, temperature=2, top_p=1e-6, seed=3).choices[0].message.content
    assert [narrow] == server.wanted(ASKED[0]["content"], None, 8), "the narrowest nucleus is the likeliest token"
    other = said(server, max_tokens=8, temperature=1.5).choices[0].message.content
    assert other != said(server, max_tokens=8, temperature=1.5).choices[0].message.content, "no seed, another draw"


def test_a_mix_is_the_steer_with_its_amount_multiplied(server: Running) -> None:
    """Half of `add … by 2` is `add … by 1`; the order of a mix is that of the request; null is no steer."""

    def mixed(steering: Any, model: str = f"{BASE}:held") -> str:
        return str(said(server, model, max_tokens=8, extra_body={"steering": steering}).choices[0].message.content)

    assert [mixed({"pushed": 1})] == server.wanted(ASKED[0]["content"], "pushed", 8)
    assert [mixed(None)] == [mixed({})] == [mixed({"pushed": 0})] == server.wanted(ASKED[0]["content"], None, 8)
    half = mixed({"pushed": 0.5})
    both = mixed({"pushed": -1.5, "erased": 1}, BASE)
    server.idle()
    prompt, session = server.steers.run.renderer.render(ASKED[0]["content"]), server.steers.session()
    for weights, text in (({"pushed": 0.5}, half), ({"pushed": -1.5, "erased": 1.0}, both)):
        ops = []
        for name, weight in weights.items():
            (op,) = server.steers.run.steers[name].ops
            by = op.args.get("by")
            ops.append(op if name == "erased" else replace(op, args={"by": replace(by, value=2 * weight)}))
        touches = compile_steer(ops, server.steers.run.plan.model.arch, server.steers.run.values)
        ((answer,),) = generate(session, [prompt], touches, Sampling(8), 1)
        assert text == answer.text


def test_log_probabilities_have_their_tokens(server: Running) -> None:
    choice = said(server, max_tokens=4, logprobs=True, top_logprobs=2).choices[0]
    tokens = choice.logprobs.content
    assert len(tokens) == 4 and all(len(t.top_logprobs) == 2 and t.logprob <= 0 for t in tokens)
    assert all(t.logprob == t.top_logprobs[0].logprob for t in tokens), "greedy"
    plain = server.client.completions.create(model=BASE, prompt="bread", max_tokens=3, logprobs=2).choices[0]
    assert len(plain.logprobs.token_logprobs) == 3 and all(len(top) == 2 for top in plain.logprobs.top_logprobs)


def test_completions_continue_raw_texts_and_tokens(server: Running) -> None:
    texts = ["How are prices made?", "Hi"]
    answer = server.client.completions.create(model=f"{BASE}:pushed", prompt=texts, max_tokens=6, n=2)
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    server.idle()
    raw = Renderer(server.steers.session().opened.tokenizer, None, "none")
    wanted = [server.tokens(alone(server.steers, raw.render(text), "pushed", 6)[0]) for text in texts]
    assert [choice.text for choice in answer.choices] == [wanted[0], wanted[0], wanted[1], wanted[1]]
    ids = list(raw.render(texts[0]).ids)
    again = server.client.completions.create(model=f"{BASE}:pushed", prompt=[ids, ids], max_tokens=6)
    assert [choice.text for choice in again.choices] == [wanted[0]] * 2


def test_a_stop_ends_the_text(server: Running) -> None:
    (whole,) = server.wanted(ASKED[0]["content"], "turned", 12)
    stop = whole[len(whole) // 2]
    choice = said(server, f"{BASE}:turned", max_tokens=12, stop=[stop, "never"]).choices[0]
    assert choice.message.content == whole[: whole.index(stop)] and choice.finish_reason == "stop"


def test_a_conversation_of_several_turns_is_the_template_s(server: Running) -> None:
    talk = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": "Why?"},
    ]
    answer = said(server, messages=talk, max_tokens=5)
    tokenizer = server.steers.session().opened.tokenizer
    plain = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}, *talk[2:]]
    ids = tokenizer.apply_chat_template(plain, add_generation_prompt=True, return_dict=True)["input_ids"]
    assert answer.usage.prompt_tokens == len(ids)


# ---- what is refused ----

LONG = "bread and butter " * 60
REFUSED = [
    (404, "model_not_found", {"model": "gpt-4"}),
    (404, "model_not_found", {"model": f"{BASE}:nope"}),
    (404, "steer_not_found", {"steering": {"pushd": 1}}),
    (400, "invalid_steering", {"steering": {"held": 0.5}}),
    (400, "invalid_steering", {"steering": {"pushed": 1e9}}),
    (400, "invalid_value", {"steering": {"pushed": "much"}}),
    (400, "invalid_value", {"steering": ["pushed"]}),
    (400, "context_length_exceeded", {"messages": [{"role": "user", "content": LONG}]}),
    (400, "context_length_exceeded", {"messages": [{"role": "user", "content": LONG[:300]}], "max_tokens": 200}),
    (400, "too_many_tokens", {"max_tokens": 201}),
    (400, "too_many_choices", {"n": 9}),
    (400, "invalid_value", {"n": 0}),
    (400, "invalid_value", {"max_tokens": 0}),
    (400, "invalid_value", {"temperature": -1}),
    (400, "invalid_value", {"temperature": "hot"}),
    (400, "invalid_value", {"top_p": 0}),
    (400, "invalid_value", {"stop": ""}),
    (400, "invalid_value", {"stop": ["a"] * 17}),
    (400, "invalid_value", {"seed": 1.5}),
    (400, "invalid_value", {"messages": []}),
    (400, "invalid_value", {"messages": [{"role": "tool", "content": "x"}]}),
    (400, "invalid_value", {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]}),
    (400, "invalid_value", {"tools": [{"type": "function"}]}),
    (400, "invalid_value", {"frequency_penalty": 1}),
    (400, "invalid_value", {"response_format": {"type": "json_object"}}),
    (400, "invalid_value", {"top_logprobs": 3}),
    (400, "invalid_value", {"logprobs": True, "top_logprobs": 21}),
    (400, "unknown_parameter", {"steer": "pushed"}),
]


@pytest.mark.parametrize(("status", "code", "change"), REFUSED, ids=str)
def test_what_is_wrong_has_its_status_and_says_why(server: Running, status: int, code: str, change: Any) -> None:
    body = {"model": BASE, "messages": ASKED, "max_tokens": 4, **change}
    with pytest.raises(openai.APIStatusError) as caught:
        server.client.post("/chat/completions", body=body, cast_to=httpx.Response)
    told = caught.value.response.json()["error"]
    assert (caught.value.status_code, told["code"]) == (status, code) and told["message"]
    assert told["param"] == next(name for name in ("messages", "top_logprobs", *change) if name in change)
    if status == 404 and "steering" not in change:
        assert f"{BASE}:pushed" in told["message"], "with the list"
    assert server.batcher.waiting == 0


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "/v1/modells", 404),
        ("POST", "/v1/embeddings", 404),
        ("GET", "/v1/chat/completions", 405),
        ("DELETE", "/v1/models", 405),
        ("POST", "/health", 405),
    ],
)
def test_a_path_or_method_that_there_is_not_has_the_form_of_every_error(
    server: Running, method: str, path: str, status: int
) -> None:
    done = httpx.request(method, server.url + path)
    told = done.json()["error"]
    assert done.status_code == status and told["type"] == "invalid_request_error" and told["message"] and told["code"]
    assert status != 405 or done.headers["allow"] in told["message"]
    assert httpx.request(method, server.url + path, headers={"Host": "evil.example"}).status_code == 403


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, b"{", "application/json"),
        (400, b"\xff\xfe", "application/json"),
        (400, b'{"model": NaN}', "application/json"),
        (400, b"[" * 5000, "application/json"),
        (400, b"[]", "application/json"),
        (400, b"", "application/json"),
        (413, b" " * (LIMITS.body + 1), "application/json"),
        (415, b"{}", "text/plain"),
        (415, b"a=1", "application/x-www-form-urlencoded"),
    ],
    ids=str,
)
def test_a_malformed_or_oversized_body_is_refused(server: Running, status: int, body: bytes, kind: str) -> None:
    for path in ("chat/completions", "completions"):
        done = httpx.post(f"{server.url}/v1/{path}", content=body, headers={"Content-Type": kind})
        assert done.status_code == status and done.json()["error"]["message"]


def test_an_endless_body_is_cut(server: Running) -> None:
    """The server answers, or closes the connection on what is still being sent; it keeps none of it."""

    def endless() -> Iterator[bytes]:
        for _ in range(10_000):
            yield b" " * 1024

    with suppress(httpx.HTTPError):
        kind = {"Content-Type": "application/json"}
        assert httpx.post(f"{server.url}/v1/completions", content=endless(), headers=kind).status_code == 413
    assert said(server, max_tokens=1).choices


def test_only_names_of_this_machine_are_answered(server: Running) -> None:
    """So that a page whose name leads here by DNS does not reach the model."""
    for path in ("v1/models", "metrics", "health"):
        assert httpx.get(f"{server.url}/{path}", headers={"Host": "evil.example"}).status_code == 403
    assert httpx.get(f"{server.url}/v1/models", headers={"Host": "LOCALHOST:1"}).status_code == 200
    assert "access-control-allow-origin" not in httpx.get(f"{server.url}/v1/models").headers


def test_a_key_is_asked_for(steers: Steers) -> None:
    running = Running(steers, key="secret")
    try:
        assert said(running, max_tokens=1).choices
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "secret2"}):
            for path in ("v1/models", "metrics"):
                assert httpx.get(f"{running.url}/{path}", headers=headers).status_code == 401
        assert httpx.get(f"{running.url}/health").status_code == 200
    finally:
        running.close()


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "example.org"])
def test_an_address_that_others_reach_needs_a_key(host: str) -> None:
    with pytest.raises(RecipeError) as caught:
        require_serving(host, None)
    assert caught.value.diagnostics[0].code == "R905" and caught.value.exit_code == 2
    require_serving(host, "secret")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.3.2.1"])
def test_this_machine_needs_none(host: str) -> None:
    require_serving(host, None)


def test_a_server_leaves_the_logging_of_its_process_as_it_is() -> None:
    """absl's handler, which rouge-score loads, closes its stream when it is ended: the standard error, or what stood
    there when it was loaded."""
    before = logging.getLogger().handlers[:]
    stream = io.StringIO()
    handler = PythonHandler(stream)
    http_server(lambda: None, 1)
    assert not stream.closed and logging.getLogger().handlers == before
    handler.close()


def test_packages_that_are_missing_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("steerdsl.serving.listen.find_spec", lambda name: None)
    with pytest.raises(RecipeError) as caught:
        require_serving("127.0.0.1", None)
    (found,) = caught.value.diagnostics
    assert found.code == "R904" and "pip install 'steerdsl[serve]'" in str(found.help)


@pytest.mark.parametrize("place", [("127.0.0.1", None), ("203.0.113.7", 0), ("no.such.host.invalid", 0)], ids=str)
def test_a_port_or_address_that_cannot_be_had_is_said_at_once(place: tuple[str, int | None]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        host, port = place
        with pytest.raises(RecipeError) as caught, listen(host, other.getsockname()[1] if port is None else port):
            pass
    assert caught.value.diagnostics[0].code == "R906" and caught.value.exit_code == 2


def test_health_and_metrics(server: Running) -> None:
    assert httpx.get(f"{server.url}/health").json()["status"] == "ok"
    said(server, max_tokens=2)
    httpx.get(f"{server.url}/v1/models/nope")
    lines = dict(line.rsplit(" ", 1) for line in httpx.get(f"{server.url}/metrics").text.splitlines())
    assert int(lines["steerdsl_answers_total"]) >= 1 and int(lines["steerdsl_completion_tokens_total"]) >= 1
    assert 'steerdsl_requests_total{status="404"}' in lines


def test_the_page_runs_as_it_is_printed(server: Running, capsys: pytest.CaptureFixture[str]) -> None:
    """The Python of docs/serve.md, with this server and its steers in place of the recipe's."""
    parts = (ROOT / "docs" / "serve.md").read_text("utf-8").split("```python\n")[1:]
    text = "\n".join(part.partition("```")[0] for part in parts).replace("http://127.0.0.1:8000", server.url)
    exec(text.replace("obsessed", "pushed"), {})
    lines = capsys.readouterr().out
    (wanted,) = server.wanted("Tell me about your day.", "pushed", 24)
    assert lines.startswith(wanted) and len(lines) > len(wanted) + 2


# ---- many clients ----


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """While it is not set, a batch waits before it begins."""
    event = threading.Event()
    inner = Session.generate

    def generate(*args: Any, **kwargs: Any) -> Any:
        assert event.wait(120)
        return inner(*args, **kwargs)

    monkeypatch.setattr(Session, "generate", generate)
    return event


def test_a_full_queue_and_a_request_that_takes_too_long(steers: Steers, slow: threading.Event) -> None:
    running = Running(steers, RequestLimits(waiting=2, seconds=1.0))
    try:
        with pytest.raises(openai.APIStatusError) as caught:
            said(running, max_tokens=4)
        assert caught.value.status_code == 504
        running.batcher.ask([(question(running), lambda piece: None)] * 2)
        with pytest.raises(openai.RateLimitError) as full:
            said(running, max_tokens=4)
        assert full.value.response.headers["retry-after"] == "1"
        slow.set()
        running.idle()
        assert said(running, max_tokens=4).choices
    finally:
        slow.set()
        running.close()


def question(running: Running) -> Question:
    return Question(running.steers.run.renderer.render("Hi"), None, 2)


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_frees_its_row(server: Running, slow: threading.Event, stream: bool) -> None:
    body = {"model": BASE, "messages": ASKED, "max_tokens": 200, "stream": stream}
    server.idle()
    made = server.batcher.counts.made
    with pytest.raises(httpx.TimeoutException):
        httpx.post(f"{server.url}/v1/chat/completions", json=body, timeout=0.5)
    time.sleep(0.5)
    slow.set()
    server.idle()
    assert server.batcher.counts.made - made <= 1
    assert said(server, max_tokens=2).choices


async def crowd(server: Running, clients: int, each: int, seed: int) -> list[tuple[str, str | None, int, str]]:
    """Clients that ask at once, some streaming, some leaving, some asking for nonsense: the whole answers."""
    client = openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0, timeout=300)
    names = (None, "pushed", "erased", "turned", "asked", "held")
    found: list[tuple[str, str | None, int, str]] = []

    async def one(number: int) -> None:
        draw = random.Random(seed * 1000 + number)
        for _ in range(each):
            text, steer, tokens = f"Why is bread {draw.randint(0, 5)}?", draw.choice(names), draw.randint(1, 8)
            kind = draw.choice(("whole", "whole", "stream", "leave", "wrong"))
            asked: Any = {"model": f"{BASE}:{steer}" if steer else BASE, "max_tokens": tokens}
            asked["messages"] = [{"role": "user", "content": text}]
            try:
                if kind == "whole":
                    answer = await client.chat.completions.create(**asked)
                    found.append((text, steer, tokens, answer.choices[0].message.content or ""))
                elif kind == "stream":
                    parts = [
                        choice.delta.content or ""
                        async for chunk in await client.chat.completions.create(**asked, stream=True)
                        for choice in chunk.choices
                    ]
                    found.append((text, steer, tokens, "".join(parts)))
                elif kind == "leave":
                    with pytest.raises((openai.APITimeoutError, openai.APIConnectionError, AssertionError)):
                        await client.chat.completions.create(**{**asked, "max_tokens": 100}, timeout=0.05)
                        raise AssertionError
                else:
                    with pytest.raises(openai.APIStatusError):
                        await client.chat.completions.create(**{**asked, "model": "nope"})
            except openai.RateLimitError:
                await asyncio.sleep(0.1)

    await asyncio.gather(*(one(number) for number in range(clients)))
    await client.close()
    return found


def require_own(server: Running, found: list[tuple[str, str | None, int, str]]) -> None:
    known: dict[Any, str] = {}
    for text, steer, tokens, answer in found:
        key = text, steer, tokens
        if key not in known:
            (known[key],) = server.wanted(text, steer, tokens)
        assert answer == known[key], key


def test_clients_at_once_get_each_their_own_answer(server: Running) -> None:
    batches = server.batcher.counts.batches
    found = asyncio.run(crowd(server, 8, 2, 0))
    server.idle()
    assert server.batcher.counts.batches - batches < 16, "some shared a batch"
    require_own(server, found)


@pytest.mark.slow
def test_32_clients_with_a_thousand_requests(server: Running) -> None:
    """Cancelled, malformed and slow ones among them: no row is another's, and nothing is left behind."""
    found = asyncio.run(crowd(server, 32, 32, 1))
    server.idle()
    require_own(server, found)
    assert len(found) > 400 and server.batcher.waiting == 0
    assert json.loads(httpx.get(f"{server.url}/health").text)["running"] == 0


@pytest.mark.parametrize("seed", [2**63 - 1, -(2**63)])
def test_seeds_have_64_bits(server: Running, seed: int) -> None:
    assert said(server, seed=seed, temperature=1, max_tokens=2).choices[0].message.content is not None


@pytest.mark.parametrize(("name", "wanted"), [("<0xF0>", b"\xf0"), ("ðŁ", b"\xf0\x9f"), ("¦", b"\xa6"), ("Ġa", b" a")])
def test_a_part_of_a_character_has_its_bytes(name: str, wanted: bytes) -> None:
    assert bytes(named_bytes(name) or ()) == wanted
    assert named_bytes("语") is None


def test_a_body_that_does_not_come_is_given_up(steers: Steers) -> None:
    server = Running(steers, RequestLimits(seconds=1))
    try:
        host, port = server.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as slow:
            head = "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            slow.sendall(f"{head}Content-Type: application/json\r\nContent-Length: 500\r\n\r\n{{".encode())
            slow.settimeout(60)
            assert b" 504 " in slow.recv(1000).partition(b"\r\n")[0]
    finally:
        server.close()


def test_a_server_that_ends_says_so_in_every_stream(
    steers: Steers, slow: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To what is at work and to what waits: an error event and the last one; to who asked for a whole answer, 503."""
    monkeypatch.setattr("steerdsl.serving.protocol.MOMENT", 0.2)
    server = Running(steers)
    found: dict[int, httpx.Response] = {}

    def ask(number: int, stream: bool) -> None:
        body = {"model": BASE, "messages": ASKED, "max_tokens": 200, "stream": stream}
        found[number] = httpx.post(f"{server.url}/v1/chat/completions", json=body, timeout=60)

    threads = [threading.Thread(target=ask, args=(number, number < 2)) for number in range(3)]
    for thread in threads:
        thread.start()
        while server.batcher.counts.running + server.batcher.waiting < threads.index(thread) + 1:
            time.sleep(0.01)
    server.server.should_exit = True
    time.sleep(0.5)
    slow.set()
    for thread in threads:
        thread.join(60)
    server.close()
    for number in (0, 1):
        *_, told, last, end = found[number].text.split("\n\n")
        assert json.loads(told.removeprefix("data: "))["error"]["code"] == "shutting_down"
        assert (last, end) == ("data: [DONE]", "")
    assert found[2].status_code == 503 and found[2].json()["error"]["code"] == "shutting_down"


@pytest.mark.parametrize("sent", [b"", b"GET /health HT", b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nX: "])
@pytest.mark.parametrize("before", [b"", b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"], ids=["new", "kept"])
def test_a_head_that_does_not_come_closes_the_connection(
    server: Running, monkeypatch: pytest.MonkeyPatch, before: bytes, sent: bytes
) -> None:
    monkeypatch.setattr("steerdsl.serving.protocol.HEAD", 0.5)
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as slow:
        slow.settimeout(60)
        if before:
            slow.sendall(before)
            assert b" 200 " in slow.recv(1000)
        slow.sendall(sent)
        while slow.recv(1000):
            pass
