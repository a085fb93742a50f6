"""The trait files of persona vectors (Chen et al., 2025): questions, and instructions with and without the trait.

In: the bytes of `evil.json`: {"instruction": [{"pos": "…", "neg": "…"}, …], "questions": ["…", …], "eval_prompt": "…"}.
Out: a `Trait`, or the faults of the file. Its questions are the rows of a data set; the instructions are the system
prompts of both sides where answers to it are made; `eval_prompt` is the rubric by which a judge marks an answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from steerdsl.data.faults import Fault
from steerdsl.data.types import MOST_ROWS, RawRow, RawTable, kind_of, too_many
from steerdsl.forms.files import Misread
from steerdsl.forms.text import parse_json
from steerdsl.lang.diagnostics import nearest

QUESTIONS, INSTRUCTIONS, RUBRIC = "questions", "instruction", "eval_prompt"
FIELDS = (INSTRUCTIONS, QUESTIONS, RUBRIC)
SIDES = {"positive": "pos", "negative": "neg"}
_FORM = 'a trait file is {"instruction": [{"pos": "…", "neg": "…"}], "questions": ["…"], "eval_prompt": "…"}'


@dataclass(frozen=True, slots=True)
class Trait:
    """`instructions` by side, in the order of the file; `rubric` None where the file has none."""

    questions: tuple[str, ...]
    instructions: tuple[tuple[str, tuple[str, ...]], ...]
    rubric: str | None

    def table(self, name: str) -> RawTable:
        """The questions as rows."""
        rows = tuple(RawRow(number, {"question": text}) for number, text in enumerate(self.questions, 1))
        return RawTable(name, rows, "question")


def read_trait(raw: bytes, name: str) -> Trait | list[Fault]:
    """The trait in a file. Faults: D506 no JSON, D530 too large, D552 a part is missing or of another kind, D553 a
    field that no trait file has."""
    try:
        found = parse_json(raw, name=name)
    except Misread as error:
        return [Fault("D506", str(error), "look for a missing comma, quote or bracket")]
    if not isinstance(found, dict):
        return [Fault("D552", f"{name} is {kind_of(found)}, and a trait file is an object", _FORM)]
    faults = [_unknown(name, field) for field in found if field not in FIELDS]
    questions, wrong = _texts(found.get(QUESTIONS), name, QUESTIONS)
    faults += wrong
    sides: dict[str, tuple[str, ...]] = {}
    pairs = found.get(INSTRUCTIONS)
    if not isinstance(pairs, list) or not pairs:
        faults.append(_lacks(name, INSTRUCTIONS, pairs))
    elif odd := [n for n, pair in enumerate(pairs, 1) if not _is_pair(pair)]:
        title = f"`{INSTRUCTIONS}` {odd[0]} of {name} is no pair of `pos` and `neg`"
        faults.append(Fault("D552", title, _FORM, odd[0]))
    else:
        for side, key in SIDES.items():
            sides[side], wrong = _texts([pair[key] for pair in pairs], name, f"{INSTRUCTIONS}.{key}")
            faults += wrong
    rubric = found.get(RUBRIC)
    if rubric is not None and not isinstance(rubric, str):
        faults.append(Fault("D552", f"`{RUBRIC}` of {name} is {kind_of(rubric)}, and it is a text", _FORM))
    if len(questions) > MOST_ROWS:
        faults.append(too_many(name, "questions", MOST_ROWS))
    return faults or Trait(questions, tuple(sides.items()), rubric)


def _is_pair(found: Any) -> bool:
    return isinstance(found, dict) and set(found) == set(SIDES.values())


def _texts(found: Any, name: str, field: str) -> tuple[tuple[str, ...], list[Fault]]:
    """A list of texts none of which is empty, and what is wrong with it."""
    if not isinstance(found, list) or not found:
        return (), [_lacks(name, field, found)]
    odd = [n for n, text in enumerate(found, 1) if not isinstance(text, str) or not text.strip()]
    if odd:
        said = "empty" if isinstance(found[odd[0] - 1], str) else kind_of(found[odd[0] - 1])
        return (), [Fault("D552", f"`{field}` {odd[0]} of {name} is {said}", "write a text there", odd[0])]
    return tuple(found), []


def _lacks(name: str, field: str, found: Any) -> Fault:
    said = "no" if found is None else "an empty" if found == [] else "no list of"
    return Fault("D552", f"{name} has {said} `{field}`" + (", which is a list" if found else ""), _FORM)


def _unknown(name: str, field: str) -> Fault:
    close = nearest(field, FIELDS)
    help = f"did you mean `{close}`?" if close else f"{_FORM}; take out what else there is"
    return Fault("D553", f"{name} has the field `{field}`, which no trait file has", help)
