"""Parsing: text in, syntax tree and every syntax error out.

The whole file goes through the LALR parser at once. Only when that fails is it cut into statements
(at line ends, `;` and braces), each of which is parsed alone, so that every broken statement gets
exactly one diagnostic and becomes `Bad`, and every good one still becomes a node.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from lark import Token, UnexpectedToken

from steerdsl.lang import nodes
from steerdsl.lang.build import build, token_span
from steerdsl.lang.cut import Cutter, Piece
from steerdsl.lang.diagnostics import Report
from steerdsl.lang.grammar import Cursor, lex
from steerdsl.lang.layout import lay_out
from steerdsl.lang.mistakes import SEPARATE, explain
from steerdsl.lang.mistakes_foreign import other_language
from steerdsl.lang.source import Source, Span

MAX_DEPTH = 30  # brackets and braces open at once: the passes recurse over the tree
MAX_SIGNS = 200  # `+`, `-` and `*` in one statement, for the same reason
OPENERS = ("LPAR", "LSQB", "LBRACE")
CLOSERS = ("RPAR", "RSQB", "RBRACE")
SIGNS = ("PLUS", "MINUS", "TIMES")


def parse(source: Source) -> tuple[nodes.File, Report]:
    """Return the tree of `source` and its syntax errors; broken statements are `Bad` nodes."""
    report = Report(source)
    tokens = lay_out(lex(source.text))
    file = _whole(tokens, report) or _other(source, report) or _piecewise(tokens, report)
    report.found.sort(key=lambda d: d.labels[0].span)
    return replace(file, span=Span(0, len(source.text))), report


def _whole(tokens: Sequence[Token], report: Report) -> nodes.File | None:
    """The file's node, or None when there is a syntax error anywhere."""
    if _too_deep(tokens):
        return None
    try:
        file: nodes.File = build(_feed("file", tokens), report)
    except UnexpectedToken:
        return None
    return file


def _other(source: Source, report: Report) -> nodes.File | None:
    """The one message for a file that is JSON, YAML or Python; None for one that may be a recipe."""
    language = other_language(source.text)
    if language is None:
        return None
    help = "a recipe begins like `topic = extract diffmean from econ vs generic`; `steerdsl explain` lists its words"
    first = source.text.splitlines()[0]
    report.add("S146", f"this is {language}, not a recipe", Span(0, max(1, len(first))), help=help)
    return nodes.File((nodes.Bad(span=Span(0, len(source.text))),))


def _feed(start: str, tokens: Sequence[Token]) -> Any:
    cursor = Cursor(start)
    for token in tokens:
        cursor.feed(token)
    return cursor.end(tokens[-1] if tokens else None)


def _too_deep(tokens: Sequence[Token]) -> Token | None:
    """The token at which the tree gets too deep for passes that recurse."""
    depth = signs = 0
    for token in tokens:
        depth += (token.type in OPENERS) - (token.type in CLOSERS)
        signs = 0 if token.type == "_NL" else signs + (token.type in SIGNS)
        if depth > MAX_DEPTH or signs > MAX_SIGNS:
            return token
    return None


def _report_depth(token: Token, report: Report) -> None:
    report.add("S128", "this is nested too deeply", token_span(token), help="bind parts of it to names")


def _piecewise(tokens: Sequence[Token], report: Report) -> nodes.File:
    if too_deep := _too_deep([t for t in tokens if t.type in ("LBRACE", "RBRACE")]):
        _report_depth(too_deep, report)
        return nodes.File((nodes.Bad(span=token_span(too_deep)),))
    pieces = Cutter(tokens, report).file()
    return nodes.File(tuple(_statement(piece, report) for piece in pieces))


def _statement(piece: Piece, report: Report) -> nodes.Statement:
    """Parse one piece: its node, or `Bad` with one diagnostic; its body likewise, piece by piece."""
    body = tuple(_statement(inner, report) for inner in piece.body or ())
    tokens = [*piece.tokens]
    span = token_span(tokens[0]).to(token_span(piece.close or tokens[-1]))
    if piece.body is not None:
        tokens.append(Token.new_borrow_pos("RBRACE", "}", piece.close or tokens[-1]))
    if too_deep := _too_deep(tokens):
        _report_depth(too_deep, report)
        return nodes.Bad(span=span)
    try:
        statement: nodes.Statement = build(_feed("statement", tokens), report)
    except UnexpectedToken:
        mistake = explain(tokens)
        report.add(mistake.code, mistake.title, mistake.span, mistake.label, help=mistake.help)
        return nodes.Bad(span=span)
    if piece.glued:
        report.add("S117", "a statement starts on a new line", token_span(tokens[0]), help=SEPARATE)
    if isinstance(statement, nodes.Steer | nodes.Sweep):
        return replace(statement, body=body, span=span)
    return statement
