"""Values with their units: numbers, shares, angles, words, texts.

In: an expression and what it is for ("`take`", "an angle"). Out: a plain Python value (angles in
degrees, shares as fractions), or None after a message. Params and axes may be used wherever a value may.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from steerdsl.lang import nodes
from steerdsl.lang.diagnostics import Label, nearest
from steerdsl.lang.grammar import MEASURE, SOFT
from steerdsl.lang.lower import late
from steerdsl.lang.lower.context import Context
from steerdsl.lang.lower.names import defined, find
from steerdsl.lang.lower.phrases import either, listed
from steerdsl.lang.nodes import Expr, Name, Quantity, Text
from steerdsl.lang.tuned import Tuned
from steerdsl.lang.wording import UNIT_SPELLINGS
from steerdsl.registry import Arg

DEGREES = {"deg": 1.0, "rad": 180.0 / math.pi, "turn": 360.0}
UNITS = ("%", *DEGREES)
LARGEST_INT = 2**53 - 1  # the largest that a recipe's numbers, which are floats, tell from the next


def sort_of(expr: nodes.Item) -> str:
    """What kind of value this is, in words."""
    match expr:
        case Quantity(unit=""):
            return "a plain number"
        case Quantity(unit="%"):
            return "a share"
        case Quantity(unit=unit):
            return "an angle" if unit in DEGREES else f"a number in `{unit}`"
        case Text():
            return "a text"
        case Name():
            return "a word"
        case nodes.Placed():
            return "a position"
        case nodes.List():
            return "a list"
        case nodes.Range():
            return "a range"
        case nodes.Call(name=name):
            return f"`{name}(…)`"
        case nodes.Index():
            return "a vector of some layers"
        case _:
            return "a calculation"


def _other_unit(number: Quantity) -> str:
    """What a number with an unknown unit was probably meant to be."""
    if number.unit in SOFT[MEASURE]:
        return f"write `{number.value:.12g}{'%' * (number.unit == 'dose')} {number.unit}`"
    if number.unit.lower() in ("pi", "π"):
        return f"write `{number.value * 180:.12g}deg`"
    alike = [unit for unit in UNITS if unit[0] == number.unit[0]]
    close = UNIT_SPELLINGS.get(number.unit.lower()) or nearest(number.unit, alike)
    return f"did you mean `{printed(Quantity(number.value, close))}`?" if close else f"the units are {listed(UNITS)}"


def printed(expr: nodes.Item) -> str:
    """A quantity, text or word as it would be typed."""
    match expr:
        case Quantity(value=value, unit=unit):
            return f"{value:.12g}{unit}"
        case Text(value=value):
            return f'"{value}"'
        case Name():
            return expr.text
        case _:
            return sort_of(expr)


def constant(ctx: Context, expr: Expr) -> Expr | None:
    """The expression with params and axes put in and arithmetic done; what is none of these comes
    back as it is, None is a mistake already reported. Spans stay those of the place of use."""
    match expr:
        case Quantity(unit=unit) if unit and unit not in UNITS:
            ctx.error("S301", f"`{unit}` is not a unit", expr, help=_other_unit(expr))
            return None
        case Name(parts=(first,)):
            symbol = ctx.scope.symbols.get(first)
            if symbol is None or symbol.kind not in ("param", "axis", "unknown"):
                return expr
            ctx.scope.used.add(first)
            return _moved(symbol.value, expr) if symbol.value is not None else None
        case Name(parts=(first, *_)) if (symbol := ctx.scope.symbols.get(first)) and symbol.kind == "tune":
            found = late.chosen(ctx, expr, symbol)
            return None if found is None else _moved(found, expr)
        case nodes.Negative(value=inner):
            value = constant(ctx, inner)
            return Quantity(-value.value, value.unit, span=expr.span) if isinstance(value, Quantity) else value
        case nodes.Binary():
            return _arithmetic(ctx, expr)
        case _:
            return expr


def _moved(value: Expr, to: Expr) -> Expr:
    match value:
        case Quantity():
            return Quantity(value.value, value.unit, span=to.span)
        case Text():
            return Text(value.value, span=to.span)
        case Name():
            return Name(value.parts, span=to.span)
        case _:
            return replace(value, span=to.span)


def put_in(ctx: Context, expr: Expr) -> Expr:
    """The word that an expression stands for, where it is a param or an axis that holds one; else the expression."""
    symbol = ctx.scope.symbols.get(expr.text) if isinstance(expr, Name) else None
    if symbol is None or symbol.kind not in ("param", "axis") or not isinstance(symbol.value, Name | nodes.Call):
        return expr
    ctx.scope.used.add(symbol.name)
    return _moved(symbol.value, expr)


def _arithmetic(ctx: Context, expr: nodes.Binary) -> Expr | None:
    left, right = constant(ctx, expr.left), constant(ctx, expr.right)
    if not isinstance(left, Quantity) or not isinstance(right, Quantity):
        return expr if left is not None and right is not None else None
    if isinstance(left.value, Tuned) and isinstance(right.value, Tuned):
        help = "calculate with one of them and plain numbers"
        ctx.error("S465", "a calculation holds two numbers that a search has yet to choose", expr, help=help)
        return None
    if expr.op == "*" and "" in (left.unit, right.unit):
        return _finite(ctx, expr, left.value * right.value, left.unit or right.unit)
    if expr.op != "*" and left.unit == right.unit:
        value = left.value + right.value if expr.op == "+" else left.value - right.value
        return _finite(ctx, expr, value, left.unit)
    title = f"{sort_of(left)} and {sort_of(right)} cannot be {'multiplied' if expr.op == '*' else 'added'}"
    ctx.error("S313", title, expr, help="give both the same unit, or multiply by a plain number")
    return None


def _finite(ctx: Context, expr: nodes.Binary, value: float, unit: str) -> Quantity | None:
    """The result of a calculation, None after a message where it is too large to be a number."""
    if math.isfinite(value) or isinstance(value, Tuned):
        return Quantity(value, unit, span=expr.span)
    ctx.error("S305", "the result of this calculation is too large", expr, help="write smaller numbers")
    return None


def quantity(ctx: Context, expr: Expr, what: str, want: str, sample: str, *, waits: bool = False) -> Quantity | None:
    """A number with its unit; `want` is what the place wants, in words ("a whole number"). With `waits` it may be one
    that a search has yet to choose."""
    value = constant(ctx, expr)
    if value is None:
        return None
    if isinstance(value, Quantity) and isinstance(value.value, Tuned):
        if not waits:
            late.cannot_wait(ctx, expr, what, value.value)
        return value if waits else None
    if isinstance(value, Quantity):  # one that is typed too large has been reported by the parser
        return value if math.isfinite(value.value) else None
    if isinstance(value, Name) and value.parts[0] not in ctx.scope.symbols and value == expr:
        find(ctx, value, "param", "axis")
        return None
    mismatch(ctx, expr, value, what, want, f"write a value such as `{sample}`")
    return None


def mismatch(ctx: Context, expr: Expr, value: Expr, what: str, want: str, help: str) -> None:
    """Report a value of another sort than its place wants."""
    ctx.error("S302", f"{what} wants {want}", expr, label(expr, value), help=help)


def label(expr: Expr, value: Expr) -> str:
    """Under a wrong value: its sort, and for a param what it holds."""
    return f"`{expr.text}` is {printed(value)}" if isinstance(expr, Name) and expr != value else sort_of(value)


def number(ctx: Context, expr: Expr, what: str, least: float | None = None, most: float | None = None) -> float | None:
    value = quantity(ctx, expr, what, "a plain number", "1.5")
    if value is None:
        return None
    if value.unit:
        plain = value.value / 100 if value.unit == "%" else value.value
        mismatch(ctx, expr, value, what, "a plain number", help=f"write `{plain:.12g}`")
        return None
    return value.value if _between(ctx, expr, value, what, least, most) else None


def whole(ctx: Context, expr: Expr, what: str, least: float | None = None, most: float | None = None) -> int | None:
    value = quantity(ctx, expr, what, "a whole number", "3")
    if value is None:
        return None
    if value.unit:
        mismatch(ctx, expr, value, what, "a whole number", help=f"write `{round(value.value)}`")
        return None
    if value.value != int(value.value):
        help = f"write `{round(value.value)}`"
        ctx.error("S306", f"{what} wants a whole number", expr, printed(value), help=help)
        return None
    lowest = -LARGEST_INT if least is None else least
    within = _between(ctx, expr, value, what, lowest, LARGEST_INT if most is None else most)
    return int(value.value) if within else None


def _between(
    ctx: Context, expr: Expr, value: Quantity, what: str, least: float | None, most: float | None, unit: str = ""
) -> bool:
    """Whether a number keeps its bounds, which are given in its unit."""
    if least is not None and value.value < least:
        bound, other = f"at least {least:.12g}{unit}", "more"
    elif most is not None and value.value > most:
        bound, other = f"at most {most:.16g}{unit}", "less"
    else:
        return True
    help = f"write `{bound.split()[-1]}` or {other}"
    ctx.error("S305", f"{what} must be {bound}", expr, printed(value), help=help)
    return False


def share(ctx: Context, expr: Expr, what: str, arg: Arg | None = None) -> float | None:
    """A percentage as a fraction, within the bounds of `arg`."""
    value = quantity(ctx, expr, what, "a share", "50%")
    if value is None:
        return None
    if not value.unit:
        percent = value.value * 100 if abs(value.value) <= 1 else value.value
        also, help = _unitless(ctx, expr, f"write `{percent:.12g}%`")
        ctx.error("S303", "a share needs a percent sign", expr, label(expr, value), also=also, help=help)
        return None
    if value.unit != "%":
        mismatch(ctx, expr, value, what, "a share", help="write it in percent, as in `50%`")
        return None
    if arg is None:
        return value.value / 100
    if arg.below is not None and not (arg.least or 0) * 100 <= value.value < arg.below * 100:
        title = f"{what} must be at least {arg.least or 0:.0%} and below {arg.below:.0%}"
        ctx.error("S305", title, expr, printed(value), help="write a share such as `20%`")
        return None
    least, most = (None if bound is None else bound * 100 for bound in (arg.least, arg.most))
    return value.value / 100 if _between(ctx, expr, value, what, least, most, "%") else None


def _unitless(ctx: Context, expr: Expr, help: str) -> tuple[tuple[Label, ...], str]:
    """Where a number without a unit comes from, and what to do about it there."""
    symbol = ctx.scope.symbols.get(expr.text) if isinstance(expr, Name) else None
    if symbol is None:
        return (), help
    return (defined(symbol),), f"give `{symbol.name}` a unit where it is defined"


def angle(ctx: Context, expr: Expr, what: str) -> float | None:
    """An angle in degrees."""
    value = quantity(ctx, expr, what, "an angle", "90deg", waits=True)
    if value is None or not late.is_number(ctx, expr, value.value):
        return None
    if not value.unit and isinstance(value.value, Tuned):
        help = "give its axis angles for its range, as in `0deg..360deg`"
        ctx.error("S304", "an angle needs a unit", expr, help=help)
        return None
    if not value.unit:
        n = value.value
        spellings = f"`{n:.12g}deg`, `{n / DEGREES['rad']:.2f}rad` or `{n / DEGREES['turn']:.2f}turn`"
        also, help = _unitless(ctx, expr, f"write {spellings}")
        ctx.error("S304", "an angle needs a unit", expr, label(expr, value), also=also, help=help)
        return None
    if value.unit not in DEGREES:
        mismatch(ctx, expr, value, what, "an angle", help="write it in `deg`, `rad` or `turn`")
        return None
    return value.value * DEGREES[value.unit]


def word(ctx: Context, expr: Expr, what: str, choices: Sequence[str] = ()) -> str | None:
    value = constant(ctx, expr)
    if value is None:
        return None
    text = value.text if isinstance(value, Name) else value.value if isinstance(value, Text) else None
    if text is None:
        help = f"write {either(choices)}" if choices else "write it without quotes or brackets"
        mismatch(ctx, expr, value, what, "a word", help=help)
        return None
    if choices and text not in choices:
        close = nearest(text, choices)
        help = f"did you mean `{close}`?" if close else f"write {either(choices)}"
        ctx.error("S307", f"{what} cannot be `{text}`", expr, help=help)
        return None
    return text


def text(ctx: Context, expr: Expr, what: str) -> str | None:
    value = constant(ctx, expr)
    if value is None or isinstance(value, Text):
        return None if value is None else value.value
    spelled = f'write `"{printed(value)}"`' if isinstance(value, Quantity | Name) else 'write `"…"`'
    mismatch(ctx, expr, value, what, "a text in quotes", help=spelled)
    return None


def flag(ctx: Context, expr: Expr, what: str) -> bool | None:
    value = word(ctx, expr, what, ("true", "false"))
    return None if value is None else value == "true"
