"""The models that a run opens besides its own: judges and classifiers.

In: a recipe, where its files may be, and whether weights may be fetched. Out: each by the name that the recipe gives
it, with what keys depend on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from steerdsl.lang import recipe as r
from steerdsl.lang.diagnostics import Diagnostic, Label, RecipeError, nearest
from steerdsl.lang.reads import calls
from steerdsl.lang.source import Source
from steerdsl.measure.metrics.rubric import judge_of
from steerdsl.models.cache import Progress
from steerdsl.models.catalog import Located, described, locate
from steerdsl.models.catalog import find as find_model
from steerdsl.models.classifiers import read_labels
from steerdsl.models.facts import ModelFacts, read_facts
from steerdsl.planning.plan import RunOptions
from steerdsl.registry import find
from steerdsl.store.results import content_key, file_sha256

LISTED = 12  # labels that a message names
DESCRIBING = ("config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json")


@dataclass(frozen=True, slots=True)
class OtherModel:
    """A model that answers or classifies for a metric, and is not steered. `facts` None for a classifier."""

    located: Located
    facts: ModelFacts | None

    @property
    def key(self) -> str | None:
        """Hash of its weights and of the files that describe it; None while its weights are not here, or not hashed."""
        if self.located.weights_sha256 is None:
            return None
        small = {name: self.located.path / name for name in DESCRIBING}
        hashes = {name: file_sha256(path) for name, path in small.items() if path.is_file()}
        return content_key({"weights": self.located.weights_sha256, "files": hashes})

    @property
    def said(self) -> str:
        """Its revision and weights in words, as far as they are known."""
        weights, revision = self.located.weights_sha256, self.located.revision
        known = [f"revision {revision}"] if revision else []
        known += [f"weights {weights[:12]}"] if weights else []
        return f" ({', '.join(known)})" if known else ""


def other_models(
    recipe: r.Recipe, source: Source, root: Path, options: RunOptions, progress: Progress, fetch: bool
) -> dict[str, OtherModel]:
    """Each model that a metric names, by its name. With `fetch`, its weights are brought here.

    Raises RecipeError: M6xx as for the recipe's own model, R940 for a judge that takes no conversation, R941 for a
    label that a classifier does not have, R942 for a model that is no classifier.
    """
    found: dict[str, OtherModel] = {}
    where: dict[str, Any] = {"base": root, "within": (root, *options.allow)}
    for call in calls(recipe.steps):
        if "classes" in find("metric", call.name).needs:
            name = str(call.options["model"])
            if name not in found:
                found[name] = OtherModel(_classifier(name, where, options, progress, fetch), None)
            _require_label(found[name].located, call, source)
            continue
        judge = judge_of(call.options)
        if judge is None or judge in found:
            continue
        name, digest = judge, None
        if fetch:
            digest = locate(name, **where, offline=options.offline, progress=progress).weights_sha256
        facts = read_facts(name, **where, offline=options.offline)
        if facts.tokenizer is not None and not facts.template:
            label = Label(source, call.span, "asks it")
            title = f"`{name}` has no chat template, so it cannot be asked as a judge"
            raise RecipeError([Diagnostic("R940", title, (label,), help="name a model that is tuned for conversation")])
        if digest is not None:
            facts = replace(facts, located=replace(facts.located, weights_sha256=digest))
        found[name] = OtherModel(facts.located, facts)
    return found


def _classifier(name: str, where: dict[str, Any], options: RunOptions, progress: Progress, fetch: bool) -> Located:
    """A classifier's folder, fetched where it is not here and is needed."""
    if fetch:
        return locate(name, **where, offline=options.offline, progress=progress, steerable=False)
    return find_model(name, **where) or described(name, options.offline)


def _require_label(located: Located, call: r.MetricCall, source: Source) -> None:
    """Raise RecipeError R941 for a label that the classifier does not have."""
    labels, wanted = read_labels(located), str(call.options["label"])
    if labels.place(wanted) is not None:
        return
    close = nearest(wanted, labels.names)
    more = f" and {len(labels.names) - LISTED} more" if len(labels.names) > LISTED else ""
    listed = ", ".join(labels.names[:LISTED]) + more
    help = f'did you mean "{close}"?' if close else f"its labels are {listed}"
    label = Label(source, call.span, "reads its probability")
    raise RecipeError([Diagnostic("R941", f"`{located.id}` has no label `{wanted}`", (label,), help=help)])


def keys(metrics: Sequence[r.MetricCall], others: Mapping[str, OtherModel]) -> dict[str, str | None]:
    """What the figures of some metrics depend on besides the run's own model."""
    named = (call.options.get("judge", call.options.get("model")) for call in metrics)
    return {name: others[name].key for name in named if name is not None and name in others}
