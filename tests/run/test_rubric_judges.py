"""Judges with rubrics, from a recipe to its record: behind an endpoint, opened by the run, and both.

The endpoint of most tests is a server of this machine that answers as told; one test asks the same tiny model behind
our own server and in the run itself.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
from endpoint import said

RUBRIC = "Count the words.\nQuestion: {question}\nAnswer:\n<<<\n{answer}\n>>>\n"
RECIPE = """
dataset a = econ with take: 20, seed: 1
dataset b = generic with take: 20, seed: 1
topic = extract diffmean from a vs b at mean_content
steer less { ablate topic }
scores = evaluate less on a with METRICS, max_tokens: 5, controls: none
"""


def length(body: dict[str, Any]) -> int:
    """A mark that can be told from the answer: its characters, at most 9."""
    (answer,) = re.findall(r"<<<\n(.*?)\n>>>", body["messages"][0]["content"], re.DOTALL)[-1:]
    return min(9, len(answer))


def by_length(body: dict[str, Any]) -> tuple[int, Any]:
    return said(str(length(body)))


def told(body: dict[str, Any]) -> tuple[int, Any]:
    """The same with log-probabilities: the mark with .6, one less with .2, and a word with .2."""
    mark = length(body)
    tops = [(str(mark), 0.6), (str(max(0, mark - 1)), 0.2), ("the", 0.2)]
    top = [{"token": text, "logprob": math.log(p)} for text, p in tops]
    status, answer = said(str(mark))
    answer["choices"][0]["logprobs"] = {"content": [{**top[0], "top_logprobs": top}]}
    return status, answer


def run(on_tiny: Any, metrics: str, url: str | None, out: str = "r") -> tuple[int, str, str]:
    Path("count.md").write_text(RUBRIC)
    words = ("--judge-url", url, "--judge-model", "m") if url else ()
    found: tuple[int, str, str] = on_tiny("run", "-e", RECIPE.replace("METRICS", metrics), "--out", out, *words)
    return found


def table(folder: str, metric: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((Path(folder) / "scores.json").read_text())["scores"][metric]["a"]
    return found


def record(folder: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((Path(folder) / "record.json").read_text())
    return found


def answers(folder: str, variant: str) -> list[str]:
    lines = map(json.loads, (Path(folder) / "generations.jsonl").read_text().splitlines())
    return [line["text"] for line in lines if line["variant"] == variant]


def test_numbers_as_the_judge_writes_them(on_tiny: Any, endpoint: Any) -> None:
    server = endpoint(by_length)
    code, _, err = run(on_tiny, 'judge("count.md", scale: 0..9, mark: number)', server.url)
    assert code == 0, err
    for variant in ("baseline", "less"):
        found = table("r", "judge_count")[variant]
        assert found["values"] == [min(9, len(text)) for text in answers("r", variant)] and found["bounds"] == [0, 9]
    assert all("logprobs" not in body and body["temperature"] == 0 for body in server.asked)
    text = json.dumps([body["messages"] for body in server.asked]).lower()
    assert not any(word in text for word in ("steer", "baseline", "ablat", "less"))  # the judge is blind
    (line,) = record("r")["judge"]["rubrics"]
    assert line["judge"] == "m" and line["local"] is False and line["scale"] == [0, 9] and line["expected"] == 0
    assert line["written"] == len(server.asked) and line["unread"] == 0
    assert on_tiny("run", "-e", RECIPE.replace("METRICS", "distinct_1"), "--out", "other")[0] == 0


def test_expectations_where_the_endpoint_tells_probabilities(on_tiny: Any, endpoint: Any) -> None:
    server = endpoint(told)
    assert run(on_tiny, 'judge("count.md", scale: 0..9)', server.url)[0] == 0
    marks = [min(9, len(text)) for text in answers("r", "less")]
    expected = [(0.6 * m + 0.2 * max(0, m - 1)) / 0.8 for m in marks]
    assert table("r", "judge_count")["less"]["values"] == pytest.approx(expected)
    assert all(body["top_logprobs"] == 20 for body in server.asked)
    (line,) = record("r")["judge"]["rubrics"]
    assert line["expected"] == len(server.asked) and line["written"] == 0


@pytest.mark.parametrize("status", [400, 422])
def test_an_endpoint_without_probabilities_is_asked_without(on_tiny: Any, endpoint: Any, status: int) -> None:
    def plain(body: dict[str, Any]) -> tuple[int, Any]:
        return (status, {"error": "logprobs are not supported"}) if "logprobs" in body else by_length(body)

    server = endpoint(plain)
    assert run(on_tiny, 'judge("count.md", scale: 0..9)', server.url)[0] == 0
    assert [body.get("top_logprobs") for body in server.asked[:4]] == [20, 5, None, None]
    assert record("r")["judge"]["rubrics"][0]["expected"] == 0
    assert table("r", "judge_count")["less"]["values"] == [min(9, len(text)) for text in answers("r", "less")]


PROSE = [("I think it is good.", "the reply is not one number"), ("12", "the mark is outside the scale 0 to 9")]
PROSE += [("<think>9", "the reply ends within its thoughts"), ("", "the reply is empty")]


@pytest.mark.parametrize(("reply", "why"), PROSE)
def test_a_judge_that_gives_no_mark_is_asked_once_more_and_counted(
    on_tiny: Any, endpoint: Any, reply: str, why: str
) -> None:
    server = endpoint(lambda body: said(reply))
    code, _, err = run(on_tiny, 'judge("count.md", scale: 0..9)', server.url)
    assert code == 0, err
    found = table("r", "judge_count")["less"]
    assert set(found["values"]) == {None} and found["mean"] is None and found["n"] == 0 and found["reason"]
    (line,) = record("r")["judge"]["rubrics"]
    assert line["unread"] == line["faults"][why] == len(server.asked) // 2
    assert server.asked[-1]["messages"][-1]["content"] == "Reply with a number from 0 to 9 alone."
    assert any(f"have no mark by count: {why}" in line for line in record("r")["warnings"])


def test_equal_answers_are_asked_once_and_a_second_run_asks_nothing(on_tiny: Any, endpoint: Any) -> None:
    server = endpoint(by_length)
    for out, metrics in (("r", 'judge("count.md", scale: 0..9)'), ("s", 'judge("count.md", scale: 0..9), distinct_1')):
        assert run(on_tiny, metrics, server.url, out)[0] == 0
    shown = {json.dumps(body["messages"]) for body in server.asked}
    assert len(server.asked) == len(shown)
    (line,) = record("s")["judge"]["rubrics"]
    assert line["from_store"] == len(shown) and table("r", "judge_count")["less"] == {
        **table("s", "judge_count")["less"],
        "against": table("r", "judge_count")["less"]["against"],
    }


def test_what_was_judged_is_kept_when_the_endpoint_breaks_off(on_tiny: Any, endpoint: Any) -> None:
    count = iter(range(1000))
    server = endpoint(lambda body: by_length(body) if next(count) < 3 else (401, {"error": "no more"}))
    code, _, err = run(on_tiny, 'judge("count.md", scale: 0..9)', server.url)
    assert code == 3 and "error[R896]" in err
    again = endpoint(by_length)
    assert run(on_tiny, 'judge("count.md", scale: 0..9)', again.url, "s")[0] == 0
    assert record("s")["judge"]["rubrics"][0]["from_store"] == 3


def test_another_wording_is_another_question(on_tiny: Any, endpoint: Any) -> None:
    server = endpoint(by_length)
    assert run(on_tiny, 'judge("count.md", scale: 0..9)', server.url, "r")[0] == 0
    asked, inputs = len(server.asked), record("r")["inputs"]
    text = RECIPE.replace("METRICS", 'judge("count.md", scale: 0..9)')
    Path("count.md").write_text("Please! " + RUBRIC)
    words = ("--judge-url", server.url, "--judge-model", "m")
    assert on_tiny("run", "-e", text, "--out", "s", *words)[0] == 0
    assert len(server.asked) == 2 * asked and set(inputs) == {"count.md"} and record("s")["inputs"] != inputs


def test_axbench_is_the_harmonic_mean_of_three_marks(on_tiny: Any, endpoint: Any) -> None:
    def three(body: dict[str, Any]) -> tuple[int, Any]:
        text = body["messages"][0]["content"]
        return said("2" if "Concept:\n<<<\nmoney\n>>>" in text else "1" if "instruction" in text else "0.5")

    assert run(on_tiny, 'axbench("money")', endpoint(three).url)[0] == 0
    assert table("r", "axbench")["less"]["values"] == pytest.approx([3 / (0.5 + 1 + 2)] * 5)
    assert len(record("r")["judge"]["rubrics"]) == 3


def test_a_rubric_needs_a_judge(on_tiny: Any) -> None:
    code, _, err = run(on_tiny, 'judge("coherence")', None)
    assert code == 2 and "error[R895]" in err


def test_the_baseline_is_shown_where_a_rubric_asks_for_it(on_tiny: Any, endpoint: Any) -> None:
    server = endpoint(lambda body: said("5"))
    Path("two.md").write_text("A: {answer}\nB: {baseline}")
    assert run(on_tiny, 'judge("two.md", scale: 1..5)', server.url)[0] == 0
    base, less = answers("r", "baseline"), answers("r", "less")
    shown = {body["messages"][0]["content"].partition("\n\nReply")[0] for body in server.asked}
    assert shown == {f"A: {a}\nB: {b}".strip() for a, b in zip([*base, *less], [*base, *base], strict=True)}
