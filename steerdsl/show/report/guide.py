"""The top of the report: what came out, what was done, and how to read the page.

In: the files of a run. Out: the summary that the terminal prints too, the recipe, the steps in order, and
what the words and figures of the tables mean.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from steerdsl.forms.record import RecordedStep
from steerdsl.lang.variants import BASELINE, PROMPTED, RANDOM
from steerdsl.measure.table import Table
from steerdsl.registry import metric_of
from steerdsl.show import sentences, summary
from steerdsl.show.report.code import code
from steerdsl.show.report.html import Html, section, table, tag
from steerdsl.store.finished_run import Finished

# What is shown next to a steer in tables and pictures.
CONTROLS: Mapping[str, str] = {
    BASELINE: "the model without any steer",
    RANDOM: "random directions of the same norms, at the same places as the steer's",
    PROMPTED: "no steer: the model is asked, in words before the prompt, for what the steer should do",
}


def found(run: Finished) -> Html:
    """What came out, a line for each choice, steer and claim."""
    record = run.record
    parts = [*sentences.layers(record["choices"])]
    parts += sentences.evaluations(run.scores, record["checks"])
    if (pair := summary.pair(run.answers)) is not None:
        parts += [("prompt", pair.prompt), (BASELINE, summary.short(pair.before))]
        parts.append((pair.steer, summary.short(pair.after)))
    return section("Summary", tag("p", summary.head(record)), table((), parts, class_="facts") if parts else "")


def recipe(run: Finished) -> Html:
    """The recipe's text, as it was written."""
    text = run.record["recipe"]["text"]
    return section("Recipe", code(text) if text else "")


def guide(run: Finished) -> Html:
    """What was done, step by step, and what the tables' words and figures mean."""
    steps = [tag("li", _step(step)) for step in run.record["plan"]["steps"]]
    done = [tag("h3", "what was done"), tag("ol", *steps)] if steps else []
    words = list(_words(run.scores))
    read = [tag("h3", "what the tables say"), table((), words, class_="facts")] if words else []
    return section("How to read this page", *done, *read)


def _step(step: RecordedStep) -> str:
    name = f" {step['name']}" if step["name"] else ""
    # A steer's title counts its operations, and its numbered settings are these.
    ops = [text for label, text in step["settings"] if label.isdigit()]
    return f"{step['verb']}{name}: {'; '.join(ops) if ops and step['verb'] == 'steer' else step['title']}"


def _words(scores: Table) -> Iterator[tuple[str, str]]:
    """Each metric with its unit and which way is which, then each control, then the interval."""
    for metric in scores.names("metric"):
        entry = metric_of(metric)
        if entry is not None:
            yield metric, entry.summary
    variants = scores.names("variant")
    for control, meaning in CONTROLS.items():
        if control in variants:
            yield control, meaning
    if scores:
        yield "[low, high]", "95% interval of the mean, over prompts"
        yield "p", "how often chance alone would give so large a difference; under .05 it is shown dark"
