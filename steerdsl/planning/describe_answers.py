"""The steps of a plan that ask the model for answers or read prompts: `generate`, `evaluate` and `read`.

In: a recipe step and what the planning knows. Out: what `describe` makes a `PlanStep` of; errors go to the planning.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from steerdsl.lang import recipe as r
from steerdsl.lang.grammar import SIDES
from steerdsl.lang.reads import answered, asks_endpoint, metrics_of, needs
from steerdsl.lang.variants import PROMPTED
from steerdsl.lang.vocabulary import ANSWER
from steerdsl.measure import stats, thoughts
from steerdsl.planning import (
    answer_data,
    controls,
    formatting,
    layer_text,
    other_models,
    rubrics,
    shared_batches,
    task_files,
)
from steerdsl.planning.classes import extraction
from steerdsl.planning.planning import Planning
from steerdsl.planning.requests import evaluation_settings, references
from steerdsl.registry import find

READ_PARTS = {
    "answer": "the answer without its thoughts (`<think>…</think>`), which the record keeps",
    "thoughts": "the thoughts of each answer (`<think>…</think>`), without the answer itself",
    "both": "thoughts and answer, as one text",
}


def _parted(p: Planning, s: r.Evaluate) -> bool:
    """Whether answers may hold thoughts: the recipe asks for them, or the model, its prompts or its instructions name a
    tag of thoughts. Elsewhere the text is all answer."""
    if s.options["part"] != ANSWER:
        return True
    words = [p.facts.template or "", p.recipe.model.system or "", s.options.get("instruction") or ""]
    added = [] if p.facts.tokenizer is None else map(str, p.facts.tokenizer.added_tokens_decoder.values())
    asked = (sample.prompt for ref in s.data for sample in p.samples(ref)[0])
    return answered(s.metrics) and any(map(thoughts.named_in, (*words, *added, *asked)))


def _sampling(s: Mapping[str, Any]) -> str:
    if not s["temperature"]:
        return "greedy"
    return f"temperature {s['temperature']:g}, seed {s['seed']}"


def generate(p: Planning, s: r.Generate) -> tuple[Any, ...]:
    """Verb, title, facts and key of a step of answers, and the requests that it makes."""
    found, _ = p.samples(s.data)
    reason = p.fitted.reason(s.data, found)
    settings = {"max_tokens": s.max_tokens, "temperature": s.temperature, "n": s.n, "seed": s.seed}
    facts: list[tuple[str, str]] = [
        ("prompts", f"{p.most(s.data)}{len(found)} of {formatting.data(s.data)} ({reason})"),
        ("variant", s.steer or "baseline (no steering)"),
        (
            "answers",
            f"{formatting.count(s.n, 'answer')} a prompt, at most {s.max_tokens} tokens, {_sampling(settings)}",
        ),
    ]
    asked = shared_batches.requests(p, s)
    key = shared_batches.generation_key(p.model_key, asked[0].what, p.shared.get(asked[0].group))
    title = f"generate from {formatting.data(s.data)}" + (f" with {s.steer}" if s.steer else "")
    return "generate", title, facts, key, True, {"requests": asked}


def answers(p: Planning, s: r.AnswerData) -> tuple[Any, ...]:
    """As `generate`, for a data set whose rows are the answers: whose they are, how they are asked for, and which of
    them stay. Its batches are its own, since what comes after it reads what it makes."""
    sides = answer_data.asked(s, p.data, p.source)
    asked = tuple(shared_batches.made_request(p, s, side) for side in sides)
    questions = len(sides[0].found) // len(sides[0].systems)
    settings = {"max_tokens": s.max_tokens, "temperature": s.temperature, "n": s.n, "seed": s.seed}
    facts: list[tuple[str, str]] = [
        ("questions", f"{questions} of {formatting.data(s.data)} ({s.data.reason})"),
        ("variant", s.steer or "baseline (no steering)"),
    ]
    for side in sides:
        name = f"{side.side} ".lstrip()
        facts += [(f"{name}system", "the recipe's own, or none" if each is None else each) for each in side.systems]
        facts += [(f"{name}prefix", side.prefix)] if side.prefix is not None else []
    each = f"{formatting.count(s.n, 'answer')} to each question under each system prompt"
    count = sum(len(side.found) for side in sides) * s.n
    facts.append(("answers", f"{each}: {count}, at most {s.max_tokens} tokens, {_sampling(settings)}"))
    for test in s.keep:
        facts.append((f"{test.side} kept".lstrip(), f"{test.text}: {find('metric', test.metric.name).summary}"))
    metrics = metrics_of(s)
    facts += dict.fromkeys(line for call in metrics for line in rubrics.facts(call, p.judge, p.others))
    named = other_models.keys(metrics, p.others)
    endpoint = p.judge if asks_endpoint(metrics) else None
    batches = shared_batches.together(p, asked)
    facts += shared_batches.told(p, asked, batches)
    made = [shared_batches.generation_key(p.model_key, request.what, batches[request.group]) for request in asked]
    key = p.step_key(
        "answers",
        1,
        asked=[[side.side, own] for side, own in zip(sides, made, strict=True)],
        golds=[[sample.row.answer for sample in side.found] for side in sides],
        keep=[[test, find("metric", test.metric.name).version] for test in s.keep],
        **({"marked by": [endpoint, named]} if named or needs(metrics, "marks") else {}),
    )
    if None in named.values():  # weights that are not here
        key = None
    title = f"answers to {formatting.data(s.data)}" + (f" with {s.steer}" if s.steer else "")
    return "answer", title, facts, key, True, {"requests": asked, "shared": batches}


def evaluate(p: Planning, s: r.Evaluate) -> tuple[Any, ...]:
    """As `generate`; the requests are those of every variant that is compared."""
    settings = evaluation_settings(s)
    steer = p.named[s.steer]
    assert isinstance(steer, r.Steer)
    variants = controls.variants(s, steer, p.named, p.recipe.data)
    facts: list[tuple[str, str]] = [(variant.name, _meaning(variant, s)) for variant in variants if not variant.draw]
    if s.options["controls"] in ("all", "prompting") and not any(v.instruction for v in variants):
        facts.append((PROMPTED, "no such control: the steer does not say what to ask for; give `instruction:`"))
    inputs, golds, right = {}, {}, {}
    compared = needs(s.metrics, "golds") or needs(s.metrics, "choices")
    for ref in s.data:
        found, inputs[ref.name] = p.samples(ref)
        if compared:
            golds[ref.name] = [[sample.row.answer, sample.row.choices] for sample in found]
        facts.append(("prompts", f"{len(found)} of {formatting.data(ref)} ({p.fitted.reason(ref, found)})"))
        p.say(filter(None, [p.fitted.warning(s.name, ref, found, p.source)]))
        if needs(s.metrics, "letters"):
            facts.append(task_files.answer_form(ref, p.data))
            facts += layer_text.joined(p, found)
            right[ref.name] = task_files.rights(p.data[ref.name], found)
    if answered(s.metrics):
        facts.append(("answers", f"one a prompt, at most {settings['max_tokens']} tokens, {_sampling(settings)}"))
    parted = _parted(p, s)
    if parted:
        facts.append(("read", READ_PARTS[s.options["part"]]))
    p.say(task_files.unaskable(s, p.data, p.source) + task_files.unmatchable(s, p.data, p.source))
    if needs(s.metrics, "references"):
        facts.append(
            ("references", f"{s.options['references']} unsteered answers a prompt, {_sampling(references(s))}")
        )
    for call in s.metrics:
        entry = find("metric", call.name)
        shown = "".join(f", {k}: {v}" for k, v in formatting.arguments(entry, call.options))
        facts.append(("metric", f"{call.name}{shown}: {entry.summary}"))
        facts += task_files.facts(call) + rubrics.facts(call, p.judge, p.others)
    judge = (p.judge or "none named yet (--judge-url, --judge-model)") if needs(s.metrics, "judge") else None
    if judge:
        facts.append(("judge", f"{judge}: at temperature 0, blind, each pair of answers in both orders"))
    endpoint = p.judge if asks_endpoint(s.metrics) else None
    named = other_models.keys(s.metrics, p.others)
    facts.append(("intervals", "95%, over prompts; differences are paired; Holm over all of them"))
    asked = shared_batches.requests(p, s, variants)
    shares = [p.shared[group].key for group in sorted({q.group for q in asked} & p.shared.keys())]
    key = p.step_key(
        "evaluate",
        5,
        variants=[[v.steer_key(p.keys), v.instruction] for v in variants],
        inputs=inputs,
        golds=golds,
        **({"right": right} if right else {}),
        statistics=stats.VERSION,
        batches=None if p.dtype == "float32" else [p.batch_size, shares],
        settings=settings,
        references=references(s),
        judge=judge,
        **({"marked by": [endpoint, named]} if named or needs(s.metrics, "marks") else {}),
        **({"part": [s.options["part"], thoughts.VERSION]} if parted else {}),
        metrics=[(c.name, find("metric", c.name).version, c.options) for c in s.metrics],
    )
    if None in named.values():  # weights that are not here
        key = None
    on = ", ".join([formatting.data(ref) for ref in s.data] or [str(call.task) for call in s.metrics])
    return "evaluate", f"evaluate {s.steer} on {on}", facts, key, True, {"variants": variants, "requests": asked}


def read(p: Planning, s: r.Read) -> tuple[Any, ...]:
    """Where prompts lie along a direction."""
    source = extraction(p.named.values(), s.vector.name)
    position = s.position or (source.position if source else r.Position("last_token"))
    assert s.vector.layers is not None
    facts = [("layer", layer_text.layer_numbers(p, s.vector.layers)), ("position", formatting.position(position))]
    inputs: dict[str, Any] = {}
    for ref in s.data:
        apart = ref.side is None and p.data[ref.name].spec.two_sided
        for own in [replace(ref, side=side) for side in SIDES] if apart else [ref]:
            found, inputs[f"{own.name} {own.side}"] = p.samples(own)
            prompts = p.many(own, found)
            facts.append(("prompts", f"{prompts} of {formatting.data(own)} ({p.fitted.reason(own, found)})"))
            p.say(filter(None, [p.fitted.warning(s.name, own, found, p.source)]))
    facts.append(("figures", "coordinates along the unit direction; accuracy at the middle of the fitted class means"))
    facts.append(("intervals", "95%, over prompts; of AUROC Newcombe's"))
    key = p.step_key("read", 1, vector=s.vector, inputs=inputs, position=position, statistics=stats.VERSION)
    return "read", f"{formatting.vector(s.vector)} on {', '.join(map(formatting.data, s.data))}", facts, key, True


def _meaning(variant: controls.Variant, s: r.Evaluate) -> str:
    if variant.instruction is not None:
        return f'control: no steering, "{variant.instruction}" before each prompt'
    if variant.draw is not None:
        seeds = "seed 0" if s.options["draws"] == 1 else f"seeds 0 to {s.options['draws'] - 1}"
        draws = f"{formatting.count(s.options['draws'], 'draw')}, {seeds}"
        return f"control: {variant.steer} with its directions turned at random, norms and cosines kept ({draws})"
    return "the steer" if variant.steer else "no steering"
