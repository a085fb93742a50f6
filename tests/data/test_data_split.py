"""The split: decided by each row's own text, in the share asked for."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steerdsl.data import Data, DataRow, rows
from steerdsl.data.split import fraction, is_held_out, sample
from steerdsl.lang.diagnostics import RecipeError
from steerdsl.lang.recipe import DataSpec

texts = st.lists(st.text(min_size=1, max_size=20).filter(str.strip), unique=True, max_size=30)
seeds = st.integers(0, 2**32)
shares = st.floats(0, 0.99)


def make(prompts: list[str], seed: int = 0, held_out: float = 0.2) -> Data:
    spec = DataSpec("d", "file", "d.txt", seed=seed, held_out=held_out)
    return Data(spec, tuple(DataRow(i, prompt) for i, prompt in enumerate(prompts)), "", None)


def held_out(prompts: list[str], seed: int, share: float) -> set[str]:
    return {row.prompt for row in make(prompts).rows if is_held_out(row, seed, share)}


def test_the_hash_is_the_documented_one() -> None:
    digest = sha256(b"7\nWhat is inflation?").hexdigest()
    assert fraction(7, "What is inflation?") == int(digest[:16], 16) / 2**64


def test_a_pinned_split() -> None:
    """A change of the rule would change what every published recipe was fitted on."""
    data = make([f"prompt {i}" for i in range(20)])
    assert [row.index for row in rows(data, "held_out")] == [1, 9, 10, 13, 18]


BLANK = st.text("\t \u00a0\u2003\u3000", min_size=1, max_size=3)
ENDS = st.text("\t\n\r \u00a0\u3000", max_size=3)
WORD = st.text(st.characters(exclude_categories=("Z", "C")), min_size=1, max_size=6).filter(lambda t: t == t.strip())


@given(st.lists(st.lists(WORD, min_size=1, max_size=4), min_size=1, max_size=3), st.data(), seeds, shares)
def test_white_space_moves_no_row(lines: list[list[str]], data: st.DataObject, seed: int, share: float) -> None:
    """Variants of a text differ at its ends, at its lines' ends, between its words and in its line ends."""
    plain = "\n".join(" ".join(words) for words in lines)
    end = data.draw(st.sampled_from(["\n", "\r\n", "\r"]))
    varied = end.join(
        "".join(word + data.draw(BLANK) for word in words[:-1]) + words[-1] + data.draw(st.text(" \t", max_size=2))
        for words in lines
    )
    row = DataRow(0, data.draw(ENDS) + varied + data.draw(ENDS))
    assert row.tidy == plain and DataRow(0, plain).tidy == plain
    assert is_held_out(row, seed, share) == is_held_out(DataRow(0, plain), seed, share)
    assert fraction(seed, row.tidy) == fraction(seed, plain)  # a text without needless space keeps its old place


def test_indentation_and_empty_lines_belong_to_a_text() -> None:
    assert DataRow(0, "Which?\n (A) yes\n\n (B) no").tidy == "Which?\n (A) yes\n\n (B) no"


def test_two_ways_of_writing_a_prompt_are_never_on_both_sides() -> None:
    prompts = [f"What is bread {i}?" for i in range(300)]
    both = [text for prompt in prompts for text in (prompt, prompt + " ", "\n" + prompt, prompt.replace(" ", "  ", 1))]
    data = make(both)
    sides = [{" ".join(row.prompt.split()) for row in rows(data, side)} for side in ("train", "held_out")]
    assert not sides[0] & sides[1] and len(sides[0]) + len(sides[1]) == 300
    alone = make(prompts)
    assert {row.prompt for row in rows(alone, "held_out")} == sides[1]


@given(texts, texts, seeds, shares)
def test_adding_rows_moves_no_other(old: list[str], new: list[str], seed: int, share: float) -> None:
    together = list(dict.fromkeys([*new[::2], *old, *new[1::2]]))
    assert held_out(together, seed, share) & set(old) == held_out(old, seed, share)


@given(texts, seeds, shares, shares)
def test_a_larger_share_only_adds(prompts: list[str], seed: int, one: float, other: float) -> None:
    assert held_out(prompts, seed, min(one, other)) <= held_out(prompts, seed, max(one, other))


@given(texts, seeds, st.integers(0, 30))
def test_a_sample_does_not_depend_on_the_order_of_rows(prompts: list[str], seed: int, take: int) -> None:
    there = {row.prompt for row in sample(make(prompts).rows, take, seed)}
    back = {row.prompt for row in sample(make(prompts[::-1]).rows, take, seed)}
    assert there == back and len(there) == min(take, len(prompts))


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5])
def test_the_share_is_near(share: float) -> None:
    data = make([f"prompt {i}" for i in range(4000)], held_out=share)
    count = len(rows(data, "held_out"))
    # Four standard deviations of a binomial.
    assert abs(count - 4000 * share) < 4 * (4000 * share * (1 - share)) ** 0.5


def test_seeds_are_independent() -> None:
    prompts = [f"prompt {i}" for i in range(4000)]
    both = held_out(prompts, 0, 0.5) & held_out(prompts, 1, 0.5)
    assert abs(len(both) - 1000) < 110


def test_the_sample_is_independent_of_the_split() -> None:
    data = make([f"prompt {i}" for i in range(4000)])
    taken = sample(data.rows, 1000, 0)
    assert abs(sum(is_held_out(row, 0, 0.2) for row in taken) - 200) < 50


ASKED = st.sampled_from(["Is bread old?", "Is bread  old? ", "Who ate it?", "Why?\n(A) yes", "Why? (A) yes", "Where?"])
SIDES = st.sampled_from(["Yes.", "No.", "Never.", "Always."])
PAIRS = st.lists(st.tuples(st.just("") | ASKED, SIDES, SIDES), min_size=1, max_size=12)


def paired(found: list[tuple[str, str, str]], seed: int, share: float) -> Data:
    spec = DataSpec("d", "file", "d.jsonl", seed=seed, held_out=share)
    return Data(spec, tuple(DataRow(i, *texts) for i, texts in enumerate(found)), "", None)


@given(PAIRS, seeds, st.sampled_from([0.2, 0.5, 0.8]))
def test_rows_that_ask_the_same_are_on_one_side(found: list[tuple[str, str, str]], seed: int, share: float) -> None:
    asked: list[set[str]] = []
    for side in ("train", "held_out"):
        try:
            there = rows(paired(found, seed, share), side)  # type: ignore[arg-type]
        except RecipeError:
            there = ()
        texts = ([row.prompt] if row.prompt else [row.positive, row.negative] for row in there)
        asked.append({" ".join(str(text).split()) for each in texts for text in each})
    assert not asked[0] & asked[1]


@given(st.lists(WORD, unique=True, min_size=2, max_size=20), seeds)
def test_pairs_of_their_own_prompts_keep_the_place_that_their_whole_text_gives_them(
    words: list[str], seed: int
) -> None:
    data = paired([(word, "Yes.", "No.") for word in words], seed, 0.5)
    wanted = {row.index for row in data.rows if fraction(seed, row.tidy) < 0.5}
    for side, there in (("held_out", wanted), ("train", set(range(len(words))) - wanted)):
        if there:
            assert {row.index for row in rows(data, side)} == there  # type: ignore[arg-type]


def test_a_pair_keeps_its_side_when_only_some_rows_are_taken() -> None:
    found = [("Is bread old?", f"Yes {i}.", f"No {i}.") for i in range(12)] + [("Why?", "a", "b"), ("Who?", "a", "b")]
    whole = paired(found, 3, 0.5)
    part = replace(whole, rows=sample(whole.rows, 6, 3), every=whole.rows)
    for side in ("train", "held_out"):
        try:
            there = rows(part, side)  # type: ignore[arg-type]
        except RecipeError:
            continue
        assert {row.index for row in there} <= {row.index for row in rows(whole, side)}  # type: ignore[arg-type]


def test_sides_part_the_rows() -> None:
    data = make([f"prompt {i}" for i in range(50)])
    both = sorted((*rows(data, "train"), *rows(data, "held_out")), key=lambda row: row.index)
    assert tuple(both) == rows(data, "all") == data.rows


def test_no_share_keeps_every_row() -> None:
    data = make(["a", "b"])
    assert rows(replace(data, spec=replace(data.spec, held_out=0.0)), "train") == data.rows
