"""Several classes in a recipe, on a tiny model, against its hidden states read here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny import tiny_tokenizer
from transformers import AutoModelForCausalLM

WORDS = {
    "joy": ["I am glad today", "What a lovely morning", "We won the game"],
    "deep fear": ["I am afraid", "Something moved in the dark", "They are behind me", "Do not go there"],
    "calm": ["The lake is still", "Nothing needs doing now"],
}
NEUTRAL = [
    "The box is on the table",
    "Trains leave at nine",
    "Water boils when hot",
    "A list has items",
    "It is a road",
]
HEAD = (
    'model "tiny" with template: none\n'
    'dataset emotions = "emotions.jsonl" with field: "text", held_out: 0%\n'
    'dataset neutral = "neutral.jsonl" with field: "text", held_out: 0%\n'
)
MADE = HEAD + "emotion = extract diffmean from classes of emotions by label\n"
USED = "steer s { add emotion.joy by 1 at layers 1 }\ngenerate from neutral with steer: s, max_tokens: 1\n"


@pytest.fixture(autouse=True)
def files(steerdsl: Any) -> None:
    rows = [{"text": text, "label": label} for label, texts in WORDS.items() for text in texts]
    rows = rows[::2] + rows[1::2]  # in no order of classes
    Path("emotions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    Path("neutral.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in NEUTRAL))


def states(model: Path, texts: list[str]) -> np.ndarray:
    """The output of each block at the last token of each text: [n, L, d]."""
    loaded = AutoModelForCausalLM.from_pretrained(model, dtype="float32").eval()
    tokenizer, found = tiny_tokenizer(), []
    for text in texts:
        seen: list[torch.Tensor] = []
        handles = [
            layer.register_forward_hook(lambda m, a, o, seen=seen: seen.append(o[0] if isinstance(o, tuple) else o))
            for layer in loaded.model.layers
        ]
        with torch.no_grad():
            loaded(torch.tensor([tokenizer(text)["input_ids"]]))
        for handle in handles:
            handle.remove()
        found.append(torch.stack([h[0, -1] for h in seen]))
    return torch.stack(found).double().numpy()


def saved(name: str) -> np.ndarray:
    """A vector of the run, raw: [L, k, d]."""
    held = load_file(Path("r/vectors") / f"{name}.safetensors")
    raw = held["directions"].double() * held["raw_norms"].double()[:, None]
    return raw.unflatten(0, (len(set(held["layers"].tolist())), -1)).numpy()


def means(model: Path) -> dict[str, np.ndarray]:
    return {label: states(model, texts).mean(0) for label, texts in WORDS.items()}


def run(on_tiny: Any, text: str) -> str:
    code, out, err = on_tiny("run", "-e", text, "--out", "r", "--force")
    assert code == 0, err
    return out + err


def test_each_class_against_the_mean_of_all(on_tiny: Any, tiny_model: Path) -> None:
    run(on_tiny, MADE + USED)
    own = means(tiny_model)
    middle = np.mean(list(own.values()), axis=0)
    for label, name in (("joy", "joy"), ("deep fear", "deep_fear"), ("calm", "calm")):
        assert np.allclose(saved(f"emotion.{name}")[:, 0], own[label] - middle, atol=1e-4)


def test_axes_components_and_correlation(on_tiny: Any, tiny_model: Path) -> None:
    claim = "check correlation(clean, valence[1], joy: 0.9, deep_fear: -0.8, calm: 0.4) > -2\n"
    text = MADE + "clean = orthogonalize emotion against pcs of neutral with k: 2\n"
    text += "valence = extract pca from clean with k: 2\none = extract pca from clean\n"
    text += "joy = orthogonalize emotion.joy against pcs of neutral with explained: 90%\n"
    out = run(on_tiny, text + claim.replace("valence", "one") + USED.replace("emotion.joy", "clean.joy"))
    own = means(tiny_model)
    middle = np.mean(list(own.values()), axis=0)
    vectors = {label: mean - middle for label, mean in own.items()}
    rows = states(tiny_model, NEUTRAL)
    clean = {}
    for label, raw in vectors.items():
        left = raw.copy()
        for layer in range(len(left)):
            _, v = np.linalg.eigh(np.cov(rows[:, layer].T))
            q = v[:, ::-1][:, :2].T
            left[layer] -= q.T @ (q @ left[layer])
        clean[label] = left
        assert np.allclose(saved(f"clean.{label.replace(' ', '_')}")[:, 0], left, atol=1e-4)
    order = list(dict.fromkeys(json.loads(line)["label"] for line in Path("emotions.jsonl").read_text().splitlines()))
    stack = np.stack([clean[label] for label in order])
    for layer in range(stack.shape[1]):
        centred = stack[:, layer] - stack[:, layer].mean(0)
        axis = np.linalg.svd(centred)[2][0]
        axis *= np.sign(centred[-1] @ axis - centred[0] @ axis)
        found = saved("valence")[layer]
        assert np.allclose(found[0] / np.linalg.norm(found[0]), axis, atol=1e-3)
        assert np.isclose(np.linalg.norm(found[0]), np.std(centred @ axis, ddof=1), atol=1e-4)
    values, v = np.linalg.eigh(np.cov(rows[:, 1].T))
    count = int(np.argmax(np.cumsum(values[::-1]) / values.sum() >= 0.9)) + 1
    q = v[:, ::-1][:, :count].T
    assert np.allclose(saved("joy")[1, 0], vectors["joy"][1] - q.T @ (q @ vectors["joy"][1]), atol=1e-4)
    axis = saved("one")[1, 0]
    numbers = {"joy": 0.9, "deep fear": -0.8, "calm": 0.4}
    along = [clean[label][1] @ axis for label in order]
    expected = np.corrcoef(along, [numbers[label] for label in order])[0, 1]
    checked = json.loads(Path("r/record.json").read_text())["checks"][0]
    assert np.isclose(checked["left"], expected, atol=1e-3), (checked, expected, out)


def test_a_second_run_takes_all_from_the_store(on_tiny: Any) -> None:
    text = MADE + "clean = orthogonalize emotion against pcs of neutral\n" + USED
    run(on_tiny, text)
    code, out, _ = on_tiny("plan", "-e", text)
    assert code == 0 and out.count("done: the store has it") >= 2, out
    before = saved("emotion.joy")
    run(on_tiny, text.replace("max_tokens: 1", "max_tokens: 2"))
    assert np.array_equal(saved("emotion.joy"), before)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (MADE + USED.replace("joy", "jov"), "error[R954]: `emotion` has no class `jov`"),
        (MADE + "v = emotion.joy\nw = v + emotion.rage\n", "error[R954]: `emotion` has no class `rage`"),
        (MADE + "v = extract pca from emotion\ncheck correlation(emotion, v[1], joy: 1, calm: 2, rage: 3) > 0\n",
         "error[R954]: `emotion` has"),
        (MADE.replace("by label", "by text"), "error[R953]: two classes of `emotions` would be called `a_b`"),
        (MADE.replace("by label", "by mood"), 'error[D508]: emotions.jsonl has no field "mood"'),
        (MADE.replace('field: "text"', 'field: "text", take: 1'), 'error[R953]: "label" of `emotions` has 1 value'),
    ],
)  # fmt: skip
def test_what_the_plan_refuses(on_tiny: Any, text: str, problem: str) -> None:
    if "by text" in text:
        rows = [{"text": f"{c} a", "label": c} for c in ("a b", "a-b", "c")]
        Path("emotions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        text = text.replace("by text", "by label")
    code, _, err = on_tiny("plan", "-e", text)
    assert code == 1 and problem in err and "help: " in err and "Traceback" not in err, err


@pytest.mark.parametrize("label", [None, ["joy"], {"a": 1}, ""])
def test_labels_that_are_no_classes(on_tiny: Any, label: Any) -> None:
    with Path("emotions.jsonl").open("a") as file:
        file.write(json.dumps({"text": "Who is there?", "label": label}) + "\n")
    code, _, err = on_tiny("plan", "-e", MADE + USED)
    assert code == 1 and ("error[D509]" in err or "error[D510]" in err) and "Traceback" not in err, err


@pytest.mark.parametrize("label", ["../../../x", "a/b", "\x1b[31mred", "日本", "1", "x" * 5000, "emotion.joy"])
def test_strange_labels_are_names_of_letters_digits_and_underscores(on_tiny: Any, label: str) -> None:
    with Path("emotions.jsonl").open("a") as file:
        file.write(json.dumps({"text": "Who is there?", "label": label}) + "\n")
    code, out, err = on_tiny("run", "-e", MADE + USED, "--out", "r", "--force")
    assert code == 0 and "\x1b[31m" not in out + err, err
    names = sorted(path.name for path in Path("r/vectors").iterdir())
    assert len(names) == 4 and all(name.startswith("emotion.") for name in names)


def test_classes_cannot_be_ejected_and_say_so(on_tiny: Any, steerdsl: Any) -> None:
    code, _, err = steerdsl("eject", "-e", MADE + USED)
    assert code != 0 and "Traceback" not in err


SWEPT = {
    "classes": "e = extract diffmean from classes of emotions by label at P",
    "each orthogonal": "m = extract diffmean from classes of emotions by label at P\n"
    "  e = orthogonalize m against pcs of neutral with k: 1",
    "axes": "m = extract diffmean from classes of emotions by label at P\n  e = extract pca from m",
    "orthogonal": "m = extract diffmean from classes of emotions by label at P\n  j = m.joy\n"
    "  e = orthogonalize j against pcs of neutral with k: 1",
}


@pytest.mark.parametrize("kind", SWEPT)
def test_each_point_of_a_sweep_acts_with_its_own(on_tiny: Any, kind: str) -> None:
    """What differs from point to point alone is what a steer's name stands for."""
    used = "e.joy" if kind in ("classes", "each orthogonal") else "e"
    rest = f"\n  steer s {{ add {used} by 1 at layers 1 }}\n"
    rest += "  sc = evaluate s on neutral with kl, controls: none, max_tokens: 2\n"
    positions = ("last_token", "mean_prompt")
    swept = f"{HEAD}sweep p over {', '.join(positions)} {{\n  {SWEPT[kind].replace('P', 'p')}{rest}}}\n"
    code, _, err = on_tiny("run", "-e", swept, "--out", "swept")
    assert code == 0, err
    points = json.loads(Path("swept/scores.json").read_text())["sc"]["points"]
    alone = []
    for position in positions:
        code, _, err = on_tiny("run", "-e", HEAD + SWEPT[kind].replace("P", position) + rest, "--out", position)
        assert code == 0, err
        alone.append(json.loads(Path(position, "scores.json").read_text())["sc"]["kl"]["neutral"]["s"]["mean"])
    assert [point["scores"]["kl"]["neutral"]["s"]["mean"] for point in points] == pytest.approx(alone, rel=1e-4)
    assert alone[0] != pytest.approx(alone[1], rel=0.01)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("v = emotion.joy\nbest = select layers of v", "S418"),
        ("best = select layers of emotion.joy", "S418"),
        ("v = emotion.joy\nturn = plane(v, emotion.calm)\nrotate turn by 20deg at layers 1", "S418"),
        ("add emotion.joy by 2 sd at layers 1", "S332"),
        ("add emotion.deep_fear by 30% dose at layers 1", "S332"),
        ("v = emotion.joy\nadd v by 2 sd at layers 1", "S332"),
        ("r = extract random with like: emotion.joy\nadd r by 2 sd at layers 1", "S332"),
        (
            "val = extract pca from emotion\n"
            "check correlation(emotion.joy, val[1], joy: 1, deep_fear: 2, calm: 3) > 0.5",
            "S364",
        ),
    ],
)
def test_what_the_vector_of_a_class_cannot_do_is_said_by_check(steerdsl: Any, line: str, code: str) -> None:
    result, out, err = steerdsl("check", "-e", f"{MADE}{line}\n{USED}")
    assert result == 1 and f"error[{code}]" in out + err, out + err


def test_a_direction_without_neutral_components_is_measured_on_its_own_prompts(on_tiny: Any) -> None:
    text = HEAD + (
        "v = extract diffmean from emotions vs neutral\nx = orthogonalize v against pcs of neutral with k: 2\n"
        "steer s { add x by 2 sd at layers 1 }\ngenerate from neutral with steer: s, max_tokens: 1\n"
    )
    code, _, err = on_tiny("run", "-e", text, "--out", "r")
    assert code == 0, err
    (dose,) = json.loads(Path("r/record.json").read_text())["doses"]
    assert dose["sd"] == pytest.approx([2.0]) and dose["raw"][0] is not None and not dose["why"]


def test_components_in_a_sweep_of_a_vector_made_before_it(on_tiny: Any) -> None:
    made = MADE + "topic = extract diffmean from emotions vs neutral\n"
    body = "q = orthogonalize topic against pcs of neutral with k: K; w = orthogonalize emotion against pcs of neutral "
    body += "with k: K; steer s { add q + w.joy by 3 at layers 1 }; "
    body += "scores = evaluate s on neutral with delta_nll, max_tokens: 2, controls: none"
    run(on_tiny, made + f"sweep K over 1,2 {{ {body} }}")
    swept = json.loads(Path("r/scores.json").read_text())["scores"]["points"]
    for number, point in zip("12", swept, strict=True):
        run(on_tiny, made + body.replace("K", number).replace("; ", "\n"))
        alone = json.loads(Path("r/scores.json").read_text())["scores"]
        assert point["scores"]["delta_nll"]["neutral"]["s"]["values"] == alone["delta_nll"]["neutral"]["s"]["values"]
    assert swept[0]["scores"] != swept[1]["scores"]
