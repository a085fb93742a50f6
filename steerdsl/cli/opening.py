"""What `serve` and `chat` open: the steers of a recipe, a run or a pack, or the default model alone.

In: what the command line names, and the options of a run. Out: `Steers`, whose vectors are taken from the store or
computed.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from steerdsl.cli.printing import print_diagnostics

if TYPE_CHECKING:
    from steerdsl.engine.tracing import Session
    from steerdsl.lang.check import Checked
    from steerdsl.planning.plan import RunOptions
    from steerdsl.running.progress import StepProgress
    from steerdsl.serving.steers import Steers


def opened(file: str | None, options: RunOptions, progress: StepProgress, session: Session | None = None) -> Steers:
    """The steers of what is named. `session` is the model where it is open. Raises RecipeError as a run does."""
    from steerdsl.cli.recipe import note
    from steerdsl.pipeline import recipe_to_plan
    from steerdsl.serving.steers import ready

    checked, chosen = found(file, options)
    prepared = recipe_to_plan(checked, chosen, fetch=True, progress=progress, note=note)
    print_diagnostics(prepared.plan.notices, sys.stderr)
    return ready(prepared, progress, session)


def found(file: str | None, options: RunOptions) -> tuple[Checked, RunOptions]:
    """The recipe that is named, and the options to plan it with. What only its measurements need is not said of it."""
    from steerdsl.cli.recipe import load_recipe
    from steerdsl.serving.sources import no_recipe, of_run
    from steerdsl.store.finished_run import open_run

    if file is None:
        return no_recipe(), options
    if Path(file).is_dir():
        return of_run(open_run(Path(file), whole=False), options)
    return load_recipe(file, None, options.sets, options.allow), options
