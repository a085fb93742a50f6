"""The one table of file formats, by the ending of a path.

In: a path of `export` or `load`. Out: its `Format`, or None for a checkpoint's folder.
"""

from __future__ import annotations

from steerdsl.formats import control_vector, lora_adapter, native, steered_file, torch_tensors
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
        effects=("adds",),
        require_place=control_vector.require_place,
    ),
    Format(
        "a steered model's file of lm-eval",
        ".pt",
        read=torch_tensors.read,
        write_steer=steered_file.write_steer,
        effects=("adds", "sets", "removes"),
        require_place=steered_file.require_place,
    ),
    Format(
        "a PEFT adapter",
        ".peft",
        write_steer=lora_adapter.write_steer,
        effects=("removes",),
        require_place=lora_adapter.require_place,
        needs_model=True,
    ),
)


def of(path: str) -> Format | None:
    """The format that a path's ending names; None for any other ending."""
    plain = path.rstrip("/").lower()
    return next((f for f in FORMATS if plain.endswith(f.ending)), None)
