"""Which field of a file is likely its prompt, for a message to suggest: never a row number, a figure or a category.

In: the records of a `RawTable`. Out: a name, or none. Nothing is chosen by it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from steerdsl.data.fields import ABSENT, names, pick
from steerdsl.data.types import RawTable

LOOKED_AT = 200  # rows
NAMES = ("prompt", "question", "instruction", "request", "query", "goal", "behavior", "text", "input", "content")
REPLIES = ("answer", "response", "reply", "completion", "output", "label", "explanation", "url", "source")
SENTENCE = 2  # words


def prompt_field(table: RawTable) -> str | None:
    """The field that most looks like prompts: by its name, then by how long its texts are. None where no field
    has a name and texts that look like a prompt."""
    records = table.records[:LOOKED_AT]
    fields = [name for name in names(replace(table, records=records)) if name.strip()]
    texts = {name: [pick(record.fields, name) for record in records] for name in fields}
    if table.by_column:  # a column may be shorter than others
        texts = {name: [value for value in values if value is not ABSENT] for name, values in texts.items()}
    found = [name for name, values in texts.items() if _asks(values) or (_rank(name) == 0 and _texts(values))]
    return min(found, key=lambda name: (_rank(name), -_length(texts[name])), default=None)


def _rank(name: str) -> int:
    """0 for one of the `NAMES` in any case, 1 where the name has one in it, 2 for any other, 3 for an answer's."""
    lower = name.casefold().strip()
    if lower in NAMES:
        return 0
    return 3 if any(word in lower for word in REPLIES) else 1 if any(word in lower for word in NAMES) else 2


def _texts(values: list[Any]) -> bool:
    """Whether all are texts, none of them a figure."""
    return all(isinstance(value, str) and value.strip() and not _figure(value) for value in values)


def _asks(values: list[Any]) -> bool:
    """Whether all are texts, most have several words, and they differ: a category comes again and again."""
    if not _texts(values):
        return False
    several = sum(len(value.split()) >= SENTENCE for value in values)
    return 2 * several > len(values) and 2 * len(set(values)) > len(values)


def _figure(value: str) -> bool:
    try:
        float(value.strip().rstrip("%").replace(",", ""))
    except ValueError:
        return False
    return True


def _length(values: list[Any]) -> float:
    return sum(len(value) for value in values) / len(values)
