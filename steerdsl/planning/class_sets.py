"""The classes of a labelled data set: their names in a recipe, their rows, and what a plan says of them.

In: a `Classes` step and loaded data. Out: a reference for each class, by name; the descriptions of the steps that make
or use such vectors.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from steerdsl.data import Data, rows
from steerdsl.lang import recipe as r
from steerdsl.lang.diagnostics import nearest
from steerdsl.lang.source import Source
from steerdsl.methods.types import MethodError
from steerdsl.planning import formatting, layer_text
from steerdsl.planning.keys import step_key
from steerdsl.planning.planning import Planning
from steerdsl.planning.samples import OWN, Sample, class_samples, reads_answers, samples_key

LEAST, MOST = 2, 1000
LISTED = 12  # classes that a message names
CORRELATION = "correlation()"  # the path of a claim of classes along a direction
VERSION = 2  # of the arithmetic of classes: raise it when the numbers change


def as_extract(step: r.Classes | r.Components, ref: r.DataRef, name: str = "") -> r.Extract:
    """How one class of prompts is read, in the form of an extraction."""
    return r.Extract(name or step.name, "diffmean", ref, ref, step.position, step.stream, span=step.span)


def class_refs(data: Mapping[str, Data], step: r.Classes, source: Source | None = None) -> dict[str, r.DataRef]:
    """A reference for each class, by its name in the recipe, in the order of the file. Raises MethodError R953 where
    the labels are no classes."""
    found: dict[str, r.DataRef] = {}
    labels = dict.fromkeys(row.label or "" for row in data[step.data.name].rows)
    here = {row.label for row in rows(data[step.data.name], step.data.split, source=source)}
    if not LEAST <= len(labels) <= MOST:
        title = f'"{step.by}" of `{step.data.name}` has {formatting.count(len(labels), "value")}'
        raise MethodError(
            f"{title}, and classes are {LEAST} to {MOST}", "name the field that holds the classes", "R953"
        )
    for label in labels:
        name = class_name(label)
        if name in found:
            other = found[name].side or ""
            title = f"two classes of `{step.data.name}` would be called `{name}`: {_quoted(other)} and {_quoted(label)}"
            raise MethodError(title, "give them labels that differ in letters or digits", "R953")
        if label not in here:
            title = f"the class `{name}` has no prompts in `{step.data.name}.{step.data.split}`"
            raise MethodError(title, "give it more prompts, hold out fewer, or write another `seed:`", "R953")
        found[name] = r.DataRef(step.data.name, step.data.split, label, step.data.reason, span=step.data.span)
    return found


def class_name(label: str) -> str:
    """The name of a class in a recipe: its label with `_` for what a name cannot have."""
    plain = re.sub(r"[^A-Za-z0-9]+", "_", label).strip("_")[:60]
    return plain if plain[:1].isalpha() else f"class_{plain}".rstrip("_")


def _quoted(label: str) -> str:
    return f'"{label[:40]}"'


def describe_classes(p: Planning, s: r.Classes) -> tuple[Any, ...]:
    """Each class with its prompts; the vectors that later steps name are those of a class."""
    try:
        refs = class_refs(p.data, s, p.source)
    except MethodError as error:
        p.error(error.code, error.problem, s.span, help=error.way_out)
        return "extract", f"extract diffmean from classes of {s.data.name}", [], None, True
    facts = [("method", "each class's mean less the mean of all class means, every class counted once")]
    inputs: list[str] = []
    answers: list[Sample] = []
    for name, ref in refs.items():
        found = class_samples(p.data, as_extract(s, ref), ref, p.source)
        p.fitted.add(s.name, found, first=name == next(iter(refs)))
        answers += [sample for sample in found if sample.response is not None]
        inputs.append(samples_key(found))
        if len(inputs) <= LISTED:
            facts.append((f"{s.name}.{name}", f"{formatting.count(len(found), 'prompt')} ({s.data.reason})"))
    if len(refs) > LISTED:
        facts.append(("and", f"{len(refs) - LISTED} classes more"))
    facts += layer_text.joined(p, answers)
    facts += [("position", formatting.position(s.position)), ("stream", formatting.stream(s.stream))]
    facts.append(("layers", layer_text.extraction_layers(p, as_extract(s, s.data))))
    key = p.step_key("classes", VERSION, inputs=inputs, position=s.position, stream=s.stream, **_own(s))
    _name_members(p, s.name, refs, key)
    return "extract", f"extract diffmean from classes of {s.data.name} by {s.by}", facts, key, True


def describe_axes(p: Planning, s: r.ClassAxes) -> tuple[Any, ...]:
    facts = [
        ("method", "principal axes of the class vectors about their mean, at each layer"),
        ("sign", "positive toward the later half of the classes, in the order of the file"),
        ("k", str(s.k)),
    ]
    key = step_key("class axes", VERSION, {}, classes=p.keys.get(s.classes), k=s.k)
    return "extract", f"extract pca from {s.classes}", facts, key, False


def describe_components(p: Planning, s: r.Components) -> tuple[Any, ...]:
    found = class_samples(p.data, as_extract(s, s.data), s.data, p.source)
    p.fitted.add(s.name, found, first=True)
    many = f"the first {s.k}" if s.k is not None else f"as many as explain {formatting.percent(s.explained)}"
    facts = [
        ("method", f"principal axes of the prompts' activations about their mean, at each layer: {many}"),
        ("prompts", f"{formatting.count(len(found), 'prompt')} of {formatting.data(s.data)} ({s.data.reason})"),
    ]
    facts += layer_text.joined(p, [sample for sample in found if sample.response is not None])
    facts += [("position", formatting.position(s.position)), ("stream", formatting.stream(s.stream))]
    size = {"k": s.k, "explained": s.explained}
    own = _own(s)
    key = p.step_key(
        "components", VERSION, input=samples_key(found), position=s.position, stream=s.stream, **size, **own
    )
    return "extract", f"pcs of {s.data.name}", facts, key, True


def describe_each(p: Planning, s: r.EachOrthogonal) -> tuple[Any, ...]:
    facts = [("meaning", f"each class vector of {s.classes} without its part along {formatting.vector(s.against)}")]
    key = step_key("each orthogonal", VERSION, p.keys, classes=p.keys.get(s.classes), against=s.against)
    members = [name.partition(".")[2] for name in p.keys if name.startswith(f"{s.classes}.")]
    _name_members(p, s.name, members, key)
    return "bind", f"orthogonalize {s.classes} against {formatting.vector(s.against)}", facts, key, False


def _own(s: r.Classes | r.Components) -> dict[str, Any]:
    return {"answers": OWN} if reads_answers(as_extract(s, s.data)) else {}


def member_keys(name: str, members: Iterable[str], key: str | None) -> dict[str, str]:
    """The key of each class vector of a name, by what the recipe calls it."""
    return {f"{name}.{member}": step_key("class", VERSION, {}, of=key, name=member) for member in members}


def _name_members(p: Planning, name: str, members: Any, key: str | None) -> None:
    """Give each class vector a key, and report every use of a class that is not there (R954)."""
    known = list(members)
    p.keys = {k: v for k, v in p.keys.items() if not k.startswith(f"{name}.")}
    p.keys |= member_keys(name, known, key)
    for ref in _named(p.recipe, name):
        member = ref.name.partition(".")[2]
        if member not in known:
            near = nearest(member, known)
            few = ", ".join(f"`{word}`" for word in known[:LISTED]) + (", …" if len(known) > LISTED else "")
            help = f"did you mean `{name}.{near}`?" if near else f"its classes are {few}"
            p.error("R954", f"`{name}` has no class `{member}`", ref.span, help=help)
    for check in (value for value in _values(p.recipe) if isinstance(value, r.Check)):
        for term in (*check.left.terms, *check.right.terms):
            if term.path[:2] == (CORRELATION, name) and set(term.path[4::2]) != set(known):
                odd = min(set(term.path[4::2]) ^ set(known))
                title = f"`{name}` has {'no' if odd not in known else 'another'} class `{odd}`"
                help = f"give one number for each of its {len(known)} classes"
                p.error("R954", title, check.span, help=help)


def _named(recipe: r.Recipe, name: str) -> Iterator[r.VectorRef]:
    """Every reference in a recipe to a vector of a class."""
    yield from (v for v in _values(recipe) if isinstance(v, r.VectorRef) and v.name.startswith(f"{name}."))


def _values(value: Any) -> Iterator[Any]:
    """A value of a recipe and everything in it."""
    yield value
    inside: Any = ()
    if isinstance(value, Mapping):
        inside = value.values()
    elif isinstance(value, list | tuple):
        inside = value
    elif is_dataclass(value) and not isinstance(value, type):
        inside = (getattr(value, own.name) for own in fields(value))
    for item in inside:
        yield from _values(item)
