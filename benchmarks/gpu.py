"""The benchmarks on a GPU, in under four minutes.

  steering     answers steered at three layers and at every layer, to plain transformers, batches of 1 and 8;
               extraction to bare passes
  rows         tokens a second by rows of a batch, and the memory that a row takes against the plan's estimate
  back-off     a run with too little memory for its batches: it halves them, and gives the same answers
  end to end   econ.steer, the one-liner and 36 angles, to plain hooks at batch 16 and in one batch

A part that the time left may not hold is not begun, which is said. On a machine without a GPU,
`--device cpu --model FOLDER --small` tries the program itself: its figures mean nothing. Prints JSON, part by part.

    python benchmarks/gpu.py
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import end_to_end
import speed
import torch
from end_to_end import finished, planned, settle
from turns import about, against, compare, timed

from steerdsl.engine.generate import AnswerRow, answer
from steerdsl.engine.tracing import Session
from steerdsl.models.catalog import locate
from steerdsl.models.facts import facts_of
from steerdsl.models.opened import open_model
from steerdsl.planning.batch_size import row_bytes
from steerdsl.planning.requests import Sampling

TOKENS = 32
# Seconds that a part may take on the slowest GPU that this is meant for.
LONGEST = {"steering": 60, "rows": 40, "back-off": 30, "end to end": 60}


def main() -> None:
    """Run each part while there is time, and print what it found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--seconds", type=float, default=225, help="of the whole program, loading included")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--small", action="store_true", help="as little as there can be, to try the program")
    given = parser.parse_args()
    begun = time.monotonic()
    opened = open_model(locate(given.model), dtype=given.dtype, device=given.device)
    session = Session(opened)
    say({"about": about(opened, given.turns), "gpu": name(), "loaded": round(time.monotonic() - begun, 1)})
    parts: dict[str, Callable[[], Any]] = {
        "steering": lambda: steering(session, given),
        "rows": lambda: rows(session, given),
        "back-off": lambda: backing_off(given),
        "end to end": lambda: end(given),
    }
    for part, run in parts.items():
        left = given.seconds - (time.monotonic() - begun)
        say({part: run() if left > LONGEST[part] else f"not begun: {left:.0f} s left, and it may take {LONGEST[part]}"})
    say({"seconds": round(time.monotonic() - begun, 1)})


def say(found: Any) -> None:
    """A part, as soon as it is known."""
    print(json.dumps(found), flush=True)


def name() -> str | None:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def steering(session: Session, given: argparse.Namespace) -> dict[str, Any]:
    """The ratios of speed.py."""
    prompts = speed.prompts_of(session.opened)[: 4 if given.small else None]
    cases = {"extraction": (speed.extraction(session, prompts), "bare forward passes")}
    for batch in (1,) if given.small else (1, 8):
        made = speed.generation(session, prompts[:batch], 4 if given.small else TOKENS)
        cases[f"generation, batch {batch}"] = (made, "plain transformers, unsteered")
    found = {}
    for case, (runners, base) in cases.items():
        for runner in runners.values():
            runner()
        timers = {name: lambda runner=runner: timed(runner, settle) for name, runner in runners.items()}  # type: ignore[misc]
        found[case] = against(compare(timers, given.turns), base)
    return found


def rows(session: Session, given: argparse.Namespace) -> list[dict[str, Any]]:
    """Tokens a second and memory by the rows of a batch, doubled until the memory ends or nothing is gained."""
    prompts = speed.prompts_of(session.opened)
    facts, dtype = facts_of(locate(given.model)), session.opened.info.dtype
    tokens = 4 if given.small else TOKENS
    found: list[dict[str, Any]] = []
    for count in (1, 2) if given.small else (1, 8, 32, 128, 288, 576, 1152, 2304):
        asked = [AnswerRow(i, 0, prompts[i % len(prompts)], 0, Sampling(tokens)) for i in range(count)]
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
        try:
            made: list[Any] = []
            took = timed(lambda asked=asked, made=made: made.extend(answer(session, asked, [])), settle)  # type: ignore[misc]
        except torch.OutOfMemoryError:
            found.append({"rows": count, "tokens_per_second": None, "note": "out of memory"})
            break
        width = max(len(row.prompt.ids) for row in asked) + tokens
        peak = torch.cuda.max_memory_allocated() - before if torch.cuda.is_available() else None
        estimate = count * row_bytes(facts, dtype, width)
        speed_ = sum(len(a.token_ids) + a.ended for a in made) / took.seconds
        share = None if peak is None else round(estimate / peak, 2)
        about_rows = {"rows": count, "tokens_per_second": round(speed_), "peak": peak, "estimate_to_peak": share}
        found.append(about_rows)
    return found


def backing_off(given: argparse.Namespace) -> dict[str, Any]:
    """A run whose batches do not fit beside the one whose do, and how many answers differ. float32, where none may."""
    size = 4 if given.small else 15
    recipe = end_to_end.shortened(end_to_end.SWEEP, size, 4 if given.small else TOKENS)
    plan = planned(recipe, argparse.Namespace(model=given.model, dtype="float32", device=given.device))
    with tempfile.TemporaryDirectory() as folder:
        whole = finished(plan, Path(folder, "whole"), [])
        if not torch.cuda.is_available():
            return {"note": "needs a GPU"}
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.empty_cache()
        weights = torch.cuda.memory_allocated()
        torch.cuda.set_per_process_memory_fraction((weights + (256 << 20)) / total)
        try:
            tight = finished(plan, Path(folder, "tight"), whole.opened)
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0)
        pairs = list(zip(whole.results.rows, tight.results.rows, strict=True))
        differing = sum(a["token_ids"] != b["token_ids"] for a, b in pairs)
        halved = [line for line in tight.results.warnings if "memory" in line]
        return {"answers": len(pairs), "differ": differing, "halved": halved}


def end(given: argparse.Namespace) -> dict[str, Any]:
    """The cases of end_to_end.py, smaller."""
    own = argparse.Namespace(
        **{"model": given.model, "dtype": "float32", "device": given.device, "others": None, "sample": 1},
        **{"prompts": 4 if given.small else 8, "turns": 1 if given.small else 2, "rows": 2000},
    )
    found = {}
    for case in ("sweep",) if given.small else end_to_end.CASES:
        recipe = end_to_end.shortened(end_to_end.CASES[case], own.prompts, 3 if given.small else 24)
        found[case] = end_to_end.measured(planned(recipe, own), own)
    return found


if __name__ == "__main__":
    main()
