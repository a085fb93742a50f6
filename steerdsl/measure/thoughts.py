"""Thoughts and answer apart: `<think>…</think>` and what is said after it.

In: what a model wrote, and whether its prompt had opened the thoughts already. Out: the two parts. Metrics and judges
read the answer unless a recipe asks for the thoughts; the record keeps all of it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from steerdsl.lang.vocabulary import ANSWER, BOTH

VERSION = 1  # of what counts as thoughts: raise it when scores may change
UNENDED = "the answer ends within its thoughts"
UNTHOUGHT = "the answer has no thoughts"
_NAMES = ("think", "thinking", "thought", "thoughts", "reasoning")
# `[THINK]` is Magistral's; in other letters square brackets hold headings and notes.
_TAG = re.compile(rf"<(?P<close>/?)(?:{'|'.join(_NAMES)})>|\[(?P<shut>/?)THINK\]", re.IGNORECASE)
_OPEN = re.compile(rf"(?:<(?:{'|'.join(_NAMES)})>|\[THINK\])\s*\Z", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Parts:
    """`thoughts` and `answer` without their tags; `ended` is false where the text ends within its thoughts."""

    thoughts: str
    answer: str
    ended: bool = True


def opened(prompt: str) -> bool:
    """Whether a rendered prompt ends in an open tag, so that what follows begins with thoughts."""
    return _OPEN.search(prompt[-40:]) is not None


def named_in(text: str) -> bool:
    """Whether a text, such as a chat template, names a tag of thoughts."""
    return any(_is_tag(tag) for tag in _TAG.finditer(text))


def parts(text: str, begun: bool = False) -> Parts:
    """Thoughts and answer of a text; `begun` says that its prompt has opened the thoughts.

    What precedes a closing tag that nothing opened was thought, since some templates open the thoughts themselves. A
    tag that nothing closes opens thoughts only where a line begins with it: elsewhere the text speaks of the tag.
    """
    tags = [tag for tag in _TAG.finditer(text) if _is_tag(tag)]
    if not tags and not begun:
        return Parts("", text)
    thought: list[str] = []
    said: list[str] = []
    depth, place = int(begun), 0
    for number, tag in enumerate(tags):
        closes = _closes(tag)
        if not closes and depth == 0 and not _opens(text, tag, tags[number + 1 :]):
            continue
        before = text[place : tag.start()]
        if depth:
            thought.append(before)
        elif closes:
            thought.append("".join(said) + before)
            said = []
        else:
            said.append(before)
        depth = max(0, depth - 1) if closes else depth + 1
        place = tag.end()
    (thought if depth else said).append(text[place:])
    answer = "".join(said)
    # The template's own blank lines between thoughts and answer are no part of either.
    return Parts("".join(thought).strip(), answer.strip() if thought else answer, depth == 0)


def part(text: str, which: str, begun: bool = False) -> str | None:
    """The `which` of a text; None where there is none: an answer that ends within its thoughts, or no thoughts."""
    if which == BOTH:
        return text
    found = parts(text, begun)
    if which == ANSWER:
        return found.answer if found.ended else None
    return found.thoughts or None


def _is_tag(tag: re.Match[str]) -> bool:
    return tag[0].startswith("<") or "THINK" in tag[0]


def _closes(tag: re.Match[str]) -> bool:
    return bool(tag["close"] or tag["shut"])


def _opens(text: str, tag: re.Match[str], later: list[re.Match[str]]) -> bool:
    """Whether an opening tag outside of thoughts opens some: one that is closed, or that a line begins with."""
    return any(map(_closes, later)) or not text[: tag.start()].rpartition("\n")[2].strip()
