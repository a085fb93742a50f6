"""Progress: the first line before anything is loaded, counts, rates, time left, a line for each finished step."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from typing import Any

import pytest

from steerdsl.cli.progress import Progress, announce
from steerdsl.show.door import doors


class Screen(io.StringIO):
    """A terminal that remembers what was written."""

    def isatty(self) -> bool:
        return True

    @property
    def lines(self) -> list[str]:
        """What still stands there at the end: a line that was written over is gone."""
        return [row.split("\r\x1b[K")[-1] for row in self.getvalue().split("\n")]


@contextmanager
def terminal() -> Iterator[Screen]:
    """The standard error as a terminal, behind its door."""
    with redirect_stderr(Screen()) as screen, doors():
        yield screen


def shown(text: str, done: int, total: int, unit: str = "", spent: float = 0.0, gained: int | None = None) -> str:
    """The line some seconds after a count began."""
    progress = Progress(shown=False)
    progress.title("[2/7] step")
    progress(text, 0 if gained is not None else done, total, unit)
    progress(text, done, total, unit)
    return progress.line(progress.begun + spent, 79)


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (("reading activations", 16, 64), "[2/7] step: reading activations  25%  16 of 64"),
        (("loading the model", 0, 0, "", 3.0), "[2/7] step: loading the model  3.0 s"),
        (("answers", 120, 480, "tokens", 2.0, 120), "[2/7] step: answers  25%  60 tokens/s  6 s left"),
        (
            ("downloading", 35_200_000, 92_900_000, "bytes", 10.0, 35_200_000),
            "[2/7] step: downloading  37%  35.2 MB of 92.9 MB  3.5 MB/s  16 s left",
        ),
        (("answers", 20, 20, "", 12.0), "[2/7] step: answers  12 s"),
    ],
)
def test_a_line_has_share_amount_rate_and_time_left(given: Any, line: str) -> None:
    assert shown(*given) == line


def test_a_narrow_line_keeps_its_figures() -> None:
    progress = Progress(shown=False)
    progress.title("[2/7] evaluate a_very_long_name_of_scores")
    progress("answers of a_very_long_name to a_data_set", 1234, 5678)
    line = progress.line(progress.begun, 40)
    assert line.endswith("…  21%  1234 of 5678") and len(line) <= 40


def test_a_finished_step_leaves_its_line_and_other_text_takes_the_live_one_away() -> None:
    with terminal() as screen, Progress(shown=True) as progress:
        progress.title("[1/2] extract topic")
        progress("reading activations", 1, 4)
        print("warning: something", file=sys.stderr)
        progress.finished()
        progress.title("[2/2] select best")
        progress.finished("in the store already")
    said = [line for line in screen.lines if line]
    assert said[0] == "warning: something" and said[2] == "[2/2] select best: in the store already"
    assert re.fullmatch(r"\[1/2\] extract topic: \d\.\d s", said[1]) and len(said) == 3


def test_a_line_moves_on_though_nothing_is_reported() -> None:
    with terminal() as screen, Progress(shown=True) as progress:
        progress("loading the model", 0, 0)
        until = time.monotonic() + 20
        while "loading the model  1." not in screen.getvalue() and time.monotonic() < until:
            time.sleep(0.05)
    assert "loading the model  1." in screen.getvalue()


def test_quiet_says_nothing() -> None:
    with terminal() as screen, Progress(shown=False) as progress:
        progress.title("[1/1] extract topic")
        progress("reading", 1, 2)
        progress.finished()
    assert screen.getvalue() == ""


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["run", "recipes/econ.steer"], "run recipes/econ.steer …"),
        (["run", "-e", "ablate layers 6"], "run …"),
        (["plan", "a.steer", "--json"], "plan a.steer …"),
        (["run", "a.steer", "-q"], ""),
        (["check", "a.steer"], ""),
        (["run", "--help"], ""),
    ],
)
def test_what_takes_long_is_announced(arguments: list[str], line: str) -> None:
    with terminal() as screen:
        announce(arguments)
    assert screen.getvalue() == line


def test_the_announcement_needs_nothing_heavy() -> None:
    program = (
        "import sys\nfrom steerdsl.cli.progress import Progress, announce\nannounce(['run', 'x.steer'])\n"
        "heavy = {'torch', 'numpy', 'transformers', 'nnsight', 'rich'}\nprint(sorted(heavy & sys.modules.keys()))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
