"""Classifiers as metrics: the probability of a label, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import VOCAB, tiny_tokenizer
from transformers import AutoModelForSequenceClassification, BertConfig

RECIPE = """
dataset a = econ with take: 12, seed: 1
dataset b = generic with take: 12, seed: 1
topic = extract diffmean from a vs b at mean_content
steer less { ablate topic }
scores = evaluate less on a with METRICS, max_tokens: 9, controls: none
"""
LABELS = {0: "Calm", 1: "toxic", 2: "very odd"}


def classifier(folder: Path, **changes: Any) -> Path:
    """A tiny random BERT that sorts texts into three labels."""
    settings = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    more = {"vocab_size": VOCAB, "pad_token_id": 0, "max_position_embeddings": 128, "id2label": LABELS, **changes}
    config = BertConfig(**settings, **more, label2id={name: n for n, name in more["id2label"].items()})
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = AutoModelForSequenceClassification.from_config(config).eval()
        with torch.no_grad():
            model.classifier.weight.normal_()
    model.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


def run(on_tiny: Any, metrics: str, *words: str) -> tuple[int, str, str]:
    found: tuple[int, str, str] = on_tiny("run", "-e", RECIPE.replace("METRICS", metrics), "--out", "r", *words)
    return found


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("reads", ["answer", "both"])
def test_probabilities_are_those_of_the_model_alone(on_tiny: Any, tmp_path: Path, several: bool, reads: str) -> None:
    kind = {"problem_type": "multi_label_classification"} if several else {}
    folder = classifier(tmp_path / "c", **kind)
    code, _, err = run(on_tiny, f'classifier("{folder}", "toxic", reads: {reads})', "--allow", str(tmp_path))
    assert code == 0, err
    scores = json.loads(Path("r/scores.json").read_text())["scores"]["classifier_toxic"]["a"]
    lines = [json.loads(line) for line in Path("r/generations.jsonl").read_text().splitlines()]
    model, tokenizer = AutoModelForSequenceClassification.from_pretrained(folder), tiny_tokenizer()
    for variant in ("baseline", "less"):
        expected = []
        for line in (line for line in lines if line["variant"] == variant):
            text = (line["prompt"], line["text"]) if reads == "both" else (line["text"],)
            with torch.no_grad():
                logits = model(**tokenizer(*text, return_tensors="pt")).logits[0]
            expected.append(float((logits.sigmoid() if several else logits.softmax(-1))[1]))
        assert scores[variant]["values"] == pytest.approx(expected, abs=1e-6)


def test_a_text_that_is_too_long_has_no_figure(on_tiny: Any, tmp_path: Path) -> None:
    folder = classifier(tmp_path / "c", max_position_embeddings=6)
    code, _, err = run(on_tiny, f'classifier("{folder}", "toxic")', "--allow", str(tmp_path))
    assert code == 0, err
    found = json.loads(Path("r/scores.json").read_text())["scores"]["classifier_toxic"]["a"]["less"]
    assert None in found["values"] and found["reason"] == "the text is longer than the classifier reads"


def test_other_weights_are_another_result(on_tiny: Any, tmp_path: Path) -> None:
    folder = classifier(tmp_path / "c")
    means = []
    for scale in (1.0, -1.0):
        model = AutoModelForSequenceClassification.from_pretrained(folder)
        with torch.no_grad():
            model.classifier.weight *= scale
        model.save_pretrained(folder)
        assert run(on_tiny, f'classifier("{folder}", "calm")', "--allow", str(tmp_path))[0] == 0
        means.append(json.loads(Path("r/scores.json").read_text())["scores"]["classifier_calm"]["a"]["less"]["mean"])
        Path("r").rename(f"r{len(means)}")
    assert means[0] != means[1]


@pytest.mark.parametrize(
    ("label", "help"),
    [("toxik", 'did you mean "toxic"?'), ("joy", "its labels are Calm, toxic, very odd")],
)
def test_a_label_that_is_not_there(on_tiny: Any, tmp_path: Path, label: str, help: str) -> None:
    folder = classifier(tmp_path / "c")
    code, _, err = run(on_tiny, f'classifier("{folder}", "{label}")', "--allow", str(tmp_path))
    assert code == 1 and "error[R941]" in err and help in err and not Path("r").exists()


def test_what_is_no_classifier(on_tiny: Any, tiny_model: Path, tmp_path: Path) -> None:
    code, _, err = run(on_tiny, f'classifier("{tiny_model}", "toxic")', "--allow", str(tiny_model.parent))
    assert code == 1 and "error[R942]" in err and "it is a LlamaForCausalLM" in err
    folder = classifier(tmp_path / "c")
    for change, said in (
        ({"architectures": None}, "names no kind"),
        ({"auto_map": {"AutoModel": "x.Y"}}, "Python code"),
        ({"id2label": {"0": "one"}}, "fewer than two labels"),
        ({"id2label": 5}, "fewer than two labels"),
    ):
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, **change}))
        code, _, err = run(on_tiny, f'classifier("{folder}", "toxic")', "--allow", str(tmp_path))
        assert code == 1 and "error[R942]" in err and said in err
        (folder / "config.json").write_text(json.dumps(config))


def test_weights_that_are_missing_are_not_made_at_random(on_tiny: Any, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = classifier(tmp_path / "c")
    tensors = load_file(folder / "model.safetensors")
    save_file(
        {k: v for k, v in tensors.items() if "classifier" not in k}, folder / "model.safetensors", {"format": "pt"}
    )
    code, _, err = run(on_tiny, f'classifier("{folder}", "toxic")', "--allow", str(tmp_path))
    assert code == 3 and "error[R942]" in err and "lack the weights classifier.bias" in err
