"""`steerdsl report`: write the report of a run again."""

from __future__ import annotations

import sys

import typer

from steerdsl.cli import options as o


def report(run: o.RunDirectory) -> None:
    """Rebuild `report.html` in a run directory from the files in it.

    The report of a pack is written next to its unpacked files in the cache; its path is printed.

    \b
    Example:
      steerdsl report runs/econ-20260301-101500
    """
    from steerdsl.share.pack_inputs import run_folder
    from steerdsl.show.report import write_report

    run = run_folder(run)

    try:
        path = write_report(run)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise typer.BadParameter(f"{error.filename or run} cannot be used: {reason}") from None
    sys.stdout.write(f"{path}\n")
