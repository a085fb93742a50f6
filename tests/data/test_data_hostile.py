"""Data and task files of strangers: limits on size, no waiting, one diagnostic each."""

from __future__ import annotations

import os
import socket
import tracemalloc
from pathlib import Path

import pytest

from steerdsl.data import files, formats, load, load_task
from steerdsl.lang.diagnostics import RecipeError
from steerdsl.lang.recipe import DataSpec

TASK = "task: t\ndataset_path: json\ndataset_kwargs: {data_files: {test: rows.jsonl}}\n"
_STEPS = zip("abcdefgh", "bcdefghi", strict=True)
LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in _STEPS)


def code(folder: Path, name: str) -> tuple[str, str]:
    """The code and the title of the one diagnostic that a data file gives."""
    with pytest.raises(RecipeError) as caught:
        load(DataSpec("d", "file", name), root=folder)
    (found,) = caught.value.diagnostics
    assert found.help
    return found.code, found.title


def test_a_table_of_a_million_columns(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x," * 1_000_000 + "x\n" + "1," * 1_000_000 + "1\n")
    tracemalloc.start()
    title = "a.csv has more cells in line 1 than a data file may have: 1,000"
    assert code(tmp_path, "a.csv") == ("D530", title)
    assert tracemalloc.get_traced_memory()[1] < 200 << 20
    tracemalloc.stop()


def test_an_object_of_many_fields_and_a_file_of_many_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.jsonl").write_text("{" + ",".join(f'"{i}": 1' for i in range(1001)) + "}")
    assert code(tmp_path, "a.jsonl")[0] == "D530"
    monkeypatch.setattr(formats, "MOST_ROWS", 10)
    for name in ("b.jsonl", "b.csv", "b.txt"):
        (tmp_path / name).write_text("x\n" * 11)
        assert code(tmp_path, name) == ("D530", f"{name} has more lines than a data file may have: 10")


def test_a_file_that_is_too_large(tmp_path: Path) -> None:
    with (tmp_path / "a.txt").open("wb") as file:
        file.truncate(files.LARGEST + 1)  # takes no room on the disk
    title = "a.txt has 268,435,457 bytes, and a data file has at most 268,435,456"
    assert code(tmp_path, "a.txt") == ("D530", title)


@pytest.mark.parametrize("name", ["a.txt", "a.csv", "a.jsonl"])
def test_what_is_no_file_is_not_waited_for(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / name)
    assert code(tmp_path, name) == ("D501", f"{name} is a pipe, not a file")
    (tmp_path / name).unlink()
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(name)
        assert code(tmp_path, name) == ("D501", f"{name} is a socket, not a file")
    (tmp_path / name).unlink()
    (tmp_path / name).symlink_to(name)
    assert code(tmp_path, name)[0] == "D501"


def test_names_that_no_file_has(tmp_path: Path) -> None:
    for name in ("x" * 256 + ".txt", "a/" * 3000 + "b.txt", "ü" * 200 + ".csv"):
        found, title = code(tmp_path, name)
        assert found == "D501" and len(title) < 200


@pytest.mark.parametrize("text", ['{"\\ud800": "x"}', '{"prompt": "\\udfff"}', '{"prompt": 1' + "0" * 5000 + "}"])
def test_rows_that_cannot_be_written_again(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.jsonl").write_text(text)
    assert code(tmp_path, "a.jsonl")[0] in ("D506", "D509")


@pytest.mark.parametrize(
    "line",
    [
        *('repeats: !!int "abc"', "repeats: !!int ''", 'x: !!bool "x"', 'x: !!float "x"', 'x: !!timestamp "x"'),
        *("metadata: {version: 2001-13-45}", "metadata: {version: 2001-01-01}", "x: !!binary aGk=", "x: !!set {a}"),
        *("fewshot_config: 5", "fewshot_config: [5]", "metric_list: 5", "metric_list: [5]", "metric_list: {a: b}"),
        *("num_fewshot: x", "repeats: []", "generation_kwargs: 3", "description: 5", "5: x", "? [a]\n: b", "{{a}}: b"),
        *(
            "metadata: &x [*x]",
            "metadata: &x {a: *x}",
            '"\\ud800": 1',
            'description: "\\ud800"',
            f"repeats: {'9' * 5000}",
        ),
        LAUGHS,
        "metadata: " + "- " * 20_000,
        "metadata: " + "? " * 20_000,
        "metadata: " + "[" * 100 + "]" * 100,
        "metadata: " + "[" * 20_000,
        "# " + "x" * 70_000,
    ],
    ids=lambda line: line[:30],
)
def test_task_files(tmp_path: Path, line: str) -> None:
    (tmp_path / "rows.jsonl").write_text('{"q": "x"}\n')
    (tmp_path / "t.yaml").write_text(f"{TASK}{line}\n")
    with pytest.raises(RecipeError) as caught:
        load_task("t.yaml", tmp_path)
    (found,) = caught.value.diagnostics
    assert found.code == "R891" and found.help and found.title.startswith("t.yaml ") and len(found.title) < 300


def test_a_task_file_of_every_kind_is_still_read(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"q": "x"}\n')
    more = "fewshot_config: {sampler: first_n}\nmetric_list: [{metric: acc}]\nmetadata: {version: 1.0}\nrepeats: 1\n"
    (tmp_path / "t.yaml").write_text(TASK + more)
    assert load_task("t.yaml", tmp_path).config["metadata"] == {"version": 1.0}


@pytest.mark.parametrize(
    "line", ['{"prompt": "a", "prompt": "b"}', '{"prompt": "a", "about": {"x": 1, "x": 2}}', '{"": 1, "": 1}']
)
def test_a_field_that_is_given_twice(tmp_path: Path, line: str) -> None:
    """JSON takes the last in silence: the row would not be what whoever wrote it sees first."""
    (tmp_path / "a.jsonl").write_text('{"prompt": "one"}\n' + line + "\n")
    found, title = code(tmp_path, "a.jsonl")
    assert found == "D506" and "line 2 of a.jsonl gives the field" in title and "twice" in title


@pytest.mark.parametrize("text", ['[{"prompt": "a", "prompt": "b"}]', '{"prompt": ["a"], "prompt": ["b"]}'])
def test_a_field_that_a_whole_file_of_json_gives_twice(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    assert code(tmp_path, "a.json") == ("D506", 'a.json gives the field "prompt" twice in one object')
