"""`steerdsl report`: write the report of a run again."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="a run directory", show_default=False)],
) -> None:
    """Write `report.html` into a run directory again, from the files that lie there.

    \b
    Example:
      steerdsl report runs/econ-20260301-101500
    """
    from steerdsl.show.report import write_report

    try:
        path = write_report(run)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise typer.BadParameter(f"{error.filename or run} cannot be used: {reason}") from None
    sys.stdout.write(f"{path}\n")
