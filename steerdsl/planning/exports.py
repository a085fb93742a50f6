"""What an export's format cannot carry, as far as a plan can tell: refused before anything runs.

In: an `export` step and what the planning knows. Out: nothing, or the MethodError (R847) that the export would
end in. What depends on the values of a vector, or on a layer that a step chooses, is reported once it is known.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from steerdsl.formats import lora_adapter, steady, table
from steerdsl.formats.types import Format
from steerdsl.lang import recipe as r
from steerdsl.methods.types import MethodError
from steerdsl.methods.weights import carrier, require_writers
from steerdsl.models.gguf import quantised_in
from steerdsl.planning.layers import choices, resolve_layers
from steerdsl.planning.planning import Planning
from steerdsl.registry import find


def require_carried(p: Planning, s: r.Export) -> None:
    """Raise MethodError R847 for a steer or a vector that the format of its path cannot carry."""
    form, what = table.of(s.path, f"write_{s.kind}"), p.named.get(s.what)
    if isinstance(what, r.Steer):
        _require_steer(p, what.ops, form)
    elif form is not None and form.ending != ".safetensors" and _oblique(what):
        raise steady.refusal(form.title, f"`{s.what}` is an oblique eraser (leace), not an addition", ADD)


ADD = "export another vector, or this one as .safetensors"
EXTRACTED = "act with a vector that another method extracts"


def _require_steer(p: Planning, ops: Sequence[r.Op], form: Format | None) -> None:
    title = form.title if form else "a checkpoint"
    if form is None:
        for op in ops:
            steady.require_linear(op)
    else:
        steady.require(ops, form)
    if form is None or form.needs_model:
        _require_plain(p, title)
    for op in ops:
        vector = p.named.get(op.operand.name) if isinstance(op.operand, r.VectorRef) else None
        if _oblique(vector) and find("op", op.name).effect == "removes":
            raise steady.refusal(title, "an oblique eraser (leace) has an offset", EXTRACTED)
        removes = find("op", op.name).effect == "removes"
        for stream, layer in _places(p, op):
            if form is not None and form.require_place is not None:
                form.require_place(op, stream, layer, p.facts.arch)
            elif form is None and removes and not lora_adapter.has_place(p.facts.arch, stream, layer):
                problem = f"an ablation of {stream} at layer {layer} also removes what earlier layers wrote"
                raise steady.refusal(title, problem, "ablate `everywhere`, or on attn_out and mlp_out")
            if form is None or form.needs_model:
                _require_weights(p, title, removes, (stream, layer))


def _require_weights(p: Planning, title: str, removes: bool, place: tuple[str, int]) -> None:
    """Raise MethodError R847 where no weights of the model carry an operation at a place."""
    try:
        if removes:
            require_writers(p.facts.config, place)
        else:
            carrier(p.facts.config, *place)
    except MethodError as error:
        raise steady.refusal(title, error.problem, error.way_out) from error


def _require_plain(p: Planning, title: str) -> None:
    """Raise MethodError R847 for weights that are not those of the files: an adapter on them, or quantised."""
    located = p.facts.located
    if located.adapter is not None:
        way_out = "merge the adapter into the model with PEFT and name the merged model, or export the vector"
        raise steady.refusal(title, f"the adapter `{located.adapter.id}` is on the weights", way_out)
    if p.facts.quantization is not None and quantised_in(located.path) is None:
        way_out = "leave the quantisation out, or export the vector"
        raise steady.refusal(title, f"the weights are quantised ({p.facts.quantization})", way_out)


def _oblique(step: r.Step | None) -> bool:
    return isinstance(step, r.Extract) and find("extract", step.method).oblique


def _places(p: Planning, op: r.Op) -> Iterator[tuple[str, int]]:
    """Where an operation acts, except at layers that a step chooses."""
    arch = p.facts.arch
    if op.everywhere:
        yield from arch.everywhere()
        return
    known = not choices(op.layers)
    for stream in op.streams:
        if stream.numbers:
            yield stream.name, stream.numbers[0]
        elif known:
            yield from ((stream.name, layer) for layer in resolve_layers(op.layers, arch.n_layers, {}))
