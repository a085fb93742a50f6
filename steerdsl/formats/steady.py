"""Whether an operation does the same to every token, which is all that files and weights can say.

In: an operation of a steer. Out: the reason against it, or None; a MethodError for a format.
"""

from __future__ import annotations

from collections.abc import Sequence

from steerdsl.formats.types import Format
from steerdsl.lang import recipe as r
from steerdsl.methods.types import MethodError
from steerdsl.registry import entries, find


def wavering(op: r.Op) -> str | None:
    """What makes an operation depend on the token, or None."""
    if op.conditions or op.keep_norm:
        return "a condition or `keep norm` depends on the token"
    if op.phase != "all" or op.first is not None or op.after is not None:
        return "what is exported acts at every token, and this operation does not"
    if find("op", op.name).effect == "adds" and op.args["by"].unit == "share":
        return "a share of the token's norm depends on the token"
    return None


def require(ops: Sequence[r.Op], form: Format) -> None:
    """Raise MethodError R847 for the first operation that a format cannot carry, on any model."""
    able = " and ".join(f"`{name}`" for name, verb in entries("op").items() if verb.effect in form.effects)
    for op in ops:
        problem, effect = wavering(op), find("op", op.name).effect
        if effect not in form.effects:
            problem = f"it holds {able}, and `{op.name}` is none of these"
        elif effect == "removes" and (op.args.get("toward") is not None or op.args.get("alpha")):
            problem = "an ablation toward a mean adds something back"
        if problem:
            raise refusal(form.title, problem, f"export a steer of plain {able}, or run the steer instead")
    if form.require_ops is not None:
        form.require_ops(ops)


def require_linear(op: r.Op) -> None:
    """Raise MethodError R847 unless the operation does the same linear thing to every token, which is what a
    checkpoint's weights can carry."""
    problem, effect = wavering(op), find("op", op.name).effect
    if effect not in ("removes", "adds"):
        problem = f"`{op.name}` is not a linear change of what each layer writes"
    elif op.args.get("toward") is not None:
        problem = "an ablation toward a mean is not linear"
    elif op.args.get("alpha"):
        problem = "an ablation that adds something back is not linear"
    elif effect == "adds" and op.everywhere:
        problem = "an addition everywhere adds up over the layers"
    if problem:
        title = f"this steer cannot be carried by weights: {problem}"
        raise MethodError(title, "export a steer of ablate and add", "R847")


def refusal(title: str, problem: str, way_out: str) -> MethodError:
    """The error of something that a format cannot carry."""
    return MethodError(f"{title} cannot carry this: {problem}", way_out, "R847")
