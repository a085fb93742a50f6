"""Data sets of answers that stay by a judge's mark or a classifier's probability.

The judge is a server of this machine whose marks are made here from what it was shown.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from endpoint import Endpoint, said
from test_classifiers import classifier
from tiny import tiny_tokenizer
from transformers import AutoModelForSequenceClassification

from steerdsl import pipeline

QUESTIONS = [
    f"What is {word}?" for word in ("bread", "rain", "a ship", "tax", "snow", "a poem", "salt", "trade", "ice")
]
ASKED = f"dataset q = {json.dumps(QUESTIONS)} with held_out: 30%, seed: 1\n"
MADE = f"{ASKED}dataset d = answers to q with n: 4, temperature: 1.5, max_tokens: 12\n"
RUBRIC = "Question:\n[{question}]\nAnswer:\n<<<\n{answer}\n>>>\nHow evil is it?\n"
JUDGED = MADE.rstrip() + ' keep when judge("trait.md", scale: 0..100) >= 50\n'
TOPIC = "v = extract diffmean from d vs generic at mean_response\n"


@pytest.fixture(autouse=True)
def rubric(steerdsl: Any) -> None:
    Path("trait.md").write_text(RUBRIC)


def shown(body: dict[str, Any]) -> tuple[str, str]:
    """The question and the answer that a judge was shown."""
    text = body["messages"][0]["content"]
    (found,) = re.findall(r"\[(.*?)\]\nAnswer:\n<<<\n(.*?)\n>>>\nHow evil", text, re.DOTALL)
    return found


def mark(question: str, answer: str, salt: str = "") -> int:
    """A number from 0 to 100 that depends on every word."""
    return hashlib.sha256(f"{salt}\n{question}\n{answer}".encode()).digest()[0] % 101


def by_words(body: dict[str, Any]) -> tuple[int, Any]:
    return said(str(mark(*shown(body))))


def judged(server: Endpoint, model: str = "m") -> tuple[str, ...]:
    return "--judge-url", server.url, "--judge-model", model


def rows(run: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(run, "data", "d.jsonl").read_text("utf-8").splitlines()]


def record(run: str) -> Any:
    return json.loads(Path(run, "record.json").read_text("utf-8"))


def test_the_marks_of_the_judge_say_which_answers_stay(on_tiny: Any, endpoint: Any) -> None:
    server = endpoint(by_words)
    code, _, err = on_tiny("run", "-e", JUDGED + TOPIC, "--out", "r", *judged(server))
    assert code == 0, err
    found = rows("r")
    assert len(found) == 36 and 0 < sum(row["kept"] for row in found) < 36
    for row in found:
        if not row["answer"].strip():
            assert row["why"] == "the answer is empty" and row["figures"] == {"judge_trait": None}
            continue
        wanted = mark(row["question"], row["answer"])
        assert row["figures"] == {"judge_trait": wanted} and row["kept"] is (wanted >= 50)
        assert row["why"] == (None if wanted >= 50 else 'not `judge("trait.md", scale: 0..100) >= 50`')
    asked = [shown(body) for body in server.asked]
    assert len(asked) == len(set(asked)) and set(asked) == {
        (row["question"], row["answer"]) for row in found if row["answer"].strip()
    }
    (line,) = record("r")["judge"]["rubrics"]
    assert (line["judge"], line["scale"], line["written"]) == ("m", [0, 100], len(asked))
    assert set(record("r")["inputs"]) == {"trait.md"}


def test_a_side_is_made_of_marks(on_tiny: Any, endpoint: Any) -> None:
    text = MADE.rstrip() + ' positive keep when judge("trait.md") > 60 negative keep when judge("trait.md") < 40\n'
    code, _, err = on_tiny("run", "-e", text, "--out", "r", *judged(endpoint(by_words)))
    assert code == 0, err
    for row in rows("r"):
        value = mark(row["question"], row["answer"])
        side = "positive" if value > 60 else "negative" if value < 40 else None
        assert row.get("side") == (side if row["answer"].strip() else None)


def test_an_answer_without_a_mark_is_dropped_and_its_reason_counted(on_tiny: Any, endpoint: Any) -> None:
    def reply(body: dict[str, Any]) -> tuple[int, Any]:
        value = mark(*shown(body))
        return said("REFUSAL" if value < 30 else "101" if value < 60 else str(value))

    code, _, err = on_tiny("run", "-e", JUDGED, "--out", "r", *judged(endpoint(reply)))
    assert code == 0, err
    counted: dict[str, int] = {}
    for row in rows("r"):
        if row["answer"].strip():
            value = mark(row["question"], row["answer"])
            why = "the reply is not one number" if value < 30 else "the mark is outside the scale 0 to 100"
            why = f"`judge_trait` gives it no figure: {why}" if value < 60 else None
        else:
            why = "the answer is empty"
        assert row["why"] == why and row["kept"] is (why is None)
        if why is not None:
            counted[why] = counted.get(why, 0) + 1
    assert record("r")["answers"]["d"]["dropped"] == counted and len(counted) > 1


def test_when_no_answer_has_a_mark_the_run_says_so(on_tiny: Any, endpoint: Any) -> None:
    code, _, err = on_tiny("run", "-e", JUDGED, "--out", "r", *judged(endpoint(lambda body: said("I cannot."))))
    assert code == 3 and "error[D550]" in err
    assert "were dropped: `judge_trait` gives it no figure: the reply is not one number" in " ".join(err.split())


def test_keys_know_the_judge_and_every_word_of_the_rubric(on_tiny: Any, endpoint: Any) -> None:
    server = endpoint(by_words)
    words = ("run", "-e", JUDGED, "--out")
    assert on_tiny(*words, "r", *judged(server))[0] == 0
    once = len(server.asked)
    assert on_tiny(*words, "again", *judged(server))[0] == 0 and len(server.asked) == once
    assert rows("again") == rows("r")
    other = endpoint(lambda body: said(str(mark(*shown(body), "other"))))
    assert on_tiny(*words, "other", *judged(other, "n"))[0] == 0 and len(other.asked) == once
    Path("trait.md").write_text(f"Please! {RUBRIC}")
    assert on_tiny(*words, "polite", *judged(other))[0] == 0 and len(other.asked) == 2 * once
    for run in ("other", "polite"):
        for row in rows(run):
            value = mark(row["question"], row["answer"], "other")
            assert row["kept"] is bool(row["answer"].strip() and value >= 50)
    assert [row["answer"] for row in rows("other")] == [row["answer"] for row in rows("r")]


def test_it_needs_a_judge_before_anything_runs(on_tiny: Any) -> None:
    code, _, err = on_tiny("run", "-e", JUDGED, "--out", "r")
    assert code == 2 and "error[R895]" in err and "asks a judge for marks" in err
    assert not Path("r").exists()


def test_the_plan_names_rubric_and_judge(on_tiny: Any) -> None:
    code, out, err = on_tiny("plan", "-e", JUDGED, "--judge-model", "m", "--judge-url", "http://127.0.0.1:9")
    told = " ".join(out.split())
    digest = hashlib.sha256(RUBRIC.encode()).hexdigest()[:12]
    assert code == 0, err
    assert f"rubric trait: 0 to 100 (the recipe's own, sha256 {digest})" in told and "judge m: at temperature 0" in told


@pytest.mark.parametrize("command", ["check", "plan"])
@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{answer} or {baseline}?", "S353"),
        ("{answer} to {quastion}?", "S340"),
        ("How evil?", "S341"),
        (None, "D501"),
    ],
)
def test_a_rubric_that_cannot_be_asked_is_refused(
    on_tiny: Any, steerdsl: Any, text: str | None, code: str, command: str
) -> None:
    if text is None:
        Path("trait.md").unlink()
    else:
        Path("trait.md").write_text(text)
    Path("a.steer").write_text(JUDGED)
    ended, out, err = (on_tiny if command == "plan" else steerdsl)(command, "a.steer")
    assert ended == 1 and f"error[{code}]" in out + err and "a.steer:2:" in out + err


def test_a_judged_run_is_locked_packed_and_verified(on_tiny: Any, steerdsl: Any, endpoint: Any) -> None:
    server = endpoint(by_words)
    Path("a.steer").write_text(JUDGED + TOPIC)
    assert on_tiny("lock", "a.steer", "--judge-model", "m")[0] == 0
    assert "trait.md" in Path("a.steer.lock").read_text()
    code, _, err = on_tiny("run", "a.steer", "--out", "run", "--locked", *judged(server))
    assert code == 0, err
    code, _, err = steerdsl("pack", "a.steer", "--run", "run", "--out", "a.steerpack")
    assert code == 0, err
    model = record("run")["model"]["path"]
    code, out, err = steerdsl("verify", "a.steerpack", "--model", model, "--judge-url", server.url)
    assert code == 0, out + err
    Path("trait.md").write_text(f"Please! {RUBRIC}")
    code, _, err = on_tiny("run", "a.steer", "--out", "other", "--locked", *judged(server))
    assert code != 0 and "trait.md" in err


def test_a_judge_that_the_run_opens_is_asked(on_tiny: Any, tiny_model: Path, tmp_path: Path) -> None:
    """The tiny model writes no number, so that all answers lack a mark; that it was asked is in the record."""
    text = MADE.rstrip() + f' keep when judge("trait.md", judge: "{tiny_model}") >= 0\n'
    code, _, err = on_tiny("run", "-e", text, "--out", "r", "--allow", str(tiny_model.parent))
    (line,) = record("r")["judge"]["rubrics"]
    assert line["local"] is True and line["judge"] == str(tiny_model)
    asked = {(row["question"], row["answer"]) for row in rows("r") if row["answer"].strip()}
    assert line["expected"] + line["written"] + line["unread"] == len(asked)
    assert sum(row["kept"] for row in rows("r")) == 0 or code == 0, err


@pytest.mark.parametrize("reads", ["answer", "both"])
def test_the_probabilities_of_a_classifier_say_which_answers_stay(on_tiny: Any, tmp_path: Path, reads: str) -> None:
    folder = classifier(tmp_path / "c")
    call = f'classifier("{folder}", "toxic", reads: {reads})'

    def run(limit: float, out: str) -> list[dict[str, Any]]:
        text = f"{MADE.rstrip()} keep when {call} > {limit:.6f}\n"
        code, _, err = on_tiny("run", "-e", text, "--out", out, "--allow", str(tmp_path))
        assert code == 0, err
        return [row for row in rows(out) if row["answer"].strip()]

    model, tokenizer = AutoModelForSequenceClassification.from_pretrained(folder), tiny_tokenizer()
    by_hand = []
    for row in run(0, "all"):
        given = (row["question"], row["answer"]) if reads == "both" else (row["answer"],)
        with torch.no_grad():
            by_hand.append(float(model(**tokenizer(*given, return_tensors="pt")).logits[0].softmax(-1)[1]))
    low, high = sorted(by_hand)[len(by_hand) // 2 - 1 : len(by_hand) // 2 + 1]
    found = run((low + high) / 2, "half")
    assert [row["figures"]["classifier_toxic"] for row in found] == pytest.approx(by_hand, abs=1e-6)
    assert [row["kept"] for row in found] == [p > (low + high) / 2 for p in by_hand]
    assert sum(row["kept"] for row in found) == len(found) - len(found) // 2


def trait(**change: Any) -> str:
    own = {"instruction": [{"pos": "Be evil.", "neg": "Be kind."}], "questions": QUESTIONS, "eval_prompt": RUBRIC}
    return json.dumps({key: value for key, value in {**own, **change}.items() if value is not None})


def test_a_trait_file_is_its_own_rubric(on_tiny: Any, endpoint: Any) -> None:
    Path("evil.json").write_text(trait())
    text = 'dataset p = "evil.json" with form: trait, held_out: 30%, seed: 1\n'
    text += "dataset d = answers to p with n: 3, temperature: 1.5, max_tokens: 12\n"
    text += '    positive keep when judge("evil.json") >= 50 negative keep when judge("evil.json") < 50\n'
    code, _, err = on_tiny("run", "-e", text, "--out", "r", *judged(endpoint(by_words)))
    assert code == 0, err
    for row in rows("r"):
        if row["answer"].strip():
            value = mark(row["question"], row["answer"])
            assert row["figures"] == {"judge_evil": value}
            assert row["kept"] is ((value >= 50) if row["side"] == "positive" else (value < 50))
    assert set(record("r")["inputs"]) == {"evil.json"}


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (trait(eval_prompt=None), "D552"),
        (trait(eval_prompt=3), "D552"),
        (trait(eval_prompt="How evil?"), "S341"),
        (trait(eval_prompt=" "), "S341"),
        (trait(eval_prompt="{answer} {baseline}"), "S353"),
        (trait(trait="evil"), "D553"),
        ("{", "D506"),
        ("[]", "D552"),
    ],
)
def test_a_trait_file_without_a_rubric_is_refused(steerdsl: Any, text: str, code: str) -> None:
    Path("evil.json").write_text(text)
    Path("a.steer").write_text(f'{MADE.rstrip()} keep when judge("evil.json") >= 50\n')
    ended, out, err = steerdsl("check", "a.steer")
    assert ended == 1 and f"error[{code}]" in out + err and "a.steer:2:" in out + err


def test_a_judged_run_is_not_taken_whole(on_tiny: Any, endpoint: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a judge said is in the store by itself, and a run without the judge cannot be one with it."""
    began: list[object] = []
    plan_to_run = pipeline.plan_to_run
    monkeypatch.setattr(pipeline, "plan_to_run", lambda *a, **k: began.append(a) or plan_to_run(*a, **k))
    Path("a.steer").write_text(JUDGED)
    Path("plain.steer").write_text(MADE)
    server = endpoint(by_words)
    for recipe, times in (("a.steer", 2), ("plain.steer", 1)):
        began.clear()
        for out in ("one", "two"):
            assert on_tiny("run", recipe, "--out", f"{recipe}-{out}", *judged(server))[0] == 0
        assert len(began) == times
