"""Task files of lm-evaluation-harness: what they may hold, and what is refused before anything reads it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from steerdsl.data import load_task
from steerdsl.lang.diagnostics import RecipeError

RECIPES = Path(__file__).parents[2] / "recipes"
GOOD = """
task: prices
dataset_path: json
dataset_kwargs: {data_files: {test: data/rows.jsonl, dev: [data/rows.jsonl, data/more.csv]}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{question}}"
fewshot_config: {sampler: first_n}
metric_list: [{metric: acc}]
"""
ROWS = '{"question": "Why?"}\n{"question": "When?"}\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "recipe"
    (root / "data").mkdir(parents=True)
    (root / "data" / "rows.jsonl").write_text(ROWS)
    (root / "data" / "more.csv").write_text("question\nWho?\n")
    (tmp_path / "outside.jsonl").write_text(ROWS)
    return root


def refused(folder: Path, text: str) -> tuple[str, str, str | None]:
    (folder / "task.yaml").write_text(text)
    with pytest.raises(RecipeError) as caught:
        load_task("task.yaml", folder)
    [found] = caught.value.diagnostics
    return found.code, found.title, found.help


def test_a_task_and_its_rows(folder: Path) -> None:
    (folder / "task.yaml").write_text(GOOD)
    found = load_task("task.yaml", folder)
    assert found.config["task"] == "prices" and not {"dataset_path", "dataset_kwargs"} & set(found.config)
    assert found.splits == {
        "test": [{"question": "Why?"}, {"question": "When?"}],
        "dev": [{"question": "Why?"}, {"question": "When?"}, {"question": "Who?"}],
    }
    files = ("task.yaml", "data/rows.jsonl", "data/more.csv")
    assert found.sha256 == {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in files}


CODE = "a task file next to a recipe may hold only data and templates"


@pytest.mark.parametrize(
    ("line", "title", "help"),
    [
        ("process_docs: !function utils.process_docs", "task.yaml asks for code in line 10", CODE),
        ("x: !!python/object/apply:os.system [id]", "task.yaml asks for code in line 10", CODE),
        ("class: steerdsl.Task", "task.yaml may not say `class`", CODE),
        ("include: /etc/base.yaml", "task.yaml may not say `include`", CODE),
        ("process_results: utils.score", "task.yaml may not say `process_results`", CODE),
        ("use_prompt: promptsource:x", "task.yaml may not say `use_prompt`", CODE),
        ("unsafe_code: true", "task.yaml may not say `unsafe_code`", CODE),
        ("test_splits: dev", "task.yaml may not say `test_splits`", "did you mean `test_split`?"),
        ("metadata: [", "task.yaml is not yaml in line 11", "look for a missing quote or a tab"),
    ],
)
def test_nothing_that_runs(folder: Path, line: str, title: str, help: str) -> None:
    assert refused(folder, f"{GOOD}{line}\n") == ("R891", title, help)


def test_nothing_that_runs_inside(folder: Path) -> None:
    hub = GOOD.replace("{metric: acc}", "{metric: code_eval, hf_evaluate: true}")
    title = "task.yaml asks for a metric of the hub, which is code"
    assert refused(folder, hub) == ("R891", title, "use one of the harness's own")
    shots = GOOD.replace("sampler: first_n", "process_docs: f")
    assert refused(folder, shots) == ("R891", "task.yaml may not say `process_docs`", CODE)


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "output_type: multiple_choice\n", "task: [a, b]\n"])
def test_a_file_that_is_no_task(folder: Path, text: str) -> None:
    assert refused(folder, text) == ("R891", "task.yaml names no task", "write `task: NAME` in it")


@pytest.mark.parametrize(
    "change",
    [
        ("dataset_path: json", "dataset_path: cais/mmlu"),
        ("dataset_path: json", "dataset_path: loader.py"),
        ("{data_files:", "{trust_remote_code: true, data_files:"),
        ("dataset_kwargs: {data_files: {test: data/rows.jsonl, dev: [data/rows.jsonl, data/more.csv]}}", ""),
    ],
)
def test_data_lie_beside_the_recipe(folder: Path, change: tuple[str, str]) -> None:
    code, title, help = refused(folder, GOOD.replace(*change))
    assert (code, title) == ("R891", "task.yaml does not say which files its data are")
    assert help == 'write `dataset_path: json` and `dataset_kwargs: {data_files: {test: "data/rows.jsonl"}}`'


def test_data_files_keep_the_rules_of_a_recipe(folder: Path) -> None:
    def named(path: str) -> tuple[str, str, str | None]:
        return refused(folder, GOOD.replace("test: data/rows.jsonl", f'test: "{path}"'))

    assert named("../outside.jsonl")[:2] == ("D502", "../outside.jsonl is outside the recipe's folder")
    assert named("/etc/passwd")[0] == "D502"
    assert named("https://example.org/rows.jsonl")[0] == "D501"
    assert named("data/row.jsonl")[2] == 'did you mean "data/rows.jsonl"?'
    (folder / "data" / "link.jsonl").symlink_to(folder.parent / "outside.jsonl")
    assert named("data/link.jsonl")[0] == "D502"
    (folder / "data" / "bad.jsonl").write_text("{")
    assert named("data/bad.jsonl")[0] == "D506"


def test_the_tasks_beside_the_recipes() -> None:
    for path in sorted((RECIPES / "tasks").glob("*.yaml")):
        found = load_task(f"tasks/{path.name}", RECIPES)
        assert len(found.splits["test"]) >= 60 and {"question", "choices", "answer"} <= set(found.splits["test"][0])
