"""What one row says: the values of its fields as prompt, answer, choices and sides.

In: a record and the field of each role. Out: a `DataRow`, or the faults of the record.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from steerdsl.data.faults import Fault
from steerdsl.data.fields import ABSENT, pick
from steerdsl.data.messages import Exchange, is_chat, read_chat
from steerdsl.data.types import DataRow, RawRow, RawTable, kind_of
from steerdsl.lang.grammar import SIDES
from steerdsl.lang.recipe import Fields


def row(table: RawTable, index: int, record: RawRow, fields: Fields, label: str | None) -> DataRow | list[Fault]:
    """The row of a record: D508 a field is missing, D509 it is not text, D510 it is empty, D544 it is a conversation
    that cannot be read, D545 its right answer is not one of its choices."""
    values: dict[str, Any] = {}
    faults: list[Fault] = []
    for role, field in fields.items():
        value = _value(record, role, field, table)
        if isinstance(value, Fault):
            faults.append(value)
        else:
            values[role] = value
    if faults:
        return faults
    raw = pick(record.fields, answer) if isinstance(answer := fields.get("answer"), str) else ""
    made = _said(values, table.at(record.line), record.line)
    if isinstance(made, Fault):
        return [made]
    number = isinstance(raw, int | float) and not isinstance(raw, bool)
    return replace(made, index=index, answer_is_number=number, label=label)


def class_of(table: RawTable, record: RawRow, field: str) -> str | Fault:
    """The class of a record, as text: D508 there is no such field, D509 it is no text or number, D510 it is empty."""
    where, value = table.at(record.line), pick(record.fields, field)
    if value is ABSENT:
        return Fault("D508", f'{where} has no field "{field}"', "give every row the same fields", record.line)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return f"{value:.12g}"
    return text_fault(value, where, field, record.line) or str(value).strip()


def _value(record: RawRow, role: str, field: str | tuple[str, ...], table: RawTable) -> Any:
    """The value of a role: a text, a conversation, or the choices; or its fault."""
    where = table.at(record.line)
    if isinstance(field, tuple):
        parts = [_value(record, "choice", name, table) for name in field]
        return next((part for part in parts if isinstance(part, Fault)), tuple(parts))
    value = pick(record.fields, field)
    if value is ABSENT:
        return Fault("D508", f'{where} has no field "{field}"', "give every row the same fields", record.line)
    if role == "choices":
        return _choices(value, where, field, record.line)
    if role == "answer" and isinstance(value, list) and not is_chat(value):
        return _marked(value, where, field, record.line)
    if role in ("answer", "choice") and isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    if is_chat(value) and role != "choice":
        talk = read_chat(value)
        if isinstance(talk, str):
            help = 'write turns as {"role": "user", "content": "…"}, user and assistant in turn'
            return Fault("D544", f'{where}: field "{field}" {talk}', help, record.line)
        if role != "prompt" and talk.answer is None:
            title = f'{where}: field "{field}" holds a conversation without an answer'
            return Fault("D544", title, "end it with a turn of the assistant, or take the row out", record.line)
        return talk
    return text_fault(value, where, field, record.line) or value


def _choices(value: Any, where: str, field: str, line: int) -> tuple[str, ...] | Fault:
    if isinstance(value, list) and value:
        faults = [fault for item in value if (fault := text_fault(item, where, field, line))]
        return faults[0] if faults else tuple(value)
    title = f'{where}: field "{field}" holds {kind_of(value)}, not a list of texts'
    return Fault("D509", title, 'write the options as ["…", "…"], or name a field for each: ["A", "B"]', line)


def _marked(value: list[Any], where: str, field: str, line: int) -> tuple[int, ...] | Fault:
    """Which of the choices are right, as a list of noughts and ones says it."""
    if value and all(isinstance(mark, int) and mark in (0, 1) for mark in value):
        return tuple(int(mark) for mark in value)
    title = f'{where}: field "{field}" holds a list that is not of noughts and ones'
    return Fault("D509", title, "name a field that holds one answer, or one mark, 0 or 1, for each choice", line)


def _said(values: dict[str, Any], where: str, line: int) -> DataRow | Fault:
    """The row's texts, with what its conversations hold put where it belongs."""
    asked = values.get("prompt", "")
    talk = asked if isinstance(asked, Exchange) else Exchange((), asked, None)
    for side in SIDES:
        own = values.get(side)
        if not isinstance(own, Exchange):
            continue
        if talk.question and (talk.before, talk.question) != (own.before, own.question):
            title = f"{where}: its {side} side answers another question"
            return Fault("D544", title, "both sides of a pair end one conversation", line)
        talk, values[side] = own, own.answer
    answer = values.get("answer")
    if isinstance(answer, Exchange):
        answer = answer.answer
    if isinstance(answer, tuple):
        right = _right(answer, values.get("choices", ()), where, line)
        if isinstance(right, Fault):
            return right
        answer = right
    positive, negative = (values.get(side) for side in SIDES)
    return DataRow(0, talk.question, positive, negative, answer, values.get("choices", ()), before=talk.before)


def _right(marks: tuple[int, ...], choices: tuple[str, ...], where: str, line: int) -> str | Fault:
    """The text of the one choice that is marked."""
    if len(marks) != len(choices):
        title = f"{where} has {len(marks)} marks for {len(choices)} choices"
        return Fault("D545", title, "name the choices that these marks are for", line)
    if sum(marks) != 1:
        title = f"{where} marks {sum(marks)} of its choices as right, and one is read"
        return Fault("D545", title, "name a field with one right answer, such as `mc1_targets.labels`", line)
    return choices[marks.index(1)]


def text_fault(value: Any, where: str, field: str, line: int) -> Fault | None:
    """What is wrong with a value that is to be a text."""
    if not isinstance(value, str):
        title = f'{where}: field "{field}" holds {kind_of(value)}, not text'
        help = "put the value in double quotes, or name another field"
        if isinstance(value, dict) and value:
            help = f'name a part of it, as in "{field}.{next(iter(value))}"'
        elif isinstance(value, list) and value and isinstance(value[0], str):
            help = f'name one of its texts, as in "{field}.0", or another field'
        elif isinstance(value, list | dict):
            help = "write one text, or name another field"
        return Fault("D509", title, help, line)
    if not value.strip():
        return Fault("D510", f'{where}: field "{field}" is empty', "fill it in or take the row out", line)
    try:
        value.encode()
    except UnicodeEncodeError:
        title = f'{where}: field "{field}" holds half a character (an escape such as \\ud83d alone)'
        return Fault("D509", title, "write both halves of the escape, or the character itself", line)
    return None
