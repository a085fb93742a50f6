"""Where answers go."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def keep(
    out: Path,
    answers: list[dict[str, Any]],
    point: dict[str, str] | None = None,  # if: swept
    **about: str,
) -> None:
    """Append answers to generations.jsonl, a line for each, as steerdsl's runs have them."""
    with (out / "generations.jsonl").open("a", encoding="utf-8") as file:
        for answer in answers:
            line: dict[str, Any] = {**about, **answer}
            if point is not None:  # if: swept
                line["point"] = point  # if: swept
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
