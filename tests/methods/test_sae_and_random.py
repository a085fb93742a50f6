"""Directions that come from a file or a seed, not from activations."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from classes import unit
from safetensors.torch import save_file

from steerdsl.methods.types import MethodError
from steerdsl.registry import find


@pytest.fixture
def sae_file(tmp_path):
    return saved(tmp_path)


def saved(folder):
    path = folder / "sae.safetensors"
    rows = torch.randn(7, 5, generator=torch.Generator().manual_seed(0))
    rows[6] = 0
    tensors = {"W_dec": rows, "decoder.weight": rows.T.contiguous(), "max_act": torch.arange(7.0)}
    save_file(tensors, path, metadata={"layer": "12"})
    return str(path), rows


@pytest.mark.parametrize("tensor", ["W_dec", "decoder.weight"])
def test_sae_reads_a_decoder_row(sae_file, tensor: str) -> None:
    path, rows = sae_file
    got = find("extract", "sae").run(file=path, feature=3, width=5, tensor=tensor)
    np.testing.assert_allclose(got.unit[0, 0].numpy(), unit(rows[3].numpy()), atol=1e-7)
    assert float(got.raw_norm[0, 0]) == pytest.approx(float(rows[3].norm()))
    assert got.figures == {"layers": [12], "max_act": 3.0}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 9}, "the decoder in FILE is 7 x 5, and the model's stream is 9 wide"),
        ({"feature": 7}, "FILE has features 0 to 6, not 7"),
        ({"feature": 6}, "feature 6 of FILE is zero: it is dead"),
        ({"tensor": "W_enc"}, "FILE has no tensor W_enc"),
        ({"tensor": "max_act"}, "the decoder in FILE is 7, and the model's stream is 5 wide"),
    ],
)
def test_sae_files_that_do_not_fit(sae_file, options: dict, message: str) -> None:
    path, _ = sae_file
    with pytest.raises(MethodError) as error:
        find("extract", "sae").run(**{"file": path, "feature": 3, "width": 5} | options)
    assert error.value.problem == message.replace("FILE", path)


def test_sae_needs_a_layer_and_a_file(tmp_path) -> None:
    path = str(tmp_path / "bare.safetensors")
    save_file({"W_dec": torch.eye(3)}, path)
    with pytest.raises(MethodError, match="does not say which layer"):
        find("extract", "sae").run(file=path, feature=0, width=3)
    assert find("extract", "sae").run(file=path, feature=0, width=3, layer=4).figures == {"layers": [4]}
    with pytest.raises(MethodError, match="cannot be read as safetensors"):
        find("extract", "sae").run(file=str(tmp_path / "none.safetensors"), feature=0, width=3)


def test_random_is_the_same_everywhere_and_for_any_set_of_layers() -> None:
    run = find("extract", "random").run
    got = run(layers=[3, 7], width=4096, seed=5)
    wanted = np.random.Generator(np.random.Philox(key=[5, 7])).standard_normal(4096)
    np.testing.assert_allclose(got.unit[1, 0].numpy(), unit(wanted), atol=1e-8)
    torch.testing.assert_close(run(layers=[7], width=4096, seed=5).unit[0], got.unit[1], rtol=0, atol=0)
    assert abs(float(got.unit[0, 0] @ got.unit[1, 0])) < 0.06
    assert abs(float(got.unit[0, 0] @ run(layers=[3], width=4096, seed=6).unit[0, 0])) < 0.06
    assert got.raw_norm.tolist() == [[1.0], [1.0]]
    assert run(layers=[3, 7], width=8, like=torch.tensor([2.0, 3.0])).raw_norm.tolist() == [[2.0], [3.0]]


def test_random_first_numbers_are_pinned() -> None:
    """Philox streams must not change under us: a recipe's control is its seed."""
    got = find("extract", "random").run(layers=[0], width=3, seed=0).unit[0, 0]
    np.testing.assert_allclose(got.numpy(), [0.07172304, -0.79883128, 0.59726411], atol=1e-7)


@pytest.mark.parametrize("layer", ["²", "٣", "9" * 5000, "-1", "", "1.5", "1e3"])
def test_a_layer_that_is_no_number(tmp_path, layer: str) -> None:
    path = str(tmp_path / "sae.safetensors")
    save_file({"W_dec": torch.ones(4, 3)}, path, {"layer": layer})
    with pytest.raises(MethodError, match="does not say which layer"):
        find("extract", "sae").run(file=path, feature=0, width=3)


@pytest.mark.parametrize("largest", [torch.ones(4, 2), torch.ones(2), torch.tensor(1.0), torch.ones(4, 1)])
def test_a_max_act_of_another_shape(tmp_path, largest: torch.Tensor) -> None:
    path = str(tmp_path / "sae.safetensors")
    save_file({"W_dec": torch.ones(4, 3), "max_act": largest}, path, {"layer": "1"})
    with pytest.raises(MethodError, match=r"max_act .* has not one number for each feature"):
        find("extract", "sae").run(file=path, feature=3, width=3)


def test_what_is_no_file_is_not_waited_for(tmp_path) -> None:
    os.mkfifo(tmp_path / "sae.safetensors")
    with pytest.raises(MethodError, match="is a pipe, not a file"):
        find("extract", "sae").run(file=str(tmp_path / "sae.safetensors"), feature=3, width=3)


def sae_row() -> None:
    with TemporaryDirectory() as folder:
        test_sae_reads_a_decoder_row(saved(Path(folder)), "W_dec")


NUMERIC = {
    ("extract", "sae"): sae_row,
    ("extract", "random"): test_random_is_the_same_everywhere_and_for_any_set_of_layers,
}
