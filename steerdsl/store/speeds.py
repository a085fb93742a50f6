"""How fast this machine has read and made tokens of a model, for the next plan.

In: tokens and seconds, as batches are computed. Out: tokens a second by kind: "read" in passes over prompts,
"made" one after another, the reading of their prompts included. They are kept next to the store, in a file for each
model, dtype and kind of machine; nothing else depends on them.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from steerdsl.forms.kept import LARGEST_NOTE, SPEEDS
from steerdsl.forms.text import read_json
from steerdsl.models.cache import cache_root
from steerdsl.store.files import write_json
from steerdsl.store.provenance import Maker
from steerdsl.store.results import content_key
from steerdsl.store.surroundings import processor

Kind = Literal["read", "made"]
ENOUGH = 0.1  # seconds of which a speed is kept: shorter ones say more about the first call of a library


@dataclass(slots=True)
class Measured:
    """Tokens and seconds of one run, by kind."""

    spent: dict[str, tuple[int, float]] = field(default_factory=dict)

    def add(self, kind: Kind, tokens: int, seconds: float) -> None:
        """So many tokens took so long."""
        before, ago = self.spent.get(kind, (0, 0.0))
        self.spent[kind] = before + tokens, ago + seconds

    def rates(self) -> dict[str, float]:
        """Tokens a second, of the kinds of which there was enough."""
        return {kind: tokens / seconds for kind, (tokens, seconds) in self.spent.items() if tokens and seconds > ENOUGH}


def speeds_file(weights: str, dtype: str, here: Maker) -> Path:
    """Where the speeds of a model on this machine are kept; `here` is what results are made with."""
    about = {"speeds": 1, "weights": weights, "dtype": dtype, "here": dict(here), "cpu": processor()}
    return cache_root() / "speeds" / f"{content_key(about)}.json"


def known_speeds(file: Path) -> Mapping[str, float]:
    """The speeds of the last runs, by kind; nothing where none has measured them."""
    try:
        found: dict[str, float] = read_json(file, SPEEDS, most=LARGEST_NOTE)
    except (OSError, ValueError):
        return {}
    return found


def keep_speeds(file: Path, measured: Measured) -> None:
    """Keep what a run measured; what it did not measure stays as it was. A cache that cannot be written costs
    nothing but the estimate."""
    rates = measured.rates()
    if rates:
        with suppress(OSError):
            file.parent.mkdir(parents=True, exist_ok=True)
            write_json(file, {**known_speeds(file), **rates})
