"""`steerdsl plan`: every step of a recipe with every default resolved, before anything runs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from steerdsl.cli import options as o
from steerdsl.cli.recipe import load_recipe, prepare
from steerdsl.show.door import json_text

if TYPE_CHECKING:
    from steerdsl.pipeline import Prepared
    from steerdsl.planning.plan import RunOptions
    from steerdsl.show.costs import Costs


@o.run_options(*o.COMMON, "on", "judge_url", "judge_model")
def plan(
    file: o.File = None,
    text: o.Text = None,
    *,
    chosen: RunOptions,
    as_json: o.Json = False,
) -> None:
    """Print every step with every default resolved, why it will run, and what it will take. Reads no weights.

    Tokens are counted, answers with their longest length; memory is an upper bound; time is known once this
    machine has run this model.

    \b
    Example:
      steerdsl plan recipes/econ.steer --set strength=2
    """
    from steerdsl.cli.progress import Progress
    from steerdsl.show.plan_view import plan_view
    from steerdsl.show.terminal import Terminal

    with Progress(shown=True) as progress:
        checked = load_recipe(file, text, chosen.sets, chosen.allow)
        made = prepare(checked, chosen, fetch=False, progress=progress)
        costs = _costs(made)
    if as_json:
        found = made.plan.to_json() | ({} if costs is None else {"costs": costs.to_json()})
        sys.stdout.write(json_text(found, indent=1) + "\n")
    else:
        Terminal().print(plan_view(made.plan, costs))


def _costs(made: Prepared) -> Costs | None:
    """What the plan will take on this machine; None where it runs elsewhere."""
    import torch

    from steerdsl.models import memory
    from steerdsl.models.device import choose_device
    from steerdsl.planning.estimate import estimates
    from steerdsl.running.record import maker
    from steerdsl.show.costs import Costs
    from steerdsl.store.speeds import known_speeds, speeds_file

    plan = made.plan
    if plan.options.on != "local":
        return None
    located, device = plan.model.located, choose_device(plan.options.device)
    weights = located.weights_sha256
    speeds = {} if weights is None else known_speeds(speeds_file(weights, plan.dtype, maker(plan.options)))
    size = memory.weights_memory(located.path, getattr(torch, plan.dtype), located.quantization)
    return Costs(estimates(plan), size, memory.free_memory(device), speeds)
