"""`steerdsl explain`: the page of a diagnostic code, or what a word of the language means.

In: a code or a name. Out: its page; without one, the list of all.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from steerdsl.cli.printing import in_colour
from steerdsl.lang.diagnostics import nearest
from steerdsl.planning.formatting import measure
from steerdsl.registry import ROOMS, Arg, Entry, Kind, entries

PAGES = Path(__file__).parents[1] / "lang" / "codes"
KINDS = tuple(ROOMS)

HEADINGS: dict[Kind, str] = {"condition": "Threshold"}  # of an entry's arguments, where they are not options


def explain(
    word: Annotated[
        str | None, typer.Argument(metavar="WORD", help="A code, method, metric or statement.", show_default=False)
    ] = None,
) -> None:
    """Explain a diagnostic code or a word of the language; without an argument, list them all.

    \b
    Example:
      steerdsl explain S304
      steerdsl explain diffmean
    """
    page = contents() if word is None else page_of(word)
    if page is None:
        close = nearest(str(word), known())
        help = f"did you mean `{close}`?" if close else "`steerdsl explain` lists them all"
        raise typer.BadParameter(f"there is no page for `{word}`; {help}")
    if in_colour(sys.stdout):
        from rich.markdown import Markdown

        from steerdsl.show.terminal import Terminal

        Terminal().print(Markdown(page))
    else:
        print(page, end="")


def known() -> list[str]:
    """Every word that has a page."""
    return [*codes(), *(name for kind in KINDS for name in entries(kind))]


def codes() -> dict[str, str]:
    """Each code and its page."""
    return {path.stem: path.read_text(encoding="utf-8") for path in sorted(PAGES.glob("*.md"))}


def page_of(word: str) -> str | None:
    """Return the page of a code, or of every entry of that name; None when there is none."""
    code = codes().get(word.upper())
    if code is not None:
        return f"# {word.upper()}: {code.removeprefix('# ')}"
    pages = [entry_page(entries(kind)[word]) for kind in KINDS if word in entries(kind)]
    return "\n".join(pages) or None


def entry_page(entry: Entry) -> str:
    """Return a registry entry as a Markdown page."""
    return f"# {entry.name}, one of the {ROOMS[entry.kind].title}\n\n{entry_text(entry)}"


def entry_text(entry: Entry) -> str:
    """Return what an entry says of itself, without a heading: `explain` and docs/reference print it."""
    parts = [f"{entry.summary[:1].upper()}{entry.summary[1:]}"]
    if entry.when:
        parts.append(entry.when)
    if entry.clauses:
        parts.append("Clauses: " + ", ".join(f"`{clause}`" for clause in entry.clauses))
    if entry.formula:
        parts.append(f"Formula: `{entry.formula}`")
    if reach := _range(entry):
        parts.append(f"Values: {reach}; intervals keep to it")
    if entry.args:
        parts.append(f"{HEADINGS.get(entry.kind, 'Options')}:\n\n" + "\n".join(_arg_line(arg) for arg in entry.args))
    if entry.paper:
        parts.append(f"Source: {entry.paper}")
    if entry.example:
        parts.append("Example:\n\n" + "\n".join(f"    {line}" for line in entry.example.splitlines()))
    return "\n\n".join(parts) + "\n"


def _range(entry: Entry) -> str:
    """What a metric's values can be, in words."""
    if entry.least is None:
        return "" if entry.most is None else f"at most {entry.most:g}"
    return f"at least {entry.least:g}" if entry.most is None else f"{entry.least:g} to {entry.most:g}"


def _arg_line(arg: Arg) -> str:
    known = "no default" if arg.default is None else f"default {measure(arg.default, arg.type)}"
    default = "needed" if arg.required else known
    choices = f", one of {', '.join(arg.choices)}" if arg.choices else ""
    return f"- `{arg.name}` ({arg.type}{choices}{_bounds(arg)}; {default}): {arg.doc}"


def _bounds(arg: Arg) -> str:
    """The bounds of a number, as in `, at least 1, at most 100`."""
    known = (("at least", arg.least), ("at most", arg.most), ("below", arg.below))
    return "".join(f", {word} {measure(bound, arg.type)}" for word, bound in known if bound is not None)


def contents() -> str:
    """Return the list of everything that has a page."""
    parts = ["# The language\n"]
    for kind in KINDS:
        lines = [f"- `{entry.name}`: {entry.summary}" for entry in entries(kind).values()]
        parts.append(f"## {ROOMS[kind].title}\n\n" + "\n".join(lines) + "\n")
    lines = [f"- `{code}`: {page.splitlines()[0].removeprefix('# ')}" for code, page in codes().items()]
    parts.append("## diagnostics\n\n" + "\n".join(lines) + "\n")
    return "\n".join(parts)
