"""What the results of the store were made with: versions, device and place.

In: what each result that a run loads says of its making. Out: those that were not made as this run makes
its own, for the record; and what the results that this run saves say.

None of this is part of a key: a result is taken no matter what made it. A result that says nothing is unknown,
and nothing is said of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, TypeAlias

Maker: TypeAlias = Mapping[str, str]

MADE_WITH = "made_with"
PACKAGES = ("torch", "transformers", "nnsight", "numpy")
# A judge's marks depend on no package of this machine.
ELSEWHERE = ("judgement",)
# What later runs do not load again once the result is whole that was made from it.
PARTS = ("activations", "batch")


@dataclass(slots=True)
class Makers:
    """`here` is what this run's results are made with; `reused` are the loaded ones that were made with
    something else: `step`, `kind` and `made_with`, each once; `used` are the keys of the results that each step
    loaded or saved, by its number; `saved` are the keys of those that were made."""

    here: Maker
    reused: list[dict[str, Any]] = field(default_factory=list)
    used: dict[int, dict[str, None]] = field(default_factory=dict)
    saved: set[str] = field(default_factory=set)
    _step: int = 0
    _parts: list[Maker] = field(default_factory=list)

    def begin(self, step: int) -> None:
        """A step of the plan begins, by its number."""
        self._step = step
        self._parts.clear()

    def take(self, meta: Mapping[str, Any]) -> None:
        """A result is loaded, of which its description is given."""
        self.note(str(meta.get("key")))
        kind = str(meta.get("kind"))
        if kind in ELSEWHERE:
            return
        for maker in _makers(meta):
            if maker == self.here:
                continue
            found = {"step": self._step, "kind": kind, MADE_WITH: maker}
            if found not in self.reused:
                self.reused.append(found)
            if kind in PARTS and maker not in self._parts:
                self._parts.append(maker)

    def note(self, key: str) -> None:
        """The step at hand uses the result of this key."""
        self.used.setdefault(self._step, {})[key] = None

    def save(self, key: str) -> None:
        """The step at hand has made the result of this key."""
        self.note(key)
        self.saved.add(key)

    def now(self) -> list[Maker]:
        """What a result that is saved now was made with: this, and what made the parts that its step has
        loaded."""
        return [self.here, *self._parts]

    def warning(self) -> str | None:
        """What the user must know, in one line; None where everything was made as here."""
        if not self.reused:
            return None
        steps = [str(number) for number in dict.fromkeys(r["step"] for r in self.reused)]
        apart = dict.fromkeys(chain.from_iterable(self._apart(r[MADE_WITH]) for r in self.reused))
        where = f"step{'s' if len(steps) > 1 else ''} {', '.join(steps)}"
        return f"what the store had for {where} was made with {', '.join(apart)}"

    def _apart(self, maker: Maker) -> list[str]:
        """How another maker differs from this one."""
        names = dict.fromkeys((*self.here, *maker))
        told = ((name, maker.get(name, "unknown"), self.here.get(name, "unknown")) for name in names)
        return [f"{name} {theirs} (now {ours})" for name, theirs, ours in told if theirs != ours]


def _makers(meta: Mapping[str, Any]) -> list[dict[str, str]]:
    """The makers that a result names; none where it names them in no way that is known."""
    found = meta.get(MADE_WITH)
    if not isinstance(found, list):
        return []
    return [{str(k): str(v) for k, v in maker.items()} for maker in found if isinstance(maker, dict)]
