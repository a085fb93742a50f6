"""What a format is, and what a steer is when it is written into one.

In: nothing. Out: `Act` and `Carried`, filled by the engine; `Format`, one row of the table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from steerdsl.lang import recipe as r
from steerdsl.methods.types import Operand, Plane, Vector
from steerdsl.registry import Effect

if TYPE_CHECKING:
    from steerdsl.models.sites import Architecture


@dataclass(frozen=True, slots=True)
class Act:
    """One operation at one place, and what it acts with there."""

    op: r.Op
    stream: str
    layer: int
    operand: Operand


@dataclass(frozen=True, slots=True)
class Carried:
    """A steer to be written: its acts in the order of the text. `revision` is the model's commit, where it is on the
    hub; `model` is transformers' causal LM, None unless the format needs its weights."""

    acts: Sequence[Act]
    arch: Architecture
    model_id: str
    model: Any = None
    revision: str | None = None


# A file, the model that its vector must fit, and what the recipe says of it.
Reader: TypeAlias = Callable[[Path, "Architecture", r.Load], Vector]
VectorWriter: TypeAlias = Callable[[Vector, "Architecture", Path], None]
PlaneWriter: TypeAlias = Callable[[Plane, Path], None]
SteerWriter: TypeAlias = Callable[[Carried, Path], None]
# Raises MethodError R847 for an operation on a stream of a layer where the format has no place for it.
Placer: TypeAlias = Callable[[r.Op, str, int, "Architecture"], None]


@dataclass(frozen=True, slots=True)
class Format:
    """One format. `title` is what a file of it is called, with its article; `effects` are those of the operations
    that `write_steer` can carry; `needs_model` says that writing a steer reads the model's weights. `require_ops`
    raises MethodError R847 for operations that it carries one by one and not together."""

    title: str
    ending: str
    read: Reader | None = None
    write_vector: VectorWriter | None = None
    write_plane: PlaneWriter | None = None
    write_steer: SteerWriter | None = None
    effects: tuple[Effect, ...] = ()
    needs_model: bool = False
    require_place: Placer | None = None
    require_ops: Callable[[Sequence[r.Op]], None] | None = None
