"""The one table of file formats, by the ending of a path.

In: a path of `export` or `load`, and what is to be done. Out: its `Format`, or None for a checkpoint's folder. One
ending may have several: a `.pt` file of a steer is lm-eval's, and one of a vector is a matrix of layers.
"""

from __future__ import annotations

from steerdsl.formats import control_vector, layer_matrix, lora_adapter, native, steered_file, torch_tensors
from steerdsl.formats.types import Format

FORMATS: tuple[Format, ...] = (
    Format(
        "a safetensors file",
        ".safetensors",
        read=native.read,
        write_vector=native.write_vector,
        write_plane=native.write_plane,
    ),
    Format(
        "a GGUF control vector",
        ".gguf",
        read=control_vector.read,
        write_vector=control_vector.write_vector,
        write_steer=control_vector.write_steer,
        effects=("adds", "removes"),
        require_place=control_vector.require_place,
        require_ops=control_vector.require_ops,
    ),
    Format(
        "a steered model's file of lm-eval",
        ".pt",
        write_steer=steered_file.write_steer,
        effects=("adds", "sets", "removes"),
        require_place=steered_file.require_place,
    ),
    Format(layer_matrix.TITLE, ".pt", read=torch_tensors.read, write_vector=layer_matrix.write_vector),
    Format(
        "a PEFT adapter",
        ".peft",
        write_steer=lora_adapter.write_steer,
        effects=("removes",),
        require_place=lora_adapter.require_place,
        needs_model=True,
    ),
)


def of(path: str, use: str | None = None) -> Format | None:
    """The format that a path's ending names, of those that have `use` (`read`, `write_vector`, …); None for
    any other ending."""
    plain = path.rstrip("/").lower()
    return next((f for f in FORMATS if plain.endswith(f.ending) and (use is None or getattr(f, use))), None)
