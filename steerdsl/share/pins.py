"""Pins: everything that a result depends on, flat, one name and one value each.

In: what a record says of a run before it begins (`running.record.described`), from a plan or from a
record.json. Out: pins, and how two sets of them differ, the gravest first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from steerdsl.registry import Kind, entries
from steerdsl.store.pairs import pairs

Pin: TypeAlias = str | int | float | bool | None
Severity = Literal["meaning", "last bits", "nothing"]

SEVERITIES: Mapping[Severity, str] = {
    "meaning": "changes what is computed",
    "last bits": "may change the last bits, and with them a token",
    "nothing": "changes no number",
}
_MODEL = (
    *("id", "revision", "weights_sha256", "dtype", "family", "n_layers", "d_model"),
    *("tokenizer_sha256", "template_sha256"),
)
_DRESS = ("adapter", "adapter_revision", "adapter_sha256", "quantization")  # pins where the recipe gives them
_RUN = ("batch_size", "seed")
# No pins, though old locks have them: where a recipe runs, and which answers are kept.
FORMER = frozenset(("run.keep_unsafe", "run.on"))
# Where the same weights are is shown, and changes nothing.
_PLACE = ("model.id", "model.revision")
_BITS = ("model.dtype", "run.batch_size", "run.on")
# Labels under which the plan explains a word of the registry.
_EXPLAINED: Mapping[str, Kind] = {"method": "extract", "criterion": "select", "metric": "metric"}


@dataclass(frozen=True, slots=True)
class PinDifference:
    """A pin that differs: `before` is the lock's or the record's value, `now` this machine's; None
    where one of them has no such pin, or says nothing there. `both`: both have the pin."""

    name: str
    before: Pin
    now: Pin
    severity: Severity
    both: bool = True


def pins(described: Mapping[str, Any]) -> dict[str, Pin]:
    """Every pin by name. `described` is a record, or the part of one that is known before the run."""
    return dict(sorted(_pins(described), key=lambda pin: pin[0]))


def _pins(described: Mapping[str, Any]) -> Iterator[tuple[str, Pin]]:
    yield "recipe.sha256", described["recipe"]["sha256"]
    yield from (("model." + name, described["model"][name]) for name in _MODEL)
    if "stop_ids" in described["model"]:
        yield "model.stop_ids", str(described["model"]["stop_ids"]).strip("[]()").rstrip(",")
    given = ((name, described["model"].get(name)) for name in _DRESS)
    yield from (("model." + name, value) for name, value in given if value is not None)
    yield from (("run." + name, described["run"].get(name)) for name in _RUN)
    for room in ("template", "packages", "inputs"):
        named = ((f"{room}.{name}", value) for name, value in described[room].items())
        yield from ((name, value) for name, value in named if name != "template.thinking" or value is not None)
    yield from ((f"params.{name}", str(value)) for name, value in described["plan"]["params"].items())
    for name, facts in described["data"].items():
        fields = ", ".join(f"{role}: {field}" for role, field in sorted(facts["fields"].items()))
        values = {**facts, "fields": fields}
        yield from ((f"data.{name}.{key}", value) for key, value in values.items() if key != "ids")
    seen: dict[str, int] = {}
    for step in described["plan"]["steps"]:
        title = f"{step['verb']} {step['name'] or step['title']}"
        seen[title] = seen.get(title, 0) + 1
        place = f"steps.{title}" + (f" ({seen[title]})" if seen[title] > 1 else "")
        yield from ((f"{place}.{label}", text) for label, text in _settings(step["settings"]).items())
        if step["key"] is not None:
            yield f"{place}.key", step["key"]


def _settings(facts: list[list[str]]) -> dict[str, str]:
    """The settings of a step by label; the lines of one label, and those below it, in one text. A word of the registry
    is pinned without what it means, which another version may say in other words."""
    found: dict[str, list[str]] = {}
    label = ""
    for given, text in facts:
        label = given or label
        found.setdefault(label or "settings", []).append(
            _unexplained(_EXPLAINED[label], text) if label in _EXPLAINED else text
        )
    return {name: " / ".join(lines) for name, lines in found.items()}


def _unexplained(kind: Kind, text: str) -> str:
    """`keyword_rate, words: econ` of `keyword_rate, words: econ: words of the topic per 100 words`."""
    entry = entries(kind).get(re.split(r"\W", text, maxsplit=1)[0])
    return text if entry is None else text.removesuffix(f": {entry.summary}")


def differences(before: Mapping[str, Pin], now: Mapping[str, Pin]) -> list[PinDifference]:
    """What differs, the gravest first. A step's key, which follows from everything that its result
    depends on, is named only where no other pin explains that it differs."""
    same_weights = before.get("model.weights_sha256") == now.get("model.weights_sha256") is not None
    found = [
        PinDifference(name, a, b, _severity(name, same_weights), name in before and name in now)
        for name, a, b in sorted(pairs(before, now), key=lambda pair: pair[0])
        if (name in before) != (name in now) or a != b
    ]
    causes = [d for d in found if not _is_key(d.name) and d.severity != "nothing" and not _is_package(d.name)]
    if causes:
        found = [d for d in found if not _is_key(d.name)]
    return sorted(found, key=lambda d: (list(SEVERITIES).index(d.severity), d.name))


def unmatched(found: Iterable[PinDifference]) -> list[PinDifference]:
    """The pins that one version makes of every recipe and another of none: those that one side lacks, and that come
    from no step, param, file or data set, nor from an option that a recipe may leave out."""
    rooms = ("steps.", "params.", "data.", "inputs.", "model.adapter", "model.quantization", "template.thinking")
    return [d for d in found if not d.both and not d.name.startswith(rooms)]


def _severity(name: str, same_weights: bool) -> Severity:
    if name in ("recipe.sha256", "run.keep_unsafe") or (name in _PLACE and same_weights):
        return "nothing"
    if name in _BITS or _is_package(name) or (name.startswith("steps.") and name.endswith((".batch", ".batches"))):
        return "last bits"
    return "meaning"


def _is_key(name: str) -> bool:
    return name.startswith("steps.") and name.endswith(".key")


def _is_package(name: str) -> bool:
    return name.startswith("packages.")
