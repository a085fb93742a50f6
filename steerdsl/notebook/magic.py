"""`%%steer`: a cell that is a recipe.

In: the line and the text of a cell, and the variables of the notebook. Out: the finished run, which the notebook shows
and keeps in `_`. What is wrong is printed as on a terminal, and ends the cell, so that no later one runs on.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

from IPython.core.error import UsageError

from steerdsl import api
from steerdsl.cli.printing import diagnostics_text
from steerdsl.lang.diagnostics import Diagnostic, RecipeError
from steerdsl.lang.source import Source
from steerdsl.notebook.cell import Cell, read_cell

if TYPE_CHECKING:
    from steerdsl.store.finished_run import Finished

HELP = """Run the recipe in this cell.

{options}

`{{name}}` in the recipe is a variable of Python, wherever a param may stand. The finished run is shown, and is in `_`:
its `scores`, `answers`, `vectors`, `checks` and `folder`. What the store has is not computed again.
"""


class Line(argparse.ArgumentParser):
    """What stands behind `%%steer`, read as the options of `steerdsl run`."""

    def error(self, message: str) -> NoReturn:
        """One line in the notebook, and no end of the process."""
        raise UsageError(f"%%steer: {message}")


class CellError(RecipeError):
    """A mistake in a cell, which a notebook shows as a terminal does: its places and no traceback."""

    def _render_traceback_(self) -> list[str]:
        return diagnostics_text(self.diagnostics, paint=True).splitlines()


def line_parser() -> Line:
    """The options of a cell."""
    line = Line(prog="%%steer", add_help=False, allow_abbrev=False)
    line.add_argument("--model", metavar="ID", help="a model's id or folder, in place of the recipe's")
    line.add_argument("--set", dest="params", metavar="NAME=VALUE", action="append", help="a param's value")
    line.add_argument("--out", metavar="DIR", help="the run directory; runs/ and the time without it")
    line.add_argument("--force", action="store_true", help="replace an older run there")
    line.add_argument("--device", metavar="NAME", help="auto, cpu, cuda or mps")
    line.add_argument("--dtype", metavar="NAME", help="float32, bfloat16 or float16")
    line.add_argument("--batch-size", metavar="N", type=_rows, help="a number, or auto")
    line.add_argument("--seed", metavar="N", type=int, help="of everything that is drawn")
    line.add_argument("--offline", action="store_true", help="download nothing")
    line.add_argument("--allow", metavar="DIR", action="append", help="a folder that the recipe may read")
    return line


def _rows(text: str) -> int | str:
    return text if text == "auto" else int(text)


def register(shell: Any) -> None:
    """Let cells of this shell begin with `%%steer`."""

    def steer(line: str, cell: str) -> Finished:
        return run_cell(line, cell, shell.user_ns, f"In [{len(shell.user_ns.get('In', [''])) - 1}]")

    steer.__doc__ = HELP.format(options=line_parser().format_help())
    shell.register_magic_function(steer, "cell", "steer")


def run_cell(line: str, text: str, variables: dict[str, Any], name: str) -> Finished:
    """Run the recipe of a cell; `name` is what diagnostics call the cell. Raises CellError for what is wrong with the
    recipe or its run, UsageError for what is wrong with the line."""
    given = _options(line)
    params = [_pair(word) for word in given.pop("params", [])]
    typed = Source(name, text)
    cell = Cell(typed, text)
    try:
        cell = read_cell(typed, variables)
        with _warnings_of(cell):
            return api.run(cell.recipe if "\n" in cell.recipe else f"{cell.recipe}\n", params=params, **given)
    except RecipeError as error:
        raise CellError([cell.told(one) for one in error.diagnostics], error.exit_code) from None
    except (TypeError, ValueError) as error:
        raise UsageError(f"%%steer: {error}") from None


def _options(line: str) -> dict[str, Any]:
    """What stands behind `%%steer`."""
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise UsageError(f"%%steer: {str(error).lower()}") from None
    given = vars(line_parser().parse_args(words))
    return {name: value for name, value in given.items() if value is not None}


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"%%steer: --set wants NAME=VALUE, not {text}")
    return name.strip(), value.strip()


@contextmanager
def _warnings_of(cell: Cell) -> Iterator[None]:
    """Print what a recipe is warned of as a terminal has it, with its place in the cell."""
    before = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        if not isinstance(message, api.RecipeWarning):
            before(message, category, *place, **more)
        elif message.diagnostic is None:
            sys.stderr.write(f"{message}\n")
        else:
            told: Diagnostic = cell.told(message.diagnostic)
            sys.stderr.write(diagnostics_text([told], paint=True))

    with warnings.catch_warnings():
        warnings.simplefilter("always", api.RecipeWarning)
        warnings.showwarning = show
        yield
