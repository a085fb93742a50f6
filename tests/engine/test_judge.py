"""The LLM judge: what it is asked, how replies are read, and what happens when the endpoint fails.

The endpoint of the quick tests is an HTTP server of this file, which answers as told: its faults
could not be loaded from a real one on demand. The slow test asks a real model behind a real server.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
from endpoint import Reply, said

from steerdsl.engine.judge_client import Judge, cost_json, unmarked
from steerdsl.forms.form import misfit
from steerdsl.forms.record import RECORD
from steerdsl.lang.diagnostics import RecipeError
from steerdsl.measure.judge import CRITERIA, VERSION, fault, messages, parse, schema, spoken
from steerdsl.models.cache import no_progress
from steerdsl.store.results import Store, content_key


def marks(a: int, b: int) -> str:
    return json.dumps({"A": dict.fromkeys(CRITERIA, a), "B": dict.fromkeys(CRITERIA, b)})


def by_length(body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """Marks an answer by its number of words, and the one shown first a mark higher: a biased judge."""
    a, b = re.findall(r"Answer [AB]:\n<<<\n(.*?)\n>>>", body["messages"][1]["content"], re.DOTALL)
    return said(marks(min(5, len(a.split()) + 1), len(b.split())))


def judge(url: str, folder: Path) -> Judge:
    return Judge(url, "m", Store(folder), no_progress, wait=lambda seconds: None)


def test_both_orders_cancel_what_the_order_does(endpoint: Any, tmp_path: Path) -> None:
    server = endpoint(by_length)
    made = judge(server.url, tmp_path)
    first, second = made.compare(["q", "r"], ["one two", "one"], ["one two three", "one two"])
    # 2 words are marked 3 when first and 2 when second; their mean is 2.5 in either order.
    assert first["clarity"] == [2.5, 1.5] and second["clarity"] == [3.5, 2.5]
    assert set(first) == set(CRITERIA) and len(server.asked) == 4
    assert all(body["temperature"] == 0 for body in server.asked)
    assert cost_json(made) == {
        "model": "m",
        "pairs": 4,
        "calls": 4,
        "from_store": 0,
        "refused": 0,
        "faults": {},
        "prompt_tokens": 40,
        "completion_tokens": 20,
    }


def test_nothing_says_which_answer_is_steered() -> None:
    text = json.dumps(messages("What is rent?", ("plain", "odd"))).lower()
    assert not any(word in text for word in ("steer", "baseline", "ablat", "unsteered", "control"))


def test_the_same_pair_is_paid_for_once(endpoint: Any, tmp_path: Path) -> None:
    server = endpoint(by_length)
    marked = judge(server.url, tmp_path).compare(["q"], ["one"], ["one two"])
    again = judge(server.url, tmp_path)
    assert again.compare(["q"], ["one"], ["one two"]) == marked and len(server.asked) == 2
    assert cost_json(again)["calls"] == 0 and cost_json(again)["from_store"] == 2


def test_a_judge_that_refuses_is_asked_once_more_and_counted(endpoint: Any, tmp_path: Path) -> None:
    server = endpoint(lambda body: said("I cannot grade this."))
    made = judge(server.url, tmp_path)
    first, second = made.compare(["q"], ["a"], ["b"])
    assert math.isnan(first["accuracy"][0]) and math.isnan(second["clarity"][0])
    assert len(server.asked) == 4 and cost_json(made)["refused"] == 2
    why = "the reply holds no complete JSON object"
    assert cost_json(made)["faults"] == {why: 2}
    assert misfit(json.loads(json.dumps(cost_json(made))), RECORD["judge"].form) is None  # it can be read back
    assert unmarked(made) == [f"judge: 2 of 2 pairs of answers have no marks: {why} (2)"]
    assert server.asked[1]["messages"][-1]["content"].startswith("Reply with the JSON object alone")


ODD: list[Any] = [
    *('{"A":' + "[" * 100_000, '{"A": [[1]]}', '{"A": {"accuracy": "x"}}', "{" * 5000, "\ud800", '{"A": NaN}'),
    *('{"A": {"accuracy": ' + "9" * 5000 + "}}", "x" * 1_000_000, None, 5, [], {}, [{"type": "text", "text": "x"}]),
]


@pytest.mark.parametrize("content", ODD, ids=lambda content: repr(content)[:20])
def test_an_odd_reply_has_no_marks_and_breaks_nothing_off(endpoint: Any, tmp_path: Path, content: Any) -> None:
    made = judge(endpoint(lambda body: said(content)).url, tmp_path)
    first, _ = made.compare(["q"], ["a"], ["b"])
    assert math.isnan(first["accuracy"][0]) and cost_json(made)["refused"] == 2
    again = judge("http://127.0.0.1:9", tmp_path)  # nobody is there: everything was kept
    assert math.isnan(again.compare(["q"], ["a"], ["b"])[0]["accuracy"][0])


USAGES: list[Any] = ["x", 5, None, [], *({"prompt_tokens": n} for n in ("x", 10**30, -1, True, 2.5))]


@pytest.mark.parametrize("usage", USAGES, ids=repr)
def test_odd_counts_of_tokens_are_none(endpoint: Any, tmp_path: Path, usage: Any) -> None:
    made = judge(endpoint(lambda body: (200, {**said(marks(4, 2))[1], "usage": usage})).url, tmp_path)
    assert made.compare(["q"], ["a"], ["b"])[0]["clarity"] == [3.0]
    assert cost_json(made)["prompt_tokens"] == 0


@pytest.mark.parametrize("body", [[], 5, None, {}, {"choices": []}, {"choices": 5}, {"choices": [{"message": 5}]}])
def test_a_body_of_another_form_is_one_message(endpoint: Any, tmp_path: Path, body: Any) -> None:
    with pytest.raises(RecipeError) as caught:
        judge(endpoint(lambda asked: (200, body)).url, tmp_path).compare(["q"], ["a"], ["b"])
    assert [d.code for d in caught.value.diagnostics] == ["R896"]


def test_an_order_without_marks_leaves_the_other(endpoint: Any, tmp_path: Path) -> None:
    def half(body: dict[str, Any]) -> tuple[int, Any]:
        return said(marks(4, 2)) if "Answer A:\n<<<\nfirst" in body["messages"][1]["content"] else said("no")

    first, second = judge(endpoint(half).url, tmp_path).compare(["q"], ["first"], ["second"])
    assert (first["clarity"], second["clarity"]) == ([4.0], [2.0])


def test_a_busy_host_is_asked_again(endpoint: Any, tmp_path: Path) -> None:
    count = iter([429, 503])

    def busy(body: dict[str, Any]) -> tuple[int, Any]:
        status = next(count, 200)
        return by_length(body) if status == 200 else (status, {"error": {"message": "slow down"}})

    server = endpoint(busy)
    waits: list[float] = []
    made = Judge(server.url, "m", Store(tmp_path), no_progress, wait=waits.append)
    assert made.compare(["q"], ["one"], ["one two"])[0]["clarity"] == [1.5]
    assert waits == [2.0, 4.0]


def test_an_endpoint_without_schemas_is_asked_without(endpoint: Any, tmp_path: Path) -> None:
    def plain(body: dict[str, Any]) -> tuple[int, Any]:
        known = body.get("response_format", {}).get("type") in (None,)
        return by_length(body) if known else (422, {"error": "unknown response_format"})

    server = endpoint(plain)
    judge(server.url, tmp_path).compare(["q"], ["one"], ["one two"])
    forms = [body.get("response_format", {}).get("type") for body in server.asked]
    assert forms == ["json_schema", "json_object", None, None]


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        (lambda body: (401, {"error": {"message": "bad key"}}), "answers 401: bad key"),
        (lambda body: (503, {"error": "loading"}), "answers 503: loading, 4 times"),
        (lambda body: (200, {"text": "hello"}), "does not answer as an OpenAI-compatible endpoint does"),
    ],
)
def test_failures_have_one_message_without_the_key(
    endpoint: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reply: Reply, problem: str
) -> None:
    monkeypatch.setenv("STEERDSL_JUDGE_KEY", "secret-key")
    server = endpoint(reply)
    with pytest.raises(RecipeError) as error:
        judge(server.url, tmp_path).compare(["q"], ["a"], ["b"])
    found = error.value.diagnostics[0]
    assert found.code == "R896" and found.title == f"the judge at {server.url[7:]} {problem}"
    assert error.value.exit_code == 3 and "secret" not in str(error.value)
    assert server.headers[0]["Authorization"] == "Bearer secret-key"
    assert server.headers[0]["path"] == "/v1/chat/completions"


def test_a_host_that_is_down(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"the judge at 127\.0\.0\.1:9 cannot be reached"):
        judge("http://user:word@127.0.0.1:9/v1", tmp_path).compare(["q"], ["a"], ["b"])


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "A: 5",
        "{",
        "[1]",
        '{"A": 5, "B": 5}',
        json.dumps({"A": dict.fromkeys(CRITERIA, 3)}),
        marks(0, 3),
        marks(3, 6),
        marks(3, 3).replace("3", "true", 1),
        marks(3, 3).replace("3", '"3"', 1),
    ],
)
def test_what_is_no_reply_has_no_marks(reply: str) -> None:
    assert parse(reply) is None


def test_a_reply_may_have_words_around_it() -> None:
    found = parse(f"Sure!\n```json\n{marks(2, 5)}\n```\nDone.")
    assert found == (dict.fromkeys(CRITERIA, 2.0), dict.fromkeys(CRITERIA, 5.0))


def given(a: int, b: int) -> tuple[dict[str, float], dict[str, float]]:
    return dict.fromkeys(CRITERIA, float(a)), dict.fromkeys(CRITERIA, float(b))


THOUGHT = f"The reply must look like {marks(3, 3)}"


@pytest.mark.parametrize("tag", ["think", "thinking", "Thought", "reasoning", "THINK"])
@pytest.mark.parametrize(
    ("form", "found"),
    [
        ("<{t}>{thought}</{t}>{five}", given(5, 5)),
        ("<{t}>{thought}</{t}>\n\n```json\n{five}\n```", given(5, 5)),
        ("{thought}</{t}>{five}", given(5, 5)),  # the template has opened the thoughts
        ("<{t}>a<{t}>{thought}</{t}>{two}</{t}>{five}", given(5, 5)),
        ("{five}<{t}>{thought}</{t}>", given(5, 5)),
        ("{five} <{t}>{thought}", given(5, 5)),
        ("[{t}]{thought}[/{t}]{five}", given(5, 5)),
        ("<{t}>{thought}</{t}>", None),
        ("<{t}>{thought}", None),
        ("<{t}>{five}{thought}", None),
    ],
)
def test_thoughts_are_not_marks(tag: str, form: str, found: object) -> None:
    reply = form.replace("{t}", tag)
    for name, text in {"thought": THOUGHT, "five": marks(5, 5), "two": marks(2, 2)}.items():
        reply = reply.replace(f"{{{name}}}", text)
    assert parse(reply) == found


@pytest.mark.parametrize(
    ("reply", "found"),
    [
        (f"Keys {{A, B}}. {marks(4, 2)}", given(4, 2)),
        (f"{{}} {{{{ }}}} [{{]}} {marks(4, 2)}", given(4, 2)),
        (f'Use "{{" and {{"A: 1}} {marks(4, 2)}', given(4, 2)),
        (f"An example: {marks(3, 3)}. Mine: {marks(4, 2)}", given(4, 2)),
        (f"{marks(4, 2)} (as asked: {{'A': 1}})", given(4, 2)),
        (f'{marks(4, 2)} {{"A": {{"accuracy": 5', given(4, 2)),  # what comes after is cut off
        (f'{{"example": {marks(3, 3)}, "mine": {{"A"', None),  # a part of what is cut off
        (f'{{"example": {marks(3, 3)}}}', None),
        (f"[{marks(4, 2)}]", given(4, 2)),
        (marks(4, 2)[:-1] + ', "C": {}}', None),
        (marks(4, 2).replace('"clarity"', '"Clarity"'), None),
        (marks(4, 2)[:-2] + ', "why": "good"}}', None),
        (marks(4, 2)[:-1] + f', "B": {json.dumps(dict.fromkeys(CRITERIA, 5))}}}', None),  # said twice
        (marks(4, 2).replace("4", "NaN"), None),
        (marks(4, 2).replace("4", "9" * 5000), None),
        ('{"A":' + "[" * 100_000, None),
        ('{"A":' * 3_000, None),
        ("{" * 16_000, None),
        ("<think>" * 10_000 + marks(4, 2), None),
        (marks(4, 2) + "x" * 20_000, None),
        ("\ud83d" + marks(4, 2), given(4, 2)),
    ],
)
def test_the_last_whole_object_with_exactly_the_marks_counts(reply: str, found: object) -> None:
    assert parse(reply) == found
    assert found is not None or fault(reply)


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        ("", "the reply is empty"),
        (" \n", "the reply is empty"),
        ("<think>hm", "the reply ends within its thoughts"),
        ("I cannot.", "the reply holds no complete JSON object"),
        ('{"A": 5', "the reply holds no complete JSON object"),
        ('{"A": 5}', "no JSON object of the reply has exactly the marks that were asked for"),
        ("x" * 20_000, "the reply is too long to be marks"),
    ],
)
def test_why_a_reply_has_no_marks(reply: str, why: str) -> None:
    assert parse(reply) is None and fault(reply) == why


def test_what_is_left_of_a_reply_without_its_thoughts() -> None:
    assert spoken("a<think>b</think>c<THINK>d</THINK>e") == "ace"
    assert spoken("a < think > b") == "a < think > b"


ODD: list[Any] = [
    {"choices": [{"message": {"content": '{"A":' + "[" * 5_000}}]},
    {"choices": [{"message": {"content": marks(4, 2)}}], "usage": "x"},
    {"choices": [{"message": {"content": marks(4, 2)}}], "usage": {"prompt_tokens": "x", "completion_tokens": -1}},
    {"choices": [{"message": {"content": marks(4, 2)}}], "usage": {"prompt_tokens": True, "completion_tokens": 1e9}},
    {"choices": [{"message": {"content": "\ud83d" + marks(4, 2)}}], "usage": [1]},
    {"choices": [{"message": {"content": "\ud83d no"}}]},
    {"choices": [{"message": {"content": None}}]},
    {"choices": [{"message": {"content": [{"type": "text", "text": "hm"}]}}]},
    {"choices": [{"message": {"content": 5}}]},
    {"choices": [{"message": None}]},
    {"choices": []},
    {"choices": {}},
    {"choices": 7},
    [],
    "text",
    None,
    5,
]


@pytest.mark.parametrize("body", ODD, ids=range(len(ODD)))
def test_an_odd_reply_does_not_break_off_a_paid_run(endpoint: Any, tmp_path: Path, body: Any) -> None:
    """The first pair is marked, the second pair's replies are odd, the third pair is marked again."""
    server = endpoint(lambda asked: (200, body) if "second?" in json.dumps(asked) else by_length(asked))
    made = judge(server.url, tmp_path)
    ours, _ = made.compare(["first?", "second?", "third?"], ["one"] * 3, ["one two"] * 3)
    text = json.dumps(body)
    marked = "clarity" in text
    assert ours["clarity"][0] == ours["clarity"][2] == 1.5
    assert (ours["clarity"][1] == 3.0) if marked else math.isnan(ours["clarity"][1])
    assert made.cost.refused == (0 if marked else 2) and bool(unmarked(made)) != marked
    assert made.cost.prompt_tokens >= 40 and type(made.cost.prompt_tokens) is int
    again = judge(server.url, tmp_path)  # and everything is kept
    assert str(again.compare(["first?", "second?", "third?"], ["one"] * 3, ["one two"] * 3)[0]) == str(ours)
    assert again.cost.calls == 0


def test_a_reply_that_an_older_rule_has_kept_is_not_served(endpoint: Any, tmp_path: Path) -> None:
    server = endpoint(by_length)
    store = Store(tmp_path)
    for pair in (("one", "one two"), ("one two", "one")):
        old = content_key({"judge": VERSION - 1, "model": "m", "messages": messages("q", pair)})
        store.put(old, {"kind": "judgement"}, lambda fresh: _keep(fresh, f"{marks(3, 3)}</think>{marks(5, 5)}"))
    assert judge(server.url, tmp_path).compare(["q"], ["one"], ["one two"])[0]["clarity"] == [1.5]
    assert len(server.asked) == 2


def _keep(fresh: Path, reply: str) -> None:
    (fresh / "reply.json").write_text(json.dumps({"reply": reply}))


def test_the_schema_describes_a_reply() -> None:
    assert schema()["required"] == ["A", "B"]
    assert schema()["properties"]["A"]["required"] == list(CRITERIA)
