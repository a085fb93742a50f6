"""The files of a small run as plain values: whole records, which tests change in one place.

Out: `RECORD`, `SCORES`, `ANSWERS`, and `save(folder)`, which writes a run directory of them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

TEXT = "# What one direction does.\nedition 1\n\nablate at layers 1\n"


def figures(mean: float, **more: Any) -> dict[str, Any]:
    return {"mean": mean, "low": mean - 1, "high": mean + 1, "n": 3, "values": [mean] * 3, **more}


def answer(variant: str, text: str | None, row: int = 0, **more: Any) -> dict[str, Any]:
    own = {"step": "scores", "variant": variant, "dataset": "econ", "split": "held_out", "row": row, "sample": 0}
    asked = {"prompt": f"prompt {row}", "rendered_sha256": "ef" * 32, "token_ids": [1]}
    return {**own, **asked, "text": text, "ended": True, **more}


RECORD: dict[str, Any] = {
    "schema": 1,
    "state": "check failed",
    "reached": "the end",
    "error": None,
    "started": "2026-03-01T10:15:00+00:00",
    "seconds": 12.5,
    "recipe": {
        **{"name": "one.steer", "text": TEXT, "folder": "../recipe"},
        "sha256": hashlib.sha256(TEXT.encode()).hexdigest(),
    },
    "inputs": {"rows.jsonl": "12" * 32},
    "plan": {
        "params": {"strength": "40%"},
        "batch_size": 16,
        "steps": [
            {
                **{"number": 1, "verb": "extract", "name": "topic", "title": "diffmean", "needs_weights": True},
                **{"settings": [["at", "last_token"], ["", "of both"]], "key": "34" * 32},
            },
            {
                **{"number": 2, "verb": "evaluate", "name": "scores", "title": "evaluate less"},
                **{"settings": [], "key": None, "needs_weights": True},
            },
        ],
    },
    "model": {
        **{"id": "acme/tiny", "path": None, "source": "hub", "revision": "abc", "weights_sha256": "0" * 64},
        **{"dtype": "float32", "family": "llama", "n_layers": 3, "d_model": 32, "tokenizer_sha256": "1" * 64},
        **{"template_sha256": None, "device": "cpu"},
    },
    "template": {"system": None, "mode": "chat"},
    "data": {
        "econ": {
            **{"source": "econ", "sha256": "cd" * 32, "rows": 8, "ids": ["0123456789abcdef"]},
            **{"fields": {"prompt": "prompt"}, "seed": 0, "held_out": 0.5},
        }
    },
    "run": {
        **{"on": "local", "device": "cpu", "dtype": "float32", "batch_size": 16, "seed": None, "set": []},
        **{"model": None, "judge_model": None, "keep_unsafe": False},
    },
    "choices": {
        "best": {
            **{"vector": "topic", "criterion": "fisher", "chosen": [2], "layers": [0, 1, 2], "order": [2, 1]},
            **{"score": [None, -1.0, -2.0], "figures": {"fisher": [None, 1.0, 2.0]}, "notes": ["weak"]},
        }
    },
    "planes": {"turn": {"kind": "pc1", "explained": 0.5, "flipped": True}},
    "checks": [{"claim": "scores.bleu < 50", "holds": False, "left": 51.0, "right": 50.0, "by": 1.0, "at": {}}],
    "warnings": ["topic: weak at layer 1"],
    "judge": None,
    "reused_from": [{"step": 1, "kind": "vector", "made_with": {"torch": "2.0"}}],
    "timings": [
        {"step": 1, "verb": "extract", "name": "topic", "seconds": 2.5, "requests": 0, "sent": 0, "received": 0}
    ],
    "packages": {"torch": "2.13"},
    "machine": {"system": "Linux", "threads": 2, "gpu": None},
    "files": {"scores.json": "56" * 32},
}
_AGAINST = {"baseline": {"difference": -7.0, "low": -9.0, "high": -5.0, "p": 0.01, "p_holm": 0.02}}
SCORES: dict[str, Any] = {
    "scores": {"bleu": {"econ": {"baseline": figures(40.0), "less": figures(33.0, against=_AGAINST)}}},
    "swept": {
        "points": [
            {
                "at": {"angle": f"{x}deg"},
                "scores": {"bleu": {"econ": {"baseline": figures(40.0), "main": figures(float(x))}}},
            }
            for x in (0, 90)
        ]
    },
}
ANSWERS: list[dict[str, Any]] = [
    answer("baseline", "One answer."),
    answer("less", "Another answer."),
    answer("main", "A third.", point={"angle": "90deg"}, step="swept"),
    answer("less", None, 1, token_ids=[], withheld=True, text_sha256="78" * 32),
]


def save(folder: Path, record: Any = RECORD, scores: Any = SCORES, answers: Sequence[Any] = ANSWERS) -> Path:
    """A run directory with these files; returns it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "record.json").write_text(json.dumps(record))
    (folder / "scores.json").write_text(json.dumps(scores))
    (folder / "generations.jsonl").write_text("".join(json.dumps(row) + "\n" for row in answers))
    return folder
