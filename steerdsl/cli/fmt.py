"""`steerdsl fmt`: the one layout of recipes.

In: recipes. Out: the files rewritten, or with `--check` what would change; `-` goes from the standard
input to the standard output. A recipe with syntax errors stays as it is, and its errors are printed.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from difflib import unified_diff
from pathlib import Path
from typing import Annotated

import typer

from steerdsl.cli.printing import print_diagnostics
from steerdsl.cli.recipe_files import Files, read_sources
from steerdsl.lang.diagnostics import Exit
from steerdsl.lang.format import format_source
from steerdsl.lang.reading import STDIN
from steerdsl.lang.source import Source
from steerdsl.share.pack_inputs import is_pack
from steerdsl.show.door import write_file


def fmt(
    files: Files = None,
    check: Annotated[bool, typer.Option("--check", help="Change nothing; print what would change.")] = False,
) -> None:
    """Format recipes in the standard layout.

    Keeps the meaning, comments and the spelling of numbers.

    \b
    Example:
      steerdsl fmt recipes/econ.steer
      steerdsl fmt --check recipes/*.steer
    """
    if not check and (pack := next(filter(is_pack, files or ()), None)):
        raise typer.BadParameter(f"{pack} is a pack, which is read-only: use --check, or unpack it first")
    failed = False
    for source in read_sources(files):
        text, report = format_source(source)
        if report.errors:
            print_diagnostics(report.found, sys.stderr)
            failed = True
        elif check:
            failed |= _show_difference(source, text)
        elif source.name == STDIN:
            write_file(text, sys.stdout)
        elif text != source.text:
            replace_file(Path(source.name), text)
            print(f"{source.name}: formatted")
    if failed:
        raise typer.Exit(Exit.CHANGED)


def _show_difference(source: Source, text: str) -> bool:
    """Print how the formatted text differs; False when it does not."""
    before, after = source.text.splitlines(keepends=True), text.splitlines(keepends=True)
    for line in unified_diff(before, after, source.name, f"{source.name} (formatted)"):
        sys.stdout.write(line if line.endswith("\n") else f"{line}\n\\ no newline at the end\n")
    return source.text != text


def replace_file(path: Path, text: str) -> None:
    """Write a file so that it holds the old text or the new one at every moment; its mode is kept."""
    target = path.resolve()
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        shutil.copymode(target, temporary)
        os.replace(temporary, target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
