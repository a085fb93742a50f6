"""Strengths in `sd` and as a `dose`, and what the record says of each addition, against transformers and numpy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from calling import Call
from states import vector
from tiny import tiny_tokenizer
from transformers import AutoModelForCausalLM

TEXTS = {
    "a": ["Bread is baked.", "A loaf rises slowly in the oven.", "Flour, salt, water", "Yeast makes dough rise."],
    "b": ["The sea is wide.", "Boats sail at dawn, the wind is up.", "Gulls cry", "A tide comes and goes."],
    "c": ["Stars are far.", "The moon is full tonight", "A comet has a tail of ice and dust."],
}
FITTED = """
dataset a = "a.txt" with held_out: 0%
dataset b = "b.txt" with held_out: 0%
dataset c = "c.txt" with held_out: 0%
topic = extract diffmean from a vs b
other = extract diffmean from c vs b
mix = topic - 0.5 * other
noise = extract random with like: topic, seed: 3
"""
ASKED = "out = generate from a with steer: s, max_tokens: 6"
NAMES = {"topic": "ab", "other": "cb", "mix": "abc", "noise": "ab"}  # the training prompts of each vector


@pytest.fixture
def ran(on_tiny: Call) -> Any:
    """`ran(STEER)` runs the recipe with that steer; gives the exit code, what it said and the record."""
    for name, texts in TEXTS.items():
        Path(f"{name}.txt").write_text("\n".join(texts) + "\n")

    def call(steer: str, out: str = "r", after: str = ASKED, command: str = "run") -> tuple[int, str, Any]:
        Path("r.steer").write_text(f"{FITTED}\nsteer s {{ {steer} }}\n{after}\n")
        code, said, err = on_tiny(command, "r.steer", *(("--out", out) if command == "run" else ()))
        record = Path(out) / "record.json"
        return code, said + err, json.loads(record.read_text()) if record.exists() else None

    return call


def loaded(folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


def ids_of(text: str) -> torch.Tensor:
    tokenizer, talk = tiny_tokenizer(), [{"role": "user", "content": text}]
    rendered = tokenizer.apply_chat_template(talk, tokenize=False, add_generation_prompt=True)
    ids: torch.Tensor = tokenizer(rendered, add_special_tokens=False, return_tensors="pt").input_ids
    return ids


def module(model: Any, layer: int, stream: str) -> Any:
    block = model.model.layers[layer]
    return block.self_attn if stream == "attn_out" else block


def states(model: Any, name: str, layer: int, stream: str = "resid_post") -> list[np.ndarray[Any, Any]]:
    """The activations [tokens, width] of each text of a data set, float64."""
    found: list[Any] = []

    def keep(_: Any, __: Any, out: Any) -> None:
        found.append((out if torch.is_tensor(out) else out[0])[0].double().numpy())

    handle = module(model, layer, stream).register_forward_hook(keep)
    with torch.no_grad():
        for text in TEXTS[name]:
            model(ids_of(text))
    handle.remove()
    return found


def spread(model: Any, sets: str, unit: np.ndarray[Any, Any], layer: int) -> float:
    """The standard deviation of the last tokens' projections, each about the mean of its data set."""
    x = [np.array([state[-1] @ unit for state in states(model, name, layer)]) for name in sets]
    squares = sum(float(((own - own.mean()) ** 2).sum()) for own in x)
    return float(np.sqrt(squares / sum(len(own) - 1 for own in x)))


def norms(model: Any, sets: str, layer: int, stream: str) -> np.ndarray[Any, Any]:
    """The norm of every token but the first of each text."""
    return np.concatenate(
        [np.linalg.norm(state[1:], axis=1) for name in sets for state in states(model, name, layer, stream)]
    )


# the operation: its vector, the layer of its direction (None: where it acts), strength, unit, layers and stream
CASES = {
    "add topic by 9 sd at layers 1..2": ("topic", None, 9, "sd", (1, 2), "resid_post"),
    "add topic by -12 sd at layer 0": ("topic", None, -12, "sd", (0,), "resid_post"),
    "add topic[0] by 15 sd at layer 2": ("topic", 0, 15, "sd", (2,), "resid_post"),
    "add mix by 10 sd at layer 1": ("mix", None, 10, "sd", (1,), "resid_post"),
    "add noise by 20 sd at layers 1..2": ("noise", None, 20, "sd", (1, 2), "resid_post"),
    "add topic by -70% dose at layer 1": ("topic", None, -0.7, "dose", (1,), "resid_post"),
    "add topic by 300% dose at layers 0..1 on attn_out": ("topic", None, 3, "dose", (0, 1), "attn_out"),
    "add mix by 120% dose at layer 2": ("mix", None, 1.2, "dose", (2,), "resid_post"),
    "add noise by 150% dose at layer 1": ("noise", None, 1.5, "dose", (1,), "resid_post"),
    "add topic[2] by 90% dose at layer 0": ("topic", 2, 0.9, "dose", (0,), "resid_post"),
    "add topic by 40 at layer 1": ("topic", None, 40, "raw", (1,), "resid_post"),
    "add topic by 80% at layer 1": ("topic", None, 0.8, "share", (1,), "resid_post"),
}


@pytest.mark.parametrize("line", CASES)
def test_tokens_and_figures_are_those_of_hooks_and_numpy(ran: Any, tiny_model: Path, line: str) -> None:
    code, said, record = ran(line)
    assert code == 0, said
    name, own, value, unit, layers, stream = CASES[line]
    (found,) = record["doses"]
    assert (found["steer"], found["operation"], found["stream"], found["layers"]) == ("s", line, stream, list(layers))
    model, raws, sets = loaded(tiny_model), vector("r", name), NAMES[name]
    steps: dict[int, np.ndarray[Any, Any]] = {}
    for i, layer in enumerate(layers):
        source = layer if own is None else own
        raw = raws[source]
        length, along = float(np.linalg.norm(raw)), raw / np.linalg.norm(raw)
        sd, token = spread(model, sets, along, source), norms(model, sets, layer, stream)
        added = value * {"raw": length, "sd": sd, "dose": token.mean(), "share": token.mean()}[unit]
        wanted = {
            "raw": added / length,
            "share": value if unit == "share" else added * (1 / token).mean(),
            "sd": added / sd,
            "dose": added / token.mean(),
        }
        assert {each: found[each][i] for each in wanted} == pytest.approx(wanted, rel=1e-4)
        steps[layer] = added * along
    answers = [json.loads(row)["text"] for row in Path("r/generations.jsonl").read_text().splitlines()]
    assert answers == generated(model, steps, stream, value if unit == "share" else None)
    assert answers != generated(model, {}, stream), "a steer that changes nothing shows nothing"


def generated(model: Any, steps: dict[int, np.ndarray[Any, Any]], stream: str, share: float | None = None) -> list[str]:
    """Greedy answers to `a` with fixed vectors added by plain hooks, or with a share of each token's norm."""

    def add(step: torch.Tensor) -> Any:
        def changed(h: torch.Tensor) -> torch.Tensor:
            return h + step if share is None else h + share * h.norm(dim=-1, keepdim=True) * step / step.norm()

        return lambda _, __, out: changed(out) if torch.is_tensor(out) else (changed(out[0]), *out[1:])

    handles = [
        module(model, layer, stream).register_forward_hook(add(torch.tensor(step).float()))
        for layer, step in steps.items()
    ]
    found = []
    for text in TEXTS["a"]:
        ids = ids_of(text)
        given = {"attention_mask": torch.ones_like(ids), "max_new_tokens": 6, "do_sample": False, "pad_token_id": 0}
        with torch.no_grad():
            out = model.generate(ids, **given)[0, ids.shape[1] :]
        found.append(tiny_tokenizer().decode(out, skip_special_tokens=True))
    for handle in handles:
        handle.remove()
    return found


SWEPT = "sweep k over 1, 2 { steer p { add topic by 6 * k sd at layer 1 }\n out = generate from a with steer: p }"
TUNED = """
best = tune strength over 0..12 and place over 0..2 {
  steer t { add topic by strength sd at layers place }
  found = evaluate t on c with cross_entropy
  minimize cross_entropy.c with trials: 4, batch: 2
}
steer tuned { add topic by best.strength sd at layers best.place }
end = generate from a with steer: tuned, max_tokens: 2
"""


def test_a_sweep_and_a_search_go_over_sd(ran: Any) -> None:
    code, said, record = ran("add topic by 12 sd at layer 1", after=f"{SWEPT}\n{TUNED}")
    assert code == 0, said
    alone, *points, tuned = record["doses"]
    assert [(found["at"], found["sd"]) for found in points] == [({"k": "1"}, [6]), ({"k": "2"}, [12])]
    assert points[1]["raw"] == pytest.approx(alone["raw"])
    best = record["searches"]["best"]["best"]
    assert tuned["layers"] == [best["layers"]["place"]] and tuned["sd"] == [best["values"]["strength"]]


def test_a_random_control_is_of_the_same_length(ran: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from steerdsl.engine import steer_compiler

    made: list[torch.Tensor] = []
    plain = steer_compiler.make_edit

    def kept(kernel: Any, params: Any, *more: Any) -> Any:
        made.append(params["step"])
        return plain(kernel, params, *more)

    monkeypatch.setattr(steer_compiler, "make_edit", kept)
    after = "s2 = evaluate s on a with distinct_1, max_tokens: 2, controls: random"
    code, said, _ = ran("add topic by 2 sd at layer 1", after=after)
    assert code == 0, said
    others = [step for step in made if not torch.allclose(step, made[0])]
    assert others, "a control has another direction"
    assert [float(step.norm()) for step in others] == pytest.approx([float(made[0].norm())] * len(others), rel=1e-5)


@pytest.mark.parametrize("unit", ["3 sd", "40% dose"])
@pytest.mark.parametrize("path", ["s.gguf", "s.pt", "edited"])
def test_an_export_carries_the_same_vectors_as_multiples_do(ran: Any, tmp_path: Path, unit: str, path: str) -> None:
    on = " on attn_out" if path == "edited" else ""
    code, said, record = ran(f"add topic by {unit} at layer 1{on}", after=f'export s to "{path}"')
    assert code == 0, said
    raw = record["doses"][0]["raw"][0]
    assert ran(f"add topic by {raw!r} at layer 1{on}", "plain", f'export s to "{path}"')[0] == 0
    first, second = ({name: t for name, t in tensors_of(Path(run) / path).items()} for run in ("r", "plain"))
    assert first.keys() == second.keys()
    for name in first:
        assert torch.allclose(first[name], second[name], atol=1e-6), name


def tensors_of(path: Path) -> dict[str, torch.Tensor]:
    if path.suffix == ".gguf":
        from gguf import GGUFReader

        return {t.name: torch.tensor(t.data.copy()) for t in GGUFReader(path).tensors}
    if path.suffix == ".pt":
        found = torch.load(path, weights_only=True)
        return {hook: entry["steering_vector"] * entry["steering_coefficient"] for hook, entry in found.items()}
    return dict(loaded(path).state_dict())


def test_the_plan_says_the_figures_once_they_are_known(ran: Any) -> None:
    line = "add topic by 2 sd at layers 1..2"
    assert "in other units: measured when it runs" in " ".join(ran(line, command="plan")[1].split())
    _, _, record = ran(line)
    shown = " ".join(ran(line, command="plan")[1].split())
    low, high = sorted(record["doses"][0]["raw"])
    assert f"2 sd = {low:.3g} to {high:.3g} raw vectors" in shown


def test_show_and_the_report_have_them(ran: Any, steerdsl: Call) -> None:
    ran("add topic by 2 sd at layers 1..2")
    assert "what was added, in every unit" in steerdsl("show", "r")[1]
    assert "What was added" in Path("r/report.html").read_text()


def test_what_cannot_be_told_is_null_and_said_why(ran: Any) -> None:
    code, said, record = ran("add topic[0,1] by 2 at layer 1")
    assert code == 0, said
    (found,) = record["doses"]
    assert found["sd"] == [None] and found["raw"] == [2] and "several layers" in found["why"]


def test_one_prompt_a_class_has_no_spread(ran: Any) -> None:
    Path("one.txt").write_text("Only this one.\n")
    Path("two.txt").write_text("Or that.\n")
    data = "".join(f'dataset {name} = "{name}.txt" with held_out: 0%\n' for name in ("one", "two"))
    lone = f"{data}lone = extract diffmean from one vs two\nsteer alone {{ add lone by 2 sd at layer 1"
    code, said, _ = ran(f"add topic by 1 at layer 1 }}\n{lone}")
    assert code == 3 and "R810" in said and "a spread needs two prompts of a class" in said


def test_programs_that_stand_alone_do_not_have_them(ran: Any, on_tiny: Call) -> None:
    ran("add topic by 2 sd at layer 1")
    code, _, err = on_tiny("eject", "r.steer", "--out", "r.py")
    assert code == 1 and "P721" in err and "a strength in `sd`" in err and not Path("r.py").exists()


def test_what_is_too_large_to_be_kept_is_read_only_where_it_is_asked_for(
    ran: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("steerdsl.planning.classes.LARGEST", 100)
    code, said, record = ran("add topic by 2 at layer 1")
    assert code == 0, said
    assert record["doses"][0]["sd"] == [None] and "too large" in record["doses"][0]["why"]
    assert record["doses"][0]["dose"][0] > 0
    code, said, again = ran("add topic by 2 sd at layer 1", "again")
    assert code == 0 and again["doses"][0]["sd"] == [2] and again["doses"][0]["why"] == "", said


def test_a_server_is_asked_for_what_is_written_alone(ran: Any, on_tiny: Call) -> None:
    ran("add topic by 2 at layer 1", command="plan")
    for strength, known in (("2", set()), ("2 sd", {"sd"}), ("20% dose", {"share", "dose"})):
        Path("r.steer").write_text(f"{FITTED}\nsteer s {{ add topic by {strength} at layer 1 }}\n{ASKED}\n")
        code, _, err = on_tiny("run", "r.steer", "--out", "r", "--force", "--on", "simulate")
        assert code == 0, err
        (found,) = json.loads(Path("r/record.json").read_text())["doses"]
        assert {unit for unit in ("share", "sd", "dose") if found[unit][0] is not None} == known
