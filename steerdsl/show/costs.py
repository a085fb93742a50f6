"""What the steps of a plan will take, in words: tokens, memory, time.

In: the work of each step, how fast this machine has been, and how much memory there is. Out: lines for `plan`, and
plain values for `plan --json`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from steerdsl.models.cache import size_text
from steerdsl.planning.estimate import Work
from steerdsl.planning.formatting import count
from steerdsl.show.numbers import duration

UNKNOWN = "unknown until this machine has run this model"


@dataclass(frozen=True, slots=True)
class Costs:
    """`works` by the number of the step. weights: bytes of them in memory, None while they are not here. free: bytes
    of memory on the device, None where that is not known. speeds: tokens a second, by kind."""

    works: Mapping[int, Work]
    weights: int | None
    free: int | None
    speeds: Mapping[str, float]

    def lines(self, number: int) -> list[tuple[str, str]]:
        """The work, the memory and the time of one step; nothing for one that asks nothing of the model."""
        work = self.works.get(number)
        if work is None or not (work.read or work.made or work.partly):
            return []
        found = [("tokens", _tokens(work))]
        if work.memory:
            found.append(("memory", f"up to {size_text(work.memory)} besides the weights"))
        found.append(("time", self._time([work])))
        if (short := self.short(work)) is not None:
            found.append(("warning", short))
        return found

    def whole(self) -> list[str]:
        """The time of all steps, and the weights."""
        works = [work for work in self.works.values() if work.read or work.made]
        if not works:
            return []
        weights = "" if self.weights is None else f"; the weights take {size_text(self.weights)}"
        return [f"time: {self._time(works)}{weights}"]

    def short(self, work: Work) -> str | None:
        """What to say of a step for which there may be too little memory; None where there is enough, or it is
        not known."""
        if self.free is None or self.weights is None or self.weights + work.memory <= self.free:
            return None
        asked = f"up to {size_text(self.weights + work.memory)} with the weights"
        return f"this may not fit: {asked}, and {size_text(self.free)} are free; lower --batch-size"

    def to_json(self) -> dict[str, Any]:
        """Each step's work with its seconds, null where they are not known."""
        steps = [
            {"number": number, **asdict(work), "seconds": _rounded(work.seconds(self.speeds)), "fits": self._fits(work)}
            for number, work in self.works.items()
        ]
        return {"steps": steps, "weights": self.weights, "free": self.free, "tokens_per_second": dict(self.speeds)}

    def _fits(self, work: Work) -> bool | None:
        return None if self.free is None or self.weights is None else self.short(work) is None

    def _time(self, works: list[Work]) -> str:
        seconds = [work.seconds(self.speeds) for work in works]
        known = [s for s in seconds if s is not None]
        if len(known) < len(seconds):
            return UNKNOWN
        more = ", and more" if any(work.partly for work in works) else ""
        rates = [f"{self.speeds[kind]:.0f} tokens/s {kind}" for kind in ("made", "read") if _any(works, kind)]
        return (
            f"up to {duration(sum(known))}{more}, at {' and '.join(rates)} in the last run here" if rates else UNKNOWN
        )


def _tokens(work: Work) -> str:
    """`1,234 read; 60 answers of at most 1,440`."""
    about = "" if work.exact else "at most "
    parts = [f"{about}{work.read:,} read"] if work.read else []
    if work.made:
        parts.append(f"at most {work.made:,} made, in {count(work.answers, 'answer')}")
    return "; ".join([*parts, *([work.partly] if work.partly else [])])


def _any(works: list[Work], kind: str) -> bool:
    return any(work.made if kind == "made" else work.read for work in works)


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)
