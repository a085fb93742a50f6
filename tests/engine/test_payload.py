"""What is sent to a server: no module of this package, of lark or of rich is named, or needed to read it."""

from __future__ import annotations

import pickle
import pickletools
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
import torch
from cases import PATCH
from nnsight.intervention.serialization import dumps, loads
from nnsight.schema.request import RequestModel
from world import World

from steerdsl.engine.capture import capture
from steerdsl.engine.continuations import continuation_logprobs
from steerdsl.engine.generate import generate
from steerdsl.engine.likelihood import read_shifts, read_texts
from steerdsl.engine.probe import Probe
from steerdsl.engine.tracing import Session
from steerdsl.lang.recipe import Position, Stream
from steerdsl.methods.divergence import kl
from steerdsl.methods.types import Trial
from steerdsl.models.cache import no_progress
from steerdsl.planning.requests import Sampling
from steerdsl.registry import entries

FORBIDDEN = ("steerdsl", "lark", "rich", "typer", "pygments")
LINES = (
    "ablate v[50%] everywhere",
    "clamp h to 2 on head(1, 0), head(1, 1)",
    "cap v to 1 when proj(v) > 0",
    "rotate p to 210deg on resid_mid when step > 2",
    "rotate p by 30deg adaptive",
    f'patch from "{PATCH}" at layer 50%',
    "add v by 2 when cos(v) > 0.1 at layer 50%",
)


def named(payload: bytes) -> Iterator[str]:
    """The modules that reading a pickle would import: of its globals, and of module objects in it."""
    strings: list[str] = []
    memo: dict[int, str] = {}
    for opcode, argument, _ in pickletools.genops(payload):
        if opcode.name == "MEMOIZE":
            memo[len(memo)] = strings[-1] if strings else ""
        elif opcode.name in ("BINGET", "LONG_BINGET"):
            strings.append(memo.get(argument, ""))
        elif "UNICODE" in opcode.name:
            strings.append(argument)
        elif opcode.name == "GLOBAL":
            yield argument.partition(" ")[0]
        elif opcode.name == "STACK_GLOBAL":
            yield strings[-2]
            if strings[-1] == "subimport":
                yield "a module object"
        else:
            strings.append("")


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Every payload of a rehearsal, before it is compressed."""
    found: list[bytes] = []
    whole = RequestModel.serialize

    def serialize(tracer: Any, compress: bool = False) -> bytes:
        found.append(whole(tracer, False))
        return found[-1]

    monkeypatch.setattr(RequestModel, "serialize", serialize)
    return found


@pytest.fixture
def back(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What readings of logits bring back from where the model is."""
    found: list[Any] = []
    whole = Session.readings

    def readings(self: Session, *given: Any) -> Any:
        found.append(whole(self, *given))
        return found[-1]

    monkeypatch.setattr(Session, "readings", readings)
    return found


def three(width: int) -> int:
    """Texts that are read at once."""
    return 3


def numbers(kept: Any) -> int:
    return kept.numel() if isinstance(kept, torch.Tensor) else sum(map(numbers, kept))


def forbidden(payload: bytes) -> list[str]:
    return sorted({m for m in named(payload) if m.partition(".")[0] in FORBIDDEN})


def test_the_reader_finds_what_is_named() -> None:
    """So that the tests below can fail."""
    from steerdsl.models.prompts import Rendered

    payload = pickle.dumps([Rendered("", (), (0, 0), ""), Position("all")], protocol=5)
    assert forbidden(payload) == ["steerdsl.lang.recipe", "steerdsl.models.prompts"]


@pytest.mark.parametrize("line", LINES)
def test_steers(tiny_world: Callable[..., World], sent: list[bytes], line: str) -> None:
    world = tiny_world("llama", on="simulate")
    world.engine_tokens(line, 3, batch_size=4)
    list(generate(world.session, world.prompts, world.touches(line), Sampling(3, 0.7, 2), 4))
    read_texts(world.session, world.readings(line), three)
    read_shifts(world.session, list(zip(world.readings(), world.readings(line), strict=True)), three)
    pairs = [(ids, (7, 8)) for ids in world.ids]
    continuation_logprobs(world.session, pairs, [world.acting(line)] * len(pairs), three)
    assert len(sent) > 4 and [forbidden(payload) for payload in sent] == [[]] * len(sent)


@pytest.mark.parametrize("line", ["ablate v", "add v by 2 when cos(v) > {cos(v)} at layer 50%"])
def test_a_divergence_is_taken_where_the_model_is(
    tiny_world: Callable[..., World], sent: list[bytes], back: list[Any], line: str
) -> None:
    """One request a batch, though a text be read twice for a condition; a number for each token comes back."""
    world = tiny_world("llama", on="simulate")
    pairs = list(zip(world.readings(), world.readings(line), strict=True))
    sent.clear()
    assert len(read_shifts(world.session, pairs, three)) == 5
    assert len(sent) == 2
    scored = sum(len(text.ids) for text in world.answered) - sum(len(ids) for ids in world.ids)
    assert numbers(back) == scored


def test_continuations_are_judged_where_the_model_is(tiny_world: Callable[..., World], back: list[Any]) -> None:
    """Two figures of each come back, and no distribution."""
    world = tiny_world("llama", on="simulate")
    pairs = [(ids, tail) for ids in world.ids for tail in ((7, 8), (7, 9))]
    assert len(continuation_logprobs(world.session, pairs, [None] * len(pairs), three)) == len(pairs)
    assert numbers(back) == 2 * len(pairs)


@pytest.mark.parametrize("position", ["last_token", "mean_content", "all"])
def test_captures(tiny_world: Callable[..., World], sent: list[bytes], position: str) -> None:
    world = tiny_world("gpt2", on="simulate")
    for touches in ((), world.touches("ablate v everywhere")):
        capture(world.session, world.prompts, Position(position), Stream("resid_post"), [0, 2], touches=touches)
    assert len(sent) == 2 and [forbidden(payload) for payload in sent] == [[], []]


def test_selections(tiny_world: Callable[..., World], sent: list[bytes], back: list[Any]) -> None:
    world = tiny_world("llama", on="simulate")
    probe = Probe(
        world.session, {"positive": world.prompts, "negative": world.prompts}, Stream("resid_mid"), 4, no_progress
    )
    unit = torch.nn.functional.normalize(torch.randn(1, world.opened.arch.d_model), dim=-1)
    trials = [Trial(ablate=unit), Trial(add=(1, unit[0])), Trial(ablate=unit)]
    assert probe.figures("positive", trials, kl).shape == (3, len(world.prompts))
    assert [forbidden(payload) for payload in sent] == [[], []]  # one for each batch
    assert numbers(back) == 3 * len(world.prompts)


DEEP = 24  # layers: a vector has one direction for each, and a payload those that act
TEXT = 9_000  # bytes of code and names at most, beside what a request without a steer has
ENVELOPE = 700  # bytes that pickle writes beside a tensor's own
ACTS = {
    "ablate": "ablate v at layer 50%",
    "add": "add v by 2 at layer 50%",
    "cap": "cap v to 1 at layer 50%",
    "clamp": "clamp v to 1 at layer 50%",
    "patch": 'patch from "Why?" at layer 50%',
    "rotate": "rotate p by 30deg at layer 50%",
}
WHEN = {
    "": "",
    "step": "when step < 2",
    **{f"{kind}, each token": f"when {kind}(v) > 0" for kind in ("cos", "proj")},
    **{f"{kind}, a layer": f"when {kind}(v) > 0 at layer 50%" for kind in ("cos", "proj")},
}


def tensors(found: Any) -> Iterator[torch.Tensor]:
    """Every tensor that edits hold."""
    match found:
        case torch.Tensor():
            yield found
        case partial():
            yield from tensors([found.args, found.keywords])
        case dict():
            yield from tensors(list(found.values()))
        case list() | tuple():
            for one in found:
                yield from tensors(one)


def test_the_table_has_every_operation_and_condition() -> None:
    assert set(ACTS) == set(entries("op"))
    assert {key.partition(",")[0] for key in WHEN} == {"", *entries("condition")}


@pytest.mark.parametrize("when", WHEN.values())
@pytest.mark.parametrize("act", [*ACTS.values(), "ablate v[50%] everywhere", "ablate v everywhere"])
def test_a_request_is_as_large_as_what_acts(
    tiny_world: Callable[..., World], sent: list[bytes], act: str, when: str
) -> None:
    """A direction is sent, and not the vector that it is a row of; no batch sends more than the one before."""
    world = tiny_world("llama", on="simulate", num_hidden_layers=DEEP, hidden_size=256)
    touches = world.touches(f"{act} {when}")
    sent.clear()
    world.engine_tokens("", 2, batch_size=3)
    bare = max(len(payload) for payload in sent)
    sent.clear()
    list(generate(world.session, world.prompts, touches, Sampling(2), 3))
    held = {id(t): t for t in tensors(touches)}.values()
    numbers = sum(t.numel() * t.element_size() + ENVELOPE for t in held)
    names = 250 * len(touches)
    assert len(sent) == 2 and max(map(len, sent)) < bare + numbers + names + TEXT
    if "everywhere" not in act:
        rows = len(world.renderer.render("Why?").ids) if act.startswith("patch") else 3
        assert sum(t.numel() for t in held) < (rows + 2) * 256  # as few as the operation's formula has


def test_a_function_is_sent_once(tiny_world: Callable[..., World], sent: list[bytes]) -> None:
    """However many sites a steer acts at, under a condition of each kind."""
    world = tiny_world("llama", on="simulate", num_hidden_layers=DEEP, hidden_size=256)
    when = "when cos(v) > 0 when proj(v) > 0 at layer 50%"
    lines = (f"add v by 2 at layer 0% {when}", f"ablate v at layers 0%..100% {when}", *ACTS.values())
    touches = world.touches("; ".join(lines))
    list(generate(world.session, world.prompts, touches, Sampling(2), 3))
    texts = [argument for opcode, argument, _ in pickletools.genops(sent[-1]) if "UNICODE" in opcode.name]
    sources = [text for text in texts if text.startswith("def ")]
    assert len(sources) > 10 and sorted(sources) == sorted(set(sources))


def test_a_request_leaves_tensors_as_they_are() -> None:
    """Views of every kind arrive with their numbers, and the pickles of this machine are torch's own."""
    whole = torch.arange(24.0).reshape(4, 6)
    views = [whole, whole[1], whole.T, whole[:, 2], whole[::2], whole[0, 0], whole[:0], whole[1].expand(3, 6)]
    for view in [*views, whole.bool()[1], whole.half()[2:], whole.bfloat16()[1], whole.to(torch.int32)[3]]:
        again = loads(dumps({"a": view}))["a"]
        assert torch.equal(again, view) and again.dtype == view.dtype
    assert len(dumps(torch.zeros(100_000)[:3])) < 1_000 < 400_000 < len(pickle.dumps(torch.zeros(100_000)[:3]))


READER = """
import sys, importlib.abc, pickle
class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {forbidden!r}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
from collections import defaultdict
from nnsight.intervention.serialization import loads
class Any:
    def __getattr__(self, name): return self
class Everything(dict):
    def __contains__(self, key): return True
    def __missing__(self, key): return Any()
tracer, (source, used, variables) = loads(sys.stdin.buffer.read(), Everything(some=1))
print(sorted(used))
"""


def test_a_machine_without_the_package_reads_it(tiny_world: Callable[..., World], sent: list[bytes]) -> None:
    world = tiny_world("llama", on="simulate")
    touches = world.touches("add v by 2 when cos(v) > 0.1 at layer 50%")
    list(generate(world.session, world.prompts, touches, Sampling(2, 0.7), 4))
    command = [sys.executable, "-c", READER.format(forbidden=("steerdsl", "lark"))]  # transformers looks for rich
    done = subprocess.run(command, input=sent[-1], capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr.decode()
    assert b"visit" in done.stdout
