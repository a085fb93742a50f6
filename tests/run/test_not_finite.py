"""Nothing that is not finite becomes a figure, a vector, a file or a claim: one message, exit code 3, a record."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from planted import DATA, PASSES, PLANTS, broken_folder, write_data
from tiny import tiny, tiny_tokenizer

from steerdsl.methods.types import Directions, MethodError, Plane, Vector


def record(folder: str = "r") -> dict[str, Any]:
    found: dict[str, Any] = json.loads((Path(folder) / "record.json").read_text())
    return found


def figures(value: Any) -> list[float]:
    """Every mean of a table of scores."""
    if isinstance(value, dict):
        own = [value["mean"]] if isinstance(value.get("mean"), float | int) else []
        return own + [x for inner in value.values() for x in figures(inner)]
    return [x for inner in value for x in figures(inner)] if isinstance(value, list) else []


@pytest.fixture(scope="session")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A model folder by the name of its plant and the value there, made once."""
    made: dict[tuple[str, float], Path] = {}

    def folder(plant: str, value: float) -> Path:
        if (plant, value) not in made:
            made[plant, value] = broken_folder(tmp_path_factory.mktemp("broken"), PLANTS[plant], value)
        return made[plant, value]

    return folder


def run(steerdsl: Any, text: str, model: Path, *more: str) -> tuple[int, str]:
    write_data(Path())
    Path("x.steer").write_text(DATA + text + "\n")
    words = ("run", "x.steer", "--model", str(model), "--device", "cpu", "--out", "r", "--quiet", *more)
    code, _, err = steerdsl(*words)
    return code, err


def refused(code: int, err: str, *codes: str) -> None:
    """One error, of one of these codes, and a record that says where; no figure, answer or claim."""
    (head,) = [line for line in err.splitlines() if line.startswith("error[")]
    assert code == 3 and any(head.startswith(f"error[{c}]") for c in codes), err
    assert "help: " in err and " in float" in head
    found = record()
    assert found["state"] == "failed" and found["reached"] != "the end" and found["checks"] == []
    assert figures(json.loads(Path("r/scores.json").read_text())) == []
    rows = [json.loads(line) for line in Path("r/generations.jsonl").read_text().splitlines()]
    assert all(row["token_ids"] for row in rows)


@pytest.mark.parametrize("value", [float("nan"), float("inf")], ids=str)
@pytest.mark.parametrize("name", PASSES)
def test_every_pass_of_a_model_with_a_broken_weight(steerdsl: Any, broken: Any, name: str, value: float) -> None:
    code, err = run(steerdsl, PASSES[name], broken("MLP", value), "--dtype", "float32")
    refused(code, err, "R811", "R812")
    assert "layer 1" in err


@pytest.mark.parametrize("plant", PLANTS)
@pytest.mark.parametrize("name", ["greedy", "kl", "letters"])
def test_a_broken_weight_wherever_it_is(steerdsl: Any, broken: Any, plant: str, name: str) -> None:
    code, err = run(steerdsl, PASSES[name], broken(plant, float("nan")), "--dtype", "float32")
    refused(code, err, "R812")
    where = {"embeddings": "from resid_pre of layer 0 on", "final norm": "after the last layer"}
    assert {**where, "lm_head": "after the last layer", "last layer": "from resid_post of layer 2 on"}.get(
        plant, "from resid_post of layer"
    ) in err


@pytest.mark.parametrize("name", ["extract", "greedy", "sampled", "kl", "letters"])
def test_the_rehearsal_of_a_server_refuses_alike(steerdsl: Any, broken: Any, name: str) -> None:
    model = broken("MLP", float("nan"))
    here, there = (
        run(steerdsl, PASSES[name], model, "--dtype", "float32", *more, "--force")
        for more in ((), ("--on", "simulate"))
    )
    assert here == there and here[0] == 3


@pytest.mark.parametrize("name", ["extract", "greedy", "sampled", "answers scored", "likelihood", "kl"])
def test_gemma_in_half_precision(steerdsl: Any, tmp_path: Path, name: str) -> None:
    """As published: activations beyond what float16 holds."""
    model = tiny("gemma3_text")
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if "post_feedforward_layernorm" in key:
                parameter += 30000
    model.save_pretrained(tmp_path / "gemma")
    tiny_tokenizer().save_pretrained(tmp_path / "gemma")
    code, err = run(steerdsl, PASSES[name], tmp_path / "gemma", "--dtype", "fp16")
    refused(code, err, "R811", "R812")
    assert "in float16" in err and "bf16 or float32, since float16 ends at 65504" in err
    code, err = run(steerdsl, PASSES[name], tmp_path / "gemma", "--dtype", "float32", "--force")
    assert code in (0, 4) and "error[" not in err


KINDS = {
    "multiple_choice": {"doc_to_choice": "{{choices}}", "doc_to_target": "{{answer}}"},
    "generate_until": {
        "doc_to_target": "{{choices[0]}}",
        "generation_kwargs": {"until": ["\n"], "max_gen_toks": 3},
        "metric_list": [{"metric": "exact_match"}],
    },
    "loglikelihood_rolling": {"doc_to_target": "{{prompt}}", "metric_list": [{"metric": "bits_per_byte"}]},
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_task_of_the_harness(steerdsl: Any, broken: Any, kind: str) -> None:
    pytest.importorskip("lm_eval")
    task = {
        **{"task": "words", "dataset_path": "json", "dataset_kwargs": {"data_files": {"test": "h.jsonl"}}},
        **{"test_split": "test", "output_type": kind, "doc_to_text": "{{prompt}}", "metric_list": [{"metric": "acc"}]},
        **KINDS[kind],
    }
    Path("words.yaml").write_text(json.dumps(task))
    rows = [{"prompt": f"bread {n}", "choices": ["one", "two"], "answer": 0} for n in range(3)]
    Path("h.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = 'e = evaluate s with lm_eval("words.yaml")'
    code, err = run(steerdsl, text, broken("MLP", float("nan")), "--dtype", "float32")
    refused(code, err, "R812")
    assert "for baseline on words" in err


def test_refusal_selection_with_a_broken_head(steerdsl: Any, broken: Any) -> None:
    """The activations are sound, so the choice is the first to read logits."""
    text = "topic = extract diffmean from a vs b at last_token\nbest = select layers of topic by refusal_selection"
    code, err = run(steerdsl, text, broken("lm_head", float("nan")), "--dtype", "float32")
    refused(code, err, "R812")
    assert "select best" in record()["reached"] and record()["choices"] == {}


STRONG = {
    "add v by 1e300 at layers 1": "R813",
    "add v by 1e38 at layers 1": "R812",
    "clamp v to 1e300 at layers 1": "R813",
}


@pytest.mark.parametrize(("op", "expected"), STRONG.items())
def test_an_operation_that_is_too_strong(steerdsl: Any, tiny_model: Path, op: str, expected: str) -> None:
    dtype = "fp16" if expected == "R812" else "float32"
    text = f"steer t {{ {op} }}\nout = generate from a with steer: t, max_tokens: 2"
    code, err = run(steerdsl, text, tiny_model, "--dtype", dtype)
    assert code == 3 and err.count("error[") == 1 and f"error[{expected}]" in err and "smaller strength" in err
    assert record()["state"] == "failed" and "layer 1" in err


def test_a_failed_point_is_marked_and_the_rest_is_kept(steerdsl: Any, tiny_model: Path) -> None:
    text = """
sweep y over 1, 1e6, 1e300, 2 {
  steer t { add v by y at layers 1 }
  e = evaluate t on a with distinct_1, delta_nll, refusal_rate, max_tokens: 3
}
check e.refusal_rate <= 100
plot e.delta_nll over y to "e.png"
"""
    code, err = run(steerdsl, text, tiny_model, "--dtype", "fp16")
    assert code == 3 and err.count("error[") == 1 and "error[R814]: 2 points of a sweep failed" in err
    found = record()
    assert (found["state"], found["reached"]) == ("failed", "the end") and Path("r/e.png").is_file()
    assert [(f["at"], f["code"]) for f in found["failed"]] == [({"y": "1000000"}, "R812"), ({"y": "1e+300"}, "R813")]
    points = json.loads(Path("r/scores.json").read_text())["e"]["points"]
    assert [bool(point["failed"]) for point in points] == [False, True, True, False]
    assert [bool(figures(point)) for point in points] == [True, False, False, True]
    assert [check["holds"] for check in found["checks"]] == [True, None, None, True]
    assert [bool(check["reason"]) for check in found["checks"]] == [False, True, True, False]
    page = Path("r/report.html").read_text()
    assert page.count("failed: ") >= 2
    code, out, _ = steerdsl("show", "r")
    assert code == 0 and "failed" in out


def test_the_points_beside_a_failed_one_have_the_answers_of_their_own(steerdsl: Any, tiny_model: Path) -> None:
    """In float32, where a batch changes no token: the same with and without the point that fails, whose sum
    of two layers is the first number that is not finite."""
    text = "sweep y over {} {{ steer t {{ add v by y at layers 1..2 }}; g = generate from a with steer: t }}"
    answers = []
    for values in ("1, 1.8e39, 5", "1, 5"):
        code, _ = run(steerdsl, text.format(values), tiny_model, "--dtype", "float32", "--force")
        rows = [json.loads(line) for line in Path("r/generations.jsonl").read_text().splitlines()]
        answers.append(sorted((row["point"]["y"], row["row"], tuple(row["token_ids"])) for row in rows))
        assert code == (3 if "e39" in values else 0)
        shutil.rmtree(Path("../cache/store"))
    assert answers[0] == answers[1] and len(answers[0]) == 8


@pytest.mark.parametrize("more", ["", ", temperature: 0.7, n: 2, seed: 3"], ids=["greedy", "sampled"])
def test_a_broken_row_of_a_shared_batch_fails_its_own_step_alone(steerdsl: Any, tiny_model: Path, more: str) -> None:
    """The steps share batches: what stands before the one that fails is whole, and made once."""
    good, bad = "steer t { add v by 1 at layers 1 }", "steer u { add v by 1e6 at layers 1 }"
    text = f"{good}\n{bad}\ngood = generate from a with steer: t, max_tokens: 3{more}\n"
    broken = f"{text}bad = generate from a with steer: u, max_tokens: 3{more}\n"
    code, err = run(steerdsl, broken, tiny_model, "--dtype", "fp16")
    assert code == 3 and err.count("error[") == 1 and "error[R812]" in err and "generate" in record()["reached"]
    rows = [json.loads(line) for line in Path("r/generations.jsonl").read_text().splitlines()]
    assert rows and {row["step"] for row in rows} == {"good"} and all(row["token_ids"] for row in rows)
    about = [json.loads(path.read_text()) for path in Path("../cache").rglob("meta.json")]
    kept = [(meta["kind"], meta["variant"]) for meta in about if meta["kind"] in ("answers", "batch")]
    assert kept == [("answers", "t")]


def test_a_sweep_of_which_every_point_fails(steerdsl: Any, tiny_model: Path) -> None:
    text = "sweep y over 1e300, 1e301 { steer t { add v by y at layers 1 }; e = evaluate t on a with distinct_1 }"
    code, err = run(steerdsl, text, tiny_model, "--dtype", "float32")
    assert code == 3 and "error[R814]: every point of this sweep failed: e has no figures" in err
    assert record()["reached"].startswith("step 3, sweep") and len(record()["failed"]) == 2


EXPORTS = {
    "s.gguf": ("add v by 1e300 at layers 1", "a GGUF control vector"),
    "s.pt": ("add v by 1e300 at layers 1", "a steered model's file of lm-eval"),
    "s": ("add v by 1e300 at layers 1", "the checkpoint"),
}


@pytest.mark.parametrize(("path", "op", "what"), [(path, *each) for path, each in EXPORTS.items()])
def test_an_export_of_what_is_not_finite(steerdsl: Any, tiny_model: Path, path: str, op: str, what: str) -> None:
    """A steer is compiled where it is named, so that its numbers are refused before any export."""
    monkey = pytest.MonkeyPatch()
    monkey.setattr("steerdsl.engine.steer_compiler.require_tensors", lambda *given: None)
    text = f'steer t {{ {op} }}\nexport t to "{path}"'
    code, err = run(steerdsl, text, tiny_model, "--dtype", "float32")
    monkey.undo()
    assert code == 3 and f"error[R813]: {what} would hold" in err and not (Path("r") / path).exists()


def test_an_adapter_of_a_broken_model(steerdsl: Any, broken: Any) -> None:
    text = 'steer t { ablate v everywhere }\nexport t to "t.peft"'
    code, err = run(steerdsl, text, broken("MLP", float("nan")), "--dtype", "float32")
    assert code == 3 and "error[R813]: a PEFT adapter would hold numbers that are not finite" in err
    assert not Path("r/t.peft").exists()


def test_a_checkpoint_of_a_broken_model(steerdsl: Any, broken: Any) -> None:
    text = 'steer t { ablate v everywhere }\nexport t to "t"'
    code, err = run(steerdsl, text, broken("final norm", float("nan")), "--dtype", "float32")
    assert code == 3 and "error[R813]: the checkpoint would hold numbers that are not finite: model.norm" in err
    assert not Path("r/t").exists()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")], ids=str)
@pytest.mark.parametrize("part", ["unit", "raw_norm", "reader", "offset", "mean_positive", "mean_negative"])
def test_no_vector_holds_what_is_not_finite(part: str, value: float) -> None:
    parts = {name: torch.ones(2, 1, 4) for name in ("unit", "reader")} | {"raw_norm": torch.ones(2, 1)}
    parts |= {name: torch.ones(2, 4) for name in ("offset", "mean_positive", "mean_negative")}
    parts[part][1] = value
    means = {name: parts.pop(name) for name in ("mean_positive", "mean_negative")}
    with pytest.raises(MethodError, match=r"of `v` is not finite at layer 9 of resid_post") as caught:
        Vector("v", Directions(**parts), torch.tensor([5, 9]), "resid_post", **means)
    assert caught.value.code == "R813"


def test_no_plane_holds_what_is_not_finite() -> None:
    with pytest.raises(MethodError, match="its second axis"):
        Plane(torch.ones(4), torch.tensor([0, 1, float("nan"), 0]))


def test_an_answer_that_the_model_ended_at_once_is_a_refusal_and_no_failure(steerdsl: Any, tmp_path: Path) -> None:
    """METHODS.md, section 7: an empty answer counts as a refusal where the model gave it."""
    model = tiny("llama_untied")
    with torch.no_grad():
        model.lm_head.weight.zero_()
        model.lm_head.weight[2] = model.lm_head.weight.new_zeros(32)
    model.generation_config.eos_token_id = 0  # all logits are equal, and the first token is the end
    model.save_pretrained(tmp_path / "mute")
    tiny_tokenizer().save_pretrained(tmp_path / "mute")
    code, _ = run(steerdsl, "e = evaluate s on a with refusal_rate, max_tokens: 3", tmp_path / "mute")
    rows = [json.loads(line) for line in Path("r/generations.jsonl").read_text().splitlines()]
    assert code == 0 and all(row["ended"] and row["token_ids"] == [] for row in rows)
    assert json.loads(Path("r/scores.json").read_text())["e"]["refusal_rate"]["a"]["baseline"]["mean"] == 1
