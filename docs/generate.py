"""Write docs/reference from the registry, the pages of the diagnostic codes, the commands' help and the forms.

In: what `steerdsl explain` and `steerdsl COMMAND --help` print, and forms. Out: docs/reference/*.md and *.schema.json.
With `--check` nothing is written: what is stale is printed, and the exit code is 1.
"""

from __future__ import annotations

import json
import sys
from inspect import cleandoc
from pathlib import Path
from typing import Any

import typer

from steerdsl.cli.explain import KINDS, codes, entry_text
from steerdsl.cli.main import COMMANDS, HELP, application
from steerdsl.forms.record import RECORD
from steerdsl.forms.runs import ANSWER, SCORES
from steerdsl.forms.schema import schema
from steerdsl.registry import ROOMS, Kind, entries

REFERENCE = Path(__file__).parent / "reference"

# The page of each kind, and the notes that explain it.
PAGES: dict[Kind, tuple[str, str]] = {
    "statement": ("statements.md", ""),
    "extract": ("extraction.md", "extraction.md"),
    "select": ("layers.md", "layers.md"),
    "plane": ("planes.md", "planes.md"),
    "op": ("operations.md", "operations.md"),
    "condition": ("conditions.md", "operations.md"),
    "position": ("positions.md", "positions.md"),
    "stream": ("streams.md", "positions.md"),
    "metric": ("metrics.md", ""),
    "plot": ("plots.md", ""),
    "data": ("data.md", ""),
}

# docs/run-directory.md says what the values mean.
SCHEMAS: dict[str, Any] = {"record": RECORD, "scores": SCORES, "generations": ANSWER}

GENERATED = "Made by `python docs/generate.py`; change what it is made from, not this page."

CODES = {
    "D5": "Data files",
    "M6": "Models, devices and the hub",
    "P7": "The plan against the model's config",
    "R8": "The run",
    "S1": "Syntax",
    "S2": "Names",
    "S3": "Values and units",
    "S4": "Clauses and meaning",
}


def pages() -> dict[str, str]:
    """Every page of the reference by file name."""
    made = {PAGES[kind][0]: kind_page(kind) for kind in KINDS}
    made |= {f"{name}.schema.json": schema_text(name, form) for name, form in SCHEMAS.items()}
    return {**made, "errors.md": errors_page(), "commands.md": commands_page()}


def schema_text(name: str, form: Any) -> str:
    """A JSON schema of what a run directory holds, made of the form that readers hold it to."""
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": name}
    return json.dumps({**head, **schema(form)}, indent=1, ensure_ascii=False) + "\n"


def kind_page(kind: Kind) -> str:
    """One section for each entry of a kind, with what `steerdsl explain` says of it."""
    notes = PAGES[kind][1]
    about = f"{GENERATED} `steerdsl explain NAME` prints a section of it"
    about += f"; [the notes](../methods/{notes}) say what to watch for." if notes else "."
    sections = [f"## {entry.name}\n\n{entry_text(entry)}" for entry in entries(kind).values()]
    return "\n".join([f"# {ROOMS[kind].title.capitalize()}\n\n{about}\n", *sections])


def errors_page() -> str:
    """Every diagnostic code with its page, room by room."""
    parts = [f"# Errors and warnings\n\n{GENERATED} `steerdsl explain CODE` prints a section of it.\n"]
    room = ""
    for code, page in codes().items():
        if code[:2] != room:
            room = code[:2]
            parts.append(f"## {CODES[room]}\n")
        parts.append(f"### {code}: {page.removeprefix('# ').rstrip()}\n")
    return "\n".join(parts)


def commands_page() -> str:
    """The help of every command as a table of its options."""
    text, example = _help(cleandoc(HELP))
    group: Any = typer.main.get_command(application(list(COMMANDS)))
    about = f"{GENERATED} `steerdsl COMMAND --help` prints a section of it."
    parts = [f"# Commands\n\n{about}\n\n{text}\n\n{example}\n{_table(group.params)}\n"]
    for name in COMMANDS:
        group = typer.main.get_command(application([name]))  # which loads this command alone
        command = group.commands[name]
        text, example = _help(command.help)
        parts.append(f"## {name}\n\n{text}\n\n{example}\n{_table(command.params)}\n")
    return "\n".join(parts)


def _help(text: str) -> tuple[str, str]:
    """A help's prose, and its example as a block."""
    prose, _, example = text.partition("\b\nExample:\n")
    lines = "".join(f"{line.strip()}\n" for line in example.strip().splitlines())
    return prose.strip(), f"```sh\n{lines}```\n"


def _table(params: list[Any]) -> str:
    return "\n".join(["| argument or option | meaning | default |", "|---|---|---|", *map(_row, params)])


def _row(param: Any) -> str:
    """One argument or option of a command."""
    if param.opts[0].startswith("-"):
        value = "" if param.is_flag else f" {param.metavar or '…'}"
        spelled = f"`{', '.join(param.opts)}{value}`"
    else:
        spelled = f"`{param.metavar or param.name}`"
    default = param.show_default if isinstance(param.show_default, str) else param.default or ""
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in (spelled, param.help, default)) + " |"


def stale() -> list[str]:
    """What differs between docs/reference and what it should be, a line each."""
    wanted = pages()
    found = {path.name for path in REFERENCE.glob("*")}
    said = [f"docs/reference/{name} is missing" for name in sorted(wanted.keys() - found)]
    said += [f"docs/reference/{name} is made from nothing" for name in sorted(found - wanted.keys())]
    for name in sorted(wanted.keys() & found):
        if (REFERENCE / name).read_text(encoding="utf-8") != wanted[name]:
            said.append(f"docs/reference/{name} is stale")
    return said


def write() -> None:
    """Make the folder anew."""
    REFERENCE.mkdir(exist_ok=True)
    wanted = pages()
    for path in REFERENCE.glob("*"):
        if path.name not in wanted:
            path.unlink()
    for name, text in wanted.items():
        (REFERENCE / name).write_text(text, encoding="utf-8")


def main(check: bool) -> int:
    if not check:
        write()
        return 0
    said = stale()
    for line in said:
        print(line)
    if said:
        print("run `python docs/generate.py`")
    return int(bool(said))


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
