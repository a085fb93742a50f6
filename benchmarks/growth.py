"""How cost grows with prompts, tokens and points of a sweep, over two decades.

For each size a whole plan is run from an empty store with the model open: seconds, the processor's time, and both for
each unit. `exponent` is the slope between the last two sizes on logarithmic axes: 1 is a cost in proportion, less
than 1 says that a fixed part is left. Prints JSON.

    python benchmarks/growth.py --sizes 1 3 10 30 100
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from pathlib import Path
from typing import Any

from end_to_end import finished, planned, settle
from turns import Took, about, timed

HEAD = """
dataset d = econ with take: {prompts}, held_out: 0%
dataset a = econ with take: 12
dataset b = generic with take: 12
topic = extract diffmean from {read} vs b
"""
# Each axis as a recipe with `size` of its units; the others stay small.
AXES = {
    "prompts": HEAD + "steer s {{ ablate topic[50%] everywhere }}\nout = generate from d with steer: s, max_tokens: 8",
    "tokens": HEAD + "steer s {{ ablate topic[50%] everywhere }}\n"
    "out = generate from d with steer: s, max_tokens: {size}",
    "points": HEAD + "sweep angle over 0deg..{last}deg step 1deg {{\n"
    "    rotate plane(topic[50%], pc1) to angle\n"
    "    out = generate from d with steer: main, max_tokens: 8\n}}",
}


def main() -> None:
    """Run every size of every axis and print what it cost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--axis", action="append", choices=list(AXES), help="may be repeated; all of them")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 3, 10, 30, 100])
    parser.add_argument("--turns", type=int, default=1, help="the least of so many times is told")
    parser.add_argument("--model")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--device", default="auto")
    given = parser.parse_args()
    print(json.dumps({axis: grown(axis, given) for axis in given.axis or AXES}, indent=1))


def recipe(axis: str, size: int) -> str:
    """The recipe with so many units of an axis. Prompts that are asked are read by the extraction too."""
    prompts = size if axis == "prompts" else 4
    read = "d" if axis == "prompts" else "a"
    return AXES[axis].format(size=size, last=size - 1, prompts=prompts, read=read)


def grown(axis: str, given: argparse.Namespace) -> dict[str, Any]:
    """What each size cost, and how the cost grows at the end. One run more comes first, for the libraries."""
    opened: list[Any] = []
    found: list[tuple[int, Took]] = []
    for size in (given.sizes[0], *given.sizes):
        with tempfile.TemporaryDirectory() as folder:
            plan = planned(recipe(axis, size), given)
            costs = []
            for turn in range(given.turns):
                place = Path(folder, str(turn))
                costs.append(timed(lambda plan=plan, place=place: finished(plan, place, opened), settle))  # type: ignore[misc]
            found.append((size, min(costs, key=lambda took: took.cpu)))
    found = found[1:]
    rows = [
        {
            **{"size": size, "seconds": round(took.seconds, 3), "cpu_seconds": round(took.cpu, 3)},
            **{"seconds_each": round(took.seconds / size, 4), "cpu_each": round(took.cpu / size, 4)},
        }
        for size, took in found
    ]
    return {**about(opened[0].opened, given.turns), "sizes": rows, "exponent": exponent(found)}


def exponent(found: list[tuple[int, Took]]) -> float | None:
    """The slope of the last two sizes; None for one size."""
    if len(found) < 2:
        return None
    (few, less), (many, more) = found[-2:]
    return round(math.log(more.seconds / less.seconds) / math.log(many / few), 2)


if __name__ == "__main__":
    main()
