"""What an evaluation needs besides answers: tasks of lm-evaluation-harness, rows of multiple choice.

In: the metrics of an evaluation. Out: the same with what their figures depend on besides the recipe's
text, or a RecipeError before anything runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from steerdsl.data import Data, load_task, rows
from steerdsl.lang import recipe as r
from steerdsl.lang.diagnostics import Diagnostic, Exit, Label, RecipeError, Severity
from steerdsl.lang.source import Source
from steerdsl.measure import choices
from steerdsl.planning import formatting
from steerdsl.planning.samples import Sample
from steerdsl.registry import find

PINNED = "pinned"  # the option that holds it; no recipe can write it


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
        raise RecipeError([Diagnostic("R890", title, labels, help=help)], Exit.FAILED) from None
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
    """What keeps the data sets of an evaluation by `multiple_choice` from being asked: R894 for rows without
    options or without a right answer among them, D517 where the rows do not tell how answers are to be read."""
    found: list[Diagnostic] = []
    call = next((call for call in step.metrics if "letters" in find("metric", call.name).needs), None)
    for ref in step.data if call else ():
        assert call is not None
        spec, whole = data[ref.name].spec, data[ref.name].whole
        form = choices.form_of(whole, spec.answer_form)
        faults = [
            (row.index + 1, what)
            for row in rows(data[ref.name], ref.split, source=source)
            if (what := choices.problem(row, form))
        ]
        if faults:
            number, what = faults[0]
            more = (f"{len(faults)} rows are like that",) if len(faults) > 1 else ()
            declared = f'declare `{ref.name}` with `choices: "FIELD", answer: "FIELD"`'
            help = f"{declared}, and name the right answer {choices.MEANING[form or 'letter']}"
            label = Label(source, call.span, f"asks row {number} of `{ref.name}`")
            found.append(Diagnostic("R894", f"row {number} of `{ref.name}` {what}", (label,), more, help))
        elif form is None:
            title, notes, help = choices.undecided(whole)
            label = Label(source, call.span, f"asks `{ref.name}`")
            found.append(Diagnostic("D517", f"the rows of `{ref.name}` {title}", (label,), notes, help))
    return found


def unmatchable(step: r.Evaluate, data: Mapping[str, Data], source: Source) -> list[Diagnostic]:
    """Gold answers that a metric can never find, known before anything runs: D518, an error where the metric
    could find none in the whole evaluation, else a warning; those rows have no figure."""
    found: list[Diagnostic] = []
    for call in step.metrics:
        reads_gold = find("metric", call.name).reads_gold
        if reads_gold is None or not step.data:
            continue
        asked = {ref.name: rows(data[ref.name], ref.split, source=source) for ref in step.data}
        reader = reads_gold(call.options)
        lost = {
            name: [row for row in those if row.answer is None or not reader.able(row.answer)]
            for name, those in asked.items()
        }
        severity: Severity = "error" if all(len(lost[name]) == len(asked[name]) for name in asked) else "warning"
        label = Label(source, call.span, f"reads {reader.reads}")
        for name, bad in lost.items():
            if bad and bad[0].answer is None:
                title = f"the rows of `{name}` have no answer, so `{call.name}` has no figure for them"
                help = f'declare `{name}` with `answer: "FIELD"`, or score it without `{call.name}`'
                found.append(Diagnostic("D518", title, (label,), help=help, severity=severity))
            elif bad:
                title = f"`{call.name}` can read {_few(len(asked[name]) - len(bad))} of the {len(asked[name])} answers"
                notes = (f'row {bad[0].index + 1} has the answer "{bad[0].answer}"',)
                help = reader.instead(bad[0].answer or "")
                found.append(Diagnostic("D518", f"{title} of `{name}`", (label,), notes, help, severity))
    return found


def _few(count: int) -> str:
    return "none" if count == 0 else str(count)


def answer_form(ref: r.DataRef, data: Mapping[str, Data]) -> tuple[str, str]:
    """How `multiple_choice` reads the answers of a data set, as the plan prints it."""
    spec, whole = data[ref.name].spec, data[ref.name].whole
    form = choices.form_of(whole, spec.answer_form)
    why = "declared" if spec.answer_form else f"the form that fits {formatting.count(len(whole), 'row')}"
    means = f", the right option {choices.MEANING[form]}" if form else ""
    return "answer form", f"{ref.name}: {form or 'not clear'}{means} ({why})"


def rights(data: Data, found: Sequence[Sample]) -> list[int | None]:
    """Which option of each sample is right, counted from 0, in the form of its data set."""
    form = choices.form_of(data.whole, data.spec.answer_form)
    return [None if form is None else choices.FORMS[form](sample.row) for sample in found]
