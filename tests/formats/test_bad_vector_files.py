"""Vector files that are damaged, lie or are malicious: each is refused with one message."""

from __future__ import annotations

import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from made import F32, gguf_bytes, random_vector, refusal
from safetensors.torch import save_file

from steerdsl.store.vector_files import save_vector

ONES = [1.0] * 32
ANEW = "download or copy the file again"


class Evil:
    """Runs a command when it is unpickled the careless way."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch ran",)


def native(**changes: Any) -> Callable[[Path], None]:
    """A vector of ours, with tensors or fields of the header replaced."""

    def make(path: Path) -> None:
        from safetensors import safe_open

        save_vector(random_vector(), path)
        with safe_open(path, framework="pt") as f:
            header, tensors = json.loads(f.metadata()["steerdsl"]), {k: f.get_tensor(k) for k in f.keys()}  # noqa: SIM118
        for key, value in changes.items():
            (tensors if isinstance(value, torch.Tensor) else header)[key] = value
        save_file(tensors, path, {"steerdsl": json.dumps(header)})

    return make


def torch_file(value: Any) -> Callable[[Path], None]:
    return lambda path: torch.save(value, path)


def raw(data: bytes) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        path.write_bytes(data)

    return make


def gguf(*args: Any, cut: int | None = None, **named: Any) -> Callable[[Path], None]:
    return raw(gguf_bytes(*args, **named)[:cut])


def compressed(path: Path) -> None:
    """A file of torch.save whose members are packed, and so may unpack to anything."""
    torch.save(torch.zeros(100_000), path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def truncated(path: Path) -> None:
    torch.save(torch.ones(32), path)
    path.write_bytes(path.read_bytes()[:-400])


def huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate((1 << 30) + 1)  # a sparse file: it takes no room


def huge_header(path: Path) -> None:
    path.write_bytes(struct.pack("<Q", 1 << 62) + b"{}")


def lying_shape(path: Path) -> None:
    header = json.dumps({"directions": {"dtype": "F32", "shape": [1 << 40, 32], "data_offsets": [0, 1 << 47]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(64))


NAN = torch.tensor([float("nan"), *[1.0] * 31])

# The file's name, what makes it, and how its one message begins.
CASES: dict[str, tuple[str, Callable[[Path], None], str]] = {
    "code": (
        "bad.pt",
        torch_file({"layer_activations": Evil()}),
        "R841: bad.pt asks for posix.system, but only tensors",
    ),
    "an_object": ("bad.pt", torch_file([Path("x")]), "R841: bad.pt asks for pathlib"),
    "a_bare_pickle": ("bad.pt", raw(pickle.dumps(Evil())), "R840: bad.pt is not a file of torch.save: "),
    "cut_short": ("bad.pt", truncated, "R840: bad.pt is not a file of torch.save: "),
    "a_bomb": ("bad.pt", compressed, "R845: bad.pt unpacks to "),
    "a_stretched_tensor": ("bad.pt", torch_file(torch.ones(1, 1).expand(32, 1 << 40)[0]), "R845: bad.pt: the tensor "),
    "whole_numbers": (
        "bad.pt",
        torch_file(torch.ones(32, dtype=torch.long)),
        "R842: bad.pt: the tensor is a tensor of int64",
    ),
    "a_matrix": (
        "bad.pt",
        torch_file(torch.ones(32, 32)),
        "R844: bad.pt is a matrix of 32 rows, and this model has 3 layers",
    ),
    "a_matrix_of_four_axes": (
        "bad.pt",
        torch_file(torch.ones(1, 1, 3, 32)),
        "R842: bad.pt: the tensor has the shape [1, 1, 3, 32], not [width], [layers, width] or [positions, layers, wid",
    ),
    "a_matrix_of_whole_numbers": (
        "bad.pt",
        torch_file(torch.ones(3, 32, dtype=torch.int32)),
        "R842: bad.pt: the tensor is a tensor of int32",
    ),
    "a_matrix_that_does_not_say": (
        "bad.pt",
        torch_file(torch.ones(3, 32)),
        "R950: bad.pt is a matrix of 3 rows, and does not say which row is which layer",
    ),
    "a_number": ("bad.pt", torch_file(3.0), "R842: bad.pt holds a float, not a direction"),
    "an_unknown_dict": ("bad.pt", torch_file({"v": torch.ones(32)}), "R846: bad.pt has a field v, whose meaning"),
    "not_a_number": ("bad.pt", torch_file(NAN), "R843: bad.pt: the tensor has numbers that are not finite"),
    "another_width": (
        "bad.pt",
        torch_file(torch.ones(16)),
        "R844: bad.pt holds directions of 16 numbers, and this model's",
    ),
    "other_layers": (
        "bad.pt",
        torch_file(torch.ones(1, 9, 32)),
        "R844: bad.pt has directions of 9 layers, and this model has 3",
    ),
    "all_zero": ("bad.pt", torch_file(torch.zeros(32)), "R849: bad.pt holds no direction that is not zero"),
    "too_large": ("bad.pt", huge, "R845: bad.pt has 1,073,741,825 bytes, and a file of directions has at most"),
    "an_empty_file": ("bad.gguf", raw(b""), "R840: bad.gguf is not a GGUF control vector: it does not begin as one"),
    "gguf_cut_in_its_header": (
        "bad.gguf",
        gguf({"direction.1": ONES}, cut=60),
        "R840: bad.gguf is not a GGUF control vector: ",
    ),
    "gguf_cut_in_its_data": (
        "bad.gguf",
        gguf({"direction.1": ONES}, cut=-64),
        "R840: bad.gguf is not a GGUF control vector: ",
    ),
    "gguf_of_a_huge_shape": (
        "bad.gguf",
        gguf({"direction.1": ONES}, shape=(1 << 61,)),
        "R840: bad.gguf is not a GGUF control vector: ",
    ),
    "gguf_of_many_tensors": (
        "bad.gguf",
        gguf({"direction.1": ONES}, counts=(1 << 60, 2)),
        "R840: bad.gguf is not a GGUF control vector: ",
    ),
    "gguf_of_many_settings": (
        "bad.gguf",
        gguf({"direction.1": ONES}, counts=(1, 1 << 60)),
        "R840: bad.gguf is not a GGUF control vector: ",
    ),
    "gguf_with_many_settings": (
        "bad.gguf",
        gguf({"direction.1": ONES}, {f"general.{i}": 0 for i in range(1000)}),
        "R840: bad.gguf is not a GGUF control vector: it declares 1,002 settings and 1 tensors",
    ),
    "gguf_with_many_texts": (
        "bad.gguf",
        gguf({"direction.1": ONES}, {"general.tags": [""] * 1_000_001}),
        "R840: bad.gguf is not a GGUF control vector: it has arrays of 1,000,001 texts",
    ),
    "gguf_with_a_long_text": (
        "bad.gguf",
        gguf({"direction.1": ONES}, {"general.name": "x" * (1 << 20) + "x"}),
        "R840: bad.gguf is not a GGUF control vector: it has a text of 1,048,577 bytes",
    ),
    "gguf_of_many_axes": (
        "bad.gguf",
        gguf({"direction.1": ONES}, shape=(32, 1, 1, 1, 1)),
        "R840: bad.gguf is not a GGUF control vector: a tensor has 5 axes",
    ),
    "gguf_of_another_version": (
        "bad.gguf",
        gguf({"direction.1": ONES}, version=4),
        "R840: bad.gguf is not a GGUF control vector: its version is 4, and 2 and 3 are known",
    ),
    "gguf_aligned_to_nothing": (
        "bad.gguf",
        gguf({"direction.1": ONES}, {"general.alignment": 0}),
        "R840: bad.gguf is not a GGUF control vector: its alignment is 0",
    ),
    "gguf_whose_tensors_share_their_data": (
        "bad.gguf",
        gguf({"direction.1": ONES, "direction.2": ONES}, place=0),
        "R840: bad.gguf is not a GGUF control vector: direction.2 overlaps the data of another tensor",
    ),
    "gguf_behind_its_end": (
        "bad.gguf",
        gguf({"direction.1": ONES}, place=(1 << 64) - 32),
        "R840: bad.gguf is not a GGUF control vector: it ends before the data of direction.1 do",
    ),
    "gguf_with_a_layer_twice": (
        "bad.gguf",
        gguf({"direction.1": ONES, "direction.01": ONES}),
        "R846: bad.gguf has a tensor 'direction.01', whose",
    ),
    "gguf_of_an_unknown_kind": (
        "bad.gguf",
        gguf({"direction.1": ONES}, kind=99),
        "R842: bad.gguf: direction.1 is of type 99, and",
    ),
    "gguf_of_a_model": (
        "bad.gguf",
        gguf({"direction.1": ONES}, {"general.architecture": "llama"}),
        "R840: bad.gguf is not a GGUF control vector: its architecture is 'llama'",
    ),
    "gguf_with_an_unknown_setting": (
        "bad.gguf",
        gguf({"direction.1": ONES}, {"controlvector.normalize": True}),
        "R846: bad.gguf has a setting 'controlvector.normalize', whose meaning is not known",
    ),
    "gguf_with_an_unknown_tensor": (
        "bad.gguf",
        gguf({"rotation.1": ONES}),
        "R846: bad.gguf has a tensor 'rotation.1', whose",
    ),
    "gguf_at_layer_0": (
        "bad.gguf",
        gguf({"direction.0": ONES}),
        "R842: bad.gguf: llama.cpp has no place for a direction at layer 0",
    ),
    "gguf_behind_the_last_layer": (
        "bad.gguf",
        gguf({"direction.3": ONES}),
        "R844: bad.gguf has a direction at layer 3, and",
    ),
    "gguf_in_half_precision": (
        "bad.gguf",
        gguf({"direction.1": ONES[:16]}, kind=F32 + 1, shape=(32,)),
        "R842: bad.gguf: direction.1 is of F16",
    ),
    "gguf_with_infinity": (
        "bad.gguf",
        gguf({"direction.1": [float("inf")] * 32}),
        "R843: bad.gguf: direction.1 has numbers",
    ),
    "gguf_with_two_axes": (
        "bad.gguf",
        gguf({"direction.1": ONES}, shape=(16, 2)),
        "R842: bad.gguf: direction.1 has the shape",
    ),
    "a_header_of_exabytes": ("bad.safetensors", huge_header, "R840: bad.safetensors is not a safetensors file: "),
    "a_shape_of_terabytes": ("bad.safetensors", lying_shape, "R840: bad.safetensors is not a safetensors file: "),
    "no_layers": (
        "bad.safetensors",
        native(per_layer=0),
        "R840: bad.safetensors is not a vector of steerdsl: in its header `per_layer` is not a whole number from 1 to",
    ),
    "a_layer_twice": (
        "bad.safetensors",
        native(layers=torch.tensor([1, 1, 2])),
        "R842: bad.safetensors: layers do not come once each",
    ),
    "a_stream_of_no_model": (
        "bad.safetensors",
        native(stream="x"),
        "R844: bad.safetensors is of the stream x, which llama",
    ),
    "rows_that_are_not_unit": (
        "bad.safetensors",
        native(directions=torch.full((3, 32), 1e30)),
        "R840: bad.safetensors is not a vector of steerdsl: its directions are not of length 1",
    ),
    "class_means_of_another_shape": (
        "bad.safetensors",
        native(mean_positive=torch.ones(1, 32)),
        "R842: bad.safetensors: mean_positive has the shape [1, 32], not [3, 32]",
    ),
    "layers_that_are_no_numbers": (
        "bad.safetensors",
        native(meta={"own_layers": "012"}),
        "R840: bad.safetensors is not a vector of steerdsl: in its header `meta.own_layers` is text, not a list",
    ),
    "a_header_with_more": (
        "bad.safetensors",
        native(scale=3),
        "R846: bad.safetensors: its header says scale, which this",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_bad_file_is_refused_with_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    monkeypatch.chdir(tmp_path)
    name, make, begins = CASES[case]
    make(Path(name))
    text = refusal(Path(name))
    assert text.startswith(begins) and "\n" not in text
    assert " | " in text and len(text) < 400
    assert not Path("ran").exists()


def test_a_plane_is_no_vector(tmp_path: Path) -> None:
    from steerdsl.methods.types import Plane
    from steerdsl.store.vector_files import save_plane

    axes = torch.eye(32, dtype=torch.float64)
    save_plane(Plane(axes[0], axes[1]), tmp_path / "p.safetensors")
    assert (
        refusal(tmp_path / "p.safetensors")
        == f"R840: p.safetensors is not a vector of steerdsl: it is a plane | {ANEW}"
    )


def test_a_vector_of_ours_with_everything_is_read(tmp_path: Path) -> None:
    from made import read

    vector = random_vector(k=2)
    d = replace(vector.directions, reader=vector.directions.unit.clone(), offset=torch.ones(3, 32))
    full = replace(vector, directions=d, mean_positive=torch.ones(3, 32), mean_negative=torch.zeros(3, 32))
    save_vector(full, tmp_path / "v.safetensors")
    back = read(tmp_path / "v.safetensors")
    assert torch.equal(back.directions.unit, d.unit) and torch.equal(back.layers, full.layers)
    assert back.directions.offset is not None and torch.equal(back.directions.offset, torch.ones(3, 32))


def test_a_bad_file_in_a_run(bench: Any) -> None:
    made = bench("llama")
    torch.save([Evil()], "bad.pt")
    code, err = made.run('old = load "bad.pt"; export old to "old.safetensors"')
    assert code == 3 and not Path("ran").exists()
    assert err.count("error[") == 1
    assert "error[R841]: bad.pt asks for posix.system, but only tensors are read from it" in err
    assert "help: save the tensors alone, and trust no file that asks for more" in err
