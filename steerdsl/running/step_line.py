"""How far a step is, in one line: its words, its share, its amount, its rate, and how long it will take.

In: counts. Out: the line at one moment. Whoever shows it decides when, and where.
"""

from __future__ import annotations

import time

from steerdsl.lang.visible import in_line
from steerdsl.models.cache import size_text
from steerdsl.show.numbers import duration

STEADY = 1.0  # seconds after which a rate is shown


class StepLine:
    """The step at work and its count. A total of 0 is an unknown one; `unit` is "bytes", "tokens" or nothing."""

    def __init__(self) -> None:
        self.heading, self.text, self.unit = "", "", ""
        self.done = self.total = self.start = 0
        self.begun = self.step_begun = time.monotonic()

    def begin(self, heading: str) -> None:
        """A step begins."""
        self.heading, self.text = heading, ""
        self.done = self.total = 0
        self.begun = self.step_begun = time.monotonic()

    def count(self, text: str, done: int, total: int, unit: str) -> None:
        """What is being done, and how much of it is."""
        if text != self.text or done < self.done:
            self.begun, self.start = time.monotonic(), done
        self.text, self.done, self.total, self.unit = text, done, total, unit

    def line(self, now: float, width: int) -> str:
        """The line at one moment, of at most `width` columns: its words give way to its figures."""
        words = in_line(": ".join(part for part in (self.heading, self.text) if part))
        figures = "  ".join(self._figures(now - self.begun))
        room = max(width - len(figures) - 2, 8)
        return f"{words if len(words) <= room else words[: room - 1] + '…'}  {figures}"

    def _figures(self, spent: float) -> list[str]:
        """Percent, amount, rate, time left. What is complete, though nothing else has begun, is not shown as a
        share of itself: the time that goes by is."""
        if self.total <= 0 or self.done >= self.total:
            return [duration(spent)] if spent >= STEADY else []
        found = [f"{100 * self.done // self.total}%"]
        if self.unit == "bytes":
            found.append(f"{size_text(self.done)} of {size_text(self.total)}")
        elif not self.unit:
            found.append(f"{self.done} of {self.total}")
        gained = self.done - self.start
        if gained > 0 and spent >= STEADY:
            rate = gained / spent
            if self.unit:
                found.append(f"{size_text(rate)}/s" if self.unit == "bytes" else f"{rate:.0f} {self.unit}/s")
            found.append(f"{duration(max(1, round((self.total - self.done) / rate)))} left")
        return found
