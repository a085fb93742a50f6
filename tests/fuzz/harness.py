"""What the fuzzing programs share: cases from a seed, each tried in this process under guard.

In: a function that makes and tries case number n. Out: counts of how the cases ended, and a failure for each
one that raised what is no diagnostic, took more than a second of the processor, more than a gigabyte, or wrote
outside its folder. Each case has a seed of its own, so that `--only N` tries one alone.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import random
import resource
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from steerdsl.lang.diagnostics import RecipeError
from steerdsl.methods.types import MethodError

SECONDS = 1.0  # of the processor, for one case; a busy machine takes more for the same
BYTES = 1 << 30  # that a case may add to this process
DIAGNOSTICS = (RecipeError, MethodError)
# Values of every kind that JSON has, and some that only look right.
WRONG: tuple[Any, ...] = (None, True, -1, 10**30, 2.5, "", "x", [], [[]], {}, {"x": {}}, [None], "\ud800", "\x1b[2J")

# Bytes that readers trip over.
ODD = (b"", b"\x00", b"\xff", b'"', b"[" * 2000, b"{", b"\\ud800", b"9" * 5000, b"-1", b"NaN", b"1e999", b"null")

Case = Callable[[random.Random, Path], str | None]


@dataclass(slots=True)
class Outcome:
    """How many cases ended how, and what failed."""

    counts: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    slowest: float = 0.0
    untried: int = 0  # for want of time


def fuzz(
    case: Case,
    count: int,
    seed: int = 0,
    only: int | None = None,
    limit: float = 600.0,
    seconds: float = SECONDS,
) -> Outcome:
    """Try cases until there are `count` or `limit` seconds are over, and fail one that takes more than `seconds`.

    A case writes into the folder that it is given and nowhere else, and returns a word for how it ended; a
    diagnostic that it raises counts by its code.
    """
    outcome, began = Outcome(), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as place:
        home = Path(place)
        for folder in ("case", "around", "cache"):
            (home / folder).mkdir()
        if only is None:  # one for nothing: it imports what all need
            _try(case, -1, seed, home, Outcome(), seconds)
        for number in range(count) if only is None else [only]:
            if time.monotonic() - began > limit:
                outcome.untried = count - number
                break
            _try(case, number, seed, home, outcome, seconds)
    return outcome


def _try(case: Case, number: int, seed: int, home: Path, outcome: Outcome, seconds: float) -> None:
    folder = home / "case" / str(number)
    folder.mkdir()
    before, memory, start = snapshot(home, folder), peak(), time.process_time()
    problem = None
    try:
        with _quiet(home / "around", home / "cache"):
            ended = case(random.Random(f"{seed}/{number}"), folder) or "accepted"
    except DIAGNOSTICS as error:
        ended = error.diagnostics[0].code if isinstance(error, RecipeError) else error.code
    except SystemExit as error:
        ended = f"exit {error.code or 0}"
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        ended, problem = "traceback", "".join(traceback.format_exception(error)[-6:])
    took, grown = time.process_time() - start, peak() - memory
    outcome.counts[ended] += 1
    outcome.slowest = max(outcome.slowest, took)
    if problem is None and took > seconds:
        problem = f"it took {took:.1f} s"
    if problem is None and grown > BYTES:
        problem = f"it took {grown / 1e9:.1f} GB"
    if problem is None and (changed := sorted(snapshot(home, folder) ^ before)):
        problem = f"it changed {changed[0][0]} outside its folder"
    if problem is not None:
        outcome.failures.append(f"case {number}: {problem}")
    _remove(folder)


def snapshot(home: Path, but: Path) -> set[tuple[str, int, int]]:
    """Every file below `home` with its size and time, but for those of one folder and of the cache."""
    skipped = (str(but), str(home / "cache"))
    found = set()
    for top, folders, files in os.walk(home):
        folders[:] = [name for name in folders if os.path.join(top, name) not in skipped]
        for name in files:
            state = os.lstat(os.path.join(top, name))
            found.add((os.path.relpath(os.path.join(top, name), home), state.st_size, state.st_mtime_ns))
    return found


@contextlib.contextmanager
def _quiet(around: Path, cache: Path) -> Iterator[None]:
    """Run in a folder that stays empty, with a cache of its own and nothing printed."""
    cwd, old = Path.cwd(), os.environ.get("STEERDSL_CACHE")
    os.chdir(around)
    os.environ.update({"STEERDSL_CACHE": str(cache), "STEERDSL_TRACEBACK": "1"})
    sink = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)  # strict, as a terminal is
    try:
        with contextlib.redirect_stdout(sink), contextlib.redirect_stderr(sink), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        os.chdir(cwd)
        os.environ.pop("STEERDSL_CACHE") if old is None else os.environ.update({"STEERDSL_CACHE": old})


def command(*words: str) -> None:
    """Call the command line; RecipeError, SystemExit or nothing comes of it."""
    from steerdsl.cli.main import application

    application(words)(list(words), prog_name="steerdsl", standalone_mode=False)


def peak() -> int:
    """The most memory that this process has had, in bytes."""
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if sys.platform == "darwin" else used * 1024


def _remove(folder: Path) -> None:
    for top, folders, files in os.walk(folder, topdown=False):
        for name in files:
            os.unlink(os.path.join(top, name))
        for name in folders:
            path = os.path.join(top, name)
            os.unlink(path) if os.path.islink(path) else os.rmdir(path)
    folder.rmdir()


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value in a JSON value, the value itself first."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inner:
        yield from places(part, (*path, key))


def changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """A copy of `value` with `new` at `path`."""
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = changed(value[path[0]], path[1:], new)
    return copy


def without(value: Any, path: tuple[Any, ...]) -> Any:
    """A copy of `value` without what is at `path`."""
    copy = dict(value) if isinstance(value, dict) else list(value)
    if len(path) == 1:
        del copy[path[0]]
    else:
        copy[path[0]] = without(value[path[0]], path[1:])
    return copy


def mutated(chance: random.Random, data: bytes) -> bytes:
    """Bytes with some flipped, cut, doubled or replaced by what readers trip over."""
    made = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 8))):
        at = chance.randrange(len(made) + 1)
        span = slice(at, min(len(made), at + chance.choice((0, 1, 4, 64))))
        made[span] = chance.choice((*ODD, bytes(made[span]) * 2, chance.randbytes(4)))
    return bytes(made)


def main(case: Case, description: str, count: int) -> None:
    """The command line of a fuzzing program."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--count", type=int, default=count)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="try this case alone")
    parser.add_argument("--limit", type=float, default=600.0, help="seconds after which no case is begun")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of the processor that a case may take")
    given = parser.parse_args()
    outcome = fuzz(case, given.count, given.seed, given.only, given.limit, given.seconds)
    for ended, number in outcome.counts.most_common():
        print(f"{number:6}  {ended}")
    tried = sum(outcome.counts.values())
    late = f" ({outcome.untried} not tried: out of time)" if outcome.untried else ""
    print(f"{tried:6}  cases{late}, the slowest {outcome.slowest:.2f} s, {len(outcome.failures)} failed")
    for failure in outcome.failures[:20]:
        print(f"\n{failure}")
    sys.exit(bool(outcome.failures))
