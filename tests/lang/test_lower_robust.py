"""The checker never fails on what it is given, is quick, and loads nothing heavy."""

from __future__ import annotations

import random
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from steerdsl.lang.check import check_source
from steerdsl.lang.diagnostics import render
from steerdsl.lang.source import Source

GOOD = Path(__file__).parents[1] / "recipes" / "good"


RECIPES = [path.read_text(encoding="utf-8") for path in sorted(GOOD.glob("*.steer"))]
TOKEN = re.compile(r'"[^"\n]*"|[A-Za-z_][\w.]*|[0-9][\w.%]*|\s+|.')


def garbled(seed: int) -> str:
    """A good recipe with a few of its words left out, doubled or replaced by those of another."""
    chance = random.Random(seed)
    words = TOKEN.findall(chance.choice(RECIPES))
    others = TOKEN.findall(chance.choice(RECIPES))
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(len(words))
        words[at : at + 1] = chance.choice([[], [words[at]] * 2, [chance.choice(others)], [chance.choice(words)]])
    return "".join(words)


@pytest.mark.parametrize("seed", range(0, 200, 20))
def test_garbled_recipes_give_messages_with_a_way_out(seed: int) -> None:
    for text in map(garbled, range(seed, seed + 20)):
        recipe, report = check_source(Source("garbled.steer", text), read=lambda path: Source(path, garbled(seed)))
        assert (recipe is None) == bool(report.errors)
        for found in report.found:
            assert render(found)
            assert found.help or found.code.startswith("S1")


def test_fifty_lines_take_less_than_sixty_milliseconds() -> None:
    text = (GOOD / "operations.steer").read_text(encoding="utf-8") + "".join(
        f"v{i} = extract diffmean from econ vs generic at token -{i}\nw{i} = v{i} - 0.5 * warm\n" for i in range(1, 10)
    )
    assert len(text.splitlines()) >= 50
    source = Source("fifty.steer", text)

    def once() -> float:
        start = time.perf_counter()
        assert check_source(source)[0] is not None
        return time.perf_counter() - start

    assert min(once() for _ in range(10)) < 0.06


def test_checking_loads_no_tensors() -> None:
    code = (
        "import sys\n"
        "from steerdsl.lang.check import check_source\n"
        "from steerdsl.lang.source import Source\n"
        f"text = open({str(GOOD / 'measuring.steer')!r}, encoding='utf-8').read()\n"
        "assert check_source(Source('a.steer', text))[0]\n"
        "print(sorted({'torch', 'numpy', 'transformers', 'sklearn', 'matplotlib', 'nnsight'} & sys.modules.keys()))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=GOOD.parents[2])
    assert done.stdout.strip() == "[]"
