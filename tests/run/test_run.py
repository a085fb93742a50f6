"""`steerdsl run` from recipe to record, on a tiny model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

ONE_LINER = "extract diffmean from econ vs generic at last_token; ablate layers 0,2; rotate plane(pc1) by 210deg"
SMALL = """
dataset a = econ with take: 8, seed: 1
dataset b = generic with take: 8, seed: 1
topic = extract diffmean from a vs b at mean_content
steer less { ablate topic at layers 1..2 }
scores = evaluate less on a, b with bleu, rouge_l, max_tokens: 6
"""


def record(folder: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((Path(folder) / "record.json").read_text())
    return found


def lines(folder: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (Path(folder) / "generations.jsonl").read_text().splitlines()]


def test_the_one_liner_runs_and_leaves_the_contract(on_tiny: Any) -> None:
    code, out, err = on_tiny("run", "-e", ONE_LINER, "--out", "r")
    assert code == 0, err
    assert "baseline" in out and "bleu on econ from" in out and "report        r/report.html" in out
    found = record("r")
    assert found["schema"] == 1 and found["state"] == "complete" and found["reached"] == "the end"
    assert set(found["model"]) >= {"id", "path", "revision", "weights_sha256", "dtype"}
    assert found["model"]["dtype"] == "float32" and found["recipe"]["text"] == ONE_LINER
    assert {step["verb"] for step in found["timings"]} == {"extract", "select", "steer", "evaluate"}
    rows = lines("r")
    assert {row["variant"] for row in rows} == {"baseline", "main", "random", "prompted", "reference"}
    assert {row["dataset"] for row in rows} == {"econ", "generic"}
    keys = {"step", "variant", "dataset", "row", "prompt", "rendered_sha256", "token_ids", "text"}
    assert all(keys <= set(row) for row in rows)
    variants, draws, references = 3, 5, 4
    assert len({row["prompt"] for row in rows}) * (variants + draws + references) == len(rows)
    scores = json.loads(Path("r/scores.json").read_text())
    assert 0 <= scores["main_scores"]["bleu"]["econ"]["baseline"]["mean"] <= 100
    assert Path("r/plots").is_dir()


def test_a_vector_file_is_the_difference_of_means_of_plain_transformers(on_tiny: Any, tiny_model: Path) -> None:
    assert on_tiny("run", "-e", ONE_LINER, "--out", "r")[0] == 0
    tensors = load_file("r/vectors/vector.safetensors")
    assert tensors["directions"].dtype == torch.float32 and tensors["directions"].shape == (3, 32)
    assert tensors["layers"].dtype == torch.int64 and tensors["layers"].tolist() == [0, 1, 2]
    with safe_open("r/vectors/vector.safetensors", "pt") as f:
        assert json.loads(f.metadata()["steerdsl"])["stream"] == "resid_post"
    raw = tensors["directions"].double() * tensors["raw_norms"][:, None]
    assert torch.allclose(raw[:2], _by_hand(tiny_model)[:2], atol=1e-5)


def _by_hand(folder: Path) -> torch.Tensor:
    """The same difference, one prompt at a time, from hidden states (of blocks 0 and 1)."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from steerdsl.data import load, rows
    from steerdsl.lang.recipe import DataSpec

    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    means = []
    for name in ("econ", "generic"):
        states = []
        for row in rows(load(DataSpec(name, "builtin", name), root=Path()), "train"):
            message = [{"role": "user", "content": row.prompt}]
            text = tokenizer.apply_chat_template(message, add_generation_prompt=True, tokenize=False)
            given = tokenizer(text, add_special_tokens=False, return_tensors="pt")
            with torch.no_grad():
                hidden = model(**given, output_hidden_states=True).hidden_states
            states.append(torch.stack([h[0, -1].double() for h in hidden[1:]]))
        means.append(torch.stack(states).mean(0))
    return means[0] - means[1]


def test_a_second_run_does_nothing_again(on_tiny: Any) -> None:
    assert on_tiny("run", "-e", SMALL, "--out", "first")[0] == 0
    code, out, _ = on_tiny("plan", "-e", SMALL)
    assert code == 0 and "0 to run on the model, 2 already done" in out
    assert on_tiny("run", "-e", SMALL, "--out", "second")[0] == 0
    assert lines("first") == lines("second")
    assert record("first")["plan"] == record("second")["plan"]
    assert Path("first/scores.json").read_bytes() == Path("second/scores.json").read_bytes()
    # Another angle of the same recipe extracts nothing again.
    changed = SMALL.replace("1..2", "1")
    assert "1 to run on the model, 1 already done" in on_tiny("plan", "-e", changed)[1]


def test_simulate_gives_the_same_tokens(on_tiny: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert on_tiny("run", "-e", SMALL, "--out", "here")[0] == 0
    monkeypatch.setenv("STEERDSL_CACHE", str(tmp_path / "other"))
    code, _, err = on_tiny("run", "-e", SMALL, "--out", "there", "--on", "simulate")
    assert code == 0, err
    assert lines("here") == lines("there")
    a, b = (load_file(f"{run}/vectors/topic.safetensors") for run in ("here", "there"))
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_a_failed_check_ends_with_4_and_says_by_how_much(on_tiny: Any) -> None:
    text = SMALL + "check scores.bleu.a < 50% of baseline\ncheck scores.bleu.a > 1000\n"
    code, out, _ = on_tiny("run", "-e", text, "--out", "r")
    assert code == 4
    verdicts = record("r")["checks"]
    assert [v["holds"] for v in verdicts][1] is False
    assert verdicts[1]["by"] == pytest.approx(verdicts[1]["left"] - 1000)
    scores = json.loads(Path("r/scores.json").read_text())["scores"]["bleu"]["a"]
    assert verdicts[0]["right"] == pytest.approx(scores["baseline"]["mean"] / 2)
    assert "fails" in out and record("r")["state"] == "check failed"


def test_sweeps_steers_and_later_choices_work_together(on_tiny: Any) -> None:
    text = """
    param strength = 1.5 "how much is added"
    dataset a = econ with take: 8, seed: 1
    dataset b = generic with take: 8, seed: 1
    topic = extract diffmean from a vs b at mean_content
    best = select layers of topic by max_norm keep top 2
    turn = plane(topic[best], random)
    """.replace("topic[best]", "topic[1]")
    text += """
    steer warm { add topic by strength at layers best }
    steer both { use warm; ablate topic[best] at layers 2 }
    sweep angle over 0deg..180deg step 90deg and depth over 0%,100% {
      steer turned { rotate turn to angle at layers depth }
      s = evaluate turned on a with bleu, max_tokens: 4
    }
    out = generate from b with steer: both, max_tokens: 4, temperature: 0.7, n: 2, seed: 3
    check s.bleu.a <= 100
    other = extract pca from a vs b at mean_content
    one = topic[1]
    check cosine(topic, other) > -1
    plot s.bleu over angle to "bleu.png"
    plot choice(best)
    export topic to "topic.safetensors"
    """
    code, _out, err = on_tiny("run", "-e", text, "--out", "r", "--set", "strength=2")
    assert code == 0, err
    points = json.loads(Path("r/scores.json").read_text())["s"]["points"]
    assert [p["at"] for p in points][:2] == [{"angle": "0deg", "depth": "0%"}, {"angle": "0deg", "depth": "100%"}]
    assert len(points) == 6 and len(record("r")["checks"]) == 7
    assert record("r")["plan"]["params"] == {"strength": "2"}
    sampled = [row for row in lines("r") if row["step"] == "out"]
    assert {row["sample"] for row in sampled} == {0, 1} and {row["variant"] for row in sampled} == {"both"}
    assert Path("r/bleu.png").stat().st_size > 1000 and Path("r/topic.safetensors").exists()
    assert len(record("r")["choices"]["best"]["chosen"]) == 2
    assert record("r")["planes"]["turn"]["kind"] == "random"


def test_likelihood_metrics_run(on_tiny: Any) -> None:
    text = SMALL.replace("bleu, rouge_l", "kl, delta_nll, perplexity, cross_entropy, refusal_rate, distinct_1")
    code, _, err = on_tiny("run", "-e", text, "--out", "r")
    assert code == 0, err
    scores = json.loads(Path("r/scores.json").read_text())["scores"]
    for name in ("kl", "delta_nll"):
        assert scores[name]["a"]["baseline"]["mean"] == pytest.approx(0, abs=1e-9)
        assert scores[name]["a"]["less"]["mean"] != 0
    assert scores["kl"]["a"]["less"]["mean"] > 0
    ce, ppl = (scores[name]["b"]["less"]["mean"] for name in ("cross_entropy", "perplexity"))
    assert ppl == pytest.approx(torch.tensor(ce).exp().item(), rel=1e-4)


def test_the_record_holds_no_absolute_place_of_the_recipe(on_tiny: Any) -> None:
    Path("sub").mkdir()
    Path("sub/r.steer").write_text(SMALL)
    assert on_tiny("run", "sub/r.steer", "--out", "r")[0] == 0
    assert record("r")["recipe"]["name"] == "sub/r.steer"


def test_json_and_quiet(on_tiny: Any) -> None:
    code, out, _err = on_tiny("run", "-e", SMALL, "--out", "r", "--json")
    assert code == 0 and json.loads(out)["state"] == "complete"
    code, out, _err = on_tiny("run", "-e", SMALL, "--out", "q", "--quiet")
    assert (code, out) == (0, "")
