"""Where and when an operation acts: layers, streams, phases and windows.

In: the clauses that every operation takes. Out: `Location` and `Times`, with the language's defaults.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from steerdsl import registry
from steerdsl.lang import nodes
from steerdsl.lang.diagnostics import nearest
from steerdsl.lang.lower import layers as layer_lists
from steerdsl.lang.lower import values
from steerdsl.lang.lower.clauses import Clauses
from steerdsl.lang.lower.context import Context
from steerdsl.lang.lower.phrases import either
from steerdsl.lang.lower.streams import stream
from steerdsl.lang.recipe import Layers, Phase, Stream
from steerdsl.registry import Entry

PHASES: dict[str, Phase] = {"all": "all", "prompt": "prompt", "generation": "generation"}


@dataclass(frozen=True, slots=True)
class Location:
    layers: Layers = field(default_factory=Layers)
    streams: tuple[Stream, ...] = (Stream("resid_post"),)
    everywhere: bool = False


@dataclass(frozen=True, slots=True)
class Times:
    phase: Phase = "all"
    first: int | None = None
    after: int | None = None


def site(ctx: Context, node: nodes.Operation, clauses: Clauses, entry: Entry) -> Location | None:
    """The layers and streams of an operation; None after a message."""
    at, on = clauses.one("at layers", nodes.Layers), clauses.one("on", nodes.On)
    if "everywhere" in clauses:
        return _everywhere(ctx, clauses)
    streams = [stream(ctx, item) for item in on.items] if on else [Stream("resid_post")]
    found = layer_lists.layers(ctx, at.items, at) if at else Layers()
    kept = tuple(s for s in streams if s is not None)
    if found is None or len(kept) < len(streams):
        return None
    placed = [s.name for s in kept if registry.find("stream", s.name).args]
    if at and placed:
        help = f"leave out `at layers`, or name the stream without numbers instead of `{placed[0]}`"
        ctx.error("S407", f"`{placed[0]}` says its own layer", at, "a second place", help=help)
        return None
    if entry.compounds and not at and not placed:
        help = "write where, as in `at layer 12`, or `at layers all` to mean it"
        ctx.warn("S451", "this adds the vector at every layer", node.verb_span, "no `at layers`", help=help)
    return Location(found, kept)


def _everywhere(ctx: Context, clauses: Clauses) -> Location | None:
    """Every write to the residual stream: it leaves nothing for `at layers` and `on` to say."""
    ok = True
    for label in ("at layers", "on"):
        if label in clauses:
            ok = False
            also = (ctx.place(clauses.found["everywhere"], "every layer and every write to the stream"),)
            title = f"`everywhere` and `{label}` exclude each other"
            ctx.error("S407", title, clauses.found[label], also=also, help="keep one of the two")
    return Location(everywhere=True) if ok else None


def times(ctx: Context, clauses: Clauses) -> Times:
    """The phase and the window in generated tokens."""
    during = clauses.one("during", nodes.During)
    windows = {word: clauses.one(word, nodes.Window) for word in ("first", "after")}
    counts = {word: _count(ctx, window) for word, window in windows.items()}
    phase: Phase = "all"
    if during and during.phase in PHASES:
        phase = PHASES[during.phase]
    elif during:
        close = nearest(during.phase, PHASES)
        help = f"did you mean `{close}`?" if close else f"write {either(PHASES)}"
        ctx.error("S307", f"`during` cannot be `{during.phase}`", ctx.within(during, during.phase), help=help)
    for word, window in windows.items():
        if window and phase == "prompt":
            title = f"`during prompt` and `{word}` exclude each other"
            ctx.error("S407", title, window, "counts generated tokens", help="keep one of the two")
    return Times(phase, counts["first"], counts["after"])


def _count(ctx: Context, window: nodes.Window | None) -> int | None:
    if window is None:
        return None
    return values.whole(ctx, window.count, f"`{window.word}`", 1 if window.word == "first" else 0)
