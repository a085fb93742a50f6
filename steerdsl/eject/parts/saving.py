"""Where answers go."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any


def keep(
    out: Path,
    answers: list[dict[str, Any]],
    withheld: bool = False,  # if: unsafe
    point: dict[str, str] | None = None,  # if: swept
    **about: str,
) -> None:
    """Append answers to generations.jsonl, a line for each, as steerdsl's runs have them.

    withheld: keep what the answers hash to and nothing else, as for data that is unsafe.  # if: unsafe
    """
    with (out / "generations.jsonl").open("a", encoding="utf-8") as file:
        for answer in answers:
            line: dict[str, Any] = {**about, **answer}
            if withheld:  # if: unsafe
                sha256 = hashlib.sha256(answer["text"].encode()).hexdigest()  # if: unsafe
                line |= {"token_ids": [], "text": None, "withheld": True, "text_sha256": sha256}  # if: unsafe
            if point is not None:  # if: swept
                line["point"] = point  # if: swept
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
