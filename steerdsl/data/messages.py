"""Conversations as they are published: lists of messages, each with a role and its content.

In: the value of a field. Out: the turns before the last question, that question, and the answer to it; or what is
wrong, in words that follow the name of the field.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from steerdsl.data.types import Turn

ROLES = ("system", "user", "assistant")
MOST_TURNS = 1000


class Exchange(NamedTuple):
    """`answer` is None where the conversation ends with the question."""

    before: tuple[Turn, ...]
    question: str
    answer: str | None


def is_chat(value: Any) -> bool:
    """Whether a value is a list of messages, each an object."""
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)


def read_chat(messages: list[Mapping[str, Any]]) -> Exchange | str:
    """A conversation up to its last user turn, and the assistant's turn after that."""
    turns: list[Turn] = []
    if len(messages) > MOST_TURNS:
        return f"holds a conversation of more than {MOST_TURNS:,} turns"
    for number, message in enumerate(messages, 1):
        role, said = message.get("role"), _said(message.get("content"))
        if role not in ROLES or said is None:
            return f"holds a conversation whose turn {number} {_wrong(message)}"
        if role == "system" and number > 1:
            return f"holds a conversation with a system prompt in turn {number}: it is the first turn, if any"
        if turns and turns[-1][0] == role:
            return f"holds a conversation in which the {role} speaks twice in a row, in turn {number}"
        if role == "assistant" and not any(who == "user" for who, _ in turns):
            return "holds a conversation that the assistant begins"
        turns.append((str(role), said))
    last = max((i for i, (who, _) in enumerate(turns) if who == "user"), default=None)
    if last is None:
        return "holds a conversation without a user turn"
    answer = turns[last + 1][1] if last + 1 < len(turns) else None
    return Exchange(tuple(turns[:last]), turns[last][1], answer)


def _said(content: Any) -> str | None:
    """A message's text; of a list of parts, where all of them are texts."""
    if isinstance(content, list) and content:
        parts = [part if isinstance(part, dict) and part.get("type") == "text" else {} for part in content]
        texts = [part.get("text") for part in parts]
        content = "".join(map(str, texts)) if all(isinstance(text, str) for text in texts) else None
    return content if isinstance(content, str) and content.strip() else None


def _wrong(message: Mapping[str, Any]) -> str:
    if "role" not in message or "content" not in message:
        return "has no role and content" + (" but from and value" if "from" in message else "")
    if message["role"] not in ROLES:
        return f"has the role {str(message['role'])[:40]!r}: {', '.join(ROLES)} can be read"
    return "has no text as its content"
