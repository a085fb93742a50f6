"""Two results side by side, as `diff`, `verify` and `parity` compare them.

In: two sides, each with its parts by name. Out: pairs (name, left, right), None where a side has no such part. What
counts as equal, and how much a difference matters, is a matter of each command.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from steerdsl.forms.files import Misread
from steerdsl.forms.tensors import read_tensors

if TYPE_CHECKING:
    from torch import Tensor

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")
Read: TypeAlias = "tuple[dict[str, str], dict[str, Tensor]]"  # a vector's file: its header, and tensors by name


def pairs(left: Mapping[K, T], right: Mapping[K, T]) -> Iterator[tuple[K, T | None, T | None]]:
    """Both sides by name, in the order of the left one, then what only the right one has."""
    for name in dict.fromkeys((*left, *right)):
        yield name, left.get(name), right.get(name)


def named(parts: Iterable[T], name: Callable[[T], K]) -> dict[tuple[K, int], T]:
    """Parts by name; those of one name are counted."""
    found: dict[tuple[K, int], T] = {}
    counts: dict[K, int] = {}
    for part in parts:
        own = name(part)
        counts[own] = counts.get(own, -1) + 1
        found[own, counts[own]] = part
    return found


def leaves(left: Any, right: Any, name: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Two values of JSON, leaf by leaf, each with its path, as `s.points[0].mean`. Lists of two lengths are leaves."""
    if isinstance(left, dict) and isinstance(right, dict):
        for key, a, b in sorted(pairs(left, right), key=lambda pair: pair[0]):
            yield from leaves(a, b, f"{name}.{key}".lstrip("."))
    elif isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        for i, (a, b) in enumerate(zip(left, right, strict=True)):
            yield from leaves(a, b, f"{name}[{i}]")
    else:
        yield name, left, right


def vectors(left: Path, right: Path) -> Iterator[tuple[str, Read | None, Read | None]]:
    """The vectors of two run directories by name; None for one that cannot be read, too."""
    names = sorted({path.stem for run in (left, right) for path in (run / "vectors").glob("*.safetensors")})
    yield from ((name, *(_vector(run, name) for run in (left, right))) for name in names)  # type: ignore[misc]


def _vector(run: Path, name: str) -> Read | None:
    try:
        return read_tensors(run / "vectors" / f"{name}.safetensors", run)
    except (OSError, Misread):
        return None
