"""What a data set gives when nothing is wrong with it: rows, roles, hashes."""

from __future__ import annotations

import json
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from steerdsl.data import hub_data, load
from steerdsl.lang.diagnostics import RecipeError, render
from steerdsl.lang.recipe import DataSpec


def file(folder: Path, name: str, content: str | bytes, **options: Any) -> Any:
    raw = content.encode() if isinstance(content, str) else content
    (folder / name).write_bytes(raw)
    return load(DataSpec("d", "file", name, **options), root=folder)


def prompts(data: Any) -> list[str]:
    return [row.prompt for row in data.rows]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("d.jsonl", '{"prompt": "Why, then?"}\n\n{"prompt": "two\\nlines"}\n'),
        ("d.jsonl", '\ufeff{"prompt": "Why, then?"}\r\n{"prompt": "two\\nlines"}'),
        ("d.csv", 'prompt\n"Why, then?"\n\n"two\nlines"\n'),
        ("d.csv", '\ufeffother,prompt\r\n1,"Why, then?"\r\n2,"two\nlines"\r\n'),
    ],
)
def test_one_set_in_several_formats(tmp_path: Path, name: str, content: str) -> None:
    data = file(tmp_path, name, content)
    assert prompts(data) == ["Why, then?", "two\nlines"]
    assert [row.index for row in data.rows] == [0, 1]
    assert data.sha256 == sha256(content.encode()).hexdigest()
    assert data.path == tmp_path / name
    assert data.spec.fields == {"prompt": "prompt"}


def test_txt_keeps_the_line_as_it_is(tmp_path: Path) -> None:
    data = file(tmp_path, "D.TXT", "\ufeff first \r\n\r\n\u2028second\n")
    assert prompts(data) == [" first ", "\u2028second"]


def test_a_line_separator_inside_a_json_string(tmp_path: Path) -> None:
    assert prompts(file(tmp_path, "d.jsonl", '{"prompt": "a\u2028b"}\n')) == ["a\u2028b"]


@pytest.mark.parametrize("field", ["prompt", "question", "text", "instruction", "goal"])
def test_the_usual_fields_are_found_and_recorded(tmp_path: Path, field: str) -> None:
    data = file(tmp_path, "d.jsonl", json.dumps({"id": "7", field: "hello"}))
    assert prompts(data) == ["hello"]
    assert data.spec.fields == {"prompt": field}


def test_the_first_usual_field_wins_and_a_named_one_beats_it(tmp_path: Path) -> None:
    line = json.dumps({"goal": "g", "text": "t", "question": "q"})
    assert prompts(file(tmp_path, "d.jsonl", line)) == ["q"]
    assert prompts(file(tmp_path, "d.jsonl", line, fields={"prompt": "goal"})) == ["g"]


def test_pairs_with_and_without_a_question(tmp_path: Path) -> None:
    sides = {"positive": "yes", "negative": "no"}
    bare = file(tmp_path, "p.csv", "yes,no\nglad,sad\n", fields=sides).rows[0]
    assert (bare.prompt, bare.positive, bare.negative, bare.text) == ("", "glad", "sad", "glad\nsad")
    data = file(tmp_path, "p.jsonl", '{"question": "How?", "yes": "(A)", "no": "(B)"}', fields=sides)
    assert data.spec.fields == {"prompt": "question", **sides}
    assert data.rows[0].text == "How?\n(A)\n(B)"


def test_gold_answers_and_choices(tmp_path: Path) -> None:
    lines = '{"q": "a", "gold": 3, "of": ["x", "y"]}\n{"q": "b", "gold": "B", "of": ["z"]}\n'
    data = file(tmp_path, "d.jsonl", lines, fields={"prompt": "q", "answer": "gold", "choices": "of"})
    assert [(row.answer, row.choices) for row in data.rows] == [("3", ("x", "y")), ("B", ("z",))]


def test_an_id_is_that_of_the_text(tmp_path: Path) -> None:
    first = file(tmp_path, "a.txt", "one\ntwo\n").rows[1]
    again = file(tmp_path, "b.jsonl", '{"goal": "two", "answer": "x"}').rows[0]
    assert first.id == again.id == sha256(b"two").hexdigest()[:16]


def test_take_is_a_seeded_sample_in_file_order(tmp_path: Path) -> None:
    text = "".join(f"prompt {i}\n" for i in range(40))
    picked = [row.index for row in file(tmp_path, "d.txt", text, take=10).rows]
    assert picked == sorted(set(picked)) and len(picked) == 10
    assert picked != list(range(10))
    assert set(picked) < {row.index for row in file(tmp_path, "d.txt", text, take=11).rows}
    assert picked != [row.index for row in file(tmp_path, "d.txt", text, take=10, seed=1).rows]
    assert len(file(tmp_path, "d.txt", text, take=40).rows) == 40


def test_built_in_sets_are_read_from_anywhere(tmp_path: Path) -> None:
    data = load(DataSpec("topic", "builtin", "econ"), root=tmp_path)
    assert len(data.rows) == 200
    assert data.path is not None and data.sha256 == sha256(data.path.read_bytes()).hexdigest()


def fake_package(monkeypatch: pytest.MonkeyPatch, rows: Any) -> dict[str, Any]:
    """Stand in for `datasets`: what it was asked for, and whether the network was off meanwhile."""
    asked: dict[str, Any] = {}
    config = SimpleNamespace(HF_HUB_OFFLINE=False)

    def load_dataset(path: str, **options: Any) -> Any:
        asked.update(path=path, offline=config.HF_HUB_OFFLINE, **options)
        if isinstance(rows, Exception):
            raise rows
        return rows

    module = SimpleNamespace(load_dataset=load_dataset, config=config, disable_progress_bars=lambda: None)
    monkeypatch.setitem(sys.modules, "datasets", module)
    monkeypatch.setattr(hub_data, "_installed", lambda: 4)
    return asked


def hub_set(folder: Path, source: str = "openai/gsm8k", offline: bool = False, **options: Any) -> Any:
    return load(DataSpec("maths", "hub", source, **options), root=folder, offline=offline)


def test_hub_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = fake_package(monkeypatch, [{"question": "1+1?", "answer": "2"}, {"question": "2+2?", "answer": "4"}])
    fields = {"answer": "answer"}
    data = hub_set(tmp_path, offline=True, subset="main", hub_split="test", revision="v2", fields=fields)
    assert asked == {"path": "openai/gsm8k", "name": "main", "split": "test", "revision": "v2", "offline": True}
    assert [(row.prompt, row.answer) for row in data.rows] == [("1+1?", "2"), ("2+2?", "4")]
    assert data.path is None
    assert data.sha256 == hub_set(tmp_path, fields=fields).sha256
    assert asked["split"] == "train" and asked["revision"] is None and not asked["offline"]


def hub_message(folder: Path, **options: Any) -> tuple[str, int]:
    with pytest.raises(RecipeError) as caught:
        hub_set(folder, **options)
    return render(caught.value.diagnostics[0]), caught.value.exit_code


def test_hub_faults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    fake_package(monkeypatch, ConnectionError("Couldn't reach the hub.\nTraceback"))
    assert hub_message(tmp_path) == (
        "error[D516]: the data set openai/gsm8k could not be loaded: Couldn't reach the hub\n"
        "help: check the name, the subset, the split, the revision and the network\n",
        3,
    )
    assert hub_message(tmp_path, offline=True)[0].endswith("help: run once without --offline\n")
    fake_package(monkeypatch, [])
    assert hub_message(tmp_path)[0].startswith("error[D505]: openai/gsm8k holds no rows\n")
    fake_package(monkeypatch, [{"question": "a"}, {"question": None}])
    assert hub_message(tmp_path)[0].startswith('error[D509]: row 2 of openai/gsm8k: field "question" holds null')


@pytest.mark.parametrize("source", ["gsm8k", "../etc/passwd", "a/b/c", "/etc", "a/..", "csv"])
def test_a_hub_name_is_never_a_path(tmp_path: Path, source: str) -> None:
    assert hub_message(tmp_path, source=source)[0] == (
        f"error[D516]: {source} is not the name of a data set on the hub\nhelp: write it as owner/name\n"
    )


def test_a_folder_does_not_stand_in_for_a_hub_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "openai" / "gsm8k").mkdir(parents=True)
    assert hub_message(tmp_path)[0].startswith(
        "error[D516]: openai/gsm8k is a folder here as well as a name on the hub"
    )


def test_hub_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_data, "_installed", lambda: 0)
    assert hub_message(tmp_path) == (
        "error[D515]: reading openai/gsm8k from the hub needs the package datasets, version 4 or later\n"
        "help: pip install 'steerdsl[hub-data]', or save the data set as a jsonl file\n",
        1,
    )


def test_the_room_imports_nothing_heavy() -> None:
    code = (
        "import sys, steerdsl.data, steerdsl.measure.scores; from steerdsl.registry import entries; entries('metric');"
        "print([m for m in ('numpy', 'torch', 'sacrebleu', 'rouge_score', 'scipy', 'datasets') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"
