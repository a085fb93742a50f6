"""Directions that others saved with torch.save."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from made import ARCH, random_vector, raw_rows, read, refusal
from tiny import tiny_config

from steerdsl.lang.recipe import Position
from steerdsl.models.architecture import architecture
from steerdsl.store.vector_files import save_vector

DRAW = torch.Generator().manual_seed(7)


def saved(path: Path, value: Any) -> Path:
    torch.save(value, path)
    return path


@dataclass
class SteeringVector:
    """As in steering_vectors/steering_vector.py: these two fields, pickled under this name."""

    layer_activations: dict[int, torch.Tensor]
    layer_type: str = "decoder_block"


@pytest.fixture
def steering_vector(monkeypatch: pytest.MonkeyPatch) -> type[SteeringVector]:
    """The class under its own module's name, which is gone again when the file is read."""
    name = "steering_vectors.steering_vector"
    module = ModuleType(name)
    module.SteeringVector = SteeringVector  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "steering_vectors", ModuleType("steering_vectors"))
    monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(SteeringVector, "__module__", name)
    return SteeringVector


def test_a_bare_direction_acts_wherever_it_is_used(tmp_path: Path) -> None:
    direction = torch.randn(32, generator=DRAW, dtype=torch.float64)
    vector = read(saved(tmp_path / "direction.pt", direction))
    assert vector.layers.tolist() == [0, 1, 2] and vector.stream == "resid_pre"
    assert torch.allclose(raw_rows(vector)[:, 0], direction.expand(3, -1), atol=1e-6)


def test_a_bare_direction_ablates_everywhere(bench: Any) -> None:
    made = bench("llama")
    v = raw_rows(random_vector(name="v"))[1, 0]
    saved(Path("direction.pt"), v.bfloat16())
    code, err = made.run('old = load "direction.pt"; steer s { ablate old everywhere }; export s to "r.peft"')
    assert code == 0, err
    save_vector(read(Path("direction.pt")), Path("u.safetensors"))
    assert (made.logits("ablate u everywhere") - made.logits("ablate v[1] everywhere")).abs().max() < 0.05
    assert (made.logits("ablate u everywhere") - made.logits()).abs().max() > 0.1


def test_differences_of_means_at_the_position_asked_for(tmp_path: Path) -> None:
    diffs = torch.randn(5, 3, 32, generator=DRAW, dtype=torch.float64)
    path = saved(tmp_path / "mean_diffs.pt", diffs)
    for position, row in ((Position("token", -5), 0), (Position("token", -2), 3), (Position("last_token"), 4)):
        vector = read(path, position)
        assert torch.allclose(raw_rows(vector)[:, 0], diffs[row], atol=1e-6)
        assert vector.stream == "resid_pre" and vector.meta["position"] == f"token {row - 5}"


@pytest.mark.parametrize("position", [None, Position("token", -6), Position("token", 0), Position("mean_prompt")])
def test_a_position_that_the_file_does_not_have(tmp_path: Path, position: Position | None) -> None:
    path = saved(tmp_path / "mean_diffs.pt", torch.ones(5, 3, 32))
    assert refusal(path, position) == (
        "R848: mean_diffs.pt has directions at 5 positions, the tokens -5 to -1 | "
        'name one of them, as in `load "mean_diffs.pt" at token -1`'
    )


def test_a_position_of_a_file_without_positions(tmp_path: Path) -> None:
    position = Position("token", -1)
    save_vector(random_vector(), tmp_path / "v.safetensors")
    for path in (saved(tmp_path / "direction.pt", torch.ones(32)), tmp_path / "v.safetensors"):
        assert refusal(path, position) == f"R848: {path.name} has no positions to choose from | leave out `at`"


def test_a_position_in_a_recipe(bench: Any) -> None:
    made = bench("llama")
    saved(Path("mean_diffs.pt"), torch.randn(5, 3, 32, generator=DRAW))
    assert made.run('old = load "mean_diffs.pt" at token -2; export old to "old.safetensors"')[0] == 0
    code, err = made.run('old = load "mean_diffs.pt"; export old to "old.safetensors"')
    assert code == 3 and "error[R848]: mean_diffs.pt has directions at 5 positions" in err


@pytest.mark.parametrize(
    ("layer_type", "stream"),
    [("decoder_block", "resid_post"), ("self_attn", "attn_out"), ("post_attention_layernorm", "mlp_norm_out")],
)
def test_a_vector_of_steering_vectors(
    tmp_path: Path, steering_vector: type[SteeringVector], layer_type: str, stream: str
) -> None:
    rows = {1: torch.randn(32, generator=DRAW), 2: torch.randn(32, generator=DRAW)}
    path = saved(tmp_path / "sv.pt", steering_vector(rows, layer_type))
    sys.modules.pop("steering_vectors.steering_vector")
    vector = read(path)
    assert vector.layers.tolist() == [1, 2] and vector.stream == stream
    assert torch.allclose(raw_rows(vector)[:, 0], torch.stack([rows[1], rows[2]]).double(), atol=1e-6)


def test_a_layer_type_that_has_no_name_here(tmp_path: Path, steering_vector: type[SteeringVector]) -> None:
    rows = {1: torch.ones(32)}
    assert refusal(saved(tmp_path / "sv.pt", steering_vector(rows, "lm_head"))) == (
        "R846: sv.pt has the layer type 'lm_head', whose meaning is not known | save a SteeringVector unchanged"
    )
    gemma = architecture(tiny_config("gemma2"))
    path = saved(tmp_path / "sv.pt", steering_vector(rows, "mlp"))
    assert read(path).stream == "mlp_out"
    assert refusal(path, arch=gemma) == (
        "R846: sv.pt is of mlp, whose output has no name on gemma2 | load one of decoder_block"
    )
    assert ARCH.family == "llama"
