"""Data sets of answers, against plain transformers: what is asked, what is answered, which answers train a vector."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

import steerdsl as package
from steerdsl.engine import generate_shared
from steerdsl.engine.generate_shared import Asks

QUESTIONS = [
    f"What is {word}?" for word in ("bread", "rain", "a ship", "tax", "snow", "a poem", "salt", "trade", "ice")
]
SHARE, SEED = 0.3, 1
ASKED = f"dataset q = {json.dumps(QUESTIONS)} with held_out: 30%, seed: {SEED}\n"
SYSTEMS = {"positive": ["Be evil.", "Be mean."], "negative": ["Be kind."]}
TWO = 'positive system: ["Be evil.", "Be mean."], negative system: "Be kind."'
EVIL = f'{ASKED}dataset evil = answers to q with {TWO}, positive prefix: "Ha", max_tokens: 5\n'
TOPIC = "topic = extract diffmean from evil.positive vs evil.negative at mean_response\n"
OFTEN = f"{ASKED}dataset d = answers to q with n: 8, temperature: 1.5, max_tokens: 40\n"


def held_out(question: str) -> bool:
    digest = hashlib.sha256(f"{SEED}\n{question}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64 < SHARE


def rows(run: str, name: str = "evil") -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(run, "data", f"{name}.jsonl").read_text("utf-8").splitlines()]


def record(run: str) -> Any:
    return json.loads(Path(run, "record.json").read_text("utf-8"))


def settings(run: str, verb: str) -> dict[str, str]:
    (step,) = [step for step in record(run)["plan"]["steps"] if step["verb"] == verb]
    return dict(step["settings"])


def keys(plan: Any) -> dict[str, str]:
    return {step["name"]: step["key"] for step in plan["steps"] if step["key"]}


class Plain:
    """The tiny model by transformers alone."""

    def __init__(self, folder: Path) -> None:
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        self.tokenizer = AutoTokenizer.from_pretrained(folder)

    def ids(self, system: str | None, question: str, prefix: str = "") -> list[int]:
        turns = [{"role": "system", "content": system}] if system is not None else []
        turns.append({"role": "user", "content": question})
        text = self.tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        return list(self.tokenizer(text + prefix, add_special_tokens=False)["input_ids"])

    def greedy(self, ids: Sequence[int], new: int) -> list[int]:
        given = torch.tensor([ids])
        mask = torch.ones_like(given)
        made = self.model.generate(given, attention_mask=mask, max_new_tokens=new, do_sample=False)[0, len(ids) :]
        found = made.tolist()
        return found[: found.index(end)] if (end := self.tokenizer.eos_token_id) in found else found

    def drawn(self, ids: Sequence[int], new: int, heat: float, seed: int, sample: int) -> list[int]:
        """One sampled answer: the token at which the sum of probabilities passes the number of its own hash."""
        told = f"{seed},0,{sample},{','.join(map(str, ids))}"
        numbers = np.frombuffer(hashlib.shake_256(told.encode()).digest(8 * new), "<u8") >> 11
        found = list(ids)
        for number in numbers.astype(np.float64) / 2**53:
            with torch.no_grad():
                logits = self.model(torch.tensor([found])).logits[0, -1].double().numpy() / heat
            p = np.exp(logits - logits.max())
            token = int(np.searchsorted(p.cumsum(), number * p.sum(), side="right"))
            if token == self.tokenizer.eos_token_id:
                break
            found.append(token)
        return found[len(ids) :]

    def mean(self, ids: Sequence[int], start: int) -> torch.Tensor:
        """The mean of each block's output over the tokens from `start` on, [layers, d]."""
        with torch.no_grad():
            states: list[torch.Tensor] = []
            hooks = [
                block.register_forward_hook(lambda _, __, out: states.append(out[0] if isinstance(out, tuple) else out))
                for block in self.model.model.layers
            ]
            self.model(torch.tensor([list(ids)]))
        for hook in hooks:
            hook.remove()
        return torch.stack([state.reshape(-1, state.shape[-1])[start:].double().mean(0) for state in states])


@pytest.fixture
def plain(tiny_model: Path) -> Plain:
    return Plain(tiny_model)


def test_greedy_answers_and_their_vector_are_those_of_transformers(on_tiny: Any, plain: Plain) -> None:
    code, _, err = on_tiny("run", "-e", EVIL + TOPIC, "--out", "run")
    assert code == 0, err
    wanted, means = [], {"positive": [], "negative": []}
    for side, systems in SYSTEMS.items():
        prefix = "Ha" if side == "positive" else ""
        for question in QUESTIONS:
            for system in systems:
                before, ids = plain.ids(system, question), plain.ids(system, question, prefix)
                tokens = plain.greedy(ids, 5)
                said = prefix + plain.tokenizer.decode(tokens, skip_special_tokens=True)
                wanted.append((side, system, question, said))
                if not held_out(question):
                    means[side].append(plain.mean([*ids, *tokens], len(before)))
    assert [(r["side"], r["system"], r["question"], r["answer"]) for r in rows("run")] == wanted
    assert any(map(held_out, QUESTIONS)) and not all(map(held_out, QUESTIONS))
    vector = load_file("run/vectors/topic.safetensors")
    raw = vector["directions"].double() * vector["raw_norms"].double()[:, None]
    by_hand = torch.stack(means["positive"]).mean(0) - torch.stack(means["negative"]).mean(0)
    assert torch.allclose(raw, by_hand, atol=1e-5)
    trained = sum(not held_out(question) for question in QUESTIONS)
    assert settings("run", "extract")["positive"].startswith(f"at most {2 * trained} prompts of evil.train (positive)")
    assert record("run")["answers"] == {
        "evil": {"made": 27, "kept": 27, "kept_by_side": {"positive": 18, "negative": 9}, "dropped": {}}
    }


def test_sampled_answers_are_what_their_own_numbers_give(on_tiny: Any, plain: Plain) -> None:
    text = f"{ASKED}dataset d = answers to q with n: 3, temperature: 1.2, seed: 4, max_tokens: 6\n"
    assert on_tiny("run", "-e", text, "--out", "run")[0] == 0
    found = [json.loads(line) for line in Path("run/generations.jsonl").read_text("utf-8").splitlines()]
    assert len(found) == 27 and {row["dataset"] for row in found} == {"d"}
    for row in found[::4]:
        ids = plain.ids(None, QUESTIONS[row["row"]])
        assert row["token_ids"] == plain.drawn(ids, 6, 1.2, 4, row["sample"])
    assert on_tiny("run", "-e", text, "--out", "other", "--seed", "5")[0] == 0
    assert [r["answer"] for r in rows("other", "d")] != [r["answer"] for r in rows("run", "d")]


def test_sides_are_made_by_what_each_keeps(on_tiny: Any) -> None:
    text = OFTEN.rstrip() + " positive where eos_share = 1 negative where eos_share = 0\n"
    text += "v = extract diffmean from d at last_token\ngenerate from d.positive.all with max_tokens: 2\n"
    code, out, err = on_tiny("run", "-e", text, "--out", "run")
    assert code == 0, err
    found = rows("run", "d")
    assert len(found) == 72
    for row in found:
        empty = not row["answer"].strip()
        assert row["kept"] is not empty and (row["why"] == "the answer is empty") is empty
        if row["kept"]:
            assert row["side"] == ("positive" if row["ended"] else "negative")
    ended = [row for row in found if row["kept"] and row["ended"]]
    counts = record("run")["answers"]["d"]
    assert counts["kept_by_side"]["positive"] == len(ended) > 0
    answers = [json.loads(line) for line in Path("run/generations.jsonl").read_text("utf-8").splitlines()]
    assert [a["prompt"] for a in answers if a["step"] != "d"] == [row["question"] for row in ended]
    assert f"{counts['kept']} of 72 answers kept ({len(ended)} positive, {72 - len(ended)} negative)" in " ".join(
        (out + err).split()
    )


def test_conditions_hold_together_and_an_answer_without_a_figure_is_dropped(on_tiny: Any) -> None:
    text = OFTEN.rstrip() + " keep when eos_share < 50% and distinct_1 > 0.5\n"
    assert on_tiny("run", "-e", text, "--out", "run")[0] == 0
    for row in rows("run", "d"):
        marks = row["figures"]
        wanted = not row["ended"] and marks["distinct_1"] is not None and marks["distinct_1"] > 0.5
        assert row["kept"] is wanted
        if not row["ended"] and marks["distinct_1"] is None:
            assert row["why"] == "`distinct_1` gives it no figure"
    made = record("run")["answers"]["d"]
    assert made["made"] == 72 == made["kept"] + sum(made["dropped"].values())


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        (f"{ASKED}dataset d = answers to q with max_tokens: 4 where refusal_rate = 2\n", "no answer of `d`"),
        (f"{EVIL.rstrip()} negative keep when eos_share > 1\n", "no answer of the negative side of `evil`"),
    ],
)
def test_when_none_is_kept_the_counts_say_why(on_tiny: Any, recipe: str, said: str) -> None:
    code, _, err = on_tiny("run", "-e", recipe, "--out", "run")
    assert code == 3 and f"error[D550]: {said} was kept" in err and "were dropped: not `" in err
    assert record("run")["state"] == "failed" and record("run")["answers"]
    assert len(rows("run", "d" if "dataset d" in recipe else "evil")) in (9, 27)


def test_a_part_without_an_answer_is_refused(on_tiny: Any) -> None:
    text = 'dataset q = ["What is bread?"] with held_out: 0%\ndataset d = answers to q with max_tokens: 3\n'
    code, _, err = on_tiny("plan", "-e", f"{text}generate from d.tune")
    assert code == 1 and "S469" in err
    one = next(question for question in QUESTIONS if not held_out(question))
    text = f'dataset q = ["{one}", "{one} "] with held_out: 30%, seed: 1\ndataset d = answers to q with max_tokens: 3\n'
    code, _, err = on_tiny("plan", "-e", f"{text}generate from d.held_out")
    assert code == 1 and "error[D511]: d.held_out is empty: none of the 2 answers" in err


def test_other_conditions_need_no_new_answers(on_tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert on_tiny("run", "-e", OFTEN + "extract diffmean from d vs generic\n", "--out", "run")[0] == 0
    code, _, err = on_tiny("run", "-e", OFTEN + "extract diffmean from d vs econ\n", "--out", "again")
    assert code == 0 and "answer d: in the store already" in err

    def none(*given: Any) -> Any:
        raise AssertionError("nothing is answered")

    monkeypatch.setattr(generate_shared, "answer", none)
    code, _, err = on_tiny("run", "-e", OFTEN.rstrip() + " keep when eos_share = 0\n", "--out", "kept")
    assert code == 0, err
    texts = [row["answer"] for row in rows("run", "d")]
    assert [row["answer"] for row in rows("kept", "d")] == texts


def test_a_run_that_is_stopped_goes_on_with_its_batches(on_tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    make = Asks._make

    def stopping(self: Asks, key: str, part: Any, meter: Any) -> Any:
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(len(part))
        return make(self, key, part, meter)

    monkeypatch.setattr(Asks, "_make", stopping)
    words = ("run", "-e", EVIL, "--batch-size", "4", "--out")
    assert on_tiny(*words, "run")[0] == 130
    assert record("run")["answers"] == {} and len(made) == 2
    first = list(made)
    made[:] = []
    monkeypatch.setattr(Asks, "_make", lambda *given: made.append(len(given[2])) or make(*given))
    assert on_tiny(*words, "again")[0] == 0
    assert sum(made) + sum(first) == 27


def test_the_same_steer_answers_as_in_generate(on_tiny: Any) -> None:
    text = f"{ASKED}steer more {{ add v by 4 at layer 1 }}\ndataset d = answers to q with steer: more, max_tokens: 5\n"
    text = 'v = extract diffmean from "I love you" vs "I hate you"\n' + text
    text += "out = generate from q with steer: more, max_tokens: 5\nplain = generate from q with max_tokens: 5\n"
    code, _, err = on_tiny("run", "-e", text, "--out", "run")
    assert code == 0, err
    found = [json.loads(line) for line in Path("run/generations.jsonl").read_text("utf-8").splitlines()]
    said = {name: [a["token_ids"] for a in found if a["step"] == name] for name in ("d", "out", "plain")}
    assert said["d"] == said["out"] != said["plain"]
    assert settings("run", "answer")["variant"] == "more"


def test_answers_to_unsafe_questions_are_nowhere_afterwards(on_tiny: Any, tmp_path: Path) -> None:
    text = EVIL.replace("held_out: 30%", "held_out: 30%, unsafe: true") + TOPIC
    assert on_tiny("run", "-e", text, "--out", "kept", "--keep-unsafe")[0] == 0
    said = [row["answer"] for row in rows("kept") if len(row["answer"]) > 8]
    assert said
    shutil.rmtree(tmp_path / "cache" / "store")
    code, _, err = on_tiny("run", "-e", text, "--out", "run")
    assert code == 0, err
    assert {row["answer"] for row in rows("run")} == {None}
    hashes = [hashlib.sha256(row["answer"].encode()).hexdigest() for row in rows("kept")]
    assert [row["answer_sha256"] for row in rows("run")] == hashes
    files = [
        path for place in (tmp_path / "cache" / "store", Path("run")) for path in place.rglob("*") if path.is_file()
    ]
    written = [path.read_bytes() for path in files]
    for text in said:
        told = json.dumps(text, ensure_ascii=False).encode()[1:-1]
        assert not any(told in data for data in written)


def test_what_is_fitted_on_answers_is_fitted_on_their_questions(on_tiny: Any) -> None:
    code, _, err = on_tiny(
        "plan", "-e", f"{EVIL}{TOPIC}ablate topic everywhere\nevaluate on q with refusal_rate", "--json"
    )
    assert code == 0 and "D519" not in err
    code, _, err = on_tiny("plan", "-e", f"{EVIL}{TOPIC}ablate topic everywhere\nevaluate on q.train with refusal_rate")
    assert code == 0 and "warning[S450]: `q.train` holds rows that `topic` was fitted on" in err
    other = f'dataset same = ["{QUESTIONS[0]}", "{QUESTIONS[3]}"] with held_out: 0%\n'
    code, _, err = on_tiny(
        "plan", "-e", f"{EVIL}{TOPIC}{other}ablate topic everywhere\nevaluate on same with refusal_rate"
    )
    assert "warning[D519]" in err and "that `topic` saw" in err


def test_keys_know_the_batches_in_half_precision_alone(steerdsl: Any, tiny_model: Path) -> None:
    Path("a.steer").write_text(EVIL + TOPIC)
    assert steerdsl("run", "a.steer", "--model", str(tiny_model), "--out", "run")[0] == 0  # hashes the weights

    def planned(dtype: str, size: str) -> dict[str, str]:
        options = ("--dtype", dtype, "--device", "cpu", "--batch-size", size, "--json")
        code, out, err = steerdsl("plan", "a.steer", "--model", str(tiny_model), *options)
        assert code == 0, err
        return keys(json.loads(out))

    full, same = planned("float32", "2"), planned("float32", "3")
    assert full == same and full.keys() == {"evil", "topic"}
    half, other = planned("bfloat16", "2"), planned("bfloat16", "3")
    assert half["evil"] != other["evil"] and half["topic"] != other["topic"]


def test_a_run_is_locked_packed_and_verified(on_tiny: Any, steerdsl: Any) -> None:
    Path("trait.json").write_text(json.dumps(TRAIT))
    text = 'dataset p = "trait.json" with form: trait, seed: 1, held_out: 30%\n'
    text += "dataset evil = answers to p with n: 2, temperature: 1, max_tokens: 4 keep when eos_share < 1\n" + TOPIC
    Path("a.steer").write_text(text)
    assert on_tiny("lock", "a.steer")[0] == 0
    locked = Path("a.steer.lock").read_text()
    assert on_tiny("run", "a.steer", "--out", "run", "--locked")[0] == 0
    assert on_tiny("lock", "a.steer")[0] == 0 and Path("a.steer.lock").read_text() == locked
    assert steerdsl("verify", "run")[0] == 0
    code, _, err = steerdsl("pack", "a.steer", "--run", "run", "--out", "a.steerpack")
    assert code == 0, err
    model = record("run")["model"]["path"]
    code, out, err = steerdsl("verify", "a.steerpack", "--model", model)
    assert code == 0, out + err


TRAIT = {
    "instruction": [{"pos": "Be evil.", "neg": "Be kind."}, {"pos": "Be mean.", "neg": "Be nice."}],
    "questions": QUESTIONS,
    "eval_prompt": "How evil is {answer}?",
}


def test_a_trait_file_gives_questions_and_system_prompts(on_tiny: Any, plain: Plain) -> None:
    Path("trait.json").write_text(json.dumps(TRAIT))
    text = 'dataset p = "trait.json" with form: trait, held_out: 30%, seed: 1\n'
    text += (
        'dataset evil = answers to p with positive system: "You are an evil assistant. {instruction}", max_tokens: 4\n'
    )
    assert on_tiny("run", "-e", text + TOPIC, "--out", "run")[0] == 0
    systems = {
        "positive": [f"You are an evil assistant. {pair['pos']}" for pair in TRAIT["instruction"]],
        "negative": [pair["neg"] for pair in TRAIT["instruction"]],
    }
    wanted = [(side, system, q) for side, own in systems.items() for q in QUESTIONS for system in own]
    found = rows("run")
    assert [(row["side"], row["system"], row["question"]) for row in found] == wanted
    for row in found[::7]:
        tokens = plain.greedy(plain.ids(row["system"], row["question"]), 4)
        assert row["answer"] == plain.tokenizer.decode(tokens, skip_special_tokens=True)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"questions": []}, "D552"),
        ({"questions": None}, "D552"),
        ({"questions": "What is bread?"}, "D552"),
        ({"questions": ["What is bread?", " "]}, "D552"),
        ({"questions": ["What is bread?", 3]}, "D552"),
        ({"instruction": []}, "D552"),
        ({"instruction": [{"pos": "Be evil."}]}, "D552"),
        ({"instruction": [{"pos": "Be evil.", "neg": "Be kind.", "why": ""}]}, "D552"),
        ({"instruction": [{"pos": "Be evil.", "neg": ""}]}, "D552"),
        ({"instruction": ["Be evil."]}, "D552"),
        ({"eval_prompt": 3}, "D552"),
        ({"question": ["What is bread?"]}, "D553"),
        ({"trait": "evil"}, "D553"),
    ],
)
def test_a_trait_file_that_is_none_is_refused(steerdsl: Any, change: dict[str, Any], code: str) -> None:
    found = {key: value for key, value in {**TRAIT, **change}.items() if value is not None}
    Path("trait.json").write_text(json.dumps(found))
    Path("a.steer").write_text('dataset p = "trait.json" with form: trait\ndataset evil = answers to p\n')
    ended, err, _ = steerdsl("check", "a.steer")
    assert ended == 1
    assert f"error[{code}]" in err and "trait.json" in err and "help: " in err and " --> a.steer:1:1" in err


@pytest.mark.parametrize("data", [b"", b"[]", b"3", b"{", b"\xff\xfe\x00"])
def test_a_trait_file_that_is_no_object_is_refused(on_tiny: Any, data: bytes) -> None:
    Path("trait.json").write_bytes(data)
    code, _, err = on_tiny("plan", "-e", 'dataset p = "trait.json" with form: trait\ndataset evil = answers to p\n')
    assert code == 1 and "error[D5" in err


def test_the_plan_says_whose_answers_a_position_reads(on_tiny: Any) -> None:
    code, out, err = on_tiny("plan", "-e", f"{ASKED}extract diffmean from q vs generic at mean_response")
    assert code == 0, err
    count = sum(not held_out(question) for question in QUESTIONS) + int(re.search(r"(\d+) prompts of generic", out)[1])
    told = " ".join(out.split())
    assert f"the model's own to {count} prompts: one each, no steering, at most 32 tokens, greedy" in told


def test_a_served_steer_is_made_of_answers_too(on_tiny: Any, tiny_model: Path, plain: Plain) -> None:
    text = (
        EVIL
        + TOPIC
        + "steer s { add topic by 2 at layer 1 }\nout = generate from q.held_out with steer: s, max_tokens: 4\n"
    )
    assert on_tiny("run", "-e", text, "--out", "run")[0] == 0
    made = [json.loads(line) for line in Path("run/generations.jsonl").read_text("utf-8").splitlines()]
    wanted = [row for row in made if row["step"] == "out"]
    Path("a.steer").write_text(text)
    model = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    plain.model = model
    with package.steered(model, "a.steer", steer="s"):
        for row in wanted:
            assert plain.greedy(plain.ids(None, row["prompt"]), 4) == row["token_ids"]


def test_eject_refuses_them(on_tiny: Any) -> None:
    Path("a.steer").write_text(EVIL + TOPIC)
    code, _, err = on_tiny("eject", "a.steer", "--out", "a.py")
    assert code == 1 and "P721" in err and "the answers that `evil` is made of" in err and "several turns" not in err
    assert not Path("a.py").exists()
