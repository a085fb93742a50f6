"""What an evaluation needs beside answers: tasks of lm-evaluation-harness, rows of multiple choice.

In: the metrics of an evaluation. Out: the same with what their figures depend on besides the recipe's
text, or a RecipeError before anything runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from steerdsl.data import Data, load_task, rows
from steerdsl.lang import recipe as r
from steerdsl.lang.diagnostics import Diagnostic, Label, RecipeError
from steerdsl.lang.source import Source
from steerdsl.measure.metrics.multiple_choice import problem
from steerdsl.registry import find

PINNED = "pinned"  # the option that holds it; no recipe can write it
_RUN_FAILED = 3


def pinned(call: r.MetricCall, root: Path, allowed: tuple[Path, ...], source: Source) -> r.MetricCall:
    """A call of `lm_eval` with the harness's version and the hashes of its task's files, so that keys
    depend on them; any other metric as it is.

    Raises RecipeError: R890 without the harness, R891 and D50x for a task file.
    """
    if call.task is None:
        return call
    try:
        found = {"lm_eval": version("lm_eval")}
    except PackageNotFoundError:
        labels = (Label(source, call.span, "run by lm-evaluation-harness"),)
        title, help = "`lm_eval` needs the package lm-eval", "pip install 'steerdsl[lm-eval]'"
        raise RecipeError([Diagnostic("R890", title, labels, help=help)], _RUN_FAILED) from None
    task = call.options["task"]
    if r.is_task_file(task):
        found |= load_task(task, root, allowed, source, call.span).sha256
    return replace(call, options={**call.options, PINNED: found})


def facts(call: r.MetricCall) -> list[tuple[str, str]]:
    """How the harness will ask, every default said, as the plan prints it; nothing for other metrics."""
    found = call.options.get(PINNED)
    if found is None:
        return []
    limit, shots = call.options.get("limit"), call.options.get("num_fewshot")
    settings = (
        f"version {found['lm_eval']}",
        "every document" if limit is None else f"the first {limit} documents of each task",
        "the task's own number of solved examples" if shots is None else f"{shots} solved examples",
        "the model's chat template" if call.options.get("chat_template") else "raw text",
    )
    lines = [("harness", ", ".join(settings))]
    return lines + [("file", f"{path}, sha256 {digest[:12]}") for path, digest in found.items() if path != "lm_eval"]


def unaskable(step: r.Evaluate, data: Mapping[str, Data], source: Source) -> list[Diagnostic]:
    """R894 for each data set of an evaluation by `multiple_choice` that has rows without options, or
    without a right answer among them."""
    found: list[Diagnostic] = []
    calls = [call for call in step.metrics if "letters" in find("metric", call.name).needs]
    for ref in step.data if calls else ():
        faults = [
            (row.index + 1, what)
            for row in rows(data[ref.name], ref.split, source=source)
            if (what := problem(row.answer, row.choices))
        ]
        if not faults:
            continue
        number, what = faults[0]
        more = (f"{len(faults)} rows are like that",) if len(faults) > 1 else ()
        help = f'declare `{ref.name}` with `choices: "FIELD", answer: "FIELD"`, and name the right answer by its letter'
        label = Label(source, calls[0].span, f"asks row {number} of `{ref.name}`")
        found.append(Diagnostic("R894", f"row {number} of `{ref.name}` {what}", (label,), more, help))
    return found
