"""How long a sweep takes with its points as rows of shared batches, against one point at a time.

Runs one recipe both ways on the default model: 36 angles, 8 prompts, 32 tokens. The two take turns in
one process and start from the same store, which has the vector and no answers; all that a run does is
timed, and with shared batches the files that it keeps them in too. The figure is the median of the ratios
of each turn; `cpu_ratio` is that of the processor's time, which a machine that is busy with other things
changes less (with one thread: waiting threads count too). Says also how many answers and tokens differ
between the two: none may in float32.
With `--sample 4` only 4 of the points are run one at a time, and their times are multiplied. Prints JSON.

    python benchmarks/sweep.py --dtype bfloat16 --dtype float32 --turns 3
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from steerdsl.engine.context import Run
from steerdsl.engine.generate import generate
from steerdsl.engine.operand_activations import SOURCES
from steerdsl.engine.steps import run_plan
from steerdsl.engine.stored_answers import rendered, touches
from steerdsl.lang import recipe as r
from steerdsl.lang.reading import GIVEN
from steerdsl.lang.source import Source
from steerdsl.pipeline import recipe_to_plan, text_to_recipe
from steerdsl.planning.plan import Plan, RunOptions
from steerdsl.store.results import Store

RECIPE = """
dataset asked = econ with take: 8, held_out: 0%
dataset a = econ with take: 24
dataset b = generic with take: 24
topic = extract diffmean from a vs b
sweep angle over 0deg..350deg step 10deg {
    rotate plane(topic[16], pc1) to angle
    answers = generate from asked with steer: main, max_tokens: 32
}
"""


def main() -> None:
    """Time both ways in turns and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--dtype", action="append", help="bfloat16, float32; may be repeated")
    parser.add_argument("--rows", action="append", type=int, help="rows a batch, in the place of the plan's choice")
    parser.add_argument("--sample", type=int, default=36, help="points that are run one at a time, a divisor of 36")
    parser.add_argument("--model", help="another model than the default")
    given = parser.parse_args()
    out: dict[str, Any] = {"threads": torch.get_num_threads(), "turns": given.turns, "load": os.getloadavg()[0]}
    checked, _ = text_to_recipe(Source(GIVEN, RECIPE), Path())
    assert checked is not None
    for dtype in given.dtype or ["auto"]:
        plan = recipe_to_plan(checked, RunOptions(given.model, dtype=dtype), fetch=True).plan
        with tempfile.TemporaryDirectory() as folder:
            out[plan.dtype] = _compare(plan, given.rows or [_rows(plan)], given.turns, given.sample, Path(folder))
    print(json.dumps(out, indent=1))


def _rows(plan: Plan) -> int:
    return max(batches.rows for batches in plan.steps[-1].shared.values())


def _compare(plan: Plan, rows: list[int], turns: int, sample: int, folder: Path) -> dict[str, Any]:
    """Seconds, and the ratio to one point at a time, for each number of rows (0: one at a time)."""
    sweep = plan.steps[-1]
    times = len(sweep.points) // sample
    first = Run(replace(plan, steps=plan.steps[:-1]), Store(folder / "vector"), folder, SOURCES)
    run_plan(first, lambda step, seconds: None)
    seconds: dict[int, list[float]] = {n: [] for n in (0, *rows)}
    cpu: dict[int, list[float]] = {n: [] for n in seconds}
    answers: dict[int, dict[str, list[int]]] = {}
    for turn in range(turns):
        for n in seconds:
            store = folder / f"{n}-{turn}"
            shutil.copytree(folder / "vector", store)
            run = Run(plan, Store(store), folder, SOURCES, opened=first.opened)
            start, began = time.perf_counter(), time.process_time()
            answers[n] = _together(run, n) if n else _alone(run, times)
            scale = 1 if n else times
            seconds[n].append(scale * (time.perf_counter() - start))
            cpu[n].append(scale * (time.process_time() - began))
    return {
        f"{n} rows" if n else "one at a time": {
            "seconds": [round(s, 2) for s in found],
            "ratio": _ratio(found, seconds[0]),
            "cpu_seconds": [round(s, 2) for s in cpu[n]],
            "cpu_ratio": _ratio(cpu[n], cpu[0]),
            **_differing([answers[n][place] for place in answers[0]], list(answers[0].values())),
        }
        for n, found in seconds.items()
    }


def _together(run: Run, rows: int) -> dict[str, list[int]]:
    """The tokens of every point and prompt, in shared batches of at most so many rows."""
    *before, sweep = run.plan.steps
    shared = {group: replace(batches, rows=rows) for group, batches in sweep.shared.items()}
    run.plan = replace(run.plan, steps=(*before, replace(sweep, shared=shared)))
    run_plan(run, lambda step, seconds: None)
    return {f"{row['point']} {row['row']}": row["token_ids"] for row in run.results.rows}


def _alone(run: Run, times: int) -> dict[str, list[int]]:
    """The tokens of one in so many points, one after another, all prompts of a point in a batch of their own."""
    *before, sweep = run.plan.steps
    assert isinstance(sweep.step, r.Sweep)
    run.plan = replace(run.plan, steps=tuple(before))
    run_plan(run, lambda step, seconds: None)
    found: dict[str, list[int]] = {}
    for point, steps in list(zip(sweep.step.points, sweep.points, strict=True))[::times]:
        run.plan = replace(run.plan, steps=steps[:-1])
        run_plan(run, lambda step, seconds: None)
        (request,) = steps[-1].asked
        prompts, edits = rendered(run, request), touches(run, request.variant)
        for batch in generate(run.session, prompts, edits, request.sampling, len(prompts)):
            for a in batch:
                found[f"{dict(point.labels)} {request.found[a.prompt].row.index}"] = list(a.token_ids)
    return found


def _ratio(own: list[float], base: list[float]) -> float:
    return round(statistics.median(a / b for a, b in zip(own, base, strict=True)), 3)


def _differing(own: list[list[int]], others: list[list[int]]) -> dict[str, float]:
    """The share of answers, and of their tokens from the first that differs on, that are not the same."""
    same = [
        next((i for i, (a, b) in enumerate(zip(x, y, strict=False)) if a != b), min(len(x), len(y)))
        for x, y in zip(own, others, strict=True)
    ]
    total = sum(max(len(x), len(y)) for x, y in zip(own, others, strict=True))
    return {
        "answers_differ": round(sum(x != y for x, y in zip(own, others, strict=True)) / len(own), 4),
        "tokens_differ": round(1 - sum(same) / total, 4),
    }


if __name__ == "__main__":
    main()
