"""Where a model's weights go that the chosen device does not hold: other GPUs, memory, the disk.

In: a model's folder, a dtype, a device. Out: options of `from_pretrained`, which accelerate carries out: each block
runs on one device, and what is on the disk is read in each pass. Edits and captured rows are where their block runs.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from steerdsl.lang.diagnostics import Diagnostic, Exit, RecipeError
from steerdsl.models.cache import cache_root, size_text
from steerdsl.models.catalog import Located
from steerdsl.models.loading import damaged
from steerdsl.models.memory import free_memory, loaded_bytes

# Room for activations and the cache of keys and values, besides the weights.
HEADROOM = 1.2
WIDE = ("auto", "cuda")  # what a user calls a device when any other may help it


@dataclass(slots=True)
class Placement:
    """options: of `from_pretrained`; none for a model that the chosen device holds. needed, free: bytes. offload:
    the folder for what goes to the disk, which is removed with this object."""

    options: dict[str, Any] = field(default_factory=dict)
    needed: int = 0
    free: int | None = None
    offload: tempfile.TemporaryDirectory[str] | None = None

    def words(self) -> str:
        """What is spread and why, for the plan; nothing for a model that fits."""
        if not self.options:
            return ""
        more = "memory and, where that is short, the disk" if "max_memory" in self.options else "all GPUs"
        free = f", {size_text(self.free)} are free" if self.free is not None else ""
        return f"it needs {size_text(self.needed)}{free}: its blocks are spread over {more}, which is slow"


def placement(located: Located, dtype: torch.dtype, device: torch.device, spread: bool) -> Placement:
    """How a model is put on `device`; with `spread`, on every GPU where it is larger than that one. What no GPU
    holds goes to memory, and what that does not hold to the disk. Raises RecipeError M613 where it may not be spread
    and does not fit, M606 for weights that cannot be read."""
    if device.type == "mps":
        return Placement()
    try:
        needed = int(loaded_bytes(located.path, dtype, located.quantization) * HEADROOM)
    except ValueError as error:
        raise RecipeError([damaged(located, str(error))], Exit.FAILED) from error
    free = free_memory(device)
    if free is None or needed <= free:
        return Placement({}, needed, free)
    if device.type == "cuda" and not spread:
        title = f"`{located.id}` needs {size_text(needed)} on {device}, which has {size_text(free)} free"
        way_out = "use --dtype bf16, --device cpu, or --device cuda, which takes all GPUs, memory and the disk"
        raise RecipeError([Diagnostic("M613", title, help=way_out)], Exit.FAILED)
    gpus = range(torch.cuda.device_count()) if device.type == "cuda" else range(0)
    rooms: dict[int | str, int] = {i: int(torch.cuda.mem_get_info(torch.device("cuda", i))[0]) for i in gpus}
    if sum(rooms.values()) >= needed:
        return Placement({"device_map": "auto"}, needed, free)
    memory = free_memory(torch.device("cpu"))
    if memory is not None:
        rooms["cpu"] = memory
    within = {place: int(room / HEADROOM) for place, room in rooms.items()}
    return Placement({"device_map": "auto", "max_memory": within}, needed, free)


def with_folder(found: Placement) -> Placement:
    """The placement with a folder for what goes to the disk, where anything can."""
    if "max_memory" in found.options:
        home = cache_root() / "offloaded"
        home.mkdir(parents=True, exist_ok=True)
        found.offload = tempfile.TemporaryDirectory(dir=home)
        found.options["offload_folder"] = str(Path(found.offload.name))
    return found


def devices(model: Any) -> str:
    """Where a model's weights are: `cpu`, `cuda:0+cuda:1`, `cuda:0+cpu+disk`; GPUs first."""
    spread = getattr(model, "hf_device_map", None)
    if spread is None:
        names = {str(parameter.device) for parameter in model.parameters()}
    else:
        names = {f"cuda:{place}" if isinstance(place, int) else str(place) for place in spread.values()}
    return "+".join(sorted(names, key=lambda name: (not name.startswith("cuda"), name)))
