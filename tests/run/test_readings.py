"""What scores read of data: right answers in one form, prompts that were fitted on, questions joined with answers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny import tiny_tokenizer
from transformers import AutoModelForCausalLM

from steerdsl.measure import choices

COLOURS = ["red", "green", "blue", "black"]
FITTED = "dataset a = econ with take: 8\ndataset b = generic with take: 8\ntopic = extract diffmean from a vs b\n"
LESS = "steer less { ablate topic at layers 1 }\n"


def write(name: str, rows: Sequence[dict[str, Any]]) -> None:
    Path(name).write_text("".join(json.dumps(row) + "\n" for row in rows))


def squeezed(text: str) -> str:
    return " ".join(text.split())


# ---- one form of answers -------------------------------------------------------------------------


def questions(answers: Sequence[object]) -> None:
    write("arc.jsonl", [{"q": f"Which {i}?", "o": COLOURS, "a": answer} for i, answer in enumerate(answers)])


def asks(form: str = "", more: str = "") -> str:
    form = form and f", answer_form: {form}"
    data = f'dataset arc = "arc.jsonl" with field: "q", choices: "o", answer: "a"{form}{more}\n'
    return FITTED + data + LESS + "scores = evaluate less on arc with multiple_choice, controls: none\n"


@pytest.mark.parametrize("as_text", [False, True])
def test_digits_that_may_count_from_0_or_from_1_are_asked_for(on_tiny: Any, as_text: bool) -> None:
    questions([str(n) if as_text else n for n in (1, 2, 3, 1, 2)])
    code, _, err = on_tiny("plan", "-e", asks())
    assert code == 1 and "error[D517]: the rows of `arc` name the right answer in a way that can be read 2 ways" in err
    assert 'note: row 1 says "1": by its number, counted from 0, B, or by its number, counted from 1, A' in err
    assert "help: say which is meant: `answer_form: index_from_0` or `answer_form: index_from_1`" in err


@pytest.mark.parametrize("form", choices.FORMS)
def test_the_declared_form_is_printed_and_scored(on_tiny: Any, tiny_model: Path, form: str) -> None:
    """The options that plain forward passes find likeliest are right in whatever form the file names them."""
    likeliest = preferred(tiny_model, [f"Which {i}?" for i in range(5)])
    names = {"letter": "ABCD", "text": COLOURS, "index_from_0": range(4), "index_from_1": range(1, 5)}[form]
    questions([names[place] for place in likeliest])
    code, out, err = on_tiny("plan", "-e", asks(form))
    assert code == 0, err
    assert f"arc: {form}, the right option {choices.MEANING[form]} (declared)" in squeezed(out)
    assert on_tiny("run", "-e", asks(form), "--out", "r")[0] == 0
    figures = json.loads(Path("r/scores.json").read_text())["scores"]["multiple_choice"]["arc"]
    assert figures["baseline"]["mean"] == 1 and figures["baseline"]["reason"] is None


def preferred(folder: Path, asked: Sequence[str]) -> list[int]:
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder, dtype="float32").eval(), tiny_tokenizer()
    letters = [tokenizer(letter, add_special_tokens=False)["input_ids"][0] for letter in "ABCD"]
    found = []
    for question in asked:
        listed = "\n".join(f"{letter}. {text}" for letter, text in zip("ABCD", COLOURS, strict=True))
        message = [{"role": "user", "content": f"{question}\n{listed}\nAnswer:"}]
        text = tokenizer.apply_chat_template(message, add_generation_prompt=True, tokenize=False)
        with torch.no_grad():
            logits = model(torch.tensor([tokenizer(text, add_special_tokens=False)["input_ids"]])).logits[0, -1]
        found.append(int(logits[letters].argmax()))
    return found


def test_rows_that_take_leaves_out_still_tell_the_form(on_tiny: Any) -> None:
    """The form belongs to the file: its other rows say 4, which only a number from 1 can."""
    questions([1, 2, 3, 4] * 3)
    code, out, err = on_tiny("plan", "-e", asks(more=", take: 2"))
    assert code == 0, err
    assert "arc: index_from_1, the right option by its number, counted from 1 (the form that fits 12 rows)" in squeezed(
        out
    )


def test_letters_and_digits_in_one_file_are_refused(on_tiny: Any) -> None:
    questions(["A", "2", "B", "4"])
    code, _, err = on_tiny("plan", "-e", asks())
    assert code == 1 and "D517" in err and 'note: by its letter: not row 2, "2"' in err
    code, _, err = on_tiny("plan", "-e", asks("letter"))
    assert code == 1 and "R894" in err and 'row 2 of `arc` has the answer "2"' in err and "read as `letter`" in err


def test_a_csv_knows_texts_only(on_tiny: Any) -> None:
    Path("arc.csv").write_text("q,a\nWhich?,1\n")
    code, _, err = on_tiny("plan", "-e", asks().replace("arc.jsonl", "arc.csv").replace('choices: "o", ', ""))
    assert code == 1 and "row 1 of `arc` has no options" in err


# ---- answers that a metric cannot read -----------------------------------------------------------


def capitals(answers: Sequence[object], metrics: str) -> str:
    write("facts.jsonl", [{"q": f"How many {i}?", "a": answer} for i, answer in enumerate(answers)])
    data = 'dataset facts = "facts.jsonl" with field: "q", answer: "a"\n'
    return FITTED + data + LESS + f"scores = evaluate less on facts with {metrics}, max_tokens: 4, controls: none\n"


@pytest.mark.parametrize(
    ("metric", "answers"),
    [
        ("exact_match", ["Paris", "1/2"]),
        ("exact_match(form: letter)", [5, "F"]),
        ("rouge_1_recall", ["Цена", "价格"]),
    ],
)
def test_a_metric_that_can_read_no_answer_is_refused_before_the_run(
    on_tiny: Any, metric: str, answers: list[Any]
) -> None:
    code, _, err = on_tiny("run", "-e", capitals(answers, metric), "--out", "r")
    name = metric.partition("(")[0]
    assert code == 1 and f"error[D518]: `{name}` can read none of the 2 answers of `facts`" in err
    assert not Path("r").exists()


def test_answers_that_cannot_be_read_have_no_figure(on_tiny: Any) -> None:
    """Two of four: said once before the run, null with a reason, and out of the mean."""
    code, out, err = on_tiny("run", "-e", capitals([5, "Paris", "1/2", 7], "exact_match, chrf"), "--out", "r")
    assert code == 0, err
    assert err.count("warning[D518]: `exact_match` can read 2 of the 4 answers of `facts`") == 1
    figures = json.loads(Path("r/scores.json").read_text())["scores"]["exact_match"]["facts"]
    for variant in ("baseline", "less"):
        assert [value is None for value in figures[variant]["values"]] == [False, True, True, False]
        assert figures[variant]["n"] == 2 and figures[variant]["reason"].startswith("`flexible` reads a number")
    warnings = json.loads(Path("r/record.json").read_text())["warnings"]
    assert "`exact_match` can read 2 of the 4 answers of `facts`" in warnings
    assert sum("exact_match of facts has no figure for some answers" in line for line in warnings) == 1
    # A second run takes the table from the store, and says the same.
    assert on_tiny("run", "-e", capitals([5, "Paris", "1/2", 7], "exact_match, chrf"), "--out", "again")[0] == 0
    assert json.loads(Path("again/record.json").read_text())["warnings"] == warnings
    assert "2 of 4" in out


def test_a_data_set_without_answers_beside_one_with_them(on_tiny: Any) -> None:
    text = capitals([5, 6], "exact_match").replace("on facts", "on facts, b")
    code, _, err = on_tiny("plan", "-e", text)
    assert code == 0, err
    assert "warning[D518]: the rows of `b` have no answer, so `exact_match` has no figure for them" in err


# ---- prompts that something was fitted on --------------------------------------------------------

VARIANTS = ["{}", "{} ", " {}", "{}\n", "\t{}", "{}\u00a0", "What  is", "What\nis"]


def two_files(shared: int, variant: str) -> str:
    ours = [f"What is bread {i}?" for i in range(8)]
    again = [
        text.replace("What is", variant) if "{}" not in variant else variant.format(text) for text in ours[:shared]
    ]
    write("one.jsonl", [{"prompt": text} for text in ours])
    write("two.jsonl", [{"prompt": text} for text in [*again, *(f"Who is {i}?" for i in range(8 - shared))]])
    return (
        'dataset one = "one.jsonl" with held_out: 0%\ndataset two = "two.jsonl"\n'
        "dataset b = generic with take: 8\ntopic = extract diffmean from one vs b\n"
        + LESS
        + "scores = evaluate less on two with bleu, max_tokens: 2, controls: none\n"
    )


@pytest.mark.parametrize("variant", VARIANTS)
def test_prompts_of_another_file_are_counted(on_tiny: Any, variant: str) -> None:
    code, out, err = on_tiny("plan", "-e", two_files(8, variant))
    assert code == 0, err
    assert "warning[D519]: `scores` asks 8 of the 8 prompts of `two.all` that `topic` saw" in err
    assert "8 of two.all (8 of them fitted on by `topic`)" in squeezed(out)
    assert "nothing was fitted on it" not in out


@pytest.mark.parametrize("shared", [0, 3])
def test_the_count_is_that_of_the_common_prompts_in_plan_and_record(on_tiny: Any, shared: int) -> None:
    code, _, err = on_tiny("run", "-e", two_files(shared, "{} "), "--out", "r")
    assert code == 0, err
    warnings = json.loads(Path("r/record.json").read_text())["warnings"]
    wanted = ["`scores` asks 3 of the 8 prompts of `two.all` that `topic` saw"] if shared else []
    assert [line for line in warnings if "asks" in line] == wanted
    assert err.count("warning[D519]") == len(wanted)


def test_a_split_keeps_its_own_prompts_apart(on_tiny: Any) -> None:
    write("all.jsonl", [{"prompt": f"What is bread {i}?{end}"} for i in range(20) for end in ("", " ", "\n")])
    text = (
        'dataset one = "all.jsonl"\ndataset b = generic with take: 8\ntopic = extract diffmean from one vs b\n'
        + LESS
        + "scores = evaluate less on one with bleu, max_tokens: 2, controls: none\n"
    )
    code, _, err = on_tiny("plan", "-e", text)
    assert code == 0 and "D519" not in err
    assert "warning[D513]" in err  # rows that differ in white space alone are repeated


def test_a_question_that_pairs_were_fitted_on_is_counted(on_tiny: Any) -> None:
    write("pairs.jsonl", [{"q": f"Is bread {i} old?", "yes": "Yes", "no": "No"} for i in range(6)])
    write("asked.jsonl", [{"prompt": f" Is bread {i} old?"} for i in range(6)])
    text = (
        'dataset p = "pairs.jsonl" with field: "q", positive: "yes", negative: "no", held_out: 0%\n'
        'dataset asked = "asked.jsonl"\ntopic = extract diffmean from p\n'
        + LESS
        + "scores = evaluate less on asked with bleu, max_tokens: 2, controls: none\n"
    )
    code, _, err = on_tiny("plan", "-e", text)
    assert code == 0 and "asks 6 of the 6 prompts of `asked.all` that `topic` saw" in err


# ---- questions and answers -----------------------------------------------------------------------


def residual(folder: Path, texts: Sequence[tuple[str, str]], template: bool) -> np.ndarray:
    """The mean of block 1's output over the answer's tokens, then over texts, by transformers alone."""
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder, dtype="float32").eval(), tiny_tokenizer()
    rows = []
    for question, answer in texts:
        if template:
            message = [{"role": "user", "content": question}]
            before = tokenizer.apply_chat_template(message, add_generation_prompt=True, tokenize=False)
        else:
            before = question
        n = len(tokenizer(before, add_special_tokens=not template)["input_ids"])
        ids = tokenizer(before + answer, add_special_tokens=not template)["input_ids"]
        with torch.no_grad():
            states = model(torch.tensor([ids]), output_hidden_states=True).hidden_states
        rows.append(states[2][0, n:].double().mean(0).numpy())
    return np.mean(rows, axis=0)


@pytest.mark.parametrize("template", [True, False])
@pytest.mark.parametrize("kind", ["answers", "pairs"])
def test_an_answer_of_the_data_is_read_behind_its_question(
    on_tiny: Any, tiny_model: Path, kind: str, template: bool
) -> None:
    """Same questions, other answers: in raw text a space stands between, in the template nothing."""
    asked = [f"Is bread {i} old?" for i in range(4)]
    said = {"warm": [f"Yes, {i} days." for i in range(4)], "cold": [f"No. {i}" for i in range(4)]}
    raw = "" if template else 'model "m" with template: "none"\n'
    if kind == "pairs":
        write("p.jsonl", [{"q": q, "w": w, "c": c} for q, w, c in zip(asked, said["warm"], said["cold"], strict=True)])
        data = 'dataset p = "p.jsonl" with field: "q", positive: "w", negative: "c", held_out: 0%\n'
        made = "topic = extract diffmean from p at mean_response\n"
    else:
        for name, answers in said.items():
            write(f"{name}.jsonl", [{"q": q, "a": a} for q, a in zip(asked, answers, strict=True)])
        data = "".join(f'dataset {name} = "{name}.jsonl" with field: "q", answer: "a", held_out: 0%\n' for name in said)
        made = "topic = extract diffmean from warm vs cold at mean_response\n"
    code, _, err = on_tiny("run", "-e", raw + data + made, "--out", "r")
    assert code == 0, err
    gap = "" if template else " "
    means = [residual(tiny_model, [(q, gap + a) for q, a in zip(asked, said[n], strict=True)], template) for n in said]
    found = load_file("r/vectors/topic.safetensors")
    np.testing.assert_allclose(found["mean_positive"][1].numpy(), means[0], atol=1e-5)
    np.testing.assert_allclose(found["mean_negative"][1].numpy(), means[1], atol=1e-5)
    code, out, _ = on_tiny("plan", "-e", raw + data + made)
    rule = (
        "nothing, as in the template" if template else "a space, unless the one ends or the other begins in white space"
    )
    assert f"joined {rule} between a prompt and its answer" in squeezed(out)


def test_own_answers_are_read_token_by_token(on_tiny: Any, tiny_model: Path) -> None:
    """Where the data has no answers: greedy ones of 32 tokens, whatever text they make."""
    asked = [f"Is bread {i} old?" for i in range(3)]
    write("a.jsonl", [{"prompt": q} for q in asked])
    text = (
        'model "m" with template: "none"\ndataset a = "a.jsonl" with held_out: 0%\ndataset b = generic with take: 4\n'
        "topic = extract diffmean from a vs b at mean_response\n"
    )
    code, _, err = on_tiny("run", "-e", text, "--out", "r")
    assert code == 0, err
    model, tokenizer = AutoModelForCausalLM.from_pretrained(tiny_model, dtype="float32").eval(), tiny_tokenizer()
    rows = []
    for question in asked:
        ids = list(tokenizer(question)["input_ids"])
        n = len(ids)
        with torch.no_grad():
            for _ in range(32):
                new = int(model(torch.tensor([ids])).logits[0, -1].argmax())
                if new == tokenizer.eos_token_id:
                    break
                ids.append(new)
            states = model(torch.tensor([ids]), output_hidden_states=True).hidden_states
        rows.append(states[2][0, n:].double().mean(0).numpy())
    found = load_file("r/vectors/topic.safetensors")["mean_positive"][1].numpy()
    np.testing.assert_allclose(found, np.mean(rows, axis=0), atol=1e-5)
