"""A plan as text: every step in order, every default, and why it will run.

In: a `Plan`. Out: a rich renderable that reads as well without colour.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from steerdsl.lang.recipe import field_text
from steerdsl.models.sites import STREAMS, Architecture, spans
from steerdsl.models.templates import DATE, reads_date, thinks
from steerdsl.planning.formatting import count, percent
from steerdsl.planning.plan import Plan, PlanStep
from steerdsl.show.costs import Costs

LONGEST = 1000  # characters of a text


def plan_view(plan: Plan, costs: Costs | None = None) -> Group:
    """The whole plan; with `costs`, what each step will take too."""
    parts: list[RenderableType] = [_grid("model", _model(plan)), _grid("data", _data(plan))]
    if plan.recipe.params:
        parts.append(_grid("params", list(plan.recipe.params.items())))
    parts += [_step(step, () if costs is None else costs.lines(step.number)) for step in plan.steps]
    todo = [s for s in plan.steps if s.weights and not s.done]
    done = [s for s in plan.steps if s.done]
    parts.append(Text(f"{count(len(plan.steps), 'step')}: {len(todo)} to run on the model, {len(done)} already done"))
    if costs is not None:
        parts += [Text(line) for line in costs.whole()]
    return Group(*parts)


def _model(plan: Plan) -> list[tuple[str, str]]:
    located, arch = plan.model.located, plan.model.arch
    spec = plan.recipe.model
    template = plan.model.template_sha256
    weights = located.weights_sha256
    rows = [
        ("id", f"{located.id} ({arch.family}, {arch.n_layers} layers × {arch.d_model})"),
        ("revision", located.revision or "none recorded"),
        ("weights", f"sha256 {weights[:16]}…" if weights else _weights(plan)),
        *_dress(plan),
        ("dtype", f"{plan.dtype} (edits in float32, statistics in float64)"),
        ("device", _device(plan)),
    ]
    if lacking := _lacking(arch):
        rows.append(("streams", lacking))
    if plan.chat and template:
        day = f", its date {DATE:%d %B %Y}" if reads_date(plan.model.template) else ""
        rows.append(("prompts", f"chat template, sha256 {template[:16]}…{day}"))
        rows.append(("system", repr(spec.system) if spec.system else "the template's own, if it has one"))
        rows += [("thinking", text) for text in _thinking(plan)]
    else:
        why = ": the model has no chat template" if spec.template == "chat" else ""
        rows.append(("prompts", "raw text" + (" and a newline" if spec.template == "newline" else "") + why))
    rows.append(("stops", f"answers end at {_ends(plan)}; the model's files set nothing else of generation"))
    return rows


def _dress(plan: Plan) -> list[tuple[str, str]]:
    """The adapter on the model and the quantisation of its weights, where there are any."""
    rows, adapter, quantization = [], plan.model.located.adapter, plan.model.quantization
    if adapter is not None:
        at = f" at {adapter.revision}" if adapter.revision else ""
        base = f", trained on {adapter.base}" if adapter.base else ""
        rows.append(("adapter", f"{adapter.id}{at}, sha256 {adapter.sha256[:16]}…{base}"))
    if quantization is not None:
        rows.append(("quantised", quantization))
    return rows


def _thinking(plan: Plan) -> list[str]:
    """Whether the model thinks before it answers; nothing where its template says nothing of that."""
    if (tokenizer := plan.model.tokenizer) is None or (own := thinks(tokenizer)) is None:
        return []
    if plan.recipe.model.thinking is not None:
        return [plan.recipe.model.thinking]
    return ["always: the template begins each answer with <think>" if own == "always" else f"{own}, as in the template"]


def _lacking(arch: Architecture) -> str:
    """The streams that the model's blocks lack, with the layers where only some do."""
    found = []
    for stream in STREAMS:
        layers = arch.lacking(stream)
        if layers:
            found.append(stream if len(layers) == arch.n_layers else f"{stream} (layers {spans(layers)})")
    return f"no {', no '.join(found)}" if found else ""


def _ends(plan: Plan) -> str:
    """The tokens that end an answer, with their ids."""
    ids, tokenizer = plan.model.stops.end, plan.model.tokenizer
    if not ids:
        return "no token"
    names = [f"token {i}" if tokenizer is None else f"{tokenizer.convert_ids_to_tokens(i)} ({i})" for i in ids]
    return " or ".join(names)


def _device(plan: Plan) -> str:
    """Where the model will run, and on a processor with how many threads, since they decide last bits."""
    import torch

    from steerdsl.models import spread
    from steerdsl.models.device import choose_device

    on = plan.options.on
    if on == "ndif":
        return "the server's, on ndif"
    device = choose_device(plan.options.device)
    wide = plan.options.device in spread.WIDE
    fits = spread.placement(plan.model.located, getattr(torch, plan.dtype), device, wide).words()
    threads = f", {count(torch.get_num_threads(), 'thread')}" if device.type == "cpu" else ""
    return f"{device}{threads}" + (f", on {on}" if on != "local" else "") + (f"; {fits}" if fits else "")


def _weights(plan: Plan) -> str:
    if plan.model.located.complete:
        return "here, hashed when they are first read"
    return "not on this machine yet: `run` fetches them"


def _data(plan: Plan) -> list[tuple[str, str]]:
    rows = []
    for name, data in plan.data.items():
        spec = data.spec
        if spec.questions is not None:
            sides = " on two sides" if spec.sides else ""
            most = f"at most {count(len(data.rows), 'answer')}{sides} ({spec.source})"
            rows.append((name, f"{most}, each in the part of its question"))
            continue
        split = (
            f"{percent(spec.held_out)} held out by hash with seed {spec.seed}" if spec.held_out else "nothing held out"
        )
        fields = ", ".join(f"{role}: {field_text(field)}" for role, field in spec.fields.items())
        take = f" {spec.chosen}" if spec.chosen else ""
        take += f", {spec.take} taken" if spec.take is not None else ""
        hub = f"from the hub at {spec.revision}" if spec.revision else "from the hub"
        kind = {"builtin": "built in", "hub": hub}.get(spec.kind, spec.source)
        rows.append(
            (name, f"{count(len(data.rows), 'row')}{take} ({kind}; {fields}), {split}, sha256 {data.sha256[:16]}…")
        )
    return rows


def _grid(title: str, rows: list[tuple[str, str]]) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True, style="dim")
    grid.add_column(overflow="fold")
    for i, (label, text) in enumerate(rows):
        grid.add_row(Text(title if i == 0 else "", style="bold"), label, _text(text))
    grid.add_row()
    return grid


def _text(text: str) -> Text:
    """A text of the recipe, cut where it is long, since every line of a table is as wide as its longest. How long it is
    is said, and `--json` has it whole."""
    return Text(text if len(text) <= LONGEST else f"{text[:LONGEST]}… ({len(text):,} characters)")


def _step(step: PlanStep, cost: Sequence[tuple[str, str]]) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True, justify="right")
    grid.add_column(no_wrap=True, style="dim")
    grid.add_column(overflow="fold")
    name = f"{step.name}: " if step.name else ""
    style = "bold" if not step.done else "bold green"
    grid.add_row(Text(str(step.number), style=style), Text(step.verb, style=style), _text(f"{name}{step.title}"))
    for label, text in (*step.facts, *cost):
        grid.add_row("", label, _text(text))
    grid.add_row("", "when", Text(step.reason, style="green" if step.done else ""))
    grid.add_row()
    return grid
