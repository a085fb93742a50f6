"""What a judge needs before anything runs: the text of its rubric.

In: the metrics of an evaluation. Out: the same with rubrics read from their files, so that keys depend on every word,
or what is wrong with them; lines of the plan.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from steerdsl.data import files
from steerdsl.data.faults import Fault, diagnostics
from steerdsl.data.trait import RUBRIC, read_trait
from steerdsl.lang import recipe as r
from steerdsl.lang.diagnostics import Diagnostic, Label, RecipeError, nearest
from steerdsl.lang.source import Source
from steerdsl.measure import rubric
from steerdsl.measure.metrics.rubric import judge_of, rubrics
from steerdsl.measure.ready_rubrics import AXBENCH, READY
from steerdsl.registry import find

LARGEST = 64 << 10  # bytes of a rubric: some pages
TRAIT = ".json"
TEXT = "text"  # the option that holds it; no recipe can write it


def with_rubric(
    call: r.MetricCall, root: Path, allowed: tuple[Path, ...], source: Source, *, alone: bool = False
) -> r.MetricCall:
    """A call of `judge` with the text of its rubric; any other metric as it is. `alone`: there is no unsteered answer
    beside the one that is marked.

    Raises RecipeError: D501, D502 and D504 as for data files, D506, D552 and D553 as for trait files, S340 (an unknown
    field), S341 (no `{answer}`), S343 (no ready rubric of this name), S353 (`{baseline}` where the answer is alone).
    """
    named = call.options.get("rubric")
    if named is None:
        return call
    if named in READY:
        return replace(call, options={**call.options, TEXT: READY[named].text})
    if not find("metric", call.name).args[0].names_file(named):
        raise RecipeError([_unknown(call, named, source)])
    found = _read(named, root, allowed)
    if not isinstance(found, str):
        raise RecipeError(diagnostics(found, call.span, source, "this rubric"))
    wrong = _faults(named, found, call, source)
    if alone and "baseline" in rubric.fields(found):
        title = f"{named} compares with the unsteered answer, and answers are kept one by one"
        label = Label(source, call.span, "this rubric")
        wrong.append(Diagnostic("S353", title, (label,), help="write a rubric without {baseline}"))
    if wrong:
        raise RecipeError(wrong)
    return replace(call, options={**call.options, TEXT: found})


def _read(name: str, root: Path, allowed: tuple[Path, ...]) -> str | list[Fault]:
    """The text of a rubric; of a trait file its own."""
    path = files.find(name, root, allowed)
    if isinstance(path, Fault):
        return [path]
    raw = files.read(path, name)
    if isinstance(raw, Fault):
        return [raw]
    if name.lower().endswith(TRAIT):
        trait = read_trait(raw, name)
        if isinstance(trait, list):
            return trait
        if trait.rubric is None:
            return [
                Fault(
                    "D552",
                    f"{name} has no `{RUBRIC}`, which is the rubric of a trait file",
                    "write one, or name a text file",
                )
            ]
        return trait.rubric
    if len(raw) > LARGEST:
        title = f"{name} has {len(raw):,} bytes, and a rubric has at most {LARGEST:,}"
        return [Fault("D530", title, "say in a page or two what the judge is asked")]
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        return [Fault("D504", f"line {line} of {name} is not UTF-8", "save the file as UTF-8", line)]


def _faults(name: str, text: str, call: r.MetricCall, source: Source) -> list[Diagnostic]:
    """What is wrong with the text of a rubric, all of it."""
    label = (Label(source, call.span, "this rubric"),)
    found = []
    for field in rubric.fields(text):
        if field not in rubric.FIELDS:
            close = nearest(field, rubric.FIELDS)
            known = "{question}, {answer} and {baseline}"
            help = (
                f"did you mean {{{close}}}?" if close else f"a rubric may hold {known}; write other braces with a space"
            )
            found.append(Diagnostic("S340", f"{name} has an unknown field {{{field}}}", label, help=help))
    if "answer" not in rubric.fields(text):
        title = f"{name} is empty" if not text.strip() else f"{name} does not show the answer to the judge"
        found.append(Diagnostic("S341", title, label, help="write {answer} where the judge is to read it"))
    return found


def _unknown(call: r.MetricCall, named: str, source: Source) -> Diagnostic:
    close = nearest(named, READY)
    help = (
        f'did you mean "{close}"?'
        if close
        else f"name a file (.md, .txt, a trait file .json), or one of {', '.join(READY)}"
    )
    return Diagnostic("S343", f"there is no ready rubric `{named}`", (Label(source, call.span, ""),), help=help)


def facts(call: r.MetricCall, endpoint: str | None, others: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Who marks by what, as the plan prints it; nothing for other metrics."""
    if "classes" in find("metric", call.name).needs:
        name = str(call.options["model"])
        return [("classifier", f"{name}, opened by this run{others[name].said if name in others else ''}")]
    if "marks" not in find("metric", call.name).needs:
        return []
    lines = []
    for own in rubrics(call.options):
        if own.name in READY:
            whence = READY[own.name].source
        else:
            digest = hashlib.sha256(own.text.encode()).hexdigest()[:12]
            whence = AXBENCH if call.name == "axbench" else f"the recipe's own, sha256 {digest}"
        lines.append(("rubric", f"{own.name}: {rubric.said(own.scale)} ({whence})"))
    by = judge_of(call.options)
    name = by or endpoint or "none named yet (--judge-url, --judge-model)"
    place = "" if by is None else f", opened by this run{others[by].said if by in others else ''}"
    how = "the number it writes"
    if rubrics(call.options)[0].expected:
        how = "the expectation over number tokens where their probabilities are known, else the number it writes"
    return [*lines, ("judge", f"{name}{place}: at temperature 0, one answer at a time; a mark is {how}")]
