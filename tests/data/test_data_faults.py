"""Every fault of a data file, beside the exact text that it prints."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from steerdsl.data import Data, load, load_words, rows
from steerdsl.lang.diagnostics import RecipeError, render
from steerdsl.lang.recipe import DataSpec
from steerdsl.lang.source import Source, Span


def read(folder: Path, file: str, kind: Any = "file", **options: Any) -> Data:
    """Load `file` as the recipe `dataset d = "file"` in `folder` would."""
    text = f'dataset d = "{file}"'
    spec = DataSpec("d", kind, file, span=Span(0, len(text)), **options)
    return load(spec, root=folder, source=Source("r.steer", text))


def message(folder: Path, file: str, kind: Any = "file", **options: Any) -> str:
    """What the statement prints, without the lines that show it."""
    with pytest.raises(RecipeError) as caught:
        read(folder, file, kind, **options)
    return "".join(map(plain, map(render, caught.value.diagnostics)))


def plain(text: str) -> str:
    return "".join(line + "\n" for line in text.splitlines() if line.startswith(("error", "warning", "note", "help")))


def test_the_statement_is_shown(tmp_path: Path) -> None:
    (tmp_path / "econ.jsonl").write_text('{"prompt": "a"}\n{"prompt": "b"\n')
    with pytest.raises(RecipeError) as caught:
        read(tmp_path, "econ.jsonl")
    assert caught.value.exit_code == 1
    assert render(caught.value.diagnostics[0]) == (
        "error[D506]: line 2 of econ.jsonl is not JSON: expecting ',' delimiter at column 15\n"
        " --> r.steer:1:1\n"
        "  |\n"
        '1 | dataset d = "econ.jsonl"\n'
        "  | ^^^^^^^^^^^^^^^^^^^^^^^^ this data set\n"
        "  |\n"
        'help: write one object a line: {"prompt": "…"}\n'
    )


def test_without_a_source_there_is_no_label(tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        load(DataSpec("d", "file", "no.txt"), root=tmp_path)
    assert caught.value.diagnostics[0].labels == ()


# name of the file: its content, the options of the statement, what is printed
FAULTS: Mapping[str, tuple[bytes, dict[str, Any], str]] = {
    "a.xlsx": (
        b"x",
        {},
        "error[D503]: a.xlsx is a .xlsx file, which cannot be read as data\n"
        "help: save it as .jsonl, .json, .csv, .tsv, .txt, .parquet\n",
    ),
    "bare": (
        b"x",
        {},
        "error[D503]: bare is a file without an ending, which cannot be read as data\n"
        "help: save it as .jsonl, .json, .csv, .tsv, .txt, .parquet\n",
    ),
    "latin.txt": (
        b"one\ncaf\xe9\n",
        {},
        "error[D504]: line 2 of latin.txt is not UTF-8\nhelp: save the file as UTF-8\n",
    ),
    "utf16.txt": (
        "one".encode("utf-16")[2:] + b"\xff",
        {},
        "error[D504]: line 1 of utf16.txt is not UTF-8\nhelp: save the file as UTF-8\n",
    ),
    "blank.jsonl": (b"\n \n", {}, "error[D505]: blank.jsonl holds no rows\nhelp: a data set needs at least one row\n"),
    "header.csv": (b"prompt\n", {}, "error[D505]: header.csv holds no rows\nhelp: a data set needs at least one row\n"),
    "list.jsonl": (
        b'["a"]\n',
        {},
        "error[D506]: line 1 of list.jsonl is a list, not an object\n"
        'help: write one object a line: {"prompt": "\u2026"}\n',
    ),
    "deep.jsonl": (
        b"[" * 200_000,
        {},
        "error[D506]: line 1 of deep.jsonl is not JSON that can be read: a number too long or brackets too deep\n"
        'help: write one object a line: {"prompt": "\u2026"}\n',
    ),
    "many.jsonl": (
        b'{"prompt": "a"}\n' + b"nonsense\n" * 8,
        {},
        "error[D506]: line 2 of many.jsonl is not JSON: expecting value at column 1\n"
        "note: the same kind of fault at 3, 4, 5, 6, 7 and 2 more\n"
        'help: write one object a line: {"prompt": "\u2026"}\n',
    ),
    "ragged.csv": (
        b'prompt,answer\n"two\nlines",b\nWhy, when?,b\nshort\n',
        {},
        "error[D507]: line 4 of ragged.csv has 3 cells where the header has 2\n"
        "note: the same kind of fault at 5\n"
        "help: put a cell that holds a comma in double quotes\n",
    ),
    "twice.csv": (
        b"prompt,prompt\na,b\n",
        {},
        'error[D507]: twice.csv has several columns called "prompt"\n'
        "help: give each column that you use a name of its own\n",
    ),
    "quote.csv": (
        b'prompt\na\n"b\n',
        {},
        "error[D507]: line 3 of quote.csv is not csv: unexpected end of data\n"
        "help: close every double quote, and write a quote inside a cell twice\n",
    ),
    "request.jsonl": (
        b'{"n": 1, "request": "a"}\n',
        {},
        "error[D508]: request.jsonl has none of the usual fields prompt, question, text, instruction, goal\n"
        'help: say which one holds the prompt: `field: "request"`\n',
    ),
    "near.jsonl": (
        b'{"prompt": "a", "label": "b"}\n',
        {"fields": {"prompt": "promt", "answer": "gold"}},
        'error[D508]: near.jsonl has no field "promt"\n'
        'note: near.jsonl has no field "gold"\n'
        'help: did you mean "prompt"?\n',
    ),
    "far.jsonl": (
        b'{"a": "x", "b": "y"}\n',
        {"fields": {"prompt": "title"}},
        'error[D508]: far.jsonl has no field "title"\nhelp: its fields are a, b\n',
    ),
    "some.jsonl": (
        b'{"prompt": "a"}\n\n{"text": "b"}\n',
        {},
        'error[D508]: line 3 of some.jsonl has no field "prompt"\nhelp: give every row the same fields\n',
    ),
    "number.jsonl": (
        b'{"prompt": 42}\n{"prompt": ["a"]}\n',
        {},
        'error[D509]: line 1 of number.jsonl: field "prompt" holds a number, not text\n'
        "note: the same kind of fault at 2\n"
        "help: put the value in double quotes, or name another field\n",
    ),
    "half.jsonl": (
        b'{"prompt": "\\ud83d"}\n',
        {},
        'error[D509]: line 1 of half.jsonl: field "prompt" holds half a character (an escape such as \\ud83d alone)\n'
        "help: write both halves of the escape, or the character itself\n",
    ),
    "choices.jsonl": (
        b'{"prompt": "a", "options": "A or B"}\n',
        {"fields": {"prompt": "prompt", "choices": "options"}},
        'error[D509]: line 1 of choices.jsonl: field "options" holds text, not a list of texts\n'
        'help: write the options as ["\u2026", "\u2026"], or name a field for each: ["A", "B"]\n',
    ),
    "empty.jsonl": (
        b'{"prompt": "a"}\n{"prompt": " "}\n',
        {},
        'error[D510]: line 2 of empty.jsonl: field "prompt" is empty\nhelp: fill it in or take the row out\n',
    ),
    "few.txt": (
        b"a\nb\n",
        {"take": 3},
        "error[D512]: `take: 3` asks for more rows than few.txt has: 2\n"
        "help: write `take: 2`, or leave it out to use every row\n",
    ),
    "pairs.csv": (
        b"happy,sad\na,b\n",
        {"fields": {"negative": "sad"}},
        "error[D514]: pairs.csv is given the negative side of its pairs and no positive side\n"
        'help: add `positive: "\u2026"`, or write `field:` for a data set without pairs\n',
    ),
}


@pytest.mark.parametrize("file", FAULTS)
def test_fault(tmp_path: Path, file: str) -> None:
    content, options, expected = FAULTS[file]
    (tmp_path / file).write_bytes(content)
    assert message(tmp_path, file, **options) == expected


def test_kinds_of_fault_are_told_together(tmp_path: Path) -> None:
    (tmp_path / "both.jsonl").write_text('{"prompt": ""}\n{"prompt": 1}\n')
    assert message(tmp_path, "both.jsonl").count("error[") == 2


def test_missing_file(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for name in ("econ.jsonl", "generic.jsonl"):
        (tmp_path / "data" / name).write_text("x")
    assert message(tmp_path, "data/ecom.jsonl") == (
        'error[D501]: there is no file data/ecom.jsonl\nhelp: did you mean "data/econ.jsonl"?\n'
    )
    assert message(tmp_path, "data/chemistry.csv") == (
        "error[D501]: there is no file data/chemistry.csv\nhelp: the folder data holds econ.jsonl, generic.jsonl\n"
    )
    assert message(tmp_path, "date/econ.jsonl") == (
        "error[D501]: there is no file date/econ.jsonl\n"
        "help: there is no folder date either; paths start at the recipe's folder\n"
    )
    assert message(tmp_path, "data") == (
        "error[D501]: data is a folder, not a file\nhelp: the folder data holds econ.jsonl, generic.jsonl\n"
    )
    assert (
        message(tmp_path, "a\0b") == "error[D501]: 'a\\x00b' is not a path that can be followed\nhelp: check the path\n"
    )


def test_unknown_built_in(tmp_path: Path) -> None:
    assert message(tmp_path, "ecom", "builtin") == (
        "error[D501]: there is no built-in data set ecom\nhelp: did you mean `econ`?\n"
    )
    assert message(tmp_path, "chemistry", "builtin") == (
        "error[D501]: there is no built-in data set chemistry\nhelp: built in are econ, generic\n"
    )


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, most: int) -> bytes:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "a.txt").write_text("x")
    monkeypatch.setattr("steerdsl.data.files.read_bytes", refuse)
    assert message(tmp_path, "a.txt") == (
        "error[D501]: a.txt cannot be read: permission denied\nhelp: check the file's permissions\n"
    )


def test_outside_the_folder(tmp_path: Path) -> None:
    folder, other = tmp_path / "recipe", tmp_path / "other"
    folder.mkdir(), other.mkdir()
    (other / "x.txt").write_text("a\nb\n")
    (folder / "link.txt").symlink_to(other / "x.txt")
    help = "help: move the file into the recipe's folder, or allow its folder on the command line\n"
    for file in ("../other/x.txt", str(other / "x.txt"), "link.txt", "../other/none.txt", "sub/../../other/x.txt"):
        assert message(folder, file) == f"error[D502]: {file} is outside the recipe's folder\n" + help
    for file in ("../other/x.txt", str(other / "x.txt"), "link.txt"):
        spec = DataSpec("d", "file", file)
        assert [row.prompt for row in load(spec, root=folder, allowed=(other,)).rows] == ["a", "b"]


def test_a_link_to_the_folder_itself_is_inside(tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.mkdir()
    (real / "x.txt").write_text("a\n")
    (tmp_path / "alias").symlink_to(real)
    assert len(read(tmp_path / "alias", "x.txt").rows) == 1


def test_repeated_rows_are_a_warning(tmp_path: Path) -> None:
    (tmp_path / "d.jsonl").write_text('{"prompt": "a"}\n{"prompt": "b"}\n\n{"prompt": "a"}\n{"prompt": "b"}\n')
    data = read(tmp_path, "d.jsonl")
    assert len(data.rows) == 4
    assert "".join(map(plain, map(render, data.warnings))) == (
        "warning[D513]: line 4 of d.jsonl repeats line 1\n"
        "note: the same kind of fault at 5\n"
        "help: a repeated row counts twice in every mean\n"
    )


def test_questions_with_other_options_are_not_repeats(tmp_path: Path) -> None:
    lines = ['{"prompt": "Which?", "choices": ["a", "b"]}', '{"prompt": "Which?", "choices": ["a", "c"]}']
    (tmp_path / "d.jsonl").write_text("\n".join(lines))
    assert read(tmp_path, "d.jsonl", fields={"prompt": "prompt", "choices": "choices"}).warnings == ()


def empty_side(folder: Path, lines: str, split: Any, **options: Any) -> str:
    (folder / "d.txt").write_text(lines)
    with pytest.raises(RecipeError) as caught:
        rows(read(folder, "d.txt", **options), split)
    return plain(render(caught.value.diagnostics[0]))


def test_empty_sides(tmp_path: Path) -> None:
    assert empty_side(tmp_path, "one\n", "held_out") == (
        "error[D511]: d.held_out is empty: of 1 row none is on the held-out side\n"
        "help: give the data set more rows; `held_out: 0%` fits on every row\n"
    )
    assert empty_side(tmp_path, "one\n", "train", held_out=0.999) == (
        "error[D511]: d.train is empty: of 1 row none is on the training side\n"
        "help: give the data set more rows; `held_out: 0%` fits on every row\n"
    )
    assert empty_side(tmp_path, "one\ntwo\n", "held_out", held_out=0.0) == (
        "error[D511]: d.held_out is empty: `held_out: 0%` keeps every row for training\n"
        "help: give `held_out:` a share, or score on another data set\n"
    )


def test_an_empty_side_names_a_seed_that_works(tmp_path: Path) -> None:
    text = empty_side(tmp_path, "one\ntwo\n", "held_out")
    seed = int(text.split("`seed: ")[1].split("`")[0])
    data = read(tmp_path, "d.txt", seed=seed)
    assert len(rows(data, "held_out")) == len(rows(data, "train")) == 1


@pytest.mark.parametrize("words", ["ecom", "data/ecom"])
def test_unknown_list_of_words(words: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_words(words)
    assert plain(render(caught.value.diagnostics[0])).startswith(
        f"error[D501]: there is no built-in list of words {words}\n"
    )


def test_lists_of_words(tmp_path: Path) -> None:
    (tmp_path / "law.txt").write_text("# terms of law\nCourt*\n\ncourt*\nhabeas  corpus # Latin\n")
    assert load_words("law.txt", root=tmp_path) == ("court*", "habeas corpus")
    assert load_words(["Judge", " jury "]) == ("judge", "jury")
    assert "inflation*" in load_words("econ")
    (tmp_path / "none.txt").write_text("# nothing\n")
    (tmp_path / "latin.txt").write_bytes(b"a\n\xe9\n")
    for words, code in (("none.txt", "D505"), ("latin.txt", "D504"), ("../law.txt", "D502"), ([" "], "D505")):
        with pytest.raises(RecipeError) as caught:
            load_words(words, root=tmp_path)
        assert [d.code for d in caught.value.diagnostics] == [code]


@pytest.mark.parametrize("words", [["*"], ["**", " "], ["(("], ["—", "…"], ["\u0301"], ["😀"], "signs.txt"])
def test_words_that_no_answer_can_have(words: str | list[str], tmp_path: Path) -> None:
    """Their rate would be 0 whatever the answers are. Beside a word that can be found they do no harm."""
    (tmp_path / "signs.txt").write_text("---\n*\n")
    with pytest.raises(RecipeError) as caught:
        load_words(words, root=tmp_path)
    assert [d.code for d in caught.value.diagnostics] == ["D505"]
    assert load_words(["tax", "*"]) == ("tax", "*")
