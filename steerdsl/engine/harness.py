"""Run lm-evaluation-harness on a model under a steer.

In: an `lm_eval` metric of an evaluation and a variant. Out: `Figures`, the harness's own value of each
document, from the store or made now. The harness's code decides what is asked and what counts as
right; nothing it would fetch and execute (metrics of the hub, templates that reach into Python) is run.
"""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from steerdsl.data.tasks import load_task
from steerdsl.engine.context import Run
from steerdsl.engine.stored_answers import steer_of
from steerdsl.forms.kept import DOCUMENTS
from steerdsl.forms.text import read_json
from steerdsl.lang.diagnostics import Diagnostic, Exit, RecipeError, nearest
from steerdsl.lang.recipe import MetricCall, is_task_file
from steerdsl.measure.answers import Figures
from steerdsl.measure.metrics.lm_eval import figures
from steerdsl.methods.types import MethodError
from steerdsl.models.quiet import quiet
from steerdsl.planning.controls import Variant
from steerdsl.planning.keys import step_key
from steerdsl.registry import find
from steerdsl.store.files import write_json

_LOGGERS = ("lm_eval", "lm-eval", "datasets", "evaluate", "absl")


def documents(run: Run, call: MetricCall, variant: Variant) -> Figures:
    """The value of each document of a task under a variant; a group's tasks one after another.

    Raises RecipeError R892 for a task that could not be loaded or run, R893 for a metric that the task has
    not, or that has no value for each document.
    """
    key = step_key(
        "lm_eval",
        find("metric", call.name).version,
        {},
        model=run.plan.model_key,
        steer=variant.steer_key(run.keys),
        instruction=variant.instruction,
        options=call.options,
        batch_size=None if run.plan.dtype == "float32" else run.plan.batch_size,
    )
    known = run.store.load(key, _read)
    if known is not None:
        return known
    found = _evaluated(run, call, variant)
    about = {"kind": "lm_eval", "task": call.options["task"], "variant": variant.name}
    made = {name: getattr(found, name) for name in DOCUMENTS}
    return run.store.save(key, about, lambda fresh: write_json(fresh / "documents.json", made), _read)


def _read(folder: Path) -> Figures:
    found = read_json(folder / "documents.json", DOCUMENTS, within=folder)
    return Figures(**{name: found[name] for name in DOCUMENTS})


def _evaluated(run: Run, call: MetricCall, variant: Variant) -> Figures:
    from lm_eval.evaluator import evaluate

    from steerdsl.engine.harness_model import SteeredModel

    options, steer, plan = call.options, steer_of(run, variant), run.plan
    run.progress(f"{options['task']} of lm-evaluation-harness, {variant.name}", 0, 0)
    templated = bool(options.get("chat_template"))
    switch = run.renderer.switch if templated else {}
    rows = plan.answer_rows, plan.logit_rows
    model = SteeredModel(run.session, steer, *rows, run.progress, variant.instruction, switch)
    with _confined(run.plan.options.offline):
        _seed()
        tasks = _tasks(run, options["task"])
        with _told(options["task"]):
            for task in tasks.values():
                _set_examples(task, options.get("num_fewshot"))
            results = evaluate(
                lm=model,
                task_dict={"tasks": tasks},
                limit=options.get("limit"),
                apply_chat_template=templated,
                fewshot_as_multiturn=True,
                system_instruction=run.plan.recipe.model.system if templated else None,
                bootstrap_iters=0,
            )
    return _joined([_values(results, name, options.get("metric")) for name in tasks])


def _seed() -> None:
    """Every generator that a task may draw from, as the harness's own entrance sets them."""
    import random

    import numpy as np
    import torch
    from lm_eval.defaults import DEFAULT_OTHER_SEED, DEFAULT_RANDOM_SEED

    random.seed(DEFAULT_RANDOM_SEED)
    np.random.seed(DEFAULT_OTHER_SEED)
    torch.manual_seed(DEFAULT_OTHER_SEED)


def _set_examples(task: Any, wanted: int | None) -> None:
    """How many solved examples precede a question, by the rules of the harness's own command,
    which also collects facts of the machine for seconds: a task that says 0 keeps 0."""
    from lm_eval.defaults import DEFAULT_OTHER_SEED

    own = task.get_config("num_fewshot")
    if own is None or (wanted is not None and own != 0):
        task.set_config(key="num_fewshot", value=wanted or 0)
    task.set_fewshot_seed(seed=DEFAULT_OTHER_SEED)


def _tasks(run: Run, task: str) -> dict[str, Any]:
    """The harness's tasks that a name or a file means, by their names."""
    if is_task_file(task):
        given = load_task(task, run.plan.root, run.plan.options.allow)
        _require_metrics(task, given.config)
        spec: Any = {**given.config, "custom_dataset": _Rows(given.splits)}
        manager = _manager(False)
    else:
        manager, spec = _manager(True), task
        if task not in manager.task_index:
            close = nearest(task, manager.all_tasks)
            help = f'did you mean "{close}"?' if close else "`lm-eval ls tasks` lists them; a file's name ends in .yaml"
            raise _error("R892", f'lm-evaluation-harness has no task "{task}"', help)
    with _told(task):
        found: dict[str, Any] = manager.load(spec)["tasks"]
    for name, made in found.items():
        if getattr(made, "UNSAFE_CODE", False) or getattr(made, "MULTIMODAL", False):
            what = (
                "runs code that the model writes" if getattr(made, "UNSAFE_CODE", False) else "shows pictures or sound"
            )
            raise _error("R892", f'the task "{name}" {what}', "take another task")
    return found


def _require_metrics(task: str, config: Mapping[str, Any]) -> None:
    """The harness takes a name that it does not know to the hub, and would run what it finds."""
    from lm_eval.api.registry import metric_registry

    for entry in config.get("metric_list") or ():
        name = str(entry.get("metric"))
        if name not in metric_registry:
            close = nearest(name, metric_registry)
            help = f"did you mean `{close}`?" if close else "use one of its own metrics, such as `acc`"
            raise _error("R893", f"{task}: lm-evaluation-harness has no metric `{name}`", help)


@cache
def _manager(known: bool) -> Any:
    """The harness's list of tasks: reading all that it knows takes many seconds."""
    from lm_eval.tasks import TaskManager

    return TaskManager(include_defaults=known)


class _Rows:
    """Gives the harness the rows of a task file as the data set that it wants."""

    def __init__(self, splits: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
        self.splits = splits

    def __call__(self, **settings: Any) -> Any:
        from datasets import Dataset, DatasetDict  # type: ignore[import-not-found,unused-ignore]

        return DatasetDict({name: Dataset.from_list([dict(row) for row in rows]) for name, rows in self.splits.items()})


def _values(results: Mapping[str, Any], task: str, wanted: str | None) -> Figures:
    """One task's values in the order of its documents: of its first metric, or of the one that is wanted,
    "METRIC" or "METRIC,FILTER"."""
    samples = results["samples"][task]
    pairs = list(dict.fromkeys((metric, s["filter"]) for s in samples for metric in s["metrics"]))
    chosen = next((p for p in pairs if wanted is None or wanted in (p[0], ",".join(p))), None)
    if chosen is None:
        known = [metric for metric, _ in pairs]
        close = nearest(str(wanted), known)
        help = f'did you mean "{close}"?' if close else f"it has {', '.join(dict.fromkeys(known))}"
        raise _error("R893", f'the task "{task}" has no metric "{wanted}"', help)
    metric, filtered = chosen
    rows = sorted((s for s in samples if s["filter"] == filtered), key=lambda s: s["doc_id"])
    found = figures(metric, [s[metric] for s in rows], results["results"][task][",".join(chosen)])
    if found is None:
        title = f'the metric "{metric}" of the task "{task}" is not a mean over its documents'
        raise _error("R893", title, "name another with `metric:`, so that the figure has an interval")
    return found


def _joined(parts: Sequence[Figures]) -> Figures:
    """The figures of several tasks as one, every document counting alike."""
    kinds = {part.mean for part in parts}
    mean = parts[0].mean if len(kinds) == 1 else "arithmetic"
    if "geometric" in kinds and len(kinds) > 1:
        raise _error(
            "R893", "the tasks of this group have metrics that cannot be averaged", "name its tasks one by one"
        )
    weights = [w for part in parts for w in part.weights or [1.0] * len(part.values)]
    weighted = any(part.weights is not None for part in parts)
    return Figures([v for part in parts for v in part.values], mean, weights if weighted else None)


@contextlib.contextmanager
def _told(task: str) -> Iterator[None]:
    """What goes wrong inside the harness, as a message: a data set that could not be loaded, a template that
    names a field which a row lacks. Errors of the model's own run are left alone."""
    try:
        yield
    except (RecipeError, MethodError, RuntimeError):
        raise
    except Exception as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        help = "check the task, its data and the network; a task file next to the recipe needs no network"
        title = f"lm-evaluation-harness cannot run `{task}`"
        found = Diagnostic("R892", title, notes=(f"the reason given: {lines[0].rstrip('.')}",), help=help)
        raise RecipeError([found], Exit.FAILED) from error


@contextlib.contextmanager
def _confined(offline: bool) -> Iterator[None]:
    """The harness without its bars and log lines, and without the ways by which data becomes code:
    its templates run in a sandbox, and no metric is loaded from the hub."""
    import datasets.config
    import evaluate  # type: ignore[import-not-found,unused-ignore]
    from jinja2 import BaseLoader, StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment
    from lm_eval import utils

    def refuse(*args: Any, **options: Any) -> Any:
        raise ValueError("a metric of the hub is code, and is not run")

    safe = ImmutableSandboxedEnvironment(loader=BaseLoader(), undefined=StrictUndefined, keep_trailing_newline=True)
    safe.filters.update(utils.env.filters)
    before = utils.env, evaluate.load, datasets.config.HF_HUB_OFFLINE
    levels = {name: logging.getLogger(name).level for name in _LOGGERS}
    utils.env, evaluate.load, datasets.config.HF_HUB_OFFLINE = safe, refuse, before[2] or offline
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        with quiet(), contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        utils.env, evaluate.load, datasets.config.HF_HUB_OFFLINE = before
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)


def _error(code: str, title: str, help: str) -> RecipeError:
    return RecipeError([Diagnostic(code, title, help=help)], Exit.FAILED)
