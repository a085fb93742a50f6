"""Writing a GGUF file of settings and float32 tensors.

In: a path, an architecture, settings, tensors by name. Out: the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def write(path: Path, architecture: str, settings: Mapping[str, str | float], tensors: Mapping[str, Tensor]) -> None:
    """Write settings as text, truth, whole number or float32, by their types in Python, and float32 tensors."""
    from gguf import GGUFWriter

    writer = GGUFWriter(path, architecture)
    for key, value in settings.items():
        match value:
            case str():
                writer.add_string(key, value)
            case bool():
                writer.add_bool(key, value)
            case int():
                writer.add_uint32(key, value)
            case _:
                writer.add_float32(key, value)
    for name, tensor in tensors.items():
        writer.add_tensor(name, tensor.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
