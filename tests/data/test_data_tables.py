"""Files as other programs save them: blank rows, long cells, other signs, and the column suggested as the prompt."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steerdsl.data import formats, roles
from steerdsl.data.types import RawRow, RawTable

WORDS = ["bread", "prices", "who", "made", "never", "why", "rises", "there"]
SENTENCES = st.lists(st.sampled_from(WORDS), min_size=3, max_size=9).map(lambda words: " ".join(words) + "?")
NOT_PROMPTS = {  # columns of published files that are no prompts
    "": str,
    "Unnamed: 0": str,
    "id": lambda i: f"{i:04}",
    "score": lambda i: f"{i / 7:.3f}",
    "share": lambda i: f"{i}%",
    "amount": lambda i: f"{i * 1000:,}",
    "category": lambda i: ["high school physics", "law of the land"][i % 2],
    "Type": lambda i: "Adversarial",
    "label": lambda i: "ABCD"[i % 4],
    "empty": lambda i: "",
}
PROMPT_NAMES = ["Question", "PROMPT", "my_prompt", "q", "body", "Goal", "Behavior", "user input"]


@given(
    st.lists(st.sampled_from(sorted(NOT_PROMPTS)), unique=True, min_size=1),
    st.none() | st.sampled_from(PROMPT_NAMES),
    st.booleans(),
    st.lists(SENTENCES, unique=True, min_size=4, max_size=12),
    st.randoms(use_true_random=False),
)
def test_only_a_column_of_prompts_is_ever_suggested(
    others: list[str], prompt: str | None, answers: bool, texts: list[str], chance: Any
) -> None:
    columns = {name: [NOT_PROMPTS[name](i) for i in range(len(texts))] for name in others}
    if prompt is not None:
        columns[prompt] = texts
        if answers:
            columns["Best Answer"] = [f"{text} And much more, since answers are long." for text in texts]
    names = chance.sample(list(columns), len(columns))
    records = tuple(RawRow(i + 2, {name: columns[name][i] for name in names}) for i in range(len(texts)))
    _, _, (fault,) = roles.assign(RawTable("t.csv", records), {})
    assert fault.code == "D508" and fault.help is not None
    if prompt is None:
        assert "field:" not in fault.help and "none of them holds text that asks" in fault.help
    else:
        assert fault.help == f'say which one holds the prompt: `field: "{prompt}"`'


def test_a_csv_with_bars_is_told_so() -> None:
    for text in ("prompt|label\nWhy?|1\n", "a|b|c\nWhy?|1|2\n"):
        table, (fault,) = formats.parse(text.encode(), "x.csv")
        assert not table.records and fault.code == "D507" and "not by commas" in fault.title


@given(
    st.lists(st.sampled_from([",", ",,", '""', '"",""', "  ", " , ", ",,,,", "", '" ",'])),
    st.sampled_from(["\n", "\r\n"]),
    st.integers(1, 3),
)
def test_blank_rows_of_a_csv_are_blank_lines(blank: list[str], end: str, rows: int) -> None:
    lines = ["prompt,category", *(f"Why {i}?,x" for i in range(rows))]
    for i, line in enumerate(blank):
        lines.insert(i % (len(lines) + 1), line)
    table, faults = formats.parse(end.join(lines).encode(), "x.csv")
    assert not faults and [record.fields["prompt"] for record in table.records] == [f"Why {i}?" for i in range(rows)]


@pytest.mark.parametrize("size", [131_071, 131_072, 131_073, 1_000_000])
def test_a_cell_may_be_as_long_as_the_file(size: int) -> None:
    cell = "w " * (size // 2) + "w" * (size % 2)
    table, faults = formats.parse(f'prompt,x\n"{cell}",1\n'.encode(), "x.csv")
    assert not faults and table.records[0].fields["prompt"] == cell
