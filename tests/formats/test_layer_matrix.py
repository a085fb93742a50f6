"""Matrices with a direction a row: which row is which layer, against hooks written out here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from made import ARCH, IDS, random_vector, raw_rows, read_as, refusal
from transformers import AutoModelForCausalLM

from steerdsl.formats import layer_matrix
from steerdsl.lang.recipe import Load
from steerdsl.lang.vocabulary import ROWS
from steerdsl.methods.types import MethodError
from steerdsl.registry import entries
from steerdsl.store.vector_files import save_vector

N, WIDTH = ARCH.n_layers, 32
DRAW = torch.Generator().manual_seed(3)


def matrix(n: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(n, WIDTH, generator=DRAW).to(dtype)


def asked(path: Path, **said: Any) -> Load:
    return Load("old", path.name, **said)


def refused(path: Path, **said: Any) -> str:
    with pytest.raises(MethodError) as caught:
        read_as(path, asked(path, **said))
    return f"{caught.value.code}: {caught.value.problem} | {caught.value.way_out}"


@pytest.mark.parametrize("rows", [word for word in ROWS if word != "hidden_states"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_row_k_of_a_stream_is_its_layer_k(tmp_path: Path, rows: str, dtype: torch.dtype) -> None:
    given = matrix(N, dtype)
    torch.save(given, tmp_path / "m.pt")
    vector = read_as(tmp_path / "m.pt", asked(tmp_path / "m.pt", rows=rows))
    assert vector.stream == rows and vector.layers.tolist() == [0, 1, 2] and vector.meta["rows"] == rows
    assert torch.allclose(raw_rows(vector)[:, 0], given.double(), atol=1e-6)


def test_every_stream_of_whole_layers_may_be_named() -> None:
    assert {name for name, entry in entries("stream").items() if not entry.args} | {"hidden_states"} == set(ROWS)


def test_persona_vectors_act_where_their_authors_add_them(bench: Any) -> None:
    """Row k of `hidden_states` is added to the output of block k - 1."""
    made = bench("llama")
    given = matrix(N + 1)
    torch.save(given, "evil.pt")
    vector = read_as(Path("evil.pt"), asked(Path("evil.pt"), rows="hidden_states"))
    assert vector.stream == "resid_post" and vector.layers.tolist() == [0, 1]
    assert torch.allclose(raw_rows(vector)[:, 0], given[1:3].double(), atol=1e-6)
    save_vector(vector, Path("v.safetensors"))
    model = AutoModelForCausalLM.from_pretrained(made.model, dtype="float32").eval()
    with torch.no_grad():
        states = model(IDS, output_hidden_states=True).hidden_states
        for row in (1, 2):
            seen = []

            def add(module: Any, args: Any, out: Any, row: int = row, seen: list[Any] = seen) -> Any:
                out = out[0] if isinstance(out, tuple) else out
                seen.append(out)
                return out + 2 * given[row]

            handle = model.model.layers[row - 1].register_forward_hook(add)
            expected = model(IDS).logits
            handle.remove()
            assert torch.equal(seen[0], states[row])
            assert (made.logits(f"add v by 2 at layers {row - 1}") - expected).abs().max() < 1e-5
    assert (made.logits() - expected).abs().max() > 0.01


def test_a_matrix_that_does_not_say_is_refused_with_the_forms_that_fit(tmp_path: Path) -> None:
    torch.save(matrix(N), tmp_path / "axis.pt")
    torch.save(matrix(N + 1), tmp_path / "evil.pt")
    assert refusal(tmp_path / "axis.pt") == (
        "R950: axis.pt is a matrix of 3 rows, and does not say which row is which layer | write `with rows: "
        "resid_post` if row k is resid_post of layer k or `with rows: resid_pre` if row k is resid_pre of layer k"
    )
    assert refusal(tmp_path / "evil.pt") == (
        "R950: evil.pt is a matrix of 4 rows, and does not say which row is which layer | write `with rows: "
        "hidden_states` if row k is resid_post of layer k - 1; row 0, the embeddings, and row 3, after the final norm, "
        "are left out"
    )


@pytest.mark.parametrize(("n", "rows"), [(N, "hidden_states"), *((N + 1, word) for word in ROWS[:-1])])
def test_as_many_rows_as_said(tmp_path: Path, n: int, rows: str) -> None:
    torch.save(matrix(n), tmp_path / "m.pt")
    assert refused(tmp_path / "m.pt", rows=rows).startswith(
        f"R844: m.pt has {n} rows, and `rows: {rows}` on this model"
    )


@pytest.mark.parametrize("n", [1, 2, 5, 1000])
def test_a_matrix_of_another_model(tmp_path: Path, n: int) -> None:
    torch.save(matrix(n), tmp_path / "m.pt")
    for rows in (None, "hidden_states", "resid_post"):
        assert refused(tmp_path / "m.pt", rows=rows).startswith(f"R844: m.pt is a matrix of {n} rows, and this model")


def test_the_assistant_axis_in_a_dict(tmp_path: Path) -> None:
    axis = matrix(N, torch.bfloat16)
    path = tmp_path / "axis.pt"
    torch.save({"axis": axis, "default_mean": matrix(N), "role_mean": matrix(N), "n_default": 1, "n_roles": 275}, path)
    vector = read_as(path, asked(path, tensor="axis", rows="resid_post"))
    assert torch.allclose(raw_rows(vector)[:, 0], axis.double(), atol=1e-6)
    assert refused(path, tensor="axes", rows="resid_post") == (
        "R951: axis.pt does not have a tensor `axes` | "
        "name one of its tensors: `axis`, `default_mean`, `role_mean`, `n_default` or `n_roles`"
    )
    assert refusal(path).endswith('or name the tensor to read, as in `load "axis.pt" with tensor: "axis"`')
    assert refused(path, tensor="n_roles").startswith("R842: axis.pt holds a int")


@pytest.mark.parametrize(
    ("value", "said", "problem"),
    [
        (torch.ones(WIDTH), {"rows": "resid_post"}, "R951: m.pt is not a matrix with a row a layer | leave out `rows`"),
        (torch.ones(2, N, WIDTH), {"rows": "resid_post"}, "R951: m.pt is not a matrix with a row a layer"),
        ({"layer_activations": {1: torch.ones(WIDTH)}}, {"rows": "resid_post"}, "R951: m.pt is not a matrix"),
        ({"axis": torch.ones(N, WIDTH), "n": 3, "x": torch.ones(2)}, {"rows": "hidden_states"},
         "R951: m.pt is a dict of 3 entries, and `rows` is of one tensor | name one of them (`axis` or `x`), as in "
         '`load "m.pt" with tensor: "axis", rows: hidden_states`'),
        (torch.ones(N, WIDTH), {"tensor": "axis"}, "R951: m.pt is not a dict of tensors | leave out `tensor`"),
        ({"\x1b[31m" + "x" * 500: 1}, {"tensor": "y"}, "R951: m.pt does not have a tensor `y` | name one of its tenso"),
        ({1: torch.ones(3)}, {"tensor": "y"}, "R951: m.pt does not have a tensor `y` | leave out `tensor`"),
        (torch.zeros(N, WIDTH), {"rows": "resid_post"}, "R849: m.pt holds no direction that is not zero"),
        (torch.full((N, WIDTH), float("inf")), {"rows": "resid_post"}, "R843: m.pt: the tensor has numbers"),
        (torch.ones(N, 16), {"rows": "resid_post"}, "R844: m.pt holds directions of 16 numbers"),
        (torch.ones(1, 1).expand(N, 1 << 40), {"rows": "resid_post"}, "R845: m.pt: the tensor declares"),
    ],
)  # fmt: skip
def test_what_a_recipe_says_wrongly(tmp_path: Path, value: Any, said: dict[str, str], problem: str) -> None:
    torch.save(value, tmp_path / "m.pt")
    text = refused(tmp_path / "m.pt", **said)
    assert text.startswith(problem) and "\x1b" not in text and len(text) < 600


def hotwire(path: Path, layer: int) -> torch.Tensor:
    """The row that hotwire adds, after its README: a matrix by layer, or one vector at any."""
    found = torch.load(path, weights_only=True)
    row: torch.Tensor = found[layer] if found.dim() == 2 else found
    return row.to(torch.float32)


def test_a_matrix_for_hotwire_there_and_back(bench: Any) -> None:
    made = bench("llama")
    code, err = made.run('v = load "v.safetensors"; export v to "hot.pt"')
    assert code == 0, err
    path = Path("r/hot.pt")
    assert torch.load(path, weights_only=True).shape == (N, WIDTH)
    for layer in range(N):
        assert torch.allclose(hotwire(path, layer).double(), raw_rows(random_vector(name="v"))[layer, 0], rtol=1e-6)
    back = read_as(path, asked(path, rows="resid_post"))
    assert torch.allclose(raw_rows(back), raw_rows(random_vector(name="v")), rtol=1e-6)


def test_layers_without_a_direction_are_rows_of_zeros(tmp_path: Path) -> None:
    vector = random_vector(layers=(1,))
    layer_matrix.write_vector(vector, ARCH, tmp_path / "v.pt")
    found = torch.load(tmp_path / "v.pt", weights_only=True)
    assert found.any(dim=1).tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ({"k": 2}, "`v` has 2 directions a layer"),
        ({"stream": "mlp_out"}, "`v` is of mlp_out, and hotwire adds on resid_post"),
    ],
)
def test_what_a_matrix_cannot_carry(tmp_path: Path, said: dict[str, Any], problem: str) -> None:
    with pytest.raises(MethodError) as caught:
        layer_matrix.write_vector(random_vector(**said), ARCH, tmp_path / "v.pt")
    assert caught.value.code == "R847" and caught.value.problem == f"a matrix of layers cannot carry this: {problem}"
    assert not (tmp_path / "v.pt").exists()


def test_the_plan_says_which_row_is_which_layer(bench: Any, capfd: pytest.CaptureFixture[str]) -> None:
    made = bench("llama")
    torch.save(matrix(N + 1), "evil.pt")
    text = 'evil = load "evil.pt" with rows: hidden_states; export evil to "e.safetensors"'
    code, err = made.run(text)
    assert code == 0, err
    record = Path("r/record.json").read_text(encoding="utf-8")
    assert "row k is resid_post of layer k - 1; row 0, the embeddings, and row 3, after the final norm" in record
    code, err = made.run('evil = load "evil.pt"; export evil to "e.safetensors"')
    assert code == 3 and err.count("error[") == 1 and "error[R950]: evil.pt is a matrix of 4 rows" in err
