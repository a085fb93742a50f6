"""What is sent to a server: no module of this package, of lark or of rich is named, or needed to read it."""

from __future__ import annotations

import pickletools
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from cases import PATCH
from nnsight.schema.request import RequestModel
from world import World

from steerdsl.engine.answers import generate
from steerdsl.engine.capture import capture
from steerdsl.engine.continuations import continuation_logprobs
from steerdsl.engine.likelihood import read_shifts, read_texts
from steerdsl.engine.probe import Probe
from steerdsl.engine.tracing import Session
from steerdsl.lang.recipe import Position, Stream
from steerdsl.methods.divergence import kl
from steerdsl.methods.types import Trial
from steerdsl.models.cache import no_progress
from steerdsl.plan.requests import Sampling

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
    import pickle

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
