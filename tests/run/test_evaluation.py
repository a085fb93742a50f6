"""Controls beside every score, references sampled apart, differences with their tests, and answers
that may not be kept: from recipe to run directory, on a tiny model."""

from __future__ import annotations

import hashlib
import json
import math
import re
from pathlib import Path
from typing import Any

import pytest

from steerdsl.engine import evaluation, metric_inputs, safety, steps
from steerdsl.lang.diagnostics import RecipeError
from steerdsl.measure import stats
from steerdsl.measure.answers import Figures

FITTED = """
dataset a = econ with take: 20, seed: 1
dataset b = generic with take: 20, seed: 1
topic = extract diffmean from a vs b at mean_content
"""
SCORED = FITTED + "steer less { ablate topic }\nscores = evaluate less on a with bleu, distinct_1, max_tokens: 5\n"


def scores(folder: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((Path(folder) / "scores.json").read_text())
    return found


def number(value: float | None) -> float:
    return math.nan if value is None else value


def holm_of(found: list[dict[str, Any]]) -> list[float]:
    return [number(f["p_holm"]) for f in found]


def lines(folder: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (Path(folder) / "generations.jsonl").read_text().splitlines()]


def test_every_score_stands_beside_its_controls(on_tiny: Any, steerdsl: Any) -> None:
    code, out, err = on_tiny("run", "-e", SCORED, "--out", "r")
    assert code == 0, err
    figures = scores("r")["scores"]["distinct_1"]["a"]
    assert list(figures) == ["baseline", "less", "random", "prompted"]
    assert set(figures["less"]["against"]) == {"baseline", "random", "prompted"}
    assert all("against" not in figures[v] for v in ("baseline", "random", "prompted"))
    words = " ".join(out.split())
    assert "random directions: " in words and "prompting: " in words
    shown = steerdsl("show", "r")[1]
    assert "less − random" in shown and "prompted" in shown
    rows = lines("r")
    by_variant = {v: [r for r in rows if r["variant"] == v] for v in ("baseline", "prompted", "reference")}
    assert [r["prompt"] for r in by_variant["baseline"]] == [r["prompt"] for r in by_variant["prompted"]]
    # The instruction is asked, and is not part of the prompt that the tables show.
    pairs = zip(by_variant["baseline"], by_variant["prompted"], strict=True)
    assert all(one["rendered_sha256"] != two["rendered_sha256"] for one, two in pairs)
    assert {r["sample"] for r in by_variant["reference"]} == {0, 1, 2, 3}
    assert "reference" not in shown.split("a: means")[0].split("a: ", 1)[1]


def test_differences_are_those_of_the_values_kept(on_tiny: Any) -> None:
    assert on_tiny("run", "-e", SCORED, "--out", "r")[0] == 0
    figures = scores("r")["scores"]["bleu"]["a"]
    for other, found in figures["less"]["against"].items():
        lists = [figures["less"], *figures[other].get("draws", [figures[other]])]
        wanted = stats.difference(*(Figures([math.nan if x is None else x for x in f["values"]]) for f in lists))
        assert found["difference"] == pytest.approx(wanted.mean)
        given = [math.nan if found[name] is None else found[name] for name in ("low", "high", "p")]
        assert given == pytest.approx([wanted.low, wanted.high, wanted.p], nan_ok=True)


def test_the_baseline_is_not_its_own_reference(on_tiny: Any) -> None:
    """K samples are the references and the baseline's own answer is one more (K + 1)."""
    from sacrebleu.metrics.bleu import BLEU

    assert on_tiny("run", "-e", SCORED, "--out", "r")[0] == 0
    rows = lines("r")
    values = scores("r")["scores"]["bleu"]["a"]["baseline"]["values"]
    own = [r for r in rows if r["variant"] == "baseline"]
    bleu = BLEU(tokenize="13a", smooth_method="exp", effective_order=True)
    for row, value in zip(own, values, strict=True):
        sampled = [r["text"] for r in rows if r["variant"] == "reference" and r["row"] == row["row"]]
        assert len(sampled) == 4
        assert value == pytest.approx(bleu.sentence_score(row["text"], sampled).score, abs=1e-6)


def test_points_of_a_sweep_are_one_family_of_tests(on_tiny: Any) -> None:
    text = (
        FITTED
        + """
    sweep power over 1,2,3 {
        steer more { add topic by power }
        s = evaluate more on a.all with distinct_1, max_tokens: 5, controls: random
    }
    """
    )
    code, _, err = on_tiny("run", "-e", text, "--out", "r")
    assert code == 0, err
    tables = [p["scores"]["distinct_1"]["a"]["more"]["against"] for p in scores("r")["s"]["points"]]
    found = [table[other] for table in tables for other in ("baseline", "random")]
    assert holm_of(found) == pytest.approx(stats.holm([number(f["p"]) for f in found]), nan_ok=True)


def test_answers_to_unsafe_prompts_are_scored_and_not_kept(on_tiny: Any, tmp_path: Path) -> None:
    Path("harm.jsonl").write_text("".join(json.dumps({"prompt": f"Do harm number {i}."}) + "\n" for i in range(6)))
    text = (
        'dataset harm = "harm.jsonl" with unsafe: true\n'
        + FITTED
        + "steer less { ablate topic }\nscores = evaluate less on harm with distinct_1, max_tokens: 5\n"
    )
    kept = {}
    for words in ([], ["--keep-unsafe"], []):
        code, out, err = on_tiny("run", "-e", text, "--out", f"r{len(kept)}", *words)
        assert code == 0, err
        kept[len(kept)] = lines(f"r{len(kept)}")
        assert ("(withheld" in out) is not bool(words)
    hidden, shown, again = kept.values()
    assert hidden == again and len(hidden) == len(shown) == 6 * (3 + 5)
    for row, full in zip(hidden, shown, strict=True):
        assert row["text"] is None and row["token_ids"] == [] and row["withheld"] is True
        assert row["text_sha256"] == hashlib.sha256(full["text"].encode()).hexdigest()
    assert scores("r0") == scores("r1")


def test_nothing_withheld_stays_in_the_store(on_tiny: Any, tmp_path: Path) -> None:
    Path("harm.jsonl").write_text("".join(json.dumps({"prompt": f"Do harm number {i}."}) + "\n" for i in range(6)))
    text = 'dataset harm = "harm.jsonl" with unsafe: true\ngenerate from harm with max_tokens: 5, n: 2\n'
    assert on_tiny("run", "-e", text, "--out", "r", "--batch-size", "2")[0] == 0
    assert len(lines("r")) == 12
    store = tmp_path / "cache" / "store"
    assert list(store.rglob("lines.jsonl")) and not list(store.rglob("answers.jsonl"))


UNSAFE = 'dataset harm = "harm.jsonl" with unsafe: true\ngenerate from harm with max_tokens: 5, n: 2\n'


def test_what_a_killed_run_left_of_withheld_answers_goes_with_the_next(
    on_tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("harm.jsonl").write_text("".join(json.dumps({"prompt": f"Do harm number {i}."}) + "\n" for i in range(6)))
    store = tmp_path / "cache" / "store"
    with monkeypatch.context() as killed:  # just before it would have removed them
        killed.setattr(steps, "forget", lambda store: None)
        assert on_tiny("run", "-e", UNSAFE, "--out", "r")[0] == 0
    assert list(store.rglob("answers.jsonl"))
    assert on_tiny("run", "-e", UNSAFE, "--out", "again")[0] == 0
    assert lines("r") == lines("again") and not list(store.rglob("answers.jsonl"))


def test_a_stopped_run_says_that_withheld_answers_are_in_the_store(
    on_tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("harm.jsonl").write_text("".join(json.dumps({"prompt": f"Do harm number {i}."}) + "\n" for i in range(6)))

    def interrupted(*about: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(evaluation, "recalled", interrupted)
    code, _, err = on_tiny("run", "-e", UNSAFE, "--out", "r")
    assert code == 130 and "warning: answers to data that is declared unsafe stay in the store" in err


def test_a_corrected_gold_answer_and_a_new_name_are_scored_anew(on_tiny: Any) -> None:
    """Neither changes an answer, and both change what is in the table."""
    rows = [{"prompt": f"How much is {i} and 1?", "answer": str(i + 1)} for i in range(6)]
    text = (
        'dataset sums = "sums.jsonl" with answer: "answer"\n'
        + FITTED
        + "steer less { ablate topic }\nscores = evaluate less on sums with exact_match, max_tokens: 5\n"
    )
    Path("sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert on_tiny("run", "-e", text, "--out", "r")[0] == 0
    said = {row["prompt"]: row["text"] for row in lines("r") if row["variant"] == "less"}
    golds = {prompt: (re.findall(r"\d+", text) or ["0.5"])[-1] for prompt, text in said.items()}
    Path("sums.jsonl").write_text("".join(json.dumps({**row, "answer": golds[row["prompt"]]}) + "\n" for row in rows))
    text = text.replace("less", "fewer")
    assert on_tiny("run", "-e", text, "--out", "again")[0] == 0
    found = scores("again")["scores"]["exact_match"]["sums"]
    assert "fewer" in found and "less" not in found
    assert found["fewer"]["values"] == [float(golds[row["prompt"]] != "0.5") for row in rows]


def test_p_values_are_adjusted_over_everything_that_is_compared(on_tiny: Any) -> None:
    text = (
        FITTED
        + "steer less { ablate topic }\n"
        + "scores = evaluate less on a.train, b.train with distinct_1, bleu, max_tokens: 5\n"
    )
    assert on_tiny("run", "-e", text, "--out", "r")[0] == 0
    table = scores("r")["scores"]
    found = [f for by in table.values() for data in ("a", "b") for f in by[data]["less"]["against"].values()]
    assert len(found) == 2 * 2 * 3
    assert holm_of(found) == pytest.approx(stats.holm([number(f["p"]) for f in found]), nan_ok=True)


def test_a_recipe_with_a_judge_says_that_it_needs_one(on_tiny: Any) -> None:
    text = FITTED + "steer less { ablate topic }\nscores = evaluate less on a with judge_clarity, max_tokens: 5\n"
    code, _, err = on_tiny("run", "-e", text, "--out", "r")
    assert code == 2 and "error[R895]: this recipe needs an LLM judge, and the command line names none" in err
    assert "help: add --judge-url and --judge-model; its key is read from STEERDSL_JUDGE_KEY or OPENAI_API_KEY" in err
    assert not Path("r").exists()


def test_the_model_without_edits_reads_a_text_once(on_tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many steers are held against it; their scores are those that each has alone."""
    steers = {name: f"steer {name} {{ {op} }}\n" for name, op in (("less", "ablate topic"), ("more", "add topic by 3"))}
    asked = "s_{0} = evaluate {0} on a with delta_nll, cross_entropy, max_tokens: 5\n"
    found = {}
    for name, steer in steers.items():
        monkeypatch.setenv("STEERDSL_CACHE", f"cache-{name}")
        assert on_tiny("run", "-e", FITTED + steer + asked.format(name), "--out", name)[0] == 0
        found |= scores(name)
    real, plain = metric_inputs.read_texts, []

    def read(session: Any, texts: Any, *rest: Any) -> Any:
        plain.extend([[t.ids for t in texts]] if not any(t.steer for t in texts) else [])
        return real(session, texts, *rest)

    monkeypatch.setattr(metric_inputs, "read_texts", read)
    monkeypatch.setenv("STEERDSL_CACHE", "cache-both")
    text = FITTED + "".join(steers.values()) + "".join(map(asked.format, steers))
    assert on_tiny("run", "-e", text, "--out", "both")[0] == 0
    assert scores("both") == found
    # The answers and the texts themselves, each as they are and with an instruction (one for each steer).
    assert len(plain) == 2 * 3 and all(plain.count(ids) == 1 for ids in plain)


@pytest.mark.parametrize(
    ("url", "title"),
    [
        ("localhost:8000", "`--judge-url` is not the address of a judge"),
        ("http://u:p@judge.example/v1", "the judge at http://judge.example is not encrypted: the key in OPENAI_"),
    ],
)
def test_a_key_goes_to_no_judge_in_the_clear(
    on_tiny: Any, monkeypatch: pytest.MonkeyPatch, url: str, title: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    text = FITTED + "steer less { ablate topic }\nscores = evaluate less on a with judge_clarity, max_tokens: 5\n"
    words = ("--judge-url", url, "--judge-model", "m")
    code, _, err = on_tiny("run", "-e", text, "--out", "r", *words)
    assert code == 2 and f"error[R897]: {title}" in err and "secret" not in err and "u:p" not in err
    assert not Path("r").exists()
    # Without a recipe that asks a judge the address is not looked at.
    assert on_tiny("run", "-e", text.replace("judge_clarity", "distinct_1"), "--out", "r", *words)[0] == 0


def test_a_judge_without_a_key_may_be_asked_in_the_clear() -> None:
    for url, key in (
        ("http://judge.example", None),
        ("https://u:p@judge.example", "A_KEY"),
        ("http://[::1]:80", "A_KEY"),
    ):
        safety.require_safe_judge(url, key)
    with pytest.raises(RecipeError) as refused:
        safety.require_safe_judge("http://u:p@judge.example", None)
    (found,) = refused.value.diagnostics
    assert found.code == "R897" and "the key in the address" in found.title and "u:p" not in found.title


def test_a_claim_is_about_the_steer_whatever_its_name(on_tiny: Any) -> None:
    """From the store, variants come in the order of the alphabet, the controls before this steer."""
    text = FITTED + "steer zeal { add topic by 3 }\nscores = evaluate zeal on a with delta_nll, max_tokens: 5\n"
    for out in ("r", "again"):
        assert on_tiny("run", "-e", text + "check scores.delta_nll.a > -100\n", "--out", out)[0] == 0
        left = json.loads((Path(out) / "record.json").read_text())["checks"][0]["left"]
        assert left == scores(out)["scores"]["delta_nll"]["a"]["zeal"]["mean"]
