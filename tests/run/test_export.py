"""A checkpoint exported from a steer does to plain transformers what the steer does to activations."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import tiny_folder
from transformers import AutoModelForCausalLM, AutoTokenizer

from steerdsl.models.catalog import locate

FITTED = "topic = extract diffmean from econ vs generic at mean_content"


def run_export(steerdsl: Any, model: str, steer: str) -> tuple[int, str]:
    # A recipe that asks for no answers would score the steer, which is not what is tested here.
    Path("one.txt").write_text("Hello.\n")
    asked = 'dataset one = "one.txt" with held_out: 0%; generate from one with max_tokens: 1'
    text = f'{FITTED}; {asked}; steer s {{ {steer} }}; export s to "edited"'
    code, _, err = steerdsl("run", "-e", text, "--model", model, "--dtype", "float32", "--device", "cpu", "--out", "r")
    return code, err


def direction(layer: int) -> tuple[torch.Tensor, float]:
    from safetensors.torch import load_file

    tensors = load_file("r/vectors/topic.safetensors")
    return tensors["directions"][layer].double(), float(tensors["raw_norms"][layer])


def logits(model: Any, tokenizer: Any, hooks: Any = None) -> torch.Tensor:
    given = tokenizer(["What is inflation?", "Hello there, how are you?"], return_tensors="pt", padding=True)
    handles = hooks(model) if hooks else []
    with torch.no_grad():
        found = model(**given).logits[:, -1]
    for handle in handles:
        handle.remove()
    return found


def ablate_everywhere(unit: torch.Tensor) -> Any:
    """Hooks on the embeddings, attention outputs and MLP outputs of a Llama."""

    def remove(x: torch.Tensor) -> torch.Tensor:
        return x - (x.double() @ unit)[..., None].to(x) * unit.to(x)

    def hooks(model: Any) -> list[Any]:
        found = [model.model.embed_tokens.register_forward_hook(lambda m, a, o: remove(o))]
        for block in model.model.layers:
            found.append(block.self_attn.register_forward_hook(lambda m, a, o: (remove(o[0]), *o[1:])))
            found.append(block.mlp.register_forward_hook(lambda m, a, o: remove(o)))
        return found

    return hooks


def test_what_an_export_equals_is_a_note_of_the_run(steerdsl: Any, tmp_path: Path) -> None:
    model = str(tiny_folder(tmp_path / "llama", "llama"))
    for _ in "made", "taken from the store":
        code, err = run_export(steerdsl, model, "ablate topic[1] everywhere")
        assert code == 0, err
        record = json.loads(Path("r/record.json").read_text())
        equal, near = record["notes"]
        assert equal.startswith("export s: ablate ") and "its logits differ from the steer's by" in near
        assert f"note: {equal}\nnote: {near}\n" in err and not any("export" in line for line in record["warnings"])
        assert "its logits differ from the steer" in Path("r/report.html").read_text()
        shutil.rmtree("r")


def check_ablation(steerdsl: Any, model: str, layer: int, tolerance: float) -> None:
    code, err = run_export(steerdsl, model, f"ablate topic[{layer}] everywhere")
    assert code == 0, err
    assert "note: export s: ablate " in err and "warning: export" not in err
    source = locate(model).path
    tokenizer = AutoTokenizer.from_pretrained(source, padding_side="left")
    before, after = (AutoModelForCausalLM.from_pretrained(p, dtype="float32").eval() for p in (source, "r/edited"))
    unit, _ = direction(layer)
    plain = logits(before, tokenizer)
    expected = logits(before, tokenizer, ablate_everywhere(unit))
    assert (expected - plain).abs().max() > 100 * tolerance
    assert (logits(after, tokenizer) - expected).abs().max() < tolerance


@pytest.mark.parametrize("case", ["llama", "llama_untied"])
def test_ablation_everywhere(steerdsl: Any, tmp_path: Path, case: str) -> None:
    check_ablation(steerdsl, str(tiny_folder(tmp_path / case, case)), 1, 1e-4)


@pytest.mark.slow
def test_ablation_everywhere_on_the_default_model_after_untying(steerdsl: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # The default model comes from the user's own cache, where earlier tests have put it.
    monkeypatch.delenv("STEERDSL_CACHE")
    check_ablation(steerdsl, "HuggingFaceTB/SmolLM2-135M-Instruct", 10, 1e-4)


def test_addition_at_a_layer(steerdsl: Any, tmp_path: Path) -> None:
    model = str(tiny_folder(tmp_path / "llama"))
    code, err = run_export(steerdsl, model, "add topic by 2 at layers 1")
    assert code == 0, err
    unit, norm = direction(1)
    step = (2 * norm * unit).float()

    def hooks(model: Any) -> list[Any]:
        return [model.model.layers[1].register_forward_hook(lambda m, a, o: o + step)]

    tokenizer = AutoTokenizer.from_pretrained(model, padding_side="left")
    before, after = (AutoModelForCausalLM.from_pretrained(p, dtype="float32").eval() for p in (model, "r/edited"))
    assert (logits(after, tokenizer) - logits(before, tokenizer, hooks)).abs().max() < 1e-4


def test_an_addition_stands_whatever_is_ablated_after_it(steerdsl: Any, tmp_path: Path) -> None:
    """An ablation everywhere removes what the blocks write, and an addition on the stream is no write."""
    model = str(tiny_folder(tmp_path / "llama"))
    code, err = run_export(steerdsl, model, "add topic by 2 at layers 1; ablate topic[1] everywhere")
    assert code == 0, err
    unit, norm = direction(1)

    def hooks(model: Any) -> list[Any]:
        step = (2 * norm * unit).float()
        added = model.model.layers[1].register_forward_hook(lambda m, a, o: o + step)
        return [added, *ablate_everywhere(unit)(model)]

    tokenizer = AutoTokenizer.from_pretrained(model, padding_side="left")
    before, after = (AutoModelForCausalLM.from_pretrained(p, dtype="float32").eval() for p in (model, "r/edited"))
    assert (logits(after, tokenizer) - logits(before, tokenizer, hooks)).abs().max() < 1e-4


@pytest.mark.parametrize(
    ("case", "steer", "reason"),
    [
        ("llama", "ablate topic at layers 1", "also removes what earlier layers wrote"),
        ("llama", "ablate topic[1] everywhere during generation", "what is exported acts at every token"),
        ("llama", "ablate topic[1] everywhere when proj(topic) > 0", "depends on the token"),
        ("llama", "add topic by 40% at layers 1", "a share of the token's norm depends on the token"),
        ("llama", "rotate plane(topic[1], random) by 90deg", "`rotate` is not a linear change"),
        ("gemma2", "ablate topic[1] everywhere", "is not linear in any weights"),
    ],
)
def test_what_no_weights_can_carry_is_refused(
    steerdsl: Any, tmp_path: Path, case: str, steer: str, reason: str
) -> None:
    code, err = run_export(steerdsl, str(tiny_folder(tmp_path / case, case)), steer)
    assert reason in err and "help: " in err
    assert (code, "error[R847]" in err, Path("run").exists() or Path("r").exists()) == (1, True, False), err
    assert not Path("r/edited").exists()


@pytest.mark.parametrize(
    ("steer", "path", "reason"),
    [
        ("add topic by 1 at layers 0", "s.gguf", "llama.cpp has no place for a direction at layer 0"),
        ("add topic by 1 on mlp_out at layers 1", "s.gguf", "llama.cpp adds on resid_post"),
        ("ablate topic at layers 1", "s.peft", "also removes what earlier layers wrote"),
        ("ablate eraser everywhere", "s.peft", "an oblique eraser (leace) has an offset"),
        ("ablate eraser everywhere", "s", "an oblique eraser (leace) has an offset"),
        ("ablate eraser at layers 1", "s.pt", "an oblique eraser (leace) has an offset"),
        ("add topic by 1 on attn_norm_out at layers 1", "s.pt", None),
    ],
)
def test_a_plan_refuses_what_a_format_has_no_place_for(
    steerdsl: Any, tmp_path: Path, steer: str, path: str, reason: str | None
) -> None:
    """Before any pass, and after none of the evaluations that stand before the export."""
    model = str(tiny_folder(tmp_path / "llama"))
    fitted = "topic = extract diffmean from econ vs generic; eraser = extract leace from econ vs generic; "
    text = f'{fitted}steer s {{ {steer} }}; export s to "{path}"'
    code, _, err = steerdsl("plan", "-e", text, "--model", model)
    assert code == (1 if reason else 0) and ("error[R847]" in err) == bool(reason) and (reason or "") in err, err


@pytest.mark.parametrize("path", ["edited", "edited.peft"])
def test_an_export_that_does_not_do_what_the_steer_does_is_not_written(
    steerdsl: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """As it would be if a writer had not been found."""
    from steerdsl.models.writers import Writing

    found = Writing.parts

    def fewer(self: Writing, place: tuple[str, int]) -> Any:
        return () if place == ("mlp_out", 1) else found(self, place)

    monkeypatch.setattr(Writing, "parts", fewer)
    model = str(tiny_folder(tmp_path / "llama"))
    Path("one.txt").write_text("Hello.\n")
    asked = 'dataset one = "one.txt" with held_out: 0%; generate from one with max_tokens: 1'
    text = f'{FITTED}; {asked}; steer s {{ ablate topic[1] everywhere }}; export s to "{path}"'
    code, _, err = steerdsl("run", "-e", text, "--model", model, "--dtype", "float32", "--out", "r")
    assert code == 3 and "error[M670]" in err and "does not do what the steer does: its logits differ by" in err
    assert not list(Path().glob(f"r*/**/*{path}*")) and not list(Path().glob("r*/.edited*"))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_rounded_weights_are_held_to_the_steer_too(steerdsl: Any, tmp_path: Path, dtype: str) -> None:
    model = str(tiny_folder(tmp_path / "llama"))
    Path("one.txt").write_text("Hello.\n")
    asked = 'dataset one = "one.txt" with held_out: 0%; generate from one with max_tokens: 1'
    text = f'{FITTED}; {asked}; steer s {{ STEER }}; export s to "edited"'
    said = []
    for steer in ("ablate topic[1] everywhere", "ablate topic[1] everywhere by 0.3%"):
        line = text.replace("STEER", steer)
        said.append(steerdsl("run", "-e", line, "--model", model, "--dtype", dtype, "--out", "r", "--force"))
    (code, _, err), (faint, _, refusal) = said
    assert code == 0 and "its logits differ from the steer's by 0.00" in err, err
    if dtype == "float16":  # which says the smaller step well enough
        assert faint == 0
        return
    assert faint == 3 and "error[M670]" in refusal and f"weights in {dtype}" in refusal


def test_an_addition_on_the_embeddings_is_ablated_with_them(steerdsl: Any, tmp_path: Path) -> None:
    """Operations of one place act in text order, in weights too."""
    model = str(tiny_folder(tmp_path / "llama"))
    steer = "add topic by 2 on resid_pre at layers 0; ablate topic[1] everywhere"
    code, err = run_export(steerdsl, model, steer)
    assert code == 0, err
    first, layer_0 = direction(1), direction(0)
    step = (2 * layer_0[1] * layer_0[0]).float()

    def hooks(model: Any) -> list[Any]:
        return [
            model.model.embed_tokens.register_forward_hook(lambda m, a, o: o + step),
            *ablate_everywhere(first[0])(model),
        ]

    tokenizer = AutoTokenizer.from_pretrained(model, padding_side="left")
    before, after = (AutoModelForCausalLM.from_pretrained(p, dtype="float32").eval() for p in (model, "r/edited"))
    assert (logits(after, tokenizer) - logits(before, tokenizer, hooks)).abs().max() < 1e-4
