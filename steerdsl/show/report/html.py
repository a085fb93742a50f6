"""HTML that is escaped unless it was made here.

In: text and parts. Out: `Html`, which is a text that needs no escaping.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any

# What HTML cannot hold, not even escaped; tabs and line ends it can.
CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffe\uffff]")
VOID = frozenset({"img", "meta"})


class Html(str):
    """Markup that was made by `tag`, so that it is not escaped again."""

    __slots__ = ()


def text(value: Any) -> Html:
    """A value as text; `Html` stays as it is."""
    return value if isinstance(value, Html) else Html(escape(CONTROL.sub("\ufffd", str(value)), quote=True))


def tag(name: str, /, *children: Any, **attributes: Any) -> Html:
    """An element. Attributes end in `_` where Python has the word; those that are None are left out."""
    given = "".join(f' {key.rstrip("_")}="{text(value)}"' for key, value in attributes.items() if value is not None)
    if name in VOID:
        return Html(f"<{name}{given}>")
    return Html(f"<{name}{given}>{joined(children)}</{name}>")


def joined(parts: Iterable[Any]) -> Html:
    return Html("".join(text(part) for part in parts))


def section(title: str, *parts: Any) -> Html:
    """A part of the page, which the contents lead to; nothing if it is empty."""
    inner = joined(parts)
    return tag("section", tag("h2", title), inner, id=anchor(title)) if inner else Html("")


def anchor(title: str) -> str:
    """What a link to a section is called: `choices-of-layers`."""
    return re.sub(r"[^a-z]+", "-", title.lower()).strip("-")


def contents(sections: Iterable[Html]) -> Html:
    """Links to the sections of a page, by their titles."""
    titles = [found[1] for part in sections for found in re.finditer(r'<section id="[^"]*"><h2>([^<]*)</h2>', part)]
    links = (tag("a", Html(title), href=f"#{anchor(title)}") for title in titles)
    return tag("nav", *(tag("span", link) for link in links))


def details(summary: Any, *parts: Any, shown: bool = False) -> Html:
    """What opens on a click, open at first when `shown`."""
    return tag("details", tag("summary", summary), *parts, open="" if shown else None)


def table(head: Sequence[Any], rows: Iterable[Sequence[Any]], class_: str | None = None) -> Html:
    """A table that scrolls sideways where the page is narrow; the first cell of a row is its heading."""
    body = [tag("tr", tag("th", row[0], scope="row"), *(tag("td", cell) for cell in row[1:])) for row in rows]
    top = [tag("thead", tag("tr", *(tag("th", cell, scope="col") for cell in head)))] if any(head) else []
    return tag("div", tag("table", *top, tag("tbody", *body), class_=class_), class_="wide")


def page(title: str, *body: Any) -> str:
    """The whole file."""
    # Whatever an escape might miss, the page may load and run nothing.
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        Html(f'<meta http-equiv="Content-Security-Policy" content="{policy}">'),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        Html('<meta name="color-scheme" content="light dark">'),
        tag("title", title),
        tag("style", Html(style())),
    )
    return f"<!doctype html>\n{tag('html', head, tag('body', *body), lang='en')}\n"


@cache
def style() -> str:
    return files(__package__).joinpath("style.css").read_text(encoding="utf-8")
