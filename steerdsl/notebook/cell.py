"""A cell's text as a recipe: `{name}` is a variable of Python, and becomes a param of its name.

In: what was typed, and the variables. Out: a recipe that stands for itself, since it begins with these params, and the
way back from its places to those of the cell. A variable gives one value and never a piece of a recipe: its text is a
number, a word or a text in quotes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lark import Token

from steerdsl import arguments
from steerdsl.lang import nodes
from steerdsl.lang.diagnostics import Diagnostic, Label, RecipeError, nearest
from steerdsl.lang.grammar import keywords, lex, verbs
from steerdsl.lang.source import Source, Span
from steerdsl.lang.unparse import value_text

HEAD = "%%steer\n"  # the line above, which counts among the lines of the cell
# What an expression ends with: behind it a `{` may open a block.
ENDS = frozenset({"NAME", "QUANTITY", "STRING", "RPAR", "RSQB", "RBRACE"})
_QUANTITY = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?(%|°|[A-Za-z_]\w*)?", re.ASCII)
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell as it was typed, and the recipe that it stands for: the same text, with `{name}` as ` name `, and with
    the params that were put in at `at`. `given` is for each of them its span there, and that of its first use."""

    typed: Source
    recipe: str
    at: int = 0
    given: tuple[tuple[Span, Span], ...] = ()

    def told(self, diagnostic: Diagnostic) -> Diagnostic:
        """What was found in the recipe, at its place in the cell as the notebook shows it."""
        return replace(diagnostic, labels=tuple(self._label(label) for label in diagnostic.labels))

    def _label(self, label: Label) -> Label:
        if label.source.text != self.recipe:
            return label
        uses = (use for param, use in self.given if param.start <= label.span.start < param.end)
        span = next(uses, Span(self._back(label.span.start), self._back(label.span.end)))
        shown = Source(self.typed.name, HEAD + self.typed.text)
        return replace(label, source=shown, span=Span(span.start + len(HEAD), span.end + len(HEAD)))

    def _back(self, offset: int) -> int:
        added = self.given[-1][0].end - self.at if self.given else 0
        return offset if offset <= self.at else max(self.at, offset - added)


def read_cell(typed: Source, variables: Mapping[str, Any]) -> Cell:
    """The recipe of a cell. Raises RecipeError: R920 for a variable that there is not, R921 for one whose value no
    param can have, R922 for anything else in braces where a value stands."""
    tokens = list(lex(typed.text))
    uses, found = _uses(tokens, typed)
    texts: dict[str, str] = {}
    places: dict[str, Span] = {}
    text = typed.text
    for name, span in uses:
        text = f"{text[: span.start]}{f' {name}'.ljust(span.end - span.start)}{text[span.end :]}"
        if name in places:
            continue
        places[name] = span
        value = _value(name, span, variables, typed)
        if isinstance(value, Diagnostic):
            found.append(value)
        else:
            texts[name] = value
    if found:
        raise RecipeError(sorted(found, key=lambda one: one.labels[0].span))
    at, lines, given = _begin(tokens), "", []
    for name, value in texts.items():
        line = f"param {name} = {value}\n"
        given.append((Span(at + len(lines), at + len(lines) + len(line)), places[name]))
        lines += line
    return Cell(typed, text[:at] + lines + text[at:], at, tuple(given))


def _begin(tokens: Sequence[Token]) -> int:
    """Where the params go: at the beginning, behind the `edition`."""
    first = [token for token in tokens if token.type not in ("_NL", "COMMENT")][:2]
    if not first or first[0].type != "EDITION":
        return 0
    ends = (token for token in tokens if token.type == "_NL" and _span(token).start >= _span(first[-1]).end)
    end = next(ends, None)
    return 0 if end is None else _span(end).end


def _uses(tokens: Sequence[Token], typed: Source) -> tuple[list[tuple[str, Span]], list[Diagnostic]]:
    """Each `{name}` where a value may stand, and what else stands in braces there."""
    uses: list[tuple[str, Span]] = []
    found: list[Diagnostic] = []
    for place, before, inside in _braces(tokens):
        name = str(inside[0]) if len(inside) == 1 else ""
        touching = place.end - place.start == len(name) + 2
        a_name = bool(name) and inside[0].type == "NAME" and name.isidentifier()
        if before and before[-1].type not in ENDS:  # no block can open here
            if a_name:
                uses.append((name, place))
            else:
                found.append(_not_a_name(name, Label(typed, place)))
        elif a_name and touching and name not in verbs() and not _names_steer(before):
            uses.append((name, place))
    return uses, found


def _braces(tokens: Sequence[Token]) -> Iterator[tuple[Span, Sequence[Token], Sequence[Token]]]:
    """Each `{`: the span to its `}` on the same line, the tokens of the statement before it, and those inside."""
    kept = [token for token in tokens if token.type != "COMMENT"]
    for i, token in enumerate(kept):
        if token.type != "LBRACE":
            continue
        line = next((j for j in range(i + 1, len(kept)) if kept[j].type in ("_NL", "LBRACE", "RBRACE")), len(kept))
        closed = line < len(kept) and kept[line].type == "RBRACE"
        end = _span(kept[line] if closed else kept[line - 1]).end
        begin = max((j + 1 for j in range(i) if kept[j].type in ("LBRACE", "_NL")), default=0)
        yield Span(_span(token).start, end), kept[begin:i], kept[i + 1 : line]


def _names_steer(before: Sequence[Token]) -> bool:
    return len(before) == 2 and before[0].type == "STEER"


def _span(token: Token) -> Span:
    return Span(int(token.start_pos or 0), int(token.end_pos or 0))


def _not_a_name(text: str, place: Label) -> Diagnostic:
    if text in keywords().values():
        help = f"`{text}` is a word of the language; give the variable another name"
    else:
        help = "give the value a name in Python first, and write that name here"
    return Diagnostic("R922", "only the name of a variable may stand in these braces", (place,), help=help)


def _value(name: str, span: Span, variables: Mapping[str, Any], typed: Source) -> str | Diagnostic:
    """A variable's value as one writes it in a recipe."""
    place = Label(typed, span)
    if name not in variables:
        guess = nearest(name, (known for known in variables if not known.startswith("_")))
        help = f"did you mean `{{{guess}}}`?" if guess else f"set it in Python first: `{name} = …`"
        return Diagnostic("R920", f"there is no variable `{name}`", (place,), help=help)
    try:
        text = arguments.params({name: variables[name]})[name]
    except (TypeError, ValueError) as error:
        reason = str(error).replace(f"params[{name!r}]", "a param")
        help = "give it a number, or a text such as `60%`"
        return Diagnostic("R921", f"`{name}` has a value that no param can have", (place,), (reason,), help)
    return _written(text)


def _written(text: str) -> str:
    """A quantity and a word as they are, all else in quotes."""
    bare = text.strip()
    if _QUANTITY.fullmatch(bare) or (_WORD.fullmatch(bare) and bare not in keywords().values()):
        return bare.removeprefix("+")
    quoted = len(bare) > 1 and bare[0] == bare[-1] == '"'
    return value_text(nodes.Text(bare[1:-1] if quoted else text))
