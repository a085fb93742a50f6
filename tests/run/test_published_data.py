"""Data in the shapes of publication, prompts in the recipe and conversations, from recipe to run and pack."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from states import last_states, vector
from tiny import tiny_tokenizer

from steerdsl.lang.diagnostics import RecipeError
from steerdsl.models.prompts import Renderer

TRUE = ["Paris is in France.", "Rome is in Italy.", "Bern is in Switzerland.", "Oslo is in Norway."]
FALSE = ["Paris is in Peru.", "Rome is in Chad.", "Bern is in Oman."]
TALK = [
    {"role": "system", "content": "Be terse."},
    {"role": "user", "content": "Where is Paris?"},
    {"role": "assistant", "content": "In France."},
    {"role": "user", "content": "And Rome?"},
]


def test_rows_of_two_sides_and_prompts_of_the_recipe(on_tiny: Any, steerdsl: Any, tiny_model: Path) -> None:
    lines = ["statement;label", *(f"{text};1" for text in TRUE), *(f"{text};0" for text in FALSE), "Hm.;2"]
    Path("cities.csv").write_text("\n".join(lines), "utf-16")
    recipe = """
dataset cities = "cities.csv" with field: "statement", held_out: 0% positive where label == 1 negative where label == 0
truth = extract diffmean from cities
love = extract diffmean from "I love you" vs ["I hate you", "Go away"]
steer s { add truth by 1 at layer 1; ablate love at layer 2 }
generate from "Where is Rome?" with steer: s, max_tokens: 3
"""
    Path("r.steer").write_text(recipe)
    code, out, err = on_tiny("run", "r.steer", "--out", "r")
    assert code == 0, err
    states = last_states(tiny_model, [*TRUE, *FALSE, "I love you", "I hate you", "Go away"])
    truth = states[:4].mean(0) - states[4:7].mean(0)
    love = states[7] - states[8:].mean(0)
    np.testing.assert_allclose(vector("r", "truth"), truth, atol=1e-4, rtol=1e-3)
    np.testing.assert_allclose(vector("r", "love"), love, atol=1e-4, rtol=1e-3)
    plan = on_tiny("plan", "r.steer")[1]
    words = " ".join(plan.split())
    assert "7 rows positive where label == 1, negative where label == 0" in words
    assert "positive 4 prompts of cities" in words and "prompts of the recipe" in words
    record = json.loads(Path("r/record.json").read_text())
    assert record["data"]["cities"]["chosen"] == "positive where label == 1, negative where label == 0"
    assert list(record["inputs"]) == ["cities.csv"]
    assert on_tiny("pack", "r.steer", "--run", "r", "--out", "p.steerpack")[0] == 0
    code, out, err = steerdsl("verify", "p.steerpack", "--model", str(tiny_model))
    assert code == 0, out + err
    code, out, err = on_tiny("eject", "r.steer", "--out", "r.py")
    assert code == 0 and "I love you" in Path("r.py").read_text(), err


def test_a_parquet_file_goes_into_a_pack(on_tiny: Any, steerdsl: Any, tiny_model: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(pyarrow.table({"text": TRUE + FALSE, "label": [1] * 4 + [0] * 3}), "c.parquet")
    Path("r.steer").write_text(
        'dataset t = "c.parquet" where label == 1 with held_out: 0%\n'
        'dataset f = "c.parquet" where label == 0 with held_out: 0%\n'
        "topic = extract diffmean from t vs f\nablate topic everywhere\n"
        "generate from f with steer: main, max_tokens: 2\n"
    )
    assert on_tiny("run", "r.steer", "--out", "r")[0] == 0
    assert on_tiny("lock", "r.steer")[0] == 0
    assert on_tiny("pack", "r.steer", "--run", "r", "--out", "p.steerpack")[0] == 0
    code, out, err = steerdsl("verify", "p.steerpack", "--model", str(tiny_model))
    assert code == 0, out + err


def test_a_changed_condition_is_another_result(on_tiny: Any) -> None:
    Path("c.csv").write_text("\n".join(["text,label", *(f"{t},{i % 2}" for i, t in enumerate(TRUE + FALSE))]))
    for label in (0, 1, 0):
        on_tiny("run", "-e", f'dataset t = "c.csv" where label == {label} with held_out: 0%\n'
                'v = extract diffmean from t vs "Hm."', "--out", f"r{label}", "--force")  # fmt: skip
    assert not np.allclose(vector("r0", "v"), vector("r1", "v"))


# ---- conversations ----


def test_a_conversation_is_rendered_by_the_template() -> None:
    tokenizer = tiny_tokenizer()
    turns = [(turn["role"], turn["content"]) for turn in TALK[:-1]]
    made = Renderer(tokenizer, system="Be long.").render(TALK[-1]["content"], before=turns)
    expected = tokenizer.apply_chat_template(TALK, tokenize=False, add_generation_prompt=True)
    assert made.text == expected
    assert tokenizer.decode(made.ids[made.content[0] : made.content[1]]) == "And Rome?"
    answered = Renderer(tokenizer).render(TALK[-1]["content"], "In Italy.", turns)
    assert answered.response is not None and answered.text == expected + "In Italy."
    assert tokenizer.decode(answered.ids[slice(*answered.response)]) == "In Italy."


def test_a_conversation_needs_a_template() -> None:
    with pytest.raises(RecipeError, match="conversation of several turns needs a chat template"):
        Renderer(tiny_tokenizer(), template="none").render("And?", before=(("user", "What?"), ("assistant", "That.")))


def test_conversations_are_asked_whole(on_tiny: Any) -> None:
    other = [*TALK[:1], {"role": "user", "content": "Where is Lima?"}, {"role": "assistant", "content": "In Peru."}]
    rows = [{"messages": TALK}, {"messages": [*other, TALK[-1]]}, {"messages": TALK[3:]}]
    Path("t.json").write_text(json.dumps(rows))
    recipe = 'dataset t = "t.json"\ngenerate from t with max_tokens: 4'
    Path("r.steer").write_text(recipe)
    code, _, err = on_tiny("run", "r.steer", "--out", "r")
    assert code == 0, err
    lines = [json.loads(line) for line in Path("r/generations.jsonl").read_text().splitlines()]
    assert [line["prompt"] for line in lines] == ["And Rome?"] * 3
    assert len({line["rendered_sha256"] for line in lines}) == 3
    assert len(set(json.loads(Path("r/record.json").read_text())["data"]["t"]["ids"])) == 3
    code, _, err = on_tiny("eject", "r.steer")
    assert code == 1 and "P721" in err and "several turns" in err
