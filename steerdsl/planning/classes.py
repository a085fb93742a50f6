"""Whether some step of the plan has to read a class of prompts sample by sample.

In: a plan and an extraction. Out: whether a method, a criterion, a plot or a plane will want each sample's activations
of the same prompts, position and stream. They are then kept when the class is read first, and it is read once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from steerdsl.lang import recipe as r
from steerdsl.planning.plan import Plan, PlanStep
from steerdsl.registry import find

ROWS = frozenset({"rows", "pairs"})
ASKED, SAID = "asked", "said"
TOKENS = {"suffix": 16, "all": 256}  # of a prompt that are samples of their own, roughly
LARGEST = 2**29  # bytes of one class's activations that are kept only to say how much is added
VECTORS = (r.VectorRef, r.VectorSum, r.Orthogonal)


def rows_wanted(plan: Plan, step: r.Extract, ref: r.DataRef) -> bool:
    """Whether anything in the plan wants each sample of the class `ref` as `step` reads it."""
    steps = list(every_step(plan.steps))
    alike = [other for other in steps if isinstance(other, r.Extract) and _read(step, ref) & _classes(other)]
    names = {other.name for other in alike}
    if any(ROWS & find("extract", other.method).needs for other in alike):
        return True
    return any(_wants(other, names) for other in steps)


def measured(plan: Plan) -> tuple[str, str]:
    """Why the spread of projections is read for additions, and why the norms of tokens are: `asked`, where a strength
    is measured in them, or `said`, for the plan and the record to say; on a server nothing is read for that, "".
    """
    units = {op.args["by"].unit for op in _additions(every_step(plan.steps))}
    other = SAID if plan.options.on == "local" else ""
    return ASKED if "sd" in units else other, ASKED if "dose" in units else other


def spread_wanted(plan: Plan, step: r.Extract, ref: r.DataRef, samples: int) -> bool:
    """Whether each of the `samples` prompts of a class is kept for the spread of its projections: where one is asked
    for, and to say it only where they are not too large."""
    why = measured(plan)[0]
    fits = 4 * samples * TOKENS.get(step.position.name, 1) * _width(plan, step) <= LARGEST
    if not why or (why == SAID and not fits):
        return False
    alike = (s for s in every_step(plan.steps) if isinstance(s, r.Extract) and _read(step, ref) & _classes(s))
    return any(other.name in added(plan) for other in alike)


def _width(plan: Plan, step: r.Extract) -> int:
    """The numbers that are read of one token."""
    arch = plan.model.arch
    return arch.width(step.stream.name) * (1 if step.stream.numbers else arch.n_layers)


def added(plan: Plan) -> dict[str, set[r.Stream]]:
    """The streams on which vectors are added, by the name of each vector and of those that it is made of."""
    steps = list(every_step(plan.steps))
    made = [made for made in map(_made_of, steps) if made is not None]
    found: dict[str, set[r.Stream]] = {}
    for op in _additions(steps):
        streams = set(op.streams)
        if op.everywhere:
            streams = {r.Stream(stream) for stream, _ in plan.model.arch.everywhere()}
        names, known = {*mentioned(op.operand)}, set[str]()
        while names:
            known |= names
            names = {n for name, value in made if name in names for n in mentioned(value)} - known
        for name in known:
            found.setdefault(name, set()).update(streams)
    return found


def _additions(steps: Iterable[r.Step]) -> Iterator[r.Op]:
    for step in steps:
        for op in step.ops if isinstance(step, r.Steer) else ():
            if find("op", op.name).effect == "adds" and isinstance(op.operand, VECTORS):
                yield op


def _made_of(step: r.Step) -> tuple[str, r.VectorExpr] | None:
    """The vector that a step makes, and those of which, or after whose lengths, it does."""
    match step:
        case r.Bind(name=name, value=r.VectorRef() | r.VectorSum() | r.Orthogonal() as value):
            return name, value
        case r.Extract(name=name, options={"like": like}):
            return name, like
    return None


def mentioned(expr: Any) -> set[str]:
    """The vectors that an expression names."""
    match expr:
        case r.VectorRef(name=name):
            return {name}
        case r.VectorSum(terms=terms):
            return set().union(*(mentioned(term) for _, term in terms))
        case r.Orthogonal(vector=v, against=u):
            return mentioned(v) | mentioned(u)
    return set()


def _wants(step: r.Step, names: set[str]) -> bool:
    match step:
        case r.Select(vector=vector, criterion=criterion):
            return vector in names and bool(ROWS & find("select", criterion).needs)
        case r.Plot(what=what, target=target, others=others):
            return bool(names & {target, *others}) and bool(ROWS & find("plot", what).needs)
        case r.Bind(value=r.PlaneExpr() as plane):
            return plane.candidates == "samples" and origin(plane.first) in names
        case r.Steer(ops=ops):
            planes = [op.operand for op in ops if isinstance(op.operand, r.PlaneExpr)]
            return any(plane.candidates == "samples" and origin(plane.first) in names for plane in planes)
    return False


def origin(expr: r.VectorExpr) -> str:
    """The vector whose samples an expression's first term names."""
    while not isinstance(expr, r.VectorRef):
        expr = expr.vector if isinstance(expr, r.Orthogonal) else expr.terms[0][1]
    return expr.name


def extraction(steps: Iterable[r.Step], name: str) -> r.Extract | None:
    """The extraction of a vector, or of the first term of what it is made of; None for one that was loaded."""
    named = {step.name: step for step in steps if isinstance(step, r.Extract | r.Bind)}
    step = named.get(name)
    while isinstance(step, r.Bind) and not isinstance(step.value, r.PlaneExpr):
        step = named.get(origin(step.value))
    return step if isinstance(step, r.Extract) else None


def _classes(step: r.Extract) -> set[Any]:
    return {place for ref in (step.positive, step.negative) if ref is not None for place in _read(step, ref)}


def _read(step: r.Extract, ref: r.DataRef) -> set[Any]:
    """What tells one reading of a class from another."""
    return {(ref.name, ref.split, ref.side, step.position, step.stream)}


def every_step(planned: Sequence[PlanStep]) -> Iterator[r.Step]:
    """All steps, those of every point of a sweep included."""
    for step in planned:
        yield step.step
        for point in step.points:
            yield from every_step(point)
