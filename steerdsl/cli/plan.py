"""`steerdsl plan`: every step of a recipe with every default resolved, before anything runs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from steerdsl.cli import options as o
from steerdsl.cli.recipe import load_recipe
from steerdsl.show.door import json_text

if TYPE_CHECKING:
    from steerdsl.plan.plan import RunOptions


@o.run_options(*o.COMMON, "on", "judge_url", "judge_model")
def plan(
    file: o.File = None,
    text: o.Text = None,
    *,
    chosen: RunOptions,
    as_json: o.Json = False,
) -> None:
    """Print every step with all defaults filled in, and why it will run. Reads no weights.

    \b
    Example:
      steerdsl plan recipes/econ.steer --set strength=2
    """
    from steerdsl.cli.prepare import prepare
    from steerdsl.cli.progress import Progress
    from steerdsl.show.plan_view import plan_view
    from steerdsl.show.terminal import Terminal

    with Progress(shown=True) as progress:
        checked = load_recipe(file, text, chosen.sets, chosen.allow)
        made = prepare(checked, chosen, fetch=False, progress=progress)
    if as_json:
        sys.stdout.write(json_text(made.plan.to_json(), indent=1) + "\n")
    else:
        Terminal().print(plan_view(made.plan))
