"""GGUF control vectors against the gguf package on the other side, and against bytes written by hand."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from gguf import GGUFReader
from made import ARCH, gguf_bytes, random_vector, raw_rows, read
from tiny import tiny_config

from steerdsl.formats import control_vector
from steerdsl.methods.types import MethodError, Vector
from steerdsl.models.architecture import architecture
from steerdsl.store.vector_files import save_vector


def directions(path: Path) -> dict[str, torch.Tensor]:
    """What the gguf package reads."""
    return {t.name: torch.tensor(t.data.copy()) for t in GGUFReader(path).tensors}


def test_a_vector_there_and_back(tmp_path: Path) -> None:
    vector, path = random_vector(layers=(1, 2)), tmp_path / "v.gguf"
    control_vector.write_vector(vector, ARCH, path)
    fields = {key: field.contents() for key, field in GGUFReader(path).fields.items() if not key.startswith("GGUF")}
    assert fields == {
        "general.architecture": "controlvector",
        "controlvector.model_hint": "llama",
        "controlvector.layer_count": 2,
    }
    found = directions(path)
    assert sorted(found) == ["direction.1", "direction.2"]
    for i, layer in enumerate((1, 2)):
        assert torch.allclose(found[f"direction.{layer}"].double(), raw_rows(vector)[i, 0], rtol=1e-6)
    back = read(path)
    assert back.layers.tolist() == [1, 2] and back.stream == "resid_post"
    assert torch.allclose(raw_rows(back), raw_rows(vector), rtol=1e-6)


def test_a_file_written_by_hand(tmp_path: Path) -> None:
    path = tmp_path / "old.gguf"
    path.write_bytes(gguf_bytes({"direction.2": [3.0, 4.0, *[0.0] * 30]}, {"controlvector.layer_count": 1}))
    vector = read(path)
    assert vector.layers.tolist() == [2] and vector.directions.raw_norm.tolist() == [[5.0]]
    assert vector.directions.unit[0, 0, :3].tolist() == pytest.approx([0.6, 0.8, 0.0])
    assert "warnings" not in vector.directions.figures


def test_a_file_for_another_model_of_the_same_size_is_told(tmp_path: Path) -> None:
    path = tmp_path / "old.gguf"
    path.write_bytes(gguf_bytes({"direction.2": [1.0] * 32}, {"controlvector.model_hint": "qwen2"}))
    told = ["old.gguf says that it was made for qwen2, and this model is a llama"]
    assert read(path).directions.figures["warnings"] == told
    mistral = architecture(tiny_config("mistral"))
    path.write_bytes(gguf_bytes({"direction.2": [1.0] * 32}))
    assert "warnings" not in read(path, arch=mistral).directions.figures  # llama.cpp calls both llama


def test_what_a_file_says_beside_its_directions_costs_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "old.gguf"
    about = {"general.picture": bytes(range(200)) * 1000, "general.tags": ["a", "steer"]}
    path.write_bytes(gguf_bytes({"direction.2": [1.0] * 32}, about))
    read(path)  # what is imported on the way is no part of it
    tracemalloc.start()
    assert read(path).layers.tolist() == [2]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < path.stat().st_size


def test_a_layer_without_a_direction_has_no_tensor(tmp_path: Path) -> None:
    vector = random_vector()
    unit = vector.directions.unit.clone()
    unit[0] = 0
    control_vector.write_vector(
        replace(vector, directions=replace(vector.directions, unit=unit)), ARCH, tmp_path / "v.gguf"
    )
    assert sorted(directions(tmp_path / "v.gguf")) == ["direction.1", "direction.2"]


def oblique() -> Vector:
    vector = random_vector(layers=(1,))
    return replace(vector, directions=replace(vector.directions, reader=vector.directions.unit))


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: random_vector(), "llama.cpp has no place for a direction at layer 0, and `v` has one"),
        (lambda: random_vector(k=2, layers=(1, 2)), "`v` has 2 directions a layer"),
        (lambda: random_vector(stream="mlp_out", layers=(1,)), "`v` is of mlp_out, and llama.cpp adds on resid_post"),
        (oblique, "`v` is an oblique eraser (leace), not an addition"),
    ],
)
def test_what_a_control_vector_cannot_carry(tmp_path: Path, make: Callable[[], Vector], problem: str) -> None:
    with pytest.raises(MethodError) as caught:
        control_vector.write_vector(make(), ARCH, tmp_path / "v.gguf")
    assert caught.value.code == "R847"
    assert caught.value.problem == f"a GGUF control vector cannot carry this: {problem}"
    help = "export a steer that adds it where it acts: `steer s { add v by 1 at layers 1..2 }`"
    assert caught.value.way_out == help
    assert not (tmp_path / "v.gguf").exists()


def test_a_steer_of_additions_adds_up_layer_by_layer(bench: Any) -> None:
    made = bench("llama")
    steer = "add v by 2 at layers 1..2; add u by -0.5 at layers 2; add two by 1 at layers 1"
    path = made.export(steer, "s.gguf")
    v, u, two = (raw_rows(random_vector(name=n, k=k)) for n, k in (("v", 1), ("u", 1), ("two", 2)))
    found = directions(path)
    assert torch.allclose(found["direction.1"].double(), 2 * v[1, 0] + two[1].sum(0), rtol=1e-5, atol=1e-7)
    assert torch.allclose(found["direction.2"].double(), 2 * v[2, 0] - 0.5 * u[2, 0], rtol=1e-5, atol=1e-7)
    # Read back and added by 1, it steers as the steer did.
    expected = made.logits(steer)
    save_vector(read(path), Path("v.safetensors"))
    assert (made.logits("add v by 1 at layers 1..2") - expected).abs().max() < 1e-5
    assert (made.logits() - expected).abs().max() > 1e-2


@pytest.mark.parametrize(
    ("steer", "problem"),
    [
        ("add v by 1 at layers 0", "llama.cpp has no place for a direction at layer 0, and this steer adds there"),
        ("add v by 1 on mlp_out at layers 1", "llama.cpp adds on resid_post, and this steer on mlp_out"),
        ("add v by 40% at layers 1", "a share of the token's norm depends on the token"),
        ("add v by 1 at layers 1 during generation", "what is exported acts at every token"),
        ("add v by 1 at layers 1 when proj(v) > 0", "a condition or `keep norm` depends on the token"),
        ("add v by 1 at layers 1 keep norm", "a condition or `keep norm` depends on the token"),
        ("clamp v to 1 at layers 1", "it holds `ablate` and `add`, and `clamp` is none of these"),
    ],
)
def test_a_steer_that_a_control_vector_cannot_carry(bench: Any, steer: str, problem: str) -> None:
    made = bench("llama")
    code, err = made.run(f'{made.text(steer)}; export s to "s.gguf"')
    assert code in (1, 3) and f"error[R847]: a GGUF control vector cannot carry this: {problem}" in err
    assert not Path("r/s.gguf").exists()
