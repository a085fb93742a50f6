"""`steerdsl plan`: every step of a recipe with every default resolved, before anything runs."""

from __future__ import annotations

import json
import sys

from steerdsl.cli import options as o
from steerdsl.cli.recipe import load_recipe


def plan(
    file: o.File = None,
    text: o.Text = None,
    sets: o.Sets = [],  # noqa: B006  (typer's way to say a repeatable option)
    model: o.Model = None,
    device: o.Device = "auto",
    dtype: o.Dtype = None,
    batch_size: o.BatchSize = None,
    seed: o.Seed = None,
    on: o.On = "local",
    offline: o.Offline = False,
    allow: o.Allow = [],  # noqa: B006
    judge_url: o.JudgeUrl = None,
    judge_model: o.JudgeModel = None,
    as_json: o.Json = False,
) -> None:
    """Print every step with every default resolved, and why it will run. Reads no weights.

    \b
    Example:
      steerdsl plan recipes/econ.steer --set strength=2
    """
    from rich.console import Console

    from steerdsl.cli.prepare import prepare
    from steerdsl.plan.plan import RunOptions
    from steerdsl.show.plan_view import plan_view

    checked = load_recipe(file, text, sets, allow)
    chosen = RunOptions(
        model, device, dtype, batch_size, seed, on, offline, tuple(allow), judge_url=judge_url, judge_model=judge_model
    )
    made = prepare(checked, chosen, fetch=False)
    if as_json:
        sys.stdout.write(json.dumps(made.plan.to_json(), indent=1, ensure_ascii=False) + "\n")
    else:
        Console().print(plan_view(made.plan))
