"""The header of a GGUF file, read with bounds: what the file says of itself and where its tensors are.

In: a file. Out: `Header`; ValueError for the first thing that is not as in a GGUF file. Nothing takes more
memory than its own bytes: arrays are passed over, and the file's size bounds every length it declares.
The gguf package's reader makes some hundred bytes of each byte of an array.
Source: the GGUF specification, version 3 (ggml, docs/gguf.md).
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, TypeAlias

Value: TypeAlias = str | int | float | None

VERSIONS = (2, 3)
MOST_SETTINGS, MOST_TENSORS, MOST_AXES = 1000, 10_000, 4
MOST_TEXTS = 1_000_000  # in all arrays together; the vocabulary of a large model has a quarter
LONGEST_NAME, LONGEST_TEXT = 1 << 16, 1 << 20  # bytes
ALIGNMENT = 32
_STRING, _ARRAY = 8, 9
_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}


@dataclass(frozen=True, slots=True)
class Declared:
    """A tensor as declared: `shape` slowest axis first, `kind` ggml's number, `offset` in bytes of the file."""

    name: str
    shape: tuple[int, ...]
    kind: int
    offset: int

    @property
    def numel(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class Header:
    """Settings by key, None where one is an array; tensors in the file's order."""

    settings: dict[str, Value]
    tensors: tuple[Declared, ...]


def header(path: Path) -> Header:
    """Read a header. Raises ValueError in the words of a message, OSError where the file cannot be read."""
    with path.open("rb") as file:
        return _Walk(file, path.stat().st_size).header()


@dataclass(slots=True)
class _Walk:
    """A place in a file of `size` bytes, which only goes forward."""

    file: BinaryIO
    size: int
    place: int = field(default=0, init=False)
    texts: int = field(default=0, init=False)

    def header(self) -> Header:
        if self.size < 4 or self.take(4) != b"GGUF":
            raise ValueError("it does not begin as one")
        (version,) = self.numbers("I")
        if version not in VERSIONS:
            raise ValueError(f"its version is {version}, and 2 and 3 are known")
        n_tensors, n_settings = self.numbers("QQ")
        if n_settings > MOST_SETTINGS or n_tensors > MOST_TENSORS:
            raise ValueError(f"it declares {n_settings:,} settings and {n_tensors:,} tensors")
        settings: dict[str, Value] = {}
        for _ in range(n_settings):
            key = self.text(LONGEST_NAME)
            if key in settings:
                raise ValueError(f"the setting {key!r} is there twice")
            settings[key] = self.value()
        found = [self.tensor() for _ in range(n_tensors)]
        if len({tensor.name for tensor in found}) < len(found):
            raise ValueError("two tensors have the same name")
        align = settings.get("general.alignment", ALIGNMENT)
        if not isinstance(align, int) or align < 1:
            raise ValueError(f"its alignment is {align!r}")
        start = -(-self.place // align) * align
        return Header(settings, tuple(Declared(t.name, t.shape, t.kind, start + t.offset) for t in found))

    def go(self, length: int) -> None:
        if length > self.size - self.place:
            raise ValueError("it ends inside its header")
        self.place += length

    def take(self, length: int) -> bytes:
        self.go(length)
        return self.file.read(length)

    def pass_over(self, length: int) -> None:
        self.go(length)
        self.file.seek(self.place)

    def numbers(self, form: str) -> tuple[int, ...]:
        return struct.unpack(f"<{form}", self.take(struct.calcsize(f"<{form}")))

    def text(self, longest: int = LONGEST_TEXT) -> str:
        (length,) = self.numbers("Q")
        if length > longest:
            raise ValueError(f"it has a text of {length:,} bytes")
        return self.take(length).decode("utf-8")

    def value(self) -> Value:
        (kind,) = self.numbers("I")
        if kind == _ARRAY:
            self.array()
            return None
        if kind == _STRING:
            return self.text()
        return self.numbers(self.form(kind))[0]

    def array(self) -> None:
        """Pass over an array."""
        kind, length = self.numbers("IQ")
        if kind == _STRING:
            self.texts += length
            if self.texts > MOST_TEXTS:
                raise ValueError(f"it has arrays of {self.texts:,} texts")
            for _ in range(length):
                self.pass_over(self.numbers("Q")[0])
        else:
            self.pass_over(length * struct.calcsize(self.form(kind)))

    def form(self, kind: int) -> str:
        if kind not in _NUMBERS:
            raise ValueError(f"a setting has the type {kind}, which is not known")
        return _NUMBERS[kind]

    def tensor(self) -> Declared:
        name = self.text(LONGEST_NAME)
        (n_axes,) = self.numbers("I")
        if n_axes > MOST_AXES:
            raise ValueError(f"a tensor has {n_axes:,} axes")
        shape = self.numbers(f"{n_axes}Q")[::-1]
        kind, offset = self.numbers("IQ")
        return Declared(name, shape, kind, offset)
