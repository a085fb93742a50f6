"""Data sets of answers: what is asked for them, and their rows before and after the answers are there.

In: a checked `AnswerData` step and the data set of its questions. Out: the samples that are asked, side by side and
system prompt by system prompt, and the `Data` of the answers. Before they are made it has a row for each answer that
will be asked for, so that a plan knows how many there can be and of which part; afterwards those that were kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from steerdsl.data import Data, DataRow
from steerdsl.data.split import parts
from steerdsl.lang import recipe as r
from steerdsl.lang.lower.answers import INSTRUCTION
from steerdsl.lang.source import Source
from steerdsl.planning.samples import Sample, samples, samples_key
from steerdsl.store.results import content_key


@dataclass(frozen=True, slots=True)
class Asked:
    """How the questions of one side are asked: `systems` with every instruction put in, and what is asked. The rows
    of the samples count the prompts of all sides; `place` says of each prompt which row of the questions it is."""

    side: str
    systems: tuple[str | None, ...]
    prefix: str | None
    found: tuple[Sample, ...]
    place: Mapping[int, int]


def asked(step: r.AnswerData, data: Mapping[str, Data], source: Source | None = None) -> tuple[Asked, ...]:
    """What an `AnswerData` step asks, side by side. Raises RecipeError D511 where there is no question in the part."""
    questions, sides, number = samples(data, step.data, source), [], 0
    for asking in step.asking:
        systems = _systems(asking, data[step.data.name])
        found, place = [], {}
        for question in questions:
            for system in systems:
                before = tuple(turn for turn in question.before if system is None or turn[0] != "system")
                row = replace(
                    question.row, index=number, before=before if system is None else (("system", system), *before)
                )
                found.append(Sample(row, question.prompt, asking.prefix))
                place[number] = question.row.index
                number += 1
        sides.append(Asked(asking.side, systems, asking.prefix, tuple(found), place))
    return tuple(sides)


def _systems(asking: r.Asking, questions: Data) -> tuple[str | None, ...]:
    """The system prompts, with each instruction of a trait file in place of `{instruction}`."""
    told = dict(questions.instructions).get(asking.side, ())
    found: list[str | None] = []
    for system in asking.systems:
        with_each = system is not None and INSTRUCTION in system
        found += [system.replace(INSTRUCTION, each) for each in told] if system and with_each else [system]
    return tuple(found)


def open_data(step: r.AnswerData, spec: r.DataSpec, data: Mapping[str, Data], source: Source | None = None) -> Data:
    """The data set of answers that are not made yet: a row for each, without what it says."""
    rows = [
        _labelled(sample.row, side.side)
        for side in asked(step, data, source)
        for sample in side.found
        for _ in range(step.n)
    ]
    told = [[side.side, side.prefix, samples_key(side.found)] for side in asked(step, data, source)]
    return replace(_data(step, spec, data, rows, source), sha256=content_key({"asked": told}), open=True)


def made_data(
    step: r.AnswerData,
    spec: r.DataSpec,
    data: Mapping[str, Data],
    kept: Sequence[tuple[DataRow, str]],
    source: Source | None = None,
) -> Data:
    """The data set of the answers that were kept, each with its side."""
    return _data(step, spec, data, [_labelled(row, side) for row, side in kept], source)


def _data(
    step: r.AnswerData, spec: r.DataSpec, data: Mapping[str, Data], rows: Sequence[DataRow], source: Source | None
) -> Data:
    base = data[step.data.name]
    of_question = parts(base)
    place = {number: own for side in asked(step, data, source) for number, own in side.place.items()}
    numbered = tuple(replace(row, index=number) for number, row in enumerate(rows))
    found = {number: of_question[place[row.index]] for number, row in enumerate(rows)}
    told = content_key({"rows": [[row.text, row.said, row.tokens] for row in numbered]})
    return Data(replace(spec, fields=base.spec.fields), numbered, told, None, parts=found)


def _labelled(row: DataRow, side: str) -> DataRow:
    return replace(row, label=side or None)
