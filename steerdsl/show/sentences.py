"""What a run found, in sentences that the terminal and the report share.

In: scores, choices and claims as scores.json and record.json keep them; fields that older or newer runs
lack or add are left alone. Out: one sentence for each evaluation, layer and claim, built from the figures.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from steerdsl.lang.grammar import SIDES
from steerdsl.lang.variants import BASELINE, PROMPTED, RANDOM, in_order, steered
from steerdsl.measure.table import Gap, Row, Table
from steerdsl.measure.table import said as at
from steerdsl.measure.verdict import FAILS, HOLDS, OPEN, outcome, said
from steerdsl.registry import metric_of
from steerdsl.show.numbers import apart, draws, interval, number, p_value, signed

SETTLED = 0.05  # from this p-value on, a difference is said to be open
BESIDE = 2  # data sets besides the first that a sentence names
NAMED = 3  # points of a sweep that a claim names
CALLED = {RANDOM: "random directions", PROMPTED: "prompting"}
_DIRECTION = re.compile(r"\b((?:higher|lower) is [^,:;]+)")


@dataclass(frozen=True, slots=True)
class ClaimSentence:
    """A claim and how it ended: `holds`, `fails` or `not settled`; `found` are the figures behind it."""

    verdict: str
    text: str
    found: str


def family(metric: str) -> str:
    """The metric's name in the registry: without the options that tell two uses of it apart."""
    return metric.partition("(")[0].partition(".")[0]


def direction(metric: str) -> str:
    """Which way is which, as its summary says it: `higher is better`; nothing where it does not."""
    entry = metric_of(metric)
    found = _DIRECTION.search(entry.summary) if entry else None
    return found[1] if found else ""


def layers(choices: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The layers that each choice kept, by number: name and sentence."""
    for name, choice in choices.items():
        kept = choice.get("chosen") or ()
        numbers = ", ".join(map(str, kept)) or "none"
        of = f"{choice.get('vector', '?')}, by {choice.get('criterion', '?')}"
        yield name, f"layer{'s' * (len(kept) > 1)} {numbers} of {of}"


def answers(made: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """How many answers each data set of answers kept, and why it dropped the others: name and sentence."""
    for name, found in made.items():
        by_side = found.get("kept_by_side", {})
        sides = ", ".join(f"{by_side[side]} {side}" for side in SIDES if side in by_side)
        dropped = "; ".join(f"{count} dropped: {why}" for why, count in found["dropped"].items())
        kept = f"{found['kept']} of {found['made']} answers kept" + (f" ({sides})" if sides else "")
        yield name, kept + (f"; {dropped}" if dropped else "")


def evaluations(scores: Table, checks: Sequence[Mapping[str, Any]] = ()) -> Iterator[tuple[str, str]]:
    """One sentence for each evaluation: its steer against its controls. Steer, with the evaluation where it
    has several, and sentence."""
    every: list[tuple[str, str, str]] = []
    for name, found in scores.evaluations.items():
        told = (_swept if found.swept else _once)(found, name, checks)
        every += [] if told is None else [(told[0], name, told[1])]
    steers = [steer for steer, _, _ in every]
    for steer, name, text in every:
        yield (steer if steers.count(steer) == 1 else f"{steer}, {name}"), text


def _subject(found: Table, name: str, checks: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """The metric and the data set that a sentence is about: those of the first claim about this evaluation,
    else the first metric that says what the answers are, else the first; and its first data set."""
    metrics = {metric: rows.names("data") for metric, rows in found.by("metric").items()}
    for check in checks:
        words = re.findall(rf"\b{re.escape(name)}\.([\w.]+)", str(check.get("claim", "")))
        for metric, _, data in (word.partition(".") for word in words):
            if metric in metrics:
                return metric, data if data in metrics[metric] else metrics[metric][0]
    metric = next((m for m in metrics if (entry := metric_of(m)) and entry.headline), next(iter(metrics)))
    return metric, metrics[metric][0]


def _once(found: Table, name: str, checks: Sequence[Mapping[str, Any]]) -> tuple[str, str] | None:
    metric, data = _subject(found, name, checks)
    by_data = found.select(metric=metric).pivot("data", "variant")
    steer = steered(v for v in by_data[data] if not is_random(v))
    if steer is None:
        return None
    others = [(name, by) for name, by in by_data.items() if name != data and steer in by]
    shown = [sentence(by_data[data], steer), *(_beside(name, by, steer) for name, by in others[:BESIDE])]
    more = [f"and {len(others) - BESIDE} more data sets"] if len(others) > BESIDE else []
    return steer, ". ".join((*shown, *more))


def _beside(data: str, by_variant: Mapping[str, Row], steer: str) -> str:
    """The same of another data set, in fewer words."""
    own = by_variant[steer]
    if own.mean is None:
        return f"On {data}: no figure"
    about = ", ".join(part for part in (_prompts(own), p_value(_p(own, BASELINE))) if part)
    moved = f"On {data} {_moved(_before(by_variant), own.mean)}" + (f" ({about})" if about else "")
    return "; ".join((moved, *([", ".join(_controls(by_variant, own))] if len(by_variant) > 2 else [])))


def _before(by_variant: Mapping[str, Row]) -> float | None:
    return by_variant[BASELINE].mean if BASELINE in by_variant else None


def is_random(variant: str) -> bool:
    """Whether a variant is a random control, of one draw or one of several."""
    return re.fullmatch(rf"{RANDOM}(\W.*|\d+)?", variant) is not None


def sentence(by_variant: Mapping[str, Row], steer: str) -> str:
    """`lowers keyword_rate on econ from 16.1 to 0.811 [0, 1.92] (15 prompts, p < .001); random directions:
    15.7 (p < .001), prompting: 14.8 (p < .001)`."""
    own, before = by_variant[steer], _before(by_variant)
    if own.mean is None:
        return f"has no {own.metric} on {own.data}"
    about = ", ".join(part for part in (_prompts(own), p_value(_p(own, BASELINE))) if part)
    told = "; ".join(part for part in (about, direction(own.metric)) if part)
    size = interval(own.low, own.high)
    moved = f"{own.metric} on {own.data} {_moved(before, own.mean)}"
    moved += "".join((f" {size}" if size else "", f" ({told})" if told else ""))
    controls = ", ".join(_controls(by_variant, own))
    return f"{_verb(before, own.mean, _p(own, BASELINE))} {moved}" + (f"; {controls}" if controls else "")


def _verb(before: float | None, mean: float, p: float | None) -> str:
    if before is None:
        return "has"
    if mean == before:
        return "does not change"
    if p is None:
        return "moves"
    if p >= SETTLED:
        return "does not clearly change"
    return "raises" if mean > before else "lowers"


def _moved(before: float | None, mean: float) -> str:
    if before is None or before == mean:
        return f"at {number(mean)}"
    was, now = apart(before, mean)
    return f"from {was} to {now}"


def _prompts(row: Row) -> str:
    n, every = row.n, len(row.values)
    return f"{n} of {every} prompts" if n < every else f"{n} prompt{'' if n == 1 else 's'}"


def _p(row: Row, other: str) -> float | None:
    """The p-value of a steer's difference from another variant, adjusted where the run has that."""
    gap = row.against.get(other, Gap())
    return gap.p if gap.p_holm is None else gap.p_holm


def _controls(by_variant: Mapping[str, Row], own: Row) -> Iterator[str]:
    """Each control's mean with the p-value of the steer's difference from it; several random draws as one."""
    others = {v: m for v in in_order(by_variant) if v != own.variant and (m := by_variant[v].mean) is not None}
    drawn = [variant for variant in others if is_random(variant)]
    for variant, mean in others.items():
        if variant == BASELINE or variant in drawn[1:]:
            continue
        row = by_variant[variant]
        means, many = row.known_draws, draws(row)
        if variant in drawn and len(drawn) > 1:
            means, many = [others[v] for v in drawn], f"{len(drawn)} draws"
            mean = sum(means) / len(means)
        spread = f"{many}, {number(min(means))} to {number(max(means))}" if len(means) > 1 else ""
        if len(means) == 1 < len(row.draws):
            spread = many
        name = RANDOM if variant in drawn else variant
        about = ", ".join(part for part in (spread, p_value(_p(own, name))) if part)
        yield f"{CALLED.get(name, name)}: {number(mean)}" + (f" ({about})" if about else "")


def _swept(found: Table, name: str, checks: Sequence[Mapping[str, Any]]) -> tuple[str, str] | None:
    """`over angle, 36 points: keyword_rate on econ from 0.3 (210deg) to 15 (30deg); unsteered: 16.1`."""
    metric, data = _subject(found, name, checks)
    rows = found.select(metric=metric, data=data)
    by_point = (point.names("variant") for point in rows.points.values())
    steers = {steered(v for v in names if not is_random(v)) for names in by_point} - {None}
    ends = [(row.mean, at(row.at)) for row in rows if row.variant in steers and row.mean is not None]
    if not ends:
        return None
    steer = str(*steers) if len(steers) == 1 else name  # an axis over steers has another one at each point
    (low, lowest), (high, highest) = (end(ends, key=lambda item: item[0]) for end in (min, max))
    reach = f"from {number(low)} ({lowest}) to {number(high)} ({highest})" if low < high else f"at {number(low)}"
    bases = {row.mean for row in rows if row.variant == BASELINE and row.mean is not None}
    base = f"; unsteered: {number(bases.pop())}" if len(bases) == 1 else ""
    return steer, f"over {', '.join(rows[0].at)}, {len(found.points)} points: {metric} on {data} {reach}{base}"


def claim_figures(check: Mapping[str, Any]) -> str:
    """`0.811 against 8.05; difference -7.24 [-9, -5], p < .001, 15 prompts`, then why it is not settled."""
    left, right = apart(check.get("left"), check.get("right"))
    return "; ".join(part for part in (f"{left} against {right}", evidence(check), said(check)) if part)


def evidence(check: Mapping[str, Any]) -> str:
    """The difference of a claim's two sides with its interval, p-value and prompts; nothing in older records."""
    size, n = interval(check.get("low"), check.get("high")), check.get("n")
    if not size:
        return ""
    level = f" at {100 * check['confidence']:g}%" if check.get("confidence") else ""
    prompts = f"{n} prompts" if isinstance(n, int) else ""
    about = (f"{signed(check.get('by'))} {size}{level}", p_value(check.get("p")), adjusted(check), prompts)
    return "difference " + ", ".join(part for part in about if part)


def adjusted(check: Mapping[str, Any]) -> str:
    """`p = .042 among 3 claims`: the p-value that settles a claim, if the recipe makes others too."""
    p, family = p_value(check.get("p_holm")), check.get("family")
    return f"{p} among {family} claims" if p and isinstance(family, int) and family > 1 else ""


def claims(checks: Sequence[Mapping[str, Any]]) -> Iterator[ClaimSentence]:
    """Each claim once: with its figures, or, where it was checked at the points of a sweep, with how many of
    them it holds at and the first at which it does not."""
    by_text: dict[str, list[Mapping[str, Any]]] = {}
    for check in checks:
        by_text.setdefault(str(check.get("claim", "")), []).append(check)
    for text, every in by_text.items():
        verdicts = [outcome(check) for check in every]
        worst = next((v for v in (FAILS, OPEN) if v in verdicts), HOLDS)
        if len(every) == 1:
            yield ClaimSentence(worst, text, claim_figures(every[0]))
            continue
        bad = [check for check, v in zip(every, verdicts, strict=True) if v != HOLDS]
        named = "; ".join(f"{at(check.get('at') or {})}: {claim_figures(check)}" for check in bad[:NAMED])
        named += f"; and {len(bad) - NAMED} more" if len(bad) > NAMED else ""
        held = f"at {len(every) - len(bad)} of {len(every)} points"
        yield ClaimSentence(worst, text, f"{held}; not at {named}" if bad else held)
