"""Runs that lose the model within a step: what was asked of it is not asked again, and the record has its cost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from steerdsl.engine.remote import failure
from steerdsl.engine.tracing import Session
from steerdsl.lang.diagnostics import Diagnostic

DATA = "dataset a = econ with take: 4, seed: 1\ndataset b = generic with take: 4, seed: 1\n"
OWN = f"{DATA}topic = extract diffmean from a vs b at mean_response"
PATCHED = f'{DATA}steer s {{ patch from "Why?" at layers 1..2 }}\nout = generate from a with steer: s, max_tokens: 3'
HIDDEN = OWN.replace("econ with", "econ with unsafe: true,")


class Passes:
    """Counts the passes of one kind, and loses the model at one of them (0: never)."""

    def __init__(self, patch: pytest.MonkeyPatch, kind: str, lost_at: int = 0) -> None:
        self.made = 0
        whole = getattr(Session, kind)

        def counted(session: Session, *given: Any) -> Any:
            if self.made + 1 == lost_at:
                raise failure(Diagnostic("R823", "the server was lost"))
            self.made += 1
            return whole(session, *given)

        patch.setattr(Session, kind, counted)


def timings(folder: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((Path(folder) / "record.json").read_text())["timings"]
    return found


@pytest.mark.parametrize("lost_at", [1, 2, 3, 4])
def test_own_answers_are_kept(on_tiny: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, lost_at: int) -> None:
    words = ("-e", OWN, "--batch-size", "2", "--quiet")
    with monkeypatch.context() as patch:
        Passes(patch, "generate", lost_at)
        code, _, err = on_tiny("run", *words, "--out", "lost")
    assert code == 3 and "R823" in err
    with monkeypatch.context() as patch:
        left = Passes(patch, "generate")
        assert on_tiny("run", *words, "--out", "again")[0] == 0
    assert left.made == 4 - (lost_at - 1)
    monkeypatch.setenv("STEERDSL_CACHE", str(tmp_path / "other"))
    assert on_tiny("run", *words, "--out", "undisturbed")[0] == 0
    vectors = [Path(name, "vectors", "topic.safetensors").read_bytes() for name in ("again", "undisturbed")]
    assert vectors[0] == vectors[1]


def test_own_answers_to_unsafe_data_are_not_kept(on_tiny: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with monkeypatch.context() as patch:
        Passes(patch, "generate", 4)
        assert on_tiny("run", "-e", HIDDEN, "--batch-size", "2", "--quiet", "--out", "lost")[0] == 3
    assert not list((tmp_path / "cache").rglob("texts.jsonl"))


CHOICES = '{{"prompt": "Which is {0}?", "options": ["bread {0}", "a tax"], "gold": "A"}}\n'
READ = (
    'dataset a = econ with take: 5, seed: 1\ndataset m = "m.jsonl" with answer: "gold", choices: "options"\n'
    "topic = extract random\n"
    "steer less { ablate topic at layers 1..2 }\nsteer more { add topic by 2 at layer 1 }\n"
    "s = evaluate less on a.all with kl, delta_nll, cross_entropy, max_tokens: 4, draws: 2\n"
    "t = evaluate more on m.all with multiple_choice, kl, max_tokens: 4, controls: none\n"
)


def scores(folder: str) -> Any:
    return json.loads((Path(folder) / "scores.json").read_text())


@pytest.mark.parametrize("on", ["local", "simulate"])
def test_every_batch_that_was_read_is_kept(on_tiny: Any, monkeypatch: pytest.MonkeyPatch, on: str) -> None:
    """The run is lost at one reading after another: each is made once, and the scores are those of one whole run."""
    Path("m.jsonl").write_text("".join(CHOICES.format(i) for i in range(5)))
    words = ("-e", READ, "--batch-size", "4", "--quiet", "--on", on)
    monkeypatch.setenv("STEERDSL_CACHE", "whole")
    with monkeypatch.context() as patch:
        whole = Passes(patch, "readings")
        code, _, err = on_tiny("run", *words, "--out", "whole-run")
    assert code == 0 and whole.made > 12, err
    monkeypatch.setenv("STEERDSL_CACHE", "lost")
    made = 0
    for step in (1, 2, 3, 1, 4):
        with monkeypatch.context() as patch:
            part = Passes(patch, "readings", step + 1)
            assert on_tiny("run", *words, "--out", f"lost-{made}")[0] == 3
        assert part.made == step
        made += step
    with monkeypatch.context() as patch:
        rest = Passes(patch, "readings")
        assert on_tiny("run", *words, "--out", "again")[0] == 0
    assert made + rest.made == whole.made
    assert scores("again") == scores("whole-run")
    kinds = [json.loads(meta.read_text()).get("kind") for meta in Path("lost").rglob("meta.json")]
    assert kinds and "batch" not in kinds


def test_a_kept_batch_that_is_damaged_is_read_again(on_tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("m.jsonl").write_text("".join(CHOICES.format(i) for i in range(5)))
    words = ("-e", READ, "--batch-size", "4", "--quiet")
    monkeypatch.setenv("STEERDSL_CACHE", "whole")
    assert on_tiny("run", *words, "--out", "whole-run")[0] == 0
    monkeypatch.setenv("STEERDSL_CACHE", "lost")
    with monkeypatch.context() as patch:
        Passes(patch, "readings", 8)
        assert on_tiny("run", *words, "--out", "lost-run")[0] == 3
    kept = sorted(Path("lost").rglob("figures.jsonl"))
    for path, text in zip(kept, ['[1.0]\n"x"\n', "", "[0.5]\n"], strict=False):
        path.write_text(text)
    assert len(kept) == 7 and on_tiny("run", *words, "--out", "again")[0] == 0
    assert scores("again") == scores("whole-run")


def test_a_patch_is_kept(on_tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("-e", PATCHED, "--batch-size", "2", "--quiet")
    with monkeypatch.context() as patch:
        read, _ = Passes(patch, "summarise"), Passes(patch, "generate", 2)
        assert on_tiny("run", *words, "--out", "lost")[0] == 3
    assert read.made == 1
    with monkeypatch.context() as patch:
        read, left = Passes(patch, "summarise"), Passes(patch, "generate")
        assert on_tiny("run", *words, "--out", "again")[0] == 0
    assert (read.made, left.made) == (0, 2)  # of three batches: the first has one prompt


@pytest.mark.parametrize("ending", [failure(Diagnostic("R823", "lost")), KeyboardInterrupt()])
def test_a_step_that_does_not_end_is_in_the_timings(
    on_tiny: Any, monkeypatch: pytest.MonkeyPatch, ending: BaseException
) -> None:
    def lost(session: Session, *given: Any) -> None:
        raise ending

    monkeypatch.setattr(Session, "generate", lost)
    assert on_tiny("run", "-e", PATCHED, "--quiet", "--out", "lost")[0] in (3, 130)
    steps = timings("lost")
    assert [step["verb"] for step in steps] == ["steer", "generate"]
    assert set(steps[1]) == set(steps[0]) >= {"seconds", "requests", "sent", "received"}
