"""Sweeps in shared batches from the command line: plan, answers, interruption, what is kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from steerdsl.engine import generate_shared

HEAD = """
dataset a = econ with take: 5, held_out: 0%
dataset b = generic with take: 4, held_out: 0%
topic = extract diffmean from a vs b at mean_content
turn = plane(topic[1], random)
"""
ANGLES = (0, 90, 180, 270)
SWEEP = """
sweep angle over 0deg..270deg step 90deg {
  steer turned { rotate turn to angle at layers 1..2 }
  s = evaluate turned on a, b with distinct_1, max_tokens: 5
}
"""
WRITTEN_OUT = "".join(
    f"""
steer turned{angle} {{ rotate turn to {angle}deg at layers 1..2 }}
s{angle} = evaluate turned{angle} on a, b with distinct_1, max_tokens: 5
"""
    for angle in ANGLES
)
GENERATE = """
sweep power over 1,2 and depth over 0%,50%,100% {
  steer pushed { add topic by power at layers depth }
  out = generate from a with steer: pushed, max_tokens: 4MORE
}
"""


def lines(folder: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (Path(folder) / "generations.jsonl").read_text().splitlines()]


def table(folder: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((Path(folder) / "scores.json").read_text())
    return found


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The rows of each batch that is made."""
    made: list[int] = []
    plain = generate_shared.answer

    def counted(session: Any, rows: Any, *more: Any) -> Any:
        made.append(len(rows))
        return plain(session, rows, *more)

    monkeypatch.setattr(generate_shared, "answer", counted)
    return made


def fresh(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    monkeypatch.setenv("STEERDSL_CACHE", str(path))


def test_a_sweep_is_what_its_points_are_alone(
    on_tiny: Any, batches: list[int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert on_tiny("run", "-e", HEAD + SWEEP, "--out", "r")[0] == 0
    # Four angles, each with its five random controls, and the unsteered model: one prompt, then all others.
    assert batches == [25, 100, 25, 75]
    batches.clear()
    fresh(monkeypatch, tmp_path / "other")
    assert on_tiny("run", "-e", HEAD + WRITTEN_OUT, "--batch-size", "1", "--out", "alone")[0] == 0
    assert batches == [1] * 225
    own, alone = lines("r"), lines("alone")
    assert len(own) == len(alone) == 4 * 9 * 7
    assert [row["token_ids"] for row in own] == [row["token_ids"] for row in alone]
    assert [row["point"]["angle"] for row in own] == [f"{row['step'][1:]}deg" for row in alone]
    apart = table("alone")
    for point in table("r")["s"]["points"]:
        name = point["at"]["angle"].removesuffix("deg")
        for data in ("a", "b"):
            by = point["scores"]["distinct_1"][data]
            assert by["turned"]["mean"] == apart[f"s{name}"]["distinct_1"][data][f"turned{name}"]["mean"]
    assert len({str(row["token_ids"]) for row in own if row["prompt"] == own[0]["prompt"]}) > 3


def test_the_plan_and_the_record_say_what_is_made_together(on_tiny: Any) -> None:
    out = " ".join(on_tiny("plan", "-e", HEAD + SWEEP)[1].split())
    assert "a: 5 prompts × 25 answers of all variants as 125 rows, 100 at a time (by memory)" in out
    assert "b: 4 prompts × 25 answers of all variants as 100 rows, 75 at a time (by memory)" in out
    out = " ".join(on_tiny("plan", "-e", HEAD + GENERATE.replace("MORE", ""), "--batch-size", "12")[1].split())
    assert "a: 5 prompts × 6 answers of all variants as 30 rows, 12 at a time (as asked)" in out
    assert on_tiny("run", "-e", HEAD + SWEEP, "--out", "r")[0] == 0
    record = json.loads(Path("r/record.json").read_text())
    assert [step.get("rows", 0) for step in record["plan"]["steps"]] == [0, 0, 288]
    assert record["run"]["batch_size"] == record["plan"]["batch_size"] == "auto"


def test_sampled_answers_share_batches_and_are_what_each_is_alone(
    on_tiny: Any, batches: list[int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    text = HEAD + GENERATE.replace("MORE", ", temperature: 0.8, n: 2, seed: 1")
    assert on_tiny("run", "-e", text, "--out", "r")[0] == 0
    assert batches == [12, 48] and len(lines("r")) == 6 * 5 * 2
    fresh(monkeypatch, tmp_path / "other")
    assert on_tiny("run", "-e", text, "--out", "alone", "--batch-size", "1")[0] == 0
    assert lines("alone") == lines("r")


def test_only_the_points_that_are_new_are_made(steerdsl: Any, tiny_model: Path, batches: list[int]) -> None:
    """In float32. In bfloat16 the answers of a sweep belong together, since they shared batches."""
    more = SWEEP.replace("step 90deg", "step 45deg").replace("turned on a, b", "turned on a")
    few = SWEEP.replace("turned on a, b", "turned on a")
    for dtype, wanted in (("float32", [25, 100, 18, 72]), ("bfloat16", [25, 100, 43, 172])):
        batches.clear()
        words = ("--model", str(tiny_model), "--dtype", dtype, "--device", "cpu", "--out")
        assert steerdsl("run", "-e", HEAD + few, *words, f"few-{dtype}")[0] == 0
        assert steerdsl("run", "-e", HEAD + more, *words, f"more-{dtype}")[0] == 0
        assert batches == wanted


def test_rehearsed_remotely_the_tokens_are_the_same(
    on_tiny: Any, batches: list[int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    text = HEAD + GENERATE.replace("MORE", "")
    assert on_tiny("run", "-e", text, "--out", "here")[0] == 0
    fresh(monkeypatch, tmp_path / "other")
    assert on_tiny("run", "-e", text, "--out", "there", "--on", "simulate")[0] == 0
    assert batches == [6, 24, 6, 24] and lines("here") == lines("there")


def test_withheld_answers_leave_nothing_behind(on_tiny: Any, tmp_path: Path) -> None:
    text = HEAD.replace("dataset b = generic with", "dataset b = generic with unsafe: true,") + SWEEP
    assert on_tiny("run", "-e", text, "--out", "r")[0] == 0
    hidden = [row for row in lines("r") if row["dataset"] == "b"]
    assert hidden and all(row["text"] is None and row["token_ids"] == [] for row in hidden)
    kept = [json.loads(path.read_text())["kind"] for path in (tmp_path / "cache").rglob("meta.json")]
    assert kept.count("answers") == 4 * 6 + 1  # of data set a: each angle's and its controls', and the unsteered
    assert on_tiny("run", "-e", text, "--out", "again")[0] == 0
    assert lines("again") == lines("r")


def test_a_point_where_nothing_can_act_is_marked_and_the_rest_is_kept(on_tiny: Any, batches: list[int]) -> None:
    body = "sweep late over 0,1,2 { steer s { add topic by 1 first 2 after late }; g = generate from a with steer: s }"
    code, _, err = on_tiny("run", "-e", HEAD + body, "--out", "r")
    assert code == 3 and "its clauses leave no token" in err and batches == [2, 8]
    record = json.loads(Path("r/record.json").read_text())
    assert [entry["at"] for entry in record["failed"]] == [{"late": "2"}] and record["reached"] == "the end"
    assert {row["point"]["late"] for row in lines("r")} == {"0", "1"}


BOUND = {
    "a sum": "base = extract diffmean from a vs b at last_token\n  v = AXIS * base",
    "an extraction": "u = extract random with seed: AXIS\n  v = 60 * u",
    "a sum of a sum": "u = extract diffmean from a vs b at last_token\n  w = AXIS * u\n  v = 3 * w",
}


@pytest.mark.parametrize("kind", BOUND)
def test_the_answers_of_each_point_are_made_with_its_own_names(steerdsl: Any, tiny_model: Path, kind: str) -> None:
    """What a body binds is another value at every point, though all points are answered in shared batches."""
    head = 'model "tiny" with template: none\n'
    head += "".join(f'dataset {n} = "{n}.jsonl" with field: "text", held_out: 0%\n' for n in "ab")
    rest = "\n  steer s { add v by 1 at layers 1 }\n  out = generate from b with steer: s, max_tokens: 6\n"
    for name, texts in {
        "a": ["I am glad", "We won today", "It is lovely"],
        "b": ["A box", "The road", "Water is wet"],
    }.items():
        Path(f"{name}.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    how = ("--model", str(tiny_model), "--dtype", "float32", "--device", "cpu", "--quiet")

    def tokens(text: str, out: str) -> dict[str, list[list[int]]]:
        Path(f"{out}.steer").write_text(text)
        code, _, err = steerdsl("run", f"{out}.steer", *how, "--out", out)
        assert code == 0, err
        found: dict[str, list[list[int]]] = {}
        for line in map(json.loads, Path(out, "generations.jsonl").read_text().splitlines()):
            if line["variant"] == "s":
                found.setdefault(line.get("point", {}).get("x", ""), []).append(line["token_ids"])
        return found

    swept = tokens(f"{head}sweep x over 1, 3 {{\n  {BOUND[kind].replace('AXIS', 'x')}{rest}}}\n", "swept")
    alone = {x: tokens(head + BOUND[kind].replace("AXIS", x) + rest, f"alone{x}")[""] for x in ("1", "3")}
    assert swept == alone and alone["1"] != alone["3"]
