"""GLP vectors against a reader written here after the specification, and against its formula in hooks."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gguf import GGUFReader
from made import IDS, gguf_bytes, raw_rows, read, refusal
from transformers import AutoModelForCausalLM

from steerdsl.store.vector_files import save_vector

UNIT = [0.6, 0.8, *[0.0] * 30]
OTHER = [-0.8, 0.6, *[0.0] * 30]
PROJECT = {"glp.spec_version": 1, "glp.mode": "project", "glp.hook_point": "residual_stream_post_layer"}
SUBSPACE = {**PROJECT, "glp.spec_version": 2, "glp.rank": 2, "glp.orthonormal": True}
HOOKS = {
    "residual_stream_post_layer": "resid_post",
    "attn_out_pre_residual": "attn_out",
    "ffn_out_pre_residual": "mlp_out",
}


def conforming(path: Path) -> tuple[dict[str, Any], dict[int, np.ndarray]]:
    """A file as a reader takes it that obeys every rule of the specification: settings, and [k, d] by layer."""
    found = GGUFReader(path)
    said = {key: field.contents() for key, field in found.fields.items() if not key.startswith("GGUF")}
    assert said["general.architecture"] == "controlvector" and said["glp.mode"] == "project"
    assert said["glp.hook_point"] in HOOKS and said["glp.spec_version"] in (1, 2)
    rows: dict[int, dict[int, np.ndarray]] = {}
    for tensor in found.tensors:
        layer, *rest = map(int, tensor.name.removeprefix("direction.").split("."))
        assert layer >= 1 and tensor.data.dtype == np.float32 and tensor.data.ndim == 1
        rows.setdefault(layer, {})[rest[0] if rest else 0] = tensor.data.copy()
    assert said["glp.spec_version"] == 2 or said["glp.rank"] == 1
    stacked = {layer: np.stack([own[j] for j in range(said["glp.rank"])]) for layer, own in rows.items()}
    for own in stacked.values():
        assert said["glp.orthonormal"] is True and np.allclose(own @ own.T, np.eye(len(own)), atol=1e-6)
    assert said["glp.layer_ids_zero_based"] == ",".join(map(str, sorted(stacked)))
    digest = hashlib.sha256(b"".join(row.tobytes() for layer in sorted(stacked) for row in stacked[layer]))
    assert said["glp.content_sha256"] == digest.hexdigest()
    return said, stacked


def projected(made: Any, site: str, rows: dict[int, np.ndarray], alpha: float) -> torch.Tensor:
    """Logits under h - Σ α (h · d) d at modules of a llama, by hooks."""
    model = AutoModelForCausalLM.from_pretrained(made.model, dtype="float32").eval()
    part = {"resid_post": "", "attn_out": ".self_attn", "mlp_out": ".mlp"}[site]

    def project(own: torch.Tensor) -> Any:
        def hook(module: Any, args: Any, out: Any) -> Any:
            h = out[0] if isinstance(out, tuple) else out
            left = h - alpha * (h @ own.T) @ own
            return (left, *out[1:]) if isinstance(out, tuple) else left

        return hook

    handles = [
        model.get_submodule(f"model.layers.{layer}{part}").register_forward_hook(project(torch.tensor(own)))
        for layer, own in rows.items()
    ]
    with torch.no_grad():
        logits: torch.Tensor = model(IDS).logits
    for handle in handles:
        handle.remove()
    return logits


@pytest.mark.parametrize(
    ("steer", "hook", "alpha", "rank"),
    [
        ("ablate v at layers 1..2", "residual_stream_post_layer", 1.0, 1),
        ("ablate v[1] by 50% at layers 1..2", "residual_stream_post_layer", 0.5, 1),
        ("ablate v by 400% on attn_out at layers 1", "attn_out_pre_residual", 4.0, 1),
        ("ablate v on mlp_out at layers 2", "ffn_out_pre_residual", 1.0, 1),
        ("ablate two at layers 1..2", "residual_stream_post_layer", 1.0, 2),
        ("ablate v[0,1] by 25% at layers 2", "residual_stream_post_layer", 0.25, 2),
    ],
)
def test_a_steer_of_ablations_there_and_back(bench: Any, steer: str, hook: str, alpha: float, rank: int) -> None:
    made = bench("llama")
    path = made.export(steer, "s.gguf")
    said, rows = conforming(path)
    assert (said["glp.hook_point"], said["glp.alpha_default"], said["glp.rank"]) == (hook, alpha, rank)
    assert said["glp.spec_version"] == (1 if rank == 1 else 2)
    assert said["general.base_model.count"] == 1 and "/" not in said["general.base_model.0.name"]
    expected = made.logits(steer)
    assert (projected(made, HOOKS[hook], rows, alpha) - expected).abs().max() < 1e-4
    assert (made.logits() - expected).abs().max() > 1e-3
    vector = read(path)
    assert vector.stream == HOOKS[hook] and vector.meta["operation"] == "ablate" and vector.meta["strength"] == alpha
    save_vector(vector, Path("v.safetensors"))
    layers = ",".join(map(str, sorted(rows)))
    again = f"ablate v by {100 * alpha:g}% on {HOOKS[hook]} at layers {layers}"
    assert (made.logits(again) - expected).abs().max() < 1e-4


@pytest.mark.parametrize(
    ("steer", "problem"),
    [
        ("ablate v at layers 1; add u by 1 at layers 1", "it states one operation, and this steer both adds and abla"),
        ("ablate v at layers 1; ablate u by 50% at layers 2", "it states one strength, and this steer has several"),
        ("ablate v at layers 1; ablate u on mlp_out at layers 2", "it states one place in the block, and this steer"),
        ("ablate v on attn_out, mlp_out at layers 2", "it states one place in the block, and this steer has several"),
        ("ablate v[1] everywhere", "it states one place in the block, and this steer has several"),
        ("ablate v at layers 0..1", "it has no place for a direction at layer 0"),
        ("ablate v on resid_pre at layers 1", "it has no name for resid_pre"),
        ("ablate v at layers 1; ablate u at layers 1", "two ablations at layer 1 act one after the other"),
        ("ablate v at layers 1; ablate two at layers 2", "its layers must have one place and one number of directi"),
    ],
)
def test_what_a_file_cannot_state(bench: Any, steer: str, problem: str) -> None:
    made = bench("llama")
    code, err = made.run(f'{made.text(steer)}; export s to "s.gguf"')
    assert code in (1, 3) and f"error[R847]: a GLP vector cannot carry this: {problem}" in err
    assert not Path("r/s.gguf").exists()


def written(tmp_path: Path, tensors: dict[str, list[float]], settings: dict[str, Any]) -> Path:
    (tmp_path / "x.gguf").write_bytes(gguf_bytes(tensors, settings))
    return tmp_path / "x.gguf"


def digest(*rows: list[float]) -> str:
    return hashlib.sha256(np.array(rows, "<f4").tobytes()).hexdigest()


def test_a_published_file(tmp_path: Path) -> None:
    """The settings of a file by captain-vector, its text numbers and its notes of where it came from."""
    notes = {
        **{"glp.generator": "captain-vector 0.4.0", "glp.structure": "mean difference", "glp.created": "2026-09-10"},
        **{"general.base_model.count": 1, "general.base_model.0.version": "0" * 40, "glp.base_revision": "0" * 40},
        **{"glp.alpha_default": "4.0", "glp.rank": "1", "glp.derived_at": "ffn_out_pre_residual"},
        **{"glp.content_sha256": digest(UNIT, OTHER), "glp.layer_ids_zero_based": "1, 2"},
    }
    path = written(tmp_path, {"direction.2": OTHER, "direction.1": UNIT}, {**PROJECT, **notes})
    vector = read(path)
    assert vector.layers.tolist() == [1, 2] and vector.stream == "resid_post"
    assert torch.allclose(raw_rows(vector)[:, 0], torch.tensor([UNIT, OTHER], dtype=torch.float64), atol=1e-6)
    assert vector.meta["operation"] == "ablate" and vector.meta["strength"] == 4.0
    assert vector.directions.figures["warnings"] == ["x.gguf states that it acts on resid_post and was read on mlp_out"]


@pytest.mark.parametrize(("hook", "stream"), HOOKS.items())
def test_where_a_file_acts(tmp_path: Path, hook: str, stream: str) -> None:
    vector = read(written(tmp_path, {"direction.1": UNIT}, {**PROJECT, "glp.hook_point": hook}))
    assert vector.stream == stream and "warnings" not in vector.directions.figures


def test_a_file_without_a_mode_adds(tmp_path: Path) -> None:
    assert read(written(tmp_path, {"direction.1": UNIT}, {"glp.spec_version": 1})).meta["operation"] == "add"
    assert "operation" not in read(written(tmp_path, {"direction.1": UNIT}, {})).meta


def test_a_subspace(tmp_path: Path) -> None:
    vector = read(written(tmp_path, {"direction.1": UNIT, "direction.1.1": OTHER}, SUBSPACE))
    assert vector.directions.unit.shape == (1, 2, 32)


TWO = {"direction.1": UNIT, "direction.1.1": OTHER}


@pytest.mark.parametrize(
    ("tensors", "settings", "begins"),
    [
        ({"direction.1": UNIT}, {"glp.mode": "rotate"}, "R846: x.gguf: glp.mode is 'rotate', and `project` and"),
        ({"direction.1": UNIT}, {"glp.mode": "x" * 100_000}, "R846: x.gguf: glp.mode is 'xxx"),
        ({"direction.1": UNIT}, {"controlvector." + "x" * 60_000: 1}, "R846: x.gguf has a setting 'controlvector.xxx"),
        ({"direction.1": UNIT}, {"glp.mode": 3}, "R846: x.gguf: glp.mode is 3"),
        ({"direction.1": UNIT}, {**PROJECT, "glp.hook_point": "embeddings"}, "R846: x.gguf: glp.hook_point is 'emb"),
        ({"direction.1": UNIT}, {**PROJECT, "glp.spec_version": 3}, "R846: x.gguf: glp.spec_version is 3, and 1 and"),
        ({"direction.1": UNIT}, {**PROJECT, "glp.spec_version": "new"}, "R846: x.gguf: glp.spec_version is 'new', wh"),
        ({"direction.1": UNIT}, {**PROJECT, "glp.alpha_default": "inf"}, "R846: x.gguf: glp.alpha_default is 'inf'"),
        ({"direction.1": UNIT}, {**PROJECT, "glp.alpha_default": True}, "R846: x.gguf: glp.alpha_default is True"),
        ({"direction.1": UNIT}, {**PROJECT, "glp.alpha_default": ["1"]}, "R846: x.gguf: glp.alpha_default is None"),
        ({"direction.1": UNIT}, {**PROJECT, "glp.rank": 0}, "R846: x.gguf: glp.rank is 0"),
        ({"direction.1": UNIT}, {**PROJECT, "glp.rank": 2}, "R846: x.gguf: glp.rank is 2 in version 1"),
        (TWO, {**SUBSPACE, "glp.orthonormal": False}, "R846: x.gguf: it has several directions a layer and does not"),
        (TWO, {**SUBSPACE, "glp.dir_scales": "1,0.5"}, "R846: x.gguf: glp.dir_scales gives directions strengths"),
        (TWO, {**SUBSPACE, "glp.layer_scales": "1:2"}, "R846: x.gguf: glp.layer_scales gives directions strengths"),
        ({"direction.1": UNIT, "direction.1.1": UNIT}, SUBSPACE, "R840: x.gguf is not a GLP vector: the"),
        ({"direction.1": UNIT}, SUBSPACE, "R840: x.gguf is not a GLP vector: layer 1 has 1"),
        (TWO, PROJECT, "R840: x.gguf is not a GLP vector: layer 1 has 2 directions, and it states 1"),
        ({"direction.1.1": UNIT}, PROJECT, "R840: x.gguf is not a GGUF control vector: layer 1 has directions [1]"),
        ({"direction.1": UNIT, "direction.1.1": OTHER[:8]}, SUBSPACE, "R840: x.gguf is not a GGUF"),
        (TWO, {}, "R846: x.gguf has a tensor 'direction.1.1', whose meaning is not known"),
        ({"direction.0": UNIT}, PROJECT, "R842: x.gguf: llama.cpp has no place for a direction at layer 0"),
        ({"direction.0": UNIT}, {**PROJECT, "controlvector.method": "pca"}, "R842: x.gguf: llama.cpp has no place"),
        ({"direction.9": UNIT}, PROJECT, "R844: x.gguf has a direction at layer 9"),
        ({"direction.1": UNIT}, {**PROJECT, "glp.content_sha256": digest(OTHER)}, "R840: x.gguf is not a GLP vector: "),
        ({"direction.1": UNIT}, {**PROJECT, "glp.layer_ids_zero_based": "0"}, "R840: x.gguf is not a GLP vector: its"),
        ({"direction.1": UNIT}, {"dspark.mode": "project"}, "R846: x.gguf has a setting 'dspark.mode', whose meaning"),
        ({"direction.1": [float("nan")] * 32}, PROJECT, "R843: x.gguf: direction.1 has numbers that are not finite"),
    ],
)  # fmt: skip
def test_what_a_reader_must_refuse(
    tmp_path: Path, tensors: dict[str, list[float]], settings: dict[str, Any], begins: str
) -> None:
    text = refusal(written(tmp_path, tensors, settings))
    assert text.startswith(begins) and " | " in text and "\n" not in text and len(text) < 400


@pytest.mark.parametrize(
    ("settings", "steer", "problem"),
    [
        (PROJECT, "add old by 1 at layers 1", "`ablate` on resid_post, and this steer is to add"),
        (PROJECT, "clamp old to 0 at layers 1", "`ablate` on resid_post, and this steer is to clamp"),
        (PROJECT, "ablate old[1] everywhere", "`ablate` on resid_post, and this steer is to ablate on "),
        (
            {**PROJECT, "glp.hook_point": "attn_out_pre_residual"},
            "ablate old at layers 1",
            "`ablate` on attn_out, and this steer is to ablate on resid_post",
        ),
        ({**PROJECT, "glp.mode": "add"}, "ablate old at layers 1", "`add` on resid_post, and this steer is to ablate"),
        (PROJECT, "ablate old at layers 1", None),
        (PROJECT, "add 1 * old by 1 at layers 1", None),
        ({**PROJECT, "glp.mode": "add"}, "add old by 1 at layers 1", None),
        ({}, "ablate old at layers 1", None),
    ],
)
def test_a_vector_acts_as_its_file_states(bench: Any, settings: Any, steer: str, problem: str | None) -> None:
    made = bench("llama")
    Path("x.gguf").write_bytes(gguf_bytes({"direction.1": UNIT}, settings))
    code, err = made.run(f'old = load "x.gguf"; steer s {{ {steer} }}; generate from one with steer: s, max_tokens: 1')
    assert (code, "error[R952]" in err) == ((3, True) if problem else (0, False)), err
    assert (problem or "") in err


def test_the_plan_says_what_a_file_is_made_for(bench: Any) -> None:
    made = bench("llama")
    said = {**PROJECT, "glp.alpha_default": "4"}
    Path("x.gguf").write_bytes(gguf_bytes({"direction.1": UNIT}, said))
    code, err = made.run('old = load "x.gguf"; export old to "x.safetensors"')
    assert code == 0, err
    assert "ablate by 400% on resid_post" in Path("r/record.json").read_text(encoding="utf-8")


def test_what_another_tool_made_stays_stated_in_our_own_file(tmp_path: Path) -> None:
    vector = read(written(tmp_path, {"direction.1": UNIT}, PROJECT))
    save_vector(vector, tmp_path / "own.safetensors")
    assert read(tmp_path / "own.safetensors").meta["operation"] == "ablate"
