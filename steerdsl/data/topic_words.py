"""Lists of topic words, for `keyword_rate`.

In: the name of a built-in list, a file with one word or phrase a line, or the words themselves.
Out: the words in lower case. `*` at the end of a word stands for any ending; `#` opens a comment.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from steerdsl.data import files
from steerdsl.data.builtin import FOLDER, word_list_names
from steerdsl.data.faults import Fault, diagnostics
from steerdsl.lang.diagnostics import RecipeError, nearest
from steerdsl.lang.nodes import NOWHERE
from steerdsl.lang.source import Source, Span


def load_words(
    words: str | Iterable[str],
    *,
    root: Path | None = None,
    allowed: tuple[Path, ...] = (),
    source: Source | None = None,
    span: Span = NOWHERE,
) -> tuple[str, ...]:
    """Read a list of words; without `root` only built-in names and words themselves are taken.

    Raises RecipeError: D501 and D502 as for data files, D504, D505.
    """
    lines: list[str] | Fault
    if not isinstance(words, str):
        lines = [word for word in words if word.strip()] or Fault(
            "D505", "the list of words is empty", "name some words"
        )
    elif words in word_list_names():
        lines = _lines((FOLDER / f"{words}.words.txt").read_text("utf-8"))
    else:
        lines = _file(words, root, allowed)
    if not isinstance(lines, Fault) and not any(char.isalnum() for line in lines for char in line):
        help = "name words that have a letter or a digit"
        lines = Fault("D505", f"the list of words has none that an answer can have: `{lines[0]}`", help)
    if isinstance(lines, Fault):
        raise RecipeError(diagnostics([lines], span, source))
    return tuple(dict.fromkeys(" ".join(line.lower().split()) for line in lines))


def _file(words: str, root: Path | None, allowed: tuple[Path, ...]) -> list[str] | Fault:
    if root is None or "." not in words:
        near = nearest(words, word_list_names())
        help = f'did you mean "{near}"?' if near else f"built in are {', '.join(word_list_names())}"
        return Fault("D501", f"there is no built-in list of words {words}", help)
    path = files.find(words, root, allowed)
    raw = path if isinstance(path, Fault) else files.read(path, words)
    if isinstance(raw, Fault):
        return raw
    try:
        lines = _lines(raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        return Fault("D504", f"line {line} of {words} is not UTF-8", "save the file as UTF-8", line)
    return lines or Fault("D505", f"{words} holds no words", "write one word or phrase a line")


def _lines(text: str) -> list[str]:
    return [line for raw in text.splitlines() if (line := raw.partition("#")[0].strip())]
