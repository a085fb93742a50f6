"""The one layout of a recipe.

In: a source. Out: the same recipe, one statement a line, blocks indented by four, lines beyond
`WIDTH` continued at a clause, numbers as they were typed, every comment where it was.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from lark import Token

from steerdsl.lang import nodes
from steerdsl.lang.build import token_span
from steerdsl.lang.diagnostics import Report
from steerdsl.lang.grammar import lex
from steerdsl.lang.parse import parse
from steerdsl.lang.source import Source, Span
from steerdsl.lang.unparse import clauses_of, parts

WIDTH = 100
INDENT = "    "


def format_source(source: Source) -> tuple[str, Report]:
    """Return `source` in canonical layout; unchanged, with its errors, when it does not parse."""
    file, report = parse(source)
    if report.errors:
        return source.text, report
    printer = Printer(source)
    printer.block(file.statements, "", len(printer.words))
    return "".join(f"{line}\n" for line in printer.lines), report


@dataclass(frozen=True, slots=True)
class Comment:
    """`word` is the number of the word that follows; `alone`: it is the first on its line."""

    text: str
    span: Span
    word: int
    alone: bool


@dataclass(slots=True)
class Printer:
    """Prints statements in order, and with each the comments that have not been printed yet."""

    source: Source
    lines: list[str] = field(default_factory=list)
    words: list[Token] = field(default_factory=list)
    comments: deque[Comment] = field(default_factory=deque)
    printed: int = 0  # the offset at which the last printed thing ended
    opening: bool = True  # nothing of the current block is printed yet

    def __post_init__(self) -> None:
        alone = True
        for token in lex(self.source.text):
            if token.type == "COMMENT":
                self.comments.append(Comment(token.rstrip(), token_span(token), len(self.words), alone))
            elif token.type != "_NL":
                self.words.append(token)
            alone = token == "\n" or (alone and token == ";")

    def block(self, statements: Sequence[nodes.Statement], indent: str, end: int) -> None:
        """Print statements and the comments around them, those before word `end` included."""
        for statement in statements:
            self.comments_before(self.word_at(statement.span.start), indent)
            self.blank_line(statement.span.start)
            self.statement(statement, indent)
        self.comments_before(end, indent)

    def comments_before(self, word: int, indent: str) -> None:
        while self.comments and self.comments[0].word <= word:
            comment = self.comments.popleft()
            self.blank_line(comment.span.start)
            self.lines.append(indent + comment.text)
            self.printed = comment.span.end

    def blank_line(self, start: int) -> None:
        """Keep one of the blank lines before what starts there, none where a block begins."""
        between = self.source.text[self.printed : start].split("\n")
        if not self.opening and not all(line.strip() for line in between[1:-1]):
            self.lines.append("")
        self.opening = False

    def statement(self, statement: nodes.Statement, indent: str) -> None:
        end = self.word_at(statement.span.end)
        if not isinstance(statement, nodes.Steer | nodes.Sweep):
            self.parts(statement, end, "", indent)
            self.printed = statement.span.end
            self.lines[-1] += self.remark(end)
            return
        brace = next(i for i in range(self.word_at(statement.span.start), end) if self.words[i].type == "LBRACE")
        self.parts(statement, brace, " {", indent)
        if not statement.body and not (self.comments and self.comments[0].word < end):
            self.lines[-1] += "}"
        else:
            self.printed, self.opening = token_span(self.words[brace]).end, True
            self.lines[-1] += self.remark(brace) or self.remark(brace + 1)
            self.block(statement.body, indent + INDENT, end - 1)
            self.lines.append(indent + "}")
        self.printed, self.opening = statement.span.end, False
        self.lines[-1] += self.remark(end)

    def parts(self, statement: nodes.Statement, end: int, tail: str, indent: str) -> None:
        """Print head and clauses in as few lines as width and comments allow, then `tail`."""
        texts = parts(statement)
        texts[-1] += tail
        starts = [*self.starts(statement), end]
        line = ""
        for text, after in zip(texts, starts[1:], strict=True):
            above = self.inside(after)
            if line and (above or len(line) + 1 + len(text) > WIDTH):
                self.lines.append(line)
                line = ""
            deeper = indent if text is texts[0] else indent + INDENT
            self.lines += [deeper + comment.text for comment in above]
            line = f"{line} {text}" if line else deeper + text
            if after != end and (remark := self.remark(after)):
                self.lines.append(line + remark)
                line = ""
        self.lines.append(line)

    def starts(self, statement: nodes.Statement) -> list[int]:
        """Return the number of the first word of each of the statement's parts."""
        first = self.word_at(statement.span.start)
        if isinstance(statement, nodes.Sweep):  # a further axis begins with its `and`
            return [first, *(self.word_at(axis.span.start) - 1 for axis in statement.axes[1:])]
        return [first, *(self.word_at(clause.span.start) for clause in clauses_of(statement))]

    def inside(self, word: int) -> list[Comment]:
        """Take the comments that are followed by a word before that one."""
        taken = []
        while self.comments and self.comments[0].word < word:
            taken.append(self.comments.popleft())
        return taken

    def remark(self, word: int) -> str:
        """Take the comment that ends the line before that word, if there is one."""
        if not self.comments or self.comments[0].word != word or self.comments[0].alone:
            return ""
        comment = self.comments.popleft()
        self.printed = comment.span.end
        return f"  {comment.text}"

    def word_at(self, offset: int) -> int:
        """Return the number of the first word that starts at or after `offset`."""
        return bisect_left(self.words, offset, key=lambda word: token_span(word).start)
