"""Two sides in pairs, and what `diff` and `verify` make of the same pairs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import whole_records as records
from fuzz.harness import changed, places, without
from hypothesis import given
from hypothesis import strategies as st

from steerdsl.share.comparison import compare_runs
from steerdsl.share.receipt import compare_results
from steerdsl.store.finished_run import open_run
from steerdsl.store.pairs import leaves, named, pairs

SIDE = st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 3), max_size=6)


@given(SIDE, SIDE)
def test_every_name_of_both_sides_is_in_one_pair(left: dict[str, int], right: dict[str, int]) -> None:
    found = list(pairs(left, right))
    assert {name: a for name, a, _ in found if a is not None} == left
    assert {name: b for name, _, b in found if b is not None} == right
    assert len({name for name, _, _ in found}) == len(found)
    assert [name for name, _, _ in found][: len(left)] == list(left)


@given(st.lists(st.sampled_from("abc")))
def test_parts_of_one_name_are_all_there(parts: list[str]) -> None:
    found = named(parts, str)
    assert list(found.values()) == parts
    assert all(parts[:i].count(part) == found_at for i, (part, found_at) in enumerate(found))


JSON = st.recursive(
    st.none() | st.integers(0, 2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=3),
    max_leaves=12,
)


@given(JSON, JSON)
def test_values_are_equal_where_all_their_leaves_are(left: Any, right: Any) -> None:
    """A name that is not there is null, as readers take it."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: plain(part) for name, part in value.items() if part is not None}
        return [plain(part) for part in value] if isinstance(value, list) else value

    assert all(a == b for _, a, b in leaves(left, right)) or plain(left) != plain(right)
    assert [a for _, a, b in leaves(left, left)] == [b for _, a, b in leaves(left, left)]


def test_leaves_have_paths() -> None:
    left = {"s": {"points": [{"mean": 1.0}, {"mean": 2.0}]}, "only": [1]}
    right = {"s": {"points": [{"mean": 1.0}, {"mean": 3.0}]}, "only": [1, 2]}
    assert list(leaves(left, right)) == [
        ("only", [1], [1, 2]),
        ("s.points[0].mean", 1.0, 1.0),
        ("s.points[1].mean", 2.0, 3.0),
    ]


def numbers(value: Any) -> Iterator[tuple[Any, ...]]:
    """The path of each number of a value."""
    for path in places(value):
        found = value
        for part in path:
            found = found[part]
        if isinstance(found, float):
            yield path


@pytest.mark.parametrize("path", list(numbers(records.SCORES)), ids=lambda path: ".".join(map(str, path)))
def test_a_number_of_the_scores_that_differs_is_named(tmp_path: Path, path: tuple[Any, ...]) -> None:
    """`verify` names it with its path; `diff`, which compares means, where it is one."""
    good = records.save(tmp_path / "good")
    bad = records.save(tmp_path / "bad", scores=changed(records.SCORES, path, 35.5))
    wrong = [item.name for item in compare_results(good, bad, "float32") if item.status != "equal"]
    assert wrong == ["".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in path).lstrip(".")]
    shown = compare_runs(open_run(good), open_run(bad)).changed_scores
    assert [(pair.after, pair.place[-1]) for pair in shown] == ([(35.5, path[-2])] if path[-1] == "mean" else [])


@pytest.mark.parametrize("line", range(len(records.ANSWERS)))
def test_an_answer_that_is_missing_is_the_only_difference(tmp_path: Path, line: int) -> None:
    good = records.save(tmp_path / "good")
    bad = records.save(tmp_path / "bad", answers=without(records.ANSWERS, (line,)))
    for before, now, alone in ((good, bad, (1, 0)), (bad, good, (0, 1))):
        (item,) = (item for item in compare_results(before, now, "float32") if item.status != "equal")
        assert item.section == "answers" and {item.before, item.now} == {"there", None}
        found = compare_runs(open_run(before), open_run(now))
        assert found.alone == alone and not found.answers and found.equal_answers == len(records.ANSWERS) - 1
