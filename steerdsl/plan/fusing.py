"""How the points of a sweep are answered together: which answers, and how many rows at a time.

In: the planned points of a sweep. Out: the number of rows, lines of the plan, and what the content
keys say of the batches. All of it follows from the plan alone, never from what is in the store or
from the memory that happens to be free, so that the same plan makes the same batches.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from steerdsl.lang import recipe as r
from steerdsl.plan import words
from steerdsl.plan.keys import step_key
from steerdsl.plan.plan import PlanStep
from steerdsl.plan.samples import Sample, samples
from steerdsl.store.results import content_key

if TYPE_CHECKING:
    from steerdsl.plan.planner import Planning

MOST_ROWS = 288  # measured on two cores with the default model: larger batches gain nothing
MEMORY = 2**32  # bytes for the rows of one batch, by an estimate that is two or three times too high
TEMPLATE = 64  # tokens, about, that a chat template puts round a prompt

Points = Sequence[Sequence[PlanStep]]


@dataclass(frozen=True, slots=True)
class Asked:
    """What one step asks at every point: `steers` answers to each of `found`."""

    name: str
    ref: r.DataRef
    found: tuple[Sample, ...]
    steers: int
    max_tokens: int
    greedy: bool


def fuses(steer: str | None, temperature: float) -> bool:
    """Whether answers are made together with those of other points. Sampled ones are not: which
    random numbers a row gets depends on its batch. Unsteered ones are the same at every point."""
    return steer is not None and not temperature


def generation_key(
    model_key: str | None,
    prompts: str,
    steer: str | None,
    settings: Mapping[str, Any],
    batch_size: int,
    together: str | None = None,
) -> str | None:
    """Key of the answers of one variant (the key of its steer, None: unsteered) to a list of prompts.
    The batch is part of it: in bfloat16 a row's tokens can depend on what shares its batch; `together`
    is `batches_key` inside a sweep."""
    if model_key is None:
        return None
    fused = together is not None and fuses(steer, settings["temperature"])
    return step_key(
        "generate",
        2,  # 1: answers of a pass that was not finite could be among them
        {},
        model=model_key,
        prompts=prompts,
        steer=steer,
        batch_size=[batch_size, together] if fused else batch_size,
        settings=dict(settings),
    )


def row_limit(p: Planning, points: Points) -> int:
    """How many rows a batch may have; 0 where no step has answers to make together."""
    asked = [a for a in _asked(p, points[0]) if a.greedy]
    widths = [_width(p, a) for a in asked]
    return max(1, min(MOST_ROWS, MEMORY // _row_bytes(p, max(widths)))) if widths else 0


def prompts_of(steers: int, prompts: int, rows: int, batch_size: int) -> int:
    """How many of the prompts a batch has, each once for every one of at most `rows` steers: no more
    than any other batch, and in every batch about as many."""
    most = max(1, min(batch_size, rows // steers))
    return -(-prompts // -(-prompts // most))


def batches_key(p: Planning, points: Points, rows: int) -> str | None:
    """What the keys of answers say of their batches. Nothing in float32, where the batch changes no
    token; in half precision everything that decides which rows share a batch."""
    keys = [inner.key for point in points for inner in point]
    if not rows or p.dtype == "float32" or p.model_key is None:
        return None
    return content_key({"points": keys, "rows": rows})


def lines(p: Planning, points: Points, rows: int) -> Iterator[tuple[str, str]]:
    """The facts of the plan about batches, a line for each data set of each step that asks."""
    for a in _asked(p, points[0]):
        if not a.greedy:
            yield "batches", f"{a.name}: one point after another, for its answers are sampled"
            continue
        variants = f" × {a.steers} variants" if a.steers > 1 else ""
        every, prompts = len(points) * a.steers, len(a.found)
        total, steers = every * prompts, min(every, rows)
        most = steers * prompts_of(steers, prompts, rows, p.batch_size)
        what = f"{words.count(len(points), 'point')}{variants} × {words.count(prompts, 'prompt')} of {a.ref.name}"
        yield "batches", f"{a.name}: {what} as {words.count(total, 'row')}, {most} at a time"


def _asked(p: Planning, point: Sequence[PlanStep]) -> Iterator[Asked]:
    """What the steps of a point ask of the steered model."""
    for inner in point:
        match inner.step:
            case r.Generate(steer=str()) as s:
                found = samples(p.data, s.data, p.source)
                yield Asked(s.name, s.data, found, 1, s.max_tokens, fuses(s.steer, s.temperature))
            case r.Evaluate() as s:
                steers = [v.steer for v in inner.variants if v.steer is not None]
                greedy = fuses(s.steer, s.options["temperature"])
                for ref in s.data:
                    found = samples(p.data, ref, p.source)
                    yield Asked(s.name, ref, found, len(steers), s.options["max_tokens"], greedy)


def _width(p: Planning, asked: Asked) -> int:
    """No fewer tokens than a row can have: a text has no more tokens than bytes."""
    longest = max(len(sample.prompt.encode()) for sample in asked.found)
    return longest + len((p.recipe.model.system or "").encode()) + TEMPLATE + asked.max_tokens


def _row_bytes(p: Planning, width: int) -> int:
    """Memory of one row of `width` tokens: its cache, one block's working tensors in float32 (attention
    scores among them), and its logits."""
    arch, config = p.facts.arch, p.facts.config.get_text_config()
    heads: int = getattr(config, "num_key_value_heads", None) or arch.n_heads
    inner: int = getattr(config, "intermediate_size", None) or 4 * arch.d_model
    cache = 2 * arch.n_layers * heads * arch.d_head * (4 if p.dtype == "float32" else 2)
    work = 4 * (4 * inner + 8 * arch.d_model + arch.n_heads * width)
    vocab: Any = config.vocab_size
    return width * (cache + work) + 12 * int(vocab)
