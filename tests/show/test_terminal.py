"""What is printed on a terminal shows every control character, and sends none of a text."""

from __future__ import annotations

import io

import pytest
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from steerdsl.lang.visible import visible
from steerdsl.show.terminal import Terminal

# Sets the window's title, clears the screen, and begins a sequence in one character.
STEERING = "\x1b]0;owned\x07, \x1b[2J, \x9b31m"


def test_control_characters_become_escapes() -> None:
    assert visible(STEERING) == r"\x1b]0;owned\x07, \x1b[2J, \x9b31m"
    plain = "two\tcolumns\nand ½ 日本 \N{NO-BREAK SPACE} पि\N{ZERO WIDTH JOINER} end"
    assert visible(plain) == plain
    assert visible("a\u202eb\u2066\u200b\u2028\ud800\U000e0041") == r"a\u202eb\u2066\u200b\u2028\ud800\U000e0041"


def table() -> Table:
    made = Table(STEERING, title=STEERING, caption=Text(STEERING))
    made.add_row(STEERING)
    made.add_row(Text.assemble((STEERING, "bold"), " more"))
    return made


@pytest.mark.parametrize(
    ("printed", "times"),
    [(STEERING, 1), (Text(STEERING, style="red"), 1), (table(), 5), (Panel(STEERING, title=Text(STEERING)), 2)],
    ids=["text", "styled", "table", "panel"],
)
def test_a_terminal_shows_them_wherever_they_stand(printed: object, times: int) -> None:
    out = io.StringIO()
    Terminal(file=out, width=100, color_system=None, force_terminal=True).print(printed)
    assert not any((ord(c) < 0x20 and c != "\n") or 0x7F <= ord(c) < 0xA0 for c in out.getvalue())
    assert out.getvalue().count(r"\x1b[2J") == times


def test_other_text_is_printed_as_by_rich() -> None:
    out = io.StringIO()
    Terminal(file=out, width=100, force_terminal=True, color_system="standard").print(Text("red", style="red"))
    assert out.getvalue() == "\x1b[31mred\x1b[0m\n"
