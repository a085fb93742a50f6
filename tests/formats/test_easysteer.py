"""EasySteer's GGUF files: read with the notes that it keeps, and ours as its engine and its importer read them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from gguf import GGUFReader, GGUFWriter
from made import ARCH, gguf_bytes, random_vector, raw_rows, read, refusal

from steerdsl.formats import control_vector

DRAW = torch.Generator().manual_seed(5)


def exported(path: Path, rows: dict[int, torch.Tensor], component: str | None = "hidden_states") -> Path:
    """What EasySteer's `StatisticalControlVector.export_gguf` writes."""
    writer = GGUFWriter(path, "controlvector")
    writer.add_string("controlvector.model_hint", "llama")
    writer.add_string("controlvector.method", "diffmean")
    writer.add_uint32("controlvector.layer_count", len(rows))
    metadata = {"mapping": [["normalize", True]]}
    writer.add_string(
        "controlvector.easysteer", json.dumps({"version": 1, "component": component, "metadata": metadata})
    )
    for layer, row in rows.items():
        writer.add_tensor(f"direction.{layer}", row.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def loaded(path: Path) -> dict[int, torch.Tensor]:
    """What EasySteer's engine reads: every `direction.N` of any whole N; its importer wants the model's type too."""
    found = GGUFReader(path)
    assert found.get_field("controlvector.model_hint") is not None
    directions = {}
    for tensor in found.tensors:
        if tensor.name.startswith("direction."):
            directions[int(tensor.name.removeprefix("direction."))] = torch.tensor(tensor.data.copy())
    return directions


@pytest.mark.parametrize("component", ["hidden_states", None])
def test_a_file_of_easysteer_with_layer_0(tmp_path: Path, component: str | None) -> None:
    rows = {layer: torch.randn(32, generator=DRAW) for layer in (0, 2)}
    vector = read(exported(tmp_path / "v.gguf", rows, component))
    assert vector.layers.tolist() == [0, 2] and vector.stream == "resid_post"
    assert torch.allclose(raw_rows(vector)[:, 0], torch.stack([rows[0], rows[2]]).double(), atol=1e-6)


def test_an_older_file_with_what_its_analysis_found(tmp_path: Path) -> None:
    notes = {
        "controlvector.method": "pca",
        "controlvector.normalize": True,
        "controlvector.explained_variance.1": "0.4",
    }
    (tmp_path / "v.gguf").write_bytes(gguf_bytes({"direction.1": [1.0] * 32}, notes))
    assert read(tmp_path / "v.gguf").layers.tolist() == [1]


@pytest.mark.parametrize(
    ("written", "begins"),
    [
        ('{"version": 1, "component": "attention_heads"}', "R846: v.gguf has directions of EasySteer's component 'att"),
        (
            '{"version": 1, "component": "router_logits"}',
            "R846: v.gguf has directions of EasySteer's component 'router",
        ),
        ('{"version": 2, "component": null}', "R846: v.gguf has controlvector.easysteer of version 2"),
        ('{"version": 1}', "R840: v.gguf is not a GGUF control vector: "),
        ('{"version": "1", "component": null}', "R840: v.gguf is not a GGUF control vector: "),
        ("[" * 100_000, "R840: v.gguf is not a GGUF control vector: "),
        ("", "R840: v.gguf is not a GGUF control vector: "),
        (7, "R840: v.gguf is not a GGUF control vector: "),
    ],
)
def test_notes_that_say_something_else(tmp_path: Path, written: Any, begins: str) -> None:
    said = {"controlvector.method": "diffmean", "controlvector.easysteer": written}
    (tmp_path / "v.gguf").write_bytes(gguf_bytes({"direction.1": [1.0] * 32}, said))
    text = refusal(tmp_path / "v.gguf")
    assert text.startswith(begins) and "\n" not in text and len(text) < 400


def test_our_file_as_easysteer_reads_it(tmp_path: Path) -> None:
    vector = random_vector(layers=(1, 2))
    control_vector.write_vector(vector, ARCH, tmp_path / "v.gguf")
    found = loaded(tmp_path / "v.gguf")
    assert sorted(found) == [1, 2]
    for i, layer in enumerate((1, 2)):
        assert torch.allclose(found[layer].double(), raw_rows(vector)[i, 0], rtol=1e-6)
