"""Data sets in the shapes in which they are published: the same rows from each, and what is not read is named."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steerdsl.data import Data, DataRow, load, rows
from steerdsl.data.fields import ABSENT
from steerdsl.data.row_conditions import holds
from steerdsl.lang.diagnostics import RecipeError
from steerdsl.lang.recipe import DataSpec, Where

CELLS = [("Why, and when?", 1), ("two\nlines", 0), ('a "word"; here', 1), ("é\ttab", 0)]


def read(folder: Path, name: str, content: str | bytes, **options: Any) -> Data:
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return load(DataSpec("d", "file", name, **options), root=folder)


def prompts(data: Data) -> list[str]:
    return [row.prompt for row in data.rows]


def refusal(folder: Path, name: str, content: str | bytes, **options: Any) -> tuple[str, str]:
    """The one code and the text of what is said of a file."""
    with pytest.raises(RecipeError) as caught:
        read(folder, name, content, **options)
    (found,) = caught.value.diagnostics
    assert found.help, "only with a way out"
    return found.code, f"{found.title}\n{found.help}"


def separated(sign: str, **form: Any) -> str:
    made = io.StringIO(newline="")
    table = csv.writer(made, delimiter=sign, **form)
    table.writerows([("text", "label"), *CELLS])
    return made.getvalue()


def parquet_bytes(columns: Mapping[str, Any]) -> bytes:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    made = io.BytesIO()
    parquet.write_table(pyarrow.table(dict(columns)), made)
    return made.getvalue()


OBJECTS = [{"text": text, "label": label} for text, label in CELLS]
COLUMNS = {"text": [text for text, _ in CELLS], "label": [label for _, label in CELLS]}
SHAPES: Mapping[str, tuple[str, Callable[[], str | bytes]]] = {
    "lines": ("d.jsonl", lambda: "\n".join(map(json.dumps, OBJECTS))),
    "lines called json": ("d.json", lambda: "\n".join(map(json.dumps, OBJECTS))),
    "a list": ("d.json", lambda: json.dumps(OBJECTS, indent=1)),
    "a list with a mark": ("d.json", lambda: "\ufeff" + json.dumps(OBJECTS)),
    "columns": ("d.json", lambda: json.dumps({"version": 2, **COLUMNS})),
    "commas": ("d.csv", lambda: separated(",")),
    "semicolons": ("d.csv", lambda: separated(";")),
    "semicolons, all quoted": ("d.csv", lambda: separated(";", quoting=csv.QUOTE_ALL)),
    "semicolons, said": ("d.csv", lambda: "\ufeffsep=;\r\n" + separated(";")),
    "a spreadsheet": ("d.csv", lambda: separated(";").encode("utf-8-sig")),
    "a spreadsheet's unicode text": ("d.csv", lambda: separated("\t").encode("utf-16")),
    "the same, its other order": ("d.csv", lambda: b"\xfe\xff" + separated("\t").encode("utf-16-be")),
    "tabs": ("d.tsv", lambda: separated("\t")),
    "parquet": ("d.parquet", lambda: parquet_bytes(COLUMNS)),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_one_set_in_every_shape(tmp_path: Path, shape: str) -> None:
    name, made = SHAPES[shape]
    assert prompts(read(tmp_path, name, made())) == [text for text, _ in CELLS]
    ones = read(tmp_path, name, made(), where=(Where("label", "==", 1.0),))
    assert prompts(ones) == [text for text, label in CELLS if label == 1]
    assert [row.index for row in ones.rows] == [0, 2]


@given(
    st.lists(
        st.tuples(
            st.text(st.characters(codec="utf-8", exclude_characters="\r\x00"), min_size=1).filter(str.strip),
            st.text("ab;,\t\" '\n", max_size=9),
        ),
        min_size=1,
        max_size=5,
    ),
    st.sampled_from([(";", ".csv"), (",", ".csv"), ("\t", ".csv"), ("\t", ".tsv")]),
    st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
)
def test_what_a_writer_of_csv_writes_is_read(
    tmp_path_factory: pytest.TempPathFactory, cells: list[tuple[str, str]], form: tuple[str, str], quoting: Any
) -> None:
    sign, ending = form
    made = io.StringIO(newline="")
    csv.writer(made, delimiter=sign, quoting=quoting).writerows([("text", "other"), *cells])
    data = read(tmp_path_factory.mktemp("d"), f"d{ending}", made.getvalue())
    assert prompts(data) == [text for text, _ in cells]


def test_a_table_of_commas_stays_one_whatever_else_is_in_it(tmp_path: Path) -> None:
    text = 'text,"a;b;c;d"\nWhy;then?,x\nWho\tbakes?,y\n'
    assert prompts(read(tmp_path, "d.csv", text)) == ["Why;then?", "Who\tbakes?"]


def test_quotes_in_a_plain_tsv_are_text(tmp_path: Path) -> None:
    text = 'text\tn\n"Stop," she said.\t1\nHe is 6\' 2"\t2\n"\t3\n'
    assert prompts(read(tmp_path, "d.tsv", text)) == ['"Stop," she said.', "He is 6' 2\"", '"']


@pytest.mark.parametrize("header", [",text", "text,", "n,n,text", ",,text", "text,n,n", "Unnamed: 0,,text,"])
def test_columns_that_are_not_used_need_no_name_of_their_own(tmp_path: Path, header: str) -> None:
    place = header.split(",").index("text")
    lines = [",".join("Why?" if i == place else str(i) for i in range(header.count(",") + 1))]
    data = read(tmp_path, "d.csv", "\n".join([header, *lines]))
    assert prompts(data) == ["Why?"]


def test_a_repeated_column_that_is_used_is_refused(tmp_path: Path) -> None:
    text = "text,label,label\nWhy?,1,2\n"
    assert prompts(read(tmp_path, "d.csv", text)) == ["Why?"]
    for options in ({"where": (Where("label", "==", 1.0),)}, {"fields": {"prompt": "text", "answer": "label"}}):
        assert refusal(tmp_path, "d.csv", text, **options)[0] == "D507"


def test_blank_cells_beyond_the_last_column_are_none(tmp_path: Path) -> None:
    assert prompts(read(tmp_path, "d.csv", "text,n\nWhy?,1,,\nWho?,2\n")) == ["Why?", "Who?"]
    assert refusal(tmp_path, "d.csv", "text,n\nWhy?,1,,x\n")[0] == "D507"


def test_fields_in_objects_and_lists(tmp_path: Path) -> None:
    made = json.dumps([{"data": {"q": "Why?", "x.y": 1}, "bad": ["no", "never"]}])
    sides = {"prompt": "data.q", "positive": "bad.0", "negative": "bad.1"}
    (row,) = read(tmp_path, "d.json", made, fields=sides).rows
    assert (row.prompt, row.positive, row.negative) == ("Why?", "no", "never")
    code, text = refusal(tmp_path, "d.json", made, fields={"prompt": "data"})
    assert code == "D509" and "`data.q`" in text.replace('"', "`")
    code, text = refusal(tmp_path, "d.json", made)
    assert code == "D508" and "data.q" in text and "bad" in text


def test_columns_of_several_lengths(tmp_path: Path) -> None:
    """The trait file of the persona-vectors work: instruction pairs and questions side by side."""
    trait = {
        "instruction": [{"pos": "Be evil.", "neg": "Be kind."}, {"pos": "Hate.", "neg": "Love."}],
        "questions": ["Who are you?", "What now?", "Why?"],
        "eval_prompt": "Rate {answer}.",
    }
    made = json.dumps(trait)
    assert prompts(read(tmp_path, "evil.json", made, fields={"prompt": "questions"})) == trait["questions"]
    sides = {"positive": "instruction.pos", "negative": "instruction.neg"}
    pairs = read(tmp_path, "evil.json", made, fields=sides).rows
    assert [(row.positive, row.negative) for row in pairs] == [("Be evil.", "Be kind."), ("Hate.", "Love.")]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ('{"prompt": {"0": "a"}}', "D540"),
        ('"a"', "D540"),
        ("3", "D540"),
        ("null", "D540"),
        ("{}", "D540"),
        ("[]", "D505"),
        ('{"a": []}', "D505"),
        ("[[1]]", "D506"),
        ('["a", {"text": "b"}]', "D506"),
        ('[{"text": "a"}', "D506"),
        ("[" * 100_000, "D506"),
        ('[{"text": "a"}] x', "D506"),
        ("", "D506"),
    ],
)
def test_json_that_holds_no_rows(tmp_path: Path, content: str, code: str) -> None:
    assert refusal(tmp_path, "d.json", content)[0] == code


def test_texts_in_a_list_are_prompts(tmp_path: Path) -> None:
    assert prompts(read(tmp_path, "d.json", '["Why?", "Who?"]')) == ["Why?", "Who?"]


# ---- parquet ----


def test_parquet_with_choices_structures_and_conversations(tmp_path: Path) -> None:
    talk = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]
    made = parquet_bytes({"m": [talk], "choices": [["a", "b"]], "s": [{"right": 1}], "day": [b"x"]})
    fields = {"prompt": "m", "answer": "s.right", "choices": "choices"}
    (row,) = read(tmp_path, "d.parquet", made, fields=fields).rows
    assert (row.prompt, row.answer, row.answer_is_number, row.choices) == ("Hi", "1", True, ("a", "b"))


def test_parquet_cells_that_are_no_text(tmp_path: Path) -> None:
    made = parquet_bytes({"text": [[["a"], ["b"]]], "raw": [b"abc"], "none": [None]})
    for field in ("text", "raw", "none"):
        code, text = refusal(tmp_path, "d.parquet", made, fields={"prompt": field})
        assert code == "D509" and "not text" in text
    code, text = refusal(tmp_path, "d.parquet", made, fields={"prompt": "raw", "choices": "text"})
    assert code == "D509"


@pytest.mark.parametrize("damage", [b"", b"PAR1", b"x" * 100, "cut", "changed"])
def test_damaged_parquet(tmp_path: Path, damage: bytes | str) -> None:
    made = parquet_bytes(COLUMNS)
    cut = {"cut": made[:-9], "changed": made[:-40] + b"\xff" * 36 + made[-4:]}
    code, text = refusal(tmp_path, "d.parquet", cut[damage] if isinstance(damage, str) else damage)
    assert code == "D542" and "cannot be read as parquet" in text


def test_parquet_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("steerdsl.data.parquet_tables._installed", lambda: 0)
    code, text = refusal(tmp_path, "d.parquet", b"PAR1")
    assert code == "D542" and "pip install 'steerdsl[parquet]'" in text


def test_parquet_that_is_larger_than_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand copies of a long text take few bytes in the file."""
    made = parquet_bytes({"text": ["x" * 100_000] * 1000})
    assert len(made) < 1_000_000
    monkeypatch.setattr("steerdsl.data.parquet_tables.MOST_BYTES", 50_000_000)
    assert refusal(tmp_path, "d.parquet", made)[0] == "D530"


# ---- conditions ----


@pytest.mark.parametrize(
    ("op", "wanted", "value", "met"),
    [
        ("==", 1.0, 1, True),
        ("==", 1.0, "1", True),
        ("==", 1.0, " 1.0", True),
        ("==", 1.0, True, False),
        ("==", 1.0, "one", False),
        ("==", 1.0, "", False),
        ("==", 1.0, None, False),
        ("==", 1.0, [1], False),
        ("!=", 1.0, 2, True),
        ("!=", 1.0, "one", True),
        ("!=", 1.0, None, False),
        (">", 2.0, "10", True),
        (">=", 2.0, 2, True),
        ("<", 2.0, "x", False),
        ("==", "joy", "joy", True),
        ("==", "joy", "Joy", False),
        ("==", "1", 1, True),
        ("==", "true", True, True),
        ("!=", "joy", ["joy"], True),
        ("==", True, True, True),
        ("==", True, "TRUE", True),
        ("==", False, "false", True),
        ("==", True, 1, False),
        ("!=", True, False, True),
    ],
)
def test_what_a_condition_says_of_a_value(op: Any, wanted: Any, value: Any, met: bool) -> None:
    assert holds(Where("x", op, wanted), value) is met


def test_a_condition_that_no_row_meets_lists_the_values(tmp_path: Path) -> None:
    text = separated(",")
    code, said = refusal(tmp_path, "d.csv", text, where=(Where("label", "==", 7.0),))
    assert code == "D543" and 'label" is 1 (2), 0 (2)' in said and "of 4 rows" in said
    assert refusal(tmp_path, "d.csv", text, where=(Where("lable", "==", 1.0),)) == (
        "D508",
        'd.csv has no field "lable"\ndid you mean "label"?',
    )
    both = (Where("label", "==", 1.0), Where("label", "==", 0.0))
    assert refusal(tmp_path, "d.csv", text, where=both)[0] == "D543"


def test_rows_of_two_sides(tmp_path: Path) -> None:
    sides = {"positive": (Where("label", "==", 1.0),), "negative": (Where("label", "==", 0.0),)}
    text = separated(",") + "neither,2\r\n"
    data = read(tmp_path, "d.csv", text, sides=sides, held_out=0.0)
    assert [row.label for row in data.rows] == ["positive", "negative", "positive", "negative"]
    assert [row.prompt for row in rows(data, "all", "negative")] == [CELLS[1][0], CELLS[3][0]]
    assert len(rows(data, "all")) == 4
    over = {"positive": (Where("label", ">=", 0.0),), "negative": (Where("label", "==", 0.0),)}
    assert refusal(tmp_path, "d.csv", text, sides=over)[0] == "D546"
    none = {"positive": (Where("label", "==", 1.0),), "negative": (Where("label", "==", 9.0),)}
    assert refusal(tmp_path, "d.csv", text, sides=none)[0] == "D543"


@pytest.mark.parametrize("op", ["==", "!=", "<", ">="])
@pytest.mark.parametrize("sides", [False, True])
def test_rows_without_a_value_to_compare_are_counted(tmp_path: Path, op: Any, sides: bool) -> None:
    labels: list[Any] = [0.0, 1.0, None, 2.0, ABSENT, 3.0]
    lines = [{"text": f"q{n}", **({} if label is ABSENT else {"label": label})} for n, label in enumerate(labels)]
    text = "\n".join(map(json.dumps, lines))
    test = Where("label", op, 1.0)
    how: dict[str, Any] = {"where": (test,)}
    if sides:
        rest = Where("label", {"==": "!=", "!=": "==", "<": ">=", ">=": "<"}[op], 1.0)
        how = {"sides": {"positive": (test,), "negative": (rest,)}}
    (said,) = read(tmp_path, "d.jsonl", text, **how).warnings
    assert said.code == "D547" and said.severity == "warning"
    assert said.title == '2 of 6 rows of d.jsonl have no value of "label" and are left out'
    assert "line 3" in str(said.help)


# ---- conversations ----

USER, SAID = {"role": "user", "content": "And then?"}, {"role": "assistant", "content": "Nothing."}
SYSTEM, FIRST = {"role": "system", "content": "Be terse."}, {"role": "user", "content": "What happened?"}


def one(folder: Path, fields: Mapping[str, str], **row: Any) -> DataRow:
    (found,) = read(folder, "d.json", json.dumps([row]), fields=fields).rows
    return found


def test_a_conversation_is_asked_up_to_its_last_question(tmp_path: Path) -> None:
    turns = [SYSTEM, FIRST, SAID, USER]
    row = one(tmp_path, {}, messages=turns)
    assert row.prompt == "And then?"
    assert row.before == tuple((turn["role"], turn["content"]) for turn in turns[:3])
    assert one(tmp_path, {}, messages=[*turns, SAID]).prompt == "And then?"
    answered = one(tmp_path, {"prompt": "messages", "answer": "messages"}, messages=[*turns, SAID])
    assert (answered.prompt, answered.answer, len(answered.before)) == ("And then?", "Nothing.", 3)
    parts = {"role": "user", "content": [{"type": "text", "text": "Why "}, {"type": "text", "text": "so?"}]}
    assert one(tmp_path, {"prompt": "m"}, m=[parts]).prompt == "Why so?"


def test_conversations_as_the_sides_of_a_pair(tmp_path: Path) -> None:
    """As preference data is published: one question, a chosen and a rejected answer."""
    sides = {"positive": "chosen", "negative": "rejected"}
    row = one(tmp_path, sides, chosen=[FIRST, SAID], rejected=[FIRST, {"role": "assistant", "content": "Much."}])
    assert (row.prompt, row.positive, row.negative) == ("What happened?", "Nothing.", "Much.")
    code, text = refusal(
        tmp_path, "d.json", json.dumps([{"chosen": [FIRST, SAID], "rejected": [USER, SAID]}]), fields=sides
    )
    assert code == "D544" and "another question" in text


@pytest.mark.parametrize(
    "turns",
    [
        [{"from": "human", "value": "Hi"}],
        [SYSTEM],
        [SAID, USER],
        [USER, USER],
        [USER, SYSTEM],
        [USER, SAID, SAID],
        [{"role": "tool", "content": "4"}],
        [{"role": "user", "content": " "}],
        [{"role": "user", "content": None}],
        [{"role": "user", "content": [{"type": "image"}]}],
        [{"role": "user"}],
        [{}],
        [USER, SAID] * 600,
    ],
)
def test_conversations_that_cannot_be_read(tmp_path: Path, turns: list[Any]) -> None:
    assert refusal(tmp_path, "d.json", json.dumps([{"m": turns}]), fields={"prompt": "m"})[0] == "D544"


def test_conversations_that_differ_before_their_last_question_are_two_rows(tmp_path: Path) -> None:
    made = json.dumps([{"messages": [FIRST, SAID, USER]}, {"messages": [{**FIRST, "content": "Who?"}, SAID, USER]}])
    first, second = read(tmp_path, "d.json", made).rows
    assert first.prompt == second.prompt and first.text != second.text


# ---- multiple choice, as TruthfulQA and MMLU are published ----


def test_marks_of_the_right_choice(tmp_path: Path) -> None:
    row = {"question": "Why?", "mc1_targets": {"choices": ["a", "b", "c"], "labels": [0, 1, 0]}}
    fields = {"choices": "mc1_targets.choices", "answer": "mc1_targets.labels"}
    assert one(tmp_path, fields, **row).answer == "b"
    for labels in ([0, 1, 1], [0, 0, 0], [0, 1]):
        made = json.dumps([{**row, "mc1_targets": {"choices": ["a", "b", "c"], "labels": labels}}])
        assert refusal(tmp_path, "d.json", made, fields=fields)[0] == "D545"
    made = json.dumps([{**row, "mc1_targets": {"choices": ["a"], "labels": ["x"]}}])
    assert refusal(tmp_path, "d.json", made, fields=fields)[0] == "D509"


def test_truthfulqa_as_a_csv(tmp_path: Path) -> None:
    header = "Type,Category,Question,Best Answer,Best Incorrect Answer,Correct Answers,Incorrect Answers,Source"
    made = f'{header}\nAdversarial,Myths,Why?,"No, never.",Always.,"No, never.; Not.",Always.; Often.,x\n'
    code, text = refusal(tmp_path, "TruthfulQA.csv", made)
    assert code == "D508" and 'field: "Question"' in text
    fields = {"prompt": "Question", "positive": "Best Answer", "negative": "Best Incorrect Answer"}
    (row,) = read(tmp_path, "TruthfulQA.csv", made, fields=fields).rows
    assert (row.prompt, row.positive, row.negative) == ("Why?", "No, never.", "Always.")


def test_mmlu_without_a_header(tmp_path: Path) -> None:
    made = 'What is 2?,one,two,three,"four, or more",B\nWhat is 4?,1,2,3,4,D\n'
    names = ("q", "A", "B", "C", "D", "right")
    fields: Any = {"prompt": "q", "choices": ("A", "B", "C", "D"), "answer": "right"}
    data = read(tmp_path, "econ_test.csv", made, fields=fields, columns=names)
    assert [row.choices for row in data.rows] == [("one", "two", "three", "four, or more"), ("1", "2", "3", "4")]
    assert [row.answer for row in data.rows] == ["B", "D"]
    code, text = refusal(tmp_path, "econ_test.csv", made, fields=fields, columns=names[:-1])
    assert code == "D507" and "`columns` names 5" in text
