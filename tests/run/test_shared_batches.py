"""Answers of several variants and steps in shared batches: the same as alone, kept batch by batch, in half
precision made as planned."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from steerdsl.engine import generate_shared, stored_answers
from steerdsl.store.folder_locks import discard

HEAD = """
dataset a = econ with take: 5, held_out: 0%
dataset b = generic with take: 4, held_out: 0%
topic = extract diffmean from a vs b at mean_content
steer less { ablate topic[1] everywhere }
steer more { add topic by 2 at layer 1 }
"""
ALL = f"""{HEAD}
s = evaluate less on a, b with bleu, kl, references: 2, max_tokens: 5, draws: 1
t = evaluate more on a with distinct_1, max_tokens: 5, draws: 1
g = generate from a with steer: more, max_tokens: 5, temperature: 0.9, n: 3, seed: 4
short = generate from a with max_tokens: 3
"""
# Rows for each prompt: of a, the unsteered, two of each steer, two instructed, two references and three
# samples; of b, the unsteered, the steer, its control, the instructed and two references; of a, a short one.
EACH = {"a": 12, "b": 6, "short": 1}
ROWS = [12, 48, 6, 18, 1, 4]
Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[list[Any]]:
    """The rows of each batch that is made."""
    found: list[list[Any]] = []
    plain = generate_shared.answer

    def noted(session: Any, rows: Any, *more: Any) -> Any:
        answers = plain(session, rows, *more)
        found.append(list(rows))
        return answers

    monkeypatch.setattr(generate_shared, "answer", noted)
    return found


@pytest.fixture
def run(steerdsl: Call, tiny_model: Path) -> Callable[..., int]:
    """Run a text into a folder; gives the exit code."""

    def run(text: str, out: str, *more: str, dtype: str = "float32") -> int:
        words = ("--model", str(tiny_model), "--device", "cpu", "--dtype", dtype, "--out", out, *more)
        return steerdsl("run", "-e", text, *words)[0]

    return run


def lines(folder: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (Path(folder) / "generations.jsonl").read_text().splitlines()]


def record(folder: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((Path(folder) / "record.json").read_text())
    return found


def fresh(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    monkeypatch.setenv("STEERDSL_CACHE", str(path))


def test_all_steps_that_ask_the_same_prompts_share_batches(run: Any, made: list[Any]) -> None:
    assert run(ALL, "r") == 0
    assert [len(rows) for rows in made] == ROWS
    assert len({row.place for row in made[0]}) == len({row.place for row in made[2]}) == 1
    assert len(lines("r")) == 5 * (4 + 2 + 4 + 3 + 1) + 4 * (4 + 2)


@pytest.mark.parametrize("size", ["1", "4", "7", "20", "500"])
def test_the_batch_changes_no_answer_and_no_key(
    run: Any, made: list[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, size: str
) -> None:
    assert run(ALL, "auto") == 0
    made.clear()
    assert run(ALL, "same", "--batch-size", size) == 0
    assert made == [] and lines("same") == lines("auto")
    assert record("same")["run"]["batch_size"] == int(size)
    fresh(monkeypatch, tmp_path / "other")
    assert run(ALL, "other", "--batch-size", size) == 0
    assert max(map(len, made)) <= int(size) and lines("other") == lines("auto")


@pytest.mark.parametrize("alone", ["controls: none", "controls: random", 'instruction: "Be brief."'])
def test_a_control_a_metric_and_a_step_more_change_no_answer(
    run: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, alone: str
) -> None:
    text = f"{HEAD}own = evaluate less on a with distinct_1, {alone}, max_tokens: 5, temperature: 0.8, seed: 3"
    assert run(text, "few") == 0
    few = {(row["variant"], row["row"]): row for row in lines("few")}
    fresh(monkeypatch, tmp_path / "other")
    assert run(ALL + text.removeprefix(HEAD).replace("distinct_1", "bleu, kl, distinct_1"), "many") == 0
    many = {(row["variant"], row["row"]): row for row in lines("many") if row["step"] == "own"}
    assert all(many[place] == row for place, row in few.items())


def test_in_half_precision_keys_name_what_shares_a_batch(run: Any, made: list[Any]) -> None:
    """A metric more asks nothing more; a control more, or another batch, makes all answers anew."""
    text = f"{HEAD}s = evaluate less on a with distinct_1, controls: none, max_tokens: 4"
    for changed, rows in (
        (text, [2, 8]),
        (text.replace("distinct_1", "distinct_1, kl"), []),
        (text.replace("none", "random, draws: 1"), [3, 12]),
        (f"{text}\ng = generate from a with steer: more, max_tokens: 4", [3, 12]),
        (f"{text}\ng = generate from a with steer: more, max_tokens: 5", [1, 4]),
    ):
        made.clear()
        assert run(changed, f"r{len(list(Path().glob('r*')))}", dtype="bfloat16") == 0
        assert [len(batch) for batch in made] == rows, changed
    made.clear()
    assert run(text, "sized", "--batch-size", "4", dtype="bfloat16") == 0
    assert [len(batch) for batch in made] == [2, 4, 4]


class Stop:
    """Raises KeyboardInterrupt once `left` more batches are made; `total` counts their rows."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left, self.total = -1, 0
        plain = generate_shared.answer

        def stopped(session: Any, rows: Any, *more: Any) -> Any:
            if self.left == 0:
                self.left = -1
                raise KeyboardInterrupt
            self.left -= 1
            answers = plain(session, rows, *more)
            self.total += len(rows)
            return answers

        monkeypatch.setattr(generate_shared, "answer", stopped)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("size", ["auto", "4"])
def test_stopped_anywhere_it_goes_on_and_makes_nothing_twice(
    run: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, dtype: str, size: str
) -> None:
    total = 5 * (EACH["a"] + EACH["short"]) + 4 * EACH["b"]
    assert run(ALL, "whole", "--batch-size", size, dtype=dtype) == 0
    stop = Stop(monkeypatch)
    fresh(monkeypatch, tmp_path / "other")
    for number, after in enumerate((1, 0, 2, 1)):
        stop.left = after
        assert run(ALL, f"r{number}", "--batch-size", size, dtype=dtype) == 130
        state = record(f"r{number}")
        assert state["state"] == "interrupted" and len(lines(f"r{number}")) > 0
        whole = {_place(row): row for row in lines("whole")}
        assert all(whole[_place(row)] == row for row in lines(f"r{number}"))
    stop.left = -1
    assert run(ALL, "last", "--batch-size", size, dtype=dtype) == 0
    assert lines("last") == lines("whole") and stop.total == total
    kept = [json.loads(path.read_text())["kind"] for path in (tmp_path / "other").rglob("meta.json")]
    assert "batch" not in kept


def _place(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["step"], row["variant"], row["dataset"], row["row"], row["sample"]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_stopped_while_answers_are_put_away(
    run: Any, made: list[Any], monkeypatch: pytest.MonkeyPatch, dtype: str
) -> None:
    """After some requests have their answers in the store and before the others do."""
    plain, left = stored_answers.keep, [3]

    def keep(*given: Any) -> Any:
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt
        return plain(*given)

    monkeypatch.setattr(generate_shared, "keep", keep)
    assert run(ALL, "one", dtype=dtype) == 130
    assert [len(rows) for rows in made] == ROWS[:2]
    assert run(ALL, "two", dtype=dtype) == 0
    assert [len(rows) for rows in made] == ROWS


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_answers_that_are_removed_meanwhile_are_made_again(
    run: Any, made: list[Any], monkeypatch: pytest.MonkeyPatch, dtype: str
) -> None:
    assert run(ALL, "whole", dtype=dtype) == 0
    made.clear()
    plain, lost = stored_answers.answers, []

    def answers(run: Any, request: Any) -> Any:
        if request.variant.name == "more" and not lost:
            lost.append(stored_answers.request_key(run, request))
            discard(run.store.folder(lost[0]))
        return plain(run, request)

    monkeypatch.setattr("steerdsl.engine.evaluation.answers", answers)
    assert run(f"{ALL}\n# not taken whole\n", "again", dtype=dtype) == 0
    assert lost and [len(rows) for rows in made] == ([1, 4] if dtype == "float32" else ROWS[:2])
    assert lines("again") == lines("whole")


def scarce(monkeypatch: pytest.MonkeyPatch, most: int) -> list[int]:
    """A device with memory for so many rows; the batches that are tried."""
    plain, tried = generate_shared.answer, list[int]()

    def answer(session: Any, rows: Any, *more: Any) -> Any:
        tried.append(len(rows))
        if len(rows) > most:
            raise torch.OutOfMemoryError("out of memory: tried to allocate 2 GiB\nmore")
        return plain(session, rows, *more)

    monkeypatch.setattr(generate_shared, "answer", answer)
    return tried


def test_a_batch_without_room_is_halved(run: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert run(ALL, "whole") == 0
    fresh(monkeypatch, tmp_path / "other")
    tried = scarce(monkeypatch, 12)
    assert run(ALL, "halved") == 0
    assert lines("halved") == lines("whole")
    assert tried == [12, 48, 24, 12, 12, 12, 12, 6, 9, 9, 1, 4]
    told = [w for w in record("halved")["warnings"] if "memory" in w]
    assert told == [
        f"the device's memory did not hold {n} answers at once: at most {n // 2} shared a batch from there on"
        for n in (48, 24)
    ]


def test_a_device_without_room_for_one_answer(
    steerdsl: Call, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scarce(monkeypatch, 0)
    words = ("--model", str(tiny_model), "--device", "cpu", "--dtype", "float32", "--out", "r")
    code, _, err = steerdsl("run", "-e", ALL, *words)
    assert code == 3 and "error[R850]: the device has too little memory for one answer" in err
    assert "note: out of memory: tried to allocate 2 GiB\n" in err and "step 4, evaluate" in err


def test_the_same_texts_under_another_name_share_rows_and_stay_withheld(
    run: Any, made: list[Any], tmp_path: Path
) -> None:
    text = f"""{HEAD}
dataset hidden = generic with take: 4, held_out: 0%, unsafe: true
one = generate from b with steer: more, max_tokens: 4
two = generate from hidden with max_tokens: 4
"""
    assert run(text, "r") == 0
    assert [len(rows) for rows in made] == [2, 6]
    hidden = [row for row in lines("r") if row["dataset"] == "hidden"]
    assert len(hidden) == 4 and all(row["text"] is None and row["token_ids"] == [] for row in hidden)
    metas = [json.loads(path.read_text()) for path in (tmp_path / "cache").rglob("meta.json")]
    assert [meta["variant"] for meta in metas if meta["kind"] == "answers"] == ["more"]


def test_a_later_step_that_cannot_act_takes_nothing_from_the_ones_before_it(steerdsl: Call, tiny_model: Path) -> None:
    """It is looked at for what it asks before they run, and fails in its turn."""
    late = "steer late { add topic by 1 first 2 after 2 }\ng = generate from a with steer: late, max_tokens: 4"
    text = f"{HEAD}s = evaluate less on a with distinct_1, controls: none, max_tokens: 4\n{late}"
    words = ("--model", str(tiny_model), "--device", "cpu", "--dtype", "float32", "--out", "r")
    code, _, err = steerdsl("run", "-e", text, *words)
    assert code == 3 and "its clauses leave no token" in err and "step 5, steer" in err
    assert record("r")["reached"].startswith("step 5, steer") and len(lines("r")) == 10
    assert set(json.loads(Path("r/scores.json").read_text())) == {"s"}
