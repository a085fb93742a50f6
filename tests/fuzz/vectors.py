"""Fuzz files of vectors: the package's own, control vectors, torch files, autoencoders.

python tests/fuzz/vectors.py --count 1000
"""

from __future__ import annotations

import json
import random
import sys
from functools import cache
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from fuzz.harness import WRONG, changed, main, mutated, places, without
from safetensors.torch import save_file
from tiny import LAYERS, tiny_config

from steerdsl.formats import table
from steerdsl.lang.recipe import Load
from steerdsl.methods.extract import sae
from steerdsl.methods.types import Directions, Vector
from steerdsl.models.architecture import architecture
from steerdsl.models.sites import Architecture
from steerdsl.store.vector_files import save_vector

WIDTH = 32
METADATA = ("0", "²", "9" * 5000, "-1", "", "1.5", "x", "٣", "1e3", None)


@cache
def arch() -> Architecture:
    return architecture(tiny_config("llama"))


def case(chance: random.Random, folder: Path) -> str:
    kind = chance.choice((own, own, autoencoder, torch_file, control_vector))
    path = kind(chance, folder)
    if chance.random() < 0.4:
        path.write_bytes(mutated(chance, path.read_bytes()))
    if kind is autoencoder:
        feature = chance.choice((0, 3, 7, -1, 10**9))
        layer = chance.choice((None, None, 1))
        sae.run(file=str(path), feature=feature, width=WIDTH, layer=layer)
    else:
        form = table.of(path.name, "read")
        assert form is not None and form.read is not None
        rows = chance.choice((None, "hidden_states", "resid_post", "head"))
        form.read(path, arch(), Load("v", path.name, None, rows, chance.choice((None, None, "v"))))
    return f"read {path.suffix}"


def own(chance: random.Random, folder: Path) -> Path:
    """A vector as the package writes it, its header or a tensor changed."""
    path = folder / "v.safetensors"
    unit = torch.nn.functional.normalize(
        torch.randn(LAYERS, 1, WIDTH, generator=torch.Generator().manual_seed(1)), dim=-1
    )
    directions = Directions(unit, torch.ones(LAYERS, 1, dtype=torch.float64), figures={"d": [1.0, 2.0, 3.0]})
    save_vector(Vector("v", directions, torch.arange(LAYERS), "resid_post", meta={"method": "diffmean"}), path)
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["steerdsl"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if chance.random() < 0.6:
        place = chance.choice([p for p in places(header) if p])
        header = without(header, place) if chance.random() < 0.2 else changed(header, place, chance.choice(WRONG))
    if chance.random() < 0.4:
        name = chance.choice(list(tensors))
        tensors[name] = odd(chance, tensors[name])
    text = (
        json.dumps(header)
        if chance.random() < 0.9
        else chance.choice(("", "[" * 100_000, "5", "{}", "\ud800".encode("utf-8", "replace").decode()))
    )
    save_file({name: t.contiguous() for name, t in tensors.items()}, path, {"steerdsl": text})
    return path


def odd(chance: random.Random, tensor: Any) -> Any:
    """A tensor of another shape, type or content."""
    return chance.choice(
        (
            lambda: tensor[:0],
            lambda: tensor.reshape(-1),
            lambda: tensor[None],
            lambda: tensor.bool(),
            lambda: tensor.to(torch.bfloat16),
            lambda: tensor.to(torch.complex64),
            lambda: tensor * float("nan"),
            lambda: tensor * 10**6,
            lambda: tensor.to(torch.int8),
            lambda: torch.tensor(1.0),
        )
    )()


def autoencoder(chance: random.Random, folder: Path) -> Path:
    path = folder / "sae.safetensors"
    decoder = torch.randn(8, WIDTH)
    tensors = {"W_dec": chance.choice((decoder, decoder.T.contiguous(), odd(chance, decoder), decoder.half()))}
    if chance.random() < 0.6:
        tensors["max_act"] = chance.choice(
            (torch.ones(8), torch.ones(8, 2), torch.ones(2), torch.tensor(1.0), torch.ones(8).bool())
        )
    layer = chance.choice(METADATA)
    save_file(tensors, path, None if layer is None else {"layer": layer})
    return path


def torch_file(chance: random.Random, folder: Path) -> Path:
    """What others keep with torch.save, of every kind of value."""
    path = folder / "v.pt"
    rows = {n: torch.randn(WIDTH) for n in range(LAYERS)}
    value: Any = chance.choice(
        (
            lambda: torch.randn(WIDTH),
            lambda: torch.randn(2, LAYERS, WIDTH),
            lambda: {"layer_activations": rows, "layer_type": chance.choice(("decoder_block", "mlp", 5, None, [1]))},
            lambda: {"layer_activations": chance.choice(WRONG[:11])},
            lambda: odd(chance, torch.randn(WIDTH)),
            lambda: chance.choice(WRONG[:11]),
            lambda: [torch.ones(2), {"x": torch.ones(1)}],
        )
    )()
    torch.save(value, path)
    return path


def control_vector(chance: random.Random, folder: Path) -> Path:
    from gguf import GGUFWriter

    path = folder / "v.gguf"
    writer = GGUFWriter(path, chance.choice(("controlvector", "llama")))
    writer.add_string("controlvector.model_hint", chance.choice(("llama", "qwen2", "x")))
    count = chance.choice((LAYERS, 1, 10**6))
    writer.add_uint32("controlvector.layer_count", count)
    for layer in range(1, LAYERS):
        name = chance.choice((f"direction.{layer}", f"direction.{layer}", f"direction.²{layer}", f"x{layer}"))
        writer.add_tensor(name, torch.randn(chance.choice((WIDTH, WIDTH, 3))).numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


if __name__ == "__main__":
    main(case, __doc__ or "", 1000)
