"""Sweeps in shared batches from the command line: plan, answers, interruption, what is kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from steerdsl.engine import fused

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
def batches(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Steers and prompts of each shared batch that is made."""
    made: list[tuple[int, int]] = []
    plain = fused.generate_together

    def counted(session: Any, batch: Any, count: int, *more: Any) -> Any:
        made.append((count, len(batch.index)))
        return plain(session, batch, count, *more)

    monkeypatch.setattr(fused, "generate_together", counted)
    return made


def fresh(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    monkeypatch.setenv("STEERDSL_CACHE", str(path))


def test_a_sweep_is_what_its_points_are_alone(
    on_tiny: Any, batches: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert on_tiny("run", "-e", HEAD + SWEEP, "--out", "r")[0] == 0
    # Four angles, each with its five random controls; every prompt of a data set in one batch.
    assert batches == [(24, 5), (24, 4)]
    fresh(monkeypatch, tmp_path / "other")
    assert on_tiny("run", "-e", HEAD + WRITTEN_OUT, "--out", "alone")[0] == 0
    assert len(batches) == 2
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
    out = on_tiny("plan", "-e", HEAD + SWEEP)[1]
    assert "s: 4 points × 6 variants × 5 prompts of a as 120 rows, 120 at a time" in out
    assert "s: 4 points × 6 variants × 4 prompts of b as 96 rows, 96 at a time" in out
    assert "out: 6 points × 5 prompts of a as 30 rows, 12 at a time" in " ".join(
        on_tiny("plan", "-e", HEAD + GENERATE.replace("MORE", ""), "--batch-size", "2")[1].split()
    )
    assert on_tiny("run", "-e", HEAD + SWEEP, "--out", "r")[0] == 0
    steps = json.loads(Path("r/record.json").read_text())["plan"]["steps"]
    assert [step.get("fused", 0) > 0 for step in steps] == [step["verb"] == "sweep" for step in steps]


def test_sampled_answers_are_not_made_together(on_tiny: Any, batches: list[tuple[int, int]]) -> None:
    text = HEAD + GENERATE.replace("MORE", ", temperature: 0.8, n: 2, seed: 1")
    assert "out: one point after another, for its answers are sampled" in on_tiny("plan", "-e", text)[1]
    assert on_tiny("run", "-e", text, "--out", "r")[0] == 0
    assert batches == [] and len(lines("r")) == 6 * 5 * 2


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_an_interrupted_sweep_goes_on_where_it_stopped(
    steerdsl: Any, tiny_model: Path, batches: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch, dtype: str
) -> None:
    text = HEAD + GENERATE.replace("MORE", "")
    words = ("-e", text, "--batch-size", "2", "--model", str(tiny_model), "--dtype", dtype, "--device", "cpu")
    plain, stops = fused.generate_together, [2, 1]

    def stopped(*given: Any) -> Any:
        if stops and len(batches) == stops[0]:
            raise KeyboardInterrupt
        return plain(*given)

    monkeypatch.setattr(fused, "generate_together", stopped)
    assert steerdsl("run", *words, "--out", "one")[0] == 130
    assert batches == [(6, 2), (6, 2)]
    state = json.loads(Path("one/record.json").read_text())
    assert state["state"] == "interrupted" and len(lines("one")) == 24
    assert {row["point"]["depth"] for row in lines("one")} == {"0%", "50%", "100%"}
    stops.clear()
    batches.clear()
    assert steerdsl("run", *words, "--out", "two")[0] == 0
    assert batches == [(6, 1)]
    kept = {(str(row["point"]), row["row"]): row for row in lines("one")}
    whole = {(str(row["point"]), row["row"]): row for row in lines("two")}
    assert len(whole) == 30 and all(whole[place] == row for place, row in kept.items())
    batches.clear()
    assert steerdsl("run", *words, "--out", "three")[0] == 0
    assert batches == [] and lines("three") == lines("two")


def test_only_the_points_that_are_new_are_made(steerdsl: Any, tiny_model: Path, batches: list[tuple[int, int]]) -> None:
    """In float32. In bfloat16 the answers of a sweep belong together, since they shared batches."""
    more = SWEEP.replace("step 90deg", "step 45deg").replace("turned on a, b", "turned on a")
    few = SWEEP.replace("turned on a, b", "turned on a")
    for dtype, wanted in (("float32", [(24, 5), (18, 5)]), ("bfloat16", [(24, 5), (42, 5)])):
        batches.clear()
        words = ("--model", str(tiny_model), "--dtype", dtype, "--device", "cpu", "--out")
        assert steerdsl("run", "-e", HEAD + few, *words, f"few-{dtype}")[0] == 0
        assert steerdsl("run", "-e", HEAD + more, *words, f"more-{dtype}")[0] == 0
        assert batches == wanted


def test_rehearsed_remotely_the_tokens_are_the_same(
    on_tiny: Any, batches: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    text = HEAD + GENERATE.replace("MORE", "")
    assert on_tiny("run", "-e", text, "--out", "here")[0] == 0
    fresh(monkeypatch, tmp_path / "other")
    assert on_tiny("run", "-e", text, "--out", "there", "--on", "simulate")[0] == 0
    assert batches == [(6, 5), (6, 5)] and lines("here") == lines("there")


def test_withheld_answers_leave_nothing_behind(on_tiny: Any, tmp_path: Path) -> None:
    text = HEAD.replace("dataset b = generic with", "dataset b = generic with unsafe: true,") + SWEEP
    assert on_tiny("run", "-e", text, "--out", "r")[0] == 0
    hidden = [row for row in lines("r") if row["dataset"] == "b"]
    assert hidden and all(row["text"] is None and row["token_ids"] == [] for row in hidden)
    kept = [json.loads(path.read_text())["kind"] for path in (tmp_path / "cache").rglob("meta.json")]
    assert kept.count("answers") == 4 * 6 + 1  # of data set a: each angle's and its controls', and the unsteered
    assert on_tiny("run", "-e", text, "--out", "again")[0] == 0
    assert lines("again") == lines("r")


def test_a_point_where_nothing_can_act_is_marked_and_the_rest_is_kept(
    on_tiny: Any, batches: list[tuple[int, int]]
) -> None:
    body = "sweep late over 0,1,2 { steer s { add topic by 1 first 2 after late }; g = generate from a with steer: s }"
    code, _, err = on_tiny("run", "-e", HEAD + body, "--out", "r")
    assert code == 3 and "its clauses leave no token" in err and batches == [(2, 5)]
    record = json.loads(Path("r/record.json").read_text())
    assert [entry["at"] for entry in record["failed"]] == [{"late": "2"}] and record["reached"] == "the end"
    assert {row["point"]["late"] for row in lines("r")} == {"0", "1"}
