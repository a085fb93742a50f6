"""A table that never cuts or breaks a figure.

In: a title, heads and rows of text. Out: lines that fit the terminal: unchanged, else transposed, else
in bands of as many columns as there is room for. A line that is too long even so is left to the terminal.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from rich.cells import cell_len, chop_cells
from rich.console import Console, ConsoleOptions
from rich.text import Text

from steerdsl.lang.visible import visible

GAP = 2  # columns between two cells
LEAST = 24  # columns that prose needs at least
WORD = 40  # a word of prose that is longer than this may be broken

Row = Sequence[str]


@dataclass(slots=True)
class Sheet:
    """`head` names the columns. Cells may have several lines. `prose` are columns of running text, which is
    broken between words, `left` columns that are not flushed right. `rules` are the rows with a line
    above, `bold` and `styles` the looks of columns and of cells (row, column). `turns`: whether it may be turned.
    """

    head: Row
    rows: Sequence[Row]
    title: str = ""
    prose: Collection[int] = ()
    left: Collection[int] = (0,)
    rules: Collection[int] = ()
    bold: Collection[int] = ()
    styles: dict[tuple[int, int], str] = field(default_factory=dict)
    turns: bool = False

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterable[Text]:
        if self.title:
            yield Text(visible(self.title), "italic")
        shown = self._shown(options.max_width)
        for line in shown:
            line.no_wrap, line.overflow = True, "ignore"
            yield line
        yield Text("")

    def _shown(self, room: int) -> Iterable[Text]:
        grid = [[visible(cell) for cell in row] for row in (self.head, *self.rows)]
        rules = {0, *(row for row in self.rules if row)} if any(self.head) else {row for row in self.rules if row}
        widths = _widths(grid, self.prose, room)
        if widths is not None:
            return self._drawn(grid, widths, rules)
        if self.prose:
            return self._stacked(grid)
        if self.turns:
            turned = [list(column) for column in zip(*grid, strict=True)]
            over = Sheet(turned[0], turned[1:], bold=(0,))
            if (widths := _widths(turned, (), room)) is not None:
                return over._drawn(turned, widths, {0})
        return self._bands(grid, rules, room)

    def _drawn(self, grid: Sequence[Row], widths: Sequence[int], rules: Collection[int]) -> Iterable[Text]:
        """The rows with their columns in these widths."""
        headed = any(grid[0])
        for i, row in enumerate(grid):
            if i - 1 in rules and i > 0:
                yield Text("─" * (sum(widths) + GAP * (len(widths) - 1)), "dim")
            if i == 0 and not headed:
                continue
            cells = [_lines(row[c], width, c in self.prose) for c, width in enumerate(widths)]
            for k in range(max(map(len, cells))):
                line = Text()
                for c, (lines, width) in enumerate(zip(cells, widths, strict=True)):
                    text = lines[k] if k < len(lines) else ""
                    space = " " * (width - cell_len(text))
                    style = "bold" if i == 0 or c in self.bold else self.styles.get((i - 1, c), "")
                    flushed = c in self.left or c in self.prose
                    line.append(text + space if flushed else space + text, style)
                    line.append(" " * GAP if c < len(widths) - 1 else "")
                line.rstrip()
                yield line

    def _bands(self, grid: Sequence[Row], rules: Collection[int], room: int) -> Iterable[Text]:
        """The first column again and again, each time with as many of the others as there is room for."""
        widths = [_natural(column) for column in zip(*grid, strict=True)]
        rest = list(range(1, len(widths))) or [0]
        while rest:
            take = [0] if len(widths) > 1 else []
            while rest and (len(take) < 2 or sum(widths[c] + GAP for c in (*take, rest[0])) - GAP <= room):
                take.append(rest.pop(0))
            part = Sheet((), (), left=[k for k, c in enumerate(take) if c in self.left], bold=self.bold)
            part.styles = {(r, take.index(c)): style for (r, c), style in self.styles.items() if c in take}
            yield from part._drawn([[row[c] for c in take] for row in grid], [widths[c] for c in take], rules)
            if rest:
                yield Text("")

    def _stacked(self, grid: Sequence[Row]) -> Iterable[Text]:
        """A line for each cell, under the head of its column: the terminal breaks what is too long."""
        for row in grid[1:]:
            for head, cell in zip(grid[0], row, strict=True):
                if cell:
                    name = " ".join(head.split())
                    yield Text.assemble((f"{name}: " if name else "", "bold"), cell)
            yield Text("")


def _widths(grid: Sequence[Row], prose: Collection[int], room: int) -> list[int] | None:
    """The width of each column: all that it takes, less for prose where there is no such room; None where
    it does not fit."""
    columns = list(zip(*grid, strict=True))
    widths = [_natural(column) for column in columns]
    over = sum(widths) + GAP * (len(widths) - 1) - room
    least = {c: min(widths[c], max(LEAST, min(WORD, _longest(columns[c])))) for c in prose}
    while over > 0:
        widest = max((c for c in least if widths[c] > least[c]), key=lambda c: widths[c], default=None)
        if widest is None:
            return None
        others = [widths[c] for c in least if c != widest and widths[c] < widths[widest]]
        step = min(over, widths[widest] - max(least[widest], *others, 0))
        widths[widest] -= max(step, 1)
        over -= max(step, 1)
    return widths


def _natural(column: Iterable[str]) -> int:
    return max((cell_len(line) for cell in column for line in cell.split("\n")), default=0)


def _longest(column: Iterable[str]) -> int:
    return max((cell_len(word) for cell in column for word in cell.split()), default=0)


def _lines(cell: str, width: int, prose: bool) -> list[str]:
    lines = cell.split("\n")
    return [broken for line in lines for broken in _wrapped(line, width)] if prose else lines


def _wrapped(line: str, width: int) -> Iterable[str]:
    """The line broken between words, and inside one only where it is wider than all there is."""
    now = ""
    for word in _WHOLE.sub(lambda found: found[0].replace(" ", _GLUE), line).split(" "):
        word = word.replace(_GLUE, " ")
        if now and cell_len(now) + 1 + cell_len(word) > width:
            yield now
            now = ""
        *full, rest = chop_cells(word, width) if cell_len(word) > width else (word,)
        if full:
            yield from ([now] if now else [])
            yield from full
            now = rest
        else:
            now = f"{now} {rest}" if now else rest
    yield now


# What is one figure though it has spaces: a p-value, an interval.
_WHOLE = re.compile(r"p [<=] [\d.]+|\[[-+\d.e∞]+, [-+\d.e∞]+\]")
_GLUE = "\ue000"
