"""`lm_eval` and `multiple_choice` from recipe to scores, on a tiny model, and what can go wrong."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest
from tiny import tiny_tokenizer
from transformers import AutoModelForCausalLM

from steerdsl.planning import task_files

STEER = "topic = extract random with seed: 1\nsteer less { ablate topic at layers 1..2 }\n"
ROWS = [
    {"question": f"Which word is {word}?", "choices": [word, "bread", "price"], "answer": 0}
    for word in ("rain", "inflation", "ship", "book", "market", "tree", "tax")
]
TASK: dict[str, Any] = {
    "task": "words",
    "dataset_path": "json",
    "dataset_kwargs": {"data_files": {"test": "data/words.jsonl"}},
    "test_split": "test",
    "output_type": "multiple_choice",
    "doc_to_text": "{{question}}\nAnswer:",
    "doc_to_choice": "{{choices}}",
    "doc_to_target": "{{answer}}",
    "metric_list": [{"metric": "acc"}, {"metric": "acc_norm"}],
}


@pytest.fixture
def call(on_tiny: Any) -> Any:
    """Run a recipe that lies beside the task, by its text."""
    Path("data").mkdir()
    Path("data/words.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))

    def run(text: str, command: str = "run", **changes: Any) -> tuple[int, str, str]:
        Path("words.yaml").write_text(json.dumps({**TASK, **changes}))
        Path("r.steer").write_text(STEER + text)
        return on_tiny(command, "r.steer", *(("--out", "r", "--force") if command == "run" else ()))

    return run


def scores() -> Any:
    return json.loads(Path("r/scores.json").read_text())["scores"]


def by_harness(tiny_model: Path, metric: str, **settings: Any) -> list[float]:
    """What the harness's own model for transformers gives, document by document."""
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    model = AutoModelForCausalLM.from_pretrained(tiny_model, dtype="float32").eval()
    lm = HFLM(pretrained=model, tokenizer=tiny_tokenizer(), batch_size=3, device="cpu")
    found = simple_evaluate(
        lm, tasks=[TASK], task_manager=TaskManager(include_defaults=False), bootstrap_iters=0, **settings
    )
    return [float(sample[metric]) for sample in found["samples"]["words"]]


@pytest.mark.parametrize(
    ("options", "settings", "metric"),
    [
        ("", {}, "acc"),
        (', limit: 5, chat_template: true, metric: "acc_norm"', {"limit": 5, "apply_chat_template": True}, "acc_norm"),
        (", num_fewshot: 2", {"num_fewshot": 2}, "acc"),
    ],
)
def test_unsteered_figures_are_the_harness_s_own(
    call: Any, tiny_model: Path, options: str, settings: dict[str, Any], metric: str
) -> None:
    pytest.importorskip("lm_eval")
    code, out, err = call(f'scores = evaluate less with lm_eval("words.yaml"{options}), instruction: "Be brief."')
    assert code == 0, err
    found = scores()["lm_eval"]["words"]
    assert found["baseline"]["values"] == by_harness(tiny_model, metric, **settings)
    assert set(found) == {"baseline", "less", "random", "prompted"}
    assert set(found["less"]["against"]) == {"baseline", "random", "prompted"}
    assert found["less"]["n"] == settings.get("limit", 7)
    assert "words" in out and "git" not in err and "it/s" not in err


def test_a_sweep_reads_the_unsteered_model_once(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("lm_eval")
    from steerdsl.engine import harness

    made: list[str] = []
    plain = harness._evaluated

    def counted(run: Any, metric: Any, variant: Any) -> Any:
        made.append(variant.name)
        return plain(run, metric, variant)

    monkeypatch.setattr(harness, "_evaluated", counted)
    text = """sweep place over 0, 2 {
  steer one { ablate topic at layers place }
  scores = evaluate one with lm_eval("words.yaml", limit: 3), controls: none
}
check scores.lm_eval.words >= 0"""
    code, out, err = call(text)
    assert code == 0, err
    assert sorted(made) == ["baseline", "one", "one"] and "holds" in out
    assert [sorted(p["scores"]["lm_eval"]["words"]) for p in scores()["points"]] == [["baseline", "one"]] * 2
    made.clear()
    assert call(text)[0] == 0 and made == []


def test_the_plan_says_how_the_harness_asks(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_files, "version", lambda name: "0.4.13")
    code, out, _ = call(
        's = evaluate less with lm_eval("words.yaml", limit: 5, num_fewshot: 2), controls: none', "plan"
    )
    said = " ".join(out.split())
    assert code == 0 and "evaluate less on words" in said
    assert "version 0.4.13, the first 5 documents of each task, 2 solved examples, raw text" in said
    assert "file words.yaml, sha256 " in said and "file data/words.jsonl, sha256 " in said


def test_a_changed_row_or_release_is_a_new_result(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("lm_eval")
    text = 's = evaluate less with lm_eval("words.yaml", limit: 2), controls: none'
    assert call(text)[0] == 0
    assert "0 to run on the model" in call(text, "plan")[1]
    Path("data/words.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS[:-1]))
    assert "1 to run on the model" in call(text, "plan")[1]
    Path("data/words.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    assert "0 to run on the model" in call(text, "plan")[1]
    monkeypatch.setattr(task_files, "version", lambda name: "0.5.0")
    assert "1 to run on the model" in call(text, "plan")[1]


def test_the_record_names_the_files_that_were_read(call: Any) -> None:
    pytest.importorskip("lm_eval")
    assert call('s = evaluate less with lm_eval("words.yaml", limit: 2), controls: none')[0] == 0
    text = Path("r/record.json").read_text()
    assert '"words.yaml"' in text and '"data/words.jsonl"' in text


def caret(text: str, part: str, label: str = "") -> str:
    """The place of `part` in a recipe, as a message shows it."""
    rows = (STEER + text).splitlines()
    line = next(i for i, row in enumerate(rows, 1) if part in row)
    column = rows[line - 1].index(part)
    marks = " " * column + "^" * len(part) + (" " + label if label else "")
    return f" --> r.steer:{line}:{column + 1}\n  |\n{line} | {rows[line - 1]}\n  | {marks}\n  |\n"


def test_without_the_extra(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(task_files, "version", missing)
    text = 's = evaluate less with lm_eval("arc_easy")'
    code, _, err = call(text)
    assert err == (
        "error[R890]: `lm_eval` needs the package lm-eval\n"
        + caret(text, 'lm_eval("arc_easy")', "run by lm-evaluation-harness")
        + "help: pip install 'steerdsl[lm-eval]'\n"
    )
    assert code == 3


def test_a_task_file_with_code(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_files, "version", lambda name: "0.4.13")
    text = 's = evaluate less with lm_eval("words.yaml")'
    code, _, err = call(text, process_docs="utils.f")
    assert code == 1 and err == (
        "error[R891]: words.yaml may not say `process_docs`\n"
        + caret(text, 'lm_eval("words.yaml")', "this data set")
        + "help: a task file next to a recipe may hold only data and templates\n"
    )


def test_a_template_cannot_reach_into_python(call: Any) -> None:
    pytest.importorskip("lm_eval")
    reach = "{{ cycler.__init__.__globals__.os.system('touch touched') }}"
    code, _, err = call('s = evaluate less with lm_eval("words.yaml")', doc_to_text=reach)
    assert code == 3 and "error[R892]: lm-evaluation-harness cannot run `words.yaml`\n" in err
    assert "note: the reason given: access to attribute '__init__' of 'type' object is unsafe\n" in err
    assert not Path("touched").exists()


@pytest.mark.parametrize(
    ("options", "changes", "message"),
    [
        ("", {"doc_to_text": "{{questoin}}"}, "note: the reason given: 'questoin' is undefined\n"),
        (
            "",
            {"metric_list": [{"metric": "ac"}]},
            "error[R893]: words.yaml: lm-evaluation-harness has no metric `ac`\n",
        ),
        (', metric: "acc_nom"', {}, 'error[R893]: the task "words" has no metric "acc_nom"\n'),
        (
            "",
            {"metric_list": [{"metric": "mcc"}]},
            'error[R893]: the metric "mcc" of the task "words" is not a mean over its documents\n',
        ),
    ],
)
def test_a_task_that_cannot_be_scored(call: Any, options: str, changes: dict[str, Any], message: str) -> None:
    pytest.importorskip("lm_eval")
    code, _, err = call(f's = evaluate less with lm_eval("words.yaml"{options}), controls: none', **changes)
    assert code == 3 and message in err, err


def test_a_score_of_a_task_has_a_name(call: Any) -> None:
    text = 's = evaluate less with lm_eval("words.yaml")\ncheck s.lm_eval.wods > 0'
    code, _, err = call(text, "plan")
    assert code == 1
    assert err.startswith("error[S215]: `s` has no data set `wods`\n") and "help: did you mean `words`?\n" in err
    twice = 's = evaluate less with lm_eval("words.yaml"), lm_eval("words.yaml", limit: 3)'
    code, _, err = call(twice, "plan")
    assert code == 1 and err.startswith("error[S405]: `words` is scored twice\n")


def asked(rows: Sequence[dict[str, Any]], declared: str) -> str:
    Path("mc.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = 'multiple_choice, instruction: "Be brief."'
    return f'dataset mc = "mc.jsonl" with {declared}\nscores = evaluate less on mc with {options}'


def test_multiple_choice_from_recipe_to_scores(call: Any, tiny_model: Path) -> None:
    """The plain model's letters after the rendered question, row by row."""
    import torch

    answers = [dict(row, answer="ABC"[i % 3]) for i, row in enumerate(ROWS)]
    code, _, err = call(asked(answers, 'field: "question", choices: "choices", answer: "answer"'))
    assert code == 0, err
    model, tokenizer = AutoModelForCausalLM.from_pretrained(tiny_model, dtype="float32").eval(), tiny_tokenizer()
    letters = [tokenizer(letter, add_special_tokens=False)["input_ids"][0] for letter in "ABC"]
    wanted = []
    for row in answers:
        words = "\n".join(f"{letter}. {word}" for letter, word in zip("ABC", row["choices"], strict=True))
        message = [{"role": "user", "content": f"{row['question']}\n{words}\nAnswer:"}]
        text = tokenizer.apply_chat_template(message, add_generation_prompt=True, tokenize=False)
        with torch.no_grad():
            logits = model(torch.tensor([tokenizer(text, add_special_tokens=False)["input_ids"]])).logits[0, -1]
        wanted.append(float("ABC"[int(logits[letters].argmax())] == row["answer"]))
    assert scores()["multiple_choice"]["mc"]["baseline"]["values"] == wanted
    assert 0 < sum(wanted) < len(wanted)
    assert Path("r/generations.jsonl").read_text() == ""  # no metric reads an answer, so none is made
    assert set(scores()["multiple_choice"]["mc"]) == {"baseline", "less", "random", "prompted"}


def test_a_row_that_is_no_multiple_choice(call: Any) -> None:
    rows = [ROWS[0], {"question": "And?", "choices": ["u", "v"], "answer": "C"}]
    text = asked(rows, 'field: "question", choices: "choices", answer: "answer"')
    code, _, err = call(text, "plan")
    assert code == 1 and err == (
        'error[R894]: row 2 of `mc` has the answer "C", which is none of its 2 options, read as `index_from_0`\n'
        + caret(text, "multiple_choice", "asks row 2 of `mc`").replace(" --> r", "  --> r", 0)
        + 'help: declare `mc` with `choices: "FIELD", answer: "FIELD"`, and name the right answer by its number, '
        "counted from 0\n"
    )
    code, _, err = call(asked(ROWS, 'field: "question"'), "plan")
    assert code == 1 and "error[R894]: row 1 of `mc` has no options\n" in err and "note: 7 rows are like that\n" in err


@pytest.mark.slow
def test_a_name_that_the_harness_does_not_know(call: Any) -> None:
    pytest.importorskip("lm_eval")
    code, _, err = call('s = evaluate less with lm_eval("mmlu_high_school_macroeconomic"), controls: none')
    assert code == 3 and 'help: did you mean "mmlu_high_school_macroeconomics"?\n' in err
    assert 'error[R892]: lm-evaluation-harness has no task "mmlu_high_school_macroeconomic"\n' in err
