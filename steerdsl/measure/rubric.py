"""A rubric of one's own: what a judge is asked about one answer, and the mark in its reply.

In: the text of a rubric with the fields `{question}`, `{answer}` and `{baseline}`, and a scale. Out: a conversation for
a chat model; from its reply a mark on the scale, or why there is none. No reply without a mark counts as 0.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from steerdsl.measure.judge import spoken

FIELDS = ("question", "answer", "baseline")
VERSION = 1  # of the sentence below and of how replies are read: raise it when marks may change
LEAST_MASS = 0.25  # of the probability that must be on marks (persona vectors' judge takes the same)
TOP = 20  # tokens whose probability an endpoint tells at most
Candidates = Sequence[tuple[str, float]]  # tokens at the place of the mark, with their log-probabilities

_FIELD = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_NUMBER = r"[-+]?(?:0|[1-9][0-9]{0,8})(?:\.[0-9]{1,9})?"
_ALONE = re.compile(
    rf"(?:\*\*)?(?:(?:score|rating|mark|grade)\s*[:=]\s*)?(?:\*\*)?\s*({_NUMBER})(?:\s*/\s*({_NUMBER}))?(?:\.(?:\*\*)?|\*\*\.?)?",
    re.IGNORECASE,
)
_BRACKETED = re.compile(rf"\[\[\s*({_NUMBER})\s*\]\]")


@dataclass(frozen=True, slots=True)
class Rubric:
    """A rubric by name: its text, its scale, and whether a mark is `expected` from the probabilities of number tokens
    where these are known."""

    name: str
    text: str
    scale: tuple[float, float]
    expected: bool = True

    @property
    def brackets(self) -> bool:
        """Whether the rubric asks for a mark in double brackets, and so says itself how to reply."""
        return "[[" in self.text

    @property
    def reads_baseline(self) -> bool:
        return "baseline" in fields(self.text)


@dataclass(frozen=True, slots=True)
class Mark:
    """A mark, nan where there is none and `fault` says why. `expected`: it is the mean of the marks that the judge
    might have given, weighted by their probabilities; else the number that it wrote."""

    value: float
    expected: bool = False
    fault: str | None = None


def fields(text: str) -> tuple[str, ...]:
    """The words in single braces, each once; braces around anything else are text."""
    return tuple(dict.fromkeys(_FIELD.findall(text)))


def messages(rubric: Rubric, question: str, answer: str, baseline: str = "") -> list[dict[str, str]]:
    """The conversation that asks for a mark. Fields are put in once: one inside an answer stays text."""
    given = {"question": question, "answer": answer, "baseline": baseline}
    text = _FIELD.sub(lambda found: given.get(found[1], found[0]), rubric.text.strip())
    if not rubric.brackets:
        text += f"\n\nReply with one number from {said(rubric.scale)} and nothing else."
    return [{"role": "user", "content": text}]


def again(rubric: Rubric) -> str:
    """What a judge is told whose reply has no mark."""
    number = f"a number from {said(rubric.scale)}"
    return f"End with the mark, {number}, as [[mark]]." if rubric.brackets else f"Reply with {number} alone."


def said(scale: tuple[float, float]) -> str:
    """A scale in words: `0 to 100`."""
    return f"{scale[0]:g} to {scale[1]:g}"


def filled(text: str, given: Mapping[str, str]) -> str:
    """A text with some of its fields put in."""
    return _FIELD.sub(lambda found: given.get(found[1], found[0]), text)


def read(rubric: Rubric, reply: str, candidates: Candidates | None = None) -> Mark:
    """The mark in a reply, read from what the judge says and not from its thoughts."""
    found, fault = _number(rubric, reply)
    if found is None:
        return Mark(math.nan, fault=fault)
    (low, high), value = rubric.scale, float(found[1])
    if not low <= value <= high:
        return Mark(math.nan, fault=f"the mark is outside the scale {said(rubric.scale)}")
    if not rubric.expected or candidates is None:
        return Mark(value)
    return expectation(rubric.scale, candidates)


def written(rubric: Rubric, reply: str) -> tuple[str, int] | None:
    """The number of a mark as it is written, and the character of the reply at which it begins."""
    found, _ = _number(rubric, reply)
    text = spoken(reply).strip()
    start = len(reply.rstrip()) - len(text)
    return None if found is None or reply[start:].rstrip() != text else (found[1], start + found.start(1))


def _number(rubric: Rubric, reply: str) -> tuple[re.Match[str] | None, str]:
    """The mark in what a judge says, without white space around it, or why there is none."""
    text = spoken(reply).strip()
    if not text:
        return None, "the reply ends within its thoughts" if reply.strip() else "the reply is empty"
    if found := [*_BRACKETED.finditer(text)]:
        return found[-1], ""
    alone = _ALONE.fullmatch(text)
    if alone is not None and alone[2] is not None and float(alone[2]) != rubric.scale[1]:
        return None, "the reply is a mark out of another number than the highest of the scale"
    return alone, "the reply is not one number"


def expectation(scale: tuple[float, float], candidates: Candidates) -> Mark:
    """The mean of the marks among `candidates`, weighted by their probabilities, which are taken as a share of those on
    marks: E[m] = Σ m·p(m) / Σ p(m). Without `LEAST_MASS` of the probability on marks there is none."""
    marks = [(float(text), math.exp(logprob)) for text, logprob in _marks(scale, candidates)]
    mass = math.fsum(p for _, p in marks)
    if mass < LEAST_MASS:
        return Mark(math.nan, fault=f"less than {LEAST_MASS:.0%} of the probability is on marks of the scale")
    mean = math.fsum(m * p for m, p in marks) / mass
    return Mark(min(max(mean, scale[0]), scale[1]), expected=True)


def _marks(scale: tuple[float, float], candidates: Candidates) -> list[tuple[str, float]]:
    """The candidates that are marks of the scale."""
    numbers = [(text.strip(), logprob) for text, logprob in candidates if re.fullmatch(_NUMBER, text.strip())]
    return [(text, logprob) for text, logprob in numbers if scale[0] <= float(text) <= scale[1]]


def candidates(rubric: Rubric, reply: str, tokens: Sequence[tuple[str, Candidates]]) -> Candidates | None:
    """The tokens that might stand in the place of the mark; `tokens` are those of the reply in order, each with what
    might stand in its place. None where the mark is not one token, so that a token's probability is not a mark's: in a
    scale of two digits a tokenizer that splits numbers gives the probability of a first digit alone."""
    found = written(rubric, reply)
    if found is None or "".join(text for text, _ in tokens) != reply or rubric.scale[0] < 0:
        return None
    number, start = found
    place = 0
    for text, others in tokens:
        if place <= start < place + len(text):
            own = dict(others)
            digits = max((len(t.strip()) for t in own if t.strip().isascii() and t.strip().isdigit()), default=0)
            whole = text.strip() == number and (rubric.scale[1] < 10 or digits > 1)
            return list(own.items()) if whole and text in own else None
        place += len(text)
    return None
